// SPDX-License-Identifier: Apache-2.0

package geminibalance

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/gemini-balance/caddy-gemini-balance/gateway"
	"github.com/gemini-balance/caddy-gemini-balance/settings"
	"github.com/gemini-balance/caddy-gemini-balance/translate/capability"
	"github.com/gemini-balance/caddy-gemini-balance/translate/openai"
)

// Handler serves Gemini models to clients of OpenAI's and Google's API with the
// pool of Gemini keys of the app `gemini_balance`. Requests for other paths go to
// the next handler.
//
// Every request that it recognises is answered by it, errors in the form of the
// caller's API included, so `handle_errors` does not apply.
//
// Do not set `write_timeout` for the server: it would bound whole answers.
//
// After a request, these placeholders are known:
//
// Placeholder | Description
// ------------|------------
// `{http.gemini_balance.request_id}` | what `x-request-id` told the client
// `{http.gemini_balance.dialect}` | `openai`, `anthropic` or `gemini`
// `{http.gemini_balance.endpoint}` | which of the dialect's, as `chat.completions`
// `{http.gemini_balance.model}` | the Gemini model
// `{http.gemini_balance.asked_model}` | what the client called it
// `{http.gemini_balance.outcome}` | `ok`, or one word for what went wrong
// `{http.gemini_balance.refused_by}` | the limit of the user key, as `rpm`, or what there was with the pool, as `all_resting`, that turned the request away; empty for neither
// `{http.gemini_balance.key_id}` | the Gemini key of the last attempt, by its public id
// `{http.gemini_balance.project}` | its project
// `{http.gemini_balance.attempts}` | upstream requests that were made
// `{http.gemini_balance.upstream_status}` | HTTP status of the last one, 0 for none
// `{http.gemini_balance.upstream_error}` | Google's word for its error, as `RESOURCE_EXHAUSTED`
// `{http.gemini_balance.stream}` | whether the answer was streamed
// `{http.gemini_balance.partial}` | whether the answer was cut short
// `{http.gemini_balance.input_tokens}` | tokens of the prompt
// `{http.gemini_balance.cached_tokens}` | … of which came from a cache
// `{http.gemini_balance.output_tokens}` | tokens of the answer, without thinking
// `{http.gemini_balance.thought_tokens}` | tokens of thinking
// `{http.gemini_balance.tool_use_tokens}` | tokens that Google's own tools brought into the prompt
// `{http.gemini_balance.estimated}` | whether tokens are a guess, because Google did not say
// `{http.gemini_balance.cost_usd}` | what Google charges, in US dollars; empty where nobody knows
// `{http.gemini_balance.wait}`, `…wait_ms` | waiting for a Gemini key, of all attempts
// `{http.gemini_balance.latency}`, `…latency_ms` | until the first output
// `{http.gemini_balance.duration}`, `…duration_ms` | until the end
// `{http.auth.user.id}` | the user key, by its public id; also `user_id` in access logs
//
// The access log has them in the field `gemini_balance`, those that say nothing left
// out. An answer that broke off
// after its status was sent is logged at level `ERROR`.
type Handler struct {
	// Further names for Gemini models, which clients that insist on others' names
	// can ask for.
	Models []*ModelConfig `json:"models,omitempty"`

	// How large a request body may be, in bytes. Default: 100 MB.
	MaxRequestSize int64 `json:"max_request_size,omitempty"`

	// Origins of web pages that may use the API, such as
	// `https://chat.example.com`; `*` for all. Default: none.
	CORS []string `json:"cors,omitempty"`

	// After how much silence a stream of OpenAI's API gets a comment, so that
	// nobody on the way takes it for dead. Negative = never. Default: 15s.
	Heartbeat caddy.Duration `json:"heartbeat,omitempty"`

	// How thoughts are shown to clients of OpenAI's API: `reasoning_content`,
	// `thought_tags`, `off`, or `auto`, which is as `reasoning_content` to clients
	// that ask for thoughts. Default: `auto`.
	Reasoning string `json:"reasoning,omitempty"`

	// How strictly Google filters requests that bring no `safety_settings` of their
	// own, of OpenAI's and Anthropic's API, for all categories: `off` or `block_none`,
	// which some models tell apart, `block_only_high`, `block_medium_and_above` or
	// `block_low_and_above`. What is set for a model at run time goes first. Default:
	// Google's own, which is off for newer models.
	Safety string `json:"safety,omitempty"`

	// Refuse members of requests of OpenAI's API that are not known, and penalties
	// that the model does not take, instead of ignoring them.
	Strict bool `json:"strict,omitempty"`

	// Whether images and other media that a request of OpenAI's API names by URL
	// are fetched. Only public addresses are ever connected to, whatever a name
	// resolves to or a redirect says. Default: true.
	FetchImages *bool `json:"fetch_images,omitempty"`

	// Whether user keys are taken from `?key=` in URLs as well, which Google's older
	// clients and Live sessions of browsers need, and which access logs keep. Default:
	// true.
	QueryKey *bool `json:"query_key,omitempty"`

	// A file that says what models take where the built-in table does not know it,
	// or not any more: `{"models": [{"match": "gemini-4-*", "sampling": true}]}`.
	// What it names wins over the table. It is read when the configuration is
	// loaded; the properties are described in README.md. Default: none.
	Capabilities string `json:"capabilities,omitempty"`

	// Whether the tokens of embeddings are counted by Google, one call more for
	// each hundred inputs, where it would be guessed otherwise. Default: false.
	CountEmbeddings *bool `json:"embeddings_count_tokens,omitempty"`

	// Whether agents, credentials, webhooks and triggers of Google's API are served.
	// They hold secrets and call-backs inside the operator's projects. Default: false.
	AdminResources *bool `json:"native_admin_resources,omitempty"`

	// How sessions of the Live API are served.
	Live *LiveConfig `json:"live,omitempty"`

	// How long sessions of the Live API go on after a new configuration has
	// replaced this one; they are closed with code 1001 then, 10 seconds after a
	// goAway message. When Caddy exits they have 2 seconds, as with 0. Default: 15m,
	// longer than Google lets a connection live.
	StreamCloseDelay *caddy.Duration `json:"stream_close_delay,omitempty"`

	// Serve requests without a user key, too. Anybody who reaches the listener
	// then spends the quota of the Gemini keys.
	Anonymous bool `json:"anonymous,omitempty"`

	app     *App
	logger  *zap.Logger
	gateway *gateway.Gateway

	capabilities *capability.Table
}

// ModelConfig is a further name for a Gemini model.
type ModelConfig struct {
	// What clients ask for; each * stands for any characters.
	Name string `json:"name,omitempty"`

	// The Gemini models it stands for. Usually the first serves; where that is
	// missing, not in the keys' tiers, overloaded or out of quota, the next is
	// asked, before any output only.
	Targets []string `json:"targets,omitempty"`

	// How many tokens of thoughts there may be where a request does not say: 0 for
	// as few as the model can do with, -1 for as many as it likes. Requests of
	// Google's own API are passed on as they are. Default: as the model has it.
	ThinkingBudget *int64 `json:"thinking_budget,omitempty"`

	// Whether Google Search is among the tools, where the model takes it beside
	// those of the request, which must not be of Google's own API. Default: false.
	Search *bool `json:"search,omitempty"`

	// Whether lists of models have the name; they never have names with `*`.
	// Default: true.
	Listed *bool `json:"listed,omitempty"`
}

// alias is what the gateway knows it by.
func (m *ModelConfig) alias() settings.Alias {
	return settings.Alias{
		Name: m.Name, Targets: m.Targets, ThinkingBudget: m.ThinkingBudget,
		Search: m.Search != nil && *m.Search, Hidden: m.Listed != nil && !*m.Listed,
	}
}

// LiveConfig is how sessions of the Live API are served.
type LiveConfig struct {
	// After how long without a message in either direction a session is closed.
	// Default: 15m.
	Idle caddy.Duration `json:"idle,omitempty"`

	// How long a session may last. Default: 2h.
	MaxAge caddy.Duration `json:"max_age,omitempty"`

	// What becomes of ephemeral tokens (`auth_tokens`): `off` refuses them;
	// `passthrough` makes them at Google for users who ask, and serves their
	// holders as the user who made them. Whoever has one can go to Google directly,
	// past all limits of the user key. Default: `off`.
	Tokens string `json:"tokens,omitempty"`
}

// live is the configuration for the gateway, without a nil to think of.
func (h *Handler) live(sessions *closing) gateway.Live {
	l := gateway.Live{Leaving: sessions.soon, Closing: sessions.done}
	if c := h.Live; c != nil {
		l.Idle, l.MaxAge, l.Tokens = time.Duration(c.Idle), time.Duration(c.MaxAge), c.Tokens
	}
	return l
}

// CaddyModule returns the Caddy module information.
func (*Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.gemini_balance", New: func() caddy.Module { return new(Handler) }}
}

// Provision finds the app. What needs the store waits for the app's Start.
func (h *Handler) Provision(ctx caddy.Context) error {
	h.logger = ctx.Logger()
	app, err := appOf(ctx)
	if err != nil {
		return err
	}
	h.app = app
	if h.capabilities, err = readCapabilities(h.Capabilities); err != nil {
		return err
	}
	app.starters = append(app.starters, h.start)
	app.handlers = append(app.handlers, h)
	if h.Anonymous && !loopbackOnly(ctx) {
		h.logger.Warn("ANONYMOUS ACCESS: anybody who reaches this listener can spend the quota of your Gemini keys; "+
			"remove anonymous, or bind the site to 127.0.0.1", zap.Strings("listen", listeners(ctx)))
	}
	return nil
}

func appOf(ctx caddy.Context) (*App, error) {
	app, err := ctx.App("gemini_balance")
	if err != nil {
		return nil, fmt.Errorf("getting gemini_balance app: %w", err)
	}
	return app.(*App), nil
}

// start makes the gateway. It is called by the app once its store is open.
func (h *Handler) start() (err error) {
	a := h.app
	delay := defaultCloseDelay
	if h.StreamCloseDelay != nil {
		delay = time.Duration(*h.StreamCloseDelay)
	}
	sessions := newClosing(delay)
	a.closings = append(a.closings, sessions)
	config := gateway.Config{
		Live:  h.live(sessions),
		Fetch: a.shared.fetch, FetchImages: h.FetchImages, QueryKey: h.QueryKey,
		Named: a.shared.aliases, PerModel: a.shared.perModel, Hits: a.shared.hits, Guests: a.shared.guests, Catalog: a.shared.catalog, Prices: a.prices,
		Pool: a.shared.pool, Users: a.shared.users, Usage: a.shared.usage, Settings: a.shared.settings,
		Upstream: a.upstream, Memo: a.shared.memo, Conversations: a.shared.kept, Resources: a.shared.bound,
		MaxRequestSize:  h.MaxRequestSize,
		CORS:            h.CORS,
		Heartbeat:       time.Duration(h.Heartbeat),
		Reasoning:       h.Reasoning,
		Safety:          openai.SafetySettings(h.Safety),
		Strict:          h.Strict,
		Capabilities:    h.capabilities,
		CountEmbeddings: h.CountEmbeddings != nil && *h.CountEmbeddings,
		AdminResources:  h.AdminResources != nil && *h.AdminResources,
		Anonymous:       h.Anonymous,
		Gate:            gate(),
		Observer:        observer{a, h.logger},
		Open:            a.shared.open,
		ClientIP:        clientIP,
		PublicURL:       publicURL,
		Version:         version(),
		Started:         processStarted,
	}
	for _, m := range h.Models {
		config.Aliases = append(config.Aliases, m.alias())
		a.shared.models.add(m.Targets...)
	}
	h.gateway, err = gateway.New(config)
	return err
}

// gate is the process's. It is made late: Caddy sets the memory limit in its main.
var gate = sync.OnceValue(gateway.NewGate)

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if err := h.app.enter(r.Context()); err != nil {
		notServing(w, err)
		return nil
	}
	if h.serve(w, r) {
		return nil
	}
	return next.ServeHTTP(w, r)
}

// serve is the part of ServeHTTP that uses the app. It may panic to break a
// stream off, so leaving is deferred.
func (h *Handler) serve(w http.ResponseWriter, r *http.Request) (handled bool) {
	defer h.app.leave()
	metrics.inFlight.Inc()
	defer metrics.inFlight.Dec()
	return h.gateway.ServeHTTP(direct(w), r)
}

// direct is w, flushed past Caddy's idle timeout for writes, and written past it as a
// rule: that moves the deadline for each Write, and for the Flush right after it once
// more. A stream writes and flushes each event. Over HTTP/2 the timeout has to see both.
func direct(w http.ResponseWriter) http.ResponseWriter {
	idle, ok := w.(*caddyhttp.IdleTimeoutWriter)
	if !ok || idle.ClearBetweenWrites {
		return w
	}
	for under := idle.Unwrap(); ; {
		if f, ok := under.(flusher); ok {
			return &directWriter{IdleTimeoutWriter: idle, under: f}
		}
		wrapper, ok := under.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return w
		}
		under = wrapper.Unwrap()
	}
}

type flusher interface{ FlushError() error }

// directWriter is a writer under an idle timeout. See direct.
type directWriter struct {
	*caddyhttp.IdleTimeoutWriter
	under flusher
	moved time.Time // when the deadline was; zero = somebody else has set one
}

// small is up to how many bytes a write is one of many.
const small = 16 << 10

// Write implements io.Writer. The deadline is moved for a small write only when a
// quarter of the time has passed since it was: a client that stalls has three quarters
// of it at least.
func (d *directWriter) Write(p []byte) (int, error) {
	now := time.Now()
	if len(p) <= small && d.Deadline.MinRate == 0 && !d.moved.IsZero() && now.Sub(d.moved) < d.Deadline.Timeout/4 {
		return d.ResponseWriterWrapper.Write(p)
	}
	d.moved = now
	return d.IdleTimeoutWriter.Write(p)
}

// SetWriteDeadline implements what http.ResponseController looks for.
func (d *directWriter) SetWriteDeadline(t time.Time) error {
	d.moved = time.Time{}
	return d.IdleTimeoutWriter.SetWriteDeadline(t)
}

// FlushError implements what http.ResponseController looks for.
func (d *directWriter) FlushError() error { return d.under.FlushError() }

// notServing answers a request that reached a configuration that ended before it
// could take part: the client asks again, on a new connection.
func notServing(w http.ResponseWriter, err error) {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		w.WriteHeader(499) // the client left while the store was being opened
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Retry-After", "1")
	h.Set("Connection", "close")
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = w.Write([]byte(`{"error":{"message":"The gateway is just changing its configuration. Try again.","type":"server_error","param":null,"code":"reloading"}}` + "\n"))
}

// clientIP is the client's address as Caddy sees it, trusted proxies considered.
func clientIP(r *http.Request) netip.Addr {
	text, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	ip, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{} // in no network, so a restricted user key refuses it
	}
	return ip.Unmap()
}

// modelID is how a Gemini model may be named.
var modelID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

// Validate checks what the configuration says beyond its syntax.
func (h *Handler) Validate() error {
	names := map[string]bool{}
	for i, m := range h.Models {
		switch {
		case m == nil || m.Name == "" || len(m.Targets) == 0:
			return fmt.Errorf("models[%d]: name and targets must be given", i)
		case strings.ContainsAny(m.Name, "{}/: "):
			return fmt.Errorf("models[%d]: the name %q has a character that no model's name has; placeholders are not replaced here", i, m.Name)
		case names[m.Name]:
			return fmt.Errorf("models[%d]: the name %q is given twice", i, m.Name)
		}
		for _, target := range m.Targets {
			if !modelID.MatchString(target) {
				return fmt.Errorf("models[%d]: target %q is no id of a Gemini model, such as gemini-flash-latest", i, target)
			}
		}
		if field, message := settings.CheckAlias(new(m.alias())); field == "thinking_budget" {
			return fmt.Errorf("models[%d]: %s %s", i, field, message)
		}
		names[m.Name] = true
	}
	if h.MaxRequestSize < 0 {
		return errors.New("max_request_size is negative")
	}
	if h.Heartbeat > 0 && time.Duration(h.Heartbeat) < time.Second {
		return errors.New("heartbeat is shorter than a second")
	}
	if h.Reasoning != "" && !slices.Contains(reasonings, h.Reasoning) {
		return fmt.Errorf("reasoning is %q, want %s", h.Reasoning, strings.Join(reasonings, ", "))
	}
	if h.Safety != "" && !slices.Contains(safeties, h.Safety) {
		return fmt.Errorf("safety is %q, want %s", h.Safety, strings.Join(safeties, ", "))
	}
	if h.StreamCloseDelay != nil && *h.StreamCloseDelay < 0 {
		return errors.New("stream_close_delay is negative")
	}
	if l := h.Live; l != nil {
		switch {
		case l.Idle < 0 || l.MaxAge < 0:
			return errors.New("live: idle and max_age must not be negative")
		case l.Tokens != "" && !slices.Contains(liveTokens, l.Tokens):
			return fmt.Errorf("live.tokens is %q, want %s", l.Tokens, strings.Join(liveTokens, " or "))
		}
	}
	for _, origin := range h.CORS {
		if err := checkOrigin(origin); err != nil {
			return err
		}
	}
	return nil
}

// readCapabilities reads a table of what models take; none where path is empty.
func readCapabilities(path string) (*capability.Table, error) {
	if path == "" {
		return nil, nil
	}
	path, err := caddy.NewReplacer().ReplaceOrErr(path, true, true)
	if err != nil {
		return nil, fmt.Errorf("capabilities: %w", err)
	}
	doc, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("capabilities: %w", err)
	}
	table, err := capability.Parse(doc)
	if err != nil {
		return nil, fmt.Errorf("capabilities %s: %w", path, err)
	}
	return table, nil
}

var (
	reasonings = []string{settings.ReasoningAuto, openai.ReasoningContent, openai.ReasoningTags, openai.ReasoningOff}
	liveTokens = []string{gateway.LiveTokensOff, gateway.LiveTokensPassThrough}
	safeties   = settings.Safeties()
)

// checkOrigin accepts what browsers send as Origin, and "*".
func checkOrigin(origin string) error {
	if origin == "*" {
		return nil
	}
	u, err := url.Parse(origin)
	if err != nil || u.Scheme == "" || u.Host == "" || u.Scheme+"://"+u.Host != origin {
		return fmt.Errorf("cors has %q, want an origin such as https://chat.example.com, without a path, or *", origin)
	}
	return nil
}

// listeners are the addresses of the server that a handler is provisioned for;
// none where that is not known, as in named routes.
func listeners(ctx caddy.Context) []string {
	srv, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if !ok {
		return nil
	}
	return srv.Listen
}

// loopbackOnly reports whether a server can be reached from this machine only.
func loopbackOnly(ctx caddy.Context) bool {
	addresses := listeners(ctx)
	for _, text := range addresses {
		addr, err := caddy.ParseNetworkAddress(text)
		if err != nil {
			return false
		}
		ip, err := netip.ParseAddr(addr.Host)
		if !addr.IsUnixNetwork() && addr.Host != "localhost" && (err != nil || !ip.IsLoopback()) {
			return false
		}
	}
	return len(addresses) > 0
}
