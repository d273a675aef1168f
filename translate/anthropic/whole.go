// SPDX-License-Identifier: Apache-2.0

package anthropic

import (
	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
)

// whole is what the endpoints whose answers come in one piece have in common of
// [translate.Exchange].
type whole struct{ call translate.Call }

// Call implements [translate.Exchange].
func (x *whole) Call() *translate.Call { return &x.call }

// Begin implements [translate.Exchange]; nothing is kept between attempts.
func (x *whole) Begin() {}

// Event implements [translate.Exchange]; there is no stream.
func (x *whole) Event(dst []byte, _ translate.Frame) ([]byte, error) { return dst, nil }

// End implements [translate.Exchange].
func (x *whole) End(dst []byte) ([]byte, error) { return dst, nil }

// Abort implements [translate.Exchange].
func (x *whole) Abort(dst []byte, _ *translate.Failure) []byte { return dst }

// Heartbeat implements [translate.Exchange].
func (x *whole) Heartbeat() string { return "" }

// ContentType implements [translate.Exchange].
func (x *whole) ContentType() string { return contentType }

// Unsign implements [translate.Exchange].
func (x *whole) Unsign() bool { return false }

// Usage implements [translate.Exchange]: none of these is charged in tokens.
func (x *whole) Usage() gemini.Usage { return gemini.Usage{} }
