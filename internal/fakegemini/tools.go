// SPDX-License-Identifier: Apache-2.0

package fakegemini

import "strconv"

// useTools shows the calls of built-in tools that the steer asks for, each with
// what it found: toolCall and toolResponse, signed, as one answers them when
// includeServerSideToolInvocations is on.
func (x *exchange) useTools(r *reply, q *request) {
	if q.resumed != nil {
		return
	}
	for i := range x.steer.ServerTools {
		id, n := "st"+x.id(100 + i)[:10], strconv.Itoa(i+1)
		r.add(0,
			object{"toolCall": object{"toolType": "GOOGLE_SEARCH_WEB", "id": id, "args": object{"queries": []string{"simulated query " + n}}},
				"thoughtSignature": signature(x.model.base(), "tool call "+n)},
			object{"toolResponse": object{"toolType": "GOOGLE_SEARCH_WEB", "id": id, "response": object{"search_suggestions": "simulated result " + n}},
				"thoughtSignature": signature(x.model.base(), "tool response "+n)})
		r.tools += 40
	}
}
