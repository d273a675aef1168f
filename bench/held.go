// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"
)

// heldStreams measures what open streams take: each gets its first event and then
// nothing, as where a model thinks. The memory of a stream is what the process has
// more than before, divided by their number.
func heldStreams(s *system, n int) (perStream float64, err error) {
	sc := scenario{model: modelHeld, stream: true}
	path, body := request(s, sc)
	var header strings.Builder
	_ = s.header(0).Write(&header)
	address := strings.TrimPrefix(s.url, "http://")
	text := fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\n%sContent-Length: %d\r\n\r\n%s", path, address, header.String(), len(body), body)
	var (
		mu     sync.Mutex
		wg     sync.WaitGroup
		failed error
		conns  []net.Conn
		slots  = make(chan struct{}, 64)
	)
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	before := s.rss()
	for range n {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			conn, err := openStream(address, text)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed = err
				return
			}
			conns = append(conns, conn)
		})
	}
	if wg.Wait(); failed != nil {
		return 0, fmt.Errorf("%s, stream %d of %d: %w", s.name, len(conns), n, failed)
	}
	time.Sleep(2 * time.Second) // what is still being done is done
	return (s.rss() - before) * 1024 / float64(n), nil
}

// openStream opens a stream and reads until its first event is there.
func openStream(address string, request []byte) (net.Conn, error) {
	// A gateway that sheds load while so many come at once says when to come back.
	for range 50 {
		conn, err := tryStream(address, request)
		if !errors.Is(err, errShed) {
			return conn, err
		}
		time.Sleep(time.Second)
	}
	return nil, errShed
}

var errShed = errors.New("shed")

func tryStream(address string, request []byte) (net.Conn, error) {
	conn, err := net.DialTimeout("tcp", address, 10*time.Second)
	if err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err = conn.Write(request); err != nil {
		return nil, err
	}
	var got []byte
	buf := make([]byte, 4096)
	for !bytes.Contains(got, []byte("data: {")) {
		n, err := conn.Read(buf)
		got = append(got, buf[:n]...)
		switch {
		case err != nil, bytes.HasPrefix(got, []byte("HTTP/1.1 200")):
		case bytes.HasPrefix(got, []byte("HTTP/1.1 503")):
			err = errShed
		default:
			err = errors.New("refused")
		}
		if err != nil {
			_ = conn.Close()
			return nil, fmt.Errorf("%w after %q", err, got)
		}
	}
	return conn, conn.SetDeadline(time.Time{})
}
