// SPDX-License-Identifier: Apache-2.0

package geminibalance

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// configured is what the Caddyfile's blocks, and Caddy's JSON, become.
func configured() map[string]caddyfile.Unmarshaler {
	return map[string]caddyfile.Unmarshaler{"app": new(App), "handler": new(Handler), "admin": new(AdminHandler)}
}

func adapted(f *testing.F) (inputs [][]byte) {
	files, err := filepath.Glob(filepath.Join("testdata", "adapt", "*.caddyfiletest"))
	if err != nil || len(files) == 0 {
		f.Fatalf("found %d files, %v", len(files), err)
	}
	for _, file := range append(files, "Caddyfile.example") {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		input, _, _ := bytes.Cut(data, []byte("----------\n"))
		inputs = append(inputs, input)
	}
	return inputs
}

// FuzzCaddyfile: whatever a block of a Caddyfile has, it is refused or read, and what
// was read is the same after a way through Caddy's JSON.
func FuzzCaddyfile(f *testing.F) {
	for _, input := range adapted(f) {
		f.Add(input)
		for block := range bytes.SplitSeq(input, []byte("gemini_balance")) {
			f.Add(append([]byte("gemini_balance"), block...))
		}
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		tokens, err := caddyfile.Tokenize(input, "Caddyfile")
		if err != nil {
			return
		}
		for name, module := range configured() {
			if module.UnmarshalCaddyfile(caddyfile.NewDispenser(tokens)) != nil {
				continue
			}
			text, err := json.Marshal(module)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			again := configured()[name]
			if err := json.Unmarshal(text, again); err != nil {
				t.Fatalf("%s is not what is read: %v: %s", name, err, text)
			}
			if other, err := json.Marshal(again); err != nil || !bytes.Equal(other, text) {
				t.Fatalf("%s becomes %s, %v\nfrom %s", name, other, err, text)
			}
		}
	})
}

// FuzzConfig: whatever Caddy's JSON has, it is refused or valid.
func FuzzConfig(f *testing.F) {
	for _, input := range adapted(f) {
		for _, module := range configured() {
			tokens, err := caddyfile.Tokenize(input, "Caddyfile")
			if err == nil && module.UnmarshalCaddyfile(caddyfile.NewDispenser(tokens)) == nil {
				if text, err := json.Marshal(module); err == nil {
					f.Add(text)
				}
			}
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		app, handler, admin := new(App), new(Handler), new(AdminHandler)
		if json.Unmarshal(text, app) == nil {
			_ = app.Validate()
		}
		if json.Unmarshal(text, handler) == nil {
			_ = handler.Validate()
		}
		_ = json.Unmarshal(text, admin)
	})
}
