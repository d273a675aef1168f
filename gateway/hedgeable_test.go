// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate"
)

// TestHedge_Not: who is never asked twice.
func TestHedge_Not(t *testing.T) {
	const native, contents = "/v1beta/models/" + model + ":generateContent", `"contents":[{"role":"user","parts":[{"text":"[[delay 5s]]"}]}]`
	sameProject := func(w *world) {
		all, _, _ := w.pool.List(balancer.Query{})
		for _, k := range all {
			must(w.t, w.pool.Delete(w.t.Context(), k.ID))
		}
		for i := range 4 {
			_, err := w.pool.Add(w.t.Context(), []balancer.NewKey{{Secret: fakegemini.DemoKey(i + 1), Project: "one"}})
			must(w.t, err)
		}
	}
	for name, tc := range map[string]struct {
		path, body string
		share      float64
		world      func(w *world)
	}{
		"off":              {native, "{" + contents + "}", 0, nil},
		"no samples":       {native, "{" + contents + "}", 1, func(w *world) { w.gw.pace = pace{} }}, //nolint:govet // nobody holds the lock
		"budget too small": {native, "{" + contents + "}", 0.5, nil},
		"one project":      {native, "{" + contents + "}", 1, sameProject},
		"one key": {native, "{" + contents + "}", 1, func(w *world) {
			for i := range 3 {
				must(w.t, w.pool.SetState(w.t.Context(), balancer.KeyID(fakegemini.DemoKey(i+1)), balancer.StateDisabled, ""))
			}
		}},
		"code execution": {native, `{"tools":[{"codeExecution":{}}],` + contents + "}", 1, nil},
		"images":         {"/v1/images/generations", `{"model":"gemini-2.5-flash-image","prompt":"[[delay 5s]]"}`, 1, nil},
		"count":          {"/v1beta/models/" + model + ":countTokens", "{" + contents + "}", 1, nil},
		"hedged":         {native, "{" + contents + "}", 1, nil}, // the test can fail
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := hedging(t, keys(4), tc.share)
				for range paceEnough {
					w.gw.pace.add(paced{"gemini-2.5-flash-image", false}, usual)
				}
				if tc.world != nil {
					tc.world(w)
				}
				want := 1
				if name == "hedged" {
					want = 2
				}
				got := w.do(t.Context(), http.MethodPost, tc.path, tc.body)
				if n := w.google.Count(); got.status != http.StatusOK || n != want {
					t.Errorf("%d after %d attempts, want %d: %s", got.status, n, want, got.body)
				}
				booked := int64(0)
				for _, c := range w.pool.Explain(balancer.ExplainQuery{Model: model}).Candidates {
					booked = max(booked, c.Score.Today)
				}
				if n := w.gw.budget.all(time.Now().Unix()).hedges; n != int64(want-1) {
					t.Errorf("the budget counts %d", n)
				}
				if s := w.pool.Stats(); booked > 1 || s.InFlight != 0 {
					t.Errorf("%d requests booked of one project, %d in flight", booked, s.InFlight)
				}
			})
		})
	}
}

func TestHedgeable(t *testing.T) {
	for name, tc := range map[string]struct {
		edit func(x *exchange, w *balancer.Want)
		want bool
	}{
		"plain":       {func(*exchange, *balancer.Want) {}, true},
		"bound":       {func(_ *exchange, w *balancer.Want) { w.Bound = &balancer.Binding{} }, false},
		"unmetered":   {func(_ *exchange, w *balancer.Want) { w.Unmetered = true }, false},
		"embeddings":  {func(x *exchange, _ *balancer.Want) { x.call.Generate = false }, false},
		"batch":       {func(x *exchange, _ *balancer.Want) { x.siblings = new(sync.Mutex) }, false},
		"image":       {func(x *exchange, _ *balancer.Want) { x.rt.op = opImages }, false},
		"edit":        {func(x *exchange, _ *balancer.Want) { x.rt.op = opImageEdits }, false},
		"speech":      {func(x *exchange, _ *balancer.Want) { x.rt.op = opSpeech }, false},
		"image model": {func(x *exchange, _ *balancer.Want) { x.call.Model = "gemini-3-pro-image-preview" }, false},
		"tts model":   {func(x *exchange, _ *balancer.Want) { x.call.Model = "gemini-2.5-flash-preview-tts" }, false},
	} {
		x, w := exchange{call: &translate.Call{Generate: true, Model: model}}, balancer.Want{}
		tc.edit(&x, &w)
		if got := x.hedgeable(&w); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}

func TestRepeatable(t *testing.T) {
	for name, tc := range map[string]struct {
		body string
		want bool
	}{
		"plain":               {`{"contents":[]}`, true},
		"functions":           {`{"tools":[{"functionDeclarations":[{"name":"codeExecution"}]}]}`, true},
		"functions, snake":    {`{"tools":[{"function_declarations":[]}]}`, true},
		"search":              {`{"tools":[{"googleSearch":{}},{"google_maps":{}}]}`, true},
		"null tool":           {`{"tools":[{"codeExecution":null}]}`, true},
		"words of tools":      {`{"contents":[{"parts":[{"text":"\"tools\":[{\"codeExecution\":{}}]"}]}]}`, true},
		"text":                {`{"generationConfig":{"responseModalities":["TEXT"]}}`, true},
		"code":                {`{"tools":[{"codeExecution":{}}]}`, false},
		"code, snake":         {`{"tools":[{"code_execution":{}}]}`, false},
		"code, escaped":       {`{"t\u006fols":[{"code\u0045xecution":{}}]}`, false},
		"code, second":        {`{"tools":[{"googleSearch":{}},{"functionDeclarations":[],"codeExecution":{}}]}`, false},
		"code, tools twice":   {`{"tools":[{"codeExecution":{}}],"tools":[]}`, false},
		"url":                 {`{"tools":[{"urlContext":{}}]}`, false},
		"others' servers":     {`{"tools":[{"mcpServers":[]}]}`, false},
		"unknown tool":        {`{"tools":[{"timeTravel":{}}]}`, false},
		"cache":               {`{"cachedContent":"cachedContents/x"}`, false},
		"cache, snake":        {`{"cached_content":"cachedContents/x"}`, false},
		"images":              {`{"generationConfig":{"responseModalities":["TEXT","IMAGE"]}}`, false},
		"speech, snake":       {`{"generation_config":{"response_modalities":["AUDIO"]}}`, false},
		"not JSON as we know": {`{contents:[]}`, false},
		"large":               {`{"contents":"` + strings.Repeat("x", maxHedged) + `"}`, false},
	} {
		if got := repeatable(&translate.Call{Body: []byte(tc.body)}); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}

// TestHasOutput: events without output do not win, nor do errors.
func TestHasOutput(t *testing.T) {
	const waiting = `data: {"candidates":[{"content":{"parts":[{"text":""}],"role":"model"}}],"usageMetadata":{"promptTokenCount":1}}` + "\n\n"
	event := func(candidate string) string { return waiting + `data: {"candidates":[` + candidate + `]}` + "\n\n" }
	for name, tc := range map[string]struct {
		stream string
		want   bool
	}{
		"nothing":       {"", false},
		"comment":       {": ping\n\n", false},
		"no output":     {waiting + waiting, false},
		"usage":         {`data: {"usageMetadata":{"promptTokenCount":1}}` + "\n\n", false},
		"error":         {`data: {"error":{"code":503}}` + "\n\n" + event(`{"finishReason":"STOP"}`), false},
		"not JSON":      {"data: {\n\n" + event(`{"finishReason":"STOP"}`), false},
		"text":          {event(`{"content":{"parts":[{"text":"a"}]}}`), true},
		"thought":       {event(`{"content":{"parts":[{"text":"a","thought":true}]}}`), true},
		"function call": {event(`{"content":{"parts":[{"functionCall":{"name":"f"}}]}}`), true},
		"end":           {event(`{"finishReason":"STOP"}`), true},
		"blocked":       {waiting + `data: {"promptFeedback":{"blockReason":"SAFETY"}}` + "\n\n", true},
	} {
		if got := hasOutput(newFrames(translate.SSE, strings.NewReader(tc.stream))); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}

func TestPace(t *testing.T) {
	var p pace
	k := paced{"m", true}
	for i := range paceEnough {
		if _, known := p.slow(k); known {
			t.Fatalf("known after %d", i)
		}
		p.add(k, time.Duration(paceEnough-i)*time.Second)
	}
	if got, known := p.slow(k); !known || got != 19*time.Second {
		t.Errorf("of 1 to 20 seconds: %s, %v", got, known)
	}
	if _, known := p.slow(paced{"m", false}); known {
		t.Error("whole answers have the pace of streams")
	}
	for i := range paceSamples {
		p.add(k, time.Duration(i+1)*time.Millisecond)
	}
	if got, _ := p.slow(k); got != 61*time.Millisecond {
		t.Errorf("of 1 to 64 newer milliseconds: %s", got)
	}
	for i := range 3 * maxPaced {
		p.add(paced{fmt.Sprint(i), true}, time.Second)
	}
	if n := len(p.models); n > maxPaced {
		t.Errorf("%d models", n)
	}
}
