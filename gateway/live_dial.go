// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/upstream"
)

// liveDial is how long Google may take for the handshake, and how long for the
// first message after the setup: no model works on either.
const liveDial = 30 * time.Second

// handshake is a http.RoundTripper that sends the request of an upgrade as any
// other attempt's: with the same key, route and host. What Google refuses it with
// is kept whole.
type handshake struct {
	client  *upstream.Client
	request upstream.Request

	conn   io.ReadWriteCloser // after success
	status int                // of the answer, 0 for none
	header http.Header
	body   []byte // of a refusal
}

// RoundTrip implements http.RoundTripper.
func (h *handshake) RoundTrip(r *http.Request) (*http.Response, error) {
	request := h.request
	request.Header = r.Header
	res, err := h.client.Do(r.Context(), &request)
	if err != nil {
		return nil, err
	}
	h.status, h.header = res.StatusCode, res.Header
	if res.StatusCode == http.StatusSwitchingProtocols {
		h.conn, _ = res.Body.(io.ReadWriteCloser)
		return res, nil
	}
	h.body, _ = io.ReadAll(io.LimitReader(res.Body, maxErrorBody))
	_ = res.Body.Close()
	res.Body = io.NopCloser(bytes.NewReader(h.body))
	return res, nil
}

// attempt asks Google with the leased key. Once Google has answered the setup, it
// lasts as long as the session.
func (l *liveSession) attempt(lease *balancer.Lease) (res result) {
	x, started := l.x, time.Now()
	x.record.Attempts++
	x.leased(lease)
	l.refused = nil
	defer func() { x.observe(lease, res.outcome, started) }()
	google, res := l.dial(lease)
	if google == nil {
		return l.blameless(res)
	}
	defer google.force()
	kind, first, res := l.open(google, lease.Secret())
	if first == nil {
		return l.blameless(res)
	}
	lease.Accepted()
	l.setup.frame = nil // Google has it; it may be large, and the session long
	x.record.FirstOutput = time.Since(x.accepted)
	l.handles.bound = lease.Binding()
	return result{outcome: l.blameless(result{outcome: l.relay(google, kind, first, lease.Secret())}).outcome}
}

// blameless keeps what an ephemeral token did from the key that was leased for its
// place in the project: the key itself was not sent.
func (l *liveSession) blameless(res result) result {
	if l.token == "" || res.outcome.Blame == balancer.ScopeRoute || res.outcome.Blame == balancer.ScopeNone {
		return res
	}
	o := balancer.Outcome{Verdict: balancer.BadRequest, Status: res.outcome.Status, Reason: res.outcome.Reason}
	if res.failure == nil {
		return result{outcome: o}
	}
	return result{o, &translate.Failure{Kind: translate.InvalidRequest, Message: "Google refused the ephemeral token."}}
}

// dial connects to Google; without a connection, res says why.
func (l *liveSession) dial(lease *balancer.Lease) (google *liveSide, res result) {
	x := l.x
	h := &handshake{client: x.g.Upstream, request: upstream.Request{
		Method: http.MethodGet, Path: l.call.Path, Secret: lease.Secret(), Proxy: lease.Proxy(),
	}}
	header := x.forwarded()
	if l.token != "" {
		h.request.Secret = ""
		header["Authorization"] = []string{"Token " + l.token}
	}
	ctx, cancel := context.WithTimeoutCause(x.ctx, liveDial, errFirstOutput)
	defer cancel()
	// The host stands for the one that handshake knows.
	conn, _, err := websocket.Dial(ctx, "ws://google/", &websocket.DialOptions{HTTPClient: &http.Client{ //nolint:bodyclose // the library's
		Transport:     h,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, HTTPHeader: header})
	switch {
	case err == nil:
		conn.SetReadLimit(maxLiveMessage)
		return newLiveSide(conn, h.conn), res
	case h.status == http.StatusSwitchingProtocols: // but no WebSocket
		if h.conn != nil {
			_ = h.conn.Close()
		}
		return nil, x.unusable(err, lease.Secret())
	case h.status != 0:
		return nil, x.refused(h.status, h.header, h.body, lease.Secret())
	default:
		return nil, x.broken(ctx, err, false)
	}
}

// open sends the setup and waits for the first message that comes back, whose
// beginning commits the session to this key. Google accepts every handshake and
// refuses keys, models and quotas with a close frame then.
func (l *liveSession) open(google *liveSide, secret string) (kind websocket.MessageType, first io.Reader, res result) {
	var late atomic.Bool
	timer := time.AfterFunc(liveDial, func() {
		late.Store(true)
		google.force()
	})
	defer timer.Stop()
	err := google.conn.Write(background, l.setup.kind, l.setup.with(l.call.Model))
	// An early refusal may meet the setup on its way: only reading tells it.
	kind, first, readErr := google.conn.Reader(background)
	switch {
	case readErr == nil && err == nil:
		return kind, first, res
	case readErr == nil:
		readErr = err
	}
	if closed, ok := errors.AsType[websocket.CloseError](readErr); ok {
		return 0, nil, l.closed(closed, secret)
	}
	if late.Load() {
		o := balancer.Outcome{Verdict: balancer.UpstreamTimeout, Retry: balancer.RetryOnce, Reason: "no answer to the setup of a Live session"}
		return 0, nil, result{o, &translate.Failure{Kind: translate.Timeout, Message: "Gemini did not answer the setup in time."}}
	}
	return 0, nil, l.x.broken(l.x.ctx, readErr, true)
}

// closed is the end of an attempt that Google refused with a close frame.
func (l *liveSession) closed(e websocket.CloseError, secret string) result {
	status, body := closeAnswer(e)
	res := l.x.refused(status, nil, body, secret)
	l.refused = &e
	return res
}

// What the reasons of close frames mean. They are the messages of the errors that
// other methods answer with, cut to 123 bytes, and the codes tell little: 1007 is
// any bad argument, a key's included, 1008 a missing model or permission, 1011 all
// else, quotas first.
var (
	closedByQuota  = regexp.MustCompile(`(?i)quota|exhausted|rate limit|prepayment|credits`)
	closedByLoad   = regexp.MustCompile(`(?i)overloaded|unavailable|capacity`)
	closedForGone  = regexp.MustCompile(`(?i)not found|is not supported for|no longer available`)
	closedForGuilt = regexp.MustCompile(`(?i)leaked|suspended|denied|permission|blocked|disabled|unregistered callers`)
)

// closeAnswer is the error answer that a close frame stands for.
func closeAnswer(e websocket.CloseError) (status int, body []byte) {
	reason := e.Reason
	switch {
	case closedByQuota.MatchString(reason) && e.Code != websocket.StatusInvalidFramePayloadData:
		status = http.StatusTooManyRequests
	case e.Code == websocket.StatusPolicyViolation && closedForGone.MatchString(reason):
		status = http.StatusNotFound
	case e.Code == websocket.StatusPolicyViolation && closedForGuilt.MatchString(reason):
		status = http.StatusForbidden
	case e.Code == websocket.StatusPolicyViolation, e.Code == websocket.StatusInvalidFramePayloadData,
		e.Code == websocket.StatusProtocolError, e.Code == websocket.StatusUnsupportedData, e.Code == websocket.StatusMessageTooBig:
		status = http.StatusBadRequest
	case e.Code == websocket.StatusGoingAway, e.Code == websocket.StatusServiceRestart,
		e.Code == websocket.StatusTryAgainLater, closedByLoad.MatchString(reason):
		status = http.StatusServiceUnavailable
	case strings.Contains(strings.ToLower(reason), "deadline expired"):
		status = http.StatusGatewayTimeout
	default:
		status = http.StatusInternalServerError
	}
	var answer struct {
		Error struct {
			Code    int    `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	answer.Error.Code, answer.Error.Message = status, reason
	body, _ = json.Marshal(answer) // strings always encode
	return status, body
}
