// SPDX-License-Identifier: Apache-2.0

package geminibalance

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/admin"
	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/store"
	"github.com/gemini-balance/caddy-gemini-balance/upstream"
)

// checkKey is what the check of the store writes.
const checkKey = "system/check"

// Bounds of the checks: our choice.
const (
	slowWrite = 200 * time.Millisecond // of a synced write
	littleGiB = 1                      // of free disk
	skewWarn  = 5 * time.Second        // of the clock; daily quotas and signed times go by it
	skewBad   = time.Minute
)

// checks look whether what the process needs works.
func (a *App) checks() []admin.Check {
	return []admin.Check{
		{ID: "storage", Run: a.checkStorage},
		{ID: "disk", Run: a.checkDisk},
		{ID: "upstream", Run: a.checkUpstream},
		{ID: "models", Run: a.checkModels},
		{ID: "clock", Run: a.checkClock},
		{ID: "config", Run: a.checkConfig},
		{ID: "restore", Run: a.checkRestore},
	}
}

func found(status, advice, format string, args ...any) admin.CheckResult {
	return admin.CheckResult{Status: status, Message: fmt.Sprintf(format, args...), Advice: advice}
}

// checkStorage writes to the store and waits for the disk.
func (a *App) checkStorage(context.Context) admin.CheckResult {
	began := time.Now()
	err := a.shared.store.Write(store.Batch{Ops: []store.Op{{Key: checkKey, Value: []byte("ok"), TTL: time.Hour}}, Sync: true})
	took := time.Since(began)
	kind := a.backend.kind()
	switch {
	case err != nil:
		return found(admin.CheckBad, "Look at the disk of the store's directory: it may be full, read-only or broken.", "%s cannot be written: %v", kind, err)
	case took > slowWrite:
		return found(admin.CheckWarn, "Use a faster disk: admin changes wait for it.", "%s took %d ms for a synced write", kind, took.Milliseconds())
	case kind == "memory":
		return found(admin.CheckOK, "", "memory: all ends with the process")
	}
	return found(admin.CheckOK, "", "%s at %s, %.1f ms for a synced write", kind, a.keptIn(), float64(took.Microseconds())/1000)
}

// keptIn is the directory of the store, "" where nothing is kept.
func (a *App) keptIn() string {
	if file := a.backend.masterKeyFile(); file != "" {
		return filepath.Dir(file)
	}
	return ""
}

func (a *App) checkDisk(context.Context) admin.CheckResult {
	dir := a.keptIn()
	if dir == "" {
		return found(admin.CheckOK, "", "nothing is kept on a disk")
	}
	free, all, err := diskSpace(dir)
	if err != nil {
		return found(admin.CheckWarn, "", "how much is free is not known: %v", err)
	}
	message := fmt.Sprintf("%.1f of %.1f GiB are free", float64(free)/(1<<30), float64(all)/(1<<30))
	switch {
	case free < 100<<20:
		return found(admin.CheckBad, "Make room now: soon nothing can be kept.", "%s", message)
	case free < littleGiB<<30:
		return found(admin.CheckWarn, "Make room, or shorten request_log.", "%s", message)
	}
	return found(admin.CheckOK, "", "%s", message)
}

// journey is what a request without a key tells of the way to Google.
type journey struct {
	dns, connect, tls time.Duration
	date              time.Time // as Google has it; zero for none
	rtt               time.Duration
	reused            bool
}

// travel makes a request that no key is needed for: Google answers it with an
// error, which is all that is wanted.
func (a *App) travel(ctx context.Context, proxy string) (j journey, err error) {
	var dns, dial, handshake time.Time
	trace := &httptrace.ClientTrace{
		DNSStart: func(httptrace.DNSStartInfo) { dns = time.Now() },
		DNSDone: func(info httptrace.DNSDoneInfo) {
			if info.Err == nil {
				j.dns = time.Since(dns)
			}
		},
		ConnectStart:      func(string, string) { dial, j.reused = time.Now(), false },
		ConnectDone:       func(string, string, error) { j.connect = time.Since(dial) },
		TLSHandshakeStart: func() { handshake = time.Now() },
		TLSHandshakeDone:  func(tls.ConnectionState, error) { j.tls = time.Since(handshake) },
	}
	j.reused = true // unless a connection is made
	began := time.Now()
	answer, err := a.upstream.Do(httptrace.WithClientTrace(ctx, trace), &upstream.Request{Method: http.MethodGet, Path: "/v1beta/models", Query: "pageSize=1", Proxy: proxy})
	if err != nil {
		return j, err
	}
	defer answer.Body.Close()
	j.rtt = time.Since(began)
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 64<<10))
	j.date, _ = http.ParseTime(answer.Header.Get("Date"))
	return j, nil
}

// anyRoute is an egress proxy that keys go by, "" for the direct way.
func (a *App) anyRoute() string {
	if len(a.proxies) > 0 {
		return a.proxies[0]
	}
	return ""
}

func (a *App) checkUpstream(ctx context.Context) admin.CheckResult {
	j, err := a.travel(ctx, a.anyRoute())
	if err != nil {
		return found(admin.CheckBad, reachAdvice(err), "%s does not answer: %s", a.upstream.Host(), upstream.Redact(err.Error(), a.proxies...))
	}
	way := ""
	if len(a.proxies) > 0 {
		way = " through a proxy"
	}
	if j.reused {
		return found(admin.CheckOK, "", "%s answers%s in %d ms, over an open connection", a.upstream.Host(), way, j.rtt.Milliseconds())
	}
	return found(admin.CheckOK, "", "%s answers%s in %d ms: DNS %d, connect %d, TLS %d",
		a.upstream.Host(), way, j.rtt.Milliseconds(), j.dns.Milliseconds(), j.connect.Milliseconds(), j.tls.Milliseconds())
}

// reachAdvice tells DNS, TLS and the rest apart.
func reachAdvice(err error) string {
	var dns *net.DNSError
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &dns):
		return "The name cannot be resolved: look at this machine's DNS."
	case errors.As(err, &certificate):
		return "The certificate is not Google's: something on the way opens TLS connections."
	}
	return "Look at the network, a firewall, or the proxy on the way to Google."
}

// checkModels asks for Google's list with one key.
func (a *App) checkModels(ctx context.Context) admin.CheckResult {
	ids := a.servingKeys(1)
	if len(ids) == 0 {
		return found(admin.CheckWarn, "Add a Gemini key, or validate those there are.", "there is no Gemini key in service to ask with")
	}
	n, o, err := a.shared.listModels(ctx, ids[0])
	switch {
	case err != nil && !errors.Is(err, balancer.ErrBusy):
		return found(admin.CheckWarn, "", "key %s could not ask: %v", ids[0], err)
	case err != nil:
		return found(admin.CheckOK, "", "key %s is being asked about just now", ids[0])
	case o.Verdict != balancer.OK:
		return found(admin.CheckBad, "Validate the keys.", "key %s was refused: %s", ids[0], o.Reason)
	}
	return found(admin.CheckOK, "", "key %s has %d models", ids[0], n)
}

func (a *App) checkClock(ctx context.Context) admin.CheckResult {
	j, err := a.travel(ctx, a.anyRoute())
	if err != nil || j.date.IsZero() {
		return found(admin.CheckWarn, "", "Google's time is not known")
	}
	skew := time.Since(j.date.Add(500*time.Millisecond)).Abs() - j.rtt/2 // Date has whole seconds
	switch skew = max(skew, 0).Round(time.Millisecond); {
	case skew > skewBad:
		return found(admin.CheckBad, "Set this machine's clock, by NTP: quotas reset at Google's midnight.", "the clock is off by %s", skew)
	case skew > skewWarn:
		return found(admin.CheckWarn, "Set this machine's clock, by NTP.", "the clock is off by %s", skew)
	}
	return found(admin.CheckOK, "", "the clock is right within %s", max(skew, time.Second))
}

func (a *App) checkConfig(context.Context) admin.CheckResult {
	prices := "the built-in prices"
	if a.Prices != "" {
		prices = "the prices of " + a.Prices
	}
	return found(admin.CheckOK, "", "loaded %s ago, with %s", time.Since(a.loaded).Round(time.Second), prices)
}

func (a *App) checkRestore(context.Context) admin.CheckResult {
	if dir := a.keptIn(); dir != "" {
		if _, err := os.Stat(filepath.Join(dir, restoreFile)); err == nil {
			return found(admin.CheckWarn, "Restart the process to restore, or take it back with DELETE /admin/restore. What is changed until then is lost.", "a backup waits for the next start")
		}
	}
	return found(admin.CheckOK, "", "no restore waits")
}
