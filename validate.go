// SPDX-License-Identifier: Apache-2.0

package geminibalance

import (
	"context"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/probe"
)

// validate asks Google about one key through the client of the configuration in
// force, which counts it as a request of its own; see [probe.Check]. Jobs call it
// long after the configuration that began them is gone.
func (r *resource) validate(ctx context.Context, id, model string) (balancer.Outcome, error) {
	a := r.reporter.Load()
	if a == nil || !a.requests.enter() {
		return balancer.Outcome{}, context.Canceled // nothing serves any more
	}
	defer a.requests.leave()
	return probe.Check(ctx, r.pool, a.upstream, id, model)
}
