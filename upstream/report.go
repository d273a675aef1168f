// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
)

// report is what an error body says, with both of Google's error shapes and all
// the forms between (array, event, HTML, nothing) brought to one. It is built
// once and asked by the rules.
type report struct {
	status   int    // HTTP status; where that is a success, the one the body claims
	rpc      string // RESOURCE_EXHAUSTED, …
	code     string // Interactions API: rate_limit_exceeded, …
	message  string // as Google worded it, not redacted; the whole body where it is no JSON
	text     string // message and debug text, or the whole body where it is no JSON; lower case
	json     bool   // the body is Google's: a JSON error object
	html     bool
	empty    bool // no body at all, or an object without content
	reasons  []string
	fields   []string // fieldViolations[].field
	limits   []balancer.Limit
	retry    time.Duration // what Google announced, at its finest
	announce bool          // retry was given, even if it was 0
	consumer string        // project number
}

// wireError is Google's error object, both shapes: code is a number in the
// generateContent family and a word in the Interactions API.
type wireError struct {
	Code    json.RawMessage   `json:"code,omitempty"`
	Message string            `json:"message"`
	Status  string            `json:"status,omitempty"`
	Details []json.RawMessage `json:"details,omitempty"`
}

// wireDetail is the union of the google.rpc detail types that mean something.
type wireDetail struct {
	Type       string            `json:"@type"`
	Reason     string            `json:"reason"`
	Metadata   map[string]string `json:"metadata"`
	RetryDelay string            `json:"retryDelay"`
	Detail     string            `json:"detail"`
	Violations []struct {
		QuotaMetric     string            `json:"quotaMetric"`
		QuotaID         string            `json:"quotaId"`
		QuotaDimensions map[string]string `json:"quotaDimensions"`
		QuotaValue      json.RawMessage   `json:"quotaValue"`
	} `json:"violations"`
	FieldViolations []struct {
		Field string `json:"field"`
	} `json:"fieldViolations"`
}

// The vocabulary of the Interactions API.
// Source: specs/gateways.md §4.3, specs/native-anthropic.md A.11.
var codeStatus = map[string]int{
	"invalid_request": 400, "invalid_argument": 400, "parameter_unknown": 400, "parameter_missing": 400,
	"failed_precondition": 400, "content_blocked": 400, "out_of_range": 416,
	"authentication": 401, "unauthenticated": 401, "payment_required": 402,
	"permission_denied": 403, "not_found": 404, "model_not_found": 404, "cancelled": 499,
	"quota_exceeded": 429, "rate_limit_exceeded": 429, "too_many_requests": 429, "resource_exhausted": 429,
	"api_error": 500, "internal": 500, "internal_error": 500, "unimplemented": 501, "unavailable": 503,
	"overloaded": 503, "service_unavailable": 503, "deadline_exceeded": 504, "timeout": 504,
}

func newReport(a Answer) *report {
	r := &report{status: a.Status}
	body := bytes.TrimSpace(bytes.TrimPrefix(a.Body, []byte("\xef\xbb\xbf")))
	body = bytes.TrimSpace(bytes.TrimPrefix(body, []byte("data:")))
	e, ok := findError(body, a.Status >= 400)
	switch {
	case ok:
		r.json = true
		r.read(e)
	case len(body) == 0, a.Model != "" && (string(body) == "{}" || string(body) == "[]"):
		r.empty = true // {} is what a deletion is answered with, but no model's answer
	default:
		// A body cut at the cap is no JSON any more, but its words still count.
		r.message = string(body)
		r.text = strings.ToLower(r.message)
		r.html = strings.HasPrefix(r.text, "<") || strings.Contains(a.Header.Get("Content-Type"), "html")
	}
	if !r.announce {
		r.retryAfterHeader(a.Header, a.Now)
	}
	return r
}

// findError finds the error object in {"error": {…}}, in an array of those, and,
// where bare is set, one that stands alone.
func findError(body []byte, bare bool) (e wireError, ok bool) {
	if len(body) > 0 && body[0] == '[' {
		var list []json.RawMessage
		if json.Unmarshal(body, &list) != nil || len(list) == 0 {
			return e, false
		}
		// In the array form of a stream the error is the last element.
		body = list[len(list)-1]
	}
	var doc struct {
		Error json.RawMessage `json:"error"`
		wireError
	}
	if json.Unmarshal(body, &doc) != nil {
		return e, false
	}
	var word string
	switch {
	case len(doc.Error) > 0 && doc.Error[0] == '{' && json.Unmarshal(doc.Error, &e) == nil:
		return e, true
	case json.Unmarshal(doc.Error, &word) == nil && word != "":
		return wireError{Message: word}, true
	case bare && (doc.Message != "" || doc.Status != ""):
		return doc.wireError, true
	}
	return e, false
}

func (r *report) read(e wireError) {
	r.rpc, r.message = e.Status, e.Message
	number, word := 0, ""
	if json.Unmarshal(e.Code, &number) != nil {
		_ = json.Unmarshal(e.Code, &word) // neither number nor word: no code
	}
	r.code = word[strings.LastIndexByte(word, '/')+1:] // it may be a URI
	if r.status < 400 {
		r.status = cmp.Or(number, codeStatus[r.code], codeStatus[strings.ToLower(e.Status)])
	}
	texts := []string{e.Message}
	for _, raw := range e.Details {
		var d wireDetail
		if json.Unmarshal(raw, &d) == nil {
			r.detail(d)
			texts = append(texts, d.Detail)
		}
	}
	r.text = strings.ToLower(strings.Join(texts, "\n"))
	// The message has the exact time, retryDelay often only whole seconds of it.
	if m := retryIn.FindStringSubmatch(e.Message); m != nil {
		if d, err := time.ParseDuration(m[1]); err == nil {
			r.retry, r.announce = d, true
		}
	}
}

var retryIn = regexp.MustCompile(`(?i)\bretry in ((?:\d+(?:\.\d+)?(?:h|ms|m|s))+)`)

func (r *report) detail(d wireDetail) {
	switch {
	case strings.HasSuffix(d.Type, "RetryInfo"):
		if t, err := time.ParseDuration(d.RetryDelay); err == nil && t >= 0 {
			r.retry, r.announce = max(r.retry, t), true
		}
	case strings.HasSuffix(d.Type, "QuotaFailure"):
		for _, v := range d.Violations {
			r.limits = append(r.limits, balancer.Limit{
				ID: v.QuotaID, Metric: v.QuotaMetric, Model: v.QuotaDimensions["model"],
				Value: quotaValue(strings.Trim(string(v.QuotaValue), `"`)),
			})
		}
	case strings.HasSuffix(d.Type, "BadRequest"):
		for _, v := range d.FieldViolations {
			r.fields = append(r.fields, v.Field)
		}
	case d.Reason != "":
		r.reasons = append(r.reasons, d.Reason)
		if n, ok := strings.CutPrefix(d.Metadata["consumer"], "projects/"); ok {
			if _, err := strconv.ParseUint(n, 10, 64); err == nil {
				r.consumer = n
			}
		}
		// The older shape of a quota error has its one quota here.
		if id := d.Metadata["quota_limit"]; id != "" {
			r.limits = append(r.limits, balancer.Limit{
				ID: id, Metric: d.Metadata["quota_metric"], Model: d.Metadata["model"],
				Value: quotaValue(d.Metadata["quota_limit_value"]),
			})
		}
	}
}

func quotaValue(s string) int64 {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && n >= 0 {
		return n
	}
	return -1
}

// retryAfterHeader reads the header that Google does not send with 429, but
// front ends do with 503.
func (r *report) retryAfterHeader(h http.Header, now time.Time) {
	v := h.Get("Retry-After")
	if n, err := strconv.Atoi(v); err == nil && n >= 0 {
		r.retry, r.announce = time.Duration(min(n, 7*24*3600))*time.Second, true
	} else if at, err := http.ParseTime(v); err == nil && !now.IsZero() {
		r.retry, r.announce = max(at.Sub(now), 0), true
	}
}

// reason reports whether an ErrorInfo has one of these reasons.
func (r *report) reason(of ...string) bool {
	return slices.ContainsFunc(r.reasons, func(s string) bool { return slices.Contains(of, s) })
}

// says reports whether the text matches. Expressions that condemn a key are
// anchored: Google echoes what clients write, and a client must not be able to
// have a key condemned by writing the words.
func (r *report) says(re *regexp.Regexp) bool { return re.MatchString(r.text) }

// quota reports whether a violated quota's id or metric contains one of the words.
func (r *report) quota(words ...string) bool {
	return slices.ContainsFunc(r.limits, func(l balancer.Limit) bool {
		return slices.ContainsFunc(words, func(w string) bool {
			return strings.Contains(l.ID, w) || strings.Contains(l.Metric, w)
		})
	})
}

// noQuota reports whether one of the violated quotas is 0.
func (r *report) noQuota() bool {
	return slices.ContainsFunc(r.limits, func(l balancer.Limit) bool { return l.Value == 0 }) || r.says(limitZero)
}
