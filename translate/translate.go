// SPDX-License-Identifier: Apache-2.0

// Package translate holds what all dialects share: the [Exchange] that turns one
// client request into Gemini's and the answer back, and the [Failure] that each
// dialect words in its own way. The dialects live in the packages below and never
// import each other.
//
//	client body → dialect.Decode → Exchange.Call → … Google … → Exchange.Event → client bytes
//
// Everything here is a pure function of its arguments: no I/O, no clock, no
// randomness (both come in through [Env]), no logging.
package translate

import (
	"fmt"
	"io"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
)

// Env is what a conversion may know of the world.
type Env struct {
	Now   time.Time          // when the request was accepted
	NewID func(n int) string // n random characters of [0-9A-Za-z]
	Memo  Memo               // thought signatures by tool call id; nil remembers nothing
}

// Memo remembers what a client's protocol cannot carry back to us: the thought
// signature of a tool call, under a key that a dialect makes of the call's id and
// the model's family. Implementations are bounded, expire, keep users apart and
// are safe for concurrent use.
// Source: specs/openai.md §7.3.
type Memo interface {
	Signature(key string) (signature string, ok bool)
	Remember(key, signature string)
}

// Call is one request to Google, as the gateway sends it for every attempt.
type Call struct {
	Method   string         // HTTP method
	Path     string         // escaped, for example "/v1beta/models/gemini-flash-latest:generateContent"
	Query    string         // encoded, without credentials
	Model    string         // model id without "models/"; "" where the call names none
	Asked    string         // what the client called Model, before aliases; "" = the same
	Named    string         // what the client said, where Asked is the model that stands in for that; "" = Asked
	Body     []byte         // nil for GET; aliases the client's body where it passes untouched
	Pieces   []gemini.Piece // the large values of Body, which it lacks
	Type     string         // Content-Type of Body; "" means application/json
	Stream   Stream         // how the answer is framed
	Generate bool           // asks a model to generate, so that an answer without content is a fault

	// Conversation is the client's name of the conversation that the call belongs to;
	// "" where it has none.
	Conversation string
}

// Length is the size of Body with its Pieces.
func (c *Call) Length() int { return int(gemini.Length(c.Body, c.Pieces)) }

// Whole is Body with its Pieces, for those who have to look at it.
func (c *Call) Whole() []byte {
	if len(c.Pieces) == 0 {
		return c.Body
	}
	whole := make([]byte, c.Length())
	_, _ = io.ReadFull(gemini.NewReader(c.Body, c.Pieces, 0), whole) // of memory: it cannot fail
	return whole
}

// Stream is the framing of an answer.
type Stream uint8

// The framings: one body, server-sent events, or the elements of one JSON array
// that arrive one by one (streamGenerateContent without alt=sse).
const (
	Unary Stream = iota
	SSE
	JSONArray
)

// Frame is one piece of a streamed answer. Both slices are only valid until the
// next frame is read.
type Frame struct {
	Raw  []byte // the bytes as they came, terminator included; all Raws joined are the body
	Data []byte // the JSON document inside; empty for comments and blank stretches
}

// Exchange is one client request together with the state of its answer's
// conversion. The gateway calls Begin before each attempt and then either
// Response once, or Event for each frame and End after the last. Output that is
// returned non-empty is useful output: it commits the answer. An Exchange is
// used by one goroutine.
//
// Response, Event and End report a fault of the answer as one of:
//   - *[UpstreamError]: Google sent an error inside a 200;
//   - *[Failure]: the answer cannot be used (empty, malformed, cut).
type Exchange interface {
	// Call is what to send. The result is read only and does not change between
	// attempts, unless Unsign was called.
	Call() *Call
	// Begin forgets the state of an earlier attempt's answer.
	Begin()
	// Response converts a whole answer and appends the client's body to dst. What dst
	// has is the client's in a moment and used again then, as with Event and End: what
	// is to be kept of it is copied.
	Response(dst, body []byte) ([]byte, error)
	// Event converts a frame of a streamed answer and appends to dst what the
	// client gets; nothing as long as no useful output was seen.
	Event(dst []byte, frame Frame) ([]byte, error)
	// End appends what closes a streamed answer.
	End(dst []byte) ([]byte, error)
	// Abort appends the in-band error that ends a committed stream.
	Abort(dst []byte, f *Failure) []byte
	// Heartbeat is what may be written while a stream is silent; empty where the
	// dialect's clients bear nothing of the kind.
	Heartbeat() string
	// Error is the whole error answer to this request.
	Error(f *Failure) Answer
	// ContentType is that of the answer when it succeeds.
	ContentType() string
	// Unsign replaces thought signatures that Google refused by the documented
	// placeholder. It reports false where nothing was left to replace.
	Unsign() bool
	// Usage is what the answer reported last; see gemini.Usage for its zero value.
	Usage() gemini.Usage
}

// Batch is an Exchange whose answer takes several calls, such as embeddings of
// more inputs than Google takes at once. The gateway makes the calls side by
// side, each with attempts and keys of its own, and joins what came. Only whole
// answers can be joined: Call, Begin, Response, Event and End are not used.
type Batch interface {
	Exchange
	// Calls are what to send; fewer than two mean that the Exchange is to be used
	// as any other.
	Calls() []*Call
	// Check reports what is wrong with the answer to Calls()[i], as Response does.
	Check(i int, body []byte) error
	// Join appends the client's body. answers has nil where a call failed for
	// good, which only happens if Partial allows it and not all failed.
	Join(dst []byte, answers [][]byte) ([]byte, error)
	// Partial reports whether the client is served by what is there when some
	// calls fail.
	Partial() bool
}

// Answer is a whole HTTP answer of ours.
type Answer struct {
	Status      int
	ContentType string
	Body        []byte
}

// UpstreamError is an error object that came inside an answer of status 200.
type UpstreamError struct {
	Status int    // the HTTP status it claims, 0 when unknown
	Body   []byte // the JSON object {"error": …}
}

func (e *UpstreamError) Error() string {
	return fmt.Sprintf("upstream sent an error (%d) inside a successful answer", e.Status)
}

// Kind is the class of a [Failure]; every dialect has a table from kinds to its
// own status, type and code.
type Kind uint8

// The kinds of failures. Whose fault it is decides what a client should do next.
const (
	Internal         Kind = iota // a bug of ours
	InvalidRequest               // the client's request; Param names the field
	Unauthenticated              // user key missing or unknown
	Forbidden                    // user key known, but may not do this
	ModelNotFound                // no key of ours can use this model
	NotFound                     // the named object does not exist, or is another user's
	UnknownURL                   // no such endpoint
	MethodNotAllowed             // the endpoint exists, the method does not
	TooLarge                     // request body over the limit
	UnsupportedMedia             // content type or encoding not accepted
	UserRateLimited              // the user key's own limits; RetryAfter is exact
	BudgetSpent                  // the user key's own budget; RetryAfter is exact, 0 if time does not help
	RateLimited                  // every Gemini key rests for seconds or minutes; RetryAfter is exact
	QuotaExhausted               // every Gemini key used up its day
	NoKeys                       // no Gemini key could ever serve this
	Location                     // Google refuses our egress region
	Overloaded                   // Google or we shed load
	Timeout                      // no answer in time
	Upstream                     // Google failed
	EmptyAnswer                  // Google answered 200 with nothing in it
	MalformedAnswer              // Google answered 200 with something unusable
	Truncated                    // a stream ended without its end
	Canceled                     // the client went away
)

// CodeMissingKey is the Code of an [Unauthenticated] failure when no user key
// was sent at all, which Google words unlike a wrong one.
const CodeMissingKey = "missing_api_key"

// Failure is an error on its way to a client. Message is complete English
// prose without secrets.
type Failure struct {
	Kind       Kind
	Message    string
	Param      string        // path of the request field at fault, "" for none
	Code       string        // overrides the dialect's code for Kind, "" for none
	RetryAfter time.Duration // 0 means unknown
	Retry      bool          // worth one more attempt before commit
	Status     int           // Google's HTTP status where it answered, else 0
	Limit      string        // of the user key that is used up, as rpm or budget.day; "" for none
	LimitValue int64         // its value; nano-USD for budgets
	Details    []byte        // Google's redacted error object, for the native dialect; nil for none
}

func (f *Failure) Error() string {
	if f.Param != "" {
		return f.Param + ": " + f.Message
	}
	return f.Message
}

// Invalid is the [Failure] for a request field that cannot be accepted.
func Invalid(param, format string, args ...any) *Failure {
	return &Failure{Kind: InvalidRequest, Param: param, Message: fmt.Sprintf(format, args...)}
}
