// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
)

// TestEndpoints_Golden goes there and back: testdata/endpoints/<endpoint>.<case>/
// client.json becomes the calls of upstream.json, one a line, and the answers of
// google.json, one a line, become answer.txt.
func TestEndpoints_Golden(t *testing.T) {
	dirs, err := filepath.Glob("testdata/endpoints/*")
	if err != nil || len(dirs) == 0 {
		t.Fatal("no cases", err)
	}
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			name, _, _ := strings.Cut(filepath.Base(dir), ".")
			x, f := jsonEndpoints[name](read(t, dir, "client.json"))
			if f != nil {
				t.Fatal(f)
			}
			calls, answers := []*translate.Call{x.Call()}, bytes.Split(bytes.TrimSpace(read(t, dir, "google.json")), []byte("\n"))
			batch, many := x.(translate.Batch)
			if many = many && len(batch.Calls()) > 1; many {
				calls = batch.Calls()
			}
			var sent, got []byte
			for _, c := range calls {
				sent = append(append(sent, c.Body...), '\n')
			}
			if x.Begin(); many {
				got, err = batch.Join(nil, answers)
			} else {
				got, err = x.Response(nil, answers[0])
			}
			if err != nil {
				t.Fatal(err)
			}
			sameAs(t, filepath.Join(dir, "upstream.json"), sent)
			sameAs(t, filepath.Join(dir, "answer.txt"), append(got, '\n'))
		})
	}
}

func read(t *testing.T, dir, name string) []byte {
	t.Helper()
	doc, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// sameAs compares with a file, or rewrites it.
func sameAs(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s\n got %s\nwant %s", file, got, want)
	}
}
