// SPDX-License-Identifier: Apache-2.0

package openai

import "sync"

// The text of a streamed answer is kept until its end, when it is rarely needed. Its
// memory is used again: grown anew, it would be more than all else that a stream takes.

const (
	firstContent  = 2 << 10
	pooledContent = 16 << 10 // what is larger is left to the collector: thousands of short streams may be open
)

var contents = sync.Pool{New: func() any { b := make([]byte, 0, firstContent); return &b }}

// borrow gives the empty content of a stream's choice memory.
func (c *choice) borrow() {
	c.home = contents.Get().(*[]byte)
	c.content = (*c.home)[:0]
}

// giveBack ends the use of the content.
func (c *choice) giveBack() {
	if c.home != nil && cap(c.content) <= pooledContent {
		*c.home = c.content
		contents.Put(c.home)
	}
	c.home, c.content = nil, nil
}
