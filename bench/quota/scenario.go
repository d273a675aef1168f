// SPDX-License-Identifier: Apache-2.0

// Package quota measures how much of a pool's quota the gateway gets out, and at
// what price in needless errors and attempts. It drives the real gateway over a
// simulated Google with exact books, in virtual time (testing/synctest), with an
// open-loop Poisson load, and compares with an exact upper bound for the same
// arrivals. `make bench-quota` runs it; README.md has the results.
package quota

import (
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
)

// The models that are asked for.
const (
	modelA = "gemini-3-flash-preview"
	modelB = "gemini-2.5-flash"
)

// Scenario is one situation.
type Scenario struct {
	Name     string
	About    string
	Projects []Project
	Loads    []Load
	Length   time.Duration // of the load; 0 = 15 min
	Wait     time.Duration // retry.wait of the gateway
	Aligned  bool          // Google's minutes follow the clock
	Stream   bool          // clients ask for streams
	Size     Size          // of prompts
	Lanes    int           // conversations at a time, instead of Loads
	Rules    func(start time.Time) []fakegemini.Rule
	Events   []Event
	Begin    time.Duration   // after midnight UTC, which the virtual clock begins at; 0 = at some second of the first minute
	Phases   []time.Duration // ends of the phases whose yields are told apart
	Bars     []Bar
}

// Project is a project with its keys. Limits hold for every model that ByModel
// does not name.
type Project struct {
	Keys    []fakegemini.Key // Secret and Project are filled in
	Limits  fakegemini.Limits
	ByModel map[string]fakegemini.Limits
	Models  []string // nil = all
	Paid    bool
}

// Event is what happens to a key in the middle, by its number from 1.
type Event struct {
	At    time.Duration
	Key   int
	State fakegemini.KeyState
}

// Load is a Poisson stream of requests to one model.
type Load struct {
	Model       string
	Rate        float64 // requests per second
	From, Until time.Duration
}

// Size is the lognormal size of prompts in tokens. The zero value is 12 tokens.
type Size struct {
	Median float64
	Sigma  float64
	Max    float64
}

func (s Size) draw(r *rand.Rand) int {
	if s.Median == 0 {
		return 12
	}
	return int(max(12, min(s.Max, s.Median*math.Exp(s.Sigma*r.NormFloat64()))))
}

// Arrival is one request of a client.
type Arrival struct {
	At     time.Duration // since the start
	Model  string
	Prompt string
	Tokens int64
}

// pause is a silence in the middle of the load, long enough for what waits to
// be over: a restart happens at its end, and the figures are compared with those
// of the same load and pause without a restart.
const pause = 16 * time.Second

// arrivals draws the load.
func (s *Scenario) arrivals(seed uint64, paused bool) []Arrival {
	r := rand.New(rand.NewPCG(seed, 1))
	var out []Arrival
	for _, l := range s.Loads {
		end := l.Until
		if end == 0 {
			end = s.Length
		}
		for at := l.From; ; {
			at += time.Duration(r.ExpFloat64() / l.Rate * float64(time.Second))
			if at >= end {
				break
			}
			out = append(out, Arrival{At: at, Model: l.Model})
		}
	}
	sortArrivals(out)
	for i := range out {
		a := &out[i]
		a.Prompt = prompt(i, s.Size.draw(r))
		a.Tokens = tokens(a.Prompt)
		if paused && a.At > s.Length/2 {
			a.At += pause
		}
	}
	return out
}

// prompt is a text of so many tokens that names its request at both ends: the
// simulated model repeats it, which tells whether an answer is whole.
func prompt(n, size int) string {
	head, tail := id(n)+" ", mark(n)
	return head + strings.Repeat("word ", max(0, 4*size-len(head)-len(tail))/5) + tail
}

func id(n int) string   { return "r" + strconv.Itoa(n) }
func mark(n int) string { return "end-of-r" + strconv.Itoa(n) + "." }

// tokens is how the simulated Google counts a text.
func tokens(text string) int64 { return int64(len(text)+3) / 4 }

// fleet makes n projects with a key each.
func fleet(n int, l fakegemini.Limits) []Project {
	out := make([]Project, n)
	for i := range out {
		out[i] = Project{Keys: make([]fakegemini.Key, 1), Limits: l}
	}
	return out
}

func rpm(n int64) fakegemini.Limits { return fakegemini.Limits{RPM: n} }

// limits of a model, and whether any key of the project can use it at all.
func (p *Project) limits(model string) (l fakegemini.Limits, ok bool) {
	l, named := p.ByModel[model]
	if !named {
		l = p.Limits
	}
	if l.RPD < 0 || p.Models != nil && !slices.Contains(p.Models, model) {
		return l, false
	}
	for _, k := range p.Keys {
		if k.State == fakegemini.KeyOK {
			return l, true
		}
	}
	return l, false
}

// capacity is the sum of what the projects serve of a model in a minute.
func (s *Scenario) capacity(model string) (requests, tokens float64) {
	for i := range s.Projects {
		if l, ok := s.Projects[i].limits(model); ok {
			requests += float64(l.RPM)
			tokens += float64(l.TPM)
		}
	}
	return requests, tokens
}

// loaded adds a load on a model of a share of its capacity in requests.
func (s Scenario) loaded(model string, share float64) Scenario {
	requests, _ := s.capacity(model)
	s.Loads = append(s.Loads, Load{Model: model, Rate: share * requests / 60})
	return s
}

// google is the simulated Google of a scenario.
func (s *Scenario) google(seed uint64) fakegemini.Config {
	c := fakegemini.Config{
		Aligned: s.Aligned, Seed: seed, Brief: true,
		Latency: fakegemini.Latency{Uplink: 30 * time.Millisecond, Refusal: 50 * time.Millisecond, Output: 1200 * time.Millisecond, Sigma: 0.5},
	}
	if s.Lanes > 0 {
		c.ImplicitCache = 1024
	}
	n := 0
	for i := range s.Projects {
		p := &s.Projects[i]
		name := projectName(i)
		q := fakegemini.Project{Name: name, Models: p.Models, Paid: p.Paid, Limits: map[string]fakegemini.Limits{}}
		for _, m := range []string{modelA, modelB} {
			l, named := p.ByModel[m]
			if !named {
				l = p.Limits
			}
			q.Limits[m] = l
		}
		c.Projects = append(c.Projects, q)
		for _, k := range p.Keys {
			n++
			k.Secret, k.Project = fakegemini.DemoKey(n), name
			c.Keys = append(c.Keys, k)
		}
	}
	return c
}

func projectName(i int) string { return "p" + strconv.Itoa(i) }

// mean is the mean of many draws.
func (s Size) mean() float64 {
	r := rand.New(rand.NewPCG(1, 1))
	sum := 0
	for range 20_000 {
		sum += s.draw(r)
	}
	return float64(sum) / 20_000
}
