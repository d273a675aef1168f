// SPDX-License-Identifier: Apache-2.0

package memory

import (
	"hash/maphash"
	"time"
)

// node is a node of a persistent treap: changes copy the path from the root and
// share the rest, so a root is a snapshot that costs nothing to keep. Nodes and
// their values are never changed once they are reachable from a root.
type node struct {
	key         string
	value       []byte
	expires     time.Time // zero = never
	priority    uint64
	left, right *node
}

// seed makes priorities unpredictable, as the balance of a treap needs.
var seed = maphash.MakeSeed()

// find returns the node of key, or nil.
func (n *node) find(key string) *node {
	for n != nil && n.key != key {
		if key < n.key {
			n = n.left
		} else {
			n = n.right
		}
	}
	return n
}

// split divides a tree into the keys < key and the keys > key; the node of key
// itself is left out.
func split(n *node, key string) (below, above *node) {
	if n == nil {
		return nil, nil
	}
	if n.key == key {
		return n.left, n.right
	}
	c := *n
	if n.key < key {
		c.right, above = split(n.right, key)
		return &c, above
	}
	below, c.left = split(n.left, key)
	return below, &c
}

// join is the opposite of split: all keys of a are below all keys of b.
func join(a, b *node) *node {
	if a == nil {
		return b
	}
	if b == nil {
		return a
	}
	if a.priority >= b.priority {
		c := *a
		c.right = join(a.right, b)
		return &c
	}
	c := *b
	c.left = join(a, b.left)
	return &c
}

// with returns the tree that also holds key.
func (n *node) with(key string, value []byte, expires time.Time) *node {
	below, above := split(n, key)
	own := &node{key: key, value: value, expires: expires, priority: maphash.String(seed, key)}
	return join(join(below, own), above)
}

// without returns the tree that does not hold key.
func (n *node) without(key string) *node {
	return join(split(n, key))
}

// ascend calls fn for the nodes with a key >= from, in order, until fn returns
// false, which is also its own result then.
func (n *node) ascend(from string, fn func(*node) bool) bool {
	if n == nil {
		return true
	}
	if n.key < from {
		return n.right.ascend(from, fn)
	}
	return n.left.ascend(from, fn) && fn(n) && n.right.ascend(from, fn)
}
