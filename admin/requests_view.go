// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"encoding/json"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/usage"
)

// requestView is a request for clients: a row of the log, and the event request.
type requestView struct {
	ID        string     `json:"id"`
	At        time.Time  `json:"at"` // when it ended
	Status    int        `json:"status"`
	Outcome   string     `json:"outcome"`
	Class     string     `json:"class"`
	Code      string     `json:"code,omitempty"`
	Dialect   string     `json:"dialect"`
	Endpoint  string     `json:"endpoint"`
	Asked     string     `json:"asked"`
	Model     string     `json:"model"`
	Version   string     `json:"version,omitempty"`
	UserID    string     `json:"user_id"`
	UserName  string     `json:"user_name"`
	KeyID     string     `json:"key_id"`
	KeyHint   string     `json:"key_hint"`
	Project   string     `json:"project"`
	Stream    bool       `json:"stream"`
	Attempts  int        `json:"attempts"`
	Waited    int64      `json:"waited_ms"`
	First     *int64     `json:"ttft_ms"`
	Duration  int64      `json:"duration_ms"`
	Tokens    tokensView `json:"tokens"`
	Cost      *int64     `json:"cost_nano"` // null for unknown
	Price     string     `json:"price,omitempty"`
	IP        string     `json:"ip"`
	Agent     string     `json:"agent"`
	Partial   bool       `json:"partial"`
	Estimated bool       `json:"estimated"`
	Error     string     `json:"error,omitempty"`
	// Sampled is how many requests this event stands for; absent for one.
	Sampled int `json:"sampled,omitempty"`
}

// tokensView are tokens; cached ones are part of input.
type tokensView struct {
	Input    int64 `json:"input"`
	Cached   int64 `json:"cached"`
	Output   int64 `json:"output"`
	Thoughts int64 `json:"thoughts"`
	ToolUse  int64 `json:"tool_use"`
}

func (a *api) viewRequests(rows []usage.Record) []requestView {
	who, out := a.newNames(), make([]requestView, len(rows))
	for i := range rows {
		out[i] = who.request(&rows[i])
	}
	return out
}

func (n *names) request(r *usage.Record) requestView {
	v := requestView{
		ID: r.RequestID, At: r.At.UTC(), Status: r.Status, Outcome: r.Outcome, Class: r.Class().String(), Code: r.Code,
		Dialect: r.Dialect, Endpoint: r.Endpoint, Asked: r.Asked, Model: r.Model, Version: r.Version,
		UserID: r.UserID, UserName: n.user(r.UserID), KeyID: r.KeyID, KeyHint: n.hint(r.KeyID), Project: r.Project,
		Stream: r.Stream, Attempts: r.Attempts, Waited: r.Waited.Milliseconds(), Duration: r.Duration.Milliseconds(),
		Tokens: tokensView{r.Input, r.Cached, r.Output, r.Thoughts, r.ToolUse},
		Price:  r.Price, Agent: r.Agent, Partial: r.Partial, Estimated: r.Estimated, Error: r.Error,
	}
	if r.FirstOutput > 0 {
		ms := r.FirstOutput.Milliseconds()
		v.First = &ms
	}
	if r.Priced {
		v.Cost = &r.Cost
	}
	if r.IP.IsValid() {
		v.IP = r.IP.String()
	}
	return v
}

// exportRow is a requestView without objects, so that it is a line of a table, too.
// Absent fields are empty there: the first line decides what the columns are.
type exportRow struct {
	requestView
	Code     string `json:"code"`
	Version  string `json:"version"`
	Price    string `json:"price"`
	Error    string `json:"error"`
	Tokens   any    `json:"tokens,omitempty"` // hides the object
	Input    int64  `json:"input_tokens"`
	Cached   int64  `json:"cached_tokens"`
	Output   int64  `json:"output_tokens"`
	Thoughts int64  `json:"thought_tokens"`
	ToolUse  int64  `json:"tool_use_tokens"`
}

// exportLines gives the requests that a filter wants.
func (a *api) exportLines(c *call, f usage.Filter) func(write func(json.RawMessage) error) error {
	return func(write func(json.RawMessage) error) error {
		who, failed := a.newNames(), error(nil)
		err := a.Usage.Log().Each(c.Context(), f, maxExport, func(r *usage.Record) bool {
			v := who.request(r)
			t := v.Tokens
			var line []byte
			line, failed = json.Marshal(exportRow{
				requestView: v, Code: v.Code, Version: v.Version, Price: v.Price, Error: v.Error,
				Input: t.Input, Cached: t.Cached, Output: t.Output, Thoughts: t.Thoughts, ToolUse: t.ToolUse,
			})
			if failed == nil {
				failed = write(line)
			}
			return failed == nil
		})
		if failed != nil {
			return failed
		}
		return err
	}
}
