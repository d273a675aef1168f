// SPDX-License-Identifier: Apache-2.0

// Package gateway is one request from accept to settle, in plain net/http:
//
//	route → authenticate → read → translate (decode) → admit → attempts → settle
//
// It knows nothing of Caddy; what it has to report leaves through [Observer].
package gateway

import (
	"errors"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/fetch"
	"github.com/gemini-balance/caddy-gemini-balance/settings"
	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/capability"
	"github.com/gemini-balance/caddy-gemini-balance/upstream"
	"github.com/gemini-balance/caddy-gemini-balance/usage"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

// Config is what a Gateway works with. Pool, Users, Usage, Settings and Upstream
// are shared by all sites and outlive it; the rest belongs to one site.
type Config struct {
	Pool     *balancer.Pool
	Users    *users.Registry
	Usage    *usage.Ledger
	Settings *settings.Store
	Upstream *upstream.Client

	Aliases         []settings.Alias
	Named           *settings.Aliases  // further aliases, set at run time; nil = none
	PerModel        *settings.PerModel // what is set for single models; nil = nothing
	Guests          *Guests            // keys for a few minutes; nil = none
	Catalog         *Catalog           // learns what lists say of models; nil = nobody asks
	Hits            *Hits              // counts what aliases were asked for; nil = one of its own
	MaxRequestSize  int64              // bytes of a request body; 0 = what the settings say
	CORS            []string           // allowed origins, "*" for any; none = no CORS headers
	Heartbeat       time.Duration      // silence after which a stream gets a comment; 0 = what the settings say, < 0 = never
	Reasoning       string             // see openai.Options; "" = what the settings say
	FetchImages     *bool              // whether Fetch is used; nil = what the settings say
	QueryKey        *bool              // whether ?key= is taken; nil = what the settings say
	Safety          []byte             // see openai.Options
	Strict          bool               // see openai.Options
	CountEmbeddings bool               // see openai.Options.CountTokens
	Anonymous       bool               // serve requests without a user key
	AdminResources  bool               // serve agents, credentials, webhooks and triggers, which are the operator's projects' own
	Timeouts        Timeouts
	Live            Live

	// Capabilities is what models take; nil is the built-in table.
	Capabilities *capability.Table

	// Prices is what Google charges; nil is the built-in table. It is asked while the
	// pool counts what projects spend.
	Prices *usage.Prices

	// Fetch downloads media that requests name by URL; nil refuses such requests.
	Fetch *fetch.Fetcher

	// Conversations keeps answers of the Responses API; nil keeps none.
	Conversations *Conversations

	// Resources remembers whose and in which project files are; nil serves none.
	Resources *Resources

	Gate     *Gate                          // shared by all of the process; nil = takes everything
	Memo     *Memo                          // shared by all sites; nil = one of its own
	Observer Observer                       // nil = nobody watches
	Open     *Open                          // counts what is under way; nil = one of its own
	ClientIP func(*http.Request) netip.Addr // nil = from RemoteAddr

	// PublicURL is the address that a request's client reached the gateway by:
	// scheme, host and the prefix that was taken off the path on the way, without a
	// slash at its end. nil = from the connection, the Host header and RequestURI.
	PublicURL func(*http.Request) string

	Version string
	Started time.Time
}

// Timeouts bound the waiting for Google. Zero fields are what the settings say.
type Timeouts struct {
	FirstOutput time.Duration // until the first useful output
	Idle        time.Duration // between two pieces of a stream
	Total       time.Duration // for the whole request
}

// Gateway serves OpenAI's, Anthropic's and Google's dialect. It is safe for concurrent use.
type Gateway struct {
	Config
	sites     atomic.Pointer[site]
	known     atomic.Pointer[known]
	budget    retryBudget
	pace      pace
	estimates estimator
	outputs   outputs
	lists     lists
	counts    counts
	running   running
	envelopes *envelopes // nil = what clients keep has no tag
}

// New completes the defaults of c.
func New(c Config) (*Gateway, error) {
	if c.Pool == nil || c.Users == nil || c.Usage == nil || c.Settings == nil || c.Upstream == nil {
		return nil, errors.New("gateway: Pool, Users, Usage, Settings and Upstream must be given")
	}
	c.Live = c.Live.limits()
	if c.Memo == nil {
		c.Memo = NewMemo(64<<20, 2*time.Hour)
	}
	if c.Prices == nil {
		c.Prices = usage.BuiltInPrices()
	}
	if c.ClientIP == nil {
		c.ClientIP = remoteAddr
	}
	if c.PublicURL == nil {
		c.PublicURL = publicURL
	}
	if c.Started.IsZero() {
		c.Started = time.Now()
	}
	if c.Hits == nil {
		c.Hits = new(Hits)
	}
	if c.Open == nil {
		c.Open = new(Open)
	}
	g := &Gateway{Config: c}
	if c.Resources != nil {
		g.envelopes = newEnvelopes(c.Resources.sealer)
	}
	for _, a := range c.Aliases {
		if a.Name == "" || len(a.Targets) == 0 {
			return nil, errors.New("gateway: a model alias needs a name and a target")
		}
	}
	return g, nil
}

func remoteAddr(r *http.Request) netip.Addr {
	ap, _ := netip.ParseAddrPort(r.RemoteAddr)
	return ap.Addr().Unmap()
}

// ServeHTTP answers r if it is an API request, and reports false, with nothing
// written, if it is not.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) (handled bool) {
	rt, ok := match(r)
	if !ok {
		return false
	}
	if rt.public != nil {
		rt.public(g, w, r)
		return true
	}
	if g.cors(w, r, rt.methods) {
		return true
	}
	if !g.Gate.enter() {
		rt.shed(w)
		return true
	}
	defer g.Gate.leave()
	x := g.newExchange(w, r, rt)
	defer x.returnBody()
	g.running.add(x)
	defer g.running.remove(x)
	defer x.unhold()
	defer x.settle() // whatever happens: limits and leases are given back
	f := x.prepare()
	switch {
	case f != nil:
	case rt.op == opLive:
		f = x.live()
	case rt.op == opAuthTokens:
		f = x.authTokens()
	case rt.op == opResponse:
		f = x.response()
	case rt.op == opFiles || rt.op == opFile:
		f = x.files()
	case rt.op == opCollection && r.Method == http.MethodGet:
		f = x.listNative()
	case rt.op == opUpload:
		f = x.nativeUpload()
	case rt.op == opDownload:
		f = x.nativeDownload()
	default:
		f = x.serve()
	}
	if f != nil {
		x.refuse(f)
	}
	x.over = true
	return true
}

// failure makes the error an owner of a request sees out of any error.
func failure(err error) *translate.Failure {
	if f, ok := errors.AsType[*translate.Failure](err); ok {
		return f
	}
	return &translate.Failure{Kind: translate.Internal, Message: "The gateway failed to process this request."}
}
