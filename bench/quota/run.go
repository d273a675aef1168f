// SPDX-License-Identifier: Apache-2.0

package quota

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
)

// Options of a run.
type Options struct {
	Strategy string
	Seed     uint64
	Pause    bool // a pause in the middle, see pause
	Restart  bool // and a restart at its end
	Real     bool // real time and sockets
}

// Books are all that a run left.
type Books struct {
	Start   time.Time
	Samples []Sample
	Entries []fakegemini.Entry
	Google  fakegemini.Config
	Rested  int           // most keys, projects and their models that rested at a time
	CPU     time.Duration // user and system time of the process

	// Crossing is how long an answer, or a request, may be under way in a real
	// network; in virtual time nothing is.
	Crossing time.Duration
}

// books collects samples.
type books struct {
	Books
	mu sync.Mutex
}

func (b *books) add(s Sample) {
	s.Ended = time.Since(b.Start)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.Samples = append(b.Samples, s)
}

// Run runs a scenario once. Unless o.Real is set it must be called in a bubble of
// testing/synctest.
func Run(s *Scenario, o Options) (*Books, error) {
	if !o.Real {
		r := rand.New(rand.NewPCG(o.Seed, 2))
		time.Sleep(s.Begin + time.Duration(r.Int64N(int64(time.Minute)))) // no run begins with a minute of the clock
	}
	config := s.google(o.Seed)
	w, err := build(config, s.Wait, o.Strategy, o.Real)
	if err != nil {
		return nil, err
	}
	defer w.close()
	b := &books{Books: Books{Start: time.Now(), Google: config}}
	if o.Real {
		b.Crossing = 20 * time.Millisecond
	}
	if s.Rules != nil {
		w.google.Script(s.Rules(b.Start)...)
	}
	ended := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() { b.watch(w, ended) })
	for _, e := range s.Events {
		stop := time.AfterFunc(e.At, func() { w.google.SetKeyState(fakegemini.DemoKey(e.Key), e.State) })
		defer stop.Stop()
	}
	if s.Lanes > 0 {
		err = s.converse(w, b, o)
	} else {
		err = s.play(w, b, o)
	}
	close(ended)
	watching.Wait()
	b.Entries = w.google.Entries()
	return &b.Books, err
}

// play sends the arrivals at their times, whatever became of those before.
func (s *Scenario) play(w *world, b *books, o Options) error {
	restart := b.Start.Add(s.Length/2 + pause)
	var clients sync.WaitGroup
	defer clients.Wait()
	for n, a := range s.arrivals(o.Seed, o.Pause) {
		if o.Restart && b.Start.Add(a.At).After(restart) {
			time.Sleep(time.Until(restart))
			if err := w.restart(); err != nil {
				return err
			}
			o.Restart = false
		}
		time.Sleep(time.Until(b.Start.Add(a.At)))
		clients.Go(func() { b.add(w.ask(a, n, s.Stream, nil)) })
	}
	return nil
}

// watch counts, every second, the keys, projects and their models that rest.
func (b *books) watch(w *world, ended chan struct{}) {
	for {
		select {
		case <-ended:
			return
		case <-time.After(time.Second):
		}
		n := 0
		for _, r := range w.pool.Load().Rests(1000) {
			if r.Scope != "model" && r.Scope != "route" {
				n++
			}
		}
		b.Rested = max(b.Rested, n)
	}
}

// turns is how often a conversation goes to and fro.
const turns = 12

// converse keeps lanes of conversations going, each of which grows by every
// answer: a pause for thought, a question, an answer.
func (s *Scenario) converse(w *world, b *books, o Options) (err error) {
	var lanes sync.WaitGroup
	if o.Restart {
		var failed error
		lanes.Go(func() {
			time.Sleep(time.Until(b.Start.Add(s.Length/2 + pause)))
			failed = w.restart()
		})
		defer func() { err = errors.Join(err, failed) }()
	}
	defer lanes.Wait()
	for lane := range s.Lanes {
		lanes.Go(func() {
			r := rand.New(rand.NewPCG(o.Seed, uint64(100+lane)))
			var history []message
			for turn := 0; ; turn++ {
				time.Sleep(time.Duration(r.ExpFloat64() * float64(s.Loads[0].gap(s.Lanes))))
				if at := time.Since(b.Start); o.Pause && at > s.Length/2 && at < s.Length/2+pause {
					time.Sleep(s.Length/2 + pause - at + time.Duration(r.Int64N(int64(10*time.Second))))
				}
				if time.Since(b.Start) > s.Length {
					return
				}
				if turn%turns == 0 {
					history = []message{{"system", fmt.Sprintf("You are assistant %d of lane %d. %s", turn/turns, lane, prompt(lane, 1500))}}
				}
				n := lane*100_000 + turn
				a := Arrival{At: time.Since(b.Start), Model: s.Loads[0].Model, Prompt: prompt(n, 60)}
				got := w.ask(a, n, s.Stream, history)
				b.add(got)
				if got.Served() {
					history = append(history, message{"user", a.Prompt}, message{"assistant", got.Text})
				}
			}
		})
	}
	return nil
}

// gap is the pause for thought that makes lanes of conversations a load.
func (l Load) gap(lanes int) time.Duration {
	return time.Duration(float64(lanes) / l.Rate * float64(time.Second))
}
