// SPDX-License-Identifier: Apache-2.0

package users

// Admission is the right to run one request: what it holds of the key's limits, and
// the lease on its place among those in flight. Settle or Cancel ends it; a long one
// tells by Use what it has used meanwhile. Safe for concurrent use.
type Admission struct {
	account *Account
	rated   bool // counted by rpm
	late    bool // what was taken of rates has flowed back

	// Guarded by account.mu.
	over     bool
	reserved Used                // taken at its beginning
	charged  Used                // taken for it so far
	held     [calendarCount]hold // of this, what calendars count
}

// hold is what an admission has taken in one period, and what of it is a reservation
// that it may not need.
type hold struct{ period, amount, open int64 }

// correct takes more of what is measured, or gives it back. Money and tokens of a
// period that is over cannot be given back; what is used now counts for the period
// of now. The caller holds account.mu.
func (ad *Admission) correct(by [measureCount]int64) {
	a := ad.account
	p := a.policy.Load()
	now := a.clock(a.registry.now().UnixNano())
	per := a.registry.calendar.at(now)
	var room [limitCount]claim
	claims := room[:0]
	for id := firstRate; id < firstCalendar; id++ {
		if d := by[limits[id].measure]; d != 0 && p.max[id] > 0 && (id != rpm || ad.rated) && (d > 0 || !ad.late) {
			claims = append(claims, claim{limit: id, max: p.max[id], amount: d})
		}
	}
	for id := firstCalendar; id < limitCount; id++ {
		d := by[limits[id].measure]
		if d == 0 {
			continue
		}
		h := &ad.held[id-firstCalendar]
		period, _ := per.of(limits[id].unit)
		if h.period != period {
			*h = hold{period: period}
		}
		d = max(d, -h.amount)
		h.amount += d
		claims = append(claims, claim{limit: id, amount: d, period: period})
	}
	if len(claims) > 0 {
		a.counters.settle(now, claims)
		a.markUnsaved()
	}
}

// charge makes u what the admission is charged; what is below 0 stays. The caller
// holds account.mu.
func (ad *Admission) charge(u Used) {
	var by [measureCount]int64
	if u.Tokens >= 0 {
		by[tokens], ad.charged.Tokens = u.Tokens-ad.charged.Tokens, u.Tokens
	}
	if u.Cost >= 0 {
		by[cost], ad.charged.Cost = u.Cost-ad.charged.Cost, u.Cost
	}
	ad.correct(by)
}

// Use charges a request that still runs with what it has used so far, from its
// beginning: what goes beyond the charge until now is taken at once, be it there or
// not, so that other requests of the key find it gone. Calls may come in any order;
// less than before changes nothing, and neither does a call after Settle or Cancel.
func (ad *Admission) Use(u Used) {
	a := ad.account
	a.mu.Lock()
	defer a.mu.Unlock()
	if ad.over {
		return
	}
	ad.keep(Used{max(ad.reserved.Tokens-u.Tokens, 0), max(ad.reserved.Cost-u.Cost, 0)})
	ad.charge(Used{max(u.Tokens, ad.charged.Tokens), max(u.Cost, ad.charged.Cost)})
}

// keep leaves so much of the reservation open and lets go of the rest. The caller holds
// account.mu.
func (ad *Admission) keep(open Used) {
	for i := range ad.held {
		h, id := &ad.held[i], firstCalendar+limitID(i)
		left := [measureCount]int64{tokens: open.Tokens, cost: open.Cost}[limits[id].measure]
		if h.open > left {
			ad.account.counters.letGo(id, h.period, h.open-left)
			h.open = left
		}
	}
}

// Charged is what is taken for the request until now.
func (ad *Admission) Charged() Used {
	ad.account.mu.Lock()
	defer ad.account.mu.Unlock()
	return ad.charged
}

// Settle ends an admission whose request was sent: it frees the place and
// corrects the charge, which is the reservation or what Use has made of it, to what
// was really used, in either direction. What is -1 is unknown and keeps its charge.
// Only the first call of Settle or Cancel counts.
func (ad *Admission) Settle(u Used) {
	a := ad.account
	a.mu.Lock()
	defer a.mu.Unlock()
	if ad.end() {
		ad.charge(u)
	}
}

// Cancel ends an admission whose request never went out: all is given back.
// Only the first call of Settle or Cancel counts.
func (ad *Admission) Cancel() {
	a := ad.account
	a.mu.Lock()
	defer a.mu.Unlock()
	if ad.end() {
		ad.correct([measureCount]int64{requests: -1, tokens: -ad.charged.Tokens, cost: -ad.charged.Cost})
		ad.charged = Used{}
	}
}

// end gives up the lease and reports whether this is the end. The caller holds
// account.mu.
func (ad *Admission) end() bool {
	if ad.over {
		return false
	}
	ad.over = true
	ad.keep(Used{})
	ad.account.counters.settle(0, []claim{{limit: concurrency, amount: -1}})
	return true
}
