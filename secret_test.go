// SPDX-License-Identifier: Apache-2.0

package geminibalance

import (
	"crypto/sha256"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestResolveSecret(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "secret")
	write(t, file, " from-file-5ecret \n")
	empty := filepath.Join(dir, "empty")
	write(t, empty, "\n")
	t.Setenv("GB_TEST_SECRET", "from-env-5ecret")
	t.Setenv("GB_TEST_EMPTY", "")
	for _, tc := range []struct{ name, text, want, err string }{
		{"environment", "{env.GB_TEST_SECRET}", "from-env-5ecret", ""},
		{"file", "{file." + file + "}", "from-file-5ecret", ""},
		{"nothing", "", "", "key is empty"},
		{"literal", "literal-5ecret", "", "literal secret"},
		{"literal after a placeholder", "{env.GB_TEST_SECRET}5ecret", "", "literal secret"},
		{"two placeholders", "{env.GB_TEST_SECRET}{env.GB_TEST_SECRET}", "", "literal secret"},
		{"escaped", `\{env.GB_TEST_SECRET}`, "", "literal secret"},
		{"unset", "{env.GB_TEST_UNSET}", "", "{env.GB_TEST_UNSET} is empty; is that environment variable set"},
		{"empty variable", "{env.GB_TEST_EMPTY}", "", "{env.GB_TEST_EMPTY} is empty"},
		{"empty file", "{file." + empty + "}", "", "is empty; is there such a file"},
		{"no file", "{file." + dir + "/none}", "", "is empty; is there such a file"},
		{"of a request", "{http.request.header.X}", "", "not known when the configuration is loaded"},
		{"other global", "{system.hostname}", "", "not known when the configuration is loaded"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := resolveSecret("key", tc.text)
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			checkError(t, err, tc.err)
			if err != nil && strings.Contains(err.Error(), "5ecret") {
				t.Errorf("the error tells the secret: %v", err)
			}
		})
	}
}

func TestReadKeysFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys")
	write(t, file, "\ufeff# ours\r\n\n  key-1 \nkey-2\r\n#key-3")
	var got []string
	err := readKeysFile(file, func(from, secret string) error {
		got = append(got, strings.TrimPrefix(from, "keys_file "+file)+" "+secret)
		return nil
	})
	if want := ":3 key-1|:4 key-2"; err != nil || strings.Join(got, "|") != want {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
	if err := readKeysFile(file+".none", nil); err == nil {
		t.Error("a missing file is no error")
	}
}

func TestGeneratedAdminKey(t *testing.T) {
	file := filepath.Join(t.TempDir(), "new", "admin.key")
	first, made, err := generatedAdminKey(file)
	if err != nil || !made {
		t.Fatalf("made %v, %v", made, err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if secret := strings.TrimSpace(string(text)); sha256.Sum256([]byte(secret)) != first || len(secret) < 40 {
		t.Errorf("the file holds %d characters with another hash", len(secret))
	}
	if info, err := os.Stat(file); runtime.GOOS != "windows" && (err != nil || info.Mode().Perm() != 0o600) {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	second, made, err := generatedAdminKey(file)
	if err != nil || made || second != first {
		t.Errorf("the second time: made %v, same %v, %v", made, second == first, err)
	}
	write(t, file, "short\n")
	_, _, err = generatedAdminKey(file)
	checkError(t, err, "fewer than 16 characters")
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func checkError(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("got error %v", err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("got error %v, want one with %q", err, want)
	}
}

func TestResolveProxy(t *testing.T) {
	t.Setenv("GB_TEST_PROXY", "http://user:pass@127.0.0.1:1")
	if got, err := resolveProxy("keys[0].proxy", "{env.GB_TEST_PROXY}"); err != nil || got != "http://user:pass@127.0.0.1:1" {
		t.Errorf("placeholder: %q, %v", got, err)
	}
	if got, err := resolveProxy("keys[0].proxy", "socks5://127.0.0.1:1"); err != nil || got != "socks5://127.0.0.1:1" {
		t.Errorf("literal: %q, %v", got, err)
	}
	if _, err := resolveProxy("keys[0].proxy", "http://user:s3cret@127.0.0.1:1"); err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("a literal password: %v", err)
	}
}
