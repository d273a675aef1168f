// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

// maxTokens is how large a request may be thought of.
const maxTokens = 100_000_000

// explainView is a [balancer.Explanation] for clients.
type explainView struct {
	At    time.Time `json:"at"`
	Model string    `json:"model"`
	// Alias is there where the model was asked for by a further name.
	Alias    *explainedAlias `json:"alias,omitempty"`
	Strategy string          `json:"strategy"`
	Affinity string          `json:"affinity"` // none: the request belongs to no conversation
	Tokens   int             `json:"tokens"`
	// UserKey is there where one was asked for.
	UserKey  *explainedUser    `json:"user_key,omitempty"`
	Forecast balancer.Forecast `json:"forecast"`
	list[balancer.Candidate]
}

// explainedAlias is what a further name stands for. Model is the first of its targets
// that is offered.
type explainedAlias struct {
	Name    string   `json:"name"`
	Source  string   `json:"source"`
	Targets []string `json:"targets"` // tried in this order
}

// explainedUser is what a user key means for the request.
type explainedUser struct {
	ID       string   `json:"id"`
	Allowed  bool     `json:"allowed"` // to make the request at all, its limits set aside
	Why      string   `json:"why,omitempty"`
	Tags     []string `json:"tags,omitempty"`
	PaidOnly bool     `json:"paid_only,omitempty"`
}

func (a *api) explain(c *call) (status int, body any, err error) {
	q := queryReader{call: c}
	query := balancer.ExplainQuery{
		Model: q.text("model"), Tokens: int64(q.number("tokens", 0, 0, maxTokens)),
		Standing: balancer.Standing(q.word("standing", standingNames())), Limit: q.limit(), Offset: q.offset(),
	}
	query.Model = strings.TrimPrefix(query.Model, "models/")
	userID := q.text("user_key")
	if err := q.err(); err != nil {
		return 0, nil, err
	}
	asked := query.Model
	view := explainView{Affinity: "none", Tokens: int(query.Tokens)}
	if alias, model := a.resolve(asked); alias != nil {
		query.Model, view.Alias = model, &explainedAlias{asked, alias.source, alias.Targets}
	}
	view.Model = query.Model
	if userID != "" {
		key, err := a.Users.Get(userID)
		if err != nil {
			return 0, nil, userKeyProblem(err)
		}
		view.UserKey = explainUser(key, asked, query.Model, a.Now())
		query.Tags, query.PaidOnly = key.Tags, key.PaidOnly
	}
	x := a.Pool.Explain(query)
	view.At, view.Strategy, view.Forecast = x.At, x.Strategy, x.Forecast
	view.list = newList(x.Candidates, x.Total, query.Offset)
	view.Counts = make(map[string]int, len(x.Counts))
	for standing, n := range x.Counts {
		view.Counts[string(standing)] = n
	}
	return http.StatusOK, view, nil
}

func explainUser(key users.Key, asked, model string, now time.Time) *explainedUser {
	u := &explainedUser{ID: key.ID, Tags: key.Tags, PaidOnly: key.PaidOnly}
	switch {
	case !key.Enabled:
		u.Why = "the user key is disabled"
	case !key.ExpiresAt.IsZero() && !now.Before(key.ExpiresAt):
		u.Why = "the user key has expired"
	case model != "" && !key.Allows(asked) && !key.Allows(model):
		u.Why = "the user key may use " + strings.Join(key.Models, ", ") + " only, by the name that clients send or the model behind it"
	default:
		u.Allowed = true
	}
	return u
}

func standingNames() []string {
	names := make([]string, len(balancer.Standings))
	for i, s := range balancer.Standings {
		names[i] = string(s)
	}
	slices.Sort(names)
	return names
}

func (a *api) listQuotas(c *call) (status int, body any, err error) {
	q := queryReader{call: c}
	query := balancer.QuotaQuery{Model: strings.TrimPrefix(q.text("model"), "models/"), Project: q.text("project"), Limit: q.limit(), Offset: q.offset()}
	if err := q.err(); err != nil {
		return 0, nil, err
	}
	quotas, total := a.Pool.Quotas(query)
	return http.StatusOK, newList(quotas, total, query.Offset), nil
}
