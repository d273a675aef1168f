// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"net/http"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/settings"
)

// unwritten are the routes that change nothing which somebody would look for in the
// log of changes.
var unwritten = map[string]string{
	"POST /admin/session/ping": "says only that a person is there",
	"POST /admin/aliases/test": "asks",
}

// TestAudit_HasEveryChange: each route that may change something leaves exactly one
// entry when it has, and none when it was refused. Source: specs/gateways.md P4.
func TestAudit_HasEveryChange(t *testing.T) {
	for _, rt := range routes {
		name := rt.method + " " + rt.path
		if reads(rt.method) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, settings.Patch{})
			f.pool.SetProbed(true)
			f.spec = nil
			id := f.object(rt.path)
			send := func(key string) (status int, written []string) {
				before := len(f.entries())
				r := request(rt.method, strings.ReplaceAll(rt.path, "{id}", id), operationBodies[name])
				if mediaType := operationTypes[name]; mediaType != "" && operationBodies[name] != "" {
					r.Header.Set("Content-Type", mediaType)
				}
				r.Header.Set("Authorization", key)
				status = f.do(r).Code
				f.state.jobs.workers.Wait()
				entries := f.entries()
				for _, e := range entries[:len(entries)-before] {
					if e.Action != "refused" { // wrong tokens are written down as well
						written = append(written, e.Action)
					}
				}
				return status, written
			}
			if rt.needs != needsNone && rt.needs != needsSession {
				if status, written := send(viewerKey); status != http.StatusForbidden || len(written) != 0 {
					t.Errorf("a viewer: %d, written down: %v", status, written)
				}
			}
			status, written := send(adminKey)
			want := 1
			if unhappy[name] != "" || unwritten[name] != "" {
				want = 0
			}
			if (status/100 == 2) != (unhappy[name] == "") {
				t.Fatalf("%d: the test proves nothing", status)
			}
			if len(written) != want || want == 1 && written[0] != name {
				t.Errorf("%d, written down: %q", status, written)
			}
		})
	}
}
