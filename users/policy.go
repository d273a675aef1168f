// SPDX-License-Identifier: Apache-2.0

package users

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// dialects are the words a Spec may use.
var dialects = []string{"openai", "anthropic", "gemini"}

const (
	maxNameSize = 200
	maxNoteSize = 4000
	maxListSize = 1000
)

// policy is a key as authentication and admission need it. Immutable: a change
// of the key makes a new one.
type policy struct {
	key    Key
	hash   [32]byte
	old    [32]byte // of the secret before; it works until key.OldUntil
	nets   []netip.Prefix
	max    [limitCount]int64 // key.Limits; 0 for none
	purged bool              // no longer in the store
}

func newPolicy(rec record) (*policy, error) {
	nets, err := parseNets(rec.CIDRs)
	if err != nil {
		return nil, err
	}
	if len(rec.Hash) != 32 {
		return nil, fmt.Errorf("record of user key %s is damaged: hash of %d bytes", rec.ID, len(rec.Hash))
	}
	p := &policy{key: rec.Key, hash: [32]byte(rec.Hash), nets: nets, max: rec.Limits.values()}
	if len(rec.OldHash) == 32 {
		p.old = [32]byte(rec.OldHash)
	}
	return p, nil
}

// values are the limits by their ids.
func (l *Limits) values() (max [limitCount]int64) {
	max = [limitCount]int64{concurrency: l.Concurrency, rpm: l.RPM, tpm: l.TPM, rpd: l.RPD, tpd: l.TPD, monthlyTokens: l.MonthlyTokens}
	if b := l.Budget; b != nil {
		max[budgetDay], max[budgetMonth], max[budgetTotal] = int64(b.Day), int64(b.Month), int64(b.Total)
	}
	return max
}

// validate checks and normalises a Spec.
func (s *Spec) validate(now time.Time) error {
	s.Name = strings.TrimSpace(s.Name)
	if len(s.Name) > maxNameSize || strings.ContainsFunc(s.Name, unicode.IsControl) {
		return wrong("name", "is longer than %d bytes or has control characters", maxNameSize)
	}
	if len(s.Note) > maxNoteSize || !utf8.ValidString(s.Note) {
		return wrong("note", "is longer than %d bytes or no text", maxNoteSize)
	}
	if err := s.Limits.validate(); err != nil {
		return err
	}
	if s.Limits.Budget.none() {
		s.Limits.Budget = nil
	}
	for name, list := range map[string][]string{"models": s.Models, "dialects": s.Dialects, "cidrs": s.CIDRs, "tags": s.Tags, "labels": s.Labels} {
		if len(list) > maxListSize || slices.Contains(list, "") {
			return wrong(name, "has an empty entry or more than %d", maxListSize)
		}
	}
	if i := slices.IndexFunc(s.Labels, func(l string) bool { return len(l) > maxNameSize || strings.ContainsFunc(l, unicode.IsControl) }); i >= 0 {
		return wrong(fmt.Sprintf("labels[%d]", i), "is longer than %d bytes or has control characters", maxNameSize)
	}
	for _, d := range s.Dialects {
		if !slices.Contains(dialects, d) {
			return wrong("dialects", "has %q, want %s", d, strings.Join(dialects, ", "))
		}
	}
	if i := slices.IndexFunc(s.Models, func(m string) bool { return strings.ContainsAny(m, `[]\`) }); i >= 0 {
		return wrong("models", "has %q, want names with * and ? only", s.Models[i])
	}
	if _, err := parseNets(s.CIDRs); err != nil {
		return err
	}
	if !s.ExpiresAt.IsZero() && !s.ExpiresAt.After(now) {
		return wrong("expires_at", "%s is in the past", s.ExpiresAt.Format(time.RFC3339))
	}
	return nil
}

// parseNets reads networks; an address alone is a network of one. IPv4 within IPv6, as
// ::ffff:10.0.0.0/104, is IPv4, as clients' addresses are.
func parseNets(cidrs []string) (nets []netip.Prefix, err error) {
	for _, text := range cidrs {
		net, err := netip.ParsePrefix(text)
		if err != nil {
			addr, addrErr := netip.ParseAddr(text)
			if addrErr != nil {
				return nil, wrong("cidrs", "has %q, want a network like 10.0.0.0/8 or an address", text)
			}
			net = netip.PrefixFrom(addr, addr.BitLen())
		}
		if net.Addr().Is4In6() && net.Bits() >= 96 {
			net = netip.PrefixFrom(net.Addr().Unmap(), net.Bits()-96)
		}
		nets = append(nets, net.Masked())
	}
	return nets, nil
}

// usable returns why nobody may use the key now, or nil.
func (p *policy) usable(now func() time.Time) error {
	switch {
	case p.purged || !p.key.Deleted.IsZero():
		return ErrUnknownKey
	case !p.key.Enabled:
		return ErrDisabled
	case !p.key.ExpiresAt.IsZero() && !now().Before(p.key.ExpiresAt):
		return ErrExpired
	}
	return nil
}

// forbids returns why the key may not make this request, or nil.
func (p *policy) forbids(now time.Time, ask *Ask) *Refusal {
	forbidden := func(limit, format string, args ...any) *Refusal {
		return &Refusal{Kind: Forbidden, Limit: limit, Message: fmt.Sprintf(format, args...)}
	}
	if err := p.usable(func() time.Time { return now }); err != nil {
		return forbidden("key", "%v", err)
	}
	if len(p.key.Dialects) > 0 && !slices.Contains(p.key.Dialects, ask.Dialect) {
		return forbidden("dialects", "user key %s may not use the %s API, only %s",
			p.key.ID, ask.Dialect, strings.Join(p.key.Dialects, ", "))
	}
	if ask.Model != "" && !p.allows(ask.Model) {
		return forbidden("models", "user key %s may not use model %q, only %s",
			p.key.ID, ask.Model, strings.Join(p.key.Models, ", "))
	}
	if len(p.nets) > 0 {
		ip := ask.IP.Unmap().WithZone("")
		if !slices.ContainsFunc(p.nets, func(n netip.Prefix) bool { return n.Contains(ip) }) {
			return forbidden("cidrs", "user key %s may not be used from address %s", p.key.ID, ask.IP)
		}
	}
	if ask.Model != "" && !ask.Priced && p.key.Limits.Budget != nil && !p.key.Unpriced {
		return forbidden("price", "user key %s has a budget, and what model %q costs is not known: use another model, or ask the operator for its price or for a key that may use models without one",
			p.key.ID, ask.Model)
	}
	return nil
}

// allows reports whether the key may use and see a model.
func (p *policy) allows(model string) bool { return p.key.Allows(model) }

// matchesAny tells whether a model name matches one of the globs. The prefix
// models/ of Google's resource names means nothing in either.
func matchesAny(globs []string, model string) bool {
	model = strings.TrimPrefix(model, "models/")
	return slices.ContainsFunc(globs, func(glob string) bool {
		return matches(strings.TrimPrefix(glob, "models/"), model)
	})
}

// matches is path.Match with * and ? only, where both match a slash too. It goes
// back to the last * at most, so hostile globs cost no more than len²/4.
func matches(glob, name string) bool {
	g, n := 0, 0
	star, resume := -1, 0
	for n < len(name) {
		switch {
		case g < len(glob) && glob[g] == '*':
			star, resume = g, n
			g++
		case g < len(glob) && (glob[g] == '?' || glob[g] == name[n]):
			g++
			n++
		case star >= 0:
			resume++
			g, n = star+1, resume
		default:
			return false
		}
	}
	return strings.Trim(glob[g:], "*") == ""
}
