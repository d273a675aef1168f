// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"sync"
	"time"
)

// checkPatience is how long a check may take.
const checkPatience = 8 * time.Second

// checkView is one check and what it found.
type checkView struct {
	ID       string    `json:"id"`
	Status   string    `json:"status"` // ok, warn or bad
	At       time.Time `json:"at"`
	Duration int64     `json:"duration_ms"`
	Message  string    `json:"message"`
	Advice   string    `json:"advice"`
}

type checksView struct {
	Items   []checkView    `json:"items"`
	Figures map[string]any `json:"figures"`
}

// listChecks runs all checks at the same time and waits for the slowest, for
// checkPatience at most.
func (a *api) listChecks(c *call) (status int, body any, err error) {
	return http.StatusOK, checksView{Items: a.runChecks(c.Context()), Figures: a.figures()}, nil
}

func (a *api) runChecks(ctx context.Context) []checkView {
	checks := append([]Check{{"pool", a.checkPool}, {"log", a.checkLog}}, a.System.Checks...)
	views := make([]checkView, len(checks))
	ctx, cancel := context.WithTimeout(ctx, checkPatience)
	defer cancel()
	var wg sync.WaitGroup
	for i, check := range checks {
		wg.Go(func() { views[i] = runCheck(ctx, check, a.Now) })
	}
	wg.Wait()
	return views
}

// runCheck gives up a check that does not keep to its deadline; it goes on by
// itself then and nobody hears of it.
func runCheck(ctx context.Context, check Check, now func() time.Time) checkView {
	view := checkView{ID: check.ID, At: now().UTC()}
	began := time.Now()
	found := make(chan CheckResult, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				found <- CheckResult{CheckBad, fmt.Sprintf("the check itself failed: %v", p), "Please report this as a bug."}
			}
		}()
		found <- check.Run(ctx)
	}()
	var r CheckResult
	select {
	case r = <-found:
	case <-ctx.Done():
		r = CheckResult{CheckBad, fmt.Sprintf("no result within %s", checkPatience), "Look whether what it is about answers at all."}
	}
	view.Status, view.Message, view.Advice = r.Status, r.Message, r.Advice
	view.Duration = time.Since(began).Milliseconds()
	return view
}

// checkPool looks how much of the pool can serve.
func (a *api) checkPool(context.Context) CheckResult {
	s := a.Pool.Stats()
	message := fmt.Sprintf("%d of %d Gemini keys are in service, %d rests are in force", s.Usable, s.Keys, s.Resting)
	switch {
	case s.Keys == 0:
		return CheckResult{CheckBad, "there is no Gemini key", "Add Gemini keys."}
	case s.Usable == 0:
		return CheckResult{CheckBad, message, "Validate the keys, or add others: no request can be served."}
	case 2*s.Usable < s.Keys:
		return CheckResult{CheckWarn, message, "Look at the invalid keys: more than half of the pool does nothing."}
	}
	return CheckResult{CheckOK, message, ""}
}

// checkLog looks whether the request log keeps up.
func (a *api) checkLog(context.Context) CheckResult {
	k := a.Usage.Log().Kept()
	message := fmt.Sprintf("%d requests, %d bytes, kept for %s", k.Rows, k.Bytes, k.Retention)
	if k.Lost > 0 {
		return CheckResult{CheckWarn, fmt.Sprintf("%s; %d were lost while the store could not be written", message, k.Lost), "Look at the store's disk."}
	}
	return CheckResult{CheckOK, message, ""}
}

// figures are numbers of the process.
func (a *api) figures() map[string]any {
	figures := map[string]any{
		"version": a.Version, "store": a.StoreKind, "started_at": a.Started.UTC(),
		"uptime_s": int64(a.Now().Sub(a.Started).Seconds()),
	}
	if !a.System.ConfigLoaded.IsZero() {
		figures["config_loaded_at"] = a.System.ConfigLoaded.UTC()
	}
	if a.System.Figures != nil {
		maps.Copy(figures, a.System.Figures())
	}
	return figures
}
