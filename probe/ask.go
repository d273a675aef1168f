// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/upstream"
)

const (
	maxPages = 5
	maxPage  = 4 << 20  // bytes; Google's whole list has about 50 KiB
	maxError = 64 << 10 // bytes of an error that are read
)

// ask serves one probe.
func ask(ctx context.Context, client *upstream.Client, pr *balancer.Probe) ended {
	e := ended{proxy: pr.Proxy(), began: time.Now()}
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var models []string
	e.outcome, models = list(limited, client, pr)
	switch heard := e.outcome.Verdict == balancer.OK || e.outcome.Status != 0; {
	case ctx.Err() != nil && !heard:
		e.outcome = balancer.Outcome{Verdict: balancer.Canceled}
	case ctx.Err() == nil && e.outcome.Verdict == balancer.Canceled:
		// Not by us. Canceled probes are due again at once.
		e.outcome.Verdict = balancer.ServerError
	}
	pr.Done(e.outcome, models)
	return e
}

// list asks for all models that the key may use; nil where that is not known.
func list(ctx context.Context, client *upstream.Client, pr *balancer.Probe) (balancer.Outcome, []string) {
	var models []string
	query := "pageSize=1000"
	for range maxPages {
		p, o := get(ctx, client, pr, query)
		switch {
		case o.Verdict != balancer.OK && (len(models) == 0 || o.State != ""):
			return o, nil
		case o.Verdict != balancer.OK:
			return balancer.Outcome{}, nil // the key is good, as the first page told
		}
		for _, m := range p.Models {
			if id := strings.TrimPrefix(m.Name, "models/"); id != "" {
				models = append(models, id)
			}
		}
		if p.NextPageToken == "" {
			return o, models
		}
		query = "pageSize=1000&pageToken=" + url.QueryEscape(p.NextPageToken)
	}
	// A part of the list would say that the key lacks the rest.
	return balancer.Outcome{}, nil
}

// page is a part of Google's list.
type page struct {
	Models []struct {
		Name string `json:"name"`
	} `json:"models"`
	NextPageToken string `json:"nextPageToken"`
}

// get asks for one page.
func get(ctx context.Context, client *upstream.Client, pr *balancer.Probe, query string) (p page, o balancer.Outcome) {
	answer, err := client.Do(ctx, &upstream.Request{
		Method: http.MethodGet, Path: "/v1beta/models", Query: query, Secret: pr.Secret(), Proxy: pr.Proxy(),
	})
	if err != nil {
		return p, upstream.ClassifyError(err)
	}
	defer answer.Body.Close()
	limit := int64(maxError)
	if answer.StatusCode == http.StatusOK {
		limit = maxPage
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, limit))
	if err != nil && answer.StatusCode == http.StatusOK {
		return p, upstream.ClassifyError(err)
	}
	o = upstream.Classify(upstream.Answer{
		Status: answer.StatusCode, Header: answer.Header, Body: body[:min(len(body), maxError)], Now: time.Now(), Secret: pr.Secret(),
	})
	if o.Verdict != balancer.OK {
		return p, o
	}
	if err := json.Unmarshal(body, &p); err != nil {
		return p, balancer.Outcome{Verdict: balancer.Unusable, Status: answer.StatusCode, Reason: "the list of models is no JSON that can be read"}
	}
	return p, o
}
