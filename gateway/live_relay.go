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
	server, client := jsonScan{watch: &l.watch}, jsonScan{watch: &l.setup.watch}
	var pumps, pings sync.WaitGroup
	pumps.Go(func() {
		ends <- l.pump(google, l.client, &server, l.watched, kind, first)
	})
	pumps.Go(func() {
		ends <- l.pump(l.client, google, &client, l.checked, 0, nil)
	})
	ctx, cancel := context.WithCancel(l.x.r.Context())
	dead := make(chan *liveSide, 2)
	for _, side := range []*liveSide{l.client, google} {
		pings.Go(func() { ping(ctx, side, dead) })
	}
	v := l.await(google, ends, dead)
	cancel()
	o := l.outcome(&v, secret)
	l.part(google, &v)
	pumps.Wait()
	pings.Wait()
	l.keepHandle()
	u := l.Usage()
	o.Input, o.Tokens = u.Input(), u.Input()+u.Output()
	if l.x.record.Outcome = "ok"; v.outcome != "" {
		l.x.record.Outcome, l.x.record.Partial = v.outcome, true
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

// await waits for what ends the session.
func (l *liveSession) await(google *liveSide, ends <-chan pumped, dead <-chan *liveSide) verdict {
	limits := l.x.g.Live
	age := time.NewTimer(limits.MaxAge)
	defer age.Stop()
	look := time.NewTicker(min(limits.Idle, stall) / 4)
	defer look.Stop()
	for {
		select {
		case p := <-ends:
			return l.ended(google, p, ends)
		case side := <-dead:
			return l.lost(side)
		case <-age.C:
			return endAge
		case <-limits.Closing:
			return endClosing
		case now := <-look.C:
			ns := now.UnixNano()
			for _, side := range []*liveSide{l.client, google} {
				if since := side.writing.Load(); since != 0 && ns-since > int64(stall) {
					v := endStalled
					v.by = side
					return v
				}
			}
			if l.revoked() {
				return endRevoked
			}
			if ns-max(l.client.read.Load(), google.read.Load()) > int64(limits.Idle) {
				return endIdle
			}
		}
	}
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

// chunks are what messages are passed in; a session has one while a message is on
// its way, so that silent sessions hold none.
var chunks = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// pump passes the messages of one side to the other, each as it comes: a reader
// that does not take them stops the writer. check looks at each message before its
// end is passed on. first is a message that has begun already, nil for none.
func (l *liveSession) pump(from, to *liveSide, scan *jsonScan, check func(*jsonScan) error, kind websocket.MessageType, first io.Reader) pumped {
	for {
		var err error
		if first == nil {
			from.waiting.Store(true)
			kind, first, err = from.conn.Reader(background)
			from.waiting.Store(false)
			if err != nil {
				return pumped{from, false, err}
			}
		}
		from.read.Store(time.Now().UnixNano())
		scan.reset()
		if p, ok := l.pass(from, to, scan, check, kind, first); !ok {
			return p
		}
		first = nil
	}
}

// pass passes one message on. One that fits into a chunk is held until it is
// whole; of a larger one all but the end is passed as it comes.
func (l *liveSession) pass(from, to *liveSide, scan *jsonScan, check func(*jsonScan) error, kind websocket.MessageType, message io.Reader) (p pumped, ok bool) {
	chunk := chunks.Get().(*[32 << 10]byte)
	defer chunks.Put(chunk)
	var stream io.WriteCloser
	for {
		n, err := fill(message, chunk[:])
		if err != nil && err != io.EOF {
			return pumped{from, false, err}, false
		}
		scan.write(chunk[:n])
		if err == io.EOF {
			if err := check(scan); err != nil {
				return pumped{from, false, err}, false
			}
		}
		to.writing.Store(time.Now().UnixNano())
		writeErr := write(to.conn, &stream, kind, chunk[:n], err == io.EOF)
		to.writing.Store(0)
		if writeErr != nil {
			return pumped{from, true, writeErr}, false
		}
		if err == io.EOF {
			return pumped{}, true
		}
	}
}

// write writes a piece of a message, the whole of it as one frame.
func write(conn *websocket.Conn, stream *io.WriteCloser, kind websocket.MessageType, piece []byte, last bool) (err error) {
	if *stream == nil {
		if last {
			return conn.Write(background, kind, piece)
		}
		if *stream, err = conn.Writer(background, kind); err != nil {
			return err
		}
	}
	if len(piece) > 0 {
		if _, err = (*stream).Write(piece); err != nil {
			return err
		}
	}
	if last {
		return (*stream).Close()
	}
	return nil
}

// fill reads until p is full or the message ends, which is io.EOF alone: errors of
// the connection may wrap that.
func fill(r io.Reader, p []byte) (n int, err error) {
	for n < len(p) {
		m, err := r.Read(p[n:])
		n += m
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// watched checks a message of Google's. The library takes a connection that ends
// within a message for the message's end.
func (l *liveSession) watched(scan *jsonScan) error {
	if !scan.whole() {
		return io.ErrUnexpectedEOF
	}
	l.watch.end()
	return nil
}

// checked refuses a message of the client that goes beyond what the setup was
// admitted for.
func (l *liveSession) checked(scan *jsonScan) error {
	w := &l.setup.watch
	switch {
	case scan.broken || w.tooMuch:
		return &translate.Failure{Kind: translate.InvalidRequest, Message: "The message cannot be read."}
	case !scan.whole():
		return io.ErrUnexpectedEOF
	case w.setups > 1:
		return &translate.Failure{Kind: translate.InvalidRequest, Message: "The setup can only be the first message."}
	}
	for _, uri := range w.files {
		if f := l.file(uri); f != nil {
			return f
		}
	}
	w.files = w.files[:0]
	return nil
}
