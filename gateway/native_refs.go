// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"regexp"
	"strings"
	"unicode"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// What a native request's body names of what one project has. The body is walked,
// never written again: bytes change only where a name does.
// Source: specs/native-anthropic.md A.2.

// member is what a string means by the name of the member it is the value of.
type member uint8

const (
	plain        member = iota
	addressed           // a URI, maybe of a file
	named               // a resource's name
	onlyNamed           // likewise, and nothing else
	placed              // an environment or voice: a name, an id, or a word of Google's
	acting              // an agent, likewise
	interacted          // an interaction's id
	continued           // a continuation token
	modelled            // a model
	structValue         // free JSON of the client's; nothing in it means anything to Google
	callArgument        // likewise, in calls and results of functions only
	functionPart        // a call or a result of a function, or of a tool of Google's
	schema              // free JSON, too
	parameters          // likewise, of a function; of a method Google reads them
	formatPart          // how to answer; its schema is free JSON
	formatSchema
	outcome      // a step's result
	functionSays // that of a function: free JSON, but for contents in "items"
	contents     // Google reads them
	freeForm     // JSON of the client's in which nothing is a model, but files may be named
)

// members are the names that mean something, in the spellings that protobuf's JSON
// takes.
var members = map[string]member{
	"fileUri": addressed, "file_uri": addressed, "uri": addressed,
	"fileName": named, "file_name": named, "tunedModel": named, "tuned_model": named, "source": named,
	"cachedContent": onlyNamed, "cached_content": onlyNamed,
	"fileSearchStoreNames": onlyNamed, "file_search_store_names": onlyNamed,
	"environment": placed, "baseEnvironment": placed, "base_environment": placed,
	"agent": acting, "baseAgent": acting, "base_agent": acting,
	"voice": placed, "voiceId": placed, "voice_id": placed, "voiceName": placed, "voice_name": placed,
	"previousInteractionId": interacted, "previous_interaction_id": interacted,
	"continuationIds": interacted, "continuation_ids": interacted,
	"continuationToken": continued, "continuation_token": continued,
	"baseModel": modelled, "base_model": modelled,
	"model": modelled, "arguments": structValue,
	"args": callArgument, "response": callArgument,
	"functionCall": functionPart, "function_call": functionPart,
	"functionResponse": functionPart, "function_response": functionPart,
	"toolCall": functionPart, "tool_call": functionPart, "toolResponse": functionPart, "tool_response": functionPart,
	"parameters": parameters, "parametersJsonSchema": schema, "parameters_json_schema": schema,
	"responseSchema": schema, "response_schema": schema, "inputSchema": schema, "input_schema": schema,
	"responseJsonSchema": schema, "response_json_schema": schema, "_responseJsonSchema": schema,
	"responseFormat": formatPart, "response_format": formatPart, "schema": formatSchema, "result": outcome, "items": contents,
	"headers": freeForm, "labels": freeForm, "metadata": freeForm,
}

func memberOf(key []byte) member {
	if bytes.IndexByte(key, '\\') >= 0 {
		key = rawjson.AppendText(nil, append(append(rawjson.Value{'"'}, key...), '"'))
	}
	return members[string(key)]
}

// mentions walks a body.
type mentions struct {
	x       *exchange
	at      rawjson.Cursor
	edits   []edit
	model   string   // what the body itself names, without "models/"
	agent   string   // likewise
	asked   []string // all models and agents, wherever they stand
	depth   int
	free    int // how much of it is free JSON
	failure *translate.Failure
}

// permitted refuses a model or an agent that the user may not ask. What a body names
// when another target is tried is the gateway's choice.
func (m *mentions) permitted() *translate.Failure {
	x := m.x
	if x.target > 0 {
		return nil
	}
	for _, name := range m.asked {
		if x.account != nil && !x.account.Allows(name) {
			return x.forbidden(name)
		}
		if to := x.resolve(name); !x.site().offers(to) {
			return x.offered(to)
		}
	}
	return nil
}

// edit is a stretch of a body that is written otherwise.
type edit struct {
	from, to int
	text     []byte
}

// mentioned finds what the request's body names, binds the request to its project,
// and puts in what the names are at Google.
func (x *exchange) mentioned() (*mentions, *translate.Failure) {
	m := &mentions{x: x}
	if len(bytes.TrimSpace(x.body)) == 0 {
		return m, nil
	}
	doc, err := rawjson.Parse(x.body)
	if err != nil {
		return m, &translate.Failure{Kind: translate.InvalidRequest, Message: "Invalid JSON payload received. " + err.Error()}
	}
	m.at = doc.Cursor()
	m.walk(plain)
	if m.failure != nil || len(m.edits) == 0 {
		return m, m.failure
	}
	out, from := make([]byte, 0, len(doc)+256), 0
	for _, e := range m.edits {
		out = append(append(out, doc[from:e.from]...), e.text...)
		from = e.to
	}
	x.body = append(out, doc[from:]...)
	return m, nil
}

// deepestStep is how many objects deep a step of an interaction stands at most.
const deepestStep = 6

// walk goes through the value at the cursor, which is that of a member.
func (m *mentions) walk(is member) {
	switch c := &m.at; c.Kind() {
	case rawjson.Object:
		m.depth++
		step, typed, ofFunction := *c, false, false
		for open := c.Open('{'); open; {
			key, ok := c.Key()
			if !ok {
				break
			}
			inner := memberOf(key)
			if m.skips(is, inner) {
				c.Value()
				continue
			}
			if inner == outcome && c.Kind() == rawjson.Object && m.depth <= deepestStep {
				if !typed { // once, however often the member comes
					typed, ofFunction = true, step.Value().Get("type").Is("function_result")
				}
				if ofFunction {
					inner = functionSays
				}
			}
			if inner.free() {
				m.free++
				m.walk(inner)
				m.free--
				continue
			}
			m.walk(inner)
		}
		m.depth--
	case rawjson.Array:
		for open := c.Open('['); open; {
			if !c.Elem() {
				break
			}
			m.walk(is)
		}
	case rawjson.String:
		from := c.Offset()
		if v := c.Value(); is != plain && m.failure == nil && !v.IsEmptyString() {
			m.read(is, v.Text(), from, len(v))
		}
	default:
		c.Value()
	}
}

// skips reports whether a member is free JSON of the client's, in which nothing means
// anything to Google. is says what it is a member of.
func (m *mentions) skips(is, inner member) bool {
	switch inner {
	case structValue, schema:
		return true
	case callArgument:
		return is == functionPart
	case parameters:
		return m.depth > 1
	case formatSchema:
		return is == formatPart
	default:
		return is == functionSays && inner != contents
	}
}

// free reports whether nothing in a member is a model, but files may be named.
func (is member) free() bool {
	switch is {
	case freeForm, callArgument, parameters, formatPart, formatSchema, outcome, functionSays:
		return true
	default:
		return false
	}
}

// read looks at one string.
func (m *mentions) read(is member, text string, from, length int) {
	x := m.x
	replace := func(with string) {
		m.edits = append(m.edits, edit{from, from + length, rawjson.Quote(with)})
	}
	switch is {
	case addressed:
		google := x.googleURI(text)
		if google != text {
			replace(google)
		}
		m.address(google)
	case named, onlyNamed:
		if name := rootOf(text); is == onlyNamed || bindable(name) {
			m.own(name)
		} else if m.google(plainly(text)) {
			m.file(text)
		}
	case placed:
		m.place(text)
	case acting:
		if m.free == 0 {
			m.asked = append(m.asked, text)
		}
		if m.depth == 1 {
			m.agent = text
		}
		m.place(text)
	case interacted:
		m.own("interactions/" + strings.TrimSpace(text))
	case continued:
		m.resume(text)
	case modelled:
		if m.free > 0 {
			return
		}
		bare := strings.TrimPrefix(text, "models/")
		m.asked = append(m.asked, bare)
		if m.depth == 1 {
			m.model = bare
		}
		if name := rootOf(text); strings.HasPrefix(name, "tunedModels/") {
			m.own(name)
		} else if to := x.resolve(bare); to != bare {
			replace(text[:len(text)-len(bare)] + to)
		}
	default: // means nothing
	}
}

// own binds the request to a resource, which must be the user's.
func (m *mentions) own(name string) {
	res, f := m.x.owned(name)
	if f == nil {
		f = m.x.refer(res)
	}
	m.failure = f
}

// owned finds a resource of the user's. Those of others look like those that never
// were.
func (x *exchange) owned(name string) (res resource, f *translate.Failure) {
	if x.g.Resources == nil {
		return res, noSuchResource(name)
	}
	res, err := x.g.Resources.get(x.record.UserID, name)
	switch {
	case errors.Is(err, errNoResource):
		return res, noSuchResource(name)
	case err != nil:
		return res, storeFailed("What the request names could not be looked up")
	}
	return res, nil
}

// cache implements openai.Options.Cache.
func (x *exchange) cache(name string) *translate.Failure {
	res, f := x.owned(name)
	if f == nil && !strings.HasPrefix(name, "cachedContents/") {
		f = noSuchResource(name)
	}
	if f != nil {
		return f
	}
	return x.refer(res)
}

// googleFile finds a file's name in what is an address or the name itself.
var googleFile = regexp.MustCompile(`(?:^|/)((?:files|generatedFiles)/[^/?#:]+)`)

// wholeFile is a file's name, or an address of one as Google gives it out.
var wholeFile = regexp.MustCompile(`^(?:(?i:https?)://[^/?#@\\\s]+(?:/download)?/v1(?:beta|alpha)?/)?((?:files|generatedFiles)/[A-Za-z0-9._-]+)(?::download)?(?:[?#].*)?$`)

// escape is an octet of a URI in hexadecimal digits.
var escape = regexp.MustCompile(`%[0-9A-Fa-f]{2}`)

// plainly is what the laxest reader could make of a URI: unescaped, in lower case,
// and without blanks and control characters.
func plainly(uri string) string {
	uri = escape.ReplaceAllStringFunc(uri, func(octet string) string {
		b, _ := hex.DecodeString(octet[1:])
		return string(b)
	})
	return strings.ToLower(strings.Map(func(c rune) rune {
		if c <= ' ' || c == 0x7f || unicode.IsSpace(c) {
			return -1
		}
		return c
	}, uri))
}

// address looks at a URI: those of Google's files are a user's, others anybody's.
func (m *mentions) address(uri string) {
	switch plain := plainly(uri); {
	case strings.HasPrefix(plain, "gs://"):
		m.failure = translate.Invalid("fileUri", "Google Cloud Storage (gs://) is not reachable by this API. Upload the file.")
	case m.google(plain), !strings.Contains(plain, "://") && googleFile.MatchString(plain):
		m.file(uri)
	}
}

// google reports whether Google may take something for a file that it keeps. Which
// spellings it reads is not known: this holds for more than it can.
func (m *mentions) google(plain string) bool {
	host := strings.ToLower(m.x.g.Upstream.Host())
	return strings.Contains(plain, "generativelanguage") || host != "" && strings.Contains(plain, host) ||
		strings.HasPrefix(plain, "files/") || strings.HasPrefix(plain, "generatedfiles/")
}

// file binds the request to a file of Google's by its address or its name. What is
// neither is nobody's.
func (m *mentions) file(text string) {
	if name := wholeFile.FindStringSubmatch(strings.TrimSpace(text)); name != nil {
		m.own(name[1])
	} else {
		m.failure = noSuchResource(text)
	}
}

// place looks at the name of something that Google has of its own, too. Ids without
// their collection are looked up among all that this gateway knows of.
func (m *mentions) place(text string) {
	if name := rootOf(text); bindable(name) {
		m.own(name)
		return
	}
	id := strings.TrimSpace(text)
	for _, kind := range []string{"environments/", "agents/", "voices/"} {
		if m.x.g.Resources == nil {
			return
		}
		if _, err := m.x.g.Resources.get(everybody, kind+id); err == nil {
			m.own(kind + id)
			return
		}
	}
}

// everybody is the user under which it is written down that a name is somebody's.
const everybody = "*"

// resume binds the request to the project that an answer was begun in.
func (m *mentions) resume(token string) {
	m.own(continuation(token))
	if m.failure != nil && m.failure.Kind == translate.NotFound {
		m.failure = translate.Invalid("continuationToken", "The continuationToken is unknown here or has expired. Ask again without it.")
	}
}

// continuation is what a continuation token is recorded as: it is a secret, and long.
func continuation(token string) string {
	sum := sha256.Sum256([]byte(token))
	return "continuations/" + hex.EncodeToString(sum[:16])
}

// rootOf is the resource that a name is of, or below which it is: what one project
// has as a whole. Operations of models are on their own.
func rootOf(name string) string {
	name = strings.TrimSpace(name)
	parts := strings.SplitN(name, "/", 5)
	switch {
	case len(parts) >= 4 && parts[0] == "models":
		return strings.Join(parts[:4], "/")
	case len(parts) > 2:
		return parts[0] + "/" + parts[1]
	}
	return name
}

// bindable reports whether a name is of a kind that is recorded.
func bindable(name string) bool {
	kind, id, ok := strings.Cut(name, "/")
	_, known := lifetimes[kind]
	return ok && id != "" && known && kind != "models"
}
