// SPDX-License-Identifier: Apache-2.0

package fakegemini

import (
	"bytes"
	"encoding/json"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// batch is one of the batches. Its answers are made when it is, and shown once
// it has succeeded.
type batch struct {
	model, display string
	embed          bool
	source         string // file that the requests came from; "" = they were in the body
	results        []batchResult
	forced         string // state that SetBatchState said
	ended          time.Time
	file           string // with the results, once there is one
}

// batchResult is the answer to one request of a batch.
type batchResult struct {
	key      string        // of a line of a file
	metadata rawjson.Value // of an inlined request
	response any           // nil = failed
	failure  any
}

// The states of batches.
const (
	BatchPending   = "BATCH_STATE_PENDING"
	BatchRunning   = "BATCH_STATE_RUNNING"
	BatchSucceeded = "BATCH_STATE_SUCCEEDED"
	BatchFailed    = "BATCH_STATE_FAILED"
	BatchCancelled = "BATCH_STATE_CANCELLED"
	BatchExpired   = "BATCH_STATE_EXPIRED"
)

func (r *resource) batch() *batch { return r.value.(*batch) }

// SetBatchState puts a batch into one of the states above, where it stays.
func (s *Server) SetBatchState(project, name, state string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.resources[ownedKey{project, name}]; r != nil {
		r.batch().forced = state
	}
}

func (s *Server) batchState(r *resource) string {
	b, age := r.batch(), s.cfg.Now().Sub(r.created)
	switch {
	case b.forced != "":
		return b.forced
	case age < s.cfg.BatchTime/2:
		return BatchPending
	case age < s.cfg.BatchTime:
		return BatchRunning
	case strings.Contains(b.display, "broken"):
		return BatchFailed
	}
	return BatchSucceeded
}

// createBatch answers batchGenerateContent and asyncBatchEmbedContent.
func (x *exchange) createBatch() {
	s, e := x.s, x.e
	v, ok := x.body()
	if !ok {
		return
	}
	if a := x.findModel(e.Method); a.status != 0 {
		x.error(a)
		return
	}
	b, bad := x.readBatch(v.Get("batch"))
	if bad.status != 0 {
		x.error(bad)
		return
	}
	s.mu.Lock()
	r := s.keep(e.Project, "batches/"+s.newID(36), b)
	shown := s.shownBatch(r, BatchPending)
	s.mu.Unlock()
	x.json(pretty(shown))
}

// readBatch reads the requests and answers them.
func (x *exchange) readBatch(v rawjson.Value) (*batch, answer) {
	input := get(v, "inputConfig")
	b := &batch{model: x.e.Model, display: get(v, "displayName").Text(), embed: x.e.Method == "asyncBatchEmbedContent", source: get(input, "fileName").Text()}
	if b.source != "" {
		f, a := x.file(b.source)
		switch {
		case f == nil:
			return nil, a
		case f.state(x.s.cfg.Now()) != "ACTIVE":
			return nil, notActive(f)
		}
		for line := range bytes.Lines(f.content) {
			if line = bytes.TrimSpace(line); len(line) == 0 {
				continue
			}
			r, err := rawjson.Parse(line)
			if err != nil {
				b.results = append(b.results, batchResult{failure: batchError(failure(400, "Failed to parse request line: "+err.Error()))})
				continue
			}
			b.add(x, r.Get("request"), batchResult{key: r.Get("key").Text()})
		}
	} else {
		for _, r := range input.Get("requests").Get("requests").Elems() {
			b.add(x, r.Get("request"), batchResult{metadata: r.Get("metadata")})
		}
	}
	if len(b.results) == 0 {
		return nil, failure(400, "* BatchGenerateContentRequest.batch.input_config: batch must have at least one request\n")
	}
	return b, answer{}
}

// add answers one request of the batch, by the rules for requests of their own.
func (b *batch) add(x *exchange, body rawjson.Value, r batchResult) {
	e := &Entry{N: x.e.N, Project: x.e.Project, Model: x.e.Model, Method: "generateContent", Body: body}
	if b.embed {
		e.Method = "embedContent"
	}
	one := &exchange{s: x.s, r: x.r, e: e, version: x.version, model: x.model, part: len(b.results) + 1}
	if answer, bad := one.single(); bad.status != 0 {
		r.failure = batchError(bad)
	} else {
		r.response = answer
	}
	b.results = append(b.results, r)
}

// single is the answer to a request that is not sent to anybody.
func (x *exchange) single() (any, answer) {
	if len(x.e.Body) == 0 {
		return nil, failure(400, "Request is missing.")
	}
	q, bad := x.decode()
	if bad.status != 0 {
		return nil, bad
	}
	if a := x.usable(q); a.status != 0 {
		return nil, a
	}
	if x.e.Method == "embedContent" {
		v, bad := x.vector(q.body, q.lastText)
		return object{"embedding": v, "usageMetadata": object{"promptTokenCount": q.tokens}}, bad
	}
	if x.steer.read(q.lastText); x.steer.Status >= 400 {
		return nil, failure(x.steer.Status, messages[x.steer.Status])
	}
	return x.whole(q, x.compose(q)), answer{}
}

// batchError is an error as it stands in results: google.rpc.Status.
func batchError(a answer) any {
	var body struct {
		Error struct {
			Code    int    `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	if err := json.Unmarshal(a.body, &body); err != nil {
		panic(err) // our own JSON
	}
	return object{"code": rpcNumbers[body.Error.Code], "message": body.Error.Message}
}

// rpcNumbers are the codes of google.rpc.Code.
var rpcNumbers = map[int]int{400: 3, 401: 16, 403: 7, 404: 5, 409: 10, 429: 8, 499: 1, 500: 13, 501: 12, 503: 14, 504: 4}

// shownBatch is a batch as Google's JSON, an operation. state "" = the present
// one. The caller holds s.mu.
func (s *Server) shownBatch(r *resource, state string) object {
	b, kind := r.batch(), "GenerateContentBatch"
	if b.embed {
		kind = "EmbedContentBatch"
	}
	if state == "" {
		state = s.batchState(r)
	}
	const typeURL = "type.googleapis.com/google.ai.generativelanguage.v1main."
	total := strconv.Itoa(len(b.results))
	stats := object{"requestCount": total}
	m := object{
		"@type": typeURL + kind, "model": "models/" + b.model, "displayName": b.display, "name": r.name, "state": state,
		"createTime": stamp(r.created), "updateTime": stamp(r.updated), "batchStats": stats,
	}
	if b.source != "" {
		m["inputConfig"] = object{"fileName": b.source}
	}
	shown := object{"name": r.name, "metadata": m}
	switch state {
	case BatchPending, BatchRunning:
		stats["pendingRequestCount"] = total
		return shown
	}
	if b.ended.IsZero() {
		b.ended = s.cfg.Now()
	}
	shown["done"] = true
	m["endTime"], m["updateTime"] = stamp(b.ended), stamp(b.ended)
	if state != BatchSucceeded {
		shown["error"] = batchEnds[state]
		return shown
	}
	good := 0
	for _, one := range b.results {
		if one.response != nil {
			good++
		}
	}
	stats["successfulRequestCount"] = strconv.Itoa(good)
	if bad := len(b.results) - good; bad > 0 {
		stats["failedRequestCount"] = strconv.Itoa(bad)
	}
	output := s.batchOutput(r)
	m["output"] = output
	response := maps.Clone(output)
	response["@type"] = typeURL + kind + "Output"
	shown["response"] = response
	return shown
}

// batchEnds are the errors of batches that ended without results.
var batchEnds = map[string]object{
	BatchFailed:    {"code": 13, "message": "Batch processing failed."},
	BatchCancelled: {"code": 1, "message": "Batch was cancelled."},
	BatchExpired:   {"code": 4, "message": "Batch expired before it was processed."},
}

// batchOutput are the results: inlined when the requests were, else in a file.
// The caller holds s.mu.
func (s *Server) batchOutput(r *resource) object {
	b := r.batch()
	if b.source != "" {
		if b.file == "" {
			b.file = "files/batch-" + strings.TrimPrefix(r.name, "batches/")[:12]
			s.addGenerated(r.project, b.file, "jsonl", b.lines())
		}
		return object{"responsesFile": b.file}
	}
	var list []object
	for _, one := range b.results {
		o := object{}
		if one.metadata != nil {
			o["metadata"] = json.RawMessage(one.metadata)
		}
		if o["response"] = one.response; one.response == nil {
			delete(o, "response")
			o["error"] = one.failure
		}
		list = append(list, o)
	}
	return object{"inlinedResponses": object{"inlinedResponses": list}}
}

// lines are the results as JSONL.
func (b *batch) lines() []byte {
	var out bytes.Buffer
	for _, one := range b.results {
		o := object{"key": one.key}
		if o["response"] = one.response; one.response == nil {
			delete(o, "response")
			o["error"] = one.failure
		}
		out.Write(append(compact(pretty(o)), '\n'))
	}
	return out.Bytes()
}

func (x *exchange) listBatches() {
	s := x.s
	s.mu.Lock()
	var shown []object
	for _, r := range s.family(x.e.Project, "batches/") {
		shown = append(shown, s.shownBatch(r, ""))
	}
	s.mu.Unlock()
	page(x, "operations", shown, 50, 100)
}

// ownedBatch answers itself where there is none.
func (x *exchange) ownedBatch() *resource {
	name, _, _ := strings.Cut(x.rest, ":")
	r := x.owned(name)
	if r == nil {
		x.error(failure(404, messages[404]))
	}
	return r
}

func (x *exchange) getBatch() {
	if r := x.ownedBatch(); r != nil {
		x.s.mu.Lock()
		shown := x.s.shownBatch(r, "")
		x.s.mu.Unlock()
		x.json(pretty(shown))
	}
}

func (x *exchange) deleteBatch() {
	if r := x.ownedBatch(); r != nil {
		x.remove(r)
	}
}

func (x *exchange) cancelBatch() {
	r := x.ownedBatch()
	if r == nil {
		return
	}
	x.s.mu.Lock()
	if state := x.s.batchState(r); state == BatchPending || state == BatchRunning {
		r.batch().forced = BatchCancelled
	}
	x.s.mu.Unlock()
	x.json([]byte("{}\n"))
}

// updateBatch changes what a batch is called.
func (x *exchange) updateBatch() {
	v, ok := x.body()
	if !ok {
		return
	}
	r := x.ownedBatch()
	if r == nil {
		return
	}
	x.s.mu.Lock()
	if name := get(v, "displayName").Text(); name != "" {
		r.batch().display, r.updated = name, x.s.cfg.Now()
	}
	shown := x.s.shownBatch(r, "")
	x.s.mu.Unlock()
	x.json(pretty(shown["metadata"]))
}
