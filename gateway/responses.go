// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/openai"
)

// The endpoints about responses that are kept. They ask nobody else.

const (
	maxListed     = 100 // items in a page
	defaultListed = 20
)

// response answers what is asked of a kept response, which only exists for its
// owner.
func (x *exchange) response() *translate.Failure {
	kept, ok := x.g.Conversations.response(x.record.UserID, x.rt.id)
	switch {
	case !ok:
		return &translate.Failure{
			Kind: translate.NotFound, Param: "response_id",
			Message: "Response with id '" + x.rt.id + "' not found. Responses are kept for a day, unless store is false.",
		}
	case x.rt.verb == "input_items":
		return x.inputItems(kept)
	case x.rt.verb == "cancel":
		return &translate.Failure{
			Kind:    translate.InvalidRequest,
			Message: "Cannot cancel a synchronous response. Only background responses can be cancelled, and there are none here.",
		}
	case x.r.Method == http.MethodDelete:
		return x.forgetResponse()
	}
	return x.readResponse(kept)
}

func (x *exchange) forgetResponse() *translate.Failure {
	if err := x.g.Conversations.forget(x.record.UserID, x.rt.id); err != nil {
		return &translate.Failure{Kind: translate.Internal, Message: "The response could not be deleted: the gateway's store failed. Try again."}
	}
	document, _ := json.Marshal(map[string]any{"id": x.rt.id, "object": "response", "deleted": true})
	return x.document(document, nil)
}

// readResponse answers with the response, or with its events.
func (x *exchange) readResponse(kept *openai.Kept) *translate.Failure {
	q := &query{values: x.r.URL.Query()}
	stream, encrypted, after := q.flag("stream"), q.includes("reasoning.encrypted_content"), q.number("starting_after", -1, 0, 1<<53)
	switch {
	case q.failure != nil:
		return q.failure
	case !stream:
		return x.document(kept.Response(nil, encrypted))
	}
	events, f := kept.Events(nil, after, encrypted)
	if f != nil {
		return f
	}
	_ = x.out.output(events, "text/event-stream; charset=utf-8", time.Now())
	return nil
}

func (x *exchange) inputItems(kept *openai.Kept) *translate.Failure {
	q := &query{values: x.r.URL.Query()}
	list := openai.ItemQuery{
		Limit:     int(q.number("limit", defaultListed, 1, maxListed)),
		After:     q.get("after"),
		Ascending: q.word("order", "desc", "asc") == "asc",
		Encrypted: q.includes("reasoning.encrypted_content"),
	}
	if q.failure != nil {
		return q.failure
	}
	return x.document(kept.Input(nil, list))
}

// document answers with a JSON document, unless making it failed.
func (x *exchange) document(body []byte, f *translate.Failure) *translate.Failure {
	if f == nil {
		_ = x.out.answer(translate.Answer{Status: http.StatusOK, ContentType: "application/json", Body: body})
	}
	return f
}

// query reads the parameters of a URL; the first fault is kept.
type query struct {
	values  map[string][]string
	failure *translate.Failure
}

func (q *query) get(name string) string {
	if v := q.values[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

func (q *query) reject(name, want string) {
	if q.failure == nil {
		q.failure = translate.Invalid(name, "Invalid value for '%s': expected %s.", name, want)
	}
}

func (q *query) flag(name string) bool {
	switch q.get(name) {
	case "true", "1":
		return true
	case "", "false", "0":
	default:
		q.reject(name, "true or false")
	}
	return false
}

func (q *query) number(name string, or, least, most int64) int64 {
	text := q.get(name)
	if text == "" {
		return or
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < least || n > most {
		q.reject(name, "a number from "+strconv.FormatInt(least, 10)+" to "+strconv.FormatInt(most, 10))
		return or
	}
	return n
}

// word reads one of a few words, the first of which is the default.
func (q *query) word(name string, words ...string) string {
	text := q.get(name)
	switch {
	case text == "":
		return words[0]
	case !slices.Contains(words, text):
		q.reject(name, strings.Join(words, " or "))
	}
	return text
}

// includes reports whether include names what; SDKs write lists in many ways.
func (q *query) includes(what string) bool {
	for name, values := range q.values {
		if name == "include" || strings.HasPrefix(name, "include[") {
			for _, v := range values {
				if slices.Contains(strings.Split(v, ","), what) {
					return true
				}
			}
		}
	}
	return false
}
