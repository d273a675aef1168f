// SPDX-License-Identifier: Apache-2.0

package geminibalance

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
)

// TestAdapt adapts the Caddyfiles of testdata/adapt. What follows the line of
// hyphens is the expected JSON, or a part of the expected error.
func TestAdapt(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "adapt", "*.caddyfiletest"))
	if err != nil || len(files) < 70 {
		t.Fatalf("found %d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".caddyfiletest"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			input, want, found := bytes.Cut(bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n")), []byte("----------\n"))
			if want = bytes.TrimSpace(want); !found || len(want) == 0 {
				t.Fatal("the file expects nothing")
			}
			for _, m := range placeholder.FindAllStringSubmatch(string(input), -1) {
				t.Setenv(m[1], "a secret of the test")
			}
			got, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt(input, nil)
			if want[0] != '{' {
				if err == nil || !strings.Contains(err.Error(), string(want)) {
					t.Errorf("got error %v\nwant one with %s", err, want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range warnings {
				t.Errorf("warning: %s", w)
			}
			if !sameJSON(t, got, want) {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

// placeholder finds the environment variables of a test; those called UNSET are
// not set.
var placeholder = regexp.MustCompile(`\{env\.((?:[A-TV-Z]|U[A-MO-Z])[A-Z0-9_]*)\}`)

// TestOptions_Once: what has one value cannot be given twice.
func TestOptions_Once(t *testing.T) {
	t.Setenv("SECRET", "a secret of the test")
	for option, block := range map[string]string{
		"store memory": "app", "master_key {env.SECRET}": "app", "keys_file /k": "app", "upstream https://example.com": "app", "upstream_http2 on": "app",
		"strategy round_robin": "app", "retry { attempts 2 }": "app", "timeouts { idle 5s }": "app", "limits { rpm 1 }": "app",
		"max_request_size 1MB": "site", "cors https://a.example": "site", "heartbeat 15s": "site", "reasoning off": "site",
		"fetch_images off": "site", "query_key off": "site", "capabilities /m": "site", "safety off": "site", "strict": "site", "live { idle 5s }": "site", "stream_close_delay 0": "site", "embeddings_count_tokens on": "site", "anonymous": "site", "admin_key {env.SECRET}": "admin",
		"attempts 2": "retry", "budget 20%": "retry", "wait 1s": "retry", "hedge 5%": "retry",
		"connect 1s": "timeouts", "first_output 1s": "timeouts", "idle 1s": "timeouts", "total 1s": "timeouts",
		"rpm 1": "limits", "tpm 1": "limits", "rpd 1": "limits", "concurrency 1": "limits",
		"project p": "key", "tags a": "key", "paid": "key", "proxy http://localhost:1": "key", "weight 2": "key",
	} {
		option = strings.NewReplacer("{ ", "{\n", " }", "\n}").Replace(option)
		twice := option + "\n" + option + "\n"
		config := map[string]string{
			"app": "{\ngemini_balance {\n" + twice + "}\n}\n", "site": ":80 {\ngemini_balance {\n" + twice + "}\n}\n",
			"admin": ":80 {\ngemini_balance_admin {\n" + twice + "}\n}\n", "key": "{\ngemini_balance {\nkey {env.SECRET} {\n" + twice + "}\n}\n}\n",
		}[block]
		if config == "" {
			config = "{\ngemini_balance {\n" + block + " {\n" + twice + "}\n}\n}\n"
		}
		_, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(config), nil)
		if err == nil || !strings.Contains(err.Error(), "already specified, at Caddyfile:") {
			t.Errorf("%s twice in %s: %v", option, block, err)
		}
	}
}

func sameJSON(t *testing.T, a, b []byte) bool {
	t.Helper()
	var x, y any
	if err := json.Unmarshal(a, &x); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &y); err != nil {
		t.Fatal(err)
	}
	return reflect.DeepEqual(x, y)
}
