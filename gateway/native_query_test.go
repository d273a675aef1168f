// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"net/http/httptest"
	"strings"
	"testing"
)

// TestNativeQuery_Form: Google is told one form of the answer, the one that the gateway
// reads. Source: specs/native-anthropic.md A.4.
func TestNativeQuery_Form(t *testing.T) {
	for query, want := range map[string]string{
		"alt=sse":                  "alt=sse",
		"$alt=sse":                 "alt=sse",
		"alt=json":                 "alt=json",
		"%24alt=json":              "alt=json",
		"alt=sse&alt=json":         "alt=sse",
		"alt=json&alt=sse":         "alt=json",
		"alt=sse&alt=sse":          "alt=sse",
		"alt=json&$alt=sse":        "alt=sse",
		"alt=sse&$alt=json":        "alt=sse",
		"$alt=sse&$alt=proto":      "alt=sse",
		"alt=proto":                "",
		"alt=proto&alt=sse":        "",
		"alt=proto&$alt=json":      "alt=json",
		"alt=":                     "",
		"stream=true&stream=false": "stream=true",
		"alt=sse&filter=a&filter=b&fields=x&key=": "alt=sse&filter=a&filter=b",
	} {
		r := httptest.NewRequest("POST", "/v1beta/models/"+model+":streamGenerateContent?"+query, nil)
		got := nativeQuery(r)
		if got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
		if sse := strings.HasPrefix(got, "alt=sse"); sse != wantsSSE(r) {
			t.Errorf("%s: the gateway reads SSE: %v, but asks for %q", query, wantsSSE(r), got)
		}
	}
}
