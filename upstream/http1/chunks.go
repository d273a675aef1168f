// SPDX-License-Identifier: Apache-2.0

package http1

import "io"

// Bounds of what chunks are wrapped in.
const (
	maxSizeDigits = 15       // of a chunk's size
	maxExtensions = 16 << 10 // bytes of all chunks' extensions
	maxTrailer    = 2 << 10
)

// state is what comes next.
type state uint8

const (
	sizeState      state = iota // a digit of the size, or what ends it
	extensionState              // to be skipped up to its line's end
	sizeEndState                // LF
	dataState
	dataEndState  // CR
	dataStopState // LF
	endState      // CR of the last line, or the first byte of a trailer
	lastState     // LF after that
	trailerState  // fields
	doneState
)

// chunks takes a chunked body apart, however it was cut on its way.
// Source: RFC 9112 §7.1, without spaces around sizes.
type chunks struct {
	state      state
	left       int64 // of the chunk
	digits     int
	extensions int
	trailer    []byte // the fields after the last chunk, which are looked at but not kept
	line       int    // where the trailer's last line begins
}

var errChunk = malformed("its chunks are not clear")

// decode moves the data in p to its front. It returns how many bytes that are, of how
// many, and io.EOF after the last.
func (c *chunks) decode(p []byte) (n, used int, err error) {
	for used < len(p) && c.state != doneState {
		if c.state == dataState {
			m := int(min(c.left, int64(len(p)-used)))
			if n != used {
				copy(p[n:], p[used:used+m])
			}
			n, used = n+m, used+m
			if c.left -= int64(m); c.left == 0 {
				c.state = dataEndState
			}
			continue
		}
		if err := c.step(p[used]); err != nil {
			return n, used, err
		}
		used++
	}
	if c.state == doneState {
		err = io.EOF
	}
	return n, used, err
}

// step takes one byte that is not data.
func (c *chunks) step(b byte) error {
	switch c.state {
	case sizeState:
		return c.size(b)
	case extensionState:
		c.extensions++
		switch {
		case b == '\r':
			c.state = sizeEndState
		case bytesOf[b]&inValue == 0 || c.extensions > maxExtensions:
			return errChunk
		}
	case sizeEndState:
		if b != '\n' {
			return errChunk
		}
		c.digits = 0
		if c.state = dataState; c.left == 0 {
			c.state = endState
		}
	case dataEndState:
		if b != '\r' {
			return errChunk
		}
		c.state = dataStopState
	case dataStopState:
		if b != '\n' {
			return errChunk
		}
		c.state = sizeState
	case endState:
		if c.state = lastState; b != '\r' {
			c.state = trailerState
			return c.trail(b)
		}
	case lastState:
		if b != '\n' {
			return errChunk
		}
		c.state = doneState
	case trailerState:
		return c.trail(b)
	default: // dataState and doneState have no steps
	}
	return nil
}

func (c *chunks) size(b byte) error {
	var digit byte
	switch {
	case '0' <= b && b <= '9':
		digit = b - '0'
	case 'a' <= b && b <= 'f':
		digit = b - 'a' + 10
	case 'A' <= b && b <= 'F':
		digit = b - 'A' + 10
	case c.digits == 0:
		return errChunk
	case b == ';':
		c.state = extensionState
		return nil
	case b == '\r':
		c.state = sizeEndState
		return nil
	default:
		return errChunk
	}
	if c.digits++; c.digits > maxSizeDigits {
		return errChunk
	}
	c.left = c.left<<4 | int64(digit)
	return nil
}

// trail takes a byte of the trailer, which ends with an empty line.
func (c *chunks) trail(b byte) error {
	c.trailer = append(c.trailer, b)
	switch end := len(c.trailer); {
	case b != '\n':
		if end > maxTrailer {
			return malformed("its trailer is too large")
		}
	case end < 2 || c.trailer[end-2] != '\r':
		return malformed("a line without a return")
	case end-c.line > 2:
		c.line = end
	default:
		c.state = doneState
		_, err := parseFields(string(c.trailer[:end-2]))
		c.trailer = nil
		return err
	}
	return nil
}
