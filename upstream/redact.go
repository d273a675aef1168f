// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// redacted stands for what was taken out. Its brackets cannot be part of any
// pattern below, so that what is left on both sides never joins to a new secret.
const redacted = "[redacted]"

// Secrets by their looks. The lengths are shorter than today's real ones: a
// word too many hidden is better than a key that grew another form.
var (
	keyLike = regexp.MustCompile(`AIza[0-9A-Za-z_-]{8,}` + // standard API keys: 35 follow
		`|AQ(?:\.|%2[Ee])[0-9A-Za-z_-]{8,}` + // authorization keys
		`|ya29\.[0-9A-Za-z._-]+` + // OAuth access tokens
		`|gb-[0-9A-Za-z]{4,}-[0-9A-Za-z_-]{16,}`) // our own user keys
	bearer      = regexp.MustCompile(`(?i)\b(bearer\s+)[^\s"',;]+`)
	keyParam    = regexp.MustCompile(`(?i)\b((?:api_?key|key|access_token|token|secret)=)[^&\s"',;)]+`)
	consumerKey = regexp.MustCompile(`(?i)(api_key:)[^\s"',;)]+`)
	projectRef  = regexp.MustCompile(`(?i)(\bproject(?:s|[ _]?number|[ _]?id)?(?:[/=:]| #?))\d{5,}`)
)

// Redact takes out of s whatever could be a credential or name a project:
// AIza… and AQ.… keys, OAuth tokens, Bearer …, key=…, api_key:…, projects/N, and
// every given secret, plain and percent-encoded. Google itself puts whole keys
// into messages.
// Source: specs/openai.md §13.1.
func Redact(s string, secrets ...string) string {
	for _, secret := range secrets {
		if secret == "" {
			continue
		}
		s = strings.ReplaceAll(s, secret, redacted)
		if q := url.QueryEscape(secret); q != secret {
			s = strings.ReplaceAll(s, q, redacted)
		}
	}
	// Most texts hold none of it, and looking for a word is a hundred times cheaper
	// than matching a pattern.
	lower := strings.ToLower(s)
	if containsAny(s, "AIza", "AQ.", "AQ%2", "ya29.", "gb-") {
		s = keyLike.ReplaceAllString(s, redacted)
	}
	if strings.Contains(lower, "bearer") {
		s = bearer.ReplaceAllString(s, "${1}"+redacted)
	}
	if strings.Contains(s, "=") {
		s = keyParam.ReplaceAllString(s, "${1}"+redacted)
	}
	if strings.Contains(lower, "api_key:") {
		s = consumerKey.ReplaceAllString(s, "${1}"+redacted)
	}
	if strings.Contains(lower, "project") {
		s = projectRef.ReplaceAllString(s, "${1}"+redacted)
	}
	return s
}

func containsAny(s string, words ...string) bool {
	return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(s, w) })
}
