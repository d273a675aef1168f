// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/translate"
)

func TestFailure(t *testing.T) {
	_, byName := loadAnswers(t)
	for name, want := range map[string]struct {
		kind    translate.Kind
		code    string
		param   string
		after   time.Duration
		message string // a part of it
		details bool
	}{
		"key not valid":            {kind: translate.NoKeys, code: "upstream_auth_failed", message: "Your own key is fine"},
		"401 oauth expected":       {kind: translate.NoKeys, code: "upstream_auth_failed", message: "Your own key is fine"},
		"suspended":                {kind: translate.NoKeys, code: "upstream_auth_failed", message: "Your own key is fine"},
		"leaked":                   {kind: translate.NoKeys, code: "upstream_auth_failed", message: "Your own key is fine"},
		"service disabled":         {kind: translate.NoKeys, code: "upstream_auth_failed", message: "Your own key is fine"},
		"credits depleted":         {kind: translate.QuotaExhausted, message: "no credits left"},
		"billing disabled":         {kind: translate.NoKeys, message: "no billing"},
		"location":                 {kind: translate.Location, message: "region"},
		"temperature out of range": {kind: translate.InvalidRequest, param: "temperature", message: "temperature value of 3", details: true},
		"unknown field":            {kind: translate.InvalidRequest, param: "tools", message: "Cannot find field", details: true},
		"input too long":           {kind: translate.InvalidRequest, code: "context_length_exceeded", message: "1250074", details: true},
		"signature corrupted":      {kind: translate.InvalidRequest, message: "thought signature", details: true},
		"400 html":                 {kind: translate.InvalidRequest, message: "refused the request"},
		"too large":                {kind: translate.TooLarge, message: "refused the request"},
		"foreign file":             {kind: translate.NotFound, message: "File abc-123", details: true},
		"model unknown":            {kind: translate.ModelNotFound, message: "models/x is not found", details: true},
		"model forbidden":          {kind: translate.ModelNotFound, message: "No Gemini key of this gateway"},
		"limit 0":                  {kind: translate.ModelNotFound, message: "tier"},
		"minute":                   {kind: translate.RateLimited, after: 45837906927, message: "exceeded your current quota", details: true},
		"day, short retry":         {kind: translate.QuotaExhausted, message: "exceeded your current quota", details: true},
		"day, long retry":          {kind: translate.QuotaExhausted, after: 18*time.Hour + 6*time.Minute + 45500*time.Millisecond, message: "exceeded", details: true},
		"bare":                     {kind: translate.RateLimited, after: 5 * time.Second, message: "Resource has been exhausted", details: true},
		"no capacity":              {kind: translate.Overloaded, after: 9 * time.Second, message: "No capacity", details: true},
		"overloaded":               {kind: translate.Overloaded, after: 5 * time.Second, message: "overloaded", details: true},
		"internal":                 {kind: translate.Upstream, message: "internal error", details: true},
		"bad gateway":              {kind: translate.Upstream, message: "failed"},
		"deadline":                 {kind: translate.Timeout, message: "Deadline expired", details: true},
		"automated queries":        {kind: translate.Overloaded, after: time.Minute, message: "network address"},
		"200 empty":                {kind: translate.EmptyAnswer, message: "cannot be used"},
		"200 html":                 {kind: translate.MalformedAnswer, message: "cannot be used"},
		"redirect":                 {kind: translate.Upstream, message: "does not know"},
	} {
		a := byName[name]
		f := Failure(Classify(a), a.Body)
		if f.Kind != want.kind || f.Code != want.code || f.Param != want.param || f.RetryAfter != want.after {
			t.Errorf("%s: %+v", name, f)
		}
		if !strings.Contains(f.Message, want.message) {
			t.Errorf("%s: message %q lacks %q", name, f.Message, want.message)
		}
		if (f.Details != nil) != want.details {
			t.Errorf("%s: details %s", name, f.Details)
		}
	}
}

// Of every answer, for every verdict: nothing secret, and no 401 or 403.
func TestFailureLeaksNothing(t *testing.T) {
	names, byName := loadAnswers(t)
	for _, name := range names {
		a := byName[name]
		a.Secret = ""
		o := Classify(a)
		for verdict := balancer.OK; verdict <= balancer.Unclassified+1; verdict++ {
			o.Verdict = verdict
			f := Failure(o, a.Body)
			if f.Kind == translate.Unauthenticated || f.Kind == translate.Forbidden {
				t.Errorf("%s as %d: kind %d", name, verdict, f.Kind)
			}
			for _, s := range []string{f.Message, string(f.Details)} {
				for _, secret := range []string{planted, "764086051850", "containerInfo", "DebugInfo"} {
					if strings.Contains(s, secret) {
						t.Errorf("%s as %d tells %s: %s", name, verdict, secret, s)
					}
				}
			}
			var d struct{ Code any }
			if f.Details != nil && json.Unmarshal(f.Details, &d) != nil {
				t.Errorf("%s as %d: details are no JSON: %s", name, verdict, f.Details)
			}
		}
	}
}

func TestEveryVerdictHasAnAnswer(t *testing.T) {
	for verdict := balancer.Canceled; verdict <= balancer.Unclassified; verdict++ {
		if answers[verdict].text == "" {
			t.Errorf("verdict %d: no text", verdict)
		}
	}
}

func TestForeignResourceIsNotFound(t *testing.T) {
	_, byName := loadAnswers(t)
	a := byName["foreign file"]
	f := Failure(Classify(a), a.Body)
	const want = `{"code":404,"message":"You do not have permission to access the File abc-123 or it may not exist.","status":"NOT_FOUND"}`
	if string(f.Details) != want {
		t.Errorf("got  %s\nwant %s", f.Details, want)
	}
}
