// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/settings"
	"github.com/gemini-balance/caddy-gemini-balance/usage"
)

// System is what the process around the API tells of itself and does for it. All
// fields may be left out: what they are for is then empty or refused.
type System struct {
	Aliases  *settings.Aliases  // set at run time
	Declared []settings.Alias   // of the Caddyfile, before all others
	Defaults []settings.Alias   // built in, after all others
	PerModel *settings.PerModel // what is set for single models
	// Hits is how often an alias was asked for in the 24 hours before now.
	Hits func(name string, now time.Time) int64

	// Thinking tells how the thoughts of a model are measured; nil for one that has none.
	Thinking func(model string) *Thinking
	// Models are what Google's lists said of models.
	Models func() []ModelDetail
	// SyncModels has the lists of the Gemini keys with these ids asked for again, and
	// calls done after each; it returns when all were, or ctx ends.
	SyncModels func(ctx context.Context, ids []string, done func(id string, err error)) error

	// Guest makes a key of a few minutes that counts as a user key, or as nobody's
	// for "", and is served by the Gemini key with the id, or by any for "". It ends
	// when ended is closed.
	Guest func(user, gemini string, ended <-chan struct{}) (secret string, until time.Time)

	Prices       func() *usage.Prices // in force
	PricesSource string               // the file that they are of, "" for the built-in ones
	ConfigLoaded time.Time            // when the configuration in force was

	// Checks look whether something works, each by itself.
	Checks []Check
	// Figures are further numbers of the process, for display.
	Figures func() map[string]any
	// Diagnostics are further parts of the file for people who help, without secrets.
	Diagnostics func() map[string]any

	// Backup writes a consistent state of the store. Restore checks one, and unless
	// dryRun puts it beside the store, for the next start; CancelRestore takes that
	// back and tells whether there was something. An error that is store.ErrBackup or
	// store.ErrMasterKey is about the file.
	Backup        func(ctx context.Context, w io.Writer) error
	Restore       func(ctx context.Context, r io.Reader, dryRun bool) (RestoreView, error)
	CancelRestore func() (was bool, err error)

	// RotateMasterKey makes another master key and seals everything anew with it, while
	// requests go on. progress hears how far it is. Rotating tells whether that began
	// and has not ended, be it in an earlier process. An error is store.ErrRotating while
	// another call does it, or ErrRestorePending.
	RotateMasterKey func(ctx context.Context, progress func(done, total int)) (resealed int, err error)
	Rotating        func() bool
}

// ErrRestorePending is the refusal to replace the master key while a restore waits for
// the next start, which would not open what is sealed in it.
var ErrRestorePending = errors.New("a restore waits for the next start")

// Thinking is how the thoughts of a model are measured: by a number of tokens, or by
// words.
type Thinking struct {
	By     string   `json:"by"`               // budget or level
	Min    *int64   `json:"min,omitempty"`    // tokens, by budget
	Max    *int64   `json:"max,omitempty"`    // tokens, by budget
	Off    *bool    `json:"off,omitempty"`    // by budget: whether there can be none
	Levels []string `json:"levels,omitempty"` // by level: from least to most
}

// ModelDetail is what Google's list says of a model.
type ModelDetail struct {
	ID        string
	InputMax  int64    // tokens; 0 = not said
	OutputMax int64    // tokens; 0 = not said
	Methods   []string // such as generateContent; nil = not said
	At        time.Time
}

// Check looks whether something works.
type Check struct {
	ID string
	// Run returns within the deadline of ctx. Its message and advice hold no secret.
	Run func(ctx context.Context) CheckResult
}

// CheckResult is what a check found.
type CheckResult struct {
	Status  string // CheckOK, CheckWarn or CheckBad
	Message string // what is so
	Advice  string // what to do, "" for nothing
}

// The words of CheckResult.Status.
const (
	CheckOK   = "ok"
	CheckWarn = "warn"
	CheckBad  = "bad"
)

// RestoreView is what a restore found or did.
type RestoreView struct {
	DryRun  bool           `json:"dry_run"`
	Made    time.Time      `json:"made_at"` // when the backup was
	Version string         `json:"version"` // of the gateway that made it
	Entries int            `json:"entries"`
	Objects map[string]int `json:"objects"` // entries by what they are, such as gemini_keys
	Applied string         `json:"applied"` // "", or "next_start": see GET /admin/checks
	Message string         `json:"message"`
}
