// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
)

// TestQuotas_Pages: pages of any size make up the whole list, in its order.
func TestQuotas_Pages(t *testing.T) {
	p := open(t, nil, 0)
	for i := range 7 {
		add(t, p, NewKey{Secret: fmt.Sprint("of-a-project-with-several-models-", i), Project: fmt.Sprint("p", i%5)})
	}
	for _, model := range []string{flash, "gemini-b", "gemini-a"} {
		for range 30 {
			lease(t, p, Want{Model: model}).Done(ok)
		}
	}
	for _, model := range []string{"", flash, "gemini-a", "nobody"} {
		whole, n := p.Quotas(QuotaQuery{Model: model, Limit: 1000})
		if len(whole) != n || n == 0 && model != "nobody" || !slices.IsSortedFunc(whole, func(a, b QuotaView) int {
			return slices.Compare([]string{a.Project, a.Model}, []string{b.Project, b.Model})
		}) {
			t.Fatalf("%q: %d of %d: %v", model, len(whole), n, whole)
		}
		for limit := 1; limit <= n+1; limit++ {
			var all []QuotaView
			for offset := 0; offset <= n; offset += limit {
				page, total := p.Quotas(QuotaQuery{Model: model, Limit: limit, Offset: offset})
				if all = append(all, page...); total != n || len(page) > limit {
					t.Errorf("%q: %d at %d: %d of %d", model, limit, offset, len(page), total)
				}
			}
			if len(all) != n || !reflect.DeepEqual(all, whole) {
				t.Errorf("%q by %d: %v, want %v", model, limit, all, whole)
			}
		}
	}
}
