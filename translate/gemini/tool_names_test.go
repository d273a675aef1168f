// SPDX-License-Identifier: Apache-2.0

package gemini

import "testing"

// Names that all become the same one must not cost time squared.
func TestToolNames_ManyClashes(t *testing.T) {
	var n ToolNames
	sent := map[string]bool{}
	for i := range 20_000 {
		sent[n.Sent(string(rune(0x4e00+i)))] = true
	}
	if len(sent) != 20_000 || n.suffixes["__"]+n.suffixes["_"] > 20_001 {
		t.Errorf("%d names, last number %v", len(sent), n.suffixes)
	}
}
