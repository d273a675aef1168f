// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"net/http"
	"strconv"
)

// explain tells operators, who ask with a guest's key or a user key of their own,
// which Gemini key served, by its id, and after how many attempts. It is called before the header of an answer goes out
// for output or an error, by the goroutine of the exchange.
func (x *exchange) explain(h http.Header) {
	if x.record.Attempts == 0 || !x.guest && (x.account == nil || !x.account.Explains()) {
		return
	}
	h["X-Gemini-Balance-Key"] = []string{x.record.KeyID}
	h["X-Gemini-Balance-Attempts"] = []string{strconv.Itoa(x.record.Attempts)}
}

// explainLate does it in trailers where a heartbeat has sent the header: at that
// time nobody knew which key would serve.
func (x *exchange) explainLate() {
	if !x.out.early {
		return
	}
	late := http.Header{}
	x.explain(late)
	for name, value := range late {
		x.out.w.Header()[http.TrailerPrefix+name] = value
	}
}
