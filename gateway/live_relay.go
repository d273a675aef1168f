// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/upstream"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

const (
	pingEvery = 30 * time.Second // of silence from a side; proxies on the way cut idle connections
	pongWait  = 20 * time.Second
)

// pumped is how one direction of a session ended: with what its source said or
// did, or, if to is set, because nothing could be written any more.
type pumped struct {
	from *liveSide
	to   bool
	err  error
}

// verdict is how a session ended and what each side is told.
type verdict struct {
	code    websocket.StatusCode
	reason  string
	by      *liveSide            // whose doing it was; nil for the gateway's
	google  websocket.CloseError // what Google said; zero if it said nothing
	outcome string               // for the books; "" = ok
}

// Why the gateway ends sessions itself.
var (
	endAge     = verdict{code: websocket.StatusGoingAway, reason: "The session has reached the gateway's limit of its age. Resume it on a new connection."}
	endIdle    = verdict{code: websocket.StatusGoingAway, reason: "The session was idle for too long."}
	endClosing = verdict{code: websocket.StatusGoingAway, reason: "The gateway is going away. Resume the session on a new connection."}
	endRevoked = verdict{code: websocket.StatusPolicyViolation, reason: "This user key is not valid any more. Ask the gateway's operator.", outcome: "unauthenticated"}
	endStalled = verdict{code: websocket.StatusGoingAway, reason: "The other side does not take messages any more.", outcome: "timeout"}
)

// relay passes messages between both sides until one leaves or a limit is
// reached, and returns what that means for the key. first is the first message
// of Google's.
func (l *liveSession) relay(google *liveSide, kind websocket.MessageType, first io.Reader, secret string) balancer.Outcome {
	ends := make(chan pumped, 2)
	l.watch.remember = l.remember
	down := &flow{from: google, to: l.client, scan: jsonScan{watch: &l.watch}, check: l.watched}
	up := &flow{from: l.client, to: google, scan: jsonScan{watch: &l.setup.watch}, check: l.checked, renamed: l.renamed}
	var pumps, others sync.WaitGroup
	pumps.Go(func() { ends <- down.pump(kind, first) })
	pumps.Go(func() { ends <- up.pump(0, nil) })
	ctx, cancel := context.WithCancel(background)
	dead := make(chan *liveSide, 2)
	for _, side := range []*liveSide{l.client, google} {
		others.Go(func() { ping(ctx, side, dead) })
	}
	v := l.await(google, ends, dead, func(left time.Duration) {
		others.Go(func() { l.goAway(kind, left) })
	})
	o := l.outcome(&v, secret)
	l.part(google, &v)
	cancel() // not before: a ping that is given up breaks its connection
	pumps.Wait()
	others.Wait()
	l.keepHandle()
	u := l.Usage()
	o.Input, o.Tokens, o.Untimed = u.Input(), u.Input()+u.Output(), true
	o.Cost = l.x.cost(u)
	if l.x.record.Outcome = "ok"; v.outcome != "" {
		l.x.record.Outcome, l.x.record.Partial = v.outcome, true
		l.x.record.Error = clipText(v.reason, maxErrorText)
	}
	return o
}

// ping asks a side that is silent whether it is still there.
func ping(ctx context.Context, side *liveSide, dead chan<- *liveSide) {
	ticker := time.NewTicker(pingEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			if now.UnixNano()-side.read.Load() >= int64(pingEvery) && side.dead(ctx) {
				dead <- side
				return
			}
		}
	}
}

// await waits for what ends the session. say tells the client beforehand where that
// can be known.
func (l *liveSession) await(google *liveSide, ends <-chan pumped, dead <-chan *liveSide, say func(left time.Duration)) verdict {
	limits := l.x.g.Live
	notice := min(LiveNotice, limits.MaxAge/2)
	age := time.NewTimer(limits.MaxAge - notice)
	defer age.Stop()
	look := time.NewTicker(min(limits.Idle, stall) / 4)
	defer look.Stop()
	soon := farewell{say: say}
	defer soon.stop()
	for {
		select {
		case p := <-ends:
			return l.ended(google, p, ends)
		case side := <-dead:
			return l.lost(side)
		case <-age.C:
			soon.announce(endAge, notice)
		case <-limits.Leaving:
			limits.Leaving = nil
			soon.announce(endClosing, LiveNotice)
		case <-limits.Closing:
			limits.Closing = nil
			soon.announce(endClosing, lastNotice)
		case <-soon.over():
			return soon.why
		case now := <-look.C:
			if v, over := l.look(google, now); over {
				return v
			}
		}
	}
}

// look ends a session that has come to rest.
func (l *liveSession) look(google *liveSide, now time.Time) (v verdict, over bool) {
	ns := now.UnixNano()
	for _, side := range []*liveSide{l.client, google} {
		if since := side.writing.Load(); since != 0 && ns-since > int64(stall) {
			v := endStalled
			v.by = side
			return v, true
		}
	}
	switch {
	case l.revoked():
		return endRevoked, true
	case ns-max(l.client.read.Load(), google.read.Load()) > int64(l.x.g.Live.Idle):
		return endIdle, true
	}
	return v, false
}

// revoked reports whether the user key is none any more: a session may last for
// hours. What only the store does not know now is left alone.
func (l *liveSession) revoked() bool {
	if l.x.account == nil {
		return false
	}
	_, err := l.x.g.Users.Account(l.x.record.UserID)
	return errors.Is(err, users.ErrUnknownKey) || errors.Is(err, users.ErrDisabled) || errors.Is(err, users.ErrExpired)
}

// ended tells what the end of a direction means. Where nothing could be written,
// what the other direction hears says why.
func (l *liveSession) ended(google *liveSide, p pumped, ends <-chan pumped) verdict {
	if f, ok := errors.AsType[*translate.Failure](p.err); ok {
		return verdict{code: websocket.StatusPolicyViolation, reason: f.Message, outcome: outcomes[f.Kind]}
	}
	gone := p.from
	if p.to {
		if gone = google; p.from == google {
			gone = l.client
		}
		timer := time.NewTimer(closeWait)
		defer timer.Stop()
		select {
		case other := <-ends:
			if !other.to {
				return l.ended(google, other, nil)
			}
		case <-timer.C:
		}
		return l.lost(gone)
	}
	e, said := errors.AsType[websocket.CloseError](p.err)
	switch {
	case said && gone == google:
		return verdict{code: e.Code, reason: e.Reason, by: gone, google: e}
	case said:
		return verdict{code: e.Code, reason: e.Reason, by: gone}
	case errors.Is(p.err, websocket.ErrMessageTooBig): // which that side was told
		return verdict{code: websocket.StatusMessageTooBig, reason: "A message is larger than 16 MiB.", by: gone, outcome: "too_large"}
	}
	return l.lost(gone)
}

// lost is the end of a session one side of which left without a word.
func (l *liveSession) lost(side *liveSide) verdict {
	if side == l.client {
		return verdict{code: websocket.StatusGoingAway, reason: "The client left.", by: side, outcome: "canceled"}
	}
	return verdict{code: websocket.StatusInternalError, reason: "The connection to Gemini broke.", by: side, outcome: "truncated"}
}

// outcome is what the end means for the key, and words for the client what Google
// said: of our keys it learns nothing.
func (l *liveSession) outcome(v *verdict, secret string) balancer.Outcome {
	o := balancer.Outcome{Verdict: balancer.OK, Status: http.StatusOK}
	switch {
	case v.google.Code == 0 && v.outcome == "truncated":
		o.Verdict, o.Reason = balancer.Network, "a Live session broke off"
	case v.google.Code == 0 || v.google.Code == websocket.StatusNormalClosure || v.google.Code == websocket.StatusGoingAway ||
		v.google.Code == websocket.StatusNoStatusRcvd:
	default:
		status, body := closeAnswer(v.google)
		found := upstream.Classify(upstream.Answer{Status: status, Body: body, Model: l.call.Model, Now: time.Now(), Secret: secret})
		v.outcome = outcomes[upstream.Failure(found, body).Kind]
		// What is neither the key's nor the project's fault was an answer to the client.
		if found.Blame == balancer.ScopeNone {
			break
		}
		o, v.reason = found, upstream.Failure(found, body).Message
	}
	v.reason = upstream.Redact(v.reason, secret)
	return o
}

// part says good-bye to both sides, at the same time. Whoever has said it has had
// its answer.
func (l *liveSession) part(google *liveSide, v *verdict) {
	var both sync.WaitGroup
	for _, side := range []*liveSide{l.client, google} {
		both.Go(func() {
			if side == v.by && v.outcome != "timeout" {
				side.force()
				return
			}
			side.end(v.code, v.reason)
		})
	}
	both.Wait()
}
