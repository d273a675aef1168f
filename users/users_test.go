// SPDX-License-Identifier: Apache-2.0

package users_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/gemini-balance/caddy-gemini-balance/store"
	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// counting is a store that counts its calls.
type counting struct {
	store.Store
	reads, writes int
}

func (c *counting) Get(key string) ([]byte, error) { c.reads++; return c.Store.Get(key) }
func (c *counting) Scan(prefix, after string, fn func(string, []byte) bool) error {
	c.reads++
	return c.Store.Scan(prefix, after, fn)
}
func (c *counting) Write(b store.Batch) error { c.writes++; return c.Store.Write(b) }

func open(t testing.TB, s store.Store, o users.Options) *users.Registry {
	t.Helper()
	r, err := users.Open(s, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func create(t testing.TB, r *users.Registry, spec users.Spec) (users.Key, string) {
	t.Helper()
	key, secret, err := r.Create(context.Background(), spec)
	if err != nil {
		t.Fatal(err)
	}
	return key, secret
}

func account(t testing.TB, r *users.Registry, secret string) *users.Account {
	t.Helper()
	a, err := r.Authenticate(secret)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func admit(a *users.Account, tokens int64) (*users.Admission, *users.Refusal) {
	return a.Admit(time.Now(), users.Ask{Model: "gemini-3-flash", Dialect: "openai", IP: netip.MustParseAddr("192.0.2.1"), Tokens: tokens, Cost: tokens * 1_000_000, Priced: true})
}

// used is a use of tokens that cost nothing.
func used(tokens int64) users.Used { return users.Used{Tokens: tokens} }

func TestCreate(t *testing.T) {
	s := memory.New()
	r := open(t, s, users.Options{Defaults: users.Limits{RPM: 7}})
	key, secret := create(t, r, users.Spec{Name: " team ", Limits: users.Limits{RPD: 9}})
	if !regexp.MustCompile(`^gb-[a-z0-9]{12}-[A-Za-z0-9]{39}$`).MatchString(secret) || !strings.HasPrefix(secret, "gb-"+key.ID+"-") {
		t.Errorf("secret has the form %q", secret)
	}
	if want := (users.Limits{RPM: 7, TPM: users.DefaultLimits.TPM, RPD: 9, Concurrency: users.DefaultLimits.Concurrency}); key.Limits != want {
		t.Errorf("limits %+v, want %+v", key.Limits, want)
	}
	if !key.Enabled || key.Name != "team" || key.Created.IsZero() {
		t.Errorf("key %+v", key)
	}
	if again, _ := create(t, r, users.Spec{}); again.ID == key.ID {
		t.Error("two keys have one id")
	}
	unlimited, _ := create(t, r, users.Spec{Unlimited: true, Limits: users.Limits{RPM: 3}})
	if unlimited.Limits != (users.Limits{RPM: 3}) {
		t.Errorf("unlimited key has limits %+v", unlimited.Limits)
	}
	// The secret part is nowhere in the store.
	part := secret[len(secret)-39:]
	_ = s.Scan("", "", func(k string, v []byte) bool {
		if strings.Contains(k+string(v), part[:20]) || strings.Contains(k+string(v), part[20:]) {
			t.Errorf("%s holds the secret", k)
		}
		return true
	})
	// Another process finds the key.
	if a := account(t, open(t, s, users.Options{}), secret); a.Key().ID != key.ID || a.Key().Limits != key.Limits {
		t.Errorf("after reopening: %+v", a.Key())
	}
}

func TestCreateRefuses(t *testing.T) {
	r := open(t, memory.New(), users.Options{})
	for _, c := range []struct{ name, spec, mentions string }{
		{"negative limit", `{"limits":{"rpm":-1}}`, "limits.rpm"},
		{"negative month", `{"limits":{"monthly_tokens":-1}}`, "limits.monthly_tokens"},
		{"long note", `{"note":"` + strings.Repeat("x", 4001) + `"}`, "note is longer"},
		{"label", `{"labels":["a\u0000b"]}`, "labels[0]"},
		{"model pattern", `{"models":["gemini-[23]"]}`, `"gemini-[23]"`},
		{"empty model", `{"models":[""]}`, "models has an empty entry"},
		{"dialect", `{"dialects":["OpenAI"]}`, `"OpenAI"`},
		{"network", `{"cidrs":["10.0.0.0/40"]}`, `"10.0.0.0/40"`},
		{"name", `{"name":"a\nb"}`, "control characters"},
		{"past", `{"expires_at":"2001-01-01T00:00:00Z"}`, "in the past"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var spec users.Spec
			if err := json.Unmarshal([]byte(c.spec), &spec); err != nil {
				t.Fatal(err)
			}
			_, secret, err := r.Create(t.Context(), spec)
			if !errors.Is(err, users.ErrInvalid) || !strings.Contains(err.Error(), c.mentions) || secret != "" {
				t.Errorf("err = %v, want ErrInvalid with %q", err, c.mentions)
			}
		})
	}
	if page, _ := r.List(t.Context(), users.Query{Limit: 10}); page.Total != 0 {
		t.Errorf("%d keys were made", page.Total)
	}
	for _, none := range []string{`{"limits":{"budget":0}}`, `{"limits":{"budget":null}}`, `{"limits":{"budget":{}}}`} {
		var spec users.Spec
		_ = json.Unmarshal([]byte(none), &spec)
		if key, _ := create(t, r, spec); key.Limits.Budget != nil {
			t.Errorf("%s: budget %+v", none, key.Limits.Budget)
		}
	}
	if _, err := users.Open(memory.New(), users.Options{Defaults: users.Limits{RPM: -1}}); err == nil {
		t.Error("bad defaults were accepted")
	}
}

func TestAuthenticateRefusesJunk(t *testing.T) {
	s := &counting{Store: memory.New()}
	r := open(t, s, users.Options{})
	_, secret := create(t, r, users.Spec{})
	s.reads = 0
	flip := func(i int) string {
		b := []byte(secret)
		if b[i]++; b[i] == '{' || b[i] == '[' || b[i] == ':' {
			b[i] = 'a'
		}
		return string(b)
	}
	junk := map[string]string{
		"empty": "", "other scheme": "sk-" + secret[3:], "short": secret[:len(secret)-1], "long": secret + "x",
		"all one letter": strings.Repeat("g", len(secret)), "upper case": strings.ToUpper(secret),
	}
	for i := range secret {
		junk[fmt.Sprint("changed at ", i)] = flip(i)
	}
	for name, credential := range junk {
		if a, err := r.Authenticate(credential); !errors.Is(err, users.ErrUnknownKey) || a != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if s.reads != 0 {
		t.Errorf("junk caused %d store reads, want 0", s.reads)
	}
	if _, err := r.Authenticate(users.ForgeSecret(secret)); !errors.Is(err, users.ErrUnknownKey) {
		t.Errorf("a wrong secret with a right checksum: %v", err)
	}
	if _, err := r.Authenticate(secret); err != nil {
		t.Errorf("the right one: %v", err)
	}
}

func TestHotAuthenticateReadsNothing(t *testing.T) {
	s := &counting{Store: memory.New()}
	r := open(t, s, users.Options{})
	if s.reads != 1 || s.writes != 0 {
		t.Errorf("Open made %d reads and %d writes, want one of the log", s.reads, s.writes)
	}
	_, secret := create(t, r, users.Spec{})
	first := account(t, r, secret)
	s.reads = 0
	for range 100 {
		if account(t, r, secret) != first {
			t.Fatal("one key has two accounts")
		}
	}
	if s.reads != 0 {
		t.Errorf("%d store reads, want 0", s.reads)
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = r.Authenticate(secret) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func TestStateChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := open(t, memory.New(), users.Options{})
		ctx := t.Context()
		key, secret := create(t, r, users.Spec{Limits: users.Limits{RPM: 2}, ExpiresAt: time.Now().Add(time.Hour)})
		a := account(t, r, secret)
		want := func(step string, authenticate error, kind users.RefusalKind) {
			t.Helper()
			if _, err := r.Authenticate(secret); !errors.Is(err, authenticate) {
				t.Errorf("%s: Authenticate = %v, want %v", step, err, authenticate)
			}
			_, refusal := admit(a, 1) // with the account of before
			if kind == 0 && refusal != nil || kind != 0 && (refusal == nil || refusal.Kind != kind) {
				t.Errorf("%s: refusal %+v, want kind %d", step, refusal, kind)
			}
		}
		want("new", nil, 0)
		if _, err := r.SetEnabled(ctx, key.ID, false); err != nil {
			t.Fatal(err)
		}
		want("disabled", users.ErrDisabled, users.Forbidden)
		if _, err := r.SetEnabled(ctx, key.ID, true); err != nil {
			t.Fatal(err)
		}
		want("enabled", nil, 0)
		want("counters survived", nil, users.RateLimited)
		if _, err := r.Update(ctx, key.ID, users.Spec{Name: "new", Limits: users.Limits{RPM: 3}, ExpiresAt: key.ExpiresAt}); err != nil {
			t.Fatal(err)
		}
		want("higher limit", nil, 0)
		time.Sleep(time.Hour)
		want("expired", users.ErrExpired, users.Forbidden)
		if _, err := r.Update(ctx, key.ID, users.Spec{ExpiresAt: key.ExpiresAt}); err != nil {
			t.Errorf("an expired key cannot be renamed: %v", err)
		}
		if err := r.Delete(ctx, key.ID); err != nil {
			t.Fatal(err)
		}
		want("deleted", users.ErrUnknownKey, users.Forbidden)
		_, getErr := r.Get(key.ID)
		_, setErr := r.SetEnabled(ctx, key.ID, true)
		for name, err := range map[string]error{"Get": getErr, "SetEnabled": setErr, "Delete": r.Delete(ctx, key.ID)} {
			if !errors.Is(err, users.ErrNotFound) {
				t.Errorf("%s after Delete: %v", name, err)
			}
		}
	})
}

func TestList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := open(t, memory.New(), users.Options{})
		var ids []string
		for i := range 25 {
			tags := []string{"even"}
			if i%2 == 1 {
				tags = []string{"odd-ones"}
			}
			key, _ := create(t, r, users.Spec{Name: fmt.Sprintf("User %02d", i), Tags: tags})
			ids = append(ids, key.ID)
			time.Sleep(time.Second)
		}
		if err := r.Delete(t.Context(), ids[24]); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			name          string
			limit, offset int
			search        string
			total         int
			first, last   string // names
			size          int
		}{
			{"first page", 10, 0, "", 24, "User 23", "User 14", 10},
			{"last page", 10, 20, "", 24, "User 03", "User 00", 4},
			{"behind the end", 10, 30, "", 24, "", "", 0},
			{"by name", 10, 0, "user 1", 10, "User 19", "User 10", 10},
			{"by tag", 5, 0, "ODD-ONES", 12, "User 23", "User 15", 5},
			{"by tag, page 2", 5, 10, "odd-ones", 12, "User 03", "User 01", 2},
			{"by id", 5, 0, ids[7], 1, "User 07", "User 07", 1},
			{"nothing", 5, 0, "nobody-at-all", 0, "", "", 0},
		} {
			page, err := r.List(t.Context(), users.Query{Limit: c.limit, Offset: c.offset, Search: c.search})
			if keys := page.Keys; err != nil || page.Total != c.total || len(keys) != c.size {
				t.Errorf("%s: %d of %d, %v; want %d of %d", c.name, len(keys), page.Total, err, c.size, c.total)
			} else if c.size > 0 && (keys[0].Name != c.first || keys[c.size-1].Name != c.last) {
				t.Errorf("%s: %s … %s, want %s … %s", c.name, keys[0].Name, keys[c.size-1].Name, c.first, c.last)
			}
		}
	})
}

func TestAllows(t *testing.T) {
	r := open(t, memory.New(), users.Options{})
	_, secret := create(t, r, users.Spec{Models: []string{"*-pro"}})
	a := account(t, r, secret)
	for model, want := range map[string]bool{"gemini-3-pro": true, "models/gemini-3-pro": true, "gemini-3-flash": false, "": false} {
		if got := a.Allows(model); got != want {
			t.Errorf("Allows(%q) = %v, want %v", model, got, want)
		}
	}
}

func TestPolicy(t *testing.T) {
	r := open(t, memory.New(), users.Options{})
	for _, c := range []struct {
		name               string
		spec               users.Spec
		model, dialect, ip string
		limit              string // of the refusal, "" for none
	}{
		{"nothing set", users.Spec{}, "any", "gemini", "2001:db8::1", ""},
		{"model", users.Spec{Models: []string{"gemini-3-flash"}}, "gemini-3-flash", "openai", "", ""},
		{"model by resource name", users.Spec{Models: []string{"gemini-3-flash"}}, "models/gemini-3-flash", "openai", "", ""},
		{"glob", users.Spec{Models: []string{"gpt-*", "gemini-*-flash"}}, "gemini-3-flash", "openai", "", ""},
		{"glob over a slash", users.Spec{Models: []string{"tuned*"}}, "tunedModels/x", "openai", "", ""},
		{"question mark", users.Spec{Models: []string{"gemini-?-pro"}}, "gemini-3-pro", "openai", "", ""},
		{"other model", users.Spec{Models: []string{"gemini-*-flash"}}, "gemini-3-pro", "openai", "", "models"},
		{"glob is anchored", users.Spec{Models: []string{"gemini-3"}}, "gemini-3-pro", "openai", "", "models"},
		{"hostile glob", users.Spec{Models: []string{strings.Repeat("*a", 500)}}, strings.Repeat("a", 499) + "b", "openai", "", "models"},
		{"no model, as in listing them", users.Spec{Models: []string{"*-pro"}}, "", "openai", "", ""},
		{"dialect", users.Spec{Dialects: []string{"openai", "gemini"}}, "m", "gemini", "", ""},
		{"other dialect", users.Spec{Dialects: []string{"openai"}}, "m", "anthropic", "", "dialects"},
		{"network", users.Spec{CIDRs: []string{"10.0.0.0/8"}}, "m", "openai", "10.9.8.7", ""},
		{"mapped address", users.Spec{CIDRs: []string{"10.0.0.0/8"}}, "m", "openai", "::ffff:10.9.8.7", ""},
		{"mapped network", users.Spec{CIDRs: []string{"::ffff:10.0.0.0/104"}}, "m", "openai", "10.9.8.7", ""},
		{"mapped address of a key", users.Spec{CIDRs: []string{"::ffff:10.9.8.7"}}, "m", "openai", "10.9.8.7", ""},
		{"another mapped network", users.Spec{CIDRs: []string{"::ffff:10.0.0.0/104"}}, "m", "openai", "11.9.8.7", "cidrs"},
		{"one address", users.Spec{CIDRs: []string{"2001:db8::1"}}, "m", "openai", "2001:db8::1", ""},
		{"zone", users.Spec{CIDRs: []string{"fe80::/10"}}, "m", "openai", "fe80::1%eth0", ""},
		{"other network", users.Spec{CIDRs: []string{"10.0.0.0/8"}}, "m", "openai", "11.0.0.1", "cidrs"},
		{"unknown address", users.Spec{CIDRs: []string{"0.0.0.0/0"}}, "m", "openai", "", "cidrs"},
	} {
		t.Run(c.name, func(t *testing.T) {
			key, secret := create(t, r, c.spec)
			var ip netip.Addr
			if c.ip != "" {
				ip = netip.MustParseAddr(c.ip)
			}
			_, refusal := account(t, r, secret).Admit(time.Now(), users.Ask{Model: c.model, Dialect: c.dialect, IP: ip, Tokens: 1})
			switch {
			case c.limit == "" && refusal != nil:
				t.Errorf("refused: %v", refusal)
			case c.limit != "" && (refusal == nil || refusal.Kind != users.Forbidden || refusal.Limit != c.limit || !strings.Contains(refusal.Message, key.ID)):
				t.Errorf("refusal %+v, want %s", refusal, c.limit)
			}
		})
	}
}
