// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Bounds of jobs. Source: the number of lines is specs/ui.md §4; the rest is our
// choice.
const (
	maxRunningJobs  = 4
	maxWaitingJobs  = 32
	maxFinishedJobs = 50
	keepJobs        = 24 * time.Hour
	maxResults      = 20_000  // lines of one job
	maxResultBytes  = 4 << 20 // of one job
	jobEventPause   = 250 * time.Millisecond
)

// jobState is where a job stands.
type jobState string

const (
	jobQueued    jobState = "queued"
	jobRunning   jobState = "running"
	jobDone      jobState = "done"
	jobCancelled jobState = "cancelled"
	jobFailed    jobState = "failed"
)

func (s jobState) ended() bool { return s == jobDone || s == jobCancelled || s == jobFailed }

// jobSpec describes work that outlasts a request.
type jobSpec struct {
	kind  string // import, validate, bulk, undo_import, users, backup
	name  string // for people: "Import of 312 keys"
	total int    // steps, 0 if not known yet
	// exclusive has a second start of the kind answered with the job that is
	// queued or runs, instead of another one.
	exclusive bool
}

// jobs runs long work beside the requests that asked for it. A few run at a time,
// the others wait. They survive a reload and end with the process.
type jobs struct {
	now    func() time.Time
	events *hub
	ctx    context.Context // of all jobs; ends with close
	stop   context.CancelFunc

	mu      sync.Mutex
	all     []*job // oldest first
	running int
	workers sync.WaitGroup
}

func (js *jobs) init(now func() time.Time, events *hub) {
	js.now, js.events = now, events
	js.ctx, js.stop = context.WithCancel(context.Background())
}

// close cancels all jobs and waits until they have ended.
func (js *jobs) close() {
	js.stop()
	js.workers.Wait()
}

// start begins work and returns the answer to the call: 202 with the job and its
// Location. run must end soon after its context does; what it returns then does
// not matter. An error fails the job, and its text is shown: it must hold no
// secret. The context does not end with the call.
func (js *jobs) start(c *call, spec jobSpec, run func(ctx context.Context, j *job) error) (status int, body any, err error) {
	j, attached, err := js.add(spec, run)
	if err != nil {
		return 0, nil, err
	}
	if !attached && c.object == "" { // else the call knows better what it is about
		c.about(j.id)
	}
	c.header.Set("Location", "/admin/jobs/"+j.id)
	return http.StatusAccepted, j.view(), nil
}

func (js *jobs) add(spec jobSpec, run func(context.Context, *job) error) (j *job, attached bool, err error) {
	js.mu.Lock()
	defer js.mu.Unlock()
	js.prune()
	waiting := 0
	for _, other := range js.all {
		state := other.currentState()
		if spec.exclusive && other.spec.kind == spec.kind && !state.ended() {
			return other, true, nil
		}
		if state == jobQueued {
			waiting++
		}
	}
	if js.ctx.Err() != nil {
		return nil, false, problem(http.StatusServiceUnavailable, "closing", "The gateway is shutting down; no work is begun any more.")
	}
	if waiting >= maxWaitingJobs {
		p := problem(http.StatusTooManyRequests, "too_many_jobs", fmt.Sprintf("%d jobs are waiting already. Wait until some have ended, or cancel them.", waiting))
		p.retryAfter = 5 * time.Second
		return nil, false, p
	}
	j = &job{id: "job_" + rand.Text(), spec: spec, jobs: js, run: run, state: jobQueued, total: spec.total, started: js.now(), counts: map[string]int{}}
	j.ctx, j.cancel = context.WithCancel(js.ctx)
	js.all = append(js.all, j)
	j.touch()
	js.next()
	return j, false, nil
}

// next runs queued jobs as far as there is room. The caller holds mu.
func (js *jobs) next() {
	for _, j := range js.all {
		if js.running >= maxRunningJobs {
			return
		}
		if j.begin() {
			js.running++
			js.workers.Go(func() {
				j.work()
				js.mu.Lock()
				defer js.mu.Unlock()
				js.running--
				js.next()
			})
		}
	}
}

// prune forgets what ended long ago or is too much, the oldest first. The caller
// holds mu.
func (js *jobs) prune() {
	finished := 0
	for _, j := range js.all {
		if ended, _ := j.endedAt(); ended {
			finished++
		}
	}
	now, surplus := js.now(), finished-maxFinishedJobs
	js.all = slices.DeleteFunc(js.all, func(j *job) bool {
		ended, at := j.endedAt()
		if !ended {
			return false
		}
		surplus--
		return surplus >= 0 || now.Sub(at) >= keepJobs
	})
}

// list returns the jobs, newest first.
func (js *jobs) list() []jobView {
	js.mu.Lock()
	defer js.mu.Unlock()
	js.prune()
	views := make([]jobView, 0, len(js.all))
	for _, j := range slices.Backward(js.all) {
		views = append(views, j.view())
	}
	return views
}

func (js *jobs) get(id string) (*job, error) {
	js.mu.Lock()
	defer js.mu.Unlock()
	js.prune()
	for _, j := range js.all {
		if j.id == id {
			return j, nil
		}
	}
	return nil, problem(http.StatusNotFound, "job_not_found", "There is no job with this id. Jobs are forgotten a day after they ended, and when the gateway restarts.")
}

// remove forgets a job that has ended.
func (js *jobs) remove(id string) error {
	j, err := js.get(id)
	if err != nil {
		return err
	}
	js.mu.Lock()
	defer js.mu.Unlock()
	if !j.currentState().ended() {
		return problem(http.StatusConflict, "job_running", "This job has not ended yet. Cancel it first with POST /admin/jobs/{id}/cancel.")
	}
	js.all = slices.DeleteFunc(js.all, func(other *job) bool { return other == j })
	return nil
}

// cancelled ends a job that waits or runs; one that has ended stays as it is.
func (js *jobs) cancelled(id string) (*job, error) {
	j, err := js.get(id)
	if err != nil {
		return nil, err
	}
	j.cancel()
	j.mu.Lock()
	queued := j.state == jobQueued
	j.mu.Unlock()
	if queued {
		j.end(jobCancelled, "")
	}
	return j, nil
}

// job is one piece of long work. All methods are safe for concurrent use.
type job struct {
	id     string
	spec   jobSpec
	jobs   *jobs
	run    func(context.Context, *job) error
	ctx    context.Context
	cancel context.CancelFunc

	mu       sync.Mutex
	state    jobState
	steps    int
	total    int
	counts   map[string]int
	started  time.Time
	ended    time.Time // zero until it has ended
	err      string
	results  []json.RawMessage
	bytes    int
	cut      bool      // there were more results than are kept
	notified time.Time // when the last event was sent
	timer    *time.Timer
}

// done adds finished steps.
func (j *job) done(n int) { j.change(func() { j.steps += n }) }

// expect sets how many steps there are, where that shows later.
func (j *job) expect(total int) { j.change(func() { j.total = total }) }

// count adds to a figure, such as "added".
func (j *job) count(name string, n int) { j.change(func() { j.counts[name] += n }) }

// result keeps a line of the result: a struct or map for JSON, without secrets.
// Beyond [maxResults] lines they are only counted as cut.
func (j *job) result(line any) {
	encoded, err := json.Marshal(line)
	if err != nil {
		encoded = []byte(`{"error":"this line of the result is no JSON"}`)
	}
	j.change(func() {
		if len(j.results) >= maxResults || j.bytes+len(encoded) > maxResultBytes {
			j.cut = true
			return
		}
		j.results = append(j.results, encoded)
		j.bytes += len(encoded)
	})
}

func (j *job) change(f func()) {
	j.mu.Lock()
	defer j.mu.Unlock()
	f()
	j.touchLocked()
}

func (j *job) currentState() jobState {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.state
}

func (j *job) endedAt() (ended bool, at time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.state.ended(), j.ended
}

// begin makes a queued job a running one, and reports whether it was queued.
func (j *job) begin() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.state != jobQueued {
		return false
	}
	j.state, j.started = jobRunning, j.jobs.now()
	return true
}

// work runs the job to its end. A panic ends the job, not the gateway.
func (j *job) work() {
	defer j.cancel()
	err := func() (err error) {
		defer func() {
			if broken := recover(); broken != nil {
				err = fmt.Errorf("this is a fault of the gateway, please report it: %T in the job %s", broken, j.spec.kind)
			}
		}()
		return j.run(j.ctx, j)
	}()
	switch {
	case err == nil:
		j.end(jobDone, "")
	case j.ctx.Err() != nil:
		j.end(jobCancelled, "")
	default:
		j.end(jobFailed, err.Error())
	}
}

func (j *job) end(state jobState, message string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.state.ended() {
		return
	}
	j.state, j.err, j.ended = state, message, j.jobs.now()
	j.publish()
}

// touch tells the pages of a change, but not too often.
func (j *job) touch() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.touchLocked()
}

func (j *job) touchLocked() {
	if j.state.ended() || j.timer != nil {
		return
	}
	if wait := jobEventPause - time.Since(j.notified); wait > 0 {
		j.timer = time.AfterFunc(wait, func() {
			j.mu.Lock()
			defer j.mu.Unlock()
			if !j.state.ended() {
				j.publish()
			}
		})
		return
	}
	j.publish()
}

// publish sends the state as it is. The caller holds mu, which keeps the events of
// a job in order.
func (j *job) publish() {
	if j.timer != nil {
		j.timer.Stop()
		j.timer = nil
	}
	j.notified = time.Now()
	j.jobs.events.publishLatest("jobs", "job", j.id, j.viewLocked())
}

// jobView is a job for clients.
type jobView struct {
	ID      string         `json:"id"`
	Kind    string         `json:"kind"`
	Name    string         `json:"name"`
	State   jobState       `json:"state"`
	Done    int            `json:"done"`
	Total   int            `json:"total"` // 0 while it is not known
	Counts  map[string]int `json:"counts"`
	Rate    float64        `json:"rate_per_s"` // mean since the start
	Left    *int64         `json:"left_ms"`    // null while nobody can tell
	Started time.Time      `json:"started_at"`
	Ended   *time.Time     `json:"ended_at,omitempty"`
	Error   string         `json:"error,omitempty"`
	Results int            `json:"results"`               // lines that are kept
	Cut     bool           `json:"results_cut,omitempty"` // there were more
}

func (j *job) view() jobView {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.viewLocked()
}

func (j *job) viewLocked() jobView {
	v := jobView{
		ID: j.id, Kind: j.spec.kind, Name: j.spec.name, State: j.state, Done: j.steps, Total: j.total,
		Counts: maps.Clone(j.counts), Started: j.started.UTC(), Error: j.err, Results: len(j.results), Cut: j.cut,
	}
	until := j.jobs.now()
	if j.state.ended() {
		at := j.ended.UTC()
		v.Ended, until = &at, j.ended
	}
	if took := until.Sub(j.started).Seconds(); took > 0 && j.state != jobQueued {
		v.Rate = float64(j.steps) / took
	}
	if j.state == jobRunning && v.Rate > 0 && j.total >= j.steps {
		left := int64(float64(j.total-j.steps) / v.Rate * 1000)
		v.Left = &left
	}
	return v
}
