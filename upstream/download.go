// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// maxHops is how many redirects a download may take.
const maxHops = 5

// ErrRedirect is the error of a download that Google redirects to where it is not
// followed, or once too often.
var ErrRedirect = errors.New("the download was redirected to an address that is not followed")

// Download is [Client.Do] for a GET whose bytes may be elsewhere at Google: up to
// five redirects are followed, each over https to a host of googleapis.com or
// googleusercontent.com. The key goes to the former alone. The answer's Request has
// the address that it came from.
// Source: specs/native-anthropic.md A.7.
func (c *Client) Download(ctx context.Context, r *Request) (*http.Response, error) {
	res, err := c.do(ctx, r)
	for hop := 1; err == nil && redirects(res); hop++ {
		_ = res.Body.Close()
		to, badURL := res.Request.URL.Parse(res.Header.Get("Location"))
		if badURL != nil || hop > maxHops {
			return nil, fmt.Errorf("%w (hop %d)", ErrRedirect, hop)
		}
		ok, withKey := c.mayFollow(to)
		if !ok {
			return nil, fmt.Errorf("%w: a host of %s", ErrRedirect, to.Host) // its path and query may be a credential
		}
		res, err = c.send(ctx, to, r, withKey)
	}
	return res, err
}

func redirects(res *http.Response) bool {
	switch res.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return res.Header.Get("Location") != ""
	}
	return false
}

// mayFollow reports whether a download may go on at an address, and with the key.
// A Google that is simulated on a loopback address may have its bytes on another.
func (c *Client) mayFollow(to *url.URL) (ok, withKey bool) {
	host := strings.ToLower(to.Hostname())
	switch {
	case to.User != nil:
		return false, false
	case to.Scheme == c.base.Scheme && to.Host == c.base.Host:
		return true, true
	case to.Scheme == "http":
		return c.base.Scheme == "http" && loopback(host), false
	case to.Scheme != "https" || to.Port() != "" && to.Port() != "443":
		return false, false
	}
	withKey = strings.HasSuffix(host, ".googleapis.com")
	return withKey || strings.HasSuffix(host, ".googleusercontent.com"), withKey
}
