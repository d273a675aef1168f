// SPDX-License-Identifier: Apache-2.0

package memory

import (
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

var _ store.Dumper = (*Store)(nil)

// Dump implements [store.Dumper].
func (s *Store) Dump(fn func(key string, value []byte, ends time.Time) bool) error {
	root, err := s.snapshot()
	if err != nil {
		return err
	}
	now := s.now()
	root.ascend("", func(n *node) bool {
		return live(n, now) == nil || fn(n.key, clone(n.value), n.expires)
	})
	return nil
}
