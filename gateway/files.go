// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"net/http"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/openai"
)

// files answers OpenAI's files endpoints. Source: specs/openai.md §19.1.
func (x *exchange) files() *translate.Failure {
	if x.r.Method != http.MethodPost && x.taken != nil { // polling is not counted
		x.taken.Cancel()
		x.taken = nil
	}
	switch {
	case x.g.Resources == nil:
		return &translate.Failure{Kind: translate.UnknownURL, Message: "This gateway does not keep files."}
	case x.rt.verb == "content":
		return x.fileContent()
	case x.rt.op == opFile && x.r.Method == http.MethodDelete:
		return x.deleteFile()
	case x.rt.op == opFile:
		return x.getFile()
	case x.r.Method == http.MethodPost:
		return x.upload()
	default:
		return x.listFiles()
	}
}

// listFiles answers from the records: the user's files lie in any number of
// projects, which have files of others, too.
func (x *exchange) listFiles() *translate.Failure {
	query, f := openai.ParseFileQuery(x.r.URL.Query())
	if f != nil {
		return f
	}
	all, err := x.g.Resources.list(x.record.UserID, "files/")
	if err != nil {
		return storeFailed("The files could not be listed")
	}
	records := make(map[string]resource, len(all))
	objects := make([]openai.FileObject, 0, len(all))
	for _, res := range all {
		if res.File != nil {
			o := fileObject(res)
			objects, records[o.ID] = append(objects, o), res
		}
	}
	page, more := query.Page(objects)
	asked := 0
	for i := range page {
		res := records[page[i].ID]
		if res.File.State != gemini.FileProcessing || asked == maxRefreshed {
			continue
		}
		asked++
		if x.refresh(&res) == nil {
			page[i] = fileObject(res)
		}
	}
	return x.json(openai.AppendFiles(nil, page, more))
}

// maxRefreshed is how many files of a list Google is asked about; the status of
// the others may be old.
const maxRefreshed = 8

// getFile answers from the record, which is all that can change no more, or asks
// Google how the processing is going.
func (x *exchange) getFile() *translate.Failure {
	res, f := x.findFile(x.rt.id)
	if f != nil {
		return f
	}
	if res.File.State == gemini.FileProcessing {
		if f := x.refresh(&res); f != nil {
			return f
		}
	}
	return x.json(fileObject(res).Append(nil))
}

// deleteFile deletes at Google first: a record that is left over can be deleted
// again, a file that is left over cannot.
func (x *exchange) deleteFile() *translate.Failure {
	res, f := x.findFile(x.rt.id)
	if f != nil {
		return f
	}
	_, f = x.aside(&translate.Call{Method: http.MethodDelete, Path: "/v1beta/" + res.Name}, &res.Bound)
	if f != nil && f.Kind != translate.NotFound { // it is gone already, or nobody can reach it any more
		return f
	}
	if x.g.Resources.remove(x.record.UserID, res.Name) != nil {
		return storeFailed("The file is deleted, but not from this gateway's list")
	}
	return x.json(openai.FileDeleted(shownID(res)))
}

// fileContent refuses: Google does not give uploads back.
func (x *exchange) fileContent() *translate.Failure {
	res, f := x.findFile(x.rt.id)
	if f != nil {
		return f
	}
	return &translate.Failure{
		Kind: translate.NotFound, Param: "file_id", Code: "content_unavailable",
		Message: "The content of " + shownID(res) + " cannot be downloaded: Gemini does not give back what was uploaded.",
	}
}

func fileObject(res resource) openai.FileObject {
	o := openai.FileObject{
		ID: shownID(res), Bytes: res.File.Size, CreatedAt: res.Created.Unix(), Filename: res.File.Filename,
		Purpose: res.File.Purpose, Status: openai.FileStatus(res.File.State), Details: res.File.Error,
	}
	if o.Purpose == "" { // it came by Google's own API
		o.Purpose = "user_data"
	}
	if !res.Expires.IsZero() {
		o.ExpiresAt = res.Expires.Unix()
	}
	return o
}

// fileLife is how long Google keeps files. Source: specs/openai.md §4.3.
const fileLife = 48 * time.Hour

// bare stands for a call where no converter makes one.
func (x *exchange) bare() *translate.Failure {
	x.call = &translate.Call{Method: x.r.Method}
	return nil
}

// json answers with a document of ours.
func (x *exchange) json(body []byte) *translate.Failure {
	if x.out.answer(translate.Answer{Status: http.StatusOK, ContentType: "application/json", Body: body}) != nil {
		return x.gone().failure
	}
	return nil
}
