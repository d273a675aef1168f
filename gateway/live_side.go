// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
)

// liveSide is one of the two WebSockets of a session.
type liveSide struct {
	conn *websocket.Conn
	raw  io.Closer // below conn

	read    atomic.Int64 // when a message began last, Unix ns
	waiting atomic.Bool  // for the next message, so that control frames are read
	writing atomic.Int64 // since when a write has been under way, Unix ns; 0 = none is
	once    sync.Once
}

func newLiveSide(conn *websocket.Conn, raw io.Closer) *liveSide {
	s := &liveSide{conn: conn, raw: raw}
	s.read.Store(time.Now().UnixNano())
	return s
}

// closeWait is how long the other side may take to answer a close frame.
const closeWait = 2 * time.Second

// end closes the side in an orderly way, within closeWait.
func (s *liveSide) end(code websocket.StatusCode, reason string) {
	timer := time.AfterFunc(closeWait, s.force)
	defer timer.Stop()
	_ = s.conn.Close(code, closeReason(reason)) // the peer may be gone
	s.force()
}

// force ends all that waits for the side, at once. What is not said yet is lost.
func (s *liveSide) force() {
	s.once.Do(func() {
		if s.raw != nil {
			_ = s.raw.Close()
		}
		_ = s.conn.CloseNow()
	})
}

// dead reports whether the side does not answer a ping. A side whose messages wait
// for the other side is not asked: nobody would read the answer.
func (s *liveSide) dead(ctx context.Context) bool {
	before := s.read.Load()
	if !s.waiting.Load() {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, pongWait)
	defer cancel()
	if s.conn.Ping(ctx) == nil || context.Cause(ctx) == context.Canceled { //nolint:errorlint // the session's end, as it is
		return false
	}
	return s.waiting.Load() && s.read.Load() == before
}

// Hijack implements what net/http has for taking a connection over.
func (h *hijacked) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	h.conn = conn
	return conn, rw, err
}
