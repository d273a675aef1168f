// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
	"github.com/gemini-balance/caddy-gemini-balance/settings"
)

// fault is a row of the matrix: what Google does to every attempt, and what a
// client then gets. Statuses are OpenAI's, then the native ones.
type fault struct {
	prompt   string
	unary    [2]int // status without streaming
	stream   [2]int // status of a stream; 200 with an in-band error where inBand is set
	inBand   bool   // the stream breaks after output
	attempts [2]int // at least, at most; not streamed
	rests    bool   // Google's answer is a verdict on keys or their quota
}

// The matrix. Source: specs/gateways.md U1, U2; specs/openai.md §13.4.
var faults = []fault{
	{"[[status 400]]", [2]int{400, 400}, [2]int{400, 400}, false, [2]int{1, 1}, false},
	{"[[status 401]]", [2]int{503, 503}, [2]int{503, 503}, false, [2]int{3, 3}, true},
	{"[[status 403]]", [2]int{404, 404}, [2]int{404, 404}, false, [2]int{3, 3}, true},
	{"[[status 404]]", [2]int{404, 404}, [2]int{404, 404}, false, [2]int{1, 2}, true},
	{"[[status 429]]", [2]int{429, 429}, [2]int{429, 429}, false, [2]int{1, 3}, true},
	{"[[retry 30s]]", [2]int{429, 429}, [2]int{429, 429}, false, [2]int{3, 3}, true},
	{"[[html 429]]", [2]int{503, 503}, [2]int{503, 503}, false, [2]int{1, 1}, true},
	{"[[status 500]]", [2]int{502, 500}, [2]int{502, 500}, false, [2]int{2, 2}, false},
	{"[[status 503]]", [2]int{503, 503}, [2]int{503, 503}, false, [2]int{3, 3}, false},
	{"[[status 504]]", [2]int{504, 504}, [2]int{504, 504}, false, [2]int{2, 3}, false},
	{"[[empty]]", [2]int{502, 503}, [2]int{502, 503}, false, [2]int{2, 3}, false},
	{"[[error200]]", [2]int{503, 503}, [2]int{503, 503}, false, [2]int{2, 3}, false},
	{"[[reset]]", [2]int{502, 500}, [2]int{502, 500}, false, [2]int{2, 3}, false},
	{"[[reset_headers]]", [2]int{502, 503}, [2]int{502, 503}, false, [2]int{2, 3}, false},
	{"[[length]]", [2]int{502, 500}, [2]int{502, 500}, false, [2]int{2, 3}, false},
	{"[[events 9]][[pace 9ms]][[reset_event 0]]", [2]int{502, 503}, [2]int{502, 503}, false, [2]int{2, 3}, false},
	{"[[events 9]][[pace 9ms]][[reset_event 4]]", [2]int{502, 503}, [2]int{200, 200}, true, [2]int{2, 3}, false},
	{"[[events 9]][[pace 9ms]][[cut 4]]", [2]int{502, 500}, [2]int{200, 200}, true, [2]int{1, 3}, false},
	{"[[events 9]][[pace 9ms]][[error_event 0]]", [2]int{200, 200}, [2]int{503, 503}, false, [2]int{1, 3}, false},
	{"[[events 9]][[pace 9ms]][[error_event 4]]", [2]int{200, 200}, [2]int{200, 200}, true, [2]int{1, 3}, false},
	{"[[events 9]][[pace 9ms]][[error_bare 4]]", [2]int{200, 200}, [2]int{200, 200}, true, [2]int{1, 3}, false},
	{"[[hang]]", [2]int{504, 504}, [2]int{504, 504}, false, [2]int{1, 2}, false},
	{"[[events 9]][[pace 9ms]][[silence 4]]", [2]int{504, 504}, [2]int{200, 200}, true, [2]int{1, 2}, false},
	{"[[finish MALFORMED_FUNCTION_CALL]][[say ]]", [2]int{502, 200}, [2]int{502, 200}, false, [2]int{1, 2}, false},
}

// ends reports whether it is a timeout that ends the fault.
func (f *fault) ends() bool {
	return strings.Contains(f.prompt, "[[hang") || strings.Contains(f.prompt, "[[silence")
}

// in runs a test in a world of three keys: a bubble where a timeout decides, else on a
// network, where connections can be reset, with timeouts that no slow machine meets.
func (f *fault) in(t *testing.T, run func(t *testing.T, w *world)) {
	if !f.ends() {
		run(t, newWorld(t, keys(3), func(c *Config) {
			c.Timeouts = Timeouts{FirstOutput: time.Minute, Idle: time.Minute, Total: 5 * time.Minute}
		}))
		return
	}
	synctest.Test(t, func(t *testing.T) {
		run(t, newBubble(t, keys(3), func(c *Config) {
			c.Timeouts = Timeouts{FirstOutput: 300 * time.Millisecond, Idle: 300 * time.Millisecond, Total: 10 * time.Second}
		}))
	})
}

// TestFaults runs every fault on every surface.
func TestFaults(t *testing.T) {
	for _, f := range faults {
		for _, s := range surfaces {
			t.Run(strings.ReplaceAll(f.prompt, "/", "_")+" "+s.name, func(t *testing.T) {
				t.Parallel()
				f.in(t, func(t *testing.T, w *world) { f.meet(t, w, s) })
			})
		}
	}
}

// meet asks a world for the fault.
func (f *fault) meet(t *testing.T, w *world, s surface) {
	t.Helper()
	patchWait(t, w, 0)
	start := time.Now()
	got := w.ask(s, f.prompt)
	if took := time.Since(start); f.ends() && took > 8*time.Second {
		t.Errorf("answered after %s; all timeouts together are less", took)
	}
	if got.err != nil {
		t.Fatalf("the client's connection broke: %v", got.err)
	}
	column := 1
	if s.openai {
		column = 0
	}
	want := f.unary[column]
	if s.stream {
		want = f.stream[column]
	}
	if got.status != want {
		t.Fatalf("status %d, want %d: %s", got.status, want, got.body)
	}
	if want != http.StatusOK {
		checkError(t, s, got)
	} else if s.stream && f.inBand {
		checkInBand(t, s, got)
	}
	if n := w.google.Count(); !s.stream && (n < f.attempts[0] || n > f.attempts[1]) {
		t.Errorf("%d attempts, want %v", n, f.attempts)
	}
	if rests := w.pool.Rests(10); !f.rests && len(rests) > 0 {
		t.Errorf("keys rest for what was not their fault: %+v", rests)
	}
	if states := w.pool.Stats().States; !f.rests && states[balancer.StateActive]+states[balancer.StateUntested] != 3 {
		t.Errorf("keys changed state for what was not their fault: %v", states)
	}
	if v := w.google.Violations(); len(v) > 0 {
		t.Errorf("violations: %+v", v)
	}
}

// checkError demands a whole error in the surface's dialect.
func checkError(t *testing.T, s surface, got answer) {
	t.Helper()
	if !strings.HasPrefix(got.header.Get("Content-Type"), "application/json") {
		t.Errorf("error of type %s: %s", got.header.Get("Content-Type"), got.body)
	}
	body := []byte(got.body)
	if s.openai {
		var e struct {
			Error struct {
				Message, Type string
				Param, Code   *string
			}
		}
		if err := json.Unmarshal(body, &e); err != nil || e.Error.Message == "" || e.Error.Type == "" {
			t.Errorf("not an OpenAI error (%v): %s", err, body)
		}
		return
	}
	type google struct {
		Error struct {
			Code            int
			Message, Status string
		}
	}
	var e google
	err := json.Unmarshal(body, &e)
	if s.array {
		var list []google
		if err = json.Unmarshal(body, &list); err == nil && len(list) == 1 {
			e = list[0]
		}
	}
	if err != nil || e.Error.Code != got.status || e.Error.Message == "" || e.Error.Status == "" {
		t.Errorf("not a Google error of %d (%v): %s", got.status, err, body)
	}
}

// checkInBand demands that a stream tells its break, and does not look complete.
func checkInBand(t *testing.T, s surface, got answer) {
	t.Helper()
	switch {
	case s.openai:
		if strings.Contains(got.body, "[DONE]") || strings.Contains(got.body, `"finish_reason":"`) {
			t.Errorf("a broken stream looks complete: %s", got.body)
		}
		events := strings.Split(strings.TrimSpace(got.body), "\n\n")
		last := strings.TrimPrefix(events[len(events)-1], "data: ")
		var e struct {
			Error *struct{ Message, Type string }
		}
		if err := json.Unmarshal([]byte(last), &e); err != nil || e.Error == nil || e.Error.Message == "" {
			t.Errorf("the last event is no error: %s", last)
		}
	case s.array:
		if strings.Contains(got.body, `"finishReason"`) {
			t.Errorf("a broken stream looks complete: %s", got.body)
		}
		var list []map[string]any
		if err := json.Unmarshal([]byte(got.body), &list); err != nil || len(list) == 0 || list[len(list)-1]["error"] == nil {
			t.Errorf("the array does not end in an error (%v): %s", err, got.body)
		}
	default:
		if strings.Contains(got.body, `"finishReason"`) {
			t.Errorf("a broken stream looks complete: %s", got.body)
		}
		i := strings.LastIndex(got.body, "\n{")
		var e struct{ Error struct{ Code int } }
		if i < 0 || json.Unmarshal([]byte(got.body[i:]), &e) != nil || e.Error.Code < 400 {
			t.Errorf("the stream does not end in a bare error object: %s", got.body)
		}
	}
}

// TestFaults_OtherKeyTakesOver: what one key's attempt meets, the next key's
// mends, and the client sees nothing of it.
func TestFaults_OtherKeyTakesOver(t *testing.T) {
	for _, f := range faults {
		if f.prompt == "[[status 400]]" || f.prompt == "[[html 429]]" || f.prompt == "[[status 404]]" || strings.Contains(f.prompt, "MALFORMED") {
			continue
		}
		for _, s := range surfaces {
			if f.inBand && s.stream {
				continue
			}
			t.Run(fmt.Sprint(f.prompt, " ", s.name), func(t *testing.T) {
				t.Parallel()
				f.in(t, func(t *testing.T, w *world) {
					w.google.Script(onceAs(f.prompt))
					got := w.ask(s, "[[say well]][[events 1]]")
					if got.err != nil || got.status != http.StatusOK || !strings.Contains(got.body, "well") || strings.Contains(got.body, `"error"`) {
						t.Fatalf("the client noticed: %d %v %s", got.status, got.err, got.body)
					}
				})
			})
		}
	}
}

// onceAs is a rule that makes the first attempt go as the directives say.
func onceAs(directives string) fakegemini.Rule {
	return fakegemini.Rule{Times: 1, Steer: fakegemini.ParseSteer(directives)}
}

// patchWait sets how long requests wait when all keys rest.
func patchWait(t testing.TB, w *world, wait time.Duration) {
	t.Helper()
	must(t, w.gw.Settings.Update(settings.Patch{"retry.wait": wait}))
}

// TestKeyStates: whatever is wrong with one key, the other serves and the client
// does not notice; with that key alone, the client gets an error that blames
// neither its request nor its own key.
func TestKeyStates(t *testing.T) {
	spent := fakegemini.Limits{RPD: -20}
	for _, tc := range []struct {
		name   string
		state  fakegemini.KeyState
		limits fakegemini.Limits
		alone  int
	}{
		{"invalid", fakegemini.KeyInvalid, fakegemini.Limits{}, 503},
		{"expired", fakegemini.KeyExpired, fakegemini.Limits{}, 503},
		{"suspended", fakegemini.KeySuspended, fakegemini.Limits{}, 503},
		{"leaked", fakegemini.KeyLeaked, fakegemini.Limits{}, 503},
		{"blocked", fakegemini.KeyBlocked, fakegemini.Limits{}, 503},
		{"referrer", fakegemini.KeyReferrer, fakegemini.Limits{}, 503},
		{"refused", fakegemini.KeyRefused, fakegemini.Limits{}, 503},
		{"API off", fakegemini.KeyAPIOff, fakegemini.Limits{}, 503},
		{"location", fakegemini.KeyLocation, fakegemini.Limits{}, 503},
		{"depleted", fakegemini.KeyDepleted, fakegemini.Limits{}, 429},
		{"day used up", "", spent, 429},
		{"not in the tier", "", fakegemini.Limits{RPM: -1}, 404},
	} {
		for _, s := range surfaces {
			t.Run(tc.name+" "+s.name, func(t *testing.T) {
				t.Parallel()
				bad := keys(2)
				bad.Keys[0].State = tc.state
				if tc.limits != (fakegemini.Limits{}) {
					bad.Projects = []fakegemini.Project{{Name: "p1", Limits: map[string]fakegemini.Limits{model: tc.limits}}}
				}
				w := newWorld(t, bad)
				for range 3 {
					if got := w.ask(s, "[[say well]][[events 1]]"); got.status != 200 || !strings.Contains(got.body, "well") {
						t.Fatalf("beside a good key: %d %s", got.status, got.body)
					}
				}
				bad.Keys = bad.Keys[:1]
				alone := newWorld(t, bad)
				patchWait(t, alone, 0)
				got := alone.ask(s, "hi")
				if got.status != tc.alone || strings.Contains(got.body, fakegemini.DemoKey(1)) {
					t.Errorf("alone: %d, want %d: %s", got.status, tc.alone, got.body)
				}
				checkError(t, s, got)
			})
		}
	}
}

// TestNoFaults: what is no fault passes on every surface, in any pieces.
func TestNoFaults(t *testing.T) {
	w := newWorld(t, keys(2))
	for _, s := range surfaces {
		for prompt, want := range map[string]string{
			"[[chunk 1]][[events 5]][[say abcdefghij]]": "ij",
			"[[delay 50ms]][[say late]][[events 1]]":    "late",
			"[[finish SAFETY]][[say start]]":            map[bool]string{true: "content_filter", false: "SAFETY"}[s.openai],
			"[[block SAFETY]]":                          map[bool]string{true: "content_filter", false: "blockReason"}[s.openai],
			"[[finish MAX_TOKENS]][[say start]]":        map[bool]string{true: "length", false: "MAX_TOKENS"}[s.openai],
		} {
			if got := w.ask(s, prompt); got.status != 200 || !strings.Contains(got.body, want) || strings.Contains(got.body, `"error":{`) {
				t.Errorf("%s %s: %d %s", s.name, prompt, got.status, got.body)
			}
		}
	}
	if rests := w.pool.Rests(10); len(rests) > 0 {
		t.Errorf("keys rest for content: %+v", rests)
	}
}
