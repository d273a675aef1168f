// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
)

// crowd is a pool of keys that belong to projects as of tells, which the pool is
// not told, over a Google with ten requests a minute for each.
type crowd struct {
	p  *Pool
	g  *google
	of map[string]string // project by key id
	r  *rand.Rand
}

func newCrowd(t *testing.T, s *memory.Store, projects, keys int) *crowd {
	c := &crowd{
		p: open(t, s, 0), of: map[string]string{}, r: rand.New(rand.NewPCG(9, 9)),
		g: &google{
			t: t, limits: map[string]caps{}, taken: map[string][]charge{},
			told: map[string]map[string]time.Time{}, refused: map[string][2]time.Time{},
		},
	}
	if err := c.p.SetStrategy("adaptive"); err != nil {
		t.Fatal(err)
	}
	for i := range projects {
		name := fmt.Sprint("p", i)
		c.g.limits[name+"/"+flash] = caps{rpm: 10}
		for k := range keys {
			secret := fmt.Sprintf("k-%d-%d", i, k)
			add(t, c.p, NewKey{Secret: secret})
			c.of[KeyID(secret)] = name
		}
	}
	return c
}

// run sends so many requests a minute for a while, and outside ones besides the
// pool for each project. Answers take a while, so that keys are busy side by side.
func (c *crowd) run(t *testing.T, minutes int, perMinute, outside float64) (refusals int) {
	projects := len(c.g.limits)
	end := time.Now().Add(time.Duration(minutes) * time.Minute)
	next := time.Now()
	for time.Now().Before(end) {
		rate := perMinute + outside*float64(projects)
		next = next.Add(time.Duration(c.r.ExpFloat64() * float64(time.Minute) / rate))
		time.Sleep(time.Until(next))
		if c.r.Float64()*rate < outside*float64(projects) {
			id := fmt.Sprint("p", c.r.IntN(projects), "/", flash)
			if !c.g.full(id) {
				c.g.taken[id] = append(c.g.taken[id], charge{time.Now(), 0})
			}
			continue
		}
		w := Want{Model: flash, Tried: new(Tried)}
		for range 3 {
			l, err := c.p.Lease(t.Context(), w)
			if err != nil {
				break
			}
			c.g.mu.Lock()
			clear(c.g.refused) // who shares is not known yet: early attempts are no fault
			c.g.mu.Unlock()
			o := c.g.asks(c.of[l.KeyID()], flash, 0)
			if o.Verdict == OK {
				l.Accepted()
				took := time.Duration(c.r.IntN(2)+1) * time.Second
				go func() {
					time.Sleep(took)
					l.Done(o)
				}()
				break
			}
			refusals++
			time.Sleep(50 * time.Millisecond)
			l.Done(o)
		}
	}
	time.Sleep(5 * time.Second)
	return refusals
}

// full reports whether a project's minute is.
func (g *google) full(id string) bool {
	n := int64(0)
	for _, c := range g.taken[id] {
		if g.ends(c.at).After(time.Now()) {
			n++
		}
	}
	return n >= g.limits[id].rpm
}

// groups returns how many pairs of keys share a project by the pool's guess: of
// those that do, and of those that do not.
func (c *crowd) groups() (right, wrong, pairs int) {
	byProject := map[string][]string{}
	for id := range c.of {
		c.p.mu.Lock()
		project := c.p.byID[id].live.Load().project.id
		c.p.mu.Unlock()
		byProject[project] = append(byProject[project], id)
	}
	for _, ids := range byProject {
		for i, a := range ids {
			for _, b := range ids[:i] {
				if c.of[a] == c.of[b] {
					right++
				} else {
					wrong++
				}
			}
		}
	}
	count := map[string]int{}
	for _, project := range c.of {
		pairs += count[project]
		count[project]++
	}
	return right, wrong, pairs
}

// TestKin_Siblings: three keys of each project are found, kept over a restart, and
// tested anew after a day.
func TestKin_Siblings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		c := newCrowd(t, s, 4, 3)
		c.run(t, 10, 44, 0)
		right, wrong, pairs := c.groups()
		t.Logf("%d of %d pairs found, %d wrong ones", right, pairs, wrong)
		if right < pairs*3/4 || wrong > 0 {
			t.Errorf("%d of %d pairs found, %d wrong ones", right, pairs, wrong)
		}
		if err := c.p.Flush(); err != nil {
			t.Fatal(err)
		}
		c.p = open(t, s, 0)
		again, wrong, _ := c.groups()
		if again != right || wrong != 0 {
			t.Errorf("%d pairs after a restart, %d wrong ones", again, wrong)
		}
		check(t, c.p, time.Now())
		time.Sleep(kinFor)
		c.p.lock()
		for _, q := range c.p.projects {
			c.p.part(q, false, time.Now())
		}
		c.p.unlock()
		if right, wrong, _ := c.groups(); right != 0 || wrong != 0 {
			t.Errorf("after a day %d pairs are held, %d wrong ones", right, wrong)
		}
	})
}

// TestKin_Strangers: keys that share nothing, but are used from outside, too, are
// seldom joined, and not for long: a trial refutes it. What it costs is bounded by
// how many answers the pool gives.
func TestKin_Strangers(t *testing.T) {
	for _, c := range []struct {
		name     string
		load     float64 // requests a minute of the pool, of 200
		mostMean float64 // wrong pairs at a time, of 190
	}{
		// In one run of thirty a wrong pair is held for two hours, because hardly anything
		// refutes it, which alone is a mean of 0.75; three of them at once are not seen.
		{"half full", 60, 2},
		{"nearly full", 110, 3},
		{"more than there is", 160, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				crowd := newCrowd(t, memory.New(), 20, 1)
				sum, looks, refusals := 0, 60, 0
				if testing.Short() {
					looks = 10
				}
				for range looks {
					refusals += crowd.run(t, 3, c.load, 4)
					_, wrong, _ := crowd.groups()
					sum += wrong
				}
				mean := float64(sum) / float64(looks)
				t.Logf("%.2f pairs of 190 are wrong at a time; %d refusals", mean, refusals)
				if mean > c.mostMean {
					t.Errorf("%.2f pairs are wrong at a time", mean)
				}
			})
		})
	}
}

// TestKin_Named: what the operator says of projects is never guessed at.
func TestKin_Named(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, nil, 0)
		add(t, p, NewKey{Secret: "a", Project: "x"}, NewKey{Secret: "b", Project: "y"}, NewKey{Secret: "c"})
		for range 3 {
			for _, secret := range []string{"a", "b", "c"} {
				l, err := p.Lease(t.Context(), Want{Model: flash, Bound: &Binding{KeyID: KeyID(secret)}})
				if err != nil {
					continue
				}
				l.Done(refusal429(perMinuteID, 10, time.Until(noon.Add(300*24*time.Hour).Truncate(time.Minute))%time.Minute+7*time.Second))
			}
			time.Sleep(2 * time.Minute)
		}
		for secret, want := range map[string]string{"a": "x", "b": "y", "c": KeyID("c")} {
			if got := p.byID[KeyID(secret)].live.Load().project.id; got != want {
				t.Errorf("%s is in %s; want %s", secret, got, want)
			}
		}
	})
}

// TestKin_ClockMinutes: where minutes follow the clock, all are refused until the
// same moment; that makes no kin.
func TestKin_ClockMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, memory.New(), 10, 1)
		c.g.aligned = true
		c.run(t, 20, 95, 3)
		if _, wrong, _ := c.groups(); wrong > 0 {
			t.Errorf("%d pairs are wrong", wrong)
		}
	})
}
