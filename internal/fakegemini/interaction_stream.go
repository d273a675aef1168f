// SPDX-License-Identifier: Apache-2.0

package fakegemini

import (
	"maps"
	"strconv"
	"strings"
)

// events are those of a whole interaction, each with its id. What streams say of
// one interaction is the same each time.
func (i *interaction) events() []object {
	running := object{"id": i.id, "object": "interaction", "status": "in_progress"}
	for _, name := range []string{"model", "agent", "created", "updated"} {
		if v := i.shared[name]; v != nil {
			running[name] = v
		}
	}
	out := []object{
		{"event_type": "interaction.created", "interaction": running},
		{"event_type": "interaction.status_update", "interaction_id": i.id, "status": "in_progress"},
	}
	for n, step := range i.steps {
		out = append(out, object{"event_type": "step.start", "index": n, "step": begun(step)})
		for _, delta := range deltas(step) {
			out = append(out, object{"event_type": "step.delta", "index": n, "delta": delta})
		}
		out = append(out, object{"event_type": "step.stop", "index": n})
	}
	end := object{"usage": i.usage}
	maps.Copy(end, running)
	end["status"] = i.status
	out = append(out, object{"event_type": "interaction.completed", "interaction": end})
	for n := range out {
		out[n]["event_id"] = i.eventID(n)
	}
	return out
}

func (i *interaction) eventID(n int) string { return seal(i.id + " " + strconv.Itoa(n)) }

// begun is a step before its first delta.
func begun(step object) object {
	switch step["type"] {
	case "function_call":
		return object{"type": "function_call", "id": step["id"], "name": step["name"], "arguments": object{}}
	default:
		return object{"type": step["type"]}
	}
}

// deltas are the pieces of a step.
func deltas(step object) (out []object) {
	switch step["type"] {
	case "thought":
		for _, s := range step["summary"].([]object) {
			out = append(out, object{"type": "thought_summary", "content": s})
		}
		return append(out, object{"type": "thought_signature", "signature": step["signature"]})
	case "function_call":
		return []object{{"type": "arguments_delta", "arguments": string(compact(pretty(step["arguments"])))}}
	}
	for _, c := range step["content"].([]object) {
		for _, piece := range split(c["text"].(string), 0, true) {
			out = append(out, object{"type": "text", "text": piece})
		}
	}
	return out
}

// streamInteraction sends the events after the one named, and [DONE].
func (x *exchange) streamInteraction(i *interaction, after string) {
	start := 0
	if after != "" {
		id, n, _ := strings.Cut(unseal(after), " ")
		last, err := strconv.Atoi(n)
		if id != i.id || err != nil {
			x.error(failure(400, "Invalid last_event_id."))
			return
		}
		start = last + 1
	}
	x.header(200, "text/event-stream")
	for n, e := range i.events() {
		if n < start {
			continue
		}
		if n > start && !x.pause(x.steer.Pace) {
			return
		}
		if x.steer.Break != "" && n >= x.steer.After {
			x.breakInteraction(i, e, n)
			return
		}
		if !x.write(named(e["event_type"].(string), compact(pretty(e)))) {
			return
		}
	}
	x.write(named("done", []byte("[DONE]")))
}

// named is an event with its name.
func named(name string, data []byte) []byte {
	return []byte("event: " + name + "\ndata: " + string(data) + "\n\n")
}

// breakInteraction ends a stream badly in place of an event.
func (x *exchange) breakInteraction(i *interaction, e object, n int) {
	x.note("stream broken: " + string(x.steer.Break))
	switch x.steer.Break {
	case ResetEvent:
		b := named(e["event_type"].(string), compact(pretty(e)))
		x.write(b[:len(b)/2])
		x.reset()
	case Silence:
		x.silence()
	case ErrorEvent, ErrorBare:
		x.write(named("error", compact(pretty(object{
			"event_type": "error", "event_id": i.eventID(n), "error": object{"code": interactionCodes[503], "message": messages[503]},
		}))))
		x.write(named("done", []byte("[DONE]")))
	default: // Cut: a clean end, as if that had been all
	}
}
