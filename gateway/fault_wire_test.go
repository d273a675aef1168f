// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
	"github.com/gemini-balance/caddy-gemini-balance/settings"
	"github.com/gemini-balance/caddy-gemini-balance/upstream"
)

// What breaks below HTTP, or in its framing, and so cannot come from a handler:
// a Google that speaks bytes.
// Source: specs/gateways.md U1.

// wireFault is what a connection to Google meets after a whole request, and what a
// client then gets.
type wireFault struct {
	name  string
	serve func(c net.Conn, stream string) // "", "sse" or "array"; the connection is closed after it

	unary, stream wireEnd
	whole         string // that an answer which is a success has
}

// wireEnd is how an answer ends for the client.
type wireEnd string

const (
	succeeds wireEnd = "success"
	fails    wireEnd = "error"    // an error answer with a status of its own
	breaks   wireEnd = "in-band"  // 200 and output, then an error in the stream
	times    wireEnd = "time out" // an error answer, 504
)

// send writes what a test does not care to see fail.
func send(c net.Conn, pieces ...string) {
	for _, p := range pieces {
		_, _ = io.WriteString(c, p)
	}
}

// head is the head of a successful answer.
func head(stream string, more ...string) string {
	kind := "application/json"
	if stream == "sse" {
		kind = "text/event-stream"
	}
	return "HTTP/1.1 200 OK\r\nContent-Type: " + kind + "\r\n" + strings.Join(more, "")
}

// part is one piece of an answer in the framing of a stream, the n-th from 0.
func part(stream, text string, n int, last bool) string {
	finish := ""
	if last {
		finish = `"finishReason":"STOP",`
	}
	json := `{"candidates":[{"content":{"parts":[{"text":"` + text + `"}],"role":"model"},` + finish + `"index":0}],"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":2,"totalTokenCount":5}}`
	switch {
	case stream == "sse":
		return "data: " + json + "\r\n\r\n"
	case stream == "array" && n == 0:
		json = "[" + json
	case stream == "array":
		json = ",\r\n" + json
	}
	if stream == "array" && last {
		json += "]"
	}
	return json
}

// chunk frames a piece of a body.
func chunk(s string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(s), s) }

const (
	chunked = "Transfer-Encoding: chunked\r\n\r\n"
	toEnd   = "Connection: close\r\n\r\n" // the body ends with the connection
)

// wholeWire is an answer without any fault.
func wholeWire(stream string) string {
	if stream == "" {
		return chunk(part("", "all of it", 0, true)) + "0\r\n\r\n"
	}
	return chunk(part(stream, "all ", 0, false)) + chunk(part(stream, "of it", 1, true)) + "0\r\n\r\n"
}

func reset(c net.Conn) {
	_ = c.(*net.TCPConn).SetLinger(0)
	_ = c.Close()
}

// wireBomb is small and unpacks to 64 MiB.
var wireBomb = sync.OnceValue(func() string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	zeros := make([]byte, 1<<20)
	for range 64 {
		_, _ = z.Write(zeros)
	}
	_ = z.Close()
	return b.String()
})

var wireFaults = []wireFault{
	{"no fault", func(c net.Conn, s string) { send(c, head(s, chunked), wholeWire(s)) }, succeeds, succeeds, "all of it"},
	{"closed without a word", func(net.Conn, string) {}, fails, fails, ""},
	{"reset before the head", func(c net.Conn, _ string) { reset(c) }, fails, fails, ""},
	{"reset in the head", func(c net.Conn, s string) { send(c, head(s)); reset(c) }, fails, fails, ""},
	{"no HTTP", func(c net.Conn, _ string) { send(c, "220 mail.example.com ESMTP\r\n\r\n") }, fails, fails, ""},
	{"TLS alert in plain text", func(c net.Conn, _ string) { send(c, "\x15\x03\x01\x00\x02\x02\x28") }, fails, fails, ""},
	{"a head without end", func(c net.Conn, s string) {
		send(c, head(s))
		for range 20_000 {
			if _, err := io.WriteString(c, "X-Filler: "+strings.Repeat("x", 1000)+"\r\n"); err != nil {
				return
			}
		}
	}, fails, fails, ""},
	{"100 Continue before it", func(c net.Conn, s string) {
		send(c, "HTTP/1.1 100 Continue\r\n\r\n", head(s, chunked), wholeWire(s))
	}, succeeds, succeeds, "all of it"},
	{"early hints before it", func(c net.Conn, s string) {
		send(c, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", "HTTP/1.1 103 Early Hints\r\n\r\n", head(s, chunked), wholeWire(s))
	}, succeeds, succeeds, "all of it"},
	{"1xx for ever", func(c net.Conn, _ string) {
		for {
			if _, err := io.WriteString(c, "HTTP/1.1 103 Early Hints\r\nLink: </"+strings.Repeat("x", 4000)+">\r\n\r\n"); err != nil {
				return
			}
		}
	}, fails, fails, ""},
	{"101 that nobody asked for", func(c net.Conn, _ string) {
		send(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
	}, fails, fails, ""},
	{"204", func(c net.Conn, _ string) { send(c, "HTTP/1.1 204 No Content\r\n\r\n") }, fails, fails, ""},
	{"304", func(c net.Conn, _ string) { send(c, "HTTP/1.1 304 Not Modified\r\n\r\n") }, fails, fails, ""},
	{"a redirect", func(c net.Conn, _ string) {
		send(c, "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n")
	}, fails, fails, ""},
	{"an HTML page", func(c net.Conn, _ string) {
		page := "<!DOCTYPE html><html><title>Error</title><p>Sign in to the hotel's network.</html>"
		send(c, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n", fmt.Sprintf("Content-Length: %d\r\n\r\n", len(page)), page)
	}, fails, fails, ""},
	{"a gzip bomb that nobody asked for", func(c net.Conn, s string) {
		b := wireBomb()
		send(c, head(s, "Content-Encoding: gzip\r\n", fmt.Sprintf("Content-Length: %d\r\n\r\n", len(b))), b)
	}, fails, fails, ""},
	{"reset after the head", func(c net.Conn, s string) { send(c, head(s, chunked)); flushed(c); reset(c) }, fails, fails, ""},
	{"closed after the head", func(c net.Conn, s string) { send(c, head(s, chunked)) }, fails, fails, ""},
	{"closed after the head, unframed", func(c net.Conn, s string) { send(c, head(s, toEnd)) }, fails, fails, ""},
	{"reset in the first event", func(c net.Conn, s string) {
		p := part(s, "all", 0, false)
		send(c, head(s, chunked), chunk(p[:len(p)/2]))
		flushed(c)
		reset(c)
	}, fails, fails, ""},
	{"reset in the second event", func(c net.Conn, s string) {
		p := part(s, "of it", 1, true)
		send(c, head(s, chunked), chunk(part(s, "all ", 0, false)), chunk(p[:len(p)/2]))
		flushed(c)
		reset(c)
	}, fails, breaks, "all"},
	{"reset after the last event", func(c net.Conn, s string) {
		whole := wholeWire(s)
		send(c, head(s, chunked), whole[:len(whole)-5])
		flushed(c)
		reset(c)
	}, fails, succeeds, "all of it"},
	{"half closed in the second event", func(c net.Conn, s string) {
		p := part(s, "of it", 1, true)
		send(c, head(s, toEnd), part(s, "all ", 0, false), p[:len(p)/2])
		_ = c.(*net.TCPConn).CloseWrite()
		_, _ = io.Copy(io.Discard, c)
	}, fails, breaks, "all"},
	{"whole, its end is the connection's", func(c net.Conn, s string) {
		if send(c, head(s, toEnd)); s != "" {
			send(c, part(s, "all ", 0, false), part(s, "of it", 1, true))
			return
		}
		send(c, part(s, "all of it", 0, true))
	}, succeeds, succeeds, "all of it"},
	{"chunks that are none", func(c net.Conn, s string) {
		send(c, head(s, chunked), chunk(part(s, "all ", 0, false)), "zz\r\n")
	}, fails, breaks, "all"},
	{"a chunk of 2^63 bytes", func(c net.Conn, s string) {
		send(c, head(s, chunked), chunk(part(s, "all ", 0, false)), "8000000000000000\r\n ")
	}, fails, breaks, "all"},
	{"Content-Length of more than there is", func(c net.Conn, s string) {
		p := part(s, "all", 0, false)
		send(c, head(s, fmt.Sprintf("Content-Length: %d\r\n\r\n", len(p)+100)), p)
	}, fails, breaks, "all"},
	{"Content-Length of less than there is", func(c net.Conn, s string) {
		p := part(s, "all ", 0, false)
		q := part(s, "of it", 1, true)
		send(c, head(s, "Connection: close\r\n", fmt.Sprintf("Content-Length: %d\r\n\r\n", len(p)+len(q)/2)), p)
		flushed(c)
		send(c, q)
	}, fails, breaks, "all"},
	{"two lengths", func(c net.Conn, s string) {
		p := part(s, "all", 0, true)
		send(c, head(s, fmt.Sprintf("Content-Length: %d\r\nContent-Length: 5\r\n\r\n", len(p))), p)
	}, fails, fails, ""},
	{"silence before the head", func(c net.Conn, _ string) { _, _ = io.Copy(io.Discard, c) }, times, times, ""},
	{"silence in the head", func(c net.Conn, s string) { send(c, head(s)); _, _ = io.Copy(io.Discard, c) }, times, times, ""},
	{"silence after the head", func(c net.Conn, s string) {
		send(c, head(s, chunked))
		_, _ = io.Copy(io.Discard, c)
	}, times, times, ""},
	{"silence after the first event", func(c net.Conn, s string) {
		p := part(s, "all ", 0, false)
		if s == "" {
			p = p[:len(p)/2]
		}
		send(c, head(s, chunked), chunk(p))
		_, _ = io.Copy(io.Discard, c)
	}, times, breaks, "all"},
	{"keep-alives without output", func(c net.Conn, s string) {
		send(c, head(s, chunked))
		for {
			p := " "
			if s == "sse" {
				p = ": keep-alive\r\n\r\n"
			}
			if _, err := io.WriteString(c, chunk(p)); err != nil {
				return
			}
			time.Sleep(20 * time.Millisecond) //nolint:forbidigo // a Google that has nothing to say
		}
	}, times, times, ""},
}

// flushed waits until the other side has had time to read what was sent: a reset
// throws away what is still in the kernel.
func flushed(net.Conn) { time.Sleep(20 * time.Millisecond) } //nolint:forbidigo // the kernel's buffers have no event

// newWire is a Google that reads requests and lets a fault have the connection.
func newWire(t *testing.T, l net.Listener, f func(c net.Conn, stream string)) (url string) {
	t.Helper()
	var conns sync.WaitGroup
	t.Cleanup(func() { l.Close(); conns.Wait() })
	conns.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer c.Close()
				stop := context.AfterFunc(t.Context(), func() { c.Close() })
				defer stop()
				r, err := http.ReadRequest(bufio.NewReader(c))
				if err != nil {
					return
				}
				if _, err := io.Copy(io.Discard, r.Body); err != nil {
					return
				}
				f(c, streamOf(r))
			})
		}
	})
	return "http://" + l.Addr().String()
}

// streamOf is the framing that a request asks for.
func streamOf(r *http.Request) string {
	switch {
	case !strings.Contains(r.URL.Path, "streamGenerateContent"):
		return ""
	case r.URL.Query().Get("alt") == "sse":
		return "sse"
	default:
		return "array"
	}
}

// wireSurfaces are the ways to ask in all dialects.
var wireSurfaces = append(slices.Clip(surfaces),
	surface{name: "anthropic"}, surface{name: "anthropic stream", stream: true})

func (s surface) anthropic() bool { return strings.HasPrefix(s.name, "anthropic") }

// askAny asks on any of wireSurfaces.
func (w *world) askAny(ctx context.Context, s surface, prompt string) answer {
	w.t.Helper()
	if !s.anthropic() {
		return w.askCtx(ctx, s, prompt)
	}
	return w.do(ctx, http.MethodPost, "/v1/messages",
		fmt.Sprintf(`{"model":%q,"max_tokens":2000,"stream":%v,"messages":[{"role":"user","content":%q}]}`, model, s.stream, prompt),
		"Anthropic-Version", "2023-06-01")
}

// TestWireFaults runs every fault of the wire on every surface: each has a defined
// end, within the time that the timeouts allow, no error is followed by what looks
// like a success, and no key is blamed.
func TestWireFaults(t *testing.T) {
	for _, f := range wireFaults {
		for _, s := range wireSurfaces {
			t.Run(f.name+" "+s.name, func(t *testing.T) {
				t.Parallel()
				end := f.unary
				if s.stream {
					end = f.stream
				}
				if f.unary != times {
					l, err := net.Listen("tcp", "127.0.0.1:0")
					must(t, err)
					checkEnd(t, s, askBroken(t, newWorld, s, upstream.Config{BaseURL: newWire(t, l, f.serve)}), end, f.whole)
					return
				}
				synctest.Test(t, func(t *testing.T) { // where a timeout decides, nothing else may take time
					l := &pipes{make(chan net.Conn), make(chan struct{})}
					start := time.Now()
					got := askBroken(t, newBubble, s, upstream.Config{BaseURL: newWire(t, l, f.serve), Dial: l.dial})
					if took := time.Since(start); took > 2*brokenFor {
						t.Errorf("answered after %s; all timeouts together are less", took)
					}
					checkEnd(t, s, got, end, f.whole)
				})
			})
		}
	}
}

// TestWireFaults_NoConnection: there is no connection to Google, or none to trust.
func TestWireFaults_NoConnection(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	closed.Close()
	stranger := httptest.NewTLSServer(http.NotFoundHandler()) // its certificate is nobody's
	defer stranger.Close()
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	for name, config := range map[string]upstream.Config{
		"refused":     {BaseURL: "http://" + closed.Addr().String()},
		"no such DNS": {BaseURL: "https://generativelanguage.example", Dial: noName},
		"unreachable": {BaseURL: "https://generativelanguage.example", Dial: noRoute},
		"not trusted": {BaseURL: stranger.URL},
		"no TLS":      {BaseURL: strings.Replace(plain.URL, "http:", "https:", 1)},
	} {
		for _, s := range wireSurfaces {
			t.Run(name+" "+s.name, func(t *testing.T) { checkEnd(t, s, askBroken(t, newWorld, s, config), fails, "") })
		}
	}
}

func noName(context.Context, string, string) (net.Conn, error) {
	return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "generativelanguage.example", IsNotFound: true}}
}

func noRoute(context.Context, string, string) (net.Conn, error) {
	return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("network is unreachable")}
}

// brokenFor is what a gateway has with a broken Google: more than the race detector
// needs for the bombs.
const brokenFor = time.Minute

// askBroken asks a gateway of its own with three keys, none of which may be blamed,
// once: what further attempts do is that of TestFaults.
func askBroken(t *testing.T, world func(testing.TB, fakegemini.Config, ...func(*Config)) *world, s surface, config upstream.Config) answer {
	t.Helper()
	return askAttempts(t, world, s, config, 1)
}

// askAttempts is askBroken for a gateway that asks Google so many times.
func askAttempts(t *testing.T, world func(testing.TB, fakegemini.Config, ...func(*Config)) *world, s surface, config upstream.Config, attempts int64) answer {
	t.Helper()
	w := world(t, keys(3), func(c *Config) {
		c.Timeouts = Timeouts{FirstOutput: brokenFor, Idle: brokenFor, Total: 2 * brokenFor}
		c.Heartbeat = time.Hour // which would hide the status
		up, err := upstream.New(config)
		must(t, err)
		t.Cleanup(up.Close)
		c.Upstream = up
	})
	must(t, w.gw.Settings.Update(settings.Patch{"retry.wait": time.Duration(0), "retry.attempts": attempts}))
	got := w.askAny(t.Context(), s, "hi")
	if states := w.pool.Stats().States; states[balancer.StateActive]+states[balancer.StateUntested] != 3 {
		t.Errorf("keys changed state: %v", states)
	}
	if n := w.pool.Stats().InFlight; n != 0 {
		t.Errorf("%d leases are still out", n)
	}
	return got
}

// checkEnd demands that an answer ends as it should, in the surface's dialect.
func checkEnd(t *testing.T, s surface, got answer, end wireEnd, whole string) {
	t.Helper()
	if got.err != nil {
		t.Fatalf("the client's connection broke: %v, %d %s", got.err, got.status, got.body)
	}
	success := strings.Contains(got.body, "[DONE]") || strings.Contains(got.body, "message_stop") ||
		strings.Contains(got.body, `"finishReason"`) || strings.Contains(got.body, `"finish_reason":"`) || strings.Contains(got.body, `"stop_reason":"`)
	switch end {
	case succeeds:
		if got.status != http.StatusOK || !success || strings.Contains(got.body, `"error"`) || !hasText(got.body, whole) {
			t.Errorf("%d %s", got.status, got.body)
		}
		return
	case breaks:
		if got.status != http.StatusOK || !strings.Contains(got.body, whole) {
			t.Fatalf("%d %s, want 200 and a stream that breaks after %q", got.status, got.body, whole)
		}
		if s.anthropic() {
			if i := strings.LastIndex(got.body, "event: "); i < 0 || !strings.HasPrefix(got.body[i:], "event: error\n") {
				t.Errorf("the last event is no error: %s", got.body)
			}
		} else {
			checkInBand(t, s, got)
		}
	default:
		if got.status < 500 || end == times && got.status != http.StatusGatewayTimeout {
			t.Fatalf("%d %s, want an error of %s", got.status, got.body, end)
		}
		if s.anthropic() {
			claudeError(t, got, got.status, map[bool]string{true: "timeout_error", false: anthropicKind(got)}[end == times], "")
		} else {
			checkError(t, s, got)
		}
	}
	if success {
		t.Errorf("what is no success looks like one: %s", got.body)
	}
}

// anthropicKind is the kind that belongs to a status. Source: specs/native-anthropic.md C.8.
func anthropicKind(got answer) string {
	if got.status == 529 {
		return "overloaded_error"
	}
	return "api_error"
}

// hasText reports whether an answer has a text, in one piece or in two.
func hasText(body, text string) bool {
	first, rest, _ := strings.Cut(text, " ")
	return strings.Contains(body, text) || strings.Contains(body, `"`+first+` "`) && strings.Contains(body, `"`+rest+`"`)
}
