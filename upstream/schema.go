// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"net/http"
	"regexp"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
)

var (
	aboutSchema = regexp.MustCompile(`(?i)unknown name|invalid json payload|schema|too many states|nesting depth|function_?declarations\[\d+\]\.parameters`)
	aboutOthers = regexp.MustCompile(`(?i)\b(?:contents|system_?instruction|safety_?settings)\b[\[.']`)
	ownSchema   = regexp.MustCompile(`(?i)schema|function_?declarations`)
)

// RefusesSchema reports whether Google refused the request for the sake of a
// schema in it, which may pass in a plainer form. No key is to blame then.
// Source: specs/openai.md §5.3.
func RefusesSchema(o balancer.Outcome, body []byte) bool {
	if o.Verdict != balancer.BadRequest || o.Status != http.StatusBadRequest || !aboutSchema.Match(body) {
		return false
	}
	return ownSchema.Match(body) || !aboutOthers.Match(body)
}
