// SPDX-License-Identifier: Apache-2.0

package quota

import (
	"cmp"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
)

// Figures are what a run comes to. Shares are from 0 to 1, times in seconds; NaN
// stands for "does not apply" and is null in JSON.
type Figures struct {
	Requests int `json:"requests"`
	Answers  int `json:"answers"`
	Bound0   int `json:"bound0"` // most answers of a scheduler that serves at once
	BoundW   int `json:"boundw"` // … that may hold a request for 10 s

	Yield0     figure `json:"yield0"`
	YieldW     figure `json:"yieldw"`
	WorstPhase figure `json:"worst_phase"` // least yield0 of the phases

	Limited figure `json:"errors_429"`
	Errors  figure `json:"errors_other"` // of any other status, and 200s that failed without Google's doing
	Broken  figure `json:"broken"`       // answers that Google broke off after output; nobody could save them
	Shammed figure `json:"shammed"`      // answers that look complete and are not

	Attempts     figure `json:"attempts"`      // upstream, per answer
	Early        figure `json:"early"`         // before an announced time, and refused again
	EarlySibling figure `json:"early_sibling"` // most of these on one project, with another key of it than the refused one
	DayMost      figure `json:"day_most"`      // most attempts on one used-up day
	BadMost      figure `json:"bad_most"`      // most attempts on one dead key
	BadLast      figure `json:"bad_last"`      // when the last one was
	MissingMost  figure `json:"missing_most"`  // most attempts on one key × model that it lacks
	Rested       figure `json:"rested"`        // most keys, projects and their models that rested at a time

	Wait50     figure `json:"wait_p50"` // from a request's arrival to the attempt that served it
	Wait95     figure `json:"wait_p95"`
	Refusal95  figure `json:"refusal_p95"`     // from arrival to a 429 or 503
	After50    figure `json:"retry_after_p50"` // how far Retry-After is from the true time, either way
	After95    figure `json:"retry_after_p95"`
	Unannounce figure `json:"retry_after_missing"` // 429s without one

	Cached    figure `json:"cached"`     // relative to one project for each conversation
	SlowShare figure `json:"slow_share"` // of a slow key, relative to its fair share

	ByStatus map[string]int `json:"by_status"`
	Micros   figure         `json:"micros"` // CPU per request, of client, gateway and Google together
}

// figure is a number that may be missing.
type figure float64

var missing = figure(math.NaN())

// MarshalJSON implements [json.Marshaler].
func (f figure) MarshalJSON() ([]byte, error) {
	if math.IsNaN(float64(f)) || math.IsInf(float64(f), 0) {
		return []byte("null"), nil
	}
	return []byte(strconv.FormatFloat(math.Round(float64(f)*1e4)/1e4, 'f', -1, 64)), nil
}

// longHold is the wait that yieldW allows the bound.
const longHold = 10 * time.Second

// Measure evaluates the books of a run.
func (s *Scenario) Measure(b *Books) Figures {
	slices.SortFunc(b.Samples, func(x, y Sample) int { return cmp.Compare(x.At, y.At) })
	f := Figures{Requests: len(b.Samples), ByStatus: map[string]int{}}
	s.yields(b, &f)
	s.errors(b, &f)
	s.attempts(b, &f)
	s.bad(b, &f)
	s.times(b, &f)
	s.truth(b, &f)
	s.shares(b, &f)
	f.Rested = figure(b.Rested)
	f.Micros = ratio(float64(b.CPU.Microseconds()), float64(f.Requests))
	return f
}

func ratio(a, b float64) figure {
	if b == 0 {
		return missing
	}
	return figure(a / b)
}

// yields compares with the bound. Requests count when they get to Google, which
// Uplink delays by different times; the bound may use the longest for each, and
// so stays one.
func (s *Scenario) yields(b *Books, f *Figures) {
	slack := b.Google.Latency.MaxUplink()
	arrivals := make([]Arrival, len(b.Samples))
	for i := range b.Samples {
		arrivals[i] = b.Samples[i].Arrival
		if b.Samples[i].Served() {
			f.Answers++
		}
	}
	broken := 0 // by Google, after output: no scheduler could have saved them
	for i := range b.Samples {
		if b.Samples[i].Failed {
			broken++
		}
	}
	f.Bound0, f.BoundW = s.bound(arrivals, slack, b.Start), s.bound(arrivals, longHold+slack, b.Start)
	if s.Rules != nil && s.Stream {
		f.Bound0, f.BoundW = min(f.Bound0, f.Requests-broken), min(f.BoundW, f.Requests-broken)
	}
	f.Yield0, f.YieldW = ratio(float64(f.Answers), float64(f.Bound0)), ratio(float64(f.Answers), float64(f.BoundW))
	f.WorstPhase = missing
	if len(s.Phases) == 0 {
		return
	}
	f.WorstPhase = 1
	from := time.Duration(0)
	for _, until := range s.Phases {
		n, served := 0, 0
		for i := range b.Samples {
			if v := &b.Samples[i]; v.At >= from && v.At < until {
				n++
				if v.Served() {
					served++
				}
			}
		}
		f.WorstPhase = min(f.WorstPhase, ratio(float64(served), float64(n)))
		from = until
	}
}

func (s *Scenario) errors(b *Books, f *Figures) {
	for i := range b.Samples {
		v := &b.Samples[i]
		switch {
		case v.Served():
		case v.Status == http.StatusOK && v.Complete:
			f.ByStatus["shammed"]++
			f.Shammed++
		case v.Status == http.StatusOK && s.Stream && s.Rules != nil:
			f.ByStatus["broken"]++
			f.Broken++
		case v.Status == http.StatusTooManyRequests:
			f.ByStatus["429"]++
			f.Limited++
		default:
			f.ByStatus[strconv.Itoa(v.Status)]++
			f.Errors++
		}
	}
}

type projectModel struct{ project, model string }

// refusal is what a client of Google knows of a (project, model) from then on.
type refusal struct {
	at, until time.Time
	key       string
}

// attempts counts what was sent, and what of it should not have been: to a
// project and model before the time that an answer, already received, announced.
// Where tokens are the limit a smaller request may pass earlier; so only those
// that were refused again count.
func (s *Scenario) attempts(b *Books, f *Figures) {
	told := map[projectModel][]refusal{}
	sent := 0
	type day struct {
		projectModel
		ends time.Time
	}
	days := map[day]int{}
	siblings := map[projectModel]int{}
	for i := range b.Entries {
		e := &b.Entries[i]
		if !e.Attempt {
			continue
		}
		sent++
		pm := projectModel{e.Project, e.Model}
		if e.Until.IsZero() {
			continue
		}
		if strings.Contains(e.Note, "PerDay") {
			days[day{pm, e.Until}]++
		}
		early, sibling := false, true
		for _, r := range told[pm] {
			if r.at.Add(b.Crossing).Before(e.At) && e.At.Before(r.until) {
				early, sibling = true, sibling && r.key != e.Key
			}
		}
		if early {
			f.Early++
			if sibling {
				siblings[pm]++
				f.EarlySibling = most(f.EarlySibling, figure(siblings[pm]))
			}
		}
		told[pm] = append(told[pm], refusal{e.End, e.Until, e.Key})
	}
	f.Attempts = ratio(float64(sent), float64(f.Answers))
	f.DayMost = missing
	for _, n := range days {
		f.DayMost = most(f.DayMost, figure(n))
	}
}

// most is the larger one; a missing figure is less than any.
func most(a, b figure) figure {
	if math.IsNaN(float64(a)) {
		return b
	}
	return max(a, b)
}

// bad counts attempts with keys that can never serve, and for models that a key
// does not have.
func (s *Scenario) bad(b *Books, f *Figures) {
	f.BadMost, f.BadLast, f.MissingMost = missing, missing, missing
	since := map[string]time.Time{} // keys that were bad at some time
	for _, k := range b.Google.Keys {
		if k.State != fakegemini.KeyOK {
			since[k.Secret] = b.Start
		}
	}
	for _, e := range s.Events {
		since[fakegemini.DemoKey(e.Key)] = b.Start.Add(e.At)
	}
	if len(since) > 0 {
		f.BadMost, f.BadLast = 0, 0
	}
	for _, p := range b.Google.Projects {
		if p.Models != nil {
			f.MissingMost = 0
		}
	}
	dead := map[string]int{}
	lacks := map[projectModel]int{} // by key
	for i := range b.Entries {
		e := &b.Entries[i]
		if strings.HasPrefix(e.Note, "key: ") {
			dead[e.Key]++
			f.BadMost = most(f.BadMost, figure(dead[e.Key]))
			f.BadLast = most(f.BadLast, figure(e.At.Sub(since[e.Key]).Seconds()))
		}
		if e.Status == http.StatusNotFound {
			km := projectModel{e.Key, e.Model}
			lacks[km]++
			f.MissingMost = most(f.MissingMost, figure(lacks[km]))
		}
	}
}

// times measures how long clients waited for what.
func (s *Scenario) times(b *Books, f *Figures) {
	served := b.sent()
	var waits, refusals []float64
	for i := range b.Samples {
		v := &b.Samples[i]
		switch at, ok := served[id(v.N)]; {
		case v.Served() && ok:
			waits = append(waits, at.Sub(b.Start.Add(v.At)).Seconds())
		case v.Status == http.StatusTooManyRequests || v.Status == http.StatusServiceUnavailable:
			refusals = append(refusals, (v.Ended - v.At).Seconds())
		}
	}
	f.Wait50, f.Wait95 = quantile(waits, .5), quantile(waits, .95)
	f.Refusal95 = quantile(refusals, .95)
}

// sent tells when the attempt that served a request was sent.
func (b *Books) sent() map[string]time.Time {
	out := map[string]time.Time{}
	for i := range b.Entries {
		if e := &b.Entries[i]; e.Charged {
			name, _, _ := strings.Cut(e.Prompt, " ")
			out[name] = e.At
		}
	}
	return out
}

func quantile(list []float64, q float64) figure {
	if len(list) == 0 {
		return missing
	}
	slices.Sort(list)
	return figure(list[min(len(list)-1, int(q*float64(len(list))))])
}

// shares measures what conversations had cached, and what slow keys carried.
func (s *Scenario) shares(b *Books, f *Figures) {
	slow := map[string]bool{}
	good := 0
	for _, k := range b.Google.Keys {
		if k.State == fakegemini.KeyOK {
			good++
			if k.Slow > 1 {
				slow[k.Secret] = true
			}
		}
	}
	var cached, cacheable, onSlow, onAll int64
	for i := range b.Entries {
		e := &b.Entries[i]
		if !e.Charged {
			continue
		}
		cached += e.Cached
		cacheable += e.Cacheable
		onAll++
		if slow[e.Key] {
			onSlow++
		}
	}
	f.Cached = ratio(float64(cached), float64(cacheable))
	f.SlowShare = ratio(float64(onSlow)*float64(good), float64(onAll)*float64(len(slow)))
}
