// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"net/http"
	"strings"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/native"
)

// acts reports whether the request does something to what is there that another
// request like it would do once more. Ending something twice ends it once.
func (x *exchange) acts() bool {
	if x.rt.op != opResource || x.r.Method != http.MethodPost {
		return false
	}
	return x.rt.verb != "cancel" && x.rt.verb != "delete" && !strings.HasSuffix(x.rt.name, "/cancel")
}

// once is an attempt at what Google must not do twice: an agent's run, a video, a
// batch cost money each time, whatever became of the answer. What Google may have
// begun gets no other attempt, and a status after which no client makes one by itself.
// Source: specs/native-anthropic.md A.11.
func (x *exchange) once(lease *balancer.Lease) result {
	res := x.attempt(lease)
	if res.failure == nil || res.failure.Kind == translate.Canceled || x.out.committed() || refusedOutright(&res.outcome) {
		return res
	}
	res.outcome.Retry = balancer.RetryNever
	res.failure = &translate.Failure{
		Kind: translate.Upstream, Code: native.CodeUnknownOutcome, Status: res.outcome.Status,
		Message: "It is not known whether Gemini began what was asked: " +
			strings.TrimSuffix(res.failure.Message, " Try again.") + " Look for it before you ask once more.",
	}
	return res
}

// refusedOutright reports whether Google has certainly not begun what was asked: it
// said so, or was never reached.
func refusedOutright(o *balancer.Outcome) bool {
	switch o.Verdict {
	case balancer.RouteBlocked:
		return true
	case balancer.Network: // upstream.ClassifyError: only what was not sent may be tried with a pause
		return o.Retry == balancer.RetryBackoff
	case balancer.UpstreamTimeout, balancer.Canceled: // 408 and 499 among them
		return false
	default:
		return o.Status >= 400 && o.Status < 500 || o.Status == http.StatusServiceUnavailable || o.Status == 529
	}
}
