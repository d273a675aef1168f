// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/translate"
)

var errUploadOver = errors.New("the upload is over")

// passingBody is a client's body on its way to Google, read by the transport. It
// tells apart who is to blame for a silence: while a Read waits it is the client,
// at all other times Google. Nothing of it is held, so nothing can be sent twice.
type passingBody struct {
	x      *exchange
	cancel context.CancelCauseFunc
	timer  *time.Timer // Google's time

	mu      sync.Mutex
	src     io.Reader
	over    bool          // stop was called
	ended   bool          // nothing is left to read
	touched bool          // something may have been read
	failure error         // of reading from the client
	reading chan struct{} // closed when the Read that runs now returns; nil for none
}

// passBody prepares the body's way; src is nil for a request that needs nothing more
// of the client. cancel ends the attempt when Google is silent
// for too long.
func (x *exchange) passBody(src io.Reader, cancel context.CancelCauseFunc) *passingBody {
	b := &passingBody{x: x, src: src, cancel: cancel, ended: src == nil}
	b.timer = time.AfterFunc(x.site().timeouts.FirstOutput, b.late)
	return b
}

func (b *passingBody) late() {
	b.mu.Lock()
	cause := errFirstOutput
	if b.touched && !b.ended {
		cause = errIdle
	}
	b.mu.Unlock()
	b.cancel(cause)
}

// graceOfMade is how long Google may take for an answer that nobody waits for.
const graceOfMade = 10 * time.Second

// abandoned ends the attempt when the client has left, or the request's time is over.
func (b *passingBody) abandoned() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended && !b.over {
		b.timer.Reset(graceOfMade)
		return
	}
	b.cancel(context.Cause(b.x.ctx))
}

// Read implements io.Reader.
func (b *passingBody) Read(p []byte) (n int, err error) {
	b.mu.Lock()
	if b.over {
		b.mu.Unlock()
		return 0, errUploadOver
	}
	b.touched = true
	b.timer.Stop()
	done := make(chan struct{})
	b.reading = done
	b.x.readWithin(b.x.site().timeouts.Idle)
	b.mu.Unlock()

	n, err = b.src.Read(p)

	b.mu.Lock()
	defer b.mu.Unlock()
	close(done)
	b.reading = nil
	if b.over {
		return n, errUploadOver
	}
	next := b.x.site().timeouts.Idle
	switch {
	case err == io.EOF:
		b.ended = true
		b.x.readWithin(0) // net/http takes the deadline of a silent connection for its end
		next = b.x.site().timeouts.FirstOutput
	case err != nil:
		b.failure = err
	}
	b.timer.Reset(next)
	return n, err
}

// Close implements io.Closer for the transport, which is done with the body.
func (b *passingBody) Close() error { return nil }

// stop makes sure that nothing reads from the client any more. What answers before
// it has the whole body may still be reading.
func (b *passingBody) stop() {
	b.mu.Lock()
	b.over = true
	b.timer.Stop()
	reading, ended, failure := b.reading, b.ended, b.failure
	b.mu.Unlock()
	switch {
	case reading != nil:
		if b.x.out.rc.SetReadDeadline(time.Unix(1, 0)) != nil {
			_ = b.x.r.Body.Close() // not every writer has deadlines
		}
		<-reading
	case ended:
		b.x.readWithin(0)
	case failure == nil:
		b.x.readWithin(drain)
	}
}

// drain is how long net/http may read what is left of a body before it sends the
// answer; without an end a client that waits for the answer would wait for ever.
const drain = time.Second

// clientFailed is the end of an attempt whose body could not be read; ok is false
// where it could.
func (b *passingBody) clientFailed() (res result, ok bool) {
	b.mu.Lock()
	err := b.failure
	b.mu.Unlock()
	if err == nil {
		return result{}, false
	}
	if b.x.r.Context().Err() != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return b.x.gone(), true
	}
	return result{balancer.Outcome{Verdict: balancer.Canceled, Reason: "the client's upload failed"}, b.x.unreadBody(err)}, true
}

// unreadBody words that a body could not be read.
func (x *exchange) unreadBody(err error) *translate.Failure {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return tooLarge(x.site().maxRequestSize)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return translate.Invalid("", "The upload stalled for longer than this gateway waits (timeouts.idle).")
	}
	return translate.Invalid("", "The request body broke off; it could not be read whole.")
}

// sent reports whether a byte of the body may be at Google, so that it cannot be
// sent again.
func (b *passingBody) sent() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.touched
}
