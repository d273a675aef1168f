// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
)

// estimator learns how the guess of a request's prompt tokens relates to the true
// number for a user key and a model: languages, code and media differ, and people
// mostly send more of what they sent before. It is a straight line through what
// was seen, older points counting less. The zero value is ready.
type estimator struct {
	mu    sync.Mutex
	lines map[estimated]*line
}

type estimated struct{ user, model string }

// line keeps the faded sums of a linear regression of true tokens y on guesses x.
type line struct{ n, x, y, xx, xy float64 }

const (
	maxEstimated = 10_000
	estimateFade = 0.95 // of the weight of all earlier points, per point
)

// correct turns a guess into an estimate.
func (e *estimator) correct(user, model string, guess int64) int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	l := e.lines[estimated{user, model}]
	if l == nil {
		return guess
	}
	return l.at(guess)
}

// at returns the line's value, kept within a factor of ten of the guess.
func (l *line) at(guess int64) int64 {
	x := float64(guess)
	y := x * l.y / l.x
	if spread := l.n*l.xx - l.x*l.x; spread > 0.01*l.x*l.x { // else one point, seen again and again
		slope := max((l.n*l.xy-l.x*l.y)/spread, 0)
		y = l.y/l.n + slope*(x-l.x/l.n)
	}
	return int64(min(max(y, x/10), x*10))
}

// learn takes the true number for a guess.
func (e *estimator) learn(user, model string, guess, tokens int64) {
	if guess <= 0 || tokens <= 0 {
		return
	}
	k, x, y := estimated{user, model}, float64(guess), float64(tokens)
	e.mu.Lock()
	defer e.mu.Unlock()
	l := e.lines[k]
	if l == nil {
		if e.lines == nil || len(e.lines) >= maxEstimated {
			e.lines = map[estimated]*line{} // a fresh start costs a few guesses
		}
		l = new(line)
		e.lines[k] = l
	}
	*l = line{
		l.n*estimateFade + 1, l.x*estimateFade + x, l.y*estimateFade + y, l.xx*estimateFade + x*x, l.xy*estimateFade + x*y,
	}
}

// size is what a call is taken for before Google has counted.
type size struct {
	call         *translate.Call // that was measured
	guess        int64           // input tokens, by the length alone
	tokens       int64           // input tokens, by what was learned
	conversation uint64          // hash of its beginning; 0 where it need not stay with a project
}

// measure takes the size of the call, media by URL included.
func (x *exchange) measure() {
	if x.size.call == x.call {
		return
	}
	guess := estimateCall(x.call)
	if conv, ok := x.conv.(translate.Linked); ok {
		guess += mediaTokens * int64(len(conv.Remote()))
	}
	guess += mediaTokens * int64(len(x.refs.list))
	x.size = size{call: x.call, guess: guess, tokens: x.g.estimates.correct(x.record.UserID, x.call.Model, guess)}
	if conv, ok := x.conv.(translate.Estimated); ok {
		conv.Estimate(x.size.tokens)
	}
	if x.site().affinity {
		x.size.conversation = conversation(x.call, x.size.tokens)
	}
}

// metered reports whether the call costs quota of its model.
func (x *exchange) metered() bool {
	switch x.rt.op {
	case opCollection, opResource:
		return false
	case opMake: // batches have quotas of their own
		return x.rt.verb == "predictLongRunning"
	case opInteract:
		return x.call.Model != ""
	default:
	}
	return x.call.Method != http.MethodGet && !strings.HasSuffix(x.call.Path, ":countTokens")
}

// mediaTokens is what an image or a file is taken for. Source: specs/gateways.md §3.2.
const mediaTokens = 1120

// estimateCall is estimateTokens for a call, of whose pieces it is known what they
// are.
func estimateCall(c *translate.Call) int64 {
	tokens := estimateTokens(c.Body)
	for i := range c.Pieces {
		if p := &c.Pieces[i]; p.Media {
			tokens += mediaTokens
		} else {
			tokens += int64(len(p.Data)) / 4
		}
	}
	return tokens
}

// estimateTokens guesses the prompt tokens of a request, to be reserved until
// the true number is known: four bytes a token, and mediaTokens for each string so
// long that it can only be media.
func estimateTokens(body []byte) int64 {
	const media = 16 << 10
	if len(body) < media {
		return int64(len(body)+3) / 4
	}
	var tokens, text int
	for start, i := 0, 0; i < len(body); i++ {
		n := bytes.IndexByte(body[i:], '"')
		if n < 0 {
			n = len(body) - i
		}
		i += n
		if i-start > media {
			tokens += mediaTokens
		} else {
			text += i - start
		}
		start = i + 1
	}
	return int64(tokens + text/4)
}

const (
	// cacheable is the least prompt that Google caches by itself, in tokens. A
	// conversation below it gains nothing by staying with a project.
	// Source: specs/peers.md §4b.
	cacheable = 1024
	hashed    = 1 << 10 // bytes of the first turn that name a conversation
)

// conversation returns a hash of what all requests of a conversation have in
// common, its name or else the beginning of its first turn; 0 where nothing is gained
// by it.
func conversation(call *translate.Call, tokens int64) uint64 {
	if tokens < cacheable {
		return 0
	}
	if call.Conversation != "" {
		return fnv([]byte(call.Conversation))
	}
	const name = `"contents":`
	at := bytes.Index(call.Body, []byte(name))
	if at < 0 {
		return 0
	}
	at += len(name)
	begin := bytes.IndexByte(call.Body[at:], '{')
	if begin < 0 {
		return fnv(nil)
	}
	first := make([]byte, hashed)
	n, _ := io.ReadFull(gemini.NewReader(call.Body, call.Pieces, at+begin), first) // of memory
	return fnv(firstElement(first[:n]))
}

// firstElement returns the element that array begins with, or all there is of it.
func firstElement(array []byte) []byte {
	depth, quoted := 0, false
	for i := 0; i < len(array); i++ {
		switch c := array[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{':
			depth++
		case c == '}':
			if depth--; depth == 0 {
				return array[:i+1]
			}
		}
	}
	return array
}

// fnv is FNV-1a; the same in every process, so that a restart does not part
// conversations from their caches.
func fnv(b []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range b {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return max(h, 1)
}
