// SPDX-License-Identifier: Apache-2.0

package sse

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// counted is a Room that gives so much, and notes what it is asked for.
type counted struct {
	most  int64
	asked []int64
	left  int
}

var errNoRoom = errors.New("no room")

func (c *counted) Take(bytes int64) error {
	if c.asked = append(c.asked, bytes); bytes > c.most {
		return errNoRoom
	}
	return nil
}

func (c *counted) Leave() { c.left++ }

// TestFrames_Within: room is asked for before an event takes much memory, and left when
// it has passed.
func TestFrames_Within(t *testing.T) {
	small, large := `{"a":"`+strings.Repeat("x", 600)+`"}`, `{"a":"`+strings.Repeat("x", 700<<10)+`"}`
	docs := slices.Concat(slices.Repeat([]string{small}, 300), []string{large, large}, slices.Repeat([]string{small}, 300), []string{large, small})
	for name, open := range map[string]func(io.Reader) Frames{
		"events": func(r io.Reader) Frames { return NewReader(r) },
		"array":  func(r io.Reader) Frames { return NewArrayReader(r) },
	} {
		body := "[" + strings.Join(docs, ",") + "]"
		if name == "events" {
			body = "data: " + strings.Join(docs, "\r\n\r\ndata: ") + "\r\n\r\n"
		}
		for _, most := range []int64{1 << 30, 256 << 10} {
			room := &counted{most: most}
			frames := open(iotest.OneByteReader(strings.NewReader(body)))
			frames.Within(room)
			var got []string
			var err error
			for {
				var data []byte
				if _, data, err = frames.Next(); err != nil {
					break
				}
				if len(data) > 0 {
					got = append(got, string(data))
				}
			}
			frames.Release()
			once := []int64{128 << 10, 256 << 10, 512 << 10, 1 << 20}
			if most < 1<<20 {
				if !errors.Is(err, errNoRoom) || !slices.Equal(got, docs[:300]) || !slices.Equal(room.asked, once[:3]) {
					t.Errorf("%s, %d at most: %v after %d documents, asked for %d", name, most, err, len(got), room.asked)
				}
				continue
			}
			if err != io.EOF || !slices.Equal(got, docs) {
				t.Errorf("%s: %v after %d documents", name, err, len(got))
			}
			if !slices.Equal(room.asked, slices.Repeat(once, 3)) || room.left != 3 {
				t.Errorf("%s: asked for %d, left %d times", name, room.asked, room.left)
			}
		}
	}
}
