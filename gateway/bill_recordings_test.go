// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/sse"
	"github.com/gemini-balance/caddy-gemini-balance/usage"
)

// recorded is what a recording's usageMetadata says, read another way. Of a stream the
// last word on each number counts.
type recorded struct {
	Usage *struct {
		Prompt     int64  `json:"promptTokenCount"`
		Cached     int64  `json:"cachedContentTokenCount"`
		Candidates int64  `json:"candidatesTokenCount"`
		Thoughts   int64  `json:"thoughtsTokenCount"`
		ToolUse    int64  `json:"toolUsePromptTokenCount"`
		Total      int64  `json:"totalTokenCount"`
		Traffic    string `json:"trafficType"`
	} `json:"usageMetadata"`
	Version string `json:"modelVersion"`
}

// TestBill_Recordings prices all answers of Google's that were recorded: tokens are
// those of usageMetadata, whose total they add up to, and where a table prices every
// kind of token alike, so is the bill.
func TestBill_Recordings(t *testing.T) {
	const dir = "../../shared/recordings"
	doc, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("no recordings beside the project")
	}
	must(t, err)
	var list []struct {
		Name, File, Endpoint, Model string
		Status                      int
	}
	must(t, json.Unmarshal(doc, &list))
	flat, err := usage.LoadPrices([]byte(`{"unit": "nano-USD per token", "prices": [
		{"models": ["*"], "source": "test", "date": "2026-11-26", "input": 1, "cached": 1, "output": 1, "flex": 1, "priority": 1, "grounding_query": 0, "grounding_maps": 0, "image": 0}]}`))
	must(t, err)
	// Their last event leaves out what an earlier one told; the total is of the rest.
	forgetful := map[string]bool{"grounding-native-output-with-builtin-tools-stream-s": true, "finish-malformed-function-call-s0": true}
	seen, priced := 0, 0
	for _, e := range list {
		body, err := os.ReadFile(filepath.Join(dir, e.File))
		must(t, err)
		if e.Status != 200 || !strings.HasSuffix(e.Endpoint, "enerateContent") || bytes.HasPrefix(body, []byte("[")) { // which is a stream's other form
			continue
		}
		var answer gemini.Response
		var want recorded
		for _, doc := range documents(t, e.File, body) {
			if answer.Decode(doc) != nil {
				continue // broken on purpose
			}
			_ = json.Unmarshal(doc, &want)
		}
		var real, one bill
		real.add(usage.BuiltInPrices(), e.Model, answer.Usage, usage.Used{})
		one.add(flat, e.Model, answer.Usage, usage.Used{})
		u := answer.Usage
		if u.Version != want.Version || u.Reported != (want.Usage != nil) {
			t.Errorf("%s: by %q, reported %v; want %q", e.Name, u.Version, u.Reported, want.Version)
		}
		if want.Usage == nil {
			continue
		}
		m := want.Usage
		seen++
		if u.Prompt != m.Prompt || u.Cached != m.Cached || u.Thoughts != m.Thoughts || u.ToolUse != m.ToolUse {
			t.Errorf("%s: %+v, want %+v", e.Name, u, m)
		}
		if sum := u.Input() + u.Output(); sum != m.Total && m.Total != 0 && !forgetful[e.Name] || one.cost != sum {
			t.Errorf("%s: %d tokens, charged as %d; Google says %d", e.Name, sum, one.cost, m.Total)
		}
		if !real.unpriced {
			priced++
			if real.cost <= 0 && m.Total > 0 || real.row == "" {
				t.Errorf("%s costs %d by %q", e.Name, real.cost, real.row)
			}
		}
		if known := usage.BuiltInPrices().Find(u.Version, time.Now()) != nil; known == real.unpriced && m.Traffic != "PROVISIONED_THROUGHPUT" && u.Maps == 0 {
			if usage.BuiltInPrices().Find(e.Model, time.Now()) == nil || known {
				t.Errorf("%s by %q: unpriced %v", e.Name, u.Version, real.unpriced)
			}
		}
	}
	if seen < 75 || priced < 50 {
		t.Errorf("only %d recordings report usage, and %d have a price", seen, priced)
	}
}

// documents are those of an answer: one, or a stream's.
func documents(t *testing.T, file string, body []byte) (docs [][]byte) {
	t.Helper()
	if !strings.HasSuffix(file, ".sse") {
		return [][]byte{body}
	}
	frames := sse.NewReader(bytes.NewReader(body))
	defer frames.Release()
	for {
		_, data, err := frames.Next()
		if err == io.EOF {
			return docs
		}
		must(t, err)
		docs = append(docs, bytes.Clone(data))
	}
}
