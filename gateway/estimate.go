// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"bytes"
	"net/http"
	"strings"
	"sync"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
)

// estimator learns how far the guess of a request's prompt tokens is off for a
// user key and a model: languages, code and media differ, and people mostly send
// more of what they sent before. The zero value is ready.
type estimator struct {
	mu     sync.Mutex
	ratios map[estimated]float64 // true tokens by guessed ones
}

type estimated struct{ user, model string }

const (
	maxEstimated  = 10_000
	estimateShare = 0.2 // of a new ratio in the mean
)

// correct turns a guess into an estimate.
func (e *estimator) correct(user, model string, guess int64) int64 {
	e.mu.Lock()
	ratio, known := e.ratios[estimated{user, model}]
	e.mu.Unlock()
	if !known {
		return guess
	}
	return int64(float64(guess) * ratio)
}

// learn takes the true number for a guess.
func (e *estimator) learn(user, model string, guess, tokens int64) {
	if guess <= 0 || tokens <= 0 {
		return
	}
	ratio := min(max(float64(tokens)/float64(guess), 0.1), 10)
	k := estimated{user, model}
	e.mu.Lock()
	defer e.mu.Unlock()
	old, known := e.ratios[k]
	if known {
		ratio = old + (ratio-old)*estimateShare
	} else if e.ratios == nil || len(e.ratios) >= maxEstimated {
		e.ratios = map[estimated]float64{} // a fresh start costs a few guesses
	}
	e.ratios[k] = ratio
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
	guess := estimateTokens(x.call.Body)
	if conv, ok := x.conv.(translate.Linked); ok {
		guess += mediaTokens * int64(len(conv.Remote()))
	}
	guess += mediaTokens * int64(len(x.refs.list))
	x.size = size{call: x.call, guess: guess, tokens: x.g.estimates.correct(x.record.UserID, x.call.Model, guess)}
	if x.g.Affinity {
		x.size.conversation = conversation(x.call.Body, x.size.tokens)
	}
}

// metered reports whether the call costs quota of its model.
func (x *exchange) metered() bool {
	return x.call.Method != http.MethodGet && !strings.HasSuffix(x.call.Path, ":countTokens")
}

// mediaTokens is what an image or a file is taken for. Source: specs/gateways.md §3.2.
const mediaTokens = 1120

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
// common, the beginning of its first turn; 0 where nothing is gained by it.
func conversation(body []byte, tokens int64) uint64 {
	if tokens < cacheable {
		return 0
	}
	_, turns, found := bytes.Cut(body, []byte(`"contents":`))
	if !found {
		return 0
	}
	return fnv(firstElement(turns))
}

// firstElement returns the first element of an array, or as much of it as is
// hashed.
func firstElement(array []byte) []byte {
	begin := bytes.IndexByte(array, '{')
	if begin < 0 {
		return nil
	}
	array = array[begin:min(len(array), begin+hashed)]
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
