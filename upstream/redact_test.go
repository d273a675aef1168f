// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"strings"
	"testing"
)

const plantedAQ = "AQ." + "Ab8RN6Kplanted_0123456789-abcdefghijklmnopqrst"

func TestRedact(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"nothing":         {"The model is overloaded.", "The model is overloaded."},
		"standard key":    {"Consumer '" + planted + "' is", "Consumer '[redacted]' is"},
		"inside a word":   {"x" + planted + "yz", "x[redacted]"},
		"new key":         {"key " + plantedAQ + ".", "key [redacted]."},
		"escaped new key": {"AQ%2E" + plantedAQ[3:], "[redacted]"},
		"consumer":        {"Consumer 'api_key:whatever-9' has", "Consumer 'api_key:[redacted]' has"},
		"project":         {"projects/123456789 and project 123456789, project=123456789&x", "projects/[redacted] and project [redacted], project=[redacted]&x"},
		"bearer":          {"Authorization: Bearer abc.def-g, x", "Authorization: Bearer [redacted], x"},
		"oauth":           {"token ya29.a0Af_x-y z", "token [redacted] z"},
		"query":           {"GET /v1beta/models?key=hunter2&alt=sse", "GET /v1beta/models?key=[redacted]&alt=sse"},
		"exact secret":    {"a fake-1 b", "a [redacted] b"},
		"escaped secret":  {"a fake%2F1 b", "a [redacted] b"},
		"ordinary words":  {"monkey=1 turkey= AQ. project 7 AIza", "monkey=1 turkey= AQ. project 7 AIza"},
	} {
		if got := Redact(c.in, "", "fake-1", "fake/1"); got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", name, got, c.want)
		}
	}
}

func FuzzRedact(f *testing.F) {
	f.Add("Consumer 'api_key:", "' has been suspended.")
	f.Add("AIza", "AIza")
	f.Add("AQ.", "%2E")
	f.Add("Bearer key=projects/", "")
	f.Fuzz(func(t *testing.T, before, after string) {
		for _, key := range []string{planted, plantedAQ} {
			// without being told the key, so that its looks alone give it away
			for _, s := range []string{before + key + after, before + key + after + key, "{\"m\":\"" + before + key + "\"}"} {
				if got := Redact(s); strings.Contains(got, key) {
					t.Errorf("%q survives in %q", key, got)
				}
			}
		}
	})
}
