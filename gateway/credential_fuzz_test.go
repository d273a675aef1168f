// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// FuzzCredential: what is found is what a client sent, in every place alike, and two
// that differ are never one.
func FuzzCredential(f *testing.F) {
	f.Add("Bearer gb-a", "", "", "")
	f.Add("bearer  gb-a", "gb-a", "gb-a", "key=gb-a")
	f.Add("Bearer gb-a", "gb-b", "", "")
	f.Add("Basic Z2ItYTo=", "", "", "key=gb-a&key=gb-b")
	f.Add("", " ", "\t", "key=%67b-a&alt=sse")
	f.Add("", "", "", "key=%zz;key=gb-a")
	f.Fuzz(func(t *testing.T, authorization, xAPIKey, xGoogAPIKey, query string) {
		r := &http.Request{Header: http.Header{}, URL: &url.URL{RawQuery: query}}
		sent := []string{}
		for name, value := range map[string]string{"Authorization": authorization, "X-Api-Key": xAPIKey, "X-Goog-Api-Key": xGoogAPIKey} {
			if value == "" {
				continue
			}
			r.Header[name] = []string{value}
			value = strings.TrimSpace(value)
			if name == "Authorization" {
				scheme, token, _ := strings.Cut(value, " ")
				if !strings.EqualFold(scheme, "bearer") {
					continue
				}
				value = strings.TrimSpace(token)
			}
			sent = append(sent, value)
		}
		for _, value := range r.URL.Query()["key"] {
			sent = append(sent, strings.TrimSpace(value))
		}
		slices.Sort(sent)
		sent = slices.DeleteFunc(slices.Compact(sent), func(s string) bool { return s == "" })
		for _, d := range []Dialect{OpenAI, Gemini} {
			switch found, err := credential(r, d); {
			case len(sent) > 1 && err == nil, err == nil && found != strings.Join(sent, ""):
				t.Errorf("%v: %q of %q, %v", d, found, sent, err)
			case err != nil && len(sent) < 2 && len(strings.Join(sent, "")) <= maxCredential:
				t.Errorf("%v: %v of %q", d, err, sent)
			}
		}
		if found, err := credential(r, Anthropic); err == nil && found != "" && !slices.Contains(sent, found) {
			t.Errorf("Anthropic: %q of %q", found, sent)
		}
	})
}
