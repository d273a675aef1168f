// SPDX-License-Identifier: Apache-2.0

// Package geminibalance is the Caddy adapter of the gateway: an app that owns
// what all sites share, and two handlers.
//
//	gemini_balance                      app: the pool, user keys, usage, the store
//	http.handlers.gemini_balance        the API for clients
//	http.handlers.gemini_balance_admin  the API for operators
//	gemini_balance.stores.badger        where it is kept: local disk
//	gemini_balance.stores.memory        …: nowhere
//	admin.api.gemini_balance            health and pool, at Caddy's own admin endpoint
//
// No request logic is here; it is in gateway and admin, which know nothing of
// Caddy. This package brings them up and down across reloads (app.go, shared.go),
// reads their configuration (module.go, caddyfile.go, secret.go) and reports what
// happens in them (observe.go, served.go, metrics.go, metrics_state.go, events.go,
// tracing.go); nothing else in this project logs.
package geminibalance

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/settings"
	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
	"github.com/gemini-balance/caddy-gemini-balance/upstream"
	"github.com/gemini-balance/caddy-gemini-balance/usage"
)

func init() {
	caddy.RegisterModule(new(App))
	caddy.RegisterModule(new(Handler))
	caddy.RegisterModule(new(AdminHandler))
	caddy.RegisterModule(new(BadgerStore))
	caddy.RegisterModule(new(MemoryStore))
	caddy.RegisterModule(new(AdminAPI))

	httpcaddyfile.RegisterGlobalOption("gemini_balance", parseGlobalOption)
	httpcaddyfile.RegisterHandlerDirective("gemini_balance", parseHandler)
	httpcaddyfile.RegisterDirectiveOrder("gemini_balance", httpcaddyfile.Before, "reverse_proxy")
	httpcaddyfile.RegisterHandlerDirective("gemini_balance_admin", parseAdminHandler)
	httpcaddyfile.RegisterDirectiveOrder("gemini_balance_admin", httpcaddyfile.Before, "reverse_proxy")
}

// App owns what all `gemini_balance` handlers share: the pool of Gemini keys with
// its live state, the user keys, the usage and the store they are kept in. All of
// it survives a reload; two configurations with the same store share it.
//
// The app needs no configuration. Without any, Gemini keys are added through the
// admin API and everything is kept below Caddy's data directory.
//
// Secrets (`master_key` and the `key` of `keys`) are given as placeholders,
// `{env.NAME}` or `{file./absolute/path}`, which are resolved when the
// configuration is loaded. A literal secret is refused, because configurations
// are stored, printed and served by Caddy's admin endpoint.
//
// Emitted events; those about Gemini keys have `key_id`, `name`, `project`, `from`,
// `to` and `reason`:
//
// Event | When | Data
// ------|------|-----
// `key_invalid` | Google refuses a Gemini key: invalid, leaked, suspended or misconfigured | as above
// `key_disabled` | an operator took a Gemini key out of service | as above
// `key_recovered` | a Gemini key is back in service | as above
// `key_exhausted` | a project has used up the day of a model | `project`, `model`, `keys` (how many), `reason`, `until`
// `project_unfunded` | a project has no credit or billing | `project`, `keys`, `reason`, `until`
// `route_down` | an egress route is left alone for a while | `route`, `reason`, `until`
// `keys_exhausted` | a request found no Gemini key; once a minute for a model and reason | `model`, `reason`, `until`
// `budget_spent` | a request was refused because a budget of its user key is used up; once an hour for a budget | `user_id`, `name`, `limit`, `until`
// `store_failing`, `store_recovered` | what is learned at run time cannot be written any more, or can again | `part`, `error`
//
// Times are in RFC 3339. Of one name 30 are emitted at once and then one each two
// seconds; `suppressed` of the next says how many were not. Handlers run one after the
// other, beside the requests. docs/observability.md has examples.
//
// Metrics, each with the prefix `caddy_gemini_balance_`:
//
// Metric | Labels
// -------|-------
// `requests_total` | `dialect`, `model`, `outcome`
// `request_duration_seconds` | `dialect`
// `time_to_first_event_seconds` | `model`
// `in_flight_requests` |
// `open_streams` |
// `live_sessions` |
// `refusals_total` | `reason`
// `shed_requests_total` |
// `tokens_total` | `model`, `kind`
// `cost_usd_total` | `model`
// `unpriced_requests_total` | `model`
// `attempts_total` | `model`, `outcome`
// `attempt_duration_seconds` | `model`
// `in_flight_attempts` |
// `hedges_total` | `outcome`
// `key_wait_seconds` |
// `waiting_requests` |
// `keys` | `state`
// `key_state_changes_total` | `state`
// `resting` | `scope`, `kind`
// `quota_left_requests` | `model`, `window`
// `quota_unknown_projects` | `model`, `window`
// `route_up` | `route`
// `route_keys` | `route`
// `store_failing` | `part`
// `store_failures_total` | `part`
// `request_log_rows` |
// `request_log_bytes` |
// `request_log_lost_rows_total` |
// `events_total` | `event`
// `events_dropped_total` | `event`
// `build_info` | `version`, `caddy`, `go`
//
// A `model` that never answered is counted as `other`, since clients may send any
// name.
type App struct {
	// Where everything is kept. Default: `badger` in the directory
	// `gemini_balance` below Caddy's data directory.
	StoreRaw json.RawMessage `json:"store,omitempty" caddy:"namespace=gemini_balance.stores inline_key=backend"`

	// A placeholder of the key that seals Gemini keys in the store: 32 bytes in
	// base64. Default: the file `master.key` in the store's directory, which is
	// made at the first start. The store opens with no other key afterwards.
	MasterKey string `json:"master_key,omitempty"`

	// Placeholders of keys that the master key replaces. What they sealed is sealed
	// anew in the background; the log says when they can be taken out.
	OldMasterKeys []string `json:"old_master_keys,omitempty"`

	// Gemini keys that are part of the configuration. They are read-only for the
	// admin API, which may add others.
	Keys []*KeyConfig `json:"keys,omitempty"`

	// A file with one Gemini key per line, read when the configuration is loaded.
	// Empty lines and lines that begin with # are skipped. Its keys count as part
	// of the configuration, too.
	KeysFile string `json:"keys_file,omitempty"`

	// What is known of Google's quotas, by model and project. Of several that match,
	// the first that names a limit decides it.
	Quotas []*QuotaConfig `json:"quotas,omitempty"`

	// The address of the Gemini API: scheme and host. It must be https, unless
	// the host is a loopback address.
	// Default: `https://generativelanguage.googleapis.com`.
	Upstream string `json:"upstream,omitempty"`

	// Whether the Gemini API is asked over HTTP/2, which has many requests share a
	// connection, in place of HTTP/1.1, which costs less CPU. Requests through egress
	// proxies, uploads and downloads use HTTP/2 anyway. Default: false.
	UpstreamHTTP2 *bool `json:"upstream_http2,omitempty"`

	// The egress proxies of keys that have none of their own: `http`, `https`,
	// `socks5` or `socks5h` URLs. Each key keeps its proxy as long as that is listed.
	// A URL with a password must be a placeholder. Default: none, the direct way.
	Proxies []string `json:"proxies,omitempty"`

	// How the pool picks among the keys that can serve: `adaptive`, which is the
	// default, `least_used` or `round_robin`. What is set here is locked for the
	// admin API.
	Strategy string `json:"strategy,omitempty"`

	// Whether requests of one conversation stay with one project, so that Google's
	// implicit caching pays: `prefix`, which is the default, or `off`.
	Affinity string `json:"affinity,omitempty"`

	// Whether Google is asked about Gemini keys before requests try them, and again
	// about those it refused: `GET /v1beta/models`, which costs no quota. Default:
	// true.
	Probe *bool `json:"probe,omitempty"`

	// How hard a request is tried before its client sees an error. What is set
	// here is locked for the admin API.
	Retry *RetryConfig `json:"retry,omitempty"`

	// How long Google may take.
	Timeouts *TimeoutsConfig `json:"timeouts,omitempty"`

	// What a new user key may use if it does not say so itself. Existing keys
	// keep their limits.
	Limits *LimitsConfig `json:"limits,omitempty"`

	// A file with what Google charges, in place of the built-in table: see
	// `usage/prices.json` for its form. It is read when the configuration is loaded.
	Prices string `json:"prices,omitempty"`

	// How long requests are remembered, and how much of them.
	RequestLog *RequestLogConfig `json:"request_log,omitempty"`

	ctx    caddy.Context
	logger *zap.Logger
	events *caddyevents.App

	backend   storeBackend
	masterKey []byte // nil = from the file
	keys      []balancer.NewKey
	proxies   []string
	prices    *usage.Prices
	handlers  []*Handler // of all sites
	loaded    time.Time  // when the configuration was

	// What Start brings up. The handlers register their part in Provision.
	starters      []func() error
	closings      []*closing // of the handlers' Live sessions
	wantsAdminKey bool
	upstream      *upstream.Client
	unwatch       func()    // ends what tells upstream of settings
	shared        *resource // nil before Start
	ready         chan struct{}
	requests      *drain
	probed        <-chan struct{} // closed when its probes have ended; nil for none. Guarded by lifetimes
}

// KeyConfig is a Gemini key in the configuration.
type KeyConfig struct {
	// A placeholder of the key itself, such as `{env.GEMINI_API_KEY}`.
	Key string `json:"key,omitempty"`

	// What the admin API calls it.
	Name string `json:"name,omitempty"`

	// The Google project it belongs to. Keys of one project share its quota.
	// Default: a project of its own.
	Project string `json:"project,omitempty"`

	// User keys may be restricted to Gemini keys that have one of their tags.
	Tags []string `json:"tags,omitempty"`

	// The proxy that its requests take: an `http`, `https`, `socks5` or `socks5h`
	// URL. One with a password must be a placeholder as a whole. Default: none.
	Proxy string `json:"proxy,omitempty"`

	// Whether the project has billing.
	Paid bool `json:"paid,omitempty"`

	// How much the `adaptive` strategy uses the key, measured by others: one of
	// weight 2 takes about twice as much as one of weight 1. 1 to 100. Default: 1.
	Weight int `json:"weight,omitempty"`
}

// RetryConfig says how hard a request is tried.
type RetryConfig struct {
	// Upstream requests for one client request that fail for Google's reasons;
	// 1 = no retry. Moving on from a key that is dead or out of quota is not
	// counted. Default: 3.
	Attempts int `json:"attempts,omitempty"`

	// The share of all requests that may be retries, from 0 to 1. Default: 0.2.
	Budget *float64 `json:"budget,omitempty"`

	// How long a request waits for a key when all of them rest; 0 = not at all.
	// Default: 10s.
	Wait *caddy.Duration `json:"wait,omitempty"`

	// The share of all requests that may be sent to a second project as well when
	// the first is slower than 19 of 20 requests for the model were; the first
	// output wins, the other request is cancelled. 0 = never. Default: 0.
	Hedge *float64 `json:"hedge,omitempty"`
}

// TimeoutsConfig bounds the waiting for Google.
type TimeoutsConfig struct {
	// Until a connection is made. Default: 5s.
	Connect caddy.Duration `json:"connect,omitempty"`

	// Until the first useful output. Default: 120s.
	FirstOutput caddy.Duration `json:"first_output,omitempty"`

	// Between two pieces of a stream. Default: 300s.
	Idle caddy.Duration `json:"idle,omitempty"`

	// For the whole request, all attempts included. Default: 30m.
	Total caddy.Duration `json:"total,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (*App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "gemini_balance", New: func() caddy.Module { return new(App) }}
}

// Provision resolves the configuration. It opens no store, so that a configuration
// can be validated beside a server that runs with it.
func (a *App) Provision(ctx caddy.Context) error {
	a.ctx = ctx
	a.logger = ctx.Logger()
	a.ready = make(chan struct{})
	a.loaded = time.Now()
	events, err := ctx.App("events")
	if err != nil {
		return fmt.Errorf("getting events app: %w", err)
	}
	a.events = events.(*caddyevents.App)
	if err := registerMetrics(ctx.GetMetricsRegistry()); err != nil {
		return err
	}
	if err := a.provisionStore(); err != nil {
		return err
	}
	if err := a.provisionMasterKey(); err != nil {
		return err
	}
	if err := a.provisionPrices(); err != nil {
		return err
	}
	if err := a.provisionProxies(); err != nil {
		return err
	}
	return a.provisionKeys()
}

func (a *App) provisionStore() error {
	if a.StoreRaw == nil {
		a.StoreRaw = json.RawMessage(`{"backend": "badger"}`)
	}
	module, err := a.ctx.LoadModule(a, "StoreRaw")
	if err != nil {
		return fmt.Errorf("loading store: %w", err)
	}
	backend, ok := module.(storeBackend)
	if !ok {
		return fmt.Errorf("loading store: module %T is no store", module)
	}
	a.backend = backend
	return nil
}

// provisionKeys collects the Gemini keys of the configuration.
func (a *App) provisionKeys() error {
	seen := map[string]string{}
	add := func(from string, k balancer.NewKey) error {
		if err := k.Check(); err != nil {
			return fmt.Errorf("%s: %w", from, err)
		}
		id := balancer.KeyID(k.Secret)
		if first, twice := seen[id]; twice {
			a.logger.Warn("Gemini key is configured twice, the first one counts",
				zap.String("key_id", id), zap.String("first", first), zap.String("again", from))
			return nil
		}
		seen[id] = from
		a.keys = append(a.keys, k)
		return nil
	}
	for i, k := range a.Keys {
		from := fmt.Sprintf("keys[%d]", i)
		if k == nil {
			return fmt.Errorf("%s is empty", from)
		}
		secret, err := resolveSecret(from+".key", k.Key)
		if err != nil {
			return err
		}
		proxy, err := resolveProxy(from+".proxy", k.Proxy)
		if err != nil {
			return err
		}
		err = add(from, balancer.NewKey{Secret: secret, Name: k.Name, Project: k.Project, Proxy: proxy, Tags: k.Tags, Paid: k.Paid, Weight: k.Weight})
		if err != nil {
			return err
		}
	}
	if a.KeysFile == "" {
		return nil
	}
	return readKeysFile(a.KeysFile, func(from, secret string) error {
		return add(from, balancer.NewKey{Secret: secret})
	})
}

// provisionProxies reads the egress routes.
func (a *App) provisionProxies() error {
	for i, text := range a.Proxies {
		field := fmt.Sprintf("proxies[%d]", i)
		proxy, err := resolveProxy(field, text)
		if err != nil {
			return err
		}
		if err := balancer.CheckProxy(proxy); err != nil {
			return fmt.Errorf("%s: %w", field, err)
		}
		if slices.Contains(a.proxies, proxy) {
			return fmt.Errorf("%s is a proxy that is listed already", field)
		}
		a.proxies = append(a.proxies, proxy)
	}
	return nil
}

// Validate checks what the configuration says beyond its syntax.
func (a *App) Validate() error {
	if a.Upstream != "" {
		if _, err := upstream.ParseBaseURL(a.Upstream); err != nil {
			return err
		}
	}
	if err := checkStrategy(a.Strategy); err != nil {
		return err
	}
	if err := a.validateQuotas(); err != nil {
		return err
	}
	if a.Affinity != "" && !slices.Contains(affinities, a.Affinity) {
		return fmt.Errorf("affinity '%s' is unknown, want %s", a.Affinity, strings.Join(affinities, " or "))
	}
	declared, err := a.declaredSettings()
	if err != nil {
		return err
	}
	// The settings of an empty store are those of the configuration: checked.
	if _, err := settings.Open(memory.New(), declared); err != nil {
		return err
	}
	return nil
}

// affinities are the words for App.Affinity.
var affinities = []string{"prefix", "off"}

// checkStrategy accepts the strategies that there are.
func checkStrategy(name string) error {
	if name != "" && !slices.Contains(settings.Strategies(), name) {
		return fmt.Errorf("strategy '%s' is unknown, want %s", name, strings.Join(settings.Strategies(), ", "))
	}
	return nil
}

// Interface guards
var (
	_ caddy.App                   = (*App)(nil)
	_ caddy.Provisioner           = (*App)(nil)
	_ caddy.Validator             = (*App)(nil)
	_ caddy.CleanerUpper          = (*App)(nil)
	_ caddyfile.Unmarshaler       = (*App)(nil)
	_ caddy.AdminRouter           = (*AdminAPI)(nil)
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddy.Validator             = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
	_ caddyfile.Unmarshaler       = (*Handler)(nil)
	_ caddy.Provisioner           = (*AdminHandler)(nil)
	_ caddyhttp.MiddlewareHandler = (*AdminHandler)(nil)
	_ caddyfile.Unmarshaler       = (*AdminHandler)(nil)
	_ caddy.CleanerUpper          = (*AdminHandler)(nil)
	_ caddyevents.Handler         = (*AdminHandler)(nil)
	_ caddy.Provisioner           = (*BadgerStore)(nil)
	_ caddyfile.Unmarshaler       = (*BadgerStore)(nil)
	_ storeBackend                = (*BadgerStore)(nil)
	_ caddyfile.Unmarshaler       = (*MemoryStore)(nil)
	_ storeBackend                = (*MemoryStore)(nil)
)
