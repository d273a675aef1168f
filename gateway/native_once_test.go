// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/upstream"
)

// oncePosts make what costs money or stays; none may begin twice.
var oncePosts = map[string]string{
	"/v1beta/models/veo-3.1-generate-preview:predictLongRunning": `{"instances":[{"prompt":"a cat"}]}`,
	"/v1beta/models/" + model + ":batchGenerateContent":          `{"batch":{"displayName":"b","inputConfig":{"requests":{"requests":[{"request":{` + prompt + `}}]}}}}`,
	"/v1beta/models/" + model + ":asyncBatchEmbedContent":        `{"batch":{"displayName":"b"}}`,
	"/v1beta/fileSearchStores":                                   `{"displayName":"x"}`,
	"/v1beta/cachedContents":                                     `{"model":"models/` + model + `"}`,
	"/v1beta/fileSearchStores/mine:importFile":                   `{}`,
	"/v1beta/interactions":                                       `{"model":"` + model + `","input":"x"}`,
}

// onceWorld has three keys, a store in the project of one, and a Google that ends every
// request by end. It returns how many came.
func onceWorld(t *testing.T, end http.HandlerFunc, edit ...func(*Config)) (w *world, asked *atomic.Int64) {
	t.Helper()
	asked = new(atomic.Int64)
	google := stub(t, func(rw http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		end(rw, r)
	})
	w = newWorld(t, keys(3), append([]func(*Config){google}, edit...)...)
	patchWait(t, w, 0)
	x := &exchange{g: w.gw}
	x.record.UserID = mustUser(t, w)
	lease, err := w.pool.Lease(t.Context(), balancer.Want{Unmetered: true})
	must(t, err)
	x.bound = lease.Binding()
	lease.Done(balancer.Outcome{Verdict: balancer.Canceled})
	if f := x.remember("fileSearchStores/mine", time.Time{}); f != nil {
		t.Fatal(f)
	}
	return w, asked
}

// TestNative_Once: after an outcome that leaves open whether Google began what was
// asked, there is no other attempt, and no status that clients repeat by themselves.
func TestNative_Once(t *testing.T) {
	status := func(code int, name string) http.HandlerFunc {
		return func(rw http.ResponseWriter, _ *http.Request) {
			rw.WriteHeader(code)
			_, _ = fmt.Fprintf(rw, `{"error":{"code":%d,"message":"It broke.","status":%q}}`, code, name)
		}
	}
	for name, end := range map[string]http.HandlerFunc{
		"reset": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"cut": func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Length", "500")
			_, _ = rw.Write([]byte(`{"name":`))
			panic(http.ErrAbortHandler)
		},
		"500": status(500, "INTERNAL"),
		"502": status(502, "UNKNOWN"),
		"504": status(504, "DEADLINE_EXCEEDED"),
		"408": status(408, "DEADLINE_EXCEEDED"),
	} {
		for path, body := range oncePosts {
			t.Run(name+" "+path, func(t *testing.T) {
				w, asked := onceWorld(t, end)
				a := w.post(path, body)
				if a.status != 424 || !strings.Contains(a.body, "not known whether") {
					t.Errorf("%d %s, want 424", a.status, a.body)
				}
				want := `{"error":{"code":424,"message":"`
				if strings.HasSuffix(path, "/interactions") {
					want = `{"error":{"code":"outcome_unknown","message":"`
				}
				if !strings.HasPrefix(a.body, want) {
					t.Errorf("%s, want %s…", a.body, want)
				}
				if n := asked.Load(); n != 1 {
					t.Errorf("Google was asked %d times", n)
				}
			})
		}
	}
}

// TestNative_Once_Refused: what certainly did not begin is asked of another key.
func TestNative_Once_Refused(t *testing.T) {
	for name, end := range map[string]struct {
		status int
		body   string
	}{
		"429":               {429, `{"error":{"code":429,"message":"Quota exceeded for x","status":"RESOURCE_EXHAUSTED"}}`},
		"503":               {503, `{"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}`},
		"401 of the key":    {401, `{"error":{"code":401,"message":"No.","status":"UNAUTHENTICATED"}}`},
		"403 of the key":    {403, `{"error":{"code":403,"message":"Your API key was reported as leaked.","status":"PERMISSION_DENIED"}}`},
		"400 of the key":    {400, `{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT"}}`},
		"400 of the region": {400, `{"error":{"code":400,"message":"User location is not supported for the API use.","status":"FAILED_PRECONDITION"}}`},
	} {
		for path, body := range oncePosts {
			if strings.Contains(path, "importFile") {
				continue // only one project has the store
			}
			t.Run(name+" "+path, func(t *testing.T) {
				var n atomic.Int64
				w, asked := onceWorld(t, func(rw http.ResponseWriter, _ *http.Request) {
					if n.Add(1) > 1 {
						_, _ = rw.Write([]byte(`{"name":"batches/b","id":"b"}`))
						return
					}
					rw.WriteHeader(end.status)
					_, _ = rw.Write([]byte(end.body))
				})
				if a := w.post(path, body); a.status != 200 || asked.Load() != 2 {
					t.Errorf("%d %s after %d attempts", a.status, a.body, asked.Load())
				}
			})
		}
	}
}

// TestNative_Once_Unreached: where Google was not reached, there is another attempt,
// and the failure is no secret.
func TestNative_Once_Unreached(t *testing.T) {
	for path, body := range oncePosts {
		t.Run(path, func(t *testing.T) {
			var dials atomic.Int64
			up, err := upstream.New(upstream.Config{
				BaseURL: "https://google.test", UserAgent: "test",
				Dial: func(context.Context, string, string) (net.Conn, error) {
					dials.Add(1)
					return nil, &net.OpError{Op: "dial", Err: errors.New("refused")}
				},
			})
			must(t, err)
			t.Cleanup(up.Close)
			w, _ := onceWorld(t, nil, func(c *Config) { c.Upstream = up })
			if a := w.post(path, body); a.status != 500 || dials.Load() < 2 {
				t.Errorf("%d %s after %d attempts", a.status, a.body, dials.Load())
			}
		})
	}
}
