// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"crypto/rand"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/fetch"
	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/native"
	"github.com/gemini-balance/caddy-gemini-balance/translate/openai"
	"github.com/gemini-balance/caddy-gemini-balance/usage"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

// exchange is one request on its way through the gateway. Only its own
// goroutine uses it.
type exchange struct {
	g  *Gateway
	r  *http.Request
	rt route

	settings *site // that it began with; see exchange.site

	accepted time.Time
	ctx      context.Context // ends with the client, or at Timeouts.Total
	life     lifetime        // what ctx is, but for parts of an exchange
	out      *clientWriter
	client   clientWriter // what out points to, but for parts of an exchange
	env      translate.Env
	account  *users.Account          // nil for anonymous requests
	ip       netip.Addr              // of the client; see address
	guest    bool                    // the key is one of Guests: an operator's own request
	only     string                  // the guest's one Gemini key, by id; "" for any
	body     []byte                  // of the request, whole
	lent     *lent                   // where body is; nil where that is nobody else's
	retained bool                    // somebody may read body longer than the exchange takes
	over     bool                    // the exchange took its course
	media    map[string]fetch.Result // what was fetched for the request, by URL
	target   int                     // which target of the alias is asked, from 0
	taken    *users.Admission        // nil before admission
	conv     translate.Exchange
	call     *translate.Call
	size     size       // of call
	refs     references // of the request, to what one project has
	record   usage.Record
	session  *uploadSession   // that the request goes on with; nil for none
	bound    balancer.Binding // what the present attempt makes is bound to
	booking  booking          // of an interaction's usage
	bill     bill             // what the request has cost
	memo     userMemo         // of the account
	lines    *batchLines      // of a file of results whose usage is not booked yet; nil for any other

	schemaRefused bool                       // by the last attempt
	short         balancer.UnavailableReason // why no key could be leased after the last attempt; "" where one could

	room    answerRoom  // of the answer that is received
	held    int64       // bytes of the body, as the Gate counts them
	stopped atomic.Bool // by Gateway.Stop

	siblings *sync.Mutex // held while reporting; nil unless the exchange is part of a batch
}

func (g *Gateway) newExchange(w http.ResponseWriter, r *http.Request, rt route) *exchange {
	x := &exchange{g: g, r: r, rt: rt, accepted: time.Now(), settings: g.site()}
	x.record = usage.Record{RequestID: requestID(), Dialect: string(rt.dialect), Outcome: "ok"}
	x.begin(x.settings.timeouts.Total)
	x.out = x.client.to(w)
	x.out.owner, x.out.alone = x, r.ProtoMajor == 2
	x.out.deadline, _ = x.ctx.Deadline()
	x.keepBodies()
	return x
}

// begin begins the time that the request may take.
func (x *exchange) begin(total time.Duration) {
	x.life.deadline = x.accepted.Add(total)
	x.life.begin(x.r.Context())
	x.ctx = &x.life
}

// cancel ends it.
func (x *exchange) cancel() { x.life.end(context.Canceled) }

// headers sets those that every answer of a dialect has. A heartbeat calls it, too, from
// a goroutine of its own: it reads only what never changes.
// Source: specs/openai.md §1, specs/native-anthropic.md C.0.
func (x *exchange) headers() {
	x.out.set("X-Request-Id", x.record.RequestID)
	switch x.rt.dialect {
	case Anthropic:
		x.out.set("Request-Id", x.record.RequestID)
	case OpenAI:
		x.out.set("Openai-Version", "2020-10-01")
		x.out.set("Openai-Processing-Ms", strconv.FormatInt(time.Since(x.accepted).Milliseconds(), 10))
	default: // Google has none
	}
}

// prepare does all that must hold before Google is asked, cheapest and most
// deciding checks first; the body is not read for a stranger.
func (x *exchange) prepare() *translate.Failure {
	if f := x.keyInURL(); f != nil {
		return f
	}
	steps := []func(*exchange) *translate.Failure{
		(*exchange).endpoint, (*exchange).authenticate, (*exchange).decode, (*exchange).admit, (*exchange).link,
	}
	switch x.rt.op {
	case opResponse: // asks nobody else
		steps = append(steps[:2], (*exchange).permitted)
	case opFiles, opFile: // reads as it goes
		steps = append(steps[:2], (*exchange).bare, (*exchange).permitted)
		if x.r.Method == http.MethodPost {
			steps[3] = (*exchange).admit
		}
	case opUpload:
		steps = append(steps[:2], (*exchange).bare, (*exchange).admit)
		if x.r.URL.Query().Has("upload_id") {
			steps = append(steps[:1], (*exchange).resume, (*exchange).bare)
		}
	case opDownload:
		steps = append(steps[:2], (*exchange).bare, (*exchange).permitted)
	case opLive: // goes its own way, a part of it after the upgrade
		steps = steps[:1]
	case opAuthTokens:
		steps = steps[:2]
	case opCollection:
		if x.r.Method == http.MethodGet {
			steps = append(steps[:2], (*exchange).bare, (*exchange).uncharged)
		}
	case opResource:
		if x.r.Method == http.MethodGet || x.r.Method == http.MethodDelete || x.rt.verb == "cancel" || x.rt.verb == "delete" {
			steps[3] = (*exchange).uncharged
		}
	default: // all steps
		if x.counts() || x.aboutModels() {
			steps[3] = (*exchange).uncharged
		}
	}
	for _, step := range steps {
		if f := step(x); f != nil {
			return f
		}
	}
	return nil
}

func (x *exchange) endpoint() *translate.Failure {
	switch {
	case x.rt.op == opUnknown:
		return &translate.Failure{
			Kind:    translate.UnknownURL,
			Message: "Unknown request URL: " + x.r.Method + " " + x.r.URL.Path + ". This gateway does not serve that endpoint.",
		}
	case x.rt.op == opUnimplemented:
		return &translate.Failure{
			Kind: translate.UnknownURL, Code: native.CodeUnimplemented,
			Message: "This gateway cannot do that for you: Google wants your own account for " + x.r.URL.Path + ". Upload the file.",
		}
	case x.rt.op == opLive && x.r.ProtoMajor != 1:
		return &translate.Failure{
			Kind: translate.UnknownURL, Code: native.CodeUnimplemented,
			Message: "The Live API is served over HTTP/1.1 only. Open the WebSocket there.",
		}
	case !x.rt.allowed:
		x.out.w.Header().Set("Allow", x.rt.methods+", OPTIONS")
		return &translate.Failure{
			Kind:    translate.MethodNotAllowed,
			Message: "Method " + x.r.Method + " is not allowed here; use " + x.rt.methods + ".",
		}
	}
	return nil
}

// decode reads the body and makes the converter.
func (x *exchange) decode() (f *translate.Failure) {
	if x.r.Method == http.MethodPost || x.r.Method == http.MethodPatch {
		if x.body, f = x.readBody(); f != nil {
			return f
		}
		x.keepRequest()
	}
	x.memo = x.g.Memo.of(x.record.UserID)
	x.env = translate.Env{Now: x.accepted, NewID: randomID, Memo: &x.memo}
	if f = x.convert(); f == nil {
		x.hit()
	}
	return f
}

// convert makes the converter for the present target of the model's alias. What
// a model takes differs, so each target gets a translation of its own.
func (x *exchange) convert() *translate.Failure {
	x.carry()
	x.refs = references{}
	conv, f := x.inTurn()
	if f != nil {
		return f
	}
	x.conv, x.call = conv, conv.Call()
	x.out.about(x.call.Model)
	x.record.Model, x.record.Stream = x.call.Model, x.call.Stream != translate.Unary
	return x.offered(x.call.Model)
}

// inTurn makes the converter when it is the body's turn.
func (x *exchange) inTurn() (translate.Exchange, *translate.Failure) {
	size := len(x.body)
	if x.g.Gate.await(x.ctx, size) != nil {
		return nil, x.gone().failure
	}
	defer x.g.Gate.over(size)
	return x.converter()
}

// converter is the table from operations to the dialects' constructors.
func (x *exchange) converter() (translate.Exchange, *translate.Failure) {
	switch x.rt.op {
	case opChat:
		return kept(openai.NewChat(x.env, x.options(), x.body))
	case opCompletions:
		return kept(openai.NewCompletion(x.env, x.options(), x.body))
	case opResponses:
		return kept(openai.NewResponses(x.env, x.options(), x.body))
	case opInputTokens:
		return kept(openai.NewInputTokens(x.env, x.options(), x.body))
	case opEmbeddings:
		return kept(openai.NewEmbeddings(x.env, x.options(), x.body))
	case opImages:
		return kept(openai.NewImageGeneration(x.env, x.options(), x.body))
	case opImageEdits, opTranscriptions, opTranslations:
		return x.formConverter()
	case opSpeech:
		return kept(openai.NewSpeech(x.env, x.options(), x.body))
	case opNativeModels:
		return kept(x.nativeModels())
	case opModels, opModel:
		return kept(x.models())
	case opMessages, opCountTokens, opAnthropicModels, opAnthropicModel:
		return x.anthropic()
	default:
		return x.native()
	}
}

// formConverter is the part of the table whose bodies are forms.
func (x *exchange) formConverter() (translate.Exchange, *translate.Failure) {
	form, f := openai.ParseForm(x.r.Header.Get("Content-Type"), x.body)
	if f != nil {
		return nil, f
	}
	if x.rt.op == opImageEdits {
		return kept(openai.NewImageEdit(x.env, x.options(), form))
	}
	return kept(openai.NewTranscription(x.env, x.options(), form, x.rt.op == opTranslations))
}

func (x *exchange) options() openai.Options {
	o := openai.Options{
		Reasoning: x.site().reasoning, Safety: x.g.Safety, Strict: x.g.Strict, CountTokens: x.g.CountEmbeddings,
		Resolve: x.resolve, Fetch: x.fetcher() != nil, Capabilities: x.g.Capabilities,
	}
	if x.site().defaults {
		o.Defaults = x.site().wanted
	}
	if x.g.Resources != nil {
		o.File, o.Cache = x.file, x.cache
	}
	if x.g.Conversations != nil {
		o.MaxKept = maxConversation
		o.Previous = func(id string) ([]byte, bool) { return x.g.Conversations.get(x.record.UserID, id) }
	}
	return o
}

// resolve is the Gemini model that a client's word stands for now.
func (x *exchange) resolve(model string) string {
	if a := x.site().aliases.find(model); a != nil {
		return a.Targets[min(x.target, len(a.Targets)-1)]
	}
	return model
}

// kept turns a converter that was not made into no converter.
func kept[T translate.Exchange](conv T, f *translate.Failure) (translate.Exchange, *translate.Failure) {
	if f != nil {
		return nil, f
	}
	return conv, nil
}

// visible says which models this user may know of.
func (x *exchange) visible() func(model string) bool {
	s := x.site()
	if x.account == nil && (s.models == nil || len(*s.models) == 0) {
		return nil
	}
	return func(model string) bool {
		return (x.account == nil || x.account.Allows(model)) && (s.offers(model) || s.aliases.find(model) != nil)
	}
}

// link fetches the media that the request names by URL and puts them in. Another
// target of the alias takes what was fetched for the first.
func (x *exchange) link() *translate.Failure {
	conv, ok := x.conv.(translate.Linked)
	if !ok || x.fetcher() == nil || len(conv.Remote()) == 0 {
		return nil
	}
	if x.media == nil {
		x.media = x.fetcher().All(x.ctx, conv.Remote())
	}
	if x.r.Context().Err() != nil {
		return x.gone().failure
	}
	return conv.Provide(func(url string) (mimeType string, data []byte, err error) {
		m := x.media[url]
		return m.Type, m.Data, m.Err
	})
}

// settle gives back what the request did not use and books what it did.
func (x *exchange) settle() {
	x.cancel()
	x.out.stop()
	x.explainLate()
	if x.conv != nil {
		if u := x.conv.Usage(); u.Reported {
			x.g.estimates.learn(x.record.UserID, x.call.Model, x.size.guess, u.Input())
		}
	}
	x.total()
	x.fill()
	x.settleLimits()
	x.g.Usage.Add(x.record)
	x.record.Bodies = nil // of no concern to those who watch
	x.report(func(to Observer) { to.Served(x.r.Context(), &x.record) })
}

// requestID makes the id of a request.
func requestID() string { return randomText("req_", 20) }

// randomID returns n characters of [0-9A-Za-z] from the system's random source.
func randomID(n int) string { return randomText("", n) }

func randomText(prefix string, n int) string {
	const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	var room [64]byte
	var pool [32]byte
	out := append(room[:0], prefix...)
	for n += len(prefix); len(out) < n; {
		_, _ = rand.Read(pool[:]) // crypto/rand.Read never fails
		for _, b := range pool {
			if b &= 63; int(b) < len(alphabet) && len(out) < n {
				out = append(out, alphabet[b])
			}
		}
	}
	return string(out)
}
