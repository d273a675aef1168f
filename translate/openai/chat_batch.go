// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"slices"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
)

// Several choices of a model that writes one per call: the same call n times,
// the choices numbered anew, usage added up. Source: specs/openai.md §9, §11.

var _ translate.Batch = (*Chat)(nil)

// Calls implements [translate.Batch].
func (x *Chat) Calls() []*translate.Call {
	if x.req.Calls < 2 {
		return nil
	}
	return slices.Repeat([]*translate.Call{&x.call}, x.req.Calls)
}

// Partial implements [translate.Batch]: who asks for n choices reads n.
func (x *Chat) Partial() bool { return false }

// Check implements [translate.Batch]. It reads with a memory of its own, as
// answers arrive side by side, and remembers nothing: its tool call ids are not
// those that go out.
func (x *Chat) Check(_ int, body []byte) error {
	env := x.env
	env.Memo = nil
	return (&Chat{env: env, req: x.req}).whole(body)
}

// Join implements [translate.Batch]. The id is that of the first answer.
func (x *Chat) Join(dst []byte, answers [][]byte) ([]byte, error) {
	x.Begin()
	out := dst
	var total gemini.Usage
	n := 0
	for i, body := range answers {
		x.next()
		if err := x.whole(body); err != nil {
			return dst, err
		}
		if total = total.Plus(x.answer.Usage); i == 0 {
			total = x.answer.Usage
			out = slices.Grow(out, len(answers)*len(body)+512)
			out = append(x.envelope(out, "chat.completion"), `,"choices":[`...)
		}
		for j := range x.choices {
			if n > 0 {
				out = append(out, ',')
			}
			x.choices[j].index = n
			out = x.appendChoice(out, &x.choices[j])
			n++
		}
	}
	x.answer.Usage = total
	out = appendUsage(append(out, `],"usage":`...), total)
	return append(out, '}'), nil
}

// next forgets an answer but not what all answers share: the id, and the tool
// call ids that were given out.
func (x *Chat) next() {
	x.answer.Reset()
	x.choices, x.blocked, x.logprobs = nil, false, nil
}
