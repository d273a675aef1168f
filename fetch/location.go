// SPDX-License-Identifier: Apache-2.0

package fetch

import (
	"net/netip"
	"net/url"
	"strings"
)

// maxURL is the longest URL taken, in bytes.
const maxURL = 8192

// locate reads a URL, relative to base where one redirects to it. It takes less
// than the standards do: whatever two parsers could read in two ways is refused,
// for the sender may have had another one check it. Where the host's name leads
// is for [Fetcher.dial] to check.
func (f *Fetcher) locate(base *url.URL, raw string) (*url.URL, error) {
	refuse := func(reason string) (*url.URL, error) {
		e := &Error{Reason: reason}
		if base != nil {
			e.Host, e.Reason = base.Hostname(), "its redirect is not followed: "+reason
		}
		return nil, e
	}
	if len(raw) > maxURL {
		return refuse("the URL is too long.")
	}
	if strings.ContainsFunc(raw, func(c rune) bool { return c <= ' ' || c == 0x7f || c == '\\' }) {
		return refuse("the URL has spaces, control characters or backslashes; percent-encode them.")
	}
	u, err := url.Parse(raw)
	if err == nil && base != nil {
		u = base.ResolveReference(u)
	}
	switch {
	case err != nil:
		return refuse("the URL is not valid.") // the parser's error repeats it
	case u.Scheme != "https" && (u.Scheme != "http" || !f.o.AllowHTTP):
		return refuse("the URL does not begin with https://.")
	case u.Opaque != "" || u.Host == "":
		return refuse("the URL has no host.")
	case u.User != nil:
		return refuse("the URL has credentials in it.")
	case !isHost(u.Hostname()):
		return refuse("the URL's host is neither a full domain name in ASCII nor a plain IP address.")
	case len(u.String()) > maxURL: // encoding it made it longer
		return refuse("the URL is too long.")
	}
	return u, nil
}

// isHost reports whether host is an IP address in its one usual form, or a name
// of several labels. Names that end in a number are addresses in an unusual form
// to some resolvers; names of one label are found in the local network only.
func isHost(host string) bool {
	if a, err := netip.ParseAddr(host); err == nil {
		return a.Zone() == ""
	}
	labels := strings.Split(strings.TrimSuffix(host, "."), ".")
	for _, l := range labels {
		if l == "" || len(l) > 63 || strings.ContainsFunc(l, func(c rune) bool { return !isHostRune(c) }) {
			return false
		}
	}
	last := labels[len(labels)-1]
	return len(host) <= 253 && len(labels) > 1 && !('0' <= last[0] && last[0] <= '9')
}

func isHostRune(c rune) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}
