// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/quick"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
)

// keyOf is the n-th key, as Google makes them.
func keyOf(n int) string {
	if n%3 == 2 {
		return fmt.Sprintf("AQ.Canary_-%030d", n)
	}
	return fmt.Sprintf("AIzaSyCanary-%026d", n)
}

// told is a line in short: its number, and the key with what is known of it.
func told(l importLine) string {
	k := l.key
	if l.bad != "" {
		return fmt.Sprintf("%d bad", l.line)
	}
	out := fmt.Sprintf("%d %s", l.line, k.Secret)
	for _, extra := range []string{k.Name, k.Note, k.Project, strings.Join(k.Tags, "+"), strings.Join(k.Models, "+")} {
		if extra != "" {
			out += " " + extra
		}
	}
	if k.Weight != 0 {
		out += fmt.Sprintf(" w%d", k.Weight)
	}
	if k.Paid {
		out += " paid"
	}
	if k.Disabled {
		out += " off"
	}
	return out
}

func TestParseImport(t *testing.T) {
	a, b, c := keyOf(0), keyOf(1), keyOf(2)
	for _, test := range []struct {
		name, format, text string
		took               string
		want               []string
	}{
		{"one a line", "", a + "\n" + b + "\n", "text", []string{"1 " + a, "2 " + b}},
		{"BOM and CRLF", "", "\ufeff" + a + "\r\n\r\n" + b, "text", []string{"1 " + a, "3 " + b}},
		{"any separators", "", a + "，" + b + "；" + c + "\t" + a + "|" + b, "text", []string{"1 " + a, "1 " + b, "1 " + c, "1 " + a, "1 " + b}},
		{"with names and comments", "", "# keys of mine\nfirst: " + a + "  (works)\n// " + b + "\n", "text", []string{"2 " + a}},
		{"quoted, in code", "", "keys = ['" + a + "', \"" + b + "\"];", "text", []string{"1 " + a, "1 " + b}},
		{"in URLs", "", "https://generativelanguage.googleapis.com/v1beta/models?key=" + a + "&alt=sse", "text", []string{"1 " + a}},
		{"junk alone", "", a + "\nnot a key\n" + b, "text", []string{"1 " + a, "2 bad", "3 " + b}},
		{"cut off", "", "AIzaSyAb " + a, "text", []string{"1 bad", "1 " + a}},
		{"of others", "", "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789\ngb-abcdefgh-abcdefghijklmnopqrstuvwxyz012345", "text", []string{"1 bad", "2 bad"}},
		{"of a new kind, alone", "", "G3Mabcdefghijklmnopqrstuvwxyz0123456789", "text", []string{"1 G3Mabcdefghijklmnopqrstuvwxyz0123456789"}},
		{"a word among others", "", "G3Mabcdefghijklmnopqrstuvwxyz0123456789 " + a, "text", []string{"1 " + a}},
		{"ends with a dot", "", "The key is " + a + ".", "text", []string{"1 " + a}},
		{"nothing but space", "", " \n\t\n", "text", nil},

		{"table", "", "name,key,tags,weight,note,paid,status\nmine," + a + ",eu;de,3,\"a, note\",yes,active\n,'" + b + ",,0,,,disabled\n", "csv",
			[]string{"2 " + a + " mine a, note eu+de w3 paid", "3 " + b + " off"}},
		{"table with weights that are none", "", "key,weight\n" + a + ",-5\n" + b + ",1e9\n" + c + ",101\n" + a + ",1.5\n" + b + ",heavy\n" + c + "," + a + "\n\"" + a + " " + b + "\",200\nshort,200\n" + c + ",100\n", "csv",
			[]string{"2 bad", "3 bad", "4 bad", "5 bad", "6 bad", "7 bad", "8 bad", "8 bad", "9 bad", "10 " + c + " w100"}},
		{"table with semicolons", "", "API_KEY;Title\r\n" + a + ";x\r\n", "csv", []string{"2 " + a + " x"}},
		{"table with tabs", "", "key\tproject\tmodels\n" + a + "\tp\tgemini-*,imagen-*\n", "csv", []string{"2 " + a + " p gemini-*+imagen-*"}},
		{"table of one column", "", "key_value\n" + a + "\n\n" + b + "\nshort\n", "csv", []string{"2 " + a, "4 " + b, "5 bad"}},
		{"table with a formula's escape", "csv", "key,note\n" + a + ",'=1+1\n", "csv", []string{"2 " + a + " =1+1"}},
		{"several keys in a cell", "", "name,key\nmany,\"" + a + "\n" + b + "\"\n", "csv", []string{"2 " + a + " many", "2 " + b + " many"}},

		{"list", "", `["` + a + `", "` + b + `", 7, "x"]`, "json", []string{"1 " + a, "2 " + b, "3 bad", "4 bad"}},
		{"objects", "", `[{"key": "` + a + `", "name": "n", "tags": ["x", "y"], "weight": 2, "paid": true, "note": "o", "project": "p", "enabled": false}]`, "json",
			[]string{"1 " + a + " n o p x+y w2 paid off"}},
		{"objects with weights that are none", "", `[{"key": "` + a + `", "weight": -5}, {"key": "` + b + `", "weight": 1e9}, {"key": "` + c + `", "weight": 1.5}, {"key": "` + a + `", "weight": "heavy"}, {"key": "` + b + `", "weight": "7"}, {"key": "` + c + `", "weight": null}]`, "json",
			[]string{"1 bad", "2 bad", "3 bad", "4 bad", "5 " + b + " w7", "6 " + c}},
		{"a line each", "json", `{"key":"` + a + `"}` + "\n" + `{"api_key":"` + b + `"}` + "\n" + `"` + c + `"`, "json", []string{"1 " + a, "2 " + b, "3 " + c}},
		{"in containers", "", `{"success": true, "data": {"items": [{"key": "` + a + `"}], "keys": ["` + b + `"]}}`, "json", []string{"1 " + a, "2 " + b}},
		{"string of several", "", `{"keys": ["` + a + ", " + b + `"]}`, "json", []string{"1 " + a, "2 " + b}},

		{"gemini-balance: settings", "", `{"API_KEYS": ["` + a + `"], "ALLOWED_TOKENS": ["sk-x"], "PAID_KEY": "` + b + `", "MAX_FAILURES": 3, "VERTEX_API_KEYS": ["` + c + `"]}`, "gemini-balance",
			[]string{"1 " + a, "2 " + b + " paid"}},
		{"gemini-balance: rows of the table", "", `[{"key": "API_KEYS", "value": "[\"` + a + `\",\"` + b + `\"]"}, {"key": "AUTH_TOKEN", "value": "sk-abcdefghijklmnopqrstuvwxyz0123456789"}]`, "gemini-balance",
			[]string{"1 " + a, "2 " + b}},
		{"gemini-balance: .env", "", "MYSQL_PASSWORD=hunter2hunter2hunter2\nAPI_KEYS=[\"" + a + "\",\"" + b + "\"]\n", "gemini-balance", []string{"2 " + a, "2 " + b}},
		{"gemini-balance: .env with more", "", "# keys\nexport API_KEYS='[\"" + a + "\"]'\nPAID_KEY=\nALLOWED_TOKENS=[\"sk-123456\"]\nBASE_URL=https://example.com\r\nPAID_KEY=" + b + "\nAPI_KEYS=broken\n", "gemini-balance", []string{"2 " + a, "6 " + b, "7 bad"}},

		{"gpt-load: file", formatGPTLoad, a + "\n" + b + "\n", "gpt-load", []string{"1 " + a, "2 " + b}},
		{"gpt-load: list", "", `{"code": 0, "data": {"items": [{"id": 1, "key_value": "` + a + `", "group_id": 2, "status": "invalid", "notes": "old"}], "pagination": {}}}`, "gpt-load", []string{"1 " + a + " old"}},
		{"gpt-load: group", "", `{"name": "g", "api_keys": [{"key_value": "` + a + `", "status": "active"}]}`, "gpt-load", []string{"1 " + a}},

		{"new-api: channels", "", `{"data": [
			{"id": 1, "type": 24, "key": "` + a + `\n` + b + `", "status": 1, "name": "ch", "weight": 5, "models": "gemini-a,gemini-b", "base_url": "", "tag": "t", "remark": "r", "channel_info": {"is_multi_key": true, "multi_key_status_list": {"1": 2}}},
			{"id": 2, "type": 1, "key": "sk-abcdefghijklmnopqrstuvwxyz0123456789", "status": 1, "name": "openai", "base_url": ""},
			{"id": 3, "type": 24, "key": "` + c + `", "status": 2, "name": "ch2", "base_url": ""}]}`, "new-api",
			[]string{"1 " + a + " ch r t", "2 " + b + " ch r t off", "3 bad", "4 " + c + " ch2 off"}},
		{"new-api: dump of the table", formatNewAPI, "INSERT INTO `channels` VALUES (1,24,'" + a + `\n` + b + "','',1,'ch');\n", "new-api", []string{"1 " + a, "1 " + b}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := parseImport(test.format, test.text)
			if err != nil {
				t.Fatal(err)
			}
			var lines []string
			for _, l := range got.lines {
				lines = append(lines, told(l))
				if l.bad != "" && (strings.Contains(l.bad, "Canary") || strings.Contains(l.bad, "hunter2")) {
					t.Errorf("%s tells what was found", l.bad)
				}
			}
			if got.format != test.took || !slices.Equal(lines, test.want) {
				t.Errorf("as %s: %q\nwant %s: %q", got.format, lines, test.took, test.want)
			}
		})
	}
}

func TestParseImport_Faults(t *testing.T) {
	for name, test := range map[string]struct{ format, text, want string }{
		"not UTF-8":         {"", "AIza\xff\xfe", "UTF-8"},
		"broken JSON":       {"json", `{"keys": ["`, "byte"},
		"JSON without keys": {"json", `{"a": 1}`, "no keys"},
		"table without key": {"csv", "a,b\n1,2\n", "column named key"},
		"quote not closed":  {"csv", "key,name\nAIzaSyAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA,\"a\nAIzaSyBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB,b\n", "quote in line 2"},
	} {
		if _, err := parseImport(test.format, test.text); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v; want an error with %q", name, err, test.want)
		}
	}
}

// Of a line that is refused for its weight the admin is told so, with the number, but
// not what else may stand in that column.
func TestParseImport_Weights(t *testing.T) {
	for cell, want := range map[string]string{
		"-5":     "weight is -5; want a whole number from 1 to 100",
		"1e9":    "weight is 1e+09; want a whole number from 1 to 100",
		"2.5":    "weight is 2.5; want a whole number from 1 to 100",
		"heavy":  "weight is no number; want a whole number from 1 to 100",
		keyOf(3): "weight is no number; want a whole number from 1 to 100",
	} {
		got, err := parseImport("", "key,weight\n"+keyOf(0)+","+cell+"\n")
		if err != nil || len(got.lines) != 1 || got.lines[0].bad != want || got.lines[0].hint() != balancer.Mask(keyOf(0)) {
			t.Errorf("%q: %v, %v; want %q", cell, got.lines, err, want)
		}
	}
}

// What is written in a format and read again is the same, whatever it is.
func TestParseImport_ReadsWhatIsWritten(t *testing.T) {
	for name, write := range map[string]func(r *rand.Rand, keys []balancer.NewKey) (format, text string, cut func(*balancer.NewKey)){
		"text": func(r *rand.Rand, keys []balancer.NewKey) (string, string, func(*balancer.NewKey)) {
			text := ""
			seps := []string{"\n", "\r\n", ",", "，", ";", "；", " | ", "\t", `","`, "', '", "、", "\n\n# a comment, of no use\n"}
			for _, k := range keys {
				text += k.Secret + seps[r.IntN(len(seps))]
			}
			return formatText, text, func(k *balancer.NewKey) { *k = balancer.NewKey{Secret: k.Secret} }
		},
		"csv": func(r *rand.Rand, keys []balancer.NewKey) (string, string, func(*balancer.NewKey)) {
			var b bytes.Buffer
			w := csv.NewWriter(&b)
			w.Comma = []rune{',', ';', '\t'}[r.IntN(3)]
			w.UseCRLF = r.IntN(2) == 0
			_ = w.Write([]string{"name", "key", "tags", "note", "weight", "paid", "models", "project", "status"})
			for _, k := range keys {
				status := "active"
				if k.Disabled {
					status = "disabled"
				}
				_ = w.Write([]string{cell(k.Name), k.Secret, strings.Join(k.Tags, "|"), cell(k.Note), fmt.Sprint(k.Weight), fmt.Sprint(k.Paid), strings.Join(k.Models, "|"), k.Project, status})
			}
			w.Flush()
			return formatAuto, b.String(), func(*balancer.NewKey) {}
		},
		"json": func(_ *rand.Rand, keys []balancer.NewKey) (string, string, func(*balancer.NewKey)) {
			type entry struct {
				balancer.NewKey
				Enabled bool `json:"enabled"`
			}
			var all []entry
			for _, k := range keys {
				e := entry{k, !k.Disabled}
				all = append(all, e)
			}
			b, _ := json.Marshal(map[string]any{"items": all})
			return formatAuto, string(b), func(*balancer.NewKey) {}
		},
		"gemini-balance": func(_ *rand.Rand, keys []balancer.NewKey) (string, string, func(*balancer.NewKey)) {
			secrets := []string{}
			for _, k := range keys {
				secrets = append(secrets, k.Secret)
			}
			b, _ := json.Marshal(map[string]any{"API_KEYS": secrets, "ALLOWED_TOKENS": []string{"sk-1"}})
			return formatAuto, string(b), func(k *balancer.NewKey) { *k = balancer.NewKey{Secret: k.Secret} }
		},
		"gpt-load": func(_ *rand.Rand, keys []balancer.NewKey) (string, string, func(*balancer.NewKey)) {
			var rows []map[string]any
			for i, k := range keys {
				rows = append(rows, map[string]any{"id": i, "group_id": 1, "key_value": k.Secret, "status": "active", "notes": k.Note})
			}
			b, _ := json.Marshal(map[string]any{"code": 0, "data": map[string]any{"items": rows}})
			return formatAuto, string(b), func(k *balancer.NewKey) { *k = balancer.NewKey{Secret: k.Secret, Note: k.Note} }
		},
		"new-api": func(_ *rand.Rand, keys []balancer.NewKey) (string, string, func(*balancer.NewKey)) {
			var rows []map[string]any
			for i, k := range keys {
				status := 1
				if k.Disabled {
					status = 2
				}
				rows = append(rows, map[string]any{"id": i, "type": 24, "key": k.Secret, "status": status, "name": k.Name, "base_url": "", "weight": 10})
			}
			b, _ := json.Marshal(map[string]any{"data": rows})
			return formatAuto, string(b), func(k *balancer.NewKey) {
				*k = balancer.NewKey{Secret: k.Secret, Name: k.Name, Disabled: k.Disabled}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			err := quick.Check(func(seed uint64) bool {
				r := rand.New(rand.NewPCG(seed, 1))
				keys := randomKeys(r)
				format, text, cut := write(r, keys)
				if r.IntN(2) == 0 {
					text = "\ufeff" + text
				}
				got, err := parseImport(format, text)
				if err != nil {
					t.Errorf("%v\n%s", err, text)
					return false
				}
				var want, have []string
				for _, k := range keys {
					cut(&k)
					want = append(want, told(importLine{key: k}))
				}
				for _, l := range got.lines {
					l.line = 0
					have = append(have, told(l))
				}
				if !slices.Equal(have, want) {
					t.Errorf("have %q\nwant %q\nof %s", have, want, text)
					return false
				}
				return true
			}, &quick.Config{MaxCount: 200})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

func randomKeys(r *rand.Rand) []balancer.NewKey {
	words := []string{"", "a", "=SUM(1)", "-1", "\"q\"", "x, y; z", "密钥 一", "<b>", "@home", "it's", "+49"}
	keys := make([]balancer.NewKey, 1+r.IntN(20))
	for i := range keys {
		keys[i] = balancer.NewKey{
			Secret: keyOf(r.IntN(1000)), Name: words[r.IntN(len(words))], Note: words[r.IntN(len(words))], Weight: 1 + r.IntN(100),
			Paid: r.IntN(2) == 0, Disabled: r.IntN(2) == 0, Project: []string{"", "p"}[r.IntN(2)],
		}
		for n := range r.IntN(3) {
			keys[i].Tags = append(keys[i].Tags, fmt.Sprint("t", n))
			keys[i].Models = append(keys[i].Models, fmt.Sprintf("gemini-%d*", n))
		}
	}
	return keys
}

// FuzzParseImport: no text makes a parser panic, loop, or find what is no key.
func FuzzParseImport(f *testing.F) {
	for _, seed := range []string{
		keyOf(0) + "," + keyOf(1), "key,name\n" + keyOf(0) + ",x", `["` + keyOf(0) + `"]`, `{"API_KEYS":"[\"x\"]"}`, `[{"type":24,"key":"a\nb","channel_info":{"multi_key_status_list":{"0":2}}}]`,
		"\ufeff", `{"data":{"data":{"data":[[[]]]}}}`, "key;key\n;", `"`, "{}{}",
	} {
		f.Add("auto", seed)
	}
	f.Fuzz(func(t *testing.T, format, text string) {
		if !slices.Contains(importFormats, format) {
			format = formatAuto
		}
		got, err := parseImport(format, text)
		if err != nil {
			return
		}
		for _, l := range got.lines {
			if l.bad == "" && l.key.Check() != nil {
				t.Fatalf("%+v was taken for a key", l)
			}
			if len(l.hint()) > 12 {
				t.Fatalf("a hint of %d bytes", len(l.hint()))
			}
		}
	})
}
