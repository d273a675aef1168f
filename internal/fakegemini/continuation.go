// SPDX-License-Identifier: Apache-2.0

package fakegemini

import (
	"encoding/base64"
	"time"
)

// continuation is the rest of an answer that ended early. Its token works with
// the project that it was made in, as far as is known.
// Source: specs/native-anthropic.md A.13.
type continuation struct {
	text string // the rest
	hops int    // more early ends in it
}

// continuationLife is how long a token works.
const continuationLife = time.Hour

// promise makes the token for the rest of an answer.
func (x *exchange) promise(c *continuation) string {
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	token := base64.StdEncoding.EncodeToString([]byte("continue " + x.s.newID(24)))
	x.s.keep(x.e.Project, "continuations/"+token, c).expires = x.s.cfg.Now().Add(continuationLife)
	return token
}

// resume finds what the request's token stands for.
func (x *exchange) resume(q *request) answer {
	if q.token == "" {
		return answer{}
	}
	r := x.owned("continuations/" + q.token)
	if r == nil {
		return failure(400, "Invalid continuation token.")
	}
	q.resumed = r.value.(*continuation)
	return answer{}
}

// early cuts what the model says where the answer is to end early: an even part
// of it stays, the token stands for the rest.
func (x *exchange) early(r *reply, say string, hops int) string {
	if hops <= 0 || r.finish != "STOP" {
		return say
	}
	pieces := split(say, hops+1, true)
	if len(pieces) < 2 {
		return say
	}
	r.finish = "CONTINUATION"
	r.token = x.promise(&continuation{text: say[len(pieces[0]):], hops: hops - 1})
	return pieces[0]
}

// checkpoint is the token of an event in the middle of a stream: what comes
// after the first n bytes can be asked for again.
func (x *exchange) checkpoint(say string, n int) string {
	return x.promise(&continuation{text: say[n:]})
}
