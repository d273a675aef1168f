// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// scenario is one kind of load.
type scenario struct {
	name    string
	model   string
	stream  bool
	image   int // bytes of an inline image
	clients int
	rate    float64 // requests per second in all; 0 = as fast as the answers come
	events  int     // per answer; 0 = unary
}

var scenarios = []scenario{
	{name: "small chat, 32 connections", model: modelSmall, clients: 32},
	{name: "stream, 50 events, full speed", model: modelFast, stream: true, clients: 32, events: events},
	{name: "stream, 50 events 10 ms apart, 128", model: modelSlow, stream: true, clients: 128, events: events},
	{name: "1 MiB image, 8 connections", model: modelSmall, image: 1 << 20, clients: 8},
	{name: "small chat, 100 requests/s", model: modelSmall, clients: 8, rate: 100},
}

type measurement struct {
	rate, cpu, allocs, p50, p99, rss float64 // requests/s, µs, objects, ms, ms, MB
}

// measure runs one round. CPU is read from the first request to the last.
func measure(s *system, sc scenario, length time.Duration) (measurement, error) {
	path, body := request(s, sc)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: sc.clients, DisableCompression: true}}
	defer client.CloseIdleConnections()
	once := func() error {
		req, err := http.NewRequest(http.MethodPost, s.url+path, bytes.NewReader(body))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer "+s.key)
		res, err := client.Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		n, err := io.Copy(io.Discard, res.Body)
		if err == nil && (res.StatusCode != http.StatusOK || n < 100) {
			err = fmt.Errorf("%s: %d bytes", res.Status, n)
		}
		return err
	}
	var (
		mu     sync.Mutex
		times  []time.Duration
		failed int
		wg     sync.WaitGroup
		first  error
	)
	for range sc.clients { // warm: connections, caches, the auth of the user key
		wg.Go(func() {
			if err := once(); err != nil {
				mu.Lock()
				defer mu.Unlock()
				first = err
			}
		})
	}
	if wg.Wait(); first != nil {
		return measurement{}, fmt.Errorf("%s, %s: %w", s.name, sc.name, first)
	}
	allocs, cpu, start := s.mallocs(), s.cpu(), time.Now()
	for c := range sc.clients {
		wg.Go(func() {
			var mine []time.Duration
			bad := 0
			for i := 0; time.Since(start) < length; i++ {
				if sc.rate > 0 {
					due := time.Duration(float64(i*sc.clients+c) / sc.rate * float64(time.Second))
					time.Sleep(due - time.Since(start))
				}
				t := time.Now()
				if once() != nil {
					bad++
				}
				mine = append(mine, time.Since(t))
			}
			mu.Lock()
			defer mu.Unlock()
			times, failed = append(times, mine...), failed+bad
		})
	}
	wg.Wait()
	if failed > 0 {
		return measurement{}, fmt.Errorf("%s, %s: %d of %d requests failed", s.name, sc.name, failed, len(times))
	}
	elapsed := time.Since(start)
	used, made := s.cpu()-cpu, s.mallocs()-allocs
	slices.Sort(times)
	at := func(q float64) float64 { return float64(times[int(q*float64(len(times)-1))]) / 1e6 }
	return measurement{
		rate: float64(len(times)) / elapsed.Seconds(), cpu: used / float64(len(times)),
		allocs: made / float64(len(times)), p50: at(.5), p99: at(.99), rss: s.rss(),
	}, nil
}

// request is the same question in the words of the system under test.
func request(s *system, sc scenario) (path string, body []byte) {
	text := strings.Repeat("Tell me something about foxes and dogs. ", 18)
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
