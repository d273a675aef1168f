// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
)

var (
	geminiKeyParams = []string{"limit", "offset", "q", "status", "tag", "batch", "sort", "order"}
	// geminiKeySorts are the orders of the pool and of what the last 24 hours brought.
	geminiKeySorts = append(slices.Clone(balancer.Sorts), "requests_24h", "errors_24h", "tokens_24h", "cost_24h")
)

// attention is the status of keys that an operator should look at.
const attention = "attention"

// keyStatusWords are what lists are filtered by: the statuses, the states of invalid
// keys, and attention.
func keyStatusWords() []string {
	words := []string{attention}
	for _, s := range balancer.Statuses {
		words = append(words, string(s))
	}
	for _, s := range balancer.States {
		if !slices.Contains(words, string(s)) {
			words = append(words, string(s))
		}
	}
	return words
}

// statusOf is what a word of keyStatusWords selects.
func statusOf(word string) (balancer.Status, balancer.State) {
	switch {
	case word == attention:
		return balancer.StatusInvalid, ""
	case slices.Contains(balancer.Statuses, balancer.Status(word)):
		return balancer.Status(word), ""
	}
	return "", balancer.State(word)
}

// geminiKey is a [balancer.View] for clients: without the credentials that the URL of
// a proxy may hold, and with what the last 24 hours brought.
type geminiKey struct {
	ID          string             `json:"id"`
	Name        string             `json:"name"`
	Hint        string             `json:"hint"`
	Project     string             `json:"project"`
	Source      string             `json:"source"`
	Declared    bool               `json:"declared"`
	Locked      []string           `json:"locked"` // fields that the Caddyfile sets
	Tags        []string           `json:"tags"`
	Note        string             `json:"note"`
	Weight      int                `json:"weight"`
	Paid        bool               `json:"paid"`
	Models      []string           `json:"models"`
	Proxy       string             `json:"proxy,omitempty"`
	Batch       string             `json:"batch,omitempty"`
	State       balancer.State     `json:"state"`
	StateReason string             `json:"state_reason,omitempty"`
	StateSince  time.Time          `json:"state_since"`
	Status      balancer.Status    `json:"status"`
	Reason      string             `json:"reason"`
	Advice      string             `json:"advice"`
	Until       *time.Time         `json:"until"`
	Created     time.Time          `json:"created"`
	LastUsed    *time.Time         `json:"last_used"`
	ValidatedAt *time.Time         `json:"validated_at"`
	InFlight    int                `json:"in_flight"`
	Quota       *balancer.DayQuota `json:"quota"`
	DeletedAt   *time.Time         `json:"deleted_at,omitempty"`
	keyDay
}

// orNull is a time, null for none.
func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func notNil(words []string) []string {
	if words == nil {
		return []string{}
	}
	return words
}

func newGeminiKey(v *balancer.View, day keyDay) geminiKey {
	k := geminiKey{
		ID: v.ID, Name: v.Name, Hint: v.Mask, Project: v.Project, Source: v.Source, Declared: v.Source == balancer.SourceConfig,
		Locked: notNil(v.Locked), Tags: notNil(v.Tags), Note: v.Note, Weight: v.Weight, Paid: v.Paid, Models: notNil(v.Models),
		Batch: v.Batch, State: v.State, StateReason: v.StateReason, StateSince: v.StateSince, Status: v.Status, Reason: v.Reason,
		Advice: v.Advice, Until: orNull(v.Until), Created: v.Created, LastUsed: orNull(v.Used), ValidatedAt: orNull(v.Probed),
		InFlight: v.InFlight, Quota: v.Quota, DeletedAt: orNull(v.Deleted), keyDay: day,
	}
	if u, err := url.Parse(v.Proxy); err == nil && v.Proxy != "" {
		k.Proxy = (&url.URL{Scheme: u.Scheme, Host: u.Host}).String()
	}
	return k
}

func (a *api) listGeminiKeys(c *call) (status int, body any, err error) {
	q := queryReader{call: c}
	query := balancer.Query{
		Limit: q.limit(), Offset: q.offset(), Search: q.search(), Tag: q.text("tag"), Batch: q.text("batch"),
		Sort: q.word("sort", geminiKeySorts), Order: q.word("order", []string{"asc", "desc"}),
	}
	query.Status, query.State = statusOf(q.word("status", keyStatusWords()))
	if err := q.err(); err != nil {
		return 0, nil, err
	}
	measure, err := a.keyMeasure(query.Sort)
	if err != nil {
		return 0, nil, err
	}
	if measure != nil {
		query.Sort, query.Measure = "measure", measure
	}
	page := a.Pool.Page(query)
	answer := newList(a.viewsOf(page.Keys), page.Total, query.Offset)
	answer.Counts = countKeys(page.Statuses, page.States, page.All)
	return http.StatusOK, answer, nil
}

func (a *api) viewsOf(keys []balancer.View) []geminiKey {
	items := make([]geminiKey, len(keys))
	days := a.keyDays(keys)
	for i := range keys {
		items[i] = newGeminiKey(&keys[i], days[keys[i].ID])
	}
	return items
}

// countKeys names every word of keyStatusWords, and all, so that a client finds zeros
// instead of gaps.
func countKeys(statuses map[balancer.Status]int, states map[balancer.State]int, all int) map[string]int {
	out := map[string]int{"all": all, attention: statuses[balancer.StatusInvalid]}
	for _, s := range balancer.States {
		out[string(s)] = states[s]
	}
	for _, s := range balancer.Statuses { // where a word means both, the status
		out[string(s)] = statuses[s]
	}
	return out
}

// geminiKeyDetail is all that can be seen of one key.
type geminiKeyDetail struct {
	geminiKey
	Quotas  []balancer.KeyQuota `json:"quotas"`
	Rests   []balancer.KeyRest  `json:"rests"`
	History []balancer.Event    `json:"history"`
}

func (a *api) getGeminiKey(c *call) (status int, body any, err error) {
	d, ok := a.Pool.Detail(c.id)
	if !ok {
		return 0, nil, geminiKeyProblem(balancer.ErrNotFound)
	}
	c.etag(versionOf(&d.Key))
	view := a.viewsOf([]balancer.View{d.View})[0]
	return http.StatusOK, geminiKeyDetail{view, d.Quotas, d.Rests, d.History}, nil
}

// viewGeminiKey is one key as it is now.
func (a *api) viewGeminiKey(id string) (geminiKey, error) {
	v, ok := a.Pool.View(id)
	if !ok {
		return geminiKey{}, geminiKeyProblem(balancer.ErrNotFound)
	}
	return a.viewsOf([]balancer.View{v})[0], nil
}

func (a *api) deleteGeminiKey(c *call) (status int, body any, err error) {
	return a.justDo(c, a.Pool.Delete)
}

// purgeGeminiKey forgets a deleted key for good.
func (a *api) purgeGeminiKey(c *call) (status int, body any, err error) {
	return a.justDo(c, func(ctx context.Context, id string) error { return a.Pool.Purge(ctx, []string{id}) })
}

// justDo answers a change that leaves nothing to show.
func (a *api) justDo(c *call, do func(ctx context.Context, id string) error) (status int, body any, err error) {
	if err := noBody(c); err != nil {
		return 0, nil, err
	}
	if err := do(c.Context(), c.id); err != nil {
		return 0, nil, geminiKeyProblem(err)
	}
	return http.StatusNoContent, nil, nil
}

// enableGeminiKey lets a key serve that does not. What Google says to its next
// request tells whether it can.
func (a *api) enableGeminiKey(c *call) (status int, body any, err error) {
	return a.changeOne(c, balancer.BulkEnable)
}

func (a *api) disableGeminiKey(c *call) (status int, body any, err error) {
	return a.changeOne(c, balancer.BulkDisable)
}

// resetGeminiKey lets a key be tried again as if it were new, whatever its state
// and whatever rests.
func (a *api) resetGeminiKey(c *call) (status int, body any, err error) {
	return a.changeOne(c, balancer.BulkReset)
}

func (a *api) restoreGeminiKey(c *call) (status int, body any, err error) {
	return a.changeOne(c, balancer.BulkRestore)
}

// changeOne is a bulk action upon one key.
func (a *api) changeOne(c *call, action balancer.BulkAction) (status int, body any, err error) {
	if err := noBody(c); err != nil {
		return 0, nil, err
	}
	var refused error
	err = a.Pool.Bulk(c.Context(), action, []string{c.id}, balancer.Patch{}, func(_ string, err error) {
		if !balancer.Unchanged(err) {
			refused = err
		}
	})
	if err := errors.Join(err, refused); err != nil {
		return 0, nil, geminiKeyProblem(err)
	}
	view, err := a.viewGeminiKey(c.id)
	return http.StatusOK, view, err
}

// probeGeminiKey has Google asked about a key, soon.
func (a *api) probeGeminiKey(c *call) (status int, body any, err error) {
	if !a.Pool.Probed() {
		return 0, nil, problem(http.StatusConflict, "probe_off", "Probes are off in the Caddyfile (probe off): Google is not asked about keys. Switch them on there and reload.")
	}
	if err := noBody(c); err != nil {
		return 0, nil, err
	}
	if err := a.Pool.ProbeNow(c.id); err != nil {
		return 0, nil, geminiKeyProblem(err)
	}
	view, err := a.viewGeminiKey(c.id)
	return http.StatusAccepted, view, err
}

// revealGeminiKey shows a whole key.
func (a *api) revealGeminiKey(c *call) (status int, body any, err error) {
	if err := noBody(c); err != nil {
		return 0, nil, err
	}
	if err := a.mayReveal(); err != nil {
		return 0, nil, err
	}
	secret, ok := a.Pool.Reveal(c.id)
	if !ok {
		return 0, nil, geminiKeyProblem(balancer.ErrNotFound)
	}
	return http.StatusOK, map[string]string{"key": secret}, nil
}

func (a *api) mayReveal() error {
	if !a.Settings.Current().Keys.Reveal {
		return problem(http.StatusForbidden, "reveal_off", "Whole keys are not shown here: keys.reveal is off in the settings.")
	}
	return nil
}

func (a *api) listDeleted(c *call) (status int, body any, err error) {
	q := queryReader{call: c}
	limit, offset, batch := q.limit(), q.offset(), q.text("batch")
	if err := q.err(); err != nil {
		return 0, nil, err
	}
	keys, total := a.Pool.Deleted(batch, limit, offset)
	views := make([]balancer.View, len(keys))
	for i, k := range keys {
		views[i] = balancer.View{Key: k, Status: k.State.Status()}
	}
	return http.StatusOK, newList(a.viewsOf(views), total, offset), nil
}

func (a *api) listTags(*call) (status int, body any, err error) {
	return http.StatusOK, map[string][]balancer.TagCount{"items": a.Pool.Tags()}, nil
}

func (a *api) listRests(c *call) (status int, body any, err error) {
	q := queryReader{call: c}
	limit := q.limit()
	if err := q.err(); err != nil {
		return 0, nil, err
	}
	return http.StatusOK, newList(a.Pool.Rests(limit), a.Pool.Stats().Resting, 0), nil
}

// countStates names every state, so that a client finds zeros instead of gaps.
func countStates(counts map[balancer.State]int) map[string]int {
	all := make(map[string]int, len(balancer.States))
	for _, s := range balancer.States {
		all[string(s)] = counts[s]
	}
	return all
}
