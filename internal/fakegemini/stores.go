// SPDX-License-Identifier: Apache-2.0

package fakegemini

import (
	"cmp"
	"encoding/json"
	"maps"
	"regexp"
	"strconv"
	"strings"

	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// store is a file search store; storeDocument is what was put into one.
type (
	store         struct{ display string }
	storeDocument struct {
		display, mime string
		size          int64
		metadata      rawjson.Value // customMetadata
	}
)

// noStore is Google's answer for a store of another project and for none alike.
func noStore(name string) answer {
	return failure(403, "You do not have permission to access the file search store "+strings.TrimPrefix(name, "fileSearchStores/")+" or it may not exist.")
}

func noDocument(name string) answer {
	return failure(403, "You do not have permission to access the Document "+name[strings.LastIndex(name, "/")+1:]+" or it may not exist.")
}

// ownedStore answers itself where there is none.
func (x *exchange) ownedStore() *resource {
	name := "fileSearchStores/" + x.ids[0]
	r := x.owned(name)
	if r == nil {
		x.error(noStore(name))
	}
	return r
}

// shownStore is a store as Google's JSON. The caller holds s.mu.
func (s *Server) shownStore(r *resource) object {
	documents := s.family(r.project, r.name+"/documents/")
	o := object{"name": r.name, "createTime": stamp(r.created), "updateTime": stamp(r.updated)}
	if d := r.value.(*store).display; d != "" {
		o["displayName"] = d
	}
	if len(documents) > 0 {
		var size int64
		for _, d := range documents {
			size += d.value.(*storeDocument).size
		}
		o["activeDocumentsCount"], o["sizeBytes"] = strconv.Itoa(len(documents)), strconv.FormatInt(size, 10)
	}
	return o
}

var notInNames = regexp.MustCompile(`[^a-z0-9]+`)

// createStore names a store after its display name, with a random end.
func (x *exchange) createStore() {
	v, ok := x.body()
	if !ok {
		return
	}
	s, display := x.s, get(v, "displayName").Text()
	s.mu.Lock()
	id := s.newID(12)
	if words := strings.Trim(notInNames.ReplaceAllString(strings.ToLower(display), "-"), "-"); words != "" {
		id = strings.TrimRight(words[:min(len(words), 27)], "-") + "-" + id
	}
	shown := s.shownStore(s.keep(x.e.Project, "fileSearchStores/"+id, &store{display}))
	s.mu.Unlock()
	x.json(pretty(shown))
}

func (x *exchange) listStores() {
	x.s.mu.Lock()
	var shown []object
	for _, r := range x.s.family(x.e.Project, "fileSearchStores/") {
		if _, ok := r.value.(*store); ok {
			shown = append(shown, x.s.shownStore(r))
		}
	}
	x.s.mu.Unlock()
	page(x, "fileSearchStores", shown, 10, 20)
}

func (x *exchange) getStore() {
	if r := x.ownedStore(); r != nil {
		x.s.mu.Lock()
		shown := x.s.shownStore(r)
		x.s.mu.Unlock()
		x.json(pretty(shown))
	}
}

// deleteStore deletes what is in the store too, when that is said.
func (x *exchange) deleteStore() {
	r := x.ownedStore()
	if r == nil {
		return
	}
	x.s.mu.Lock()
	full := len(x.s.family(r.project, r.name+"/documents/")) > 0
	if force := x.r.URL.Query().Get("force") == "true"; force || !full {
		maps.DeleteFunc(x.s.resources, func(k ownedKey, _ *resource) bool {
			return k.project == r.project && strings.HasPrefix(k.name, r.name+"/")
		})
		full = false
	}
	x.s.mu.Unlock()
	if full {
		x.error(failureAs(400, "FAILED_PRECONDITION", "Cannot delete non-empty FileSearchStore."))
		return
	}
	x.remove(r)
}

// importFile puts a file of the project into a store.
func (x *exchange) importFile() {
	v, ok := x.body()
	if !ok {
		return
	}
	r := x.ownedStore()
	if r == nil {
		return
	}
	f, a := x.file(get(v, "fileName").Text())
	if f == nil {
		x.error(a)
		return
	}
	d := &storeDocument{display: cmp.Or(f.display, f.name), mime: f.mime, size: f.size, metadata: get(v, "customMetadata")}
	x.s.mu.Lock()
	shown := x.s.index(r.project, r.name, r.name+"/operations/", "ImportFileResponse", d)
	x.s.mu.Unlock()
	x.json(pretty(shown))
}

// indexUpload puts what was uploaded into a store. The caller holds s.mu.
func (s *Server) indexUpload(u *upload) object {
	d := &storeDocument{display: u.display, mime: u.mime, size: u.received}
	return s.index(u.project, u.store, u.store+"/upload/operations/", "UploadToFileSearchStoreResponse", d)
}

// index is the operation that makes a document. The caller holds s.mu.
func (s *Server) index(project, store, operations, kind string, d *storeDocument) object {
	id := s.newID(12)
	return s.begin(project, operations+id, nil, func() (object, object) {
		if strings.Contains(d.display, "broken") {
			return nil, object{"code": 13, "message": "Failed to process the file."}
		}
		name := store + "/documents/" + cmp.Or(strings.Trim(notInNames.ReplaceAllString(strings.ToLower(d.display), ""), "-"), "document") + "-" + id
		s.keep(project, name, d)
		return object{"@type": "type.googleapis.com/google.ai.generativelanguage.v1main." + kind, "parent": store, "documentName": name}, nil
	})
}

func shownDocument(r *resource) object {
	d := r.value.(*storeDocument)
	o := object{
		"name": r.name, "displayName": d.display, "mimeType": d.mime, "sizeBytes": strconv.FormatInt(d.size, 10), "state": "STATE_ACTIVE",
		"createTime": stamp(r.created), "updateTime": stamp(r.updated),
	}
	if !d.metadata.IsNull() {
		o["customMetadata"] = json.RawMessage(d.metadata)
	}
	return o
}

func (x *exchange) listDocuments() {
	r := x.ownedStore()
	if r == nil {
		return
	}
	x.s.mu.Lock()
	var shown []object
	for _, d := range x.s.family(r.project, r.name+"/documents/") {
		shown = append(shown, shownDocument(d))
	}
	x.s.mu.Unlock()
	page(x, "documents", shown, 10, 20)
}

func (x *exchange) getDocument() {
	if r := x.owned(x.rest); r == nil {
		x.error(noDocument(x.rest))
	} else {
		x.json(pretty(shownDocument(r)))
	}
}

// deleteDocument wants force, as every document has chunks.
func (x *exchange) deleteDocument() {
	switch r := x.owned(x.rest); {
	case r == nil:
		x.error(noDocument(x.rest))
	case x.r.URL.Query().Get("force") != "true":
		x.error(failureAs(400, "FAILED_PRECONDITION", "Cannot delete non-empty Document."))
	default:
		x.remove(r)
	}
}

// storesUsable checks the stores that a request's tools search in.
func (x *exchange) storesUsable(q *request) answer {
	for _, name := range q.stores {
		if x.owned(name) == nil {
			return noStore(name)
		}
	}
	return answer{}
}
