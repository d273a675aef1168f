// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/upstream"
)

const (
	busyPause  = 50 * time.Millisecond // between looks at a key that is being probed
	generation = `{"contents":[{"role":"user","parts":[{"text":"Hi"}]}],"generationConfig":{"maxOutputTokens":1}}`
	checkFor   = 30 * time.Second // a whole check may take
	patientGen = 20 * time.Second // its generation
)

// Check asks Google about one key at an operator's word, at once and whatever the
// pace of [Prober.Run]: whether it lives, and with a model, whether it serves a
// request for it, which costs one of the model's quota. The pool learns of both. The
// outcome is that of the first question that went wrong.
//
// It returns [balancer.ErrNotFound], [balancer.ErrNoRoom] where our own count says
// that the quota is used up, or ctx's error. It takes 30 seconds at most.
func Check(ctx context.Context, pool *balancer.Pool, client *upstream.Client, id, model string) (balancer.Outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, checkFor)
	defer cancel()
	pr, err := begin(ctx, pool, id)
	if err != nil {
		return balancer.Outcome{}, err
	}
	o := ask(ctx, client, pr).outcome
	if err := ctx.Err(); err != nil {
		return o, err
	}
	if o.Verdict != balancer.OK || model == "" {
		return o, nil
	}
	lease, err := pool.LeaseKey(id, model)
	if err != nil {
		return balancer.Outcome{}, err
	}
	o = generate(ctx, client, lease, model)
	lease.Done(o)
	return o, ctx.Err()
}

// begin waits for its turn: a key has one probe at a time.
func begin(ctx context.Context, pool *balancer.Pool, id string) (*balancer.Probe, error) {
	for {
		pr, err := pool.BeginProbe(id)
		if !errors.Is(err, balancer.ErrBusy) {
			return pr, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(busyPause):
		}
	}
}

// generate asks a model for one token.
func generate(ctx context.Context, client *upstream.Client, lease *balancer.Lease, model string) balancer.Outcome {
	limited, cancel := context.WithTimeout(ctx, patientGen)
	defer cancel()
	answer, err := client.Do(limited, &upstream.Request{
		Method: http.MethodPost, Path: "/v1beta/models/" + url.PathEscape(model) + ":generateContent", Body: []byte(generation),
		Secret: lease.Secret(), Proxy: lease.Proxy(),
	})
	if err != nil {
		return heard(ctx, upstream.ClassifyError(err))
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxError))
	if err != nil && answer.StatusCode == http.StatusOK {
		return heard(ctx, upstream.ClassifyError(err))
	}
	return upstream.Classify(upstream.Answer{
		Status: answer.StatusCode, Header: answer.Header, Body: body, Now: time.Now(), Secret: lease.Secret(), Model: model,
	})
}

// heard is the outcome of an attempt without an answer: only the operator cancels.
func heard(ctx context.Context, o balancer.Outcome) balancer.Outcome {
	if o.Verdict == balancer.Canceled && ctx.Err() == nil {
		o.Verdict, o.Reason = balancer.UpstreamTimeout, "Google did not answer in time"
	}
	return o
}
