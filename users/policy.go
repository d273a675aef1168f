// SPDX-License-Identifier: Apache-2.0

package users

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"
)

// dialects are the words a Spec may use.
var dialects = []string{"openai", "anthropic", "gemini"}

const (
	maxNameSize = 200
	maxListSize = 1000
)

// policy is a key as authentication and admission need it. Immutable: a change
// of the key makes a new one.
type policy struct {
	key     Key
	hash    [32]byte
	nets    []netip.Prefix
	deleted bool
}

func newPolicy(rec record) (*policy, error) {
	nets, err := parseNets(rec.CIDRs)
	if err != nil {
		return nil, err
	}
	if len(rec.Hash) != 32 {
		return nil, fmt.Errorf("record of user key %s is damaged: hash of %d bytes", rec.ID, len(rec.Hash))
	}
	return &policy{key: rec.Key, hash: [32]byte(rec.Hash), nets: nets}, nil
}

// validate checks and normalises a Spec.
func (s *Spec) validate(now time.Time) error {
	s.Name = strings.TrimSpace(s.Name)
	if len(s.Name) > maxNameSize || strings.ContainsFunc(s.Name, unicode.IsControl) {
		return fmt.Errorf("%w: name is longer than %d bytes or has control characters", ErrInvalid, maxNameSize)
	}
	if err := s.Limits.validate(); err != nil {
		return err
	}
	s.Limits.Budget = nil
	for name, list := range map[string][]string{"models": s.Models, "dialects": s.Dialects, "cidrs": s.CIDRs, "tags": s.Tags} {
		if len(list) > maxListSize || slices.Contains(list, "") {
			return fmt.Errorf("%w: %s has an empty entry or more than %d", ErrInvalid, name, maxListSize)
		}
	}
	for _, d := range s.Dialects {
		if !slices.Contains(dialects, d) {
			return fmt.Errorf("%w: dialects has %q, want %s", ErrInvalid, d, strings.Join(dialects, ", "))
		}
	}
	if i := slices.IndexFunc(s.Models, func(m string) bool { return strings.ContainsAny(m, `[]\`) }); i >= 0 {
		return fmt.Errorf("%w: models has %q, want names with * and ? only", ErrInvalid, s.Models[i])
	}
	if _, err := parseNets(s.CIDRs); err != nil {
		return err
	}
	if !s.ExpiresAt.IsZero() && !s.ExpiresAt.After(now) {
		return fmt.Errorf("%w: expires_at %s is in the past", ErrInvalid, s.ExpiresAt.Format(time.RFC3339))
	}
	return nil
}

// parseNets reads networks; an address alone is a network of one.
func parseNets(cidrs []string) (nets []netip.Prefix, err error) {
	for _, text := range cidrs {
		net, err := netip.ParsePrefix(text)
		if err != nil {
			addr, addrErr := netip.ParseAddr(text)
			if addrErr != nil {
				return nil, fmt.Errorf("%w: cidrs has %q, want a network like 10.0.0.0/8 or an address", ErrInvalid, text)
			}
			net = netip.PrefixFrom(addr, addr.BitLen())
		}
		nets = append(nets, net.Masked())
	}
	return nets, nil
}

// usable returns why nobody may use the key now, or nil.
func (p *policy) usable(now func() time.Time) error {
	switch {
	case p.deleted:
		return ErrUnknownKey
	case !p.key.Enabled:
		return ErrDisabled
	case !p.key.ExpiresAt.IsZero() && !now().Before(p.key.ExpiresAt):
		return ErrExpired
	}
	return nil
}

// forbids returns why the key may not make this request, or nil.
func (p *policy) forbids(now time.Time, model, dialect string, ip netip.Addr) *Refusal {
	forbidden := func(limit, format string, args ...any) *Refusal {
		return &Refusal{Kind: Forbidden, Limit: limit, Message: fmt.Sprintf(format, args...)}
	}
	if err := p.usable(func() time.Time { return now }); err != nil {
		return forbidden("key", "%v", err)
	}
	if len(p.key.Dialects) > 0 && !slices.Contains(p.key.Dialects, dialect) {
		return forbidden("dialects", "user key %s may not use the %s API, only %s",
			p.key.ID, dialect, strings.Join(p.key.Dialects, ", "))
	}
	if model != "" && !p.allows(model) {
		return forbidden("models", "user key %s may not use model %q, only %s",
			p.key.ID, model, strings.Join(p.key.Models, ", "))
	}
	if len(p.nets) > 0 && !slices.ContainsFunc(p.nets, func(n netip.Prefix) bool { return n.Contains(ip.Unmap().WithZone("")) }) {
		return forbidden("cidrs", "user key %s may not be used from address %s", p.key.ID, ip)
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
