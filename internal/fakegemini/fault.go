// SPDX-License-Identifier: Apache-2.0

package fakegemini

import (
	"net"
	"net/http"
)

// silence waits until the client leaves.
func (x *exchange) silence() {
	select {
	case <-x.r.Context().Done():
	case <-x.s.quit:
	}
}

// hold is a set of answers that wait for their release. Guarded by the Server's mu.
type hold struct {
	release chan struct{}
	held    int
}

// hold waits for the release. It reports false when the client has left or the
// server closes.
func (x *exchange) hold() bool {
	s := x.s
	s.mu.Lock()
	h := s.hold
	h.held++
	s.mu.Unlock()
	select {
	case <-h.release:
		return true
	case <-x.r.Context().Done():
	case <-s.quit:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	h.held--
	return false
}

// Held is how many answers wait for [Server.Release].
func (s *Server) Held() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hold.held
}

// Release lets those answers go that are held now.
func (s *Server) Release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.hold.release)
	s.hold = &hold{release: make(chan struct{})}
}

// reset breaks the connection (HTTP/1.1) or the stream (HTTP/2).
func (x *exchange) reset() {
	x.note("connection reset")
	conn, _, err := x.rc.Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // a reset instead of a FIN, where it can be had
	}
	_ = conn.Close() // broken on purpose
}

// faultBeforeQuota does what the steer says instead of an answer.
func (x *exchange) faultBeforeQuota() (done bool) {
	st := &x.steer
	if !x.pause(st.Delay) || st.Hold && (st.After == 0 || !x.stream) && !x.hold() {
		return true
	}
	switch st.Break {
	case Reset:
		x.reset()
		return true
	case Hang:
		x.note("hang")
		x.silence()
		return true
	case ResetHeaders:
		x.header(200, x.successType())
		_ = x.rc.Flush() // the reset follows anyway
		x.reset()
		return true
	default: // the others break the answer, once there is one
	}
	switch {
	case st.Body != "":
		status := st.Status
		if status == 0 {
			status = 200
		}
		kind := st.ContentType
		if kind == "" {
			kind = jsonType
		}
		x.header(status, kind)
		x.write([]byte(st.Body))
	case st.HTML:
		x.error(htmlPage(st.Status, "Error", "We're sorry... but your computer or network may be sending automated queries."))
	case st.Status >= 400:
		var details []object
		if st.RetryInfo > 0 {
			details = append(details, object{"@type": rpcType + "RetryInfo", "retryDelay": st.RetryInfo.String()})
		}
		x.error(failure(st.Status, messages[st.Status], details...))
	case st.Empty:
		x.header(200, x.successType())
	case st.ErrorIn200:
		a := failure(503, messages[503])
		a.status = 200
		x.error(a)
	default:
		return false
	}
	x.note("steered")
	return true
}
