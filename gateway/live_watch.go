// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"encoding/json"
	"slices"

	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// liveUsage adds up what the turns of a Live session used. usageMetadata may come
// several times in a turn, each with the totals of the turn so far, with the
// content, with the turn's end, or after it. Each turn is billed its whole
// context, so turns are added.
// Source: specs/native-anthropic.md A.12.
type liveUsage struct {
	sum    gemini.Usage // of the turns before
	last   gemini.Usage // what was reported last
	of     int          // the turn that was of
	turn   int          // that runs, or has ended last
	over   bool         // it has ended
	spoken bool         // something was reported
	told   bool         // … since somebody has charged it
}

// content notes that the model speaks, which begins a turn if none runs.
func (u *liveUsage) content() {
	if u.over {
		u.turn, u.over = u.turn+1, false
	}
}

// done notes that the turn has ended.
func (u *liveUsage) done() { u.over = true }

// report takes a usageMetadata.
func (u *liveUsage) report(v rawjson.Value) {
	var m struct {
		Prompt     int64 `json:"promptTokenCount"`
		Cached     int64 `json:"cachedContentTokenCount"`
		Response   int64 `json:"responseTokenCount"`
		Candidates int64 `json:"candidatesTokenCount"`
		Thoughts   int64 `json:"thoughtsTokenCount"`
		ToolUse    int64 `json:"toolUsePromptTokenCount"`
		Total      int64 `json:"totalTokenCount"`

		PromptDetails   liveDetails `json:"promptTokensDetails"`
		CachedDetails   liveDetails `json:"cacheTokensDetails"`
		ResponseDetails liveDetails `json:"responseTokensDetails"`
	}
	if json.Unmarshal(v, &m) != nil {
		return
	}
	now := gemini.Usage{
		Reported: true, Prompt: m.Prompt, Cached: m.Cached, Candidates: max(m.Response, m.Candidates),
		Thoughts: m.Thoughts, ToolUse: m.ToolUse, Total: m.Total,

		PromptAudio: m.PromptDetails.of("AUDIO"), PromptImage: m.PromptDetails.of("IMAGE"), PromptVideo: m.PromptDetails.of("VIDEO"),
		CachedAudio: m.CachedDetails.of("AUDIO"), CachedImage: m.CachedDetails.of("IMAGE"), CachedVideo: m.CachedDetails.of("VIDEO"),
		CandidatesAudio: m.ResponseDetails.of("AUDIO"), CandidatesImage: m.ResponseDetails.of("IMAGE"), CandidatesVideo: m.ResponseDetails.of("VIDEO"),
	}
	grown := now.Prompt >= u.last.Prompt && now.Candidates >= u.last.Candidates
	if u.spoken && u.of == u.turn && !grown {
		u.content() // of the next turn, before the model speaks
	}
	if u.spoken && (u.of != u.turn || !grown) {
		u.sum = u.total()
	}
	u.last, u.of, u.spoken, u.told = now, u.turn, true, true
}

// liveDetails tell what tokens are of.
type liveDetails []struct {
	Modality string `json:"modality"`
	Tokens   int64  `json:"tokenCount"`
}

func (d liveDetails) of(modality string) (tokens int64) {
	for i := range d {
		if d[i].Modality == modality {
			tokens += d[i].Tokens
		}
	}
	return tokens
}

// total is the usage of all turns.
func (u *liveUsage) total() gemini.Usage {
	switch {
	case !u.spoken:
		return gemini.Usage{}
	case !u.sum.Reported:
		return u.last
	default:
		return u.sum.Plus(u.last)
	}
}

// serverWatch reads along with what Google sends in a Live session. remember is
// called with each resumption handle before its message is whole at the client.
type serverWatch struct {
	usage    liveUsage
	remember func(handle string)

	outer    serverMember // the member of the message that is being read
	wanted   serverMember // … whose value is captured
	complete bool
}

// serverMember is what a member of a server's message is to us.
type serverMember uint8

const (
	otherMember serverMember = iota
	usageMember
	resumptionMember
	contentMember
	turnEndMember
)

// serverMembers are those of BidiGenerateContentServerMessage.
var serverMembers = map[string]serverMember{
	"usageMetadata":           usageMember,
	"sessionResumptionUpdate": resumptionMember,
	"serverContent":           contentMember,
	"toolCall":                contentMember,
}

// member implements memberWatch.
func (w *serverWatch) member(depth int, name []byte) bool {
	switch {
	case depth == 1:
		if w.outer = serverMembers[string(name)]; w.outer == contentMember {
			return false
		}
		w.wanted = w.outer
		return w.outer != otherMember
	case depth == 2 && w.outer == contentMember:
		switch string(name) {
		case "turnComplete":
			w.wanted = turnEndMember
			return true
		case "modelTurn", "functionCalls", "outputTranscription":
			w.usage.content()
		}
	}
	return false
}

// captured implements memberWatch.
func (w *serverWatch) captured(_ int, value rawjson.Value, _ int) {
	switch w.wanted {
	case usageMember:
		w.usage.report(value)
	case turnEndMember:
		w.complete = w.complete || value.IsTrue()
	case resumptionMember:
		if handle := value.Get("newHandle").Text(); handle != "" && w.remember != nil {
			w.remember(handle)
		}
	default:
	}
}

// end ends a message. The end of a turn counts last, wherever it stood.
func (w *serverWatch) end() {
	if w.complete {
		w.usage.done()
	}
	w.outer, w.wanted, w.complete = otherMember, otherMember, false
}

// clientWatch reads along with what a client sends: the model and the handle of
// the setup, and the files that any message names.
type clientWatch struct {
	path     [3][]byte // names of the members that are open, outermost first
	function int       // depth of the call or result of a function that is open; 0 for none
	free     int       // … of its free JSON, in which no name means anything
	wanted   clientMember
	setups   int
	models   int
	model    rawjson.Value
	modelAt  int // where its value ends
	handles  int
	handle   string
	files    []liveFile
	tooMuch  bool // something that must be known is too long to be
}

// liveFile is a URI in a message, and where its JSON string stands.
type liveFile struct {
	uri      string
	from, to int
}

type clientMember uint8

const (
	modelMember clientMember = iota
	handleMember
	fileMember
)

// member implements memberWatch. Both spellings of protobuf's JSON count.
func (w *clientWatch) member(depth int, name []byte) bool {
	if depth < 1 || w.foreign(depth, name) {
		return false
	}
	if depth <= len(w.path) {
		w.path[depth-1] = append(w.path[depth-1][:0], name...)
	}
	in := func(level int, names ...string) bool {
		return slices.Contains(names, string(w.path[level-1]))
	}
	switch {
	case depth == 1 && in(1, "setup"):
		w.setups++
	case depth == 2 && in(1, "setup") && in(2, "model"):
		w.models++
		w.wanted = modelMember
		return true
	case depth == 3 && in(1, "setup") && in(2, "sessionResumption", "session_resumption") && in(3, "handle"):
		w.handles++
		w.wanted = handleMember
		return true
	case string(name) == "fileUri" || string(name) == "file_uri":
		w.wanted = fileMember
		return true
	}
	return false
}

// foreign reports whether a member is one of the client's own, in what a function
// is called with or has returned.
func (w *clientWatch) foreign(depth int, name []byte) bool {
	if w.free > 0 && depth > w.free {
		return true
	}
	w.free = 0
	if depth <= w.function {
		w.function = 0
	}
	switch string(name) {
	case "functionCall", "function_call", "functionResponse", "function_response", "functionResponses", "function_responses":
		w.function = depth
	case "args", "response":
		if w.function > 0 {
			w.free = depth
		}
	}
	return false
}

// captured implements memberWatch.
func (w *clientWatch) captured(_ int, value rawjson.Value, end int) {
	if value == nil || len(w.files) >= maxLiveFiles {
		w.tooMuch = true
		return
	}
	switch w.wanted {
	case modelMember:
		w.model, w.modelAt = append(rawjson.Value(nil), value...), end
	case handleMember:
		w.handle = value.Text()
	case fileMember:
		w.files = append(w.files, liveFile{value.Text(), end - len(value), end})
	}
}

// maxLiveFiles bounds what one message may name.
const maxLiveFiles = 1000
