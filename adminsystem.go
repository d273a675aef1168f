// SPDX-License-Identifier: Apache-2.0

package geminibalance

import (
	"context"
	"errors"
	"io"
	"net/http"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/gemini-balance/caddy-gemini-balance/admin"
	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/gateway"
	"github.com/gemini-balance/caddy-gemini-balance/settings"
	"github.com/gemini-balance/caddy-gemini-balance/translate/anthropic"
	"github.com/gemini-balance/caddy-gemini-balance/translate/capability"
	"github.com/gemini-balance/caddy-gemini-balance/upstream"
	"github.com/gemini-balance/caddy-gemini-balance/usage"
)

// listsAtOnce is how many Gemini keys are asked for their models at the same time.
const listsAtOnce = 8

var errRefused = errors.New("the key was refused by Google")

// system is what the admin API is told of the process, and has done by it.
func (a *App) system() admin.System {
	r := a.shared
	return admin.System{
		Aliases: r.aliases, PerModel: r.perModel, Declared: a.declaredAliases(), Defaults: builtInAliases(),
		Hits: r.hits.Day,
		Models: func() []admin.ModelDetail {
			var all []admin.ModelDetail
			for _, m := range r.catalog.All() {
				all = append(all, admin.ModelDetail(m))
			}
			return all
		},
		SyncModels: r.syncModels,
		Guest: func(user, gemini string, ended <-chan struct{}) (string, time.Time) {
			return r.guests.Issue(user, gemini, ended, time.Now())
		},
		Thinking: a.thinking,
		Prices:   func() *usage.Prices { return gateway.OwnPrices(a.prices, *r.perModel.Current()) }, PricesSource: a.Prices, ConfigLoaded: a.loaded,
		Checks: a.checks(), Figures: processFigures,
		Backup: a.backup(),
		Restore: func(_ context.Context, body io.Reader, dryRun bool) (admin.RestoreView, error) {
			return r.stageRestore(body, a.keptIn(), dryRun)
		},
		CancelRestore:   func() (bool, error) { return cancelRestore(a.keptIn()) },
		RotateMasterKey: a.rotation(), Rotating: r.sealer.Rotating,
	}
}

// backup writes backups; nil where one would be of no use, for want of a lasting
// master key.
func (a *App) backup() func(context.Context, io.Writer) error {
	r := a.shared
	if r.forgetful {
		return nil
	}
	return func(ctx context.Context, w io.Writer) error { return r.backup(ctx, w, a.backend.kind()) }
}

// thinking tells how the thoughts of a model are measured, by what the first site that has
// a table of its own says of it, or else the built-in one.
func (a *App) thinking(model string) *admin.Thinking {
	var table *capability.Table
	for _, h := range a.handlers {
		if h.capabilities != nil {
			table = h.capabilities
			break
		}
	}
	switch f := table.Family(model); f.Thinking {
	case capability.ByBudget:
		return &admin.Thinking{By: "budget", Min: &f.MinBudget, Max: &f.MaxBudget, Off: &f.Off}
	case capability.ByLevel:
		return &admin.Thinking{By: "level", Levels: f.Levels}
	default:
		return nil
	}
}

// declaredAliases are those of all sites, each name once: that of the first site.
func (a *App) declaredAliases() (all []settings.Alias) {
	seen := map[string]bool{}
	for _, h := range a.handlers {
		for _, m := range h.Models {
			if !seen[m.Name] {
				seen[m.Name] = true
				all = append(all, m.alias())
			}
		}
	}
	return all
}

// builtInAliases are what Anthropic's dialect does with names of Claude's.
func builtInAliases() (all []settings.Alias) {
	for _, s := range anthropic.StandIns() {
		all = append(all, settings.Alias{Name: s.Pattern, Targets: []string{s.Model}, Hidden: true, Dialect: string(gateway.Anthropic)})
	}
	return all
}

// servingKeys are the ids of some Gemini keys in service, those that Google knows
// first.
func (a *App) servingKeys(limit int) (ids []string) {
	for _, state := range []balancer.State{balancer.StateActive, balancer.StateUntested} {
		page, _, _ := a.shared.pool.List(balancer.Query{State: state, Limit: limit})
		for i := range page {
			ids = append(ids, page[i].ID)
		}
	}
	return ids[:min(len(ids), limit)]
}

// listModels asks Google with one key what models it has; pool and catalog learn
// of it. It returns balancer.ErrBusy where somebody else is asking.
func (r *resource) listModels(ctx context.Context, id string) (models int, o balancer.Outcome, err error) {
	a := r.reporter.Load()
	if a == nil || !a.requests.enter() {
		return 0, o, context.Canceled // nothing serves any more
	}
	defer a.requests.leave()
	probe, err := r.pool.BeginProbe(id)
	if err != nil {
		return 0, o, err
	}
	var names []string
	o = balancer.Outcome{Verdict: balancer.Canceled}
	defer func() { probe.Done(o, names) }()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	answer, err := a.upstream.Do(ctx, &upstream.Request{
		Method: http.MethodGet, Path: "/v1beta/models", Query: "pageSize=1000", Secret: probe.Secret(), Proxy: probe.Proxy(),
	})
	if err != nil {
		return 0, o, ctx.Err() // whether the way or Google is to blame is for the prober
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 4<<20))
	if err != nil {
		return 0, o, err
	}
	o = upstream.Classify(upstream.Answer{Status: answer.StatusCode, Header: answer.Header, Body: body, Now: time.Now(), Secret: probe.Secret()})
	if o.Verdict != balancer.OK {
		return 0, o, nil
	}
	names = r.catalog.Learn(body, time.Now())
	return len(names), o, nil
}

// syncModels asks with these keys, some at a time.
func (r *resource) syncModels(ctx context.Context, ids []string, done func(id string, err error)) error {
	todo := make(chan string)
	var workers sync.WaitGroup
	for range min(listsAtOnce, len(ids)) {
		workers.Go(func() {
			for id := range todo {
				_, o, err := r.listModels(ctx, id)
				if err == nil && o.Verdict != balancer.OK {
					err = errRefused
				}
				done(id, err)
			}
		})
	}
	err := func() error {
		for _, id := range ids {
			select {
			case todo <- id:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	}()
	close(todo)
	workers.Wait()
	return err
}

// processFigures are numbers of the process, for display.
func processFigures() map[string]any {
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	caddyVersion, _ := caddy.Version()
	figures := map[string]any{
		"go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH, "cpus": runtime.NumCPU(), "caddy": caddyVersion,
		"goroutines": runtime.NumGoroutine(), "heap_bytes": memory.HeapAlloc, "sys_bytes": memory.Sys,
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				figures["commit"] = s.Value
			}
		}
	}
	return figures
}
