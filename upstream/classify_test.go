// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/translate"
)

// planted is what {KEY} in testdata/answers.txt stands for; it is written in two
// pieces so that no scanner takes it for a real one.
const planted = "AIza" + "SyD-planted-0123456789_abcdefghijkl"

// answers of testdata/answers.txt by name, in their order.
func loadAnswers(t testing.TB) (names []string, byName map[string]Answer) {
	t.Helper()
	b, err := os.ReadFile("testdata/answers.txt")
	if err != nil {
		t.Fatal(err)
	}
	byName = map[string]Answer{}
	all := "\n" + strings.ReplaceAll(string(b), "{KEY}", planted)
	for _, section := range strings.Split(all, "\n== ")[1:] {
		head, body, _ := strings.Cut(section, "\n")
		head, name, ok := strings.Cut(head, " | ")
		code, contentType, ok2 := strings.Cut(head, " ")
		status, err := strconv.Atoi(code)
		if !ok || !ok2 || err != nil || byName[name].Status != 0 {
			t.Fatalf("answers.txt: bad or repeated heading %q", head)
		}
		names = append(names, name)
		byName[name] = Answer{
			Status: status, Body: []byte(strings.TrimSuffix(body, "\n")),
			Header: http.Header{"Content-Type": {contentType}}, Secret: planted, Model: "gemini-2.5-flash",
			Now: time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC),
		}
	}
	return names, byName
}

// want is an expected outcome without the parts that only describe.
type want = balancer.Outcome

func only(o balancer.Outcome) want {
	return want{Verdict: o.Verdict, Blame: o.Blame, Retry: o.Retry, State: o.State, Rest: o.Rest, UntilMidnight: o.UntilMidnight, Escalate: o.Escalate}
}

// The expected outcomes.
var (
	deadKeyWant    = want{Verdict: balancer.InvalidKey, Blame: balancer.ScopeKey, Retry: balancer.RetryOther, State: balancer.StateInvalid}
	leakedWant     = want{Verdict: balancer.LeakedKey, Blame: balancer.ScopeKey, Retry: balancer.RetryOther, State: balancer.StateLeaked}
	suspendedWant  = want{Verdict: balancer.SuspendedKey, Blame: balancer.ScopeProject, Retry: balancer.RetryOther, State: balancer.StateSuspended}
	apiOff         = want{Verdict: balancer.MisconfiguredKey, Blame: balancer.ScopeProject, Retry: balancer.RetryOther, State: balancer.StateMisconfigured}
	misconfigured  = want{Verdict: balancer.MisconfiguredKey, Blame: balancer.ScopeKey, Retry: balancer.RetryOther, State: balancer.StateMisconfigured}
	unbilledWant   = want{Verdict: balancer.UnfundedProject, Blame: balancer.ScopeProject, Retry: balancer.RetryOther, Rest: time.Hour}
	depletedWant   = want{Verdict: balancer.UnfundedProject, Blame: balancer.ScopeProject, Retry: balancer.RetryOther, Rest: time.Hour, Escalate: true}
	locationWant   = want{Verdict: balancer.Location, Blame: balancer.ScopeProject, Retry: balancer.RetryOther, Rest: 10 * time.Minute}
	badRequest     = want{Verdict: balancer.BadRequest}
	badSignature   = want{Verdict: balancer.BadSignature, Retry: balancer.RetrySame}
	foreignWant    = want{Verdict: balancer.ForeignResource}
	forbidden      = want{Verdict: balancer.ModelForbidden, Blame: balancer.ScopeProjectModel, Retry: balancer.RetryOther, Rest: time.Hour}
	oldUsers       = want{Verdict: balancer.ModelMissing, Blame: balancer.ScopeProjectModel, Retry: balancer.RetryOther, Rest: 24 * time.Hour}
	missing        = want{Verdict: balancer.ModelMissing, Blame: balancer.ScopeProjectModel, Retry: balancer.RetryOnce, Rest: time.Hour}
	routeBlocked   = want{Verdict: balancer.RouteBlocked, Blame: balancer.ScopeRoute, Retry: balancer.RetryOther, Rest: time.Minute}
	exhausted      = want{Verdict: balancer.Exhausted, Blame: balancer.ScopeProjectModel, Retry: balancer.RetryOther, UntilMidnight: true}
	noQuotaWant    = want{Verdict: balancer.NoQuota, Blame: balancer.ScopeProjectModel, Retry: balancer.RetryOther, Rest: 24 * time.Hour}
	throttled      = want{Verdict: balancer.Throttled, Blame: balancer.ScopeProjectModel, Retry: balancer.RetryOther, Rest: 5 * time.Second, Escalate: true}
	overspentWant  = want{Verdict: balancer.SpendLimited, Blame: balancer.ScopeProject, Retry: balancer.RetryOther, Rest: time.Minute, Escalate: true}
	overloadedWant = want{Verdict: balancer.Overloaded, Retry: balancer.RetryBackoff}
	serverError    = want{Verdict: balancer.ServerError, Retry: balancer.RetryOnce}
	timedOut       = want{Verdict: balancer.UpstreamTimeout, Retry: balancer.RetryOnce}
	unusable       = want{Verdict: balancer.Unusable, Retry: balancer.RetryOnce}
	unclassified   = want{Verdict: balancer.Unclassified}
	success        = want{}
)

// overspentUntil is overspentWant with a time that Google announced: that is not
// doubled.
func overspentUntil(rest time.Duration) want {
	w := overspentWant
	w.Rest, w.Escalate = rest, false
	return w
}

func minute(rest time.Duration) want {
	return want{Verdict: balancer.RateLimited, Blame: balancer.ScopeProjectModel, Retry: balancer.RetryOther, Rest: rest}
}

func dayUntil(rest time.Duration) want {
	w := exhausted
	w.UntilMidnight, w.Rest = false, rest
	return w
}

var classified = map[string]want{
	"key not valid": deadKeyWant, "key expired": deadKeyWant, "key not found": deadKeyWant,
	"key not valid, no details": deadKeyWant, "key not valid, array": deadKeyWant,
	"key words in a field name": badRequest,
	"location":                  locationWant, "free tier not in country": unbilledWant, "billing disabled": unbilledWant,
	"unknown field": badRequest, "temperature out of range": badRequest, "input too long": badRequest,
	"signature missing": badSignature, "signature corrupted": badSignature, "signature not valid": badSignature, "signature no base64": badSignature,
	"function responses missing": badRequest, "model turn last": badRequest, "invalid role": badRequest, "penalty": badRequest,
	"400 html": badRequest, "400 empty": badRequest,
	"401 oauth expected": misconfigured, "401 service blocked": misconfigured, "402": depletedWant,
	"suspended": suspendedWant, "suspended, no details": suspendedWant, "leaked": leakedWant, "project denied": suspendedWant, "consumer invalid": suspendedWant,
	"service disabled": apiOff, "method blocked": misconfigured, "referrer blocked": misconfigured, "address blocked": misconfigured, "unregistered caller": misconfigured,
	"foreign file": foreignWant, "foreign file with a telling name": foreignWant, "foreign cache": foreignWant, "foreign tuned model": foreignWant,
	"model forbidden": forbidden, "403 plain text": routeBlocked, "403 empty": unclassified, "403 html": routeBlocked,
	"automated queries": routeBlocked, "automated queries, 503": routeBlocked,
	"model unknown": missing, "model for old users": oldUsers, "file gone": foreignWant, "entity gone": foreignWant,
	"method not allowed": badRequest, "too large": badRequest,
	"day, short retry": exhausted, "day and minute": exhausted, "day of tokens": exhausted,
	"day, long retry": dayUntil(18*time.Hour + 6*time.Minute + 45500*time.Millisecond),
	"minute":          minute(45837906927), "minute of tokens": minute(26110 * time.Millisecond), "minute, two quotas": minute(12500 * time.Millisecond),
	"minute, milliseconds": minute(time.Second), "minute, zero retry": minute(time.Second), "minute, no retry info": minute(time.Minute),
	"minute, message only": minute(7250 * time.Millisecond), "paid minute of tokens": minute(3200 * time.Millisecond),
	"another model named": minute(20 * time.Second), "array wrapped minute": minute(10 * time.Second), "retry info alone": minute(9 * time.Second),
	"limit 0": noQuotaWant, "quota value 0": noQuotaWant, "quota value 0, number": noQuotaWant,
	"older shape": minute(time.Minute), "older shape, 0": noQuotaWant,
	"bare": throttled, "bare, plan and billing": throttled, "429 empty": throttled, "429 resource exhausted later": throttled,
	"credits depleted": depletedWant, "spending cap": depletedWant, "monthly spend limit": depletedWant,
	"spend rate": overspentWant, "spend rate, retry info": overspentUntil(31 * time.Second),
	"no capacity":          {Verdict: balancer.CapacityExhausted, Blame: balancer.ScopeModel, Retry: balancer.RetryBackoff, Rest: 9 * time.Second},
	"speech told to write": {Verdict: balancer.BadRequest, Retry: balancer.RetrySame},
	"cancelled":            {Verdict: balancer.Canceled}, "internal": serverError, "500 empty": serverError, "unimplemented": badRequest, "bad gateway": serverError,
	"overloaded": overloadedWant, "high demand": overloadedWant, "deadline": timedOut, "request timed out": timedOut, "529": overloadedWant, "redirect": unclassified,
	"interactions minute": minute(4500 * time.Millisecond), "interactions day": exhausted, "interactions burst": throttled,
	"interactions request": badRequest, "interactions uri code": missing, "interactions event": minute(time.Minute),
	"error inside 200": overloadedWant, "error inside 200, status only": throttled, "array inside 200": serverError,
	"200 empty": unusable, "200 empty object": unusable, "200 html": unusable, "200 good": success, "interaction completed": success,
}

func TestClassify(t *testing.T) {
	names, byName := loadAnswers(t)
	if len(names) != len(classified) {
		t.Errorf("%d answers, %d expectations", len(names), len(classified))
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			w, ok := classified[name]
			if !ok {
				t.Fatal("no expectation")
			}
			o := Classify(byName[name])
			if got := only(o); !reflect.DeepEqual(got, w) {
				t.Errorf("got  %+v\nwant %+v\nreason: %s", got, w, o.Reason)
			}
			if o.Verdict != balancer.OK && (o.Reason == "" || o.Status == 0) {
				t.Errorf("reason %q, status %d: must be told", o.Reason, o.Status)
			}
			if strings.Contains(o.Reason, planted) || strings.Contains(o.Reason, "764086051850") || strings.ContainsAny(o.Reason, "\n\r") {
				t.Errorf("reason must be one redacted line: %q", o.Reason)
			}
			if o.Verdict == balancer.ServerError || o.Verdict == balancer.Overloaded {
				if o.Blame != balancer.ScopeNone {
					t.Error("a 5xx must touch no key")
				}
			}
		})
	}
}

func TestClassifyTellsWhatWasRevealed(t *testing.T) {
	_, byName := loadAnswers(t)
	o := Classify(byName["day and minute"])
	limits := []balancer.Limit{
		{ID: "GenerateRequestsPerMinutePerProjectPerModel-FreeTier", Metric: "generativelanguage.googleapis.com/generate_content_free_tier_requests", Model: "gemini-2.5-flash", Value: 10},
		{ID: "GenerateRequestsPerDayPerProjectPerModel-FreeTier", Metric: "generativelanguage.googleapis.com/generate_content_free_tier_requests", Model: "gemini-2.5-flash", Value: 250},
	}
	if !reflect.DeepEqual(o.Limits, limits) || o.RetryAfter != 38*time.Second || o.Status != 429 {
		t.Errorf("got %+v", o)
	}
	if o := Classify(byName["minute, two quotas"]); o.Limits[0].Value != -1 {
		t.Errorf("a quota without value is %d, want -1", o.Limits[0].Value)
	}
	for _, name := range []string{"suspended", "service disabled", "older shape"} {
		if o := Classify(byName[name]); o.Consumer != "764086051850" {
			t.Errorf("%s: consumer %q", name, o.Consumer)
		}
	}
	if o := Classify(byName["error inside 200"]); o.Status != 503 {
		t.Errorf("error inside 200 has status %d", o.Status)
	}
}

// A body that was cut at the cap is no JSON, but is still read and redacted.
func TestClassifyCutBody(t *testing.T) {
	o := Classify(Answer{Status: 429, Body: []byte(`{"error":{"code":429,"message":"Consumer ` + planted + ` had Quota exceeded, limit: 0, model: x`)})
	if o.Verdict != balancer.NoQuota || strings.Contains(strings.ToLower(o.Reason), strings.ToLower(planted)) {
		t.Errorf("got %+v", o)
	}
}

func TestClassifyRetryAfterHeader(t *testing.T) {
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"7": 7 * time.Second, now.Add(90 * time.Second).Format(http.TimeFormat): 90 * time.Second,
		now.Add(-time.Hour).Format(http.TimeFormat): 0, "-1": 0, "soon": 0, "99999999999": 7 * 24 * time.Hour,
	} {
		o := Classify(Answer{Status: 503, Header: http.Header{"Retry-After": {value}}, Now: now})
		if o.RetryAfter != want {
			t.Errorf("Retry-After %q: %v, want %v", value, o.RetryAfter, want)
		}
	}
}

// What a client can write into a request may come back in an error's text, and
// must not condemn a key.
func TestClassifyEchoCondemnsNoKey(t *testing.T) {
	for _, echo := range []string{
		"API key not valid", "API key expired. Please renew the API key.", "Your API key was reported as leaked",
		"Consumer 'api_key:x' has been suspended", "Your project has been denied access", "API_KEY_INVALID", "CONSUMER_SUSPENDED",
	} {
		for _, status := range []int{400, 403, 404, 500} {
			message := fmt.Sprintf("Invalid value at 'contents[0].role': %q", echo)
			body, err := json.Marshal(map[string]any{"error": map[string]any{"code": status, "message": message, "status": "INVALID_ARGUMENT"}})
			if err != nil {
				t.Fatal(err)
			}
			if o := Classify(Answer{Status: status, Body: body}); o.Blame == balancer.ScopeKey || o.Blame == balancer.ScopeProject {
				t.Errorf("%d %q: %+v", status, echo, o)
			}
		}
	}
}

func TestClassifyRecordings(t *testing.T) {
	want := map[string]balancer.Verdict{
		"errors-429-per-minute-free-tier": balancer.RateLimited, "errors-429-retry-info": balancer.RateLimited,
		"errors-503-overloaded": balancer.Overloaded,
		"errors-chats-tests-sendmessage-send-message-stream-with-error-s":   balancer.ModelMissing,
		"errors-failure-context-cache-model-doesnt-match":                   balancer.BadRequest,
		"errors-failure-context-cache-not-found":                            balancer.ForeignResource,
		"errors-failure-firebaseml-api-not-enabled":                         balancer.MisconfiguredKey,
		"errors-failure-http-error":                                         balancer.Location,
		"errors-failure-invalid-context-cache-id":                           balancer.BadRequest,
		"errors-failure-unknown-model":                                      balancer.ModelMissing,
		"errors-failure-unsupported-user-location":                          balancer.Location,
		"errors-generate-content-invalid-role":                              balancer.BadRequest,
		"errors-model-name-suggestion-google":                               balancer.ModelMissing,
		"errors-real-error-scenarios-vertexai-gemini-2-5-flash-handles-c-1": balancer.BadRequest,
		"errors-streaming-failure-api-key":                                  balancer.InvalidKey,
		"errors-streaming-failure-unknown-model":                            balancer.ModelMissing,
		"errors-testagentmultimodalgemini-test-mixed-files-gemini-gemini-1": balancer.Throttled,
		"errors-testcrewmultimodalgemini-test-image-file-gemini-gemini-1":   balancer.ModelMissing,
		"errors-testgoogle-test-count-tokens-error":                         balancer.ModelMissing,
		"errors-testgoogleaierrorhandling":                                  balancer.MisconfiguredKey,
	}
	const dir = "../../shared/recordings"
	b, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		t.Skipf("recordings not here: %v", err)
	}
	var index []struct {
		Name, Group, File string
		Status            int
		Stream            bool
		Headers           map[string]string
	}
	if err := json.Unmarshal(b, &index); err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, e := range index {
		if e.Stream {
			continue
		}
		body, err := os.ReadFile(filepath.Join(dir, e.File))
		if err != nil {
			t.Fatal(err)
		}
		verdict, known := want[e.Name]
		if !known && e.Status != 200 {
			t.Errorf("%s: no expectation", e.Name)
		}
		if known {
			seen++
		}
		if o := Classify(Answer{Status: e.Status, Body: body}); o.Verdict != verdict {
			t.Errorf("%s: verdict %d, want %d (%s)", e.Name, o.Verdict, verdict, o.Reason)
		}
	}
	if seen != len(want) {
		t.Errorf("%d of %d expected recordings seen", seen, len(want))
	}
}

func TestClassifyError(t *testing.T) {
	reset := &net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}
	refused := &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	for name, c := range map[string]struct {
		err     error
		verdict balancer.Verdict
		retry   balancer.Retry
	}{
		"none":            {nil, balancer.OK, balancer.RetryNever},
		"client left":     {fmt.Errorf("reading: %w", context.Canceled), balancer.Canceled, balancer.RetryNever},
		"our deadline":    {context.DeadlineExceeded, balancer.UpstreamTimeout, balancer.RetryOnce},
		"silent socket":   {&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, balancer.UpstreamTimeout, balancer.RetryOnce},
		"refused":         {refused, balancer.Network, balancer.RetryBackoff},
		"dial timeout":    {&net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}, balancer.Network, balancer.RetryBackoff},
		"no such host":    {&net.DNSError{Err: "no such host", Name: "x", IsTimeout: true}, balancer.Network, balancer.RetryBackoff},
		"bad certificate": {&tls.CertificateVerificationError{Err: errors.New("expired")}, balancer.Network, balancer.RetryBackoff},
		"reset":           {reset, balancer.Network, balancer.RetryOnce},
		"cut":             {io.ErrUnexpectedEOF, balancer.Network, balancer.RetryOnce},
		"error inside a 200": {
			&translate.UpstreamError{Status: 503, Body: []byte(`{"error":{"code":503,"status":"UNAVAILABLE","message":"overloaded"}}`)},
			balancer.Overloaded, balancer.RetryBackoff,
		},
		"empty answer":         {&translate.Failure{Kind: translate.EmptyAnswer, Message: "nothing", Retry: true}, balancer.Unusable, balancer.RetryOnce},
		"answer of no use":     {&translate.Failure{Kind: translate.MalformedAnswer, Message: "bad"}, balancer.Unusable, balancer.RetryNever},
		"secret in an address": {errors.New("parse https://h/?key=" + planted), balancer.Network, balancer.RetryOnce},
	} {
		o := ClassifyError(c.err)
		if o.Verdict != c.verdict || o.Retry != c.retry || o.Blame != balancer.ScopeNone {
			t.Errorf("%s: %+v", name, o)
		}
		if c.err != nil && o.Reason == "" || strings.Contains(o.Reason, planted) {
			t.Errorf("%s: reason %q", name, o.Reason)
		}
	}
}

func FuzzClassify(f *testing.F) {
	names, byName := loadAnswers(f)
	for _, name := range names {
		a := byName[name]
		f.Add(a.Status, a.Body)
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		a := Answer{Status: status, Body: body, Secret: planted, Now: time.Unix(0, 0)}
		o := Classify(a)
		if o.Rest < 0 || o.RetryAfter < 0 || o.Rest > 25*time.Hour {
			t.Errorf("rest %v, retry after %v", o.Rest, o.RetryAfter)
		}
		fail := Failure(o, body)
		if fail.Message == "" || fail.Kind == translate.Unauthenticated || fail.Kind == translate.Forbidden {
			t.Errorf("failure %+v", fail)
		}
		if len(fail.Details) > 0 && !json.Valid(fail.Details) {
			t.Errorf("details are no JSON: %q", fail.Details)
		}
		for _, s := range []string{o.Reason, fail.Message, string(fail.Details)} {
			if strings.Contains(s, planted) {
				t.Errorf("the key survives in %q", s)
			}
		}
	})
}
