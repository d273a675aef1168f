// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/settings"
)

// job begins work, waits for its end and returns it.
func (f *fixture) job(method, target string, body map[string]any) map[string]any {
	f.t.Helper()
	encoded, err := json.Marshal(body)
	if err != nil {
		f.t.Fatal(err)
	}
	w := f.admin(method, target, string(encoded))
	if w.Code != http.StatusAccepted {
		f.t.Fatalf("%s %s: %d %s", method, target, w.Code, w.Body)
	}
	f.state.jobs.workers.Wait()
	return f.must("GET", w.Header().Get("Location"), "")
}

func countsOfJob(j map[string]any) map[string]int {
	out := map[string]int{}
	for name, n := range j["counts"].(map[string]any) {
		out[name] = int(n.(float64))
	}
	return out
}

// keyText is a text of n keys from the first on.
func keyText(first, n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(keyOf(first+i) + "\n")
	}
	return b.String()
}

// The preview of an import is what happens.
func TestImport_PreviewIsTheResult(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	f.must("POST", "/admin/keys/gemini", fmt.Sprintf(`{"key":%q}`, keyOf(3)))
	text := "\ufeff" + keyText(0, 5) + "junk\r\n" + keyOf(1) + "，" + keyOf(4) + "\nAIzaShort\n"
	body := map[string]any{
		"text": text, "tags": []string{"new"}, "name_prefix": "Batch", "weight": 3, "batch": "b1", "enabled": false, "dry_run": true,
	}
	encoded, _ := json.Marshal(body)
	preview := f.must("POST", "/admin/keys/gemini/import", string(encoded))
	for name, want := range map[string]float64{"found": 7, "new": 4, "duplicates_in_text": 2, "in_pool": 1, "malformed": 2} {
		if preview[name] != want {
			t.Errorf("the preview has %s: %v, want %v", name, preview[name], want)
		}
	}
	if strings.Contains(fmt.Sprint(preview), "Canary") {
		t.Errorf("the preview shows a key: %v", preview)
	}
	if n := f.pool.Stats().Keys; n != 1 {
		t.Errorf("a dry run left %d keys", n)
	}
	if e := f.entries(); len(e) != 1 || e[0].Action != "POST /admin/keys/gemini" {
		t.Errorf("written down of a dry run: %+v", e)
	}
	delete(body, "dry_run")
	j := f.job("POST", "/admin/keys/gemini/import", body)
	got := countsOfJob(j)
	if j["state"] != "done" || got["added"] != 4 || got["duplicate"] != 2 || got["in_pool"] != 1 || got["malformed"] != 2 || j["done"] != 9.0 || j["total"] != 9.0 {
		t.Errorf("%v", j)
	}
	lines := f.admin("GET", "/admin/jobs/"+j["id"].(string)+"/results?limit=500", "").Body.String()
	if strings.Contains(lines, "Canary") || !strings.Contains(lines, `"line":6`) || strings.Count(lines, `"verdict":"added"`) != 4 {
		t.Errorf("the lines: %s", lines)
	}
	k := f.must("GET", "/admin/keys/gemini?batch=b1&q=Batch+4", "")["items"].([]any)[0].(map[string]any)
	if k["name"] != "Batch 4" || k["weight"] != 3.0 || k["batch"] != "b1" || k["status"] != "disabled" || fmt.Sprint(k["tags"]) != "[new]" {
		t.Errorf("%v", k)
	}
}

func TestImport_Bodies(t *testing.T) {
	form := func(fields map[string]string, file string) (string, string) {
		var b bytes.Buffer
		w := multipart.NewWriter(&b)
		for name, v := range fields {
			_ = w.WriteField(name, v)
		}
		part, _ := w.CreateFormFile("file", "keys.txt")
		_, _ = part.Write([]byte(file))
		_ = w.Close()
		return w.FormDataContentType(), b.String()
	}
	for _, test := range []struct {
		name, mediaType, query, body string
		status, added                int
		tag                          string
	}{
		{"text", "text/plain; charset=utf-8", "?batch=x&tags=a,b", keyText(0, 3), 202, 3, "a"},
		{"lines of JSON", "application/x-ndjson", "", `{"key":"` + keyOf(0) + `"}` + "\n" + `{"key":"` + keyOf(1) + `"}`, 202, 2, ""},
		{"table", "text/csv", "", "key,tags\n" + keyOf(0) + ",c\n", 202, 1, "c"},
		{"JSON with parameters", "application/json", "?batch=x", `{"text":"x"}`, 400, 0, ""},
		{"wrong flag", "text/plain", "?dry_run=perhaps", keyOf(0), 400, 0, ""},
		{"wrong weight", "text/plain", "?weight=many", keyOf(0), 400, 0, ""},
		{"unknown type", "application/xml", "", keyOf(0), 415, 0, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			importAs(t, test.mediaType, test.query, test.body, test.status, test.added, test.tag)
		})
	}
	t.Run("form", func(t *testing.T) {
		mediaType, body := form(map[string]string{"tags": "a", "weight": "4"}, keyText(0, 2))
		importAs(t, mediaType, "?batch=q", body, 202, 2, "a")
	})
	t.Run("form with an unknown field", func(t *testing.T) {
		mediaType, body := form(map[string]string{"secret": "a"}, keyText(0, 2))
		importAs(t, mediaType, "", body, 400, 0, "")
	})
	t.Run("broken form", func(t *testing.T) { importAs(t, "multipart/form-data; boundary=x", "", "--x\r\nno", 400, 0, "") })
}

func importAs(t *testing.T, mediaType, query, body string, status, added int, tag string) {
	f := newFixture(t, settings.Patch{})
	r := request("POST", "/admin/keys/gemini/import"+query, body)
	r.Header.Set("Content-Type", mediaType)
	r.Header.Set("Authorization", adminKey)
	w := f.do(r)
	f.state.jobs.workers.Wait()
	if w.Code != status || f.pool.Stats().Keys != added {
		t.Errorf("%d, %d keys: %s", w.Code, f.pool.Stats().Keys, w.Body)
	}
	if tag != "" && f.must("GET", "/admin/keys/gemini?tag="+tag, "")["total"] != float64(added) {
		t.Errorf("not all have the tag %s", tag)
	}
}

func TestImport_Limits(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	huge, _ := json.Marshal(map[string]any{"text": strings.Repeat("x ", maxImportBytes/2+1)})
	many, _ := json.Marshal(map[string]any{"text": keyText(0, maxImportKeys+1)})
	for _, s := range []scenario{
		{name: "no text", body: `{}`, status: 400, contains: []string{`"field":"text"`, "missing"}},
		{name: "nothing but space", body: `{"text":" \n"}`, status: 400, contains: []string{`"field":"text"`}},
		{name: "more than 5 MiB", body: string(huge), status: 400, contains: []string{"5 MiB"}},
		{name: "more than 10,000 keys", body: string(many), status: 400, contains: []string{"10000 new keys"}, excludes: []string{"Canary"}},
		{name: "unknown format", body: `{"text":"x","format":"xml"}`, status: 400, contains: []string{`"field":"format"`}},
		{name: "table without a head", body: `{"text":"x","format":"csv"}`, status: 400, contains: []string{"column named key"}},
		{name: "eleven tags", body: `{"text":"x","tags":["1","2","3","4","5","6","7","8","9","a","b"]}`, status: 400, contains: []string{"more than 10"}},
		{name: "long tag", body: `{"text":"x","tags":["1234567890123456789012345"]}`, status: 400, contains: []string{"24 characters", "tags[0]"}},
		{name: "name that turns text around", body: `{"text":"x","name_prefix":"\u202e"}`, status: 400, contains: []string{"name_prefix"}},
		{name: "long prefix", body: `{"text":"x","name_prefix":"` + strings.Repeat("x", 49) + `"}`, status: 400, contains: []string{"48 bytes"}},
		{name: "weight", body: `{"text":"x","weight":0}`, status: 400, contains: []string{`"field":"weight"`}},
		{name: "broken JSON in the text", body: `{"text":"[\"AIza","format":"json"}`, status: 400, contains: []string{"no JSON from byte"}},
	} {
		s.method, s.path = "POST", "/admin/keys/gemini/import"
		s.run(t, f)
	}
	if n := f.pool.Stats().Keys; n != 0 {
		t.Errorf("%d keys were added", n)
	}
}

// The most that an import may have; how long it takes is BenchmarkImport's.
func TestImport_TenThousand(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	f.spec = nil
	j := f.job("POST", "/admin/keys/gemini/import", map[string]any{"text": keyText(0, maxImportKeys), "batch": "big", "validate": true})
	if got := countsOfJob(j); got["added"] != maxImportKeys || got["valid"] != maxImportKeys || j["done"] != float64(maxImportKeys) || j["total"] != float64(maxImportKeys) {
		t.Errorf("%v", j)
	}
	j = f.job("POST", "/admin/keys/gemini/import/undo", map[string]any{"batch": "big"})
	if got := countsOfJob(j); got["changed"] != maxImportKeys || f.pool.Stats().Keys != 0 {
		t.Errorf("undo: %v, %d keys are left", j, f.pool.Stats().Keys)
	}
}

// A line is done with once, however much is done with its key.
func TestImport_CountsLines(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	f.must("POST", "/admin/keys/gemini", fmt.Sprintf(`{"key":%q}`, keyOf(0)))
	text := keyText(0, 4) + keyOf(2) + "\njunk\n"
	j := f.job("POST", "/admin/keys/gemini/import", map[string]any{"text": text, "batch": "b", "validate": true})
	want := map[string]int{"added": 3, "valid": 3, "in_pool": 1, "duplicate": 1, "malformed": 1}
	if got := countsOfJob(j); !maps.Equal(got, want) || j["done"] != 6.0 || j["total"] != 6.0 {
		t.Errorf("%v, %v of %v", got, j["done"], j["total"])
	}
}

// Who cancels keeps what was added, and is told how much.
func TestImport_Cancel(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	f.spec = nil
	asked := make(chan struct{})
	f.google = func(ctx context.Context, _, _ string) (balancer.Outcome, error) {
		select {
		case asked <- struct{}{}:
		case <-ctx.Done():
		}
		<-ctx.Done() // an answer that does not come
		return balancer.Outcome{}, ctx.Err()
	}
	body, _ := json.Marshal(map[string]any{"text": keyText(0, 100), "batch": "b", "validate": true})
	w := f.admin("POST", "/admin/keys/gemini/import", string(body))
	<-asked
	id := decoded(t, w)["id"].(string)
	f.must("POST", "/admin/jobs/"+id+"/cancel", "")
	f.state.jobs.workers.Wait()
	j := f.must("GET", "/admin/jobs/"+id, "")
	if got := countsOfJob(j); j["state"] != "cancelled" || got["added"] != 100 || j["done"] != 0.0 || j["total"] != 100.0 || f.pool.Stats().Keys != 100 || got["unreachable"] != 0 {
		t.Errorf("%v, %d keys", j, f.pool.Stats().Keys)
	}
}

// A cancel between two writes keeps the keys of the first.
func TestImport_CancelBetweenWrites(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	text, err := parseImport("", keyText(0, 3*importChunk))
	if err != nil {
		t.Fatal(err)
	}
	verdicts, _ := text.judge(func(string, string) bool { return false })
	ctx, cancel := context.WithCancel(t.Context())
	j := &job{spec: jobSpec{kind: "import"}, jobs: &f.state.jobs, state: jobRunning, counts: map[string]int{}}
	r := &importRun{api: &api{Config: f.config, jobs: &f.state.jobs, events: &f.state.events}, form: &keyImportForm{Batch: "b"}, text: text, verdicts: verdicts}
	keys := make([]balancer.NewKey, importChunk)
	lines := make([]int, importChunk)
	for i := range keys {
		keys[i], lines[i] = text.lines[i].key, i
	}
	if err := r.add(ctx, j, keys, lines); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := r.add(ctx, j, keys, lines); err == nil {
		t.Error("it went on")
	}
	if j.counts["added"] != importChunk || f.pool.Stats().Keys != importChunk || j.counts["malformed"] != 0 {
		t.Errorf("%v, %d keys", j.counts, f.pool.Stats().Keys)
	}
}

func TestImport_Undo(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	f.job("POST", "/admin/keys/gemini/import", map[string]any{"text": keyText(0, 3), "batch": "one"})
	f.job("POST", "/admin/keys/gemini/import", map[string]any{"text": keyText(3, 3), "batch": "two"})
	scenario{name: "unknown", method: "POST", path: "/admin/keys/gemini/import/undo", body: `{"batch":"three"}`, status: 404, contains: []string{"batch_not_found"}}.run(t, f)
	scenario{name: "no name", method: "POST", path: "/admin/keys/gemini/import/undo", body: `{}`, status: 400, contains: []string{`"field":"batch"`}}.run(t, f)
	j := f.job("POST", "/admin/keys/gemini/import/undo", map[string]any{"batch": "one"})
	if e := f.entries()[0]; e.Object != "one" || !strings.Contains(e.Detail, "3 keys") {
		t.Errorf("written down: %+v", e)
	}
	if j["kind"] != "undo_import" || countsOfJob(j)["changed"] != 3 || f.pool.Stats().Keys != 3 {
		t.Errorf("%v, %d keys", j, f.pool.Stats().Keys)
	}
	if total := f.must("GET", "/admin/keys/gemini/deleted?batch=one", "")["total"]; total != 3.0 {
		t.Errorf("%v are deleted", total)
	}
	restored := f.must("POST", "/admin/keys/gemini/bulk", `{"action":"restore","filter":{"batch":"one"},"expected_count":3}`)
	if restored["changed"] != 3.0 || f.pool.Stats().Keys != 6 {
		t.Errorf("%v", restored)
	}
	f.clock.advance(undoFor + time.Second)
	scenario{name: "too old", method: "POST", path: "/admin/keys/gemini/import/undo", body: `{"batch":"two"}`, status: 409, contains: []string{"undo_expired"}}.run(t, f)
}

// BenchmarkImport adds 10,000 keys to an empty pool, and to one of 100,000 keys.
func BenchmarkImport(b *testing.B) {
	for _, have := range []int{0, 100_000} {
		b.Run(fmt.Sprintf("pool=%d", have), func(b *testing.B) {
			f := newFixture(b, settings.Patch{})
			f.spec = nil
			first := 0
			next := func() {
				f.job("POST", "/admin/keys/gemini/import", map[string]any{"text": keyText(first, maxImportKeys), "batch": fmt.Sprint(first)})
				first += maxImportKeys
			}
			for first < have {
				next()
			}
			for b.Loop() {
				next()
			}
		})
	}
}
