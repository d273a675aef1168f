// SPDX-License-Identifier: Apache-2.0

package upstream_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
	"github.com/gemini-balance/caddy-gemini-balance/upstream"
)

const secret = "AIza" + "SyOneKeyOfASimulatedGoogle-abcdefgh"

// attempt makes one request to the simulated Google and classifies its end.
func attempt(t *testing.T, google *fakegemini.Server, prompt string) balancer.Outcome {
	t.Helper()
	client, err := upstream.New(upstream.Config{BaseURL: google.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if strings.Contains(prompt, "[[hang]]") {
		ctx, cancel = context.WithTimeout(ctx, 50*time.Millisecond)
		defer cancel()
	}
	res, err := client.Do(ctx, &upstream.Request{
		Method: "POST", Path: "/v1beta/models/gemini-flash-latest:generateContent", Secret: secret,
		Body: fmt.Appendf(nil, `{"contents":[{"role":"user","parts":[{"text":%q}]}]}`, prompt),
	})
	if err != nil {
		return upstream.ClassifyError(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return upstream.ClassifyError(err)
	}
	return upstream.Classify(upstream.Answer{
		Status: res.StatusCode, Header: res.Header, Body: body, Model: "gemini-flash-latest", Now: time.Now(), Secret: secret,
	})
}

func TestSimulatedKeys(t *testing.T) {
	for state, want := range map[fakegemini.KeyState]balancer.Verdict{
		fakegemini.KeyOK: balancer.OK, fakegemini.KeyInvalid: balancer.InvalidKey, fakegemini.KeyExpired: balancer.InvalidKey,
		fakegemini.KeySuspended: balancer.SuspendedKey, fakegemini.KeyLeaked: balancer.LeakedKey, fakegemini.KeyBlocked: balancer.MisconfiguredKey,
		fakegemini.KeyReferrer: balancer.MisconfiguredKey, fakegemini.KeyRefused: balancer.MisconfiguredKey, fakegemini.KeyAPIOff: balancer.MisconfiguredKey,
		fakegemini.KeyLocation: balancer.Location, fakegemini.KeyDepleted: balancer.UnfundedProject, fakegemini.KeyNoBilling: balancer.UnfundedProject,
		fakegemini.KeyRobot: balancer.RouteBlocked,
	} {
		google := fakegemini.New(fakegemini.Config{Keys: []fakegemini.Key{{Secret: secret, State: state}}})
		if err := google.Start(); err != nil {
			t.Fatal(err)
		}
		o := attempt(t, google, "hello")
		google.Close()
		if o.Verdict != want || strings.Contains(o.Reason, secret) {
			t.Errorf("key %s: %+v", state, o)
		}
		if len(google.Violations()) != 0 {
			t.Errorf("key %s: %v", state, google.Violations())
		}
	}
}

func TestSimulatedQuotas(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		limits fakegemini.Limits
		want   balancer.Verdict
		rest   time.Duration
		day    bool
		limit  int64
	}{
		"minute": {fakegemini.Limits{RPM: 1}, balancer.RateLimited, 47500 * time.Millisecond, false, 1},
		"day":    {fakegemini.Limits{RPM: 1, RPD: 1}, balancer.Exhausted, 0, true, 1},
		"tokens": {fakegemini.Limits{TPM: 3}, balancer.RateLimited, 47500 * time.Millisecond, false, 3},
		"none":   {fakegemini.Limits{RPD: -1}, balancer.NoQuota, 24 * time.Hour, false, -1},
	} {
		clock := now
		google := fakegemini.New(fakegemini.Config{
			Keys: []fakegemini.Key{{Secret: secret}}, Limits: c.limits, Now: func() time.Time { return clock },
		})
		if err := google.Start(); err != nil {
			t.Fatal(err)
		}
		if o := attempt(t, google, "hello"); o.Verdict != balancer.OK && c.limit > 0 {
			t.Errorf("%s: first attempt %+v", name, o)
		}
		clock = now.Add(12500 * time.Millisecond)
		o := attempt(t, google, "hello")
		google.Close()
		if o.Verdict != c.want || o.Rest != c.rest || o.UntilMidnight != c.day || len(o.Limits) == 0 || o.Limits[0].Value != c.limit || o.Limits[0].Model != "gemini-3.8-flash" {
			t.Errorf("%s: %+v", name, o)
		}
	}
}

func TestSimulatedSpendLimit(t *testing.T) {
	google := fakegemini.New(fakegemini.Config{
		Keys: []fakegemini.Key{{Secret: secret, Project: "p"}}, Projects: []fakegemini.Project{{Name: "p", Spend: 1}}, TokenPrice: 1,
	})
	if err := google.Start(); err != nil {
		t.Fatal(err)
	}
	defer google.Close()
	if o := attempt(t, google, "hello"); o.Verdict != balancer.OK {
		t.Errorf("the first request: %+v", o)
	}
	if o := attempt(t, google, "hello"); o.Verdict != balancer.SpendLimited || o.Blame != balancer.ScopeProject || o.Rest != time.Minute {
		t.Errorf("the second request: %+v", o)
	}
}

func TestSimulatedFaults(t *testing.T) {
	google := fakegemini.New(fakegemini.Config{Keys: []fakegemini.Key{{Secret: secret}}})
	if err := google.Start(); err != nil {
		t.Fatal(err)
	}
	defer google.Close()
	for prompt, want := range map[string]balancer.Verdict{
		"fine": balancer.OK, "[[status 400]]": balancer.BadRequest, "[[status 429]]": balancer.Throttled, "[[retry 9s]]": balancer.RateLimited,
		"[[status 500]]": balancer.ServerError, "[[status 502]]": balancer.ServerError, "[[status 503]]": balancer.Overloaded, "[[status 504]]": balancer.UpstreamTimeout,
		"[[html 502]]": balancer.RouteBlocked, "[[empty]]": balancer.Unusable, "[[error200]]": balancer.Overloaded,
		"[[reset]]": balancer.Network, "[[reset_event]]": balancer.Network, "[[length]]": balancer.Network, "[[hang]]": balancer.UpstreamTimeout,
	} {
		if o := attempt(t, google, prompt); o.Verdict != want {
			t.Errorf("%s: %+v", prompt, o)
		}
	}
}
