// SPDX-License-Identifier: Apache-2.0

package media

import (
	"encoding/base64"
	"strings"
	"testing"
)

func FuzzBase64(f *testing.F) {
	for _, s := range []string{"", "AAAA", "AA==", "AA", "A", "AA=A", "====", "-_ \n", strings.Repeat("A", 33) + "*AA", strings.Repeat("Ab+/", 9)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		clean, ok := Base64(Text{b, true})
		if !ok {
			return
		}
		if _, err := base64.StdEncoding.DecodeString(string(clean)); err != nil || strings.ContainsAny(string(clean), "\r\n") {
			t.Fatalf("Base64(%q) = %q: %v", b, clean, err)
		}
	})
}

// Large data is only sampled, but whatever clients do differently is mended.
func TestBase64_Large(t *testing.T) {
	large := strings.Repeat("AAAA", 2*sample)
	at := func(i int, s string) string { return large[:i] + s + large[i+len(s):] }
	for _, c := range []struct {
		name, in, want string
		copied         bool
	}{
		{"clean", large, large, false},
		{"URL-safe letter in the middle", at(4*sample, "-_"), at(4*sample, "+/"), false},
		{"no padding", large + "AA", large + "AA==", false},
		{"padding", large + "AA==", large + "AA==", false},
		{"lines", large[:76] + "\n" + large[76:], large, true},
		{"quote in the middle of copied text", at(4*sample, `"`), "", true},
		{"quote at the end", at(len(large)-9, `*`), "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, ok := Base64(Text{[]byte(c.in), c.copied})
			if ok != (c.want != "") || string(got) != c.want {
				t.Errorf("got %d bytes, %v; want %d", len(got), ok, len(c.want))
			}
		})
	}
}
