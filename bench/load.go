// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// scenario is one kind of load.
type scenario struct {
	name    string
	model   string
	stream  bool
	embed   bool // an embedding, not an answer
	image   int  // bytes of an inline image
	clients int
	rate    float64 // requests per second in all; 0 = as fast as the answers come
	events  int     // per answer; 0 = unary
	bar     float64 // the share of reverse_proxy's CPU that it may take; 0 for none
	small   bool    // whose memory has a bar
}

var scenarios = []scenario{
	{name: "small chat, 32 connections", model: modelSmall, clients: 32, bar: 0.75, small: true},
	{name: "stream, 50 events, full speed", model: modelFast, stream: true, clients: 32, events: events, bar: 1},
	{name: "stream, 50 events 10 ms apart, 128", model: modelSlow, stream: true, clients: 128, events: events, bar: 0.95},
	{name: "1 MiB image, 8 connections", model: modelSmall, image: 1 << 20, clients: 8, bar: 1.25},
	{name: "embedding, 32 connections", model: modelVector, embed: true, clients: 32},
	{model: modelSmall, clients: 8}, // at a rate
}

type measurement struct {
	rate, cpu, allocs float64 // requests/s; µs and objects of a request
	shed              float64 // requests that were told to come back, the machine being too busy
	p50, p99, first   float64 // ms until the end; ms until the first bytes, of half of the requests
	rss, peak         float64 // MB after it, and at most in its course
}

// beyond is m with the times that it took longer than the same load without a gateway.
func (m measurement) beyond(base *measurement) measurement {
	m.p50, m.p99, m.first = m.p50-base.p50, m.p99-base.p99, m.first-base.first
	return m
}

// measure runs one round. CPU is read from the first request to the last.
func measure(s *system, sc scenario, length time.Duration) (measurement, error) {
	path, body := request(s, sc)
	var next atomic.Int64
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: sc.clients, DisableCompression: true}}
	defer client.CloseIdleConnections()
	var shed atomic.Int64
	ask := func() (first time.Duration, err error) {
		began := time.Now()
		req, err := http.NewRequest(http.MethodPost, s.url+path, bytes.NewReader(body))
		if err != nil {
			return 0, err
		}
		req.Header = s.header(int(next.Add(1)))
		res, err := client.Do(req)
		if err != nil {
			return 0, err
		}
		defer res.Body.Close()
		if res.StatusCode == http.StatusServiceUnavailable {
			return 0, errShed
		}
		var head [100]byte
		_, err = io.ReadFull(res.Body, head[:])
		first = time.Since(began)
		if err == nil {
			_, err = io.Copy(io.Discard, res.Body)
		}
		if err == nil && res.StatusCode != http.StatusOK {
			err = fmt.Errorf("%s: %s", res.Status, head)
		}
		return first, err
	}
	once := func() (first time.Duration, err error) { // comes back where it is told to
		for range 100 {
			if first, err = ask(); !errors.Is(err, errShed) {
				return first, err
			}
			shed.Add(1)
			time.Sleep(time.Second)
		}
		return first, err
	}
	var (
		mu      sync.Mutex
		times   []time.Duration
		firsts  []time.Duration
		failed  int
		wg      sync.WaitGroup
		failure error
	)
	for range sc.clients { // warm: connections, caches, the auth of the user key
		wg.Go(func() {
			if _, err := once(); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failure = err
			}
		})
	}
	if wg.Wait(); failure != nil {
		return measurement{}, fmt.Errorf("%s, %s: %w", s.name, sc.name, failure)
	}
	s.forgetPeak()
	allocs, cpu, start := s.mallocs(), s.cpu(), time.Now()
	for c := range sc.clients {
		wg.Go(func() {
			var mine, mineFirst []time.Duration
			bad := 0
			for i := 0; time.Since(start) < length; i++ {
				if sc.rate > 0 {
					due := time.Duration(float64(i*sc.clients+c) / sc.rate * float64(time.Second))
					time.Sleep(due - time.Since(start))
				}
				t := time.Now()
				first, err := once()
				if err != nil {
					bad++
				}
				mine, mineFirst = append(mine, time.Since(t)), append(mineFirst, first)
			}
			mu.Lock()
			defer mu.Unlock()
			times, firsts, failed = append(times, mine...), append(firsts, mineFirst...), failed+bad
		})
	}
	wg.Wait()
	if failed > 0 {
		return measurement{}, fmt.Errorf("%s, %s: %d of %d requests failed", s.name, sc.name, failed, len(times))
	}
	elapsed := time.Since(start)
	used, made := s.cpu()-cpu, s.mallocs()-allocs
	slices.Sort(times)
	slices.Sort(firsts)
	at := func(q float64) float64 { return float64(times[int(q*float64(len(times)-1))]) / 1e6 }
	return measurement{
		rate: float64(len(times)) / elapsed.Seconds(), cpu: used / float64(len(times)),
		allocs: made / float64(len(times)), p50: at(.5), p99: at(.99), first: float64(firsts[len(firsts)/2]) / 1e6,
		rss: s.rss(), peak: s.peak(), shed: float64(shed.Load()),
	}, nil
}

// whole asks once and looks for everything that the upstream has said: an answer that
// lacks some of it is not worth a measurement.
func whole(s *system, sc scenario) error {
	path, body := request(s, sc)
	req, err := http.NewRequest(http.MethodPost, s.url+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header = s.header(0)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	what, want := fox, foxes
	if sc.embed {
		what, want = number, numbers
	} else if sc.stream {
		what, want = lorem, lorems*sc.events
	}
	if got := bytes.Count(answer, []byte(what)); got != want {
		return fmt.Errorf("%s, %s: %s with %q %d times, not %d", s.name, sc.name, res.Status, what, got, want)
	}
	return nil
}

// request is the same question in the words of the system under test.
func request(s *system, sc scenario) (path string, body []byte) {
	text := strings.Repeat("Tell me something about foxes and dogs. ", 18)
	if sc.embed {
		if s.native {
			return "/v1beta/models/" + sc.model + ":batchEmbedContents",
				fmt.Appendf(nil, `{"requests":[{"model":"models/%s","content":{"parts":[{"text":"%s"}]}}]}`, sc.model, text)
		}
		return "/v1/embeddings", fmt.Appendf(nil, `{"model":"%s","input":"%s"}`, sc.model, text)
	}
	image := strings.Repeat("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ", sc.image/44)
	if s.native {
		verb, query := "generateContent", ""
		if sc.stream {
			verb, query = "streamGenerateContent", "?alt=sse"
		}
		part := ""
		if sc.image > 0 {
			part = fmt.Sprintf(`,{"inlineData":{"mimeType":"image/png","data":"%s"}}`, image)
		}
		return "/v1beta/models/" + sc.model + ":" + verb + query,
			fmt.Appendf(nil, `{"systemInstruction":{"parts":[{"text":"Be brief."}]},"contents":[{"role":"user","parts":[{"text":"%s"}%s]}],"generationConfig":{"temperature":0.7}}`, text, part)
	}
	content := fmt.Sprintf("%q", text)
	if sc.image > 0 {
		content = fmt.Sprintf(`[{"type":"text","text":"%s"},{"type":"image_url","image_url":{"url":"data:image/png;base64,%s"}}]`, text, image)
	}
	return "/v1/chat/completions",
		fmt.Appendf(nil, `{"model":"%s","messages":[{"role":"system","content":"Be brief."},{"role":"user","content":%s}],"temperature":0.7,"stream":%v}`, sc.model, content, sc.stream)
}
