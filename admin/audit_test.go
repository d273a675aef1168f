// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/settings"
	"github.com/gemini-balance/caddy-gemini-balance/store"
	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
)

// entries are all lines of the log, newest first.
func (f *fixture) entries() []auditEntry {
	f.t.Helper()
	items, _, err := f.state.audit.read("", "", 500)
	if err != nil {
		f.t.Fatal(err)
	}
	return items
}

func TestAudit_EachChangeIsWritten(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	f.spec = nil
	cookie := f.signIn(adminKey)
	r := request("POST", "/admin/config", `{"strategy":"round_robin"}`)
	r.AddCookie(cookie)
	r.Header.Set("Origin", "http://example.com")
	r.RemoteAddr = "192.0.2.7:1234"
	changed := f.do(r)
	f.browser(cookie, "POST", "/admin/session/ping", "")
	f.browser(cookie, "GET", "/admin/status", "")
	f.browser(cookie, "POST", "/admin/config", `{"strategy":"psychic"}`) // changes nothing
	f.wants("wrong key", 401, "192.0.2.9:1", "wrong")
	id := f.endedJob()
	f.admin("POST", "/admin/jobs/"+id+"/cancel", "")
	var got []string
	for _, e := range f.entries() {
		got = append(got, fmt.Sprintf("%s|%s|%s|%s|%s", strings.Split(e.Actor, " ")[0], e.Role, e.IP, e.Action, e.Object))
	}
	want := []string{
		"header|admin|192.0.2.1|POST /admin/jobs/{id}/cancel|" + id,
		"|||refused|",
		"session|admin|192.0.2.7|POST /admin/config|",
		"session|admin|192.0.2.1|POST /admin/session|",
	}
	want[1] = "||192.0.2.9|refused|"
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("the log is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if e := f.entries()[2]; e.RequestID != changed.Header().Get("X-Request-Id") || !e.At.Equal(f.clock.now()) {
		t.Errorf("entry %+v, want the id of the request and the time", e)
	}
}

func TestAudit_HasNoSecrets(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	f.spec = nil
	f.signIn(adminKey)
	_, secret := f.createUserKey("alice")
	f.addGeminiKey(1)
	f.wants("wrong key", 401, addr, "canary-wrong-key")
	f.do(request("POST", "/admin/setup", `{"token":"canary-token"}`))
	err := f.store.Scan("admin/", "", func(key string, value []byte) bool {
		for _, word := range []string{"canary", "Canary", secret, secret[len(secret)-10:]} {
			if strings.Contains(key+string(value), word) {
				t.Errorf("%s has %q: %s", key, word, value)
			}
		}
		return true
	})
	if err != nil || len(f.entries()) < 4 {
		t.Fatal(err, len(f.entries()))
	}
}

func TestAudit_PagesAndSearches(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	for i := range 25 {
		if err := f.state.audit.append(auditEntry{Actor: "header", Role: roleAdmin, Action: "POST /admin/x", Object: fmt.Sprintf("gk_%02d", i), Detail: "Änderung"}); err != nil {
			t.Fatal(err)
		}
	}
	var objects []string
	cursor := ""
	for pages := 0; ; pages++ {
		target := "/admin/audit?limit=10"
		if cursor != "" {
			target += "&cursor=" + cursor
		}
		answer := f.must("GET", target, "")
		for _, item := range answer["items"].([]any) {
			objects = append(objects, item.(map[string]any)["object"].(string))
		}
		next, more := answer["next"].(string)
		if !more {
			break
		}
		if cursor = next; pages > 3 {
			t.Fatal("the pages do not end")
		}
	}
	if len(objects) != 25 || objects[0] != "gk_24" || objects[24] != "gk_00" {
		t.Errorf("the pages have %v", objects)
	}
	for query, want := range map[string]int{"gk_07": 1, "GK_1": 10, "POST": 25, "nothing": 0, "hash": 0} {
		if items := f.must("GET", "/admin/audit?q="+query, "")["items"].([]any); len(items) != want {
			t.Errorf("q=%s finds %d, want %d", query, len(items), want)
		}
	}
	if err := f.state.audit.append(auditEntry{Action: "POST /admin/x", Detail: `note: "a<b & c>d" → "` + "\u2028" + `"`}); err != nil {
		t.Fatal(err)
	}
	for _, words := range []string{"a<b", "B & C", "c>d", `"a<b & c>d"`, "→"} { // which JSON writes otherwise
		if items := f.must("GET", "/admin/audit?q="+url.QueryEscape(words), "")["items"].([]any); len(items) != 1 {
			t.Errorf("%q finds %d", words, len(items))
		}
	}
	for _, bad := range []string{"cursor=x", "cursor=zzzzzzzzzzzzzzzz", "limit=0", "offset=1"} {
		if w := f.admin("GET", "/admin/audit?"+bad, ""); w.Code != http.StatusBadRequest {
			t.Errorf("%s: %d", bad, w.Code)
		}
	}
}

// TestAudit_TamperingIsFound changes the store behind the log's back, as somebody
// with the database file but without the master key could. Source:
// specs/gateways.md P4.
func TestAudit_TamperingIsFound(t *testing.T) {
	put := func(key, value string) func(store.Store) store.Batch {
		return func(store.Store) store.Batch {
			return store.Batch{Ops: []store.Op{{Key: key, Value: []byte(value)}}}
		}
	}
	edit := func(key, old, with string) func(store.Store) store.Batch {
		return func(db store.Store) store.Batch {
			value, err := db.Get(key)
			if err != nil || !strings.Contains(string(value), old) {
				t.Fatalf("%s: %s, %v", key, value, err)
			}
			return put(key, strings.Replace(string(value), old, with, 1))(db)
		}
	}
	remove := func(keys ...string) func(store.Store) store.Batch {
		return func(store.Store) (b store.Batch) {
			for _, key := range keys {
				b.Ops = append(b.Ops, store.Op{Key: key})
			}
			return b
		}
	}
	for name, test := range map[string]struct {
		tamper func(db store.Store) store.Batch
		fault  string
	}{
		"nothing":          {nil, ""},
		"object":           {edit(auditKey(3), "gk_3", "gk_9"), "entry 3 was changed"},
		"time":             {edit(auditKey(3), "2026-", "2025-"), "entry 3 was changed"},
		"hash":             {edit(auditKey(3), `"hash":"`, `"hash":"00`), "entry 3 was changed"},
		"first":            {edit(auditKey(1), "gk_1", "gk_2"), "entry 1 was changed"},
		"last":             {edit(auditKey(5), "gk_5", "gk_2"), "entry 5 was changed"},
		"taken out":        {remove(auditKey(3)), "entry 3 is missing"},
		"first taken out":  {remove(auditKey(1)), "entry 1 is missing"},
		"last taken out":   {remove(auditKey(5)), "entry 5 is missing"},
		"all taken out":    {remove(auditKey(1), auditKey(2), auditKey(3), auditKey(4), auditKey(5)), "entry 5 is missing"},
		"damaged":          {put(auditKey(2), "{"), "entry 2 is damaged"},
		"added at the end": {put(auditKey(6), `{"seq":6,"hash":"x"}`), "entry 6 was added"},
		"head set back":    {edit(auditHead, `"seq":5`, `"seq":4`), "the head of the log was changed"},
		"head gone":        {remove(auditHead), "the head of the log was changed"},
		"end cut with head": {func(db store.Store) store.Batch {
			return store.Batch{Ops: append(remove(auditKey(5))(db).Ops, edit(auditHead, `"seq":5`, `"seq":4`)(db).Ops...)}
		}, "the head of the log was changed"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, settings.Patch{})
			for i := range 5 {
				if err := f.state.audit.append(auditEntry{Object: fmt.Sprintf("gk_%d", i+1)}); err != nil {
					t.Fatal(err)
				}
			}
			if test.tamper != nil {
				if err := f.store.Write(test.tamper(f.store)); err != nil {
					t.Fatal(err)
				}
			}
			report := f.must("GET", "/admin/audit/verify", "")
			fault, _ := report["fault"].(string)
			if fault != test.fault || report["whole"] != (test.fault == "") {
				t.Errorf("%v, want %q", report, test.fault)
			}
		})
	}
}

// TestAudit_TamperingIsFoundAfterARestart: the same when nothing is in memory.
func TestAudit_TamperingIsFoundAfterARestart(t *testing.T) {
	db, now := memory.New(), func() time.Time { return time.Unix(1e9, 0) }
	sealer, _ := store.NewSealer(make([]byte, 32))
	open := func() *auditLog {
		l := new(auditLog)
		if err := l.open(db, sealer, now); err != nil {
			t.Fatal(err)
		}
		return l
	}
	l := open()
	var heads [][]byte
	for range 4 {
		if err := l.append(auditEntry{Action: "x"}); err != nil {
			t.Fatal(err)
		}
		head, _ := db.Get(auditHead)
		heads = append(heads, head)
	}
	if report, err := open().verify(); err != nil || !report.Whole || report.Entries != 4 || report.From != 1 {
		t.Fatalf("%+v %v", report, err)
	}
	// The chain goes on.
	if err := open().append(auditEntry{Action: "y"}); err != nil {
		t.Fatal(err)
	}
	if report, _ := open().verify(); !report.Whole || report.Entries != 5 {
		t.Errorf("after going on: %+v", report)
	}
	// The stale writer of another process does not fork it.
	if err := l.append(auditEntry{Action: "z"}); err == nil {
		t.Error("a log that does not know the head wrote")
	}
	forged := new(auditEnd)
	if err := json.Unmarshal(heads[2], forged); err != nil {
		t.Fatal(err)
	}
	forged.Mac = strings.Repeat("0", 64)
	value, _ := json.Marshal(forged)
	if err := db.Write(store.Batch{Ops: []store.Op{{Key: auditHead, Value: value}, {Key: auditKey(4)}, {Key: auditKey(5)}}}); err != nil {
		t.Fatal(err)
	}
	if report, _ := open().verify(); report.Whole {
		t.Error("a forged head was not found")
	}
}

func TestAudit_GuessersDoNotFillTheDisk(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	for i := range 200 {
		f.try(fmt.Sprintf("198.51.100.%d:1", i), "wrong")
	}
	entries := f.entries()
	if len(entries) != auditedFailures || !strings.Contains(entries[0].Detail, "more of this hour") {
		t.Errorf("%d entries, the last is %+v", len(entries), entries[0])
	}
	f.clock.advance(auditWindow)
	f.try("198.51.100.1:1", "wrong")
	if len(f.entries()) != auditedFailures+1 {
		t.Errorf("an hour later: %d entries", len(f.entries()))
	}
}

func TestAudit_FailingStoreIsTold(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	f.state.audit.raw = []byte("not what is there")
	w := f.admin("POST", "/admin/config", `{"strategy":"round_robin"}`)
	if w.Code != http.StatusConflict || !strings.Contains(w.Body.String(), "It was done") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
