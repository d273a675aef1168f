// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// ask sends a request with a key; an announced time stands for a refusal.
func ask(t *testing.T, p *Pool, secret string, wait time.Duration) {
	t.Helper()
	l := lease(t, p, Want{Bound: &Binding{KeyID: KeyID(secret)}})
	time.Sleep(50 * time.Millisecond)
	if wait > 0 {
		l.Done(refusal429(perMinuteID, 5, wait))
	} else {
		l.Done(ok)
	}
}

// together returns the secrets of those keys that the pool takes to share a
// project with the first.
func together(p *Pool, secrets ...string) (out []string) {
	p.lock()
	defer p.unlock()
	for _, s := range secrets[1:] {
		if p.byID[KeyID(s)].live.Load().project == p.byID[KeyID(secrets[0])].live.Load().project {
			out = append(out, s)
		}
	}
	return out
}

// leaves is the time until a request sent a while ago leaves Google's minute, as an
// answer says that took no time.
func leaves(ago time.Duration) time.Duration { return time.Minute - ago + 30*time.Millisecond }

// TestSeek_FirstRefusal: a refusal tells whose request leaves the minute next, so
// that kin is known before it was refused.
func TestSeek_FirstRefusal(t *testing.T) {
	for _, c := range []struct {
		name string
		ago  time.Duration // how long ago the request was sent that leaves
		want []string
	}{
		{"of another key", 20 * time.Second, []string{"b"}},
		{"of its own", 15 * time.Second, nil},
		{"of nobody", 17 * time.Second, nil},
		// b has one older, which would have to leave first
		{"of a stranger", 10 * time.Second, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := open(t, nil, 0)
				add(t, p, NewKey{Secret: "a"}, NewKey{Secret: "b"}, NewKey{Secret: "c"})
				start := time.Now().Add(7 * time.Second)
				for _, step := range []struct {
					at     time.Duration
					secret string
				}{{0, "b"}, {5 * time.Second, "a"}, {10 * time.Second, "b"}, {12 * time.Second, "c"}} {
					time.Sleep(time.Until(start.Add(step.at)))
					ask(t, p, step.secret, 0)
				}
				time.Sleep(time.Until(start.Add(20 * time.Second)))
				ask(t, p, "a", leaves(c.ago+50*time.Millisecond))
				if got := together(p, "a", "b", "c"); !slices.Equal(got, c.want) {
					t.Errorf("a shares a project with %q; want %q", got, c.want)
				}
			})
		})
	}
}

// TestSeek_Contradicted: a refusal that a guess cannot explain ends it at once, and
// each key keeps what it used.
func TestSeek_Contradicted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, nil, 0)
		add(t, p, NewKey{Secret: "a"}, NewKey{Secret: "b"}, NewKey{Secret: "c"})
		time.Sleep(7 * time.Second)
		ask(t, p, "c", 0)
		p.lock()
		a := p.byID[KeyID("a")].live.Load().project
		for _, s := range []string{"b", "c"} {
			p.join(a, p.byID[KeyID(s)].live.Load().project, time.Now())
		}
		p.unlock()
		time.Sleep(3 * time.Second)
		ask(t, p, "b", 0)
		time.Sleep(3 * time.Second)
		ask(t, p, "a", 0)
		time.Sleep(10 * time.Second)
		// Google says that the request of b leaves next: c's, older, is not of the project.
		ask(t, p, "a", leaves(13*time.Second+100*time.Millisecond))
		if got := together(p, "a", "b", "c"); !slices.Equal(got, []string{"b"}) {
			t.Errorf("a shares a project with %q; want b", got)
		}
		p.lock()
		defer p.unlock()
		for secret, want := range map[string]int64{"b": 2, "c": 1} {
			e := p.byID[KeyID(secret)]
			if got := p.quotaOf(e, (*p.models.Load())[flash], true).minute.requests; got != want {
				t.Errorf("the project of %s has %d requests in its minute; want %d", secret, got, want)
			}
		}
	})
}

// TestSeek_NoClock: keys of one project are refused until the same moment. Where
// that is a full minute by chance, Google's minutes do not follow the clock for it.
func TestSeek_NoClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, nil, 0)
		add(t, p, NewKey{Secret: "a"}, NewKey{Secret: "b"}, NewKey{Secret: "c"}, NewKey{Secret: "d"})
		end := time.Now().Truncate(time.Minute).Add(2 * time.Minute)
		time.Sleep(time.Until(end.Add(-time.Minute)))
		for _, secret := range []string{"d", "a", "b", "c"} {
			ask(t, p, secret, 0)
		}
		time.Sleep(40 * time.Second)
		for _, secret := range []string{"a", "b", "c"} {
			ask(t, p, secret, time.Until(end)-50*time.Millisecond)
		}
		if p.aligned() {
			t.Error("minutes are taken to follow the clock")
		}
	})
}
