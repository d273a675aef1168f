// SPDX-License-Identifier: Apache-2.0

package geminibalance

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/dustin/go-humanize"

	"github.com/gemini-balance/caddy-gemini-balance/settings"
)

// parseGlobalOption reads the global option gemini_balance.
func parseGlobalOption(d *caddyfile.Dispenser, existing any) (any, error) {
	app := new(App)
	if err := app.UnmarshalCaddyfile(d); err != nil {
		return nil, err
	}
	if existing != nil {
		return nil, d.Err("gemini_balance is already configured")
	}
	return httpcaddyfile.App{Name: "gemini_balance", Value: caddyconfig.JSON(app, nil)}, nil
}

// UnmarshalCaddyfile reads the global option. Syntax:
//
//	gemini_balance {
//		store      badger [<dir>] | memory
//		master_key {env.NAME} [{env.OLD_NAME} ...]
//		key        {env.NAME} [<name>] {
//			project <project>
//			tags    <tags...>
//			proxy   <url>
//			paid
//			weight  <number>
//		}
//		keys_file  <path>
//		upstream   <url>
//		upstream_http2 on | off
//		proxy      <url...>
//		strategy   adaptive | least_used | round_robin
//		affinity   off | prefix
//		probe      on | off
//		retry {
//			attempts <count>
//			budget   <share>
//			wait     <duration>
//			hedge    <share>
//		}
//		timeouts {
//			connect      <duration>
//			first_output <duration>
//			idle         <duration>
//			total        <duration>
//		}
//		quota <model> [project <project>] {
//			tier  free | paid
//			rpm   <count>
//			tpm   <count>
//			rpd   <count>
//			spend <dollars>
//		}
//		limits {
//			rpm            <count>
//			tpm            <count>
//			rpd            <count>
//			tpd            <count>
//			monthly_tokens <count>
//			concurrency    <count>
//			budget         <usd> day | month | total
//		}
//		prices     <path>
//		request_log {
//			retention <duration>
//			max_size  <size>
//			bodies    off | errors | all
//		}
//	}
//
// key, quota and budget may be repeated. Secrets are {env.NAME} or {file./absolute/path}.
func (a *App) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return options{
		"store":          once(a.unmarshalStore),
		"master_key":     once(a.unmarshalMasterKey),
		"key":            a.unmarshalKey,
		"keys_file":      once(path(&a.KeysFile)),
		"quota":          a.unmarshalQuota,
		"upstream":       once(text(&a.Upstream)),
		"upstream_http2": once(onOff(&a.UpstreamHTTP2)),
		"proxy":          once(list(&a.Proxies)),
		"strategy":       once(a.unmarshalStrategy),
		"affinity":       once(a.unmarshalAffinity),
		"probe":          once(onOff(&a.Probe)),
		"retry":          once(a.unmarshalRetry),
		"timeouts":       once(a.unmarshalTimeouts),
		"limits":         once(a.unmarshalLimits),
		"prices":         once(path(&a.Prices)),
		"request_log":    once(a.unmarshalRequestLog),
	}.directive(d)
}

func (a *App) unmarshalStore(d *caddyfile.Dispenser) error {
	if !d.NextArg() {
		return d.ArgErr()
	}
	backend := d.Val()
	if backend != "badger" && backend != "memory" {
		return d.Errf("store '%s' is not available in this version; use badger or memory", backend)
	}
	module, err := caddyfile.UnmarshalModule(d, "gemini_balance.stores."+backend)
	if err != nil {
		return err
	}
	a.StoreRaw = caddyconfig.JSONModuleObject(module, "backend", backend, nil)
	return nil
}

// UnmarshalCaddyfile reads what follows store. Syntax:
//
//	badger [<dir>]
func (b *BadgerStore) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume backend name
	if d.NextArg() {
		b.Dir = d.Val()
		if err := checkPlaceholders(d, b.Dir); err != nil {
			return err
		}
	}
	return noMore(d)
}

// UnmarshalCaddyfile reads what follows store. Syntax:
//
//	memory
func (*MemoryStore) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume backend name
	return noMore(d)
}

func (a *App) unmarshalKey(d *caddyfile.Dispenser) error {
	k := new(KeyConfig)
	if !d.Args(&k.Key) {
		return d.ArgErr()
	}
	if err := checkSecret(d, "key", k.Key); err != nil {
		return err
	}
	if d.NextArg() {
		k.Name = d.Val()
	}
	if d.NextArg() {
		return d.ArgErr()
	}
	a.Keys = append(a.Keys, k)
	return options{
		"project": once(text(&k.Project)),
		"tags":    once(list(&k.Tags)),
		"proxy":   once(text(&k.Proxy)),
		"paid":    once(flag(&k.Paid)),
		"weight":  once(weight(&k.Weight)),
	}.block(d)
}

func (a *App) unmarshalAffinity(d *caddyfile.Dispenser) error {
	if err := text(&a.Affinity)(d); err != nil {
		return err
	}
	if slices.Contains(affinities, a.Affinity) {
		return nil
	}
	return d.Errf("affinity '%s' is unknown, want %s", a.Affinity, strings.Join(affinities, " or "))
}

func (a *App) unmarshalStrategy(d *caddyfile.Dispenser) error {
	if err := text(&a.Strategy)(d); err != nil {
		return err
	}
	if err := checkStrategy(a.Strategy); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

func (a *App) unmarshalRetry(d *caddyfile.Dispenser) error {
	if err := noArgs(d); err != nil {
		return err
	}
	a.Retry = new(RetryConfig)
	return options{
		"attempts": once(func(d *caddyfile.Dispenser) error {
			n := int64(0)
			err := count(&n)(d)
			a.Retry.Attempts = int(n)
			return err
		}),
		"budget": once(func(d *caddyfile.Dispenser) error {
			a.Retry.Budget = new(float64)
			return share(a.Retry.Budget)(d)
		}),
		"wait": once(func(d *caddyfile.Dispenser) error {
			a.Retry.Wait = new(caddy.Duration)
			return duration(a.Retry.Wait, 0)(d)
		}),
		"hedge": once(func(d *caddyfile.Dispenser) error {
			a.Retry.Hedge = new(float64)
			return share(a.Retry.Hedge)(d)
		}),
	}.block(d)
}

func (a *App) unmarshalTimeouts(d *caddyfile.Dispenser) error {
	if err := noArgs(d); err != nil {
		return err
	}
	t := new(TimeoutsConfig)
	a.Timeouts = t
	return options{
		"connect":      once(duration(&t.Connect, 1)),
		"first_output": once(duration(&t.FirstOutput, 1)),
		"idle":         once(duration(&t.Idle, 1)),
		"total":        once(duration(&t.Total, 1)),
	}.block(d)
}

// parseHandler reads the directive gemini_balance.
func parseHandler(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	handler := new(Handler)
	return handler, handler.UnmarshalCaddyfile(h.Dispenser)
}

// UnmarshalCaddyfile reads the handler directive. Syntax:
//
//	gemini_balance [<matcher>] {
//		model                   <alias> <targets...> {
//			thinking_budget <tokens>
//			search          on | off
//			listed          on | off
//		}
//		max_request_size        <size>
//		cors                    <origins...>
//		heartbeat               <duration> | off
//		reasoning               auto | reasoning_content | thought_tags | off
//		safety                  off | block_none | block_only_high | block_medium_and_above | block_low_and_above
//		strict
//		fetch_images            on | off
//		query_key               on | off
//		capabilities            <path>
//		embeddings_count_tokens on | off
//		native_admin_resources  on | off
//		live {
//			idle    <duration>
//			max_age <duration>
//			tokens  off | passthrough
//		}
//		stream_close_delay      <duration>
//		anonymous
//	}
//
// model may be repeated.
func (h *Handler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return options{
		"model":                   h.unmarshalModel,
		"max_request_size":        once(size(&h.MaxRequestSize)),
		"cors":                    once(list(&h.CORS)),
		"heartbeat":               once(h.unmarshalHeartbeat),
		"reasoning":               once(h.unmarshalReasoning),
		"fetch_images":            once(onOff(&h.FetchImages)),
		"query_key":               once(onOff(&h.QueryKey)),
		"safety":                  once(h.unmarshalSafety),
		"strict":                  once(flag(&h.Strict)),
		"capabilities":            once(path(&h.Capabilities)),
		"anonymous":               once(flag(&h.Anonymous)),
		"live":                    once(h.unmarshalLive),
		"stream_close_delay":      once(h.unmarshalStreamCloseDelay),
		"embeddings_count_tokens": once(onOff(&h.CountEmbeddings)),
		"native_admin_resources":  once(onOff(&h.AdminResources)),
	}.directive(d)
}

func (h *Handler) unmarshalModel(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) < 2 {
		return d.ArgErr()
	}
	for _, m := range h.Models {
		if m.Name == args[0] {
			return d.Errf("model '%s' already specified", args[0])
		}
	}
	m := &ModelConfig{Name: args[0], Targets: args[1:]}
	h.Models = append(h.Models, m)
	return options{
		"thinking_budget": once(value(&m.ThinkingBudget, func(text string) (*int64, bool) {
			n, err := strconv.ParseInt(text, 10, 64)
			return &n, err == nil && n >= -1 && n <= settings.MaxThinkingBudget
		}, "tokens, 0 for as few as the model can do with or -1 for as many as it likes")),
		"search": once(onOff(&m.Search)),
		"listed": once(onOff(&m.Listed)),
	}.block(d)
}

func (h *Handler) unmarshalHeartbeat(d *caddyfile.Dispenser) error {
	if d.CountRemainingArgs() == 1 && d.NextArg() {
		if d.Val() == "off" {
			h.Heartbeat = -1
			return nil
		}
		d.Prev()
	}
	return duration(&h.Heartbeat, caddy.Duration(time.Second))(d)
}

func (h *Handler) unmarshalStreamCloseDelay(d *caddyfile.Dispenser) error {
	h.StreamCloseDelay = new(caddy.Duration)
	return duration(h.StreamCloseDelay, 0)(d)
}

func (h *Handler) unmarshalLive(d *caddyfile.Dispenser) error {
	if err := noArgs(d); err != nil {
		return err
	}
	h.Live = new(LiveConfig)
	return options{
		"idle":    once(duration(&h.Live.Idle, caddy.Duration(time.Second))),
		"max_age": once(duration(&h.Live.MaxAge, caddy.Duration(time.Second))),
		"tokens": once(func(d *caddyfile.Dispenser) error {
			if err := text(&h.Live.Tokens)(d); err != nil {
				return err
			}
			if !slices.Contains(liveTokens, h.Live.Tokens) {
				return d.Errf("tokens '%s' is unknown, want %s", h.Live.Tokens, strings.Join(liveTokens, " or "))
			}
			return nil
		}),
	}.block(d)
}

func (h *Handler) unmarshalReasoning(d *caddyfile.Dispenser) error {
	if err := text(&h.Reasoning)(d); err != nil {
		return err
	}
	if slices.Contains(reasonings, h.Reasoning) {
		return nil
	}
	return d.Errf("reasoning '%s' is unknown, want %s", h.Reasoning, strings.Join(reasonings, ", "))
}

func (h *Handler) unmarshalSafety(d *caddyfile.Dispenser) error {
	if err := text(&h.Safety)(d); err != nil {
		return err
	}
	if slices.Contains(safeties, h.Safety) {
		return nil
	}
	return d.Errf("safety '%s' is unknown, want %s", h.Safety, strings.Join(safeties, ", "))
}

// options are the subdirectives of a block, by name. Each reads the rest of its
// line, and its own block if it has one.
type options map[string]func(d *caddyfile.Dispenser) error

// directive reads a directive that takes no arguments, and its block.
func (o options) directive(d *caddyfile.Dispenser) error {
	d.Next() // consume directive name
	if err := noArgs(d); err != nil {
		return err
	}
	return o.block(d)
}

// block reads the block that opens here, if one does.
func (o options) block(d *caddyfile.Dispenser) error {
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		name := d.Val()
		option, known := o[name]
		if !known {
			return d.Errf("unrecognized subdirective '%s'", name)
		}
		if err := option(d); err != nil {
			return err
		}
	}
	return nil
}

// once makes an option that may not be repeated.
func once(option func(*caddyfile.Dispenser) error) func(*caddyfile.Dispenser) error {
	seen := false
	return func(d *caddyfile.Dispenser) error {
		if seen {
			return d.Errf("%s already specified", d.Val())
		}
		seen = true
		return option(d)
	}
}

// text reads exactly one argument.
func text(into *string) func(*caddyfile.Dispenser) error {
	return func(d *caddyfile.Dispenser) error {
		if !d.AllArgs(into) {
			return d.ArgErr()
		}
		if *into == "" {
			return d.Err("the value is empty")
		}
		return nil
	}
}

// secret reads exactly one argument, the placeholder of a secret.
func secret(into *string) func(*caddyfile.Dispenser) error {
	return func(d *caddyfile.Dispenser) error {
		option := d.Val()
		if err := text(into)(d); err != nil {
			return err
		}
		return checkSecret(d, option, *into)
	}
}

// path reads exactly one argument, in which placeholders may stand.
func path(into *string) func(*caddyfile.Dispenser) error {
	return func(d *caddyfile.Dispenser) error {
		if err := text(into)(d); err != nil {
			return err
		}
		return checkPlaceholders(d, *into)
	}
}

// checkPlaceholders does for other values what checkSecret does for secrets.
func checkPlaceholders(d *caddyfile.Dispenser, value string) error {
	if _, err := caddy.NewReplacer().ReplaceOrErr(value, true, true); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

// checkSecret looks whether a placeholder stands for something, so that the error
// names file and line. What it stands for is forgotten: only the placeholder
// becomes part of the configuration.
func checkSecret(d *caddyfile.Dispenser, option, placeholder string) error {
	_, err := resolveSecret(option, placeholder)
	if err != nil {
		return d.WrapErr(err)
	}
	return nil
}

// list reads one or more arguments.
func list(into *[]string) func(*caddyfile.Dispenser) error {
	return func(d *caddyfile.Dispenser) error {
		if *into = d.RemainingArgs(); len(*into) == 0 {
			return d.ArgErr()
		}
		return nil
	}
}

// flag reads an option without arguments.
func flag(into *bool) func(*caddyfile.Dispenser) error {
	return func(d *caddyfile.Dispenser) error {
		*into = true
		return noArgs(d)
	}
}

// onOff reads on or off.
func onOff(into **bool) func(*caddyfile.Dispenser) error {
	return func(d *caddyfile.Dispenser) error {
		option, word := d.Val(), ""
		if err := text(&word)(d); err != nil {
			return err
		}
		if word != "on" && word != "off" {
			return d.Errf("%s '%s' is unknown, want on or off", option, word)
		}
		*into = new(word == "on")
		return nil
	}
}

// count reads a whole number above zero.
func count(into *int64) func(*caddyfile.Dispenser) error {
	return value(into, func(text string) (int64, bool) {
		n, err := strconv.ParseInt(text, 10, 64)
		return n, err == nil && n > 0
	}, "a whole number above 0")
}

// share reads 20% or 0.2.
func share(into *float64) func(*caddyfile.Dispenser) error {
	return value(into, func(text string) (float64, bool) {
		number, percent := strings.CutSuffix(text, "%")
		f, err := strconv.ParseFloat(number, 64)
		if percent {
			f /= 100
		}
		return f, err == nil && f >= 0 && f <= 1
	}, "a share such as 20% or 0.2")
}

// duration reads a duration of at least least.
func duration(into *caddy.Duration, least caddy.Duration) func(*caddyfile.Dispenser) error {
	want := "a duration such as 10s or 2m"
	if least > 1 {
		want += ", at least " + time.Duration(least).String()
	}
	return value(into, func(text string) (caddy.Duration, bool) {
		parsed, err := caddy.ParseDuration(text)
		return caddy.Duration(parsed), err == nil && caddy.Duration(parsed) >= least
	}, want)
}

// size reads a number of bytes.
func size(into *int64) func(*caddyfile.Dispenser) error {
	return value(into, func(text string) (int64, bool) {
		n, err := humanize.ParseBytes(text)
		return int64(n), err == nil && n > 0 && n <= 1<<40 //nolint:gosec // bounded
	}, "a size such as 100MB")
}

// value reads exactly one argument by a parser.
func value[T any](into *T, parse func(string) (T, bool), want string) func(*caddyfile.Dispenser) error {
	return func(d *caddyfile.Dispenser) error {
		name := d.Val()
		var word string
		if !d.AllArgs(&word) {
			return d.ArgErr()
		}
		parsed, ok := parse(word)
		if !ok {
			return d.Errf("%s is '%s', want %s", name, word, want)
		}
		*into = parsed
		return nil
	}
}

// noArgs is the end of a line.
func noArgs(d *caddyfile.Dispenser) error {
	if d.NextArg() {
		return d.ArgErr()
	}
	return nil
}

// noMore is the end of a line without a block.
func noMore(d *caddyfile.Dispenser) error {
	if err := noArgs(d); err != nil {
		return err
	}
	for d.NextBlock(0) {
		return d.Errf("unrecognized subdirective '%s'", d.Val())
	}
	return nil
}
