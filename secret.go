// SPDX-License-Identifier: Apache-2.0

package geminibalance

import (
	"bufio"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/gemini-balance/caddy-gemini-balance/admin"
)

// minAdminKey is the least length of an admin key in bytes.
const minAdminKey = admin.MinAdminKey

// resolveSecret returns what a placeholder stands for. Nothing but one {env.*} or
// {file.*} is accepted: a literal would end up in every place where Caddy keeps,
// prints and serves its configuration. Errors name the field and the placeholder
// and hold no value.
func resolveSecret(field, text string) (string, error) {
	if text == "" {
		return "", fmt.Errorf("%s is empty; give it a placeholder such as {env.NAME}", field)
	}
	name, closed := strings.CutSuffix(text, "}")
	name, opened := strings.CutPrefix(name, "{")
	if !opened || !closed || strings.ContainsAny(name, "{}") {
		return "", fmt.Errorf("%s holds a literal secret, which is refused: Caddy stores and serves its configuration. "+
			"Put the secret into an environment variable and write {env.NAME}, or into a file and write {file./absolute/path}; "+
			"{$NAME} does not do, it is replaced before the configuration is stored", field)
	}
	if !strings.HasPrefix(name, "env.") && !strings.HasPrefix(name, "file.") {
		return "", fmt.Errorf("%s: the placeholder %s is not known when the configuration is loaded; use {env.NAME} or {file./absolute/path}", field, text)
	}
	value, err := caddy.NewReplacer().ReplaceOrErr(text, true, true)
	if err == nil {
		value = strings.TrimSpace(value)
	}
	if err != nil || value == "" {
		hint := "is that environment variable set for Caddy's process?"
		if strings.HasPrefix(name, "file.") {
			hint = "is there such a file, with an absolute path, that Caddy's user may read?"
		}
		return "", fmt.Errorf("%s: the placeholder %s is empty; %s", field, text, hint)
	}
	return value, nil
}

// resolveProxy returns the URL of an egress proxy, which may be a placeholder. A
// password in clear would be kept and shown with the configuration.
func resolveProxy(field, text string) (string, error) {
	if strings.HasPrefix(text, "{") {
		return resolveSecret(field, text)
	}
	if u, err := url.Parse(text); err == nil && u.User != nil {
		return "", fmt.Errorf("%s holds a literal user name or password, which is refused; put the whole URL into an environment variable and write {env.NAME}", field)
	}
	return text, nil
}

// readKeysFile calls add for each key of a file, with the place where it stands.
func readKeysFile(path string, add func(from, secret string) error) error {
	path, err := caddy.NewReplacer().ReplaceOrErr(path, true, true)
	if err != nil {
		return fmt.Errorf("keys_file: %w", err)
	}
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("keys_file: %w", err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for n := 1; lines.Scan(); n++ {
		secret := strings.TrimSpace(strings.TrimPrefix(lines.Text(), "\ufeff"))
		if secret == "" || secret[0] == '#' {
			continue
		}
		if err := add(fmt.Sprintf("keys_file %s:%d", path, n), secret); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("keys_file %s: %w", path, err)
	}
	return nil
}

// generatedAdminKey returns the SHA-256 of the admin key in file, which is made
// if it is missing. made tells that it was.
func generatedAdminKey(file string) (hash [32]byte, made bool, err error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		text, made = []byte(rand.Text()+rand.Text()), true // 256 bits
		err = writeSecretFile(file, text)
	}
	if err != nil {
		return hash, false, fmt.Errorf("admin key: %w", err)
	}
	secret := strings.TrimSpace(string(text))
	if len(secret) < minAdminKey {
		return hash, false, fmt.Errorf("admin key: file %s holds fewer than %d characters; remove it, and a new one is made at the next start",
			file, minAdminKey)
	}
	return sha256.Sum256([]byte(secret)), made, nil
}

// writeSecretFile makes a file that only its owner may read, and sees it to the
// disk. It never overwrites.
func writeSecretFile(file string, text []byte) (err error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(file))
	}
	return nil
}

// replaceSecretFile is writeSecretFile for a file that is there: a reader finds the
// old text or the new one, after a crash as well.
func replaceSecretFile(file string, text []byte) error {
	next := file + ".new"
	if err := os.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := writeSecretFile(next, text); err != nil {
		return err
	}
	if err := os.Rename(next, file); err != nil {
		return errors.Join(err, os.Remove(next))
	}
	dir, err := os.Open(filepath.Dir(file))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
