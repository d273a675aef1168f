// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
)

var (
	geminiKeyParams = []string{"limit", "offset", "q", "status", "sort", "order"}
	geminiKeySorts  = []string{"id", "name", "project", "state", "created", "state_since", "in_flight"}
)

// geminiKey is a [balancer.Key] for clients: without the credentials that the
// URL of a proxy may hold.
type geminiKey struct {
	balancer.Key
	Proxy string `json:"proxy,omitempty"`
}

func viewGeminiKey(k balancer.Key) geminiKey {
	view := geminiKey{Key: k}
	if u, err := url.Parse(k.Proxy); err == nil && k.Proxy != "" {
		view.Proxy = (&url.URL{Scheme: u.Scheme, Host: u.Host}).String()
	}
	return view
}

func (a *api) listGeminiKeys(c *call) (status int, body any, err error) {
	q := queryReader{call: c}
	query := balancer.Query{
		Limit: q.limit(), Offset: q.offset(), Search: q.search(),
		State: balancer.State(q.word("status", stateNames())),
		Sort:  q.word("sort", geminiKeySorts), Order: q.word("order", []string{"asc", "desc"}),
	}
	if err := q.err(); err != nil {
		return 0, nil, err
	}
	keys, total, counts := a.Pool.List(query)
	items := make([]geminiKey, len(keys))
	for i, k := range keys {
		items[i] = viewGeminiKey(k)
	}
	answer := newList(items, total, query.Offset)
	answer.Counts = countStates(counts)
	return http.StatusOK, answer, nil
}

func stateNames() []string {
	names := make([]string, len(balancer.States))
	for i, s := range balancer.States {
		names[i] = string(s)
	}
	return names
}

// countStates names every state, so that a client finds zeros instead of gaps.
func countStates(counts map[balancer.State]int) map[string]int {
	all := make(map[string]int, len(balancer.States))
	for _, s := range balancer.States {
		all[string(s)] = counts[s]
	}
	return all
}

func (a *api) getGeminiKey(c *call) (status int, body any, err error) {
	key, ok := a.Pool.Get(c.id)
	if !ok {
		return 0, nil, geminiKeyProblem(balancer.ErrNotFound)
	}
	return http.StatusOK, viewGeminiKey(key), nil
}

func (a *api) deleteGeminiKey(c *call) (status int, body any, err error) {
	if err := noBody(c); err != nil {
		return 0, nil, err
	}
	if err := a.Pool.Delete(c.Context(), c.id); err != nil {
		return 0, nil, geminiKeyProblem(err)
	}
	return http.StatusNoContent, nil, nil
}

// enableGeminiKey lets a key serve that does not. What Google says to its next
// request tells whether it can.
func (a *api) enableGeminiKey(c *call) (status int, body any, err error) {
	if key, ok := a.Pool.Get(c.id); ok && (key.State == balancer.StateActive || key.State == balancer.StateUntested) {
		return http.StatusOK, viewGeminiKey(key), noBody(c)
	}
	return a.setGeminiKey(c, balancer.StateUntested, "enabled by an operator")
}

func (a *api) disableGeminiKey(c *call) (status int, body any, err error) {
	return a.setGeminiKey(c, balancer.StateDisabled, "disabled by an operator")
}

// resetGeminiKey lets a key be tried again as if it were new, whatever its state
// and whatever rests.
func (a *api) resetGeminiKey(c *call) (status int, body any, err error) {
	return a.changeGeminiKey(c, a.Pool.Reset)
}

// probeGeminiKey has Google asked about a key, soon.
func (a *api) probeGeminiKey(c *call) (status int, body any, err error) {
	if !a.Pool.Probed() {
		return 0, nil, problem(http.StatusConflict, "probe_off", "Probes are off in the Caddyfile (probe off): Google is not asked about keys. Switch them on there and reload.")
	}
	status, body, err = a.changeGeminiKey(c, func(_ context.Context, id string) error { return a.Pool.ProbeNow(id) })
	if err == nil {
		status = http.StatusAccepted
	}
	return status, body, err
}

func (a *api) setGeminiKey(c *call, state balancer.State, reason string) (status int, body any, err error) {
	return a.changeGeminiKey(c, func(ctx context.Context, id string) error { return a.Pool.SetState(ctx, id, state, reason) })
}

func (a *api) changeGeminiKey(c *call, change func(ctx context.Context, id string) error) (status int, body any, err error) {
	if err := noBody(c); err != nil {
		return 0, nil, err
	}
	if err := change(c.Context(), c.id); err != nil {
		return 0, nil, geminiKeyProblem(err)
	}
	return a.getGeminiKey(c)
}

func (a *api) listRests(c *call) (status int, body any, err error) {
	q := queryReader{call: c}
	limit := q.limit()
	if err := q.err(); err != nil {
		return 0, nil, err
	}
	return http.StatusOK, newList(a.Pool.Rests(limit), a.Pool.Stats().Resting, 0), nil
}

func geminiKeyProblem(err error) error {
	switch {
	case errors.Is(err, balancer.ErrNotFound):
		return problem(http.StatusNotFound, "gemini_key_not_found", "There is no Gemini key with this id. The ids are in GET /admin/keys/gemini.")
	case errors.Is(err, balancer.ErrReadOnly):
		return problem(http.StatusConflict, "declared", "This Gemini key is declared in the Caddyfile (key or keys_file), which wins: remove it there and reload. To take it out of service now, disable it.")
	}
	return err
}
