// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"bytes"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

// TestEnvelopes: what was tagged with a master key opens with it, and nothing else
// does.
func TestEnvelopes(t *testing.T) {
	made := func(fill byte) *envelopes {
		s, err := store.NewSealer(bytes.Repeat([]byte{fill}, store.MasterKeySize))
		must(t, err)
		return newEnvelopes(s)
	}
	data := []byte(`{"m":"gemini-3","c":[{"i":"toolu_1","s":"c2ln"}]}`)
	sealed := made(1).seal(data)
	if strings.ContainsFunc(sealed, func(c rune) bool {
		return !strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", c)
	}) {
		t.Errorf("%s needs escaping", sealed)
	}
	if got, ok := made(1).open(sealed); !ok || !bytes.Equal(got, data) {
		t.Errorf("after a restart: %s %v", got, ok)
	}
	if got, ok := made(1).open(made(1).seal(nil)); !ok || len(got) != 0 {
		t.Errorf("nothing: %s %v", got, ok)
	}
	for name, s := range map[string]string{
		"other master key": made(2).seal(data), "cut": sealed[:len(sealed)-4], "empty": "", "short": sealed[:8], "no tag": sealed[24:],
		"no base64": "{}", "last bit": sealed[:len(sealed)-1] + "_",
	} {
		if got, ok := made(1).open(s); ok {
			t.Errorf("%s opened: %s", name, got)
		}
	}
}
