// SPDX-License-Identifier: Apache-2.0

package fetch

import (
	"maps"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"testing"
)

// internal are names as an attacker may register or guess them.
var internal = names{
	"localhost.":              {"127.0.0.1"},
	"app.localhost":           {"127.0.0.1"},
	"localtest.example":       {"127.0.0.1"},
	"LOCALTEST.example":       {"127.0.0.1"},
	"127.0.0.1.nip.example":   {"127.0.0.1"},
	"six.example":             {"::1"},
	"mapped.example":          {"::ffff:10.0.0.1"},
	"several.example":         {"10.0.0.1 192.168.0.1 ::1 fd00::1 fe80::1"},
	"metadata.google.example": {"169.254.169.254"},
	"nat64.example":           {"64:ff9b::a9fe:a9fe"},
	"cluster.svc.example":     {"10.96.0.1"},
	"a_b.example":             {"172.16.5.4"},
	"nothing.example":         {""},
	"public.example":          {"93.184.216.34"},
}

// bypasses are ways to what no client may reach. None may lead to a connection.
var bypasses = []struct{ name, url string }{
	{"loopback", "https://127.0.0.1/"},
	{"loopback with the port", "https://127.0.0.1:443/"},
	{"another loopback", "https://127.8.9.10/"},
	{"scheme in upper case", "HTTPS://127.0.0.1/"},
	{"decimal", "https://2130706433/"},
	{"decimal beyond 32 bits", "https://6425673729/"},
	{"hexadecimal", "https://0x7f000001/"},
	{"hexadecimal in upper case", "https://0X7F000001/"},
	{"octal", "https://017700000001/"},
	{"octal parts", "https://0177.0.0.1/"},
	{"octal parts with zeros", "https://0000177.000.000.001/"},
	{"hexadecimal parts", "https://0x7f.0x0.0x0.0x1/"},
	{"a hexadecimal part at the end", "https://127.0.0.0x1/"},
	{"mixed parts", "https://0x7f.0.00.1/"},
	{"two parts", "https://127.1/"},
	{"three parts", "https://127.0.1/"},
	{"part overflow", "https://127.0.0.257/"},
	{"a dot behind the address", "https://127.0.0.1./"},
	{"percent-encoded address", "https://%31%32%37.0.0.1/"},
	{"percent-encoded dots", "https://127%2e0%2e0%2e1/"},
	{"full-width digits", "https://１２７.０.０.１/"},
	{"circled digits", "https://①②⑦.⓪.⓪.①/"},
	{"ideographic dots", "https://127。0。0。1/"},
	{"full-width letters", "https://ｌｏｃａｌｔｅｓｔ.example/"},
	{"soft hyphen", "https://local\u00adtest.example/"},
	{"zero", "https://0/"},
	{"this network", "https://0.0.0.0/"},
	{"private 10", "https://10.0.0.1/"},
	{"private 172", "https://172.31.255.255/"},
	{"private 192", "https://192.168.1.1/"},
	{"metadata", "https://169.254.169.254/latest/meta-data/"},
	{"metadata as a number", "https://2852039166/"},
	{"metadata behind carrier-grade NAT", "https://100.100.100.200/"},
	{"metadata among IETF protocols", "https://192.0.0.192/"},
	{"host service of a cloud", "https://168.63.129.16/"},
	{"benchmarking", "https://198.19.0.1/"},
	{"documentation", "https://203.0.113.7/"},
	{"multicast", "https://224.0.0.1/"},
	{"reserved", "https://240.0.0.1/"},
	{"broadcast", "https://255.255.255.255/"},
	{"6to4 relay", "https://192.88.99.1/"},
	{"IPv6 loopback", "https://[::1]/"},
	{"IPv6 loopback in full", "https://[0000:0000:0000:0000:0000:0000:0000:0001]/"},
	{"IPv6 unspecified", "https://[::]/"},
	{"IPv4-mapped", "https://[::ffff:127.0.0.1]/"},
	{"IPv4-mapped in hexadecimal", "https://[::ffff:7f00:1]/"},
	{"IPv4-mapped in full", "https://[0:0:0:0:0:ffff:a9fe:a9fe]/"},
	{"IPv4-mapped public", "https://[::ffff:93.184.216.34]/"},
	{"IPv4-compatible", "https://[::127.0.0.1]/"},
	{"IPv4-translated", "https://[::ffff:0:127.0.0.1]/"},
	{"NAT64", "https://[64:ff9b::7f00:1]/"},
	{"NAT64 with dots", "https://[64:ff9b::169.254.169.254]/"},
	{"local NAT64", "https://[64:ff9b:1::a00:1]/"},
	{"6to4", "https://[2002:7f00:1::]/"},
	{"Teredo", "https://[2001:0:4136:e378:8000:63bf:80ff:fffe]/"},
	{"ISATAP", "https://[2a00:1450:4001:800::5efe:7f00:1]/"},
	{"ISATAP with the universal bit", "https://[2a00:1450:4001:800:200:5efe:a00:1]/"},
	{"link-local", "https://[fe80::1]/"},
	{"link-local with a zone", "https://[fe80::1%25lo]/"},
	{"loopback with a zone", "https://[::1%25lo]/"},
	{"IPv4 with a zone", "https://[127.0.0.1%25lo]/"},
	{"site-local", "https://[fec0::1]/"},
	{"unique local", "https://[fc00::1]/"},
	{"metadata over IPv6", "https://[fd00:ec2::254]/"},
	{"IPv6 multicast", "https://[ff02::1]/"},
	{"IPv6 documentation", "https://[2001:db8::1]/"},
	{"newer IPv6 documentation", "https://[3fff::1]/"},
	{"IPv6 benchmarking", "https://[2001:2::1]/"},
	{"segment routing", "https://[5f00::1]/"},
	{"discard-only", "https://[100::1]/"},
	{"IPv4 in brackets", "https://[127.0.0.1]/"},
	{"name in brackets", "https://[public.example]/"},
	{"unclosed bracket", "https://[::1/"},
	{"text behind the bracket", "https://[::1]public.example/"},
	{"host as user", "https://public.example@127.0.0.1/"},
	{"host and port as user", "https://public.example:443@127.0.0.1/"},
	{"empty user", "https://@127.0.0.1/"},
	{"empty user of a public host", "https://@public.example/"},
	{"two users", "https://a@b@127.0.0.1/"},
	{"credentials", "https://user:secret@public.example/"},
	{"encoded at", "https://127.0.0.1%40public.example/"},
	{"backslash before at", `https://127.0.0.1\@public.example/`},
	{"backslash before the host", `https:\\127.0.0.1/`},
	{"mixed slashes", `https:/\127.0.0.1/`},
	{"backslash in the host", `https://public.example\127.0.0.1/`},
	{"fragment before at", "https://127.0.0.1#@public.example/"},
	{"query before at", "https://127.0.0.1?@public.example/"},
	{"semicolon in the host", "https://127.0.0.1;public.example/"},
	{"comma in the host", "https://127.0.0.1,public.example/"},
	{"space in the host", "https://127.0.0.1 .public.example/"},
	{"encoded space", "https://127.0.0.1%20public.example/"},
	{"tab in the host", "https://127.0.\t0.1/"},
	{"line break in the host", "https://127.0.0.1\n.public.example/"},
	{"header in the URL", "https://public.example/ HTTP/1.1\r\nHost: 127.0.0.1"},
	{"zero byte", "https://127.0.0.1\x00.public.example/"},
	{"encoded zero byte", "https://127.0.0.1%00.public.example/"},
	{"no slashes", "https:127.0.0.1/"},
	{"three slashes", "https:///127.0.0.1/"},
	{"no host", "https://:443/"},
	{"nothing", ""},
	{"relative", "/127.0.0.1"},
	{"plain http", "http://public.example/"},
	{"file", "file:///etc/passwd"},
	{"gopher", "gopher://127.0.0.1:6379/_INFO"},
	{"ftp", "ftp://public.example/"},
	{"dict", "dict://127.0.0.1:11211/stat"},
	{"ldap", "ldap://127.0.0.1/"},
	{"unix", "unix:///var/run/docker.sock"},
	{"javascript", "javascript:alert(1)"},
	{"data", "data:image/png;base64,AAAA"},
	{"wrapped scheme", "url:https://127.0.0.1/"},
	{"port 22", "https://public.example:22/"},
	{"port 6379", "https://public.example:6379/"},
	{"port 8443", "https://public.example:8443/"},
	{"port 80", "https://public.example:80/"},
	{"port 0", "https://public.example:0/"},
	{"port that wraps to 443", "https://public.example:65979/"},
	{"negative port", "https://public.example:-1/"},
	{"port that is a word", "https://public.example:https/"},
	{"localhost", "https://localhost/"},
	{"localhost with a dot", "https://localhost./"},
	{"name below localhost", "https://app.localhost/"},
	{"one label", "https://metadata/"},
	{"two dots at the end", "https://localtest.example../"},
	{"name of loopback", "https://localtest.example/"},
	{"name of loopback in other case", "https://LocalTest.Example/"},
	{"name of loopback with a dot", "https://localtest.example./"},
	{"name with the address in it", "https://127.0.0.1.nip.example/"},
	{"name of IPv6 loopback", "https://six.example/"},
	{"name of a mapped address", "https://mapped.example/"},
	{"name of several private addresses", "https://several.example/"},
	{"name of metadata", "https://metadata.google.example/"},
	{"name of a NAT64 address", "https://nat64.example/"},
	{"name within a cluster", "https://cluster.svc.example/"},
	{"name with an underscore", "https://a_b.example/"},
	{"name without address", "https://nothing.example/"},
	{"unknown name", "https://unknown.example/"},
	{"label too long", "https://" + strings.Repeat("a", 64) + ".example/"},
	{"name too long", "https://" + strings.Repeat("a.", 130) + "example/"},
	{"URL too long", "https://public.example/" + strings.Repeat("a", maxURL)},
}

// These names never reach a resolver: some read them as addresses, others look
// for them in the local network.
func TestLocate_Hosts(t *testing.T) {
	f := New(Options{})
	for _, host := range []string{
		"2130706433", "0x7f000001", "0X7F000001", "017700000001", "0177.0.0.1", "127.1", "127.0.0.0x1", "127.0.0.1.", "127.0.0.257", "a.b.09", "a.0xg",
		"localhost", "localhost.", "metadata", "a..b", ".a.b", "a.b..", "１.example", "a%2eb.c", "[::1%25lo]",
	} {
		if u, err := f.locate(nil, "https://"+host+"/"); err == nil {
			t.Errorf("%s is taken as %s", host, u.Host)
		}
	}
	for _, host := range []string{"example.com", "example.com.", "EXAMPLE.com:443", "a_b.c-d.xn--p1ai", "1.2.3.example", "93.184.216.34", "[2606:4700::1111]:443", "0x7f.example"} {
		if _, err := f.locate(nil, "https://"+host+"/a?b=c#d"); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
	for _, path := range []string{`/a\b`, "/a b", "/a\tb", "/a\x7f"} {
		if _, err := f.locate(nil, "https://example.com"+path); err == nil {
			t.Errorf("%q is taken", path)
		}
	}
}

// neverAsked are what an error says only after a connection was tried.
var neverAsked = []string{"connection", "in time", "status", "certificate", "speak", "canceled"}

func barred(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		t.Fatal("fetched")
	}
	for _, word := range neverAsked {
		if strings.Contains(err.Error(), word) {
			t.Errorf("tried: %v", err)
		}
	}
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("%q tells credentials", err)
	}
}

func TestGet_Bypasses(t *testing.T) {
	f := New(Options{Lookup: internal.lookup})
	for _, c := range bypasses {
		t.Run(c.name, func(t *testing.T) {
			_, err := f.Get(t.Context(), c.url)
			barred(t, err)
		})
	}
}

// The same from a public server's redirect.
func TestGet_RedirectBypasses(t *testing.T) {
	var to string
	s, f := serve(t, Options{}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Location"] = []string{to}
		w.WriteHeader(http.StatusFound)
	})
	maps.Copy(s.names, internal)
	for _, c := range bypasses {
		switch {
		case c.url == "", c.url[0] == '/':
			continue // lead to the public server itself
		case strings.ContainsAny(c.url, "\r\n\x00"):
			continue // no header can hold them
		}
		t.Run(c.name, func(t *testing.T) {
			to = c.url
			_, err := f.Get(t.Context(), s.base+"/x?secret")
			barred(t, err)
		})
	}
	if s.seen.Load() < 100 {
		t.Errorf("only %d redirects", s.seen.Load())
	}
}

// A name's second answer is private. The first one serves exactly one
// connection; nothing that was checked before the second lookup counts for it.
func TestGet_Rebinding(t *testing.T) {
	s, f := serve(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/again" {
			http.Redirect(w, r, "/x", http.StatusFound)
			return
		}
		body(png)(w, r)
	})
	s.names["example.com"] = []string{"127.0.0.1", "10.0.0.1"}
	if m, err := f.Get(t.Context(), s.base+"/x"); err != nil || m.Type != "image/png" {
		t.Fatalf("got %v, %v", m, err)
	}
	_, err := f.Get(t.Context(), s.base+"/x")
	barred(t, err)

	s.names["example.com"] = []string{"127.0.0.1", "169.254.169.254"}
	_, err = f.Get(t.Context(), s.base+"/again")
	barred(t, err)
	if s.seen.Load() != 2 {
		t.Errorf("%d requests, want 2", s.seen.Load())
	}
}

// Of mixed answers only the public address is connected to, wherever it stands.
func TestGet_MixedAnswers(t *testing.T) {
	for _, answer := range []string{"10.0.0.1 127.0.0.1", "127.0.0.1 10.0.0.1", "::1 127.0.0.1", "::ffff:127.0.0.1 fd00::1"} {
		t.Run(answer, func(t *testing.T) {
			s, f := serve(t, Options{}, body(png))
			s.names["example.com"] = []string{answer}
			if _, err := f.Get(t.Context(), s.base+"/x"); err != nil {
				t.Error(err)
			}
		})
	}
}

// The last check is at the socket: it holds whatever was checked before.
func TestConnect_Checks(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f := New(Options{})
	conn, err := f.connect(t.Context(), netip.MustParseAddrPort(l.Addr().String()))
	if err == nil {
		conn.Close()
		t.Fatal("connected")
	}
	if !strings.Contains(err.Error(), errPort.Error()) {
		t.Errorf("got %v", err)
	}
}

func TestIsOwn(t *testing.T) {
	for _, c := range []struct {
		to   string
		want bool
	}{{"127.0.0.1", true}, {"127.0.0.2", false}} {
		l, err := net.Listen("tcp", c.to+":0")
		if err != nil {
			t.Skip("no such loopback address here: ", err)
		}
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}}
		conn, err := d.DialContext(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if isOwn(conn) != c.want {
			t.Errorf("%s: want %v", c.to, c.want)
		}
		conn.Close()
		l.Close()
	}
}

// The borders of the blocks: what lies outside is public.
func TestIsPublic(t *testing.T) {
	for _, a := range []string{
		"1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "93.184.216.34", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0",
		"168.63.129.15", "168.63.129.17", "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "191.255.255.255", "192.0.1.0",
		"192.0.3.0", "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "198.51.101.0", "203.0.112.255", "203.0.114.0", "223.255.255.255",
		"2001:200::1", "2001:4860:4860::8888", "2003::1", "2606:4700::1111", "2a00:1450:4001:800::200e", "3ffe::1",
	} {
		if !isPublic(netip.MustParseAddr(a)) {
			t.Errorf("%s is public", a)
		}
	}
	for _, a := range []string{
		"0.255.255.255", "100.64.0.0", "100.127.255.255", "127.255.255.255", "169.254.0.0", "172.16.0.0", "192.0.0.255", "198.18.0.0", "239.255.255.255",
		"1fff::1", "4000::1", "2001:1ff::1", "2002::", "2001:db8:ffff::", "3fff:fff::", "fdff::", "2606:4700::1111%eth0",
	} {
		if isPublic(netip.MustParseAddr(a)) {
			t.Errorf("%s is not public", a)
		}
	}
	if isPublic(netip.Addr{}) {
		t.Error("no address is public")
	}
}

// The rules for ports.
func TestCheck_Ports(t *testing.T) {
	public := netip.MustParseAddr("93.184.216.34")
	for _, c := range []struct {
		port uint16
		http bool
		want error
	}{{443, false, nil}, {443, true, nil}, {80, true, nil}, {80, false, errPort}, {8080, true, errPort}, {22, false, errPort}} {
		if err := New(Options{AllowHTTP: c.http}).check(netip.AddrPortFrom(public, c.port)); err != c.want {
			t.Errorf("port %d, http %v: %v", c.port, c.http, err)
		}
	}
}

// Whatever is located is https to a plain host, and errors never repeat a query.
func FuzzLocate(f *testing.F) {
	for _, c := range bypasses {
		f.Add("", c.url)
		f.Add("https://example.com/a/b?c", c.url)
	}
	for _, u := range []string{"https://example.com", "https://example.com:443/a?b#c", "https://[2606:4700::1111]/", "//example.com/x", "../x", "?q", "https://xn--mnchen-3ya.de/ü"} {
		f.Add("https://example.com/a/b?c", u)
	}
	fetcher := New(Options{})
	f.Fuzz(func(t *testing.T, base, raw string) {
		from, err := fetcher.locate(nil, base)
		if err != nil {
			from = nil
		}
		u, err := fetcher.locate(from, raw)
		if err != nil {
			if _, query, _ := strings.Cut(raw, "?"); len(query) > 60 && strings.Contains(err.Error(), query) {
				t.Errorf("%q tells the query", err)
			}
			return
		}
		again, err := fetcher.locate(nil, u.String())
		if err != nil || again.Host != u.Host || again.Scheme != "https" || again.User != nil {
			t.Fatalf("%q is %q, and that %v, %v", raw, u, again, err)
		}
		host := u.Hostname()
		if a, err := netip.ParseAddr(host); err == nil {
			if a.Zone() != "" {
				t.Errorf("%q has a zone", raw)
			}
			return
		}
		last := host[strings.LastIndexByte(strings.TrimSuffix(host, "."), '.')+1:]
		if _, err := strconv.ParseUint(strings.TrimSuffix(last, "."), 0, 64); err == nil {
			t.Errorf("%q ends in a number", raw)
		}
	})
}

// No IPv4 address in the clothes of IPv6 is taken for public.
func FuzzIsPublic(f *testing.F) {
	f.Add(uint32(0x7f000001))
	f.Add(uint32(0x5db8d822))
	f.Fuzz(func(t *testing.T, n uint32) {
		v4 := [4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}
		for _, prefix := range []string{"::", "::ffff:0:0", "::ffff:0:0:0", "64:ff9b::", "64:ff9b:1::", "2a00:1450:4001:800:0:5efe::", "2a00:1450:4001:800:200:5efe::"} {
			b := netip.MustParseAddr(prefix).As16()
			copy(b[12:], v4[:])
			if a := netip.AddrFrom16(b); isPublic(a) {
				t.Errorf("%s is public", a)
			}
		}
		b := netip.MustParseAddr("2002::").As16()
		copy(b[2:], v4[:])
		if a := netip.AddrFrom16(b); isPublic(a) {
			t.Errorf("%s is public", a)
		}
	})
}
