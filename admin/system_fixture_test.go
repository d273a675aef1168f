// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"bytes"
	"context"
	"io"
	"maps"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/settings"
	"github.com/gemini-balance/caddy-gemini-balance/store"
	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
	"github.com/gemini-balance/caddy-gemini-balance/usage"
)

func init() {
	maps.Copy(operationBodies, map[string]string{
		"PATCH /admin/config":          `{"retry.attempts":2}`,
		"POST /admin/config/import":    `{"settings":{"heartbeat":"20s"}}`,
		"PATCH /admin/models/{id}":     `{"offered":false}`,
		"PUT /admin/aliases":           `{"items":[{"name":"gpt-*","targets":["gemini-x"]}]}`,
		"POST /admin/aliases/test":     `{"name":"gpt-4o"}`,
		"POST /admin/restore":          walkBackup,
		"POST /admin/models/sync":      `{"all":true}`,
		"POST /admin/playground/token": `{}`,
	})
	operationTypes["POST /admin/restore"] = backupType
	objects["/admin/config/"] = func(*fixture) string { return "retry.wait" }
	objects["/admin/models/"] = func(*fixture) string { return "gemini-x" }
	unhappy["POST /admin/models/sync"] = "no_keys"
}

// walkBackup is a whole backup of an empty store.
var walkBackup = func() string {
	var file bytes.Buffer
	if err := store.WriteBackup(context.Background(), &file, memory.New(), store.BackupInfo{Version: "v0"}, nil); err != nil {
		panic(err)
	}
	return file.String()
}()

// systemOf is a process around the API that does as a real one does, in memory.
func systemOf(t testing.TB, f *fixture) System {
	t.Helper()
	aliases, err := settings.OpenAliases(f.store)
	if err != nil {
		t.Fatal(err)
	}
	perModel, err := settings.OpenPerModel(f.store)
	if err != nil {
		t.Fatal(err)
	}
	return System{
		Aliases: aliases, PerModel: perModel,
		Declared: []settings.Alias{{Name: "house", Targets: []string{"gemini-x"}}},
		Defaults: []settings.Alias{{Name: "claude*", Targets: []string{"gemini-y"}, Hidden: true, Dialect: "anthropic"}},
		Hits:     func(name string, _ time.Time) int64 { return int64(len(name)) },
		Models: func() []ModelDetail {
			return []ModelDetail{{ID: "gemini-x", InputMax: 1_000_000, OutputMax: 65_536, Methods: []string{"generateContent"}}, {ID: "gemini-y"}}
		},
		SyncModels: func(_ context.Context, ids []string, done func(string, error)) error {
			for _, id := range ids {
				done(id, nil)
			}
			return nil
		},
		Guest: func(user, gemini string, _ <-chan struct{}) (string, time.Time) {
			return "gbp-" + user + gemini, f.clock.now().Add(10 * time.Minute)
		},
		Thinking: func(model string) *Thinking {
			if model != "gemini-x" {
				return nil
			}
			return &Thinking{By: "budget", Min: new(int64(128)), Max: new(int64(32768)), Off: new(false)}
		},
		Prices: func() *usage.Prices {
			own := map[string]usage.OwnPrice{}
			for id, m := range *perModel.Current() {
				if m.Price != nil {
					own[id] = usage.OwnPrice{Input: m.Price.Input, Cached: -1, Output: m.Price.Output}
				}
			}
			return usage.BuiltInPrices().With(own)
		},
		ConfigLoaded: f.clock.now(),
		Checks:       []Check{{"fine", func(context.Context) CheckResult { return CheckResult{CheckOK, "is fine", ""} }}},
		Figures:      func() map[string]any { return map[string]any{"goroutines": 5} },
		Backup: func(ctx context.Context, w io.Writer) error {
			return store.WriteBackup(ctx, w, f.store.(store.Dumper), store.BackupInfo{Made: f.clock.now(), Version: "v0"}, nil)
		},
		Restore: func(_ context.Context, r io.Reader, dryRun bool) (RestoreView, error) {
			sealer, err := store.NewSealer(make([]byte, 32))
			if err != nil {
				return RestoreView{}, err
			}
			info, rooms, err := store.CheckBackup(r, sealer, nil)
			view := RestoreView{DryRun: dryRun, Made: info.Made, Version: info.Version, Objects: rooms}
			for _, n := range rooms {
				view.Entries += n
			}
			if !dryRun {
				view.Applied = "next_start"
			}
			return view, err
		},
		CancelRestore: func() (bool, error) { return true, nil },
		RotateMasterKey: func(_ context.Context, progress func(done, total int)) (int, error) {
			progress(2, 2)
			return 2, f.rotation
		},
		Rotating: func() bool { return f.rotation != nil },
	}
}
