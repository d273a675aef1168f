// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
	"github.com/gemini-balance/caddy-gemini-balance/translate"
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

func conversationKey(user, id string) string { return conversationPrefix + user + "/" + id }

// get returns the items kept for a user's response. One that is another user's
// does not exist.
func (c *Conversations) get(user, id string) (items []byte, ok bool) {
	if !objectID.MatchString(id) {
		return nil, false
	}
	key := conversationKey(user, id)
	sealed, err := c.store.Get(key)
	if err != nil {
		return nil, false
	}
	items, err = c.sealer.Open(key, sealed)
	return items, err == nil
}

// put keeps items; losing them costs a client one error that tells what to do, so
// nobody waits for the disk.
func (c *Conversations) put(user, id string, items []byte) {
	if len(items) > maxConversation {
		return
	}
	key := conversationKey(user, id)
	_ = c.store.Write(store.Batch{Ops: []store.Op{{Key: key, Value: c.sealer.Seal(key, items), TTL: conversationTTL}}})
}

// keep stores the answer where the client wants that.
func (x *exchange) keep() {
	s, ok := x.conv.(interface {
		Stored() (id string, items []byte)
	})
	if !ok || x.g.Conversations == nil {
		return
	}
	if id, items := s.Stored(); id != "" {
		x.g.Conversations.put(x.record.UserID, id, items)
	}
}

// forget answers DELETE /v1/responses/{id}.
func (x *exchange) forget() *translate.Failure {
	missing := &translate.Failure{
		Kind: translate.NotFound, Param: "response_id",
		Message: "Response with id '" + x.rt.id + "' not found. Responses are kept for a day, unless store is false.",
	}
	if x.g.Conversations == nil {
		return missing
	}
	if _, ok := x.g.Conversations.get(x.record.UserID, x.rt.id); !ok {
		return missing
	}
	key := conversationKey(x.record.UserID, x.rt.id)
	if err := x.g.Conversations.store.Write(store.Batch{Ops: []store.Op{{Key: key}}, Sync: true}); err != nil {
		return &translate.Failure{Kind: translate.Internal, Message: "The response could not be deleted: the gateway's store failed. Try again."}
	}
	body, _ := json.Marshal(map[string]any{"id": x.rt.id, "object": "response", "deleted": true})
	_ = x.out.answer(translate.Answer{Status: http.StatusOK, ContentType: "application/json", Body: body})
	return nil
}
