// SPDX-License-Identifier: Apache-2.0

package fakegemini

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// endpoint is one row of the routing table.
type endpoint struct {
	verb   string // HTTP method
	path   string // below the version; upload/ and download/ stand before the version. * is an id, ** more than one segment
	method string // Entry.Method; "" = what follows the last colon
	serve  func(*exchange)
}

// endpoints are what the server answers; the first hit counts.
// Source: specs/native-anthropic.md A.1.
var endpoints = slices.Concat(modelEndpoints, fileEndpoints, cacheEndpoints, batchEndpoints, operationEndpoints,
	storeEndpoints, tunedEndpoints, interactionEndpoints, plainEndpoints(), tokenEndpoints)

var tokenEndpoints = []endpoint{
	{"POST", "auth_tokens", "authTokens.create", (*exchange).createToken},
}

var modelEndpoints = []endpoint{
	{"GET", "models", "models.list", (*exchange).list},
	{"GET", "models/*", "models.get", (*exchange).get},
	{"POST", "models/*:batchGenerateContent", "", (*exchange).createBatch},
	{"POST", "models/*:asyncBatchEmbedContent", "", (*exchange).createBatch},
	{"POST", "models/*:predictLongRunning", "", (*exchange).predictLongRunning},
	{"POST", "models/*:predict", "", (*exchange).predict},
	{"POST", "models/**:*", "", (*exchange).serveModel},
}

var fileEndpoints = []endpoint{
	{"POST", "upload/files", "files.start", (*exchange).upload},
	{"PUT", "upload/files", "files.start", (*exchange).upload},
	{"POST", "files", "files.create", (*exchange).createFile},
	{"GET", "files", "files.list", (*exchange).listFiles},
	{"GET", "files/*", "files.get", (*exchange).getFile},
	{"DELETE", "files/*", "files.delete", (*exchange).deleteFile},
	{"GET", "files/*:download", "files.download", (*exchange).download},
	{"GET", "download/files/*:download", "files.download", (*exchange).download},
	{"GET", "generatedFiles", "generatedFiles.list", (*exchange).listGeneratedFiles},
}

var cacheEndpoints = []endpoint{
	{"POST", "cachedContents", "cachedContents.create", (*exchange).createCache},
	{"GET", "cachedContents", "cachedContents.list", (*exchange).listCaches},
	{"GET", "cachedContents/*", "cachedContents.get", (*exchange).getCache},
	{"PATCH", "cachedContents/*", "cachedContents.patch", (*exchange).patchCache},
	{"DELETE", "cachedContents/*", "cachedContents.delete", (*exchange).deleteCache},
}

var batchEndpoints = []endpoint{
	{"GET", "batches", "batches.list", (*exchange).listBatches},
	{"GET", "batches/*", "batches.get", (*exchange).getBatch},
	{"DELETE", "batches/*", "batches.delete", (*exchange).deleteBatch},
	{"POST", "batches/*:cancel", "batches.cancel", (*exchange).cancelBatch},
	{"PATCH", "batches/*:updateGenerateContentBatch", "batches.update", (*exchange).updateBatch},
	{"PATCH", "batches/*:updateEmbedContentBatch", "batches.update", (*exchange).updateBatch},
}

var operationEndpoints = []endpoint{
	{"GET", "operations", "operations.list", (*exchange).listOperations},
	{"DELETE", "operations/**", "operations.delete", (*exchange).deleteOperation},
	{"GET", "*/*/operations", "operations.list", (*exchange).listOperations},
	{"GET", "*/*/operations/*", "operations.get", (*exchange).getOperation},
	{"GET", "*/*/upload/operations/*", "operations.get", (*exchange).getOperation},
	{"POST", "*/*/operations/*:cancel", "operations.cancel", (*exchange).cancelOperation},
}

var storeEndpoints = []endpoint{
	{"POST", "fileSearchStores", "fileSearchStores.create", (*exchange).createStore},
	{"GET", "fileSearchStores", "fileSearchStores.list", (*exchange).listStores},
	{"GET", "fileSearchStores/*", "fileSearchStores.get", (*exchange).getStore},
	{"DELETE", "fileSearchStores/*", "fileSearchStores.delete", (*exchange).deleteStore},
	{"POST", "fileSearchStores/*:importFile", "fileSearchStores.importFile", (*exchange).importFile},
	{"POST", "upload/fileSearchStores/*:uploadToFileSearchStore", "fileSearchStores.start", (*exchange).upload},
	{"PUT", "upload/fileSearchStores/*:uploadToFileSearchStore", "fileSearchStores.start", (*exchange).upload},
	{"GET", "fileSearchStores/*/documents", "documents.list", (*exchange).listDocuments},
	{"GET", "fileSearchStores/*/documents/*", "documents.get", (*exchange).getDocument},
	{"DELETE", "fileSearchStores/*/documents/*", "documents.delete", (*exchange).deleteDocument},
}

var tunedEndpoints = []endpoint{
	{"POST", "tunedModels", "tunedModels.create", (*exchange).createTunedModel},
	{"GET", "tunedModels", "tunedModels.list", (*exchange).listCamel},
	{"GET", "tunedModels/*", "tunedModels.get", (*exchange).getCamel},
	{"PATCH", "tunedModels/*", "tunedModels.patch", (*exchange).patchCamel},
	{"DELETE", "tunedModels/*", "tunedModels.delete", (*exchange).deleteCamel},
	{"POST", "tunedModels/*:transferOwnership", "tunedModels.transferOwnership", (*exchange).transferOwnership},
	{"POST", "tunedModels/*:*", "", (*exchange).serveModel},
	{"POST", "corpora", "corpora.create", (*exchange).createCorpus},
	{"GET", "corpora", "corpora.list", (*exchange).listCamel},
	{"GET", "corpora/*", "corpora.get", (*exchange).getCamel},
	{"DELETE", "corpora/*", "corpora.delete", (*exchange).deleteCamel},
	{"POST", "*/*/permissions", "permissions.create", (*exchange).createPermission},
	{"GET", "*/*/permissions", "permissions.list", (*exchange).listCamel},
	{"GET", "*/*/permissions/*", "permissions.get", (*exchange).getCamel},
	{"PATCH", "*/*/permissions/*", "permissions.patch", (*exchange).patchCamel},
	{"DELETE", "*/*/permissions/*", "permissions.delete", (*exchange).deleteCamel},
}

var interactionEndpoints = []endpoint{
	{"POST", "interactions", "interactions.create", (*exchange).createInteraction},
	{"GET", "interactions/*", "interactions.get", (*exchange).getInteraction},
	{"DELETE", "interactions/*", "interactions.delete", (*exchange).deleteInteraction},
	{"POST", "interactions/*/cancel", "interactions.cancel", (*exchange).cancelInteraction},
}

// plainEndpoints are those of the plain resources, environments' older spellings
// among them.
func plainEndpoints() []endpoint {
	all := []endpoint{
		{"POST", "environments:create", "environments.create", (*exchange).createPlain},
		{"GET", "environments:list", "environments.list", (*exchange).listPlain},
		{"GET", "environments/*:get", "environments.get", (*exchange).getPlain},
		{"DELETE", "environments/*:delete", "environments.delete", (*exchange).deletePlain},
		{"GET", "environments/*/files", "environments.files", (*exchange).environmentFiles},
		{"GET", "environments/*/files/**", "environments.files", (*exchange).environmentFiles},
		{"PUT", "upload/environments/*/files/**", "environments.start", (*exchange).upload},
		{"POST", "upload/environments/*/files/**", "environments.start", (*exchange).upload},
		{"POST", "webhooks/*:ping", "webhooks.ping", (*exchange).actPlain},
		{"POST", "webhooks/*:rotateSigningSecret", "webhooks.rotateSigningSecret", (*exchange).actPlain},
		{"POST", "triggers/*/executions", "triggers.run", (*exchange).actPlain},
		{"GET", "triggers/*/executions", "triggers.executions", (*exchange).listExecutions},
	}
	for _, family := range []string{"agents", "credentials", "environments", "voices", "webhooks", "triggers"} {
		all = append(all,
			endpoint{"POST", family, family + ".create", (*exchange).createPlain},
			endpoint{"GET", family, family + ".list", (*exchange).listPlain},
			endpoint{"GET", family + "/*", family + ".get", (*exchange).getPlain},
			endpoint{"DELETE", family + "/*", family + ".delete", (*exchange).deletePlain})
	}
	for _, family := range []string{"credentials", "webhooks", "triggers"} {
		all = append(all, endpoint{"PATCH", family + "/*", family + ".patch", (*exchange).patchPlain})
	}
	return all
}

// patterns are the endpoints' paths, compiled.
var patterns = func() []*regexp.Regexp {
	var all []*regexp.Regexp
	for _, p := range endpoints {
		text := strings.NewReplacer(`\*\*`, `([^:]+)`, `\*`, `([^/:]+)`).Replace(regexp.QuoteMeta(p.path))
		all = append(all, regexp.MustCompile("^"+text+"$"))
	}
	return all
}()

// route takes a request's path apart. Without an endpoint there is no such method.
func (x *exchange) route() {
	r := x.r
	x.e = &Entry{
		Key: r.Header.Get("X-Goog-Api-Key"), HTTPMethod: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery,
		Proto: r.Proto, Remote: r.RemoteAddr, Header: r.Header.Clone(),
	}
	if x.routeLive() {
		return
	}
	head, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	x.version, x.rest = head, rest
	if head == "upload" || head == "download" {
		x.version, x.rest, _ = strings.Cut(rest, "/")
		rest = head + "/" + x.rest
	}
	if !slices.Contains([]string{"v1", "v1beta", "v1alpha"}, x.version) {
		return
	}
	for i := range endpoints {
		p := &endpoints[i]
		if p.verb != r.Method {
			continue
		}
		ids := patterns[i].FindStringSubmatch(rest)
		if ids == nil {
			continue
		}
		x.endpoint, x.ids = p, ids[1:]
		break
	}
	if x.endpoint == nil {
		return
	}
	x.e.Method = x.endpoint.method
	if x.e.Method == "" {
		x.e.Method = rest[strings.LastIndex(rest, ":")+1:]
	}
	switch tuned := strings.HasPrefix(rest, "tunedModels/"); {
	case strings.HasPrefix(rest, "models/"):
		x.e.Model = x.ids[0]
	case tuned && messageOf[x.e.Method] != "":
		x.e.Model = "tunedModels/" + x.ids[0]
	}
	if head == "upload" && r.URL.Query().Has("upload_id") {
		x.e.Method = strings.TrimSuffix(x.e.Method, ".start") + ".upload"
	}
}

// byUpload reports whether the id of an upload is the request's credential.
func (x *exchange) byUpload() bool {
	return strings.HasSuffix(x.e.Method, ".upload") && x.e.Key == ""
}

// notInVersion answers for what Config.OnlyBeta names.
func (x *exchange) notInVersion() (answered bool) {
	family, _, _ := strings.Cut(x.rest, "/")
	family, _, _ = strings.Cut(family, ":")
	if x.version != "v1" || !slices.Contains(x.s.cfg.OnlyBeta, family) {
		return false
	}
	x.note("not in this version")
	x.error(failure(http.StatusNotFound, family+" is not found for API version v1, or is not supported for "+x.e.Method+"."))
	return true
}
