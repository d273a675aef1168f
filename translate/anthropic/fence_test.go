// SPDX-License-Identifier: Apache-2.0

package anthropic

import (
	"strings"
	"testing"
)

// TestMessages_Fence: JSON that was asked for comes without the fence that some models
// put around it, however the events divide it.
func TestMessages_Fence(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"bare", `{"a":1}`, `{"a":1}`},
		{"fenced", "```json\n{\"a\":1}\n```", `{"a":1}`},
		{"fenced, with space", " \n```\n{\"a\":1}\n```\n", `{"a":1}`},
		{"never closed", "```json\n{\"a\":1}", "```json\n{\"a\":1}"},
		{"two blocks", "```\n1\n```\nand\n```\n2\n```", "```\n1\n```\nand\n```\n2\n```"},
		{"empty", "```json\n```", "```json\n```"},
		{"a fence later", "See:\n```json\n1\n```", "See:\n```json\n1\n```"},
		{"no language", "```{\"a\":1}\n```", "```{\"a\":1}\n```"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m, err := both(t, answered(`{"text":`+show(tc.text)+`}`, "STOP"), jsonOnly)
			if err != nil || m.text() != tc.want {
				t.Errorf("%v, %v", m, err)
			}
			docs := make([]string, 0, len(tc.text)+1)
			for piece := range strings.SplitSeq(tc.text, "") {
				docs = append(docs, event(`{"text":`+show(piece)+`}`))
			}
			out, err := streamDocs(messages(streamed, jsonOnly), append(docs, stop)...)
			if err != nil {
				t.Fatal(err)
			}
			if m, _ := collect(t, []byte(out)); m.text() != tc.want {
				t.Errorf("in pieces: %q", m.text())
			}
			if out, err = streamDocs(messages(streamed, jsonOnly), append(docs, event(callF), stop)...); err != nil {
				t.Fatal(err)
			}
			if m, _ := collect(t, []byte(out)); m.text() != tc.want || len(m.Content) != 2 {
				t.Errorf("before a call: %s", show(m.Content))
			}
		})
	}
}
