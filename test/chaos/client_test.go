// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestStalledClients: clients that stop reading in the middle of a long answer, and those
// that read a kilobyte a second, cost little memory, and are cut when the time of their
// request is over; what they have used is booked, and others do not notice. They ask in Google's dialect: the answers
// must be larger than the system's buffers, some MB, and the translated dialects keep
// an answer's text, which no real model makes longer than 65,536 tokens.
func TestStalledClients(t *testing.T) {
	clients := by(100, 500)
	s := newServer(t, 4)
	s.start(s.usual("timeouts {\n total " + by("6s", "25s") + "\n}\n"))
	s.addUser()
	for range 50 {
		s.chat("hello")
	}
	idle, heap := s.memory("VmRSS"), s.profile("heap")
	const body = `{"contents":[{"role":"user","parts":[{"text":"<events 200> <size 60000>"}]}]}`
	conns := make([]net.Conn, clients)
	var all sync.WaitGroup
	for i := range conns {
		all.Go(func() { conns[i] = s.stall(t, body) })
		pause(by(0, 20*time.Millisecond)) // 5 MB each until the system's buffers are full
	}
	all.Wait()
	defer func() {
		for _, c := range conns {
			if c != nil {
				c.Close()
			}
		}
	}()
	slow := time.NewTicker(time.Second)
	defer slow.Stop()
	over := make(chan struct{})
	defer close(over)
	go func() {
		for piece := make([]byte, 1024); ; {
			select {
			case <-over:
				return
			case <-slow.C:
			}
			for i := 1; i < clients; i += 2 {
				if conns[i] != nil {
					_, _ = conns[i].Read(piece) // there is always something, until it is cut
				}
			}
		}
	}()
	eventually(t, "all wait", func() bool { return s.google.asked.Load() >= int64(clients)+50 })
	pause(2 * time.Second) // until the kernel's buffers are full
	each, live := (s.memory("VmRSS")-idle)/int64(clients), (s.profile("heap")-heap)/int64(clients)
	quick := outcomes{}
	for range 50 {
		quick = append(quick, ask(s.client, s.small(t.Context(), 0)))
	}
	if len(quick.of(http.StatusOK)) != 50 {
		t.Errorf("beside those who stall: %v", quick.statuses())
	}
	if live > 256<<10 || long && each > 256<<10 {
		t.Errorf("a client that does not read takes %d KiB of the heap, %d KiB in all", live>>10, each>>10)
	}
	var stats struct{ Requests int64 }
	eventually(t, "all are cut and booked", func() bool {
		s.call(http.MethodGet, "/admin/stats", "", &stats)
		return stats.Requests == int64(clients)+100
	})
	tell(t, "U8", "%d clients of whom half do not read and half read 1 kB/s: %d KiB each, %d KiB of it in use; all cut and booked; others' p99 meanwhile %s", clients, each>>10, live>>10, quick.took(.99))
}

// stall sends a request, reads the head of its answer and nothing more.
func (s *server) stall(t *testing.T, body string) net.Conn {
	c, err := net.Dial("tcp", s.site)
	if err != nil {
		t.Error(err)
		return nil
	}
	_ = c.(*net.TCPConn).SetReadBuffer(4096)
	_, _ = fmt.Fprintf(c, "POST /v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", s.site, s.user, len(body), body)
	line, err := bufio.NewReaderSize(c, 64).ReadString('\n')
	if err != nil || !strings.Contains(line, "200") {
		t.Errorf("%q %v", line, err)
	}
	return c
}

// TestHostileClients sends what no client should, at the real server: heads without
// end, thousands of headers, two keys, requests that trickle in or never do. It is
// refused, the process lives, and others do not wait for it.
func TestHostileClients(t *testing.T) {
	s := newServer(t, 4)
	const limits = "timeouts {\n read_header 8s\n read_body 8s\n}\n" // longer than what is measured beside them
	s.start(s.config("servers {\n protocols h1 h2c\n"+limits+"}", fmt.Sprintf("store badger %q\n", s.dir+"/store")))
	s.addUser()
	calm := s.measure(t)
	head := "POST /v1/chat/completions HTTP/1.1\r\nConnection: close\r\nHost: " + s.site + "\r\n"
	auth := "Authorization: Bearer " + s.user + "\r\n"
	for name, tc := range map[string]struct {
		request string
		status  string // "" = the connection just ends
	}{
		"headers of 2 MB":   {head + auth + "X-Big: " + strings.Repeat("x", 2<<20) + "\r\n\r\n", "431"},
		"20,000 headers":    {head + auth + strings.Repeat("X-Many: "+strings.Repeat("x", 60)+"\r\n", 20_000) + "\r\n", "431"},
		"two keys":          {head + auth + "X-Api-Key: gb-other\r\nContent-Length: 2\r\n\r\n{}", "400"},
		"the header twice":  {head + "Authorization: Bearer gb-other\r\n" + auth + "X-Api-Key: gb-other\r\nContent-Length: 2\r\n\r\n{}", "400"},
		"underscores":       {head + "X_Api_Key: " + s.user + "\r\nContent-Length: 2\r\n\r\n{}", "401"},
		"two lengths":       {head + auth + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", "400"},
		"length and chunks": {head + auth + "Content-Length: 2\r\nTransfer-Encoding: chunked, identity\r\n\r\n{}", "501"},
		"a line break":      {head + auth + "X-A: a\r\n b: c\r\nContent-Length: 2\r\n\r\n{}", "400"},
		"no HTTP":           {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", "400"},
		"another version":   {"POST /v1/chat/completions HTTP/9.9\r\nHost: gw\r\n\r\n", "505"},
		"no host":           {"POST /v1/chat/completions HTTP/1.1\r\n\r\n", "400"},
	} {
		got := s.raw(t, tc.request)
		if !strings.HasPrefix(got, "HTTP/1.") || len(got) < 12 || !strings.HasPrefix(got[9:12], tc.status) {
			t.Errorf("%s: %.60q, want %s", name, got, tc.status)
		}
	}
	// Those that do not come to an end.
	slow := by(200, 2000)
	var conns []net.Conn
	for i := range slow {
		c, err := net.Dial("tcp", s.site)
		must(t, err)
		defer c.Close()
		switch i % 3 {
		case 0: // never a byte
		case 1:
			_, _ = io.WriteString(c, head)
		default:
			_, _ = io.WriteString(c, head+auth+"Content-Length: 1000\r\n\r\n{")
		}
		conns = append(conns, c)
	}
	stop := make(chan struct{})
	var trickle sync.WaitGroup
	trickle.Go(func() {
		for {
			for _, c := range conns {
				_, _ = io.WriteString(c, "X")
			}
			select {
			case <-stop:
				return
			case <-time.After(100 * time.Millisecond):
			}
		}
	})
	within := func(name string, all outcomes, usual time.Duration) {
		if len(all.of(http.StatusOK)) != len(all) {
			t.Errorf("beside %s: %v", name, all.statuses())
		}
		if long && all.took(.99) > 2*usual+20*time.Millisecond {
			t.Errorf("p99 is %s beside %s, want twice %s at most", all.took(.99), name, usual)
		}
	}
	beside := s.measure(t)
	within("the slow ones", beside, calm.took(.99))
	var open sync.WaitGroup
	for i, c := range conns {
		open.Go(func() {
			_ = c.SetReadDeadline(time.Now().Add(patience))
			if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the server keeps connection %d, which is slow, for ever", i)
			}
		})
	}
	open.Wait()
	close(stop)
	trickle.Wait()
	// What floods take of the processors, they take from Caddy whatever it serves.
	const flood, drown = 4, 20
	flooded := s.besideFlood(t, flood)
	var drowned outcomes
	if long {
		drowned = s.besideFlood(t, drown)
	}
	must(t, s.load(fmt.Sprintf("{\n\tadmin %s\n\tpersist_config off\n\tauto_https off\n\tservers {\n\t\tprotocols h1 h2c\n\t}\n}\nhttp://%s {\n\trespond ok\n}\n", s.admin, s.site)))
	plain := s.besideFlood(t, flood)
	within("floods", flooded, plain.took(.99))
	tell(t, "U12, U13", "%d half-open and trickling connections: others' p99 %s, %s without; %d clients that flood with resets and endless headers over HTTP/2: others' p99 %s, of Caddy's own respond %s",
		slow, beside.took(.99), calm.took(.99), flood, flooded.took(.99), plain.took(.99))
	if long {
		tell(t, "U13", "%d clients that flood, which takes all there is of the processors: others' p99 %s, of Caddy's own respond %s", drown, drowned.took(.99), s.besideFlood(t, drown).took(.99))
	}
}

// besideFlood measures while clients flood.
func (s *server) besideFlood(t *testing.T, clients int) outcomes {
	stop := make(chan struct{})
	var flood sync.WaitGroup
	for range clients {
		flood.Go(func() { s.abuse(stop) })
	}
	defer flood.Wait()
	defer close(stop)
	return s.measure(t)
}

// measure asks at a low rate.
func (s *server) measure(t *testing.T) outcomes {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}}
	defer client.CloseIdleConnections()
	return openLoop(t.Context(), client, 100, by(time.Second, 5*time.Second), func(ctx context.Context, i int) *http.Request { return s.small(ctx, i) })
}

// raw sends bytes and returns what comes back.
func (s *server) raw(t *testing.T, request string) string {
	t.Helper()
	c, err := net.Dial("tcp", s.site)
	must(t, err)
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	go io.WriteString(c, request) //nolint:errcheck // the server need not read it all
	got, _ := io.ReadAll(c)
	return string(got)
}

// abuse opens HTTP/2 connections again and again, each with as many streams as it is
// let, which are reset at once, and then a header without an end.
func (s *server) abuse(stop <-chan struct{}) {
	// GET / of the site: indexed fields of HPACK's static table, and a literal host.
	fields := append([]byte{0x82, 0x86, 0x84, 0x41, byte(len(s.site))}, s.site...)
	for {
		select {
		case <-stop:
			return
		default:
		}
		c, err := net.Dial("tcp", s.site)
		if err != nil {
			return
		}
		_ = c.SetDeadline(time.Now().Add(3 * time.Second))
		go io.Copy(io.Discard, c) //nolint:errcheck // nobody cares what it says
		_, err = c.Write(append([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), frame(4, 0, 0, nil)...))
		id := uint32(1)
		for ; err == nil && id < 2000; id += 2 {
			_, err = c.Write(append(frame(1, 0x5, id, fields), frame(3, 0, id, []byte{0, 0, 0, 8})...))
		}
		if err == nil {
			_, err = c.Write(frame(1, 0, id, fields)) // its headers go on
		}
		junk := append([]byte{0x00, 0x01, 'a', 0x7f, 0x81, 0x7f}, bytes.Repeat([]byte{'b'}, 16_000)...)
		for n := 0; err == nil && n < 100; n++ {
			_, err = c.Write(frame(9, 0, id, junk))
		}
		c.Close()
		pause(50 * time.Millisecond) // the attackers are on the same machine
	}
}

// frame is one of HTTP/2.
func frame(kind, flags byte, stream uint32, payload []byte) []byte {
	n := len(payload)
	head := []byte{byte(n >> 16), byte(n >> 8), byte(n), kind, flags, byte(stream >> 24), byte(stream >> 16), byte(stream >> 8), byte(stream)}
	return append(head, payload...)
}
