// SPDX-License-Identifier: Apache-2.0

package fetch

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// connectTimeout is how long one of a host's addresses may take to answer.
const connectTimeout = 3 * time.Second

// maxAddresses is how many of a host's addresses are tried.
const maxAddresses = 4

var (
	errAddress = errors.New("no public address")
	errPort    = errors.New("not a port of the web")
)

// lookup asks the system's resolver.
func lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

// dial connects to one of the host's public addresses. The name is resolved once
// and the connection made to an address that was checked, not to the name: a
// server of names may answer the next question differently.
func (f *Fetcher) dial(ctx context.Context, _, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, f.o.Timeout) // the transport's ctx outlives its request
	defer cancel()
	host, portText, err := net.SplitHostPort(address)
	if err != nil {
		return nil, errAddress
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return nil, errPort
	}
	addrs, err := f.resolve(ctx, host)
	if err != nil {
		return nil, err
	}
	refused := errAddress
	for _, a := range addrs[:min(len(addrs), maxAddresses)] {
		to := netip.AddrPortFrom(a, uint16(port))
		if err = f.check(to); err == nil {
			var conn net.Conn
			if conn, err = f.connect(ctx, to); err == nil {
				return conn, nil
			}
		}
		refused = err
	}
	return nil, refused
}

// resolve returns the addresses of a host, IPv4 first: where both exist it is
// the one that works on every machine.
func (f *Fetcher) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	addrs, err := f.o.Lookup(ctx, strings.TrimSuffix(host, ".")+".") // the dot: no search domains
	if err != nil {
		return nil, errAddress
	}
	for i, a := range addrs {
		addrs[i] = a.Unmap() // resolvers give IPv4 in either form
	}
	slices.SortStableFunc(addrs, func(a, b netip.Addr) int { return a.BitLen() - b.BitLen() })
	return addrs, nil
}

// connect makes the connection and checks once more, by the address that the
// system was told.
func (f *Fetcher) connect(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	dialer := net.Dialer{
		Timeout: connectTimeout,
		ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
			actual, err := netip.ParseAddrPort(address)
			if err != nil {
				return errAddress
			}
			return f.check(actual)
		},
	}
	conn, err := dialer.DialContext(ctx, "tcp", to.String())
	if err != nil {
		return nil, err
	}
	if !f.excepted(to) && isOwn(conn) {
		_ = conn.Close() // nothing was sent
		return nil, errAddress
	}
	return conn, nil
}

// isOwn reports whether a connection leads from an address to itself, which is
// to this machine: its public address may have doors that are closed from
// outside.
func isOwn(conn net.Conn) bool {
	from, ok1 := conn.LocalAddr().(*net.TCPAddr)
	to, ok2 := conn.RemoteAddr().(*net.TCPAddr)
	return ok1 && ok2 && from.IP.Equal(to.IP)
}

// check says whether a connection may be made.
func (f *Fetcher) check(to netip.AddrPort) error {
	switch {
	case f.excepted(to):
		return nil
	case to.Port() != 443 && (to.Port() != 80 || !f.o.AllowHTTP):
		return errPort
	case !isPublic(to.Addr()):
		return errAddress
	}
	return nil
}

func (f *Fetcher) excepted(to netip.AddrPort) bool { return f.o.Allow != nil && f.o.Allow(to) }

// isPublic reports whether an address is one of the public internet. Of IPv6
// only what is given out today is; all forms that stand for an IPv4 address are
// refused, also where that one is public.
//
// Source: IANA IPv4 and IPv6 Special-Purpose Address Registries.
func isPublic(a netip.Addr) bool {
	if !a.IsValid() || a.Zone() != "" || a.Is4In6() {
		return false
	}
	if a.Is6() {
		if b := a.As16(); !global6.Contains(a) || b[8]&^2 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe {
			return false // the latter is ISATAP, IPv4 in the last four bytes
		}
	}
	return !slices.ContainsFunc(special, func(p netip.Prefix) bool { return p.Contains(a) })
}

// global6 is the one block of IPv6 that addresses are given out of. Outside lie
// loopback, IPv4-mapped and -compatible, NAT64, unique local (with the metadata
// services of clouds), link-local, site-local and multicast.
var global6 = netip.MustParsePrefix("2000::/3")

// special has the blocks that are not of the public internet.
var special = prefixes(`
	0.0.0.0/8          this network
	10.0.0.0/8         private
	100.64.0.0/10      carrier-grade NAT; a cloud's metadata at 100.100.100.200
	127.0.0.0/8        loopback
	168.63.129.16/32   a cloud's host service
	169.254.0.0/16     link-local; metadata at 169.254.169.254
	172.16.0.0/12      private
	192.0.0.0/24       IETF protocols; metadata at 192.0.0.192
	192.0.2.0/24       documentation
	192.31.196.0/24    AS112
	192.52.193.0/24    AMT
	192.88.99.0/24     6to4 relays
	192.168.0.0/16     private
	192.175.48.0/24    AS112
	198.18.0.0/15      benchmarking
	198.51.100.0/24    documentation
	203.0.113.0/24     documentation
	224.0.0.0/4        multicast
	240.0.0.0/4        reserved, broadcast
	2001::/23          IETF protocols: Teredo, ORCHID, benchmarking
	2001:db8::/32      documentation
	2002::/16          6to4
	2620:4f:8000::/48  AS112
	3fff::/20          documentation`)

// prefixes reads a table whose rows begin with a prefix.
func prefixes(table string) (list []netip.Prefix) {
	for row := range strings.Lines(table) {
		if f := strings.Fields(row); len(f) > 0 {
			list = append(list, netip.MustParsePrefix(f[0]))
		}
	}
	return list
}
