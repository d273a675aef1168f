// SPDX-License-Identifier: Apache-2.0

package fakegemini

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestInteractions(t *testing.T) {
	s := twoProjects(Config{OperationPolls: 1})
	create := func(key, extra string) string {
		return field(t, ring(s, "POST", "/v1/interactions", key, `{"model":"gemini-3.8-flash","input":"[[say Hello]]"`+extra+`}`), "id")
	}
	id := create("a", "")
	after := `{"model":"gemini-3.8-flash","input":"more","previous_interaction_id":"` + id + `"}`
	walk(t, s, []step{
		{"get", "b", "GET", "/v1/interactions/" + id, "", 200, `"status":"completed"`},
		{"its steps", "b", "GET", "/v1/interactions/" + id, "", 200, `"content":[{"text":"Hello","type":"text"}]`},
		{"its usage", "b", "GET", "/v1/interactions/" + id, "", 200, `"total_input_tokens":4`},
		{"its input", "b", "GET", "/v1/interactions/" + id + "?include_input=true", "", 200, `"input":"[[say Hello]]"`},
		{"of another project", "c", "GET", "/v1/interactions/" + id, "", 404, `"code":"not_found"`},
		{"followed", "b", "POST", "/v1beta/interactions", after, 200, `"previous_interaction_id":"` + id},
		{"followed by another project", "c", "POST", "/v1beta/interactions", after, 404, `"code":"not_found"`},
		{"neither model nor agent", "a", "POST", "/v1/interactions", `{"input":"x"}`, 400, `"code":"invalid_request"`},
		{"no input", "a", "POST", "/v1/interactions", `{"model":"gemini-3.8-flash"}`, 400, `'input' is required`},
		{"no such model", "a", "POST", "/v1/interactions", `{"model":"none","input":"x"}`, 404, `"code":"not_found"`},
		{"an agent", "a", "POST", "/v1/interactions", `{"agent":"deep-research","input":"x"}`, 200, `"agent":"deep-research"`},
		{"steered", "a", "POST", "/v1/interactions", `{"model":"gemini-3.8-flash","input":[{"type":"text","text":"[[status 503]]"}]}`, 503, `"code":"service_unavailable"`},
		{"a call", "a", "POST", "/v1/interactions", `{"model":"gemini-3.8-flash","input":"x","tools":[{"type":"function","name":"f","parameters":{"type":"object"}}]}`, 200, `"status":"requires_action"`},
		{"its answer", "a", "POST", "/v1/interactions", `{"model":"gemini-3.8-flash","input":[{"type":"function_result","call_id":"1","result":{"a":1}}],"tools":[{"type":"function","name":"f"}]}`, 200, `"status":"completed"`},
		{"another project's file", "c", "POST", "/v1/interactions", `{"model":"gemini-3.8-flash","input":[{"type":"image","uri":"` + publicURL + `/v1beta/files/nobodys"}]}`, 403, `"code":"forbidden"`},
		{"no list", "a", "GET", "/v1/interactions", "", 404, "That’s an error"},
		{"a dead key keeps Google's form", "zzz", "POST", "/v1/interactions", after, 400, `"code": 400`},
		{"cancel what has ended", "a", "POST", "/v1/interactions/" + id + "/cancel", "", 400, `invalid_request`},
		{"delete", "b", "DELETE", "/v1/interactions/" + id, "", 200, "{}"},
		{"deleted", "b", "GET", "/v1/interactions/" + id, "", 404, "not_found"},
	})
	if id := create("a", `,"store":false`); len(s.Resources("p", "interactions/"+id)) != 0 {
		t.Error("kept although it should not be")
	}
	background := create("a", `,"background":true`)
	walk(t, s, []step{
		{"running", "a", "GET", "/v1/interactions/" + background, "", 200, `"status":"in_progress"`},
		{"done", "a", "GET", "/v1/interactions/" + background, "", 200, `"status":"completed"`},
	})
	background = create("a", `,"background":true`)
	walk(t, s, []step{
		{"cancel by another project", "c", "POST", "/v1/interactions/" + background + "/cancel", "", 404, "not_found"},
		{"cancel", "b", "POST", "/v1/interactions/" + background + "/cancel", "", 200, `"status":"cancelled"`},
		{"cancelled", "b", "GET", "/v1/interactions/" + background, "", 200, `"status":"cancelled"`},
	})
}

// sseEvent is one event of an interaction's stream.
type sseEvent struct {
	name, data string
	id         string
}

func sseEvents(t *testing.T, body string) (out []sseEvent) {
	t.Helper()
	for block := range strings.SplitSeq(strings.TrimSuffix(body, "\n\n"), "\n\n") {
		head, data, _ := strings.Cut(block, "\ndata: ")
		name, ok := strings.CutPrefix(head, "event: ")
		if !ok {
			t.Fatalf("%q", block)
		}
		e := sseEvent{name: name, data: data}
		if data != "[DONE]" {
			var v struct {
				EventType string `json:"event_type"`
				EventID   string `json:"event_id"`
			}
			if err := json.Unmarshal([]byte(data), &v); err != nil || v.EventType != name || v.EventID == "" {
				t.Errorf("%q: %v", block, err)
			}
			e.id = v.EventID
		}
		out = append(out, e)
	}
	return out
}

func TestInteractions_Stream(t *testing.T) {
	s := twoProjects(Config{})
	const request = `{"model":"gemini-2.5-flash","stream":true,"input":"[[thoughts -1]] [[say Hello there, world]]"}`
	w := ring(s, "POST", "/v1beta/interactions", "a", request)
	if w.Code != 200 || w.Header().Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%d %v", w.Code, w.Header())
	}
	events := sseEvents(t, w.Body.String())
	var names []string
	for _, e := range events {
		names = append(names, e.name)
	}
	want := "interaction.created interaction.status_update step.start step.delta step.delta step.stop interaction.completed done"
	if got := strings.Join(names, " "); got != want || events[len(events)-1].data != "[DONE]" {
		t.Errorf("%s\nwant %s", got, want)
	}
	var first struct{ Interaction struct{ ID string } }
	if err := json.Unmarshal([]byte(events[0].data), &first); err != nil || first.Interaction.ID == "" {
		t.Fatal(events[0])
	}
	at := "/v1beta/interactions/" + first.Interaction.ID + "?stream=true"
	if again := ring(s, "GET", at, "b", "").Body.String(); again != w.Body.String() {
		t.Errorf("another stream of the same: %s", again)
	}
	rest := sseEvents(t, ring(s, "GET", at+"&last_event_id="+events[3].id, "b", "").Body.String())
	if len(rest) != len(events)-4 || rest[0] != events[4] {
		t.Errorf("resumed: %v", rest)
	}
	walk(t, s, []step{
		{"another project", "c", "GET", at, "", 404, "not_found"},
		{"an id of nothing", "a", "GET", at + "&last_event_id=x", "", 400, "Invalid last_event_id"},
	})
	cut := ring(s, "POST", "/v1beta/interactions", "a", strings.Replace(request, "[[say", "[[error_event 3]] [[say", 1)).Body.String()
	if e := sseEvents(t, cut); len(e) != 5 || e[3].name != "error" || !strings.Contains(e[3].data, `"code":"service_unavailable"`) {
		t.Error(cut)
	}
}

func TestPlain(t *testing.T) {
	clock := &clock{t: time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)}
	s := twoProjects(Config{Now: clock.now})
	for _, family := range []string{"agents", "credentials", "environments", "voices", "webhooks", "triggers"} {
		body := `{"display_name":"mine"}`
		if family == "voices" {
			body = `{"voice":` + body + `}`
		}
		at := "/v1/" + family + "/" + field(t, ring(s, "POST", "/v1/"+family, "a", body), "id")
		walk(t, s, []step{
			{family, "b", "GET", at, "", 200, `"display_name":"mine"`},
			{family + ", list", "b", "GET", "/v1/" + family, "", 200, `"` + family + `"`},
			{family + ", another", "a", "POST", "/v1/" + family, body, 200, `"id"`},
			{family + ", page", "b", "GET", "/v1/" + family + "?page_size=1", "", 200, `"next_page_token"`},
			{family + ", of another project", "c", "GET", at, "", 404, `"code":"not_found"`},
			{family + ", list of another", "c", "GET", "/v1/" + family, "", 200, "{}"},
			{family + ", deleted by another", "c", "DELETE", at, "", 404, `"code":"not_found"`},
			{family + ", deleted", "b", "DELETE", at, "", 200, "{}"},
			{family + ", gone", "b", "GET", at, "", 404, `"code":"not_found"`},
		})
	}
	environment := field(t, ring(s, "POST", "/v1beta/environments:create", "a", `{}`), "id")
	use := `{"agent":"antigravity","input":"x","environment":"` + environment + `"}`
	hook := field(t, ring(s, "POST", "/v1/webhooks", "a", `{"id":"mine","url":"https://example.com"}`), "id")
	walk(t, s, []step{
		{"older get", "b", "GET", "/v1beta/environments/" + environment + ":get", "", 200, environment},
		{"older list", "b", "GET", "/v1beta/environments:list", "", 200, environment},
		{"used", "b", "POST", "/v1/interactions", use, 200, `"environment_id":"` + environment},
		{"used by another project", "c", "POST", "/v1/interactions", use, 404, "not_found"},
		{"made by an interaction", "c", "POST", "/v1/interactions", `{"agent":"antigravity","input":"x","environment":{"type":"remote"}}`, 200, `"environment_id":"environment-`},
		{"older delete", "b", "DELETE", "/v1beta/environments/" + environment + ":delete", "", 200, "{}"},
		{"patch", "b", "PATCH", "/v1/webhooks/" + hook, `{"url":"https://example.org"}`, 200, "example.org"},
		{"ping", "b", "POST", "/v1/webhooks/" + hook + ":ping", "", 200, "{}"},
		{"rotate", "b", "POST", "/v1/webhooks/" + hook + ":rotateSigningSecret", "", 200, "whsec_"},
		{"the id again", "a", "POST", "/v1/webhooks", `{"id":"mine"}`, 409, `"code":"conflict"`},
		{"in another project", "c", "POST", "/v1/webhooks", `{"id":"mine"}`, 200, `"id":"mine"`},
	})
	agent := `{"agent":"helper","input":"x"}`
	walk(t, s, []step{
		{"an agent is made", "a", "POST", "/v1/agents", `{"id":"helper"}`, 200, `"id":"helper"`},
		{"used by its project", "b", "POST", "/v1/interactions", agent, 200, "completed"},
		{"used by another", "c", "POST", "/v1/interactions", agent, 404, "not_found"},
	})
}
