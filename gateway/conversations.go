// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
	"github.com/gemini-balance/caddy-gemini-balance/translate/openai"
)

const (
	// conversationTTL is how long a response can be continued by its id. Our
	// choice: a working day and the night after it; OpenAI keeps them for a month,
	// but here they lie on the operator's disk.
	conversationTTL = 24 * time.Hour
	// maxConversation is how large the items of a conversation may get, in bytes;
	// larger ones have to be sent whole again.
	maxConversation = 1 << 20

	conversationPrefix = "responses/"
)

// Conversations keeps what a request of the Responses API names by
// previous_response_id. Each belongs to one user key, is sealed, and is forgotten
// after a day. Safe for concurrent use.
type Conversations struct {
	store  store.Store
	sealer *store.Sealer
}

// NewConversations returns one that keeps them in s.
func NewConversations(s store.Store, sealer *store.Sealer) *Conversations {
	return &Conversations{s, sealer}
}

// Where the parts of a response are, behind its own key.
const (
	itemsOf    = "/items"
	documentOf = "/response"
	traceOf    = "/trace"
)

func conversationKey(user, id, what string) string {
	return conversationPrefix + user + "/" + id + what
}

// get returns the items of a user's response. One that is another user's does not
// exist.
func (c *Conversations) get(user, id string) (items []byte, ok bool) {
	return c.read(user, id, itemsOf)
}

// response returns all that is kept of a user's response.
func (c *Conversations) response(user, id string) (k *openai.Kept, ok bool) {
	k = &openai.Kept{}
	for what, to := range map[string]*[]byte{itemsOf: &k.Items, documentOf: &k.Document, traceOf: &k.Trace} {
		if *to, ok = c.read(user, id, what); !ok {
			return nil, false
		}
	}
	return k, true
}

func (c *Conversations) read(user, id, what string) (value []byte, ok bool) {
	if c == nil || !objectID.MatchString(id) {
		return nil, false
	}
	key := conversationKey(user, id, what)
	sealed, err := c.store.Get(key)
	if err != nil {
		return nil, false
	}
	value, err = c.sealer.Open(key, sealed)
	return value, err == nil
}

// put keeps a response; losing it costs a client one error that tells what to do,
// so nobody waits for the disk.
func (c *Conversations) put(user, id string, k openai.Kept) {
	if len(k.Items)+len(k.Document)+len(k.Trace) > maxConversation {
		return
	}
	var b store.Batch
	for what, value := range map[string][]byte{itemsOf: k.Items, documentOf: k.Document, traceOf: k.Trace} {
		key := conversationKey(user, id, what)
		b.Ops = append(b.Ops, store.Op{Key: key, Value: c.sealer.Seal(key, value), TTL: conversationTTL})
	}
	_ = c.store.Write(b)
}

// forget deletes a response.
func (c *Conversations) forget(user, id string) error {
	b := store.Batch{Sync: true}
	for _, what := range []string{itemsOf, documentOf, traceOf} {
		b.Ops = append(b.Ops, store.Op{Key: conversationKey(user, id, what)})
	}
	return c.store.Write(b)
}

// keep stores the answer where the client wants that.
func (x *exchange) keep() {
	r, ok := x.conv.(*openai.Responses)
	if !ok || x.g.Conversations == nil {
		return
	}
	if id, items := r.Stored(); id != "" {
		x.g.Conversations.put(x.record.UserID, id, openai.Kept{Items: items, Document: r.Document(), Trace: r.Trace()})
	}
}
