// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/upstream/http1"
)

// Answer is what [Classify] may know of an attempt's answer.
type Answer struct {
	Status int         // HTTP status; for an error inside a 200 the claimed one, or 200
	Header http.Header // of the answer; nil for none
	Body   []byte      // its first 64 KiB; may be HTML, empty, or wrapped in an array
	Model  string      // asked for, "" for none
	Now    time.Time
	Secret string // the key in use, for redaction
}

// Classify tells whose fault an answer is, who rests how long, and where the
// request may be tried again. It is a pure function: the first rule that
// matches decides, and what no rule knows touches no key.
//
// Source: specs/openai.md §13.3, whose rows the rules follow, with
// specs/gateways.md §4.3 where that is more precise.
func Classify(a Answer) balancer.Outcome {
	r := newReport(a)
	o := balancer.Outcome{Verdict: balancer.Unclassified}
	for i := range rules {
		if rules[i].when(r) {
			o = rules[i].then
			if rules[i].rest != nil {
				rules[i].rest(r, &o)
			}
			break
		}
	}
	if o.Verdict == balancer.OK {
		return o
	}
	o.Status = a.Status
	if a.Status < 400 && r.status != 0 {
		o.Status = r.status
	}
	o.RetryAfter = r.retry
	o.Consumer = r.consumer
	o.Limits = r.limits
	o.Reason = r.reasonLine(a.Secret)
	return o
}

// rule is one row of the table.
type rule struct {
	row  string // of specs/openai.md §13.3, and what it is about
	when func(r *report) bool
	then balancer.Outcome
	rest func(r *report, o *balancer.Outcome) // computes what depends on the answer; nil for nothing
}

// The texts that Google's answers are known by, matched against lower case.
var (
	deadKey       = regexp.MustCompile(`^(?:the |your |this )?(?:provided )?api key (?:is |was |has )?(?:not valid|invalid|expired|not found)`)
	leakedKey     = regexp.MustCompile(`^your api key was reported as leaked`)
	suspended     = regexp.MustCompile(`^(?:permission denied: )?consumer '[^']*' has been suspended|^your project has been denied access|^(?:your )?(?:project|account|api key) (?:has been|was|is) suspended`)
	unregistered  = regexp.MustCompile(`^method doesn't allow unregistered callers`)
	keyBlocked    = regexp.MustCompile(`^requests (?:to this api|from) .* are blocked|^[\w -]+ api has not been used in project \S+ before or it is disabled`)
	foreign       = regexp.MustCompile(`\b(?:access|permission)\b[^.]*\b(?:file|cached ?content|tuned ?model|corpus|corpora|file ?search ?store)s?\b|\bcached ?content not found|\b(?:files|cachedcontents|tunedmodels|corpora|filesearchstores|batches|operations)/`)
	location      = regexp.MustCompile(`user location is not supported`)
	unbilled      = regexp.MustCompile(`\bbilling\b|\bfree tier\b`)
	signature     = regexp.MustCompile(`thought.?signature`)
	toldToWrite   = regexp.MustCompile(`^model tried to generate text`)
	unknownField  = regexp.MustCompile(`cannot find field`)
	blocked       = regexp.MustCompile(`\bblocked (?:due to|by|because|for)\b|\bprohibited content\b|\bsafety (?:filter|polic|setting|system)`)
	newUsers      = regexp.MustCompile(`no longer available to new users`)
	modelMissing  = regexp.MustCompile(`^(?:this model )?models/|^(?:the )?model\b|is not found for api version`)
	depleted      = regexp.MustCompile(`prepayment|credits? (?:are|is|balance)|spending cap|month[^.]*\bspend(?:ing)? limit|payment required|billing account`)
	overspent     = regexp.MustCompile(`spend-based rate limit|spending rate has exceeded|\bspend(?:ing)? limit`)
	capacity      = regexp.MustCompile(`model_capacity_exhausted|no capacity`)
	limitZero     = regexp.MustCompile(`\blimit: 0(?:[,;\s]|\.?$|\.\s)`)
	daily         = regexp.MustCompile(`\bper[ _]?day\b|\bdaily\b`)
	quotaExceeded = regexp.MustCompile(`^quota exceeded for|\* quota exceeded for metric`)
	automated     = regexp.MustCompile(`automated queries|unusual traffic`)
)

// The rests that Google does not announce.
const (
	rerunLocation  = 10 * time.Minute
	rerunUnfunded  = time.Hour
	rerunForbidden = time.Hour
	rerunRoute     = time.Minute
	rerunOverspent = time.Minute
	spendWindow    = 10 * time.Minute
	minuteWindow   = time.Minute // a minute quota without RetryInfo
	firstThrottle  = 5 * time.Second
	day            = 24 * time.Hour
)

// rules is the table. Rows 13 and 14 changed places: a quota of 0 is reported
// under its per-day name as well, but no midnight brings it back. Row 16 stands
// before them because it comes with a RetryInfo at times.
var rules = []rule{
	{
		row:  "0: success",
		when: func(r *report) bool { return r.status/100 == 2 && !r.json && !r.empty && !r.html },
		then: balancer.Outcome{Verdict: balancer.OK},
	}, {
		row:  "24: success without content",
		when: func(r *report) bool { return r.status/100 == 2 && !r.json },
		then: balancer.Outcome{Verdict: balancer.Unusable, Retry: balancer.RetryOnce},
	}, {
		row: "23: the page for robots, or no answer of the API at all",
		when: func(r *report) bool {
			return !r.json && r.says(automated) || r.html && in(r.status, 403, 429) || r.status == 403 && !r.json && !r.empty
		},
		then: balancer.Outcome{Verdict: balancer.RouteBlocked, Blame: balancer.ScopeRoute, Retry: balancer.RetryOther, Rest: rerunRoute},
	}, {
		row: "1: key invalid, expired or unknown",
		when: func(r *report) bool {
			return r.json && in(r.status, 400, 401, 403) && (r.reason("API_KEY_INVALID", "API_KEY_EXPIRED") || r.says(deadKey))
		},
		then: balancer.Outcome{Verdict: balancer.InvalidKey, Blame: balancer.ScopeKey, Retry: balancer.RetryOther, State: balancer.StateInvalid},
	}, {
		row:  "2: key leaked",
		when: func(r *report) bool { return r.json && in(r.status, 400, 401, 403) && r.says(leakedKey) },
		then: balancer.Outcome{Verdict: balancer.LeakedKey, Blame: balancer.ScopeKey, Retry: balancer.RetryOther, State: balancer.StateLeaked},
	}, {
		row: "2: project suspended",
		when: func(r *report) bool {
			return r.json && r.status == 403 && (r.reason("CONSUMER_SUSPENDED", "CONSUMER_INVALID") || r.says(suspended))
		},
		then: balancer.Outcome{Verdict: balancer.SuspendedKey, Blame: balancer.ScopeProject, Retry: balancer.RetryOther, State: balancer.StateSuspended},
	}, {
		row:  "3: the API is off in the project",
		when: func(r *report) bool { return in(r.status, 401, 403) && r.reason("SERVICE_DISABLED") },
		then: balancer.Outcome{Verdict: balancer.MisconfiguredKey, Blame: balancer.ScopeProject, Retry: balancer.RetryOther, State: balancer.StateMisconfigured},
	}, {
		row: "3: key restricted, or of a type that is refused",
		when: func(r *report) bool {
			return r.status == 401 && !r.html || r.status == 403 && (r.reason("API_KEY_SERVICE_BLOCKED", "API_KEY_HTTP_REFERRER_BLOCKED",
				"API_KEY_IP_ADDRESS_BLOCKED", "API_KEY_ANDROID_APP_BLOCKED", "API_KEY_IOS_APP_BLOCKED") ||
				r.says(unregistered) || r.says(keyBlocked))
		},
		then: balancer.Outcome{Verdict: balancer.MisconfiguredKey, Blame: balancer.ScopeKey, Retry: balancer.RetryOther, State: balancer.StateMisconfigured},
	}, {
		row:  "4: a resource of another project",
		when: func(r *report) bool { return r.json && r.status == 403 && r.says(foreign) },
		then: balancer.Outcome{Verdict: balancer.ForeignResource},
	}, {
		row:  "5: model not for this project",
		when: func(r *report) bool { return r.json && r.status == 403 },
		then: balancer.Outcome{Verdict: balancer.ModelForbidden, Blame: balancer.ScopeProjectModel, Retry: balancer.RetryOther, Rest: rerunForbidden},
	}, {
		row:  "6: region refused",
		when: func(r *report) bool { return r.json && r.status == 400 && r.says(location) },
		then: balancer.Outcome{Verdict: balancer.Location, Blame: balancer.ScopeProject, Retry: balancer.RetryOther, Rest: rerunLocation},
	}, {
		row:  "7: billing off",
		when: func(r *report) bool { return r.json && r.status == 400 && r.precondition() && r.says(unbilled) },
		then: balancer.Outcome{Verdict: balancer.UnfundedProject, Blame: balancer.ScopeProject, Retry: balancer.RetryOther, Rest: rerunUnfunded},
	}, {
		row:  "8: thought signatures",
		when: func(r *report) bool { return r.status == 400 && r.says(signature) && !r.says(unknownField) },
		then: balancer.Outcome{Verdict: balancer.BadSignature, Retry: balancer.RetrySame},
	}, {
		row:  "9: a text that a speech model took for an instruction; specs/openai.md §17",
		when: func(r *report) bool { return r.status == 400 && r.says(toldToWrite) },
		then: balancer.Outcome{Verdict: balancer.BadRequest, Retry: balancer.RetrySame},
	}, {
		row:  "9: content policy",
		when: func(r *report) bool { return r.status == 400 && (r.code == "content_blocked" || r.says(blocked)) },
		then: balancer.Outcome{Verdict: balancer.Blocked},
	}, {
		row: "9: request bad",
		when: func(r *report) bool {
			return in(r.status, 400, 405, 406, 409, 411, 412, 413, 414, 415, 416, 422, 431, 501)
		},
		then: balancer.Outcome{Verdict: balancer.BadRequest},
	}, {
		row:  "10: model only for older projects",
		when: func(r *report) bool { return r.status == 404 && r.says(newUsers) },
		then: balancer.Outcome{Verdict: balancer.ModelMissing, Blame: balancer.ScopeProjectModel, Retry: balancer.RetryOther, Rest: day},
	}, {
		row: "11: model missing",
		when: func(r *report) bool {
			return r.status == 404 && r.json && (r.code == "model_not_found" || r.says(modelMissing))
		},
		then: balancer.Outcome{Verdict: balancer.ModelMissing, Blame: balancer.ScopeProjectModel, Retry: balancer.RetryOnce, Rest: rerunForbidden},
	}, {
		row:  "4: a resource that is not there, or not in this project",
		when: func(r *report) bool { return r.status == 404 && r.json },
		then: balancer.Outcome{Verdict: balancer.ForeignResource},
	}, {
		row: "12: no money",
		when: func(r *report) bool {
			return r.status == 402 || r.status == 429 && len(r.limits) == 0 && r.says(depleted)
		},
		then: balancer.Outcome{
			Verdict: balancer.UnfundedProject, Blame: balancer.ScopeProject, Retry: balancer.RetryOther,
			Rest: rerunUnfunded, Escalate: true,
		},
	}, {
		// Its number is never named, and it is one for all models of the project.
		// Sources: specs/gateways.md §4.3; https://ai.google.dev/gemini-api/docs/rate-limits,
		// "Spend-based rate limits".
		row:  "12: spending too fast",
		when: func(r *report) bool { return r.status == 429 && r.says(overspent) },
		then: balancer.Outcome{Verdict: balancer.SpendLimited, Blame: balancer.ScopeProject, Retry: balancer.RetryOther},
		rest: func(r *report, o *balancer.Outcome) {
			if o.Rest, o.Escalate = rerunOverspent, !r.announce; r.announce {
				o.Rest = min(max(r.retry, time.Second), spendWindow)
			}
		},
	}, {
		row: "16: Google has no capacity for the model",
		when: func(r *report) bool {
			return r.status == 429 && (r.reason("MODEL_CAPACITY_EXHAUSTED") || r.says(capacity))
		},
		then: balancer.Outcome{Verdict: balancer.CapacityExhausted, Blame: balancer.ScopeModel, Retry: balancer.RetryBackoff},
		rest: func(r *report, o *balancer.Outcome) { o.Rest = min(max(r.retry, 5*time.Second), 30*time.Second) },
	}, {
		row:  "14: model not in the project's tier",
		when: func(r *report) bool { return r.status == 429 && r.noQuota() },
		then: balancer.Outcome{Verdict: balancer.NoQuota, Blame: balancer.ScopeProjectModel, Retry: balancer.RetryOther, Rest: day},
	}, {
		row: "13: day used up",
		when: func(r *report) bool {
			return r.status == 429 && (r.code == "quota_exceeded" || r.quota("PerDay", "per_day") || r.says(daily))
		},
		then: balancer.Outcome{Verdict: balancer.Exhausted, Blame: balancer.ScopeProjectModel, Retry: balancer.RetryOther},
		// A short RetryInfo beside a day quota is misleading, a long one is the rest
		// of the day by Google's own clock.
		rest: func(r *report, o *balancer.Outcome) {
			if o.UntilMidnight = r.retry <= time.Hour; !o.UntilMidnight {
				o.Rest = min(r.retry, day+time.Hour)
			}
		},
	}, {
		row: "15: minute used up",
		when: func(r *report) bool {
			return r.status == 429 && (len(r.limits) > 0 || r.announce || r.code == "rate_limit_exceeded" ||
				r.reason("RATE_LIMIT_EXCEEDED") || r.says(quotaExceeded))
		},
		then: balancer.Outcome{Verdict: balancer.RateLimited, Blame: balancer.ScopeProjectModel, Retry: balancer.RetryOther},
		rest: func(r *report, o *balancer.Outcome) {
			if o.Rest = minuteWindow; r.announce {
				o.Rest = min(max(r.retry, time.Second), time.Hour)
			}
		},
	}, {
		row:  "17: 429 without a reason, which is never the day",
		when: func(r *report) bool { return r.status == 429 },
		then: balancer.Outcome{
			Verdict: balancer.Throttled, Blame: balancer.ScopeProjectModel, Retry: balancer.RetryOther,
			Rest: firstThrottle, Escalate: true,
		},
	}, {
		row:  "18: overloaded",
		when: func(r *report) bool { return in(r.status, 503, 529) },
		then: balancer.Outcome{Verdict: balancer.Overloaded, Retry: balancer.RetryBackoff},
	}, {
		row:  "20: too slow",
		when: func(r *report) bool { return in(r.status, 408, 504) },
		then: balancer.Outcome{Verdict: balancer.UpstreamTimeout, Retry: balancer.RetryOnce},
	}, {
		row:  "19: server error",
		when: func(r *report) bool { return r.status >= 500 },
		then: balancer.Outcome{Verdict: balancer.ServerError, Retry: balancer.RetryOnce},
	}, {
		row:  "22: cancelled by us",
		when: func(r *report) bool { return r.status == 499 },
		then: balancer.Outcome{Verdict: balancer.Canceled},
	},
}

func in(n int, of ...int) bool { return slices.Contains(of, n) }

func (r *report) precondition() bool {
	return r.rpc == "FAILED_PRECONDITION" || r.code == "failed_precondition"
}

// reasonLine words what happened for operators: one line without secrets.
func (r *report) reasonLine(secret string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d", r.status)
	for _, s := range append([]string{r.rpc, r.code}, r.reasons...) {
		if s != "" {
			b.WriteByte(' ')
			b.WriteString(s)
		}
	}
	message := r.message
	switch {
	case r.html:
		message = "an HTML page"
	case r.empty:
		message = "an empty body"
	}
	message, _, _ = strings.Cut(strings.TrimSpace(message), "\n")
	if message != "" {
		b.WriteString(": ")
		b.WriteString(message)
	}
	for _, l := range r.limits {
		fmt.Fprintf(&b, "; %s", l.ID)
		if l.Value >= 0 {
			fmt.Fprintf(&b, " %d", l.Value)
		}
		if l.Model != "" {
			fmt.Fprintf(&b, " %s", l.Model)
		}
	}
	return clip(Redact(b.String(), secret), 400)
}

// clip cuts s to n bytes at a rune's border and makes it one printable line.
func clip(s string, n int) string {
	s = strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return ' '
		}
		return c
	}, s)
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}

// ClassifyError is [Classify] for an attempt that ended without a whole answer:
// the errors of [Client.Do], of reading a body, and those that a
// translate.Exchange reports of an answer's content.
func ClassifyError(err error) balancer.Outcome {
	if err == nil {
		return balancer.Outcome{}
	}
	if inner, ok := errors.AsType[*translate.UpstreamError](err); ok {
		return Classify(Answer{Status: cmp.Or(inner.Status, http.StatusOK), Body: inner.Body})
	}
	o := balancer.Outcome{Reason: clip(Redact(err.Error()), 400)}
	if unusable, ok := errors.AsType[*translate.Failure](err); ok {
		o.Verdict, o.Status = balancer.Unusable, unusable.Status
		if unusable.Retry {
			o.Retry = balancer.RetryOnce
		}
		return o
	}
	timeout, _ := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, context.Canceled):
		o.Verdict = balancer.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		o.Verdict, o.Retry = balancer.UpstreamTimeout, balancer.RetryOnce
	case neverConnected(err):
		// Nothing was sent; another route may be better, and Google may come back.
		o.Verdict, o.Retry = balancer.Network, balancer.RetryBackoff
	case timeout != nil && timeout.Timeout():
		o.Verdict, o.Retry = balancer.UpstreamTimeout, balancer.RetryOnce
	default: // reset, broken pipe, unexpected EOF, HTTP/2 stream errors
		o.Verdict, o.Retry = balancer.Network, balancer.RetryOnce
	}
	return o
}

// neverConnected reports whether dialing, resolving or the TLS handshake failed.
func neverConnected(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial" || is[*http1.ConnectError](err) || is[*net.DNSError](err) ||
		is[tls.RecordHeaderError](err) || is[*tls.CertificateVerificationError](err) || is[tls.AlertError](err) ||
		is[x509.UnknownAuthorityError](err) || is[x509.HostnameError](err) ||
		strings.Contains(err.Error(), "TLS handshake timeout") // net/http exports no type for it
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}
