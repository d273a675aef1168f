// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/usage"
)

// A file of results is read line by line, however it comes.
func TestBatchLines(t *testing.T) {
	line := `{"key":"a","response":{"usageMetadata":{"promptTokenCount":10},"modelVersion":"gemini-2.5-flash"}}`
	for name, tc := range map[string]struct {
		pieces []string
		cost   int64
		known  bool
	}{
		"nothing":           {nil, 0, true},
		"two lines":         {[]string{line + "\n" + line + "\n"}, 2 * 10 * 150, true},
		"no end":            {[]string{line + "\n" + line}, 2 * 10 * 150, true},
		"torn":              {[]string{line[:30], line[30:] + "\n" + line[:1], line[1:], "\n", "\n"}, 2 * 10 * 150, true},
		"failed, and words": {[]string{`{"key":"a","error":{}}` + "\n" + "words\n" + line}, 10 * 150, true},
		"too long":          {[]string{line + "\n", strings.Repeat("x", maxResult), "x\n", line}, 2 * 10 * 150, false},
	} {
		t.Run(name, func(t *testing.T) {
			l := &batchLines{prices: usage.BuiltInPrices()}
			for _, p := range tc.pieces {
				l.write([]byte(p))
			}
			if l.end(); l.bill.cost != tc.cost || l.bill.unpriced == tc.known {
				t.Errorf("%d, unpriced %v; want %d", l.bill.cost, l.bill.unpriced, tc.cost)
			}
		})
	}
}
