// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/gemini-balance/caddy-gemini-balance/settings"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newJobs are jobs and the hub they tell.
func newJobs(t *testing.T) (*jobs, *hub) {
	t.Helper()
	js, h := new(jobs), new(hub)
	h.init()
	js.init(time.Now, h)
	return js, h
}

func (js *jobs) mustStart(t *testing.T, spec jobSpec, run func(context.Context, *job) error) *job {
	t.Helper()
	j, _, err := js.add(spec, run)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// untilCancelled is the work of a job that ends only when it is told to.
func untilCancelled(ctx context.Context, _ *job) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestJobs_Ends(t *testing.T) {
	for name, test := range map[string]struct {
		run   func(ctx context.Context, j *job) error
		state jobState
		err   string
	}{
		"done":           {func(context.Context, *job) error { return nil }, jobDone, ""},
		"failed":         {func(context.Context, *job) error { return errors.New("no upstream") }, jobFailed, "no upstream"},
		"panic":          {func(context.Context, *job) error { panic("AIza-secret") }, jobFailed, "a fault of the gateway"},
		"cancelled":      {func(ctx context.Context, j *job) error { j.cancel(); return untilCancelled(ctx, j) }, jobCancelled, ""},
		"done before it": {func(_ context.Context, j *job) error { j.cancel(); return nil }, jobDone, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				js, _ := newJobs(t)
				j := js.mustStart(t, jobSpec{kind: "bulk", name: "n", total: 4}, test.run)
				js.workers.Wait()
				v := j.view()
				if v.State != test.state || !strings.Contains(v.Error, test.err) || strings.Contains(v.Error, "AIza") || v.Ended == nil {
					t.Errorf("%+v", v)
				}
				js.close()
			})
		})
	}
}

func TestJobs_FiguresAndTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		js, _ := newJobs(t)
		defer js.close()
		j := js.mustStart(t, jobSpec{kind: "import", total: 100}, func(ctx context.Context, j *job) error {
			time.Sleep(10 * time.Second)
			j.done(20)
			j.count("added", 15)
			j.count("added", 3)
			j.count("duplicate", 2)
			<-ctx.Done()
			return ctx.Err()
		})
		time.Sleep(20 * time.Second)
		v := j.view()
		if v.Done != 20 || v.Counts["added"] != 18 || v.Counts["duplicate"] != 2 || v.Rate != 1 || v.Left == nil || *v.Left != 80_000 {
			t.Errorf("%+v, left %v", v, v.Left)
		}
		j.expect(0)
		if v := j.view(); v.Left != nil {
			t.Errorf("left %d although nobody knows", *v.Left)
		}
	})
}

// TestJobs_AreBounded: a few run, some wait, more are refused; a waiting one can be
// cancelled before it runs.
func TestJobs_AreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		js, _ := newJobs(t)
		var all []*job
		for range maxRunningJobs + maxWaitingJobs {
			all = append(all, js.mustStart(t, jobSpec{kind: "bulk"}, untilCancelled))
		}
		if _, _, err := js.add(jobSpec{kind: "bulk"}, untilCancelled); asProblem(err).Code != "too_many_jobs" {
			t.Errorf("one more: %v", err)
		}
		synctest.Wait()
		if got := all[maxRunningJobs].view().State; got != jobQueued {
			t.Errorf("the next is %s", got)
		}
		waiting := all[maxRunningJobs]
		if _, err := js.cancelled(waiting.id); err != nil || waiting.view().State != jobCancelled {
			t.Errorf("cancelled while it waited: %s, %v", waiting.view().State, err)
		}
		if _, err := js.cancelled(all[0].id); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if all[0].view().State != jobCancelled || all[maxRunningJobs+1].view().State != jobRunning {
			t.Errorf("after a cancel: %s, and the next %s", all[0].view().State, all[maxRunningJobs+1].view().State)
		}
		js.close()
		for _, j := range all {
			if state := j.view().State; state != jobCancelled {
				t.Errorf("after the end: %s", state)
			}
		}
		if _, _, err := js.add(jobSpec{}, untilCancelled); err == nil {
			t.Error("a job was begun after the end")
		}
	})
}

func TestJobs_ExclusiveAttaches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		js, _ := newJobs(t)
		defer js.close()
		spec := jobSpec{kind: "validate", exclusive: true}
		first := js.mustStart(t, spec, untilCancelled)
		if second := js.mustStart(t, spec, untilCancelled); second != first {
			t.Error("a second one was begun")
		}
		if other := js.mustStart(t, jobSpec{kind: "import", exclusive: true}, untilCancelled); other == first {
			t.Error("another kind was attached")
		}
		_, _ = js.cancelled(first.id)
		synctest.Wait()
		if third := js.mustStart(t, spec, untilCancelled); third == first {
			t.Error("attached to one that has ended")
		}
	})
}

func TestJobs_AreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		js, _ := newJobs(t)
		defer js.close()
		quick := func(context.Context, *job) error { return nil }
		for range maxFinishedJobs + 10 {
			js.mustStart(t, jobSpec{kind: "bulk"}, quick)
			js.workers.Wait()
		}
		running := js.mustStart(t, jobSpec{kind: "bulk"}, untilCancelled)
		if n := len(js.list()); n != maxFinishedJobs+1 {
			t.Errorf("%d are kept", n)
		}
		time.Sleep(keepJobs)
		if views := js.list(); len(views) != 1 || views[0].ID != running.id {
			t.Errorf("a day later: %d", len(views))
		}
		if err := js.remove(running.id); asProblem(err).Code != "job_running" {
			t.Errorf("removing one that runs: %v", err)
		}
	})
}

func TestJobs_ResultsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		js, _ := newJobs(t)
		defer js.close()
		j := js.mustStart(t, jobSpec{kind: "import"}, func(_ context.Context, j *job) error {
			for i := range maxResults + 5 {
				j.result(map[string]int{"line": i})
			}
			j.result(map[string]any{"bad": make(chan int)})
			return nil
		})
		js.workers.Wait()
		if v := j.view(); v.Results != maxResults || !v.Cut {
			t.Errorf("%d lines, cut %t", v.Results, v.Cut)
		}
	})
}

// TestJobs_EventsAreFewAndTheLastComes: at most 4 a second, and the end always.
func TestJobs_EventsAreFewAndTheLastComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		js, h := newJobs(t)
		l, _ := h.join([]string{"jobs"})
		defer h.leave(l)
		var seen []jobView
		read := func() {
			pending, _ := h.take(l)
			for _, e := range pending {
				var v jobView
				if err := json.Unmarshal(e.data, &v); err != nil || e.name != "job" {
					t.Fatal(e.name, err)
				}
				seen = append(seen, v)
			}
		}
		j := js.mustStart(t, jobSpec{kind: "import", total: 1000}, func(_ context.Context, j *job) error {
			for range 1000 {
				time.Sleep(2 * time.Millisecond)
				j.done(1)
			}
			return nil
		})
		for range 250 {
			time.Sleep(10 * time.Millisecond)
			read()
		}
		js.close()
		read()
		if n := len(seen); n < 6 || n > 11 {
			t.Errorf("%d events in 2 seconds", n)
		}
		last := seen[len(seen)-1]
		if last.State != jobDone || last.Done != 1000 || last.ID != j.id {
			t.Errorf("the last event is %+v", last)
		}
		for i := 1; i < len(seen); i++ {
			if seen[i].Done < seen[i-1].Done {
				t.Errorf("progress goes back: %d after %d", seen[i].Done, seen[i-1].Done)
			}
		}
	})
}

func TestJobs_API(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	id := f.endedJob()
	for _, s := range []scenario{
		{name: "list", method: "GET", path: "/admin/jobs", status: 200, contains: []string{`"total":1`, id, `"state":"done"`, `"results":2`, `"done":2`}},
		{name: "second page", method: "GET", path: "/admin/jobs?offset=1", status: 200, contains: []string{`"items":[]`, `"total":1`}},
		{name: "one", method: "GET", path: "/admin/jobs/" + id, status: 200, contains: []string{`"kind":"bulk"`, `"counts":{}`, `"left_ms":null`}},
		{name: "unknown", method: "GET", path: "/admin/jobs/job_x", status: 404, contains: []string{"job_not_found"}},
		{name: "results", method: "GET", path: "/admin/jobs/" + id + "/results", status: 200, contains: []string{`"gk_1"`, `"what":"=1+1"`}},
		{name: "page of results", method: "GET", path: "/admin/jobs/" + id + "/results?limit=1&offset=1", status: 200, contains: []string{`"gk_2"`, `"offset":1`}, excludes: []string{"gk_1"}},
		{name: "csv", method: "GET", path: "/admin/jobs/" + id + "/results?format=csv", status: 200, contains: []string{"id,what\ngk_1,done\ngk_2,'=1+1\n"}},
		{name: "ndjson", method: "GET", path: "/admin/jobs/" + id + "/results?format=ndjson", status: 200, contains: []string{"{\"id\":\"gk_1\",\"what\":\"done\"}\n"}},
		{name: "one line of ndjson", method: "GET", path: "/admin/jobs/" + id + "/results?format=ndjson&limit=1", status: 200, excludes: []string{"gk_2"}},
		{name: "unknown format", method: "GET", path: "/admin/jobs/" + id + "/results?format=xlsx", status: 400, contains: []string{"csv"}},
		{name: "cancel one that ended", method: "POST", path: "/admin/jobs/" + id + "/cancel", status: 200, contains: []string{`"state":"done"`}},
		{name: "close", method: "DELETE", path: "/admin/jobs/" + id, status: 204},
		{name: "closed", method: "GET", path: "/admin/jobs/" + id, status: 404},
	} {
		s.run(t, f)
	}
}

func TestJobs_StartAnswers(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	c := &call{header: http.Header{}}
	status, body, err := f.state.jobs.start(c, jobSpec{kind: "import", name: "n"}, untilCancelled)
	id := body.(jobView).ID
	if err != nil || status != http.StatusAccepted || c.header.Get("Location") != "/admin/jobs/"+id || c.object != id {
		t.Errorf("%d %v %v, about %q", status, c.header, err, c.object)
	}
}

// TestCSV_FormulasStayText: what a spreadsheet would run is text.
func TestCSV_FormulasStayText(t *testing.T) {
	for text, want := range map[string]string{
		"=1+1": "'=1+1", "+1": "'+1", "-1": "'-1", "@SUM(A1)": "'@SUM(A1)", "\t=1": "'\t=1", "\r=1": "'\r=1", "＝1": "'＝1",
		"": "", "plain": "plain", "a=b": "a=b", "密钥": "密钥",
	} {
		if got := cell(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
	for value, want := range map[string]string{`-5`: "-5", `null`: "", `true`: "true", `"=x"`: "'=x", `["a","b"]`: "a b", `["=a"]`: "'=a", `{"a":1}`: `{"a":1}`, `[1,2]`: "[1,2]"} {
		if got := cellOf(json.RawMessage(value)); got != want {
			t.Errorf("%s becomes %q, want %q", value, got, want)
		}
	}
}

func TestCSV_ColumnsOfAllLines(t *testing.T) {
	var lines []json.RawMessage
	for _, line := range []string{`{"a":1}`, `{"b":"x","a":2}`, `{"=c":3}`} {
		lines = append(lines, json.RawMessage(line))
	}
	if got := fmt.Sprint(columnsOf(lines)); got != "[a b =c]" {
		t.Errorf("columns %s", got)
	}
}
