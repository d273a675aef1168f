// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"bytes"
	"crypto/sha256"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/settings"
)

// endless is a body that never ends and counts what is read of it.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	e.read += len(p)
	return copy(p, bytes.Repeat([]byte{' '}, len(p))), nil
}

// TestBodies_OfGuestsAreSmall: who has shown no key has next to nothing read.
// Source: specs/gateways.md D3.
func TestBodies_OfGuestsAreSmall(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	f.spec = nil
	for _, rt := range routes {
		if reads(rt.method) {
			continue
		}
		body := new(endless)
		r := httptest.NewRequestWithContext(t.Context(), rt.method, strings.ReplaceAll(rt.path, "{id}", "x"), body)
		r.Header.Set("Content-Type", "application/json")
		w := f.do(r)
		most, status := 0, http.StatusUnauthorized
		if rt.needs == needsNone {
			most, status = 64<<10, http.StatusRequestEntityTooLarge
		}
		if body.read > most || w.Code != status {
			t.Errorf("%s %s: %d after %d bytes, want %d after %d at most", rt.method, rt.path, w.Code, body.read, status, most)
		}
	}
}

// deadlines notes what is said of how long may be read.
type deadlines struct {
	*httptest.ResponseRecorder
	set []time.Time
}

func (d *deadlines) SetReadDeadline(at time.Time) error {
	d.set = append(d.set, at)
	return nil
}

// TestBodies_MustCome: a body that stops coming does not keep the connection.
func TestBodies_MustCome(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	send := func(body io.Reader) *deadlines {
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/admin/session", body)
		r.Header.Set("Content-Type", "application/json")
		w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
		f.ServeHTTP(w, r)
		return w
	}
	before := time.Now()
	w := send(io.MultiReader(strings.NewReader(`{"key":`), failing{os.ErrDeadlineExceeded}))
	if len(w.set) != 1 || w.set[0].Sub(before) < bodyTime-time.Minute || w.set[0].Sub(before) > bodyTime+time.Minute {
		t.Errorf("deadlines of a body that does not come: %v", w.set)
	}
	if w.Code != http.StatusRequestTimeout || !strings.Contains(w.Body.String(), "body_too_slow") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := send(strings.NewReader(`{"key":"` + adminKey + `"}`)); w.Code != http.StatusCreated || len(w.set) != 2 || !w.set[1].IsZero() {
		t.Errorf("%d, deadlines of a body that came: %v", w.Code, w.set)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// TestDecode_StopsAtManyFaults: a body of nothing but faults is not read to its end
// to count them.
func TestDecode_StopsAtManyFaults(t *testing.T) {
	var into struct {
		Known int      `json:"known"`
		List  []string `json:"list"`
	}
	for name, body := range map[string]string{
		"unknown fields":  `{` + strings.TrimSuffix(strings.Repeat(`"x":1,`, 100_000), ",") + `}`,
		"repeated fields": `{` + strings.TrimSuffix(strings.Repeat(`"known":1,`, 100_000), ",") + `}`,
		"wrong elements":  `{"list":[` + strings.TrimSuffix(strings.Repeat(`1,`, 100_000), ",") + `]}`,
	} {
		t.Run(name, func(t *testing.T) {
			err := decode([]byte(body), &into)
			p := asProblem(err)
			if err == nil || p.Code != "invalid_body" || len(p.Errors) != maxFaults || !strings.Contains(p.Detail, "99 more") {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestImport_JunkIsBounded: 5 MiB of short lines are millions of them.
func TestImport_JunkIsBounded(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	const n = maxImportLines + 10
	for name, text := range map[string]string{
		"words":             strings.Repeat("a\n", n),
		"one line":          strings.Repeat("AIza ", n),
		"table":             "key,name\n" + strings.Repeat("a\n", n),
		"cell":              "key,name\n" + strings.Repeat("a ", n),
		"list":              `["a",` + strings.Repeat("1,", n) + "1]",
		"documents":         `{"key":"a"}` + strings.Repeat("\n[1]", n),
		"text of a list":    `["` + strings.Repeat("a ", n) + `"]`,
		"channels":          "[" + strings.TrimSuffix(strings.Repeat(`{"type":1,"key":"a"},`, n), ",") + "]",
		"keys of a channel": `[{"type":24,"key":"` + strings.Repeat(`a\n`, n) + `"}]`,
	} {
		t.Run(name, func(t *testing.T) {
			read, err := parseImport(formatAuto, text)
			if err != nil || len(read.lines) != maxImportLines || !read.more {
				t.Fatalf("%v: %d lines, more: %v", err, len(read.lines), read.more)
			}
		})
	}
	r := request("POST", "/admin/keys/gemini/import?dry_run=true", strings.Repeat("a\n", maxImportBytes/2))
	r.Header.Set("Content-Type", "text/plain")
	r.Header.Set("Authorization", adminKey)
	if w := f.do(r); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "40000 lines") {
		t.Errorf("%d %.300s", w.Code, w.Body)
	}
}

// TestEvents_OfScriptsEndWithTheirKey: who rotates the admin key shuts out whoever had
// the old one, also from streams that are open.
func TestEvents_OfScriptsEndWithTheirKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, settings.Patch{})
		f.config.AdminKeyHash = [32]byte{}
		f.state.SetAdminKey(sha256.Sum256([]byte(adminKey)))
		f.Handler = New(f.config)
		var ended []<-chan struct{}
		var pages []*pageStream
		for _, key := range []string{adminKey, viewerKey} {
			r, cancel := streamRequest(t, "/admin/events")
			defer cancel()
			r.Header.Set("Authorization", key)
			p := new(pageStream)
			ended, pages = append(ended, f.listen(r, p)), append(pages, p)
		}
		synctest.Wait()
		f.state.SetAdminKey(sha256.Sum256([]byte("another-admin-key-0123456789")))
		time.Sleep(eventComment + time.Second)
		synctest.Wait()
		select {
		case <-ended[0]:
		default:
			t.Error("the stream of the old admin key goes on")
		}
		if !strings.Contains(pages[0].read(), "signed_out") {
			t.Errorf("it ended without a reason: %s", pages[0].read())
		}
		if strings.Contains(pages[1].read(), "bye") {
			t.Errorf("the viewer's key is the same, but its stream ended: %s", pages[1].read())
		}
		f.state.Close()
		<-ended[1]
	})
}

// TestAudit_ClosedJobs: whoever closes a job takes away what tells of its work.
func TestAudit_ClosedJobs(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	j := f.job("POST", "/admin/keys/gemini/import", map[string]any{"text": keyText(0, 1)})
	if w := f.admin("DELETE", "/admin/jobs/"+j["id"].(string), ""); w.Code != http.StatusNoContent {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	items := f.must("GET", "/admin/audit?q=DELETE", "")["items"].([]any)
	if len(items) != 1 || items[0].(map[string]any)["object"] != j["id"] {
		t.Errorf("the log has %v", items)
	}
}
