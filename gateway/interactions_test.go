// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestInteractions_Cut: the client of a stream that Google cuts gets an error event.
// Source: specs/native-anthropic.md A.11.
func TestInteractions_Cut(t *testing.T) {
	const begun = "event: interaction.created\ndata: {\"event_type\":\"interaction.created\",\"interaction\":{\"id\":\"v1_abc\",\"status\":\"in_progress\"}}\n\n"
	w := newWorld(t, keys(1), stub(t, func(rw http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		rw.Header().Set("Content-Type", "text/event-stream")
		_, _ = fmt.Fprint(rw, begun)
	}))
	for name, a := range map[string]answer{
		"made":      w.post("/v1beta/interactions", `{"model":"`+model+`","input":"x","stream":true}`),
		"and again": w.get("/v1beta/interactions/v1_abc?stream=true"),
	} {
		if a.status != 200 || !strings.HasPrefix(a.body, begun+"event: error\ndata: {") || !strings.Contains(a.body, "cut off") {
			t.Errorf("%s: %d %q", name, a.status, a.body)
		}
	}
}
