// SPDX-License-Identifier: Apache-2.0

//go:build unix

// Command protocols measures what asking Google costs over HTTP/1.1, as package
// upstream/http1 speaks it, and over HTTP/2, as net/http does: CPU time of the client's
// process alone, over TLS, by turns. The server is a process of its own on another core.
//
//	go run ./bench/protocols          # CPU per request
//	go run ./bench/protocols 2000     # memory and CPU of so many streams held at once
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/translate/sse"
	"github.com/gemini-balance/caddy-gemini-balance/upstream"
)

const events = 50

// load is a way to ask.
type load struct {
	name     string
	gap      time.Duration // between events; 0 = one small answer, negative = events without a pause
	requests int
	clients  int
	body     int
}

var loads = []load{
	{"small, one at a time", 0, 1500, 1, 1200},
	{"small, 32 at once", 0, 8000, 32, 1200},
	{"small, 128 at once", 0, 8000, 128, 1200},
	{"50 events at full speed, 32", -1, 800, 32, 1200},
	{"50 events 10 ms apart, 32", 10 * time.Millisecond, 96, 32, 1200},
	{"50 events 10 ms apart, 128", 10 * time.Millisecond, 384, 128, 1200},
	{"1 MiB, 4 at once", 0, 300, 4, 1 << 20},
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == "serve" {
		serve()
		return
	}
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "protocols:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	server, url, roots, err := start()
	if err != nil {
		return err
	}
	defer func() { _ = server.Process.Kill() }()
	pin(os.Getpid(), "0")
	client := func(http2 bool) (*upstream.Client, error) {
		return upstream.New(upstream.Config{BaseURL: url, HTTP2: http2, MaxIdle: 20_000, TLS: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}})
	}
	if len(args) == 1 {
		n, err := strconv.Atoi(args[0])
		if err != nil {
			return err
		}
		return hold(n, client)
	}
	for _, l := range loads {
		var cost [2][]float64
		for range 5 {
			for i, http2 := range []bool{false, true} {
				c, err := client(http2)
				if err != nil {
					return err
				}
				if err := l.run(c, l.clients); err != nil { // connections
					return err
				}
				before := cpu()
				if err := l.run(c, l.requests); err != nil {
					return err
				}
				cost[i] = append(cost[i], (cpu()-before)/float64(l.requests))
				c.Close()
			}
		}
		for i := range cost {
			slices.Sort(cost[i])
		}
		fmt.Printf("%-30s HTTP/1.1 %8.1f µs   HTTP/2 %8.1f µs   ratio %.2f\n", l.name, cost[0][2], cost[1][2], cost[0][2]/cost[1][2])
	}
	return nil
}

// run makes n requests.
func (l load) run(c *upstream.Client, n int) error {
	var wg sync.WaitGroup
	failed := make(chan error, l.clients)
	for range l.clients {
		wg.Go(func() {
			for range n / l.clients {
				if err := l.ask(c); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(failed)
	return <-failed
}

func (l load) ask(c *upstream.Client) error {
	res, err := c.Do(context.Background(), &upstream.Request{
		Method: http.MethodPost, Path: "/", Query: "gap=" + l.gap.String(), Secret: "key", Body: make([]byte, l.body),
	})
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if l.gap == 0 {
		_, err = io.Copy(io.Discard, res.Body)
		return err
	}
	frames := sse.NewReader(res.Body)
	defer frames.Release()
	for n := 0; ; n++ {
		switch _, _, err := frames.Next(); {
		case err == io.EOF && n == events:
			return nil
		case err == io.EOF:
			return errors.New("events are missing")
		case err != nil:
			return err
		}
	}
}

// hold measures streams of an event each half second while all are open. It is HTTP/1.1
// alone or HTTP/2 alone, since memory is not given back: PROTOCOL says which.
func hold(n int, client func(http2 bool) (*upstream.Client, error)) error {
	http2 := os.Getenv("PROTOCOL") == "2"
	c, err := client(http2)
	if err != nil {
		return err
	}
	idle := rss()
	go func() { _ = load{gap: time.Second / 2, clients: n, body: 1200}.run(c, n) }()
	time.Sleep(8 * time.Second)
	before, length := cpu(), 10*time.Second
	time.Sleep(length)
	fmt.Printf("HTTP/2 %v, %d streams: %.1f KB a stream, %.1f µs an event\n", http2, n, (rss()-idle)/float64(n), (cpu()-before)/float64(n)/length.Seconds()/2)
	return nil
}

// start starts the server and reads from it where it is, and its certificate.
func start() (server *exec.Cmd, url string, roots *x509.CertPool, err error) {
	server = exec.Command(os.Args[0], "serve")
	out, err := server.StdoutPipe()
	if err != nil {
		return nil, "", nil, err
	}
	if err := server.Start(); err != nil {
		return nil, "", nil, err
	}
	pin(server.Process.Pid, fmt.Sprintf("1-%d", runtime.NumCPU()-1))
	told, err := io.ReadAll(out)
	url, certificate, _ := strings.Cut(string(told), "\n")
	roots = x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(certificate)) {
		err = errors.New("the server did not start")
	}
	return server, url, roots, err
}

func pin(pid int, cpus string) {
	if runtime.NumCPU() > 1 {
		_ = exec.Command("taskset", "-a", "-c", "-p", cpus, strconv.Itoa(pid)).Run()
	}
}

func serve() {
	small, event := strings.Repeat("lorem ipsum ", 60), "data: "+strings.Repeat("lorem ipsum ", 45)+"\r\n\r\n"
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		gap, _ := time.ParseDuration(r.URL.Query().Get("gap"))
		if gap == 0 {
			_, _ = io.WriteString(w, small)
			return
		}
		for range events {
			time.Sleep(gap)
			_, _ = io.WriteString(w, event)
			_ = http.NewResponseController(w).Flush()
		}
	}))
	s.EnableHTTP2 = true
	s.StartTLS()
	fmt.Println(s.URL)
	_ = pem.Encode(os.Stdout, &pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	_ = os.Stdout.Close()
	select {} // until it is killed
}

// cpu is the time that this process has used, in µs.
func cpu() float64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return float64(u.Utime.Sec+u.Stime.Sec)*1e6 + float64(u.Utime.Usec+u.Stime.Usec)
}

// rss is the resident memory in KB.
func rss() float64 {
	status, _ := os.ReadFile("/proc/self/status")
	_, after, _ := strings.Cut(string(status), "VmRSS:")
	kb, _ := strconv.ParseFloat(strings.Fields(after)[0], 64)
	return kb
}
