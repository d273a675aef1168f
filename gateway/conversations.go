// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
	"github.com/gemini-balance/caddy-gemini-balance/translate"
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

// conversationKey is where the items of a response are, or the response itself.
func conversationKey(user, id, what string) string {
	return conversationPrefix + user + "/" + id + what
}

const (
	itemsOf    = "/items"
	documentOf = "/response"
)

// get returns the items of a user's response. One that is another user's does not
// exist.
func (c *Conversations) get(user, id string) (items []byte, ok bool) {
	return c.read(user, id, itemsOf)
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

// put keeps a response and its items; losing them costs a client one error that
// tells what to do, so nobody waits for the disk.
func (c *Conversations) put(user, id string, items, document []byte) {
	if len(items)+len(document) > maxConversation {
		return
	}
	var b store.Batch
	for what, value := range map[string][]byte{itemsOf: items, documentOf: document} {
		key := conversationKey(user, id, what)
		b.Ops = append(b.Ops, store.Op{Key: key, Value: c.sealer.Seal(key, value), TTL: conversationTTL})
	}
	_ = c.store.Write(b)
}

// keep stores the answer where the client wants that.
func (x *exchange) keep() {
	r, ok := x.conv.(*openai.Responses)
	if !ok || x.g.Conversations == nil {
		return
	}
	if id, items := r.Stored(); id != "" {
		x.g.Conversations.put(x.record.UserID, id, items, r.Document())
	}
}

// response answers GET and DELETE of /v1/responses/{id}.
func (x *exchange) response() *translate.Failure {
	document, ok := x.g.Conversations.read(x.record.UserID, x.rt.id, documentOf)
	if !ok {
		return &translate.Failure{
			Kind: translate.NotFound, Param: "response_id",
			Message: "Response with id '" + x.rt.id + "' not found. Responses are kept for a day, unless store is false.",
		}
	}
	if x.r.Method == http.MethodDelete {
		err := x.g.Conversations.store.Write(store.Batch{Sync: true, Ops: []store.Op{
			{Key: conversationKey(x.record.UserID, x.rt.id, itemsOf)}, {Key: conversationKey(x.record.UserID, x.rt.id, documentOf)},
		}})
		if err != nil {
			return &translate.Failure{Kind: translate.Internal, Message: "The response could not be deleted: the gateway's store failed. Try again."}
		}
		document, _ = json.Marshal(map[string]any{"id": x.rt.id, "object": "response", "deleted": true})
	}
	_ = x.out.answer(translate.Answer{Status: http.StatusOK, ContentType: "application/json", Body: document})
	return nil
}
