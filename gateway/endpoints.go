// SPDX-License-Identifier: Apache-2.0

package gateway

// operation is an endpoint's behaviour, independent of the path it came by.
type operation uint8

const (
	opUnknown operation = iota // a path under an API prefix that is not served
	opChat
	opCompletions
	opResponses
	opInputTokens
	opResponse // one that is kept
	opEmbeddings
	opImages
	opImageEdits
	opSpeech
	opTranscriptions
	opTranslations
	opFiles
	opFile
	opModels
	opModel

	opMessages
	opCountTokens
	opAnthropicModels
	opAnthropicModel

	opNative // asks a model; body passes through, method in route.verb
	opNativeModels
	opMake       // asks a model for something that stays in a project: an operation, a batch
	opCollection // lists what the user has of a kind, or makes one more
	opResource   // is about one of them, or what is below it
	opInteract   // makes an interaction
	opUpload
	opDownload
	opLive
	opAuthTokens
	opUnimplemented // Google has it, this gateway cannot
)

// endpoint is a row of the tables below.
type endpoint struct {
	path    string // below the dialect's prefix; {model}, {id} and the like stand for one segment
	methods string
	op      operation
}

// openaiEndpoints are served below /v1, /openai/v1 and /v1beta/openai. Anything
// else there is a 404 in OpenAI's words.
var openaiEndpoints = []endpoint{
	{"chat/completions", "POST", opChat},
	{"completions", "POST", opCompletions},
	{"responses", "POST", opResponses},
	{"responses/input_tokens", "POST", opInputTokens},
	{"responses/{id}", "GET, HEAD, DELETE", opResponse},
	{"responses/{id}/input_items", "GET, HEAD", opResponse},
	{"responses/{id}/cancel", "POST", opResponse},
	{"embeddings", "POST", opEmbeddings},
	{"images/generations", "POST", opImages},
	{"images/edits", "POST", opImageEdits},
	{"audio/speech", "POST", opSpeech},
	{"audio/transcriptions", "POST", opTranscriptions},
	{"audio/translations", "POST", opTranslations},
	{"files", "GET, HEAD, POST", opFiles},
	{"files/{id}", "GET, HEAD, DELETE", opFile},
	{"files/{id}/content", "GET, HEAD", opFile},
	{"models", "GET, HEAD", opModels},
	{"models/{model}", "GET, HEAD", opModel},
}

// anthropicEndpoints are served below /v1 and /anthropic/v1. Anything else there
// is a 404 in Anthropic's words.
// Source: specs/native-anthropic.md C.0.
var anthropicEndpoints = []endpoint{
	{"messages", "POST", opMessages},
	{"messages/count_tokens", "POST", opCountTokens},
	{"models", "GET, HEAD", opAnthropicModels},
	{"models/{model}", "GET, HEAD", opAnthropicModel},
}

// geminiEndpoints are served below /v1beta, /v1 and /v1alpha; what is below
// /upload, /download and /ws has that word after the version here. Dead methods are
// 404 as any unknown one.
// Source: specs/native-anthropic.md A.1.
var geminiEndpoints = []endpoint{
	{"models/{model}:generateContent", "POST", opNative},
	{"models/{model}:streamGenerateContent", "POST", opNative},
	{"models/{model}:countTokens", "POST", opNative},
	{"models/{model}:embedContent", "POST", opNative},
	{"models/{model}:batchEmbedContents", "POST", opNative},
	{"models/{model}:predict", "POST", opNative},
	{"models/{model}:predictLongRunning", "POST", opMake},
	{"models/{model}:batchGenerateContent", "POST", opMake},
	{"models/{model}:asyncBatchEmbedContent", "POST", opMake},
	{"models", "GET, HEAD", opNativeModels},
	{"models/{model}", "GET, HEAD", opNativeModels},
	{"models/{model}/operations", "GET", opCollection},
	{"models/{model}/operations/{id}", "GET", opResource},
	{"dynamic/{model}:generateContent", "POST", opNative},
	{"dynamic/{model}:streamGenerateContent", "POST", opNative},

	{"tunedModels/{model}:generateContent", "POST", opNative},
	{"tunedModels/{model}:streamGenerateContent", "POST", opNative},
	{"tunedModels/{model}:countTokens", "POST", opNative},
	{"tunedModels/{model}:batchGenerateContent", "POST", opMake},
	{"tunedModels/{model}:asyncBatchEmbedContent", "POST", opMake},
	{"tunedModels", "GET, POST", opCollection},
	{"tunedModels/{id}", "GET, PATCH, DELETE", opResource},
	{"tunedModels/{id}:transferOwnership", "POST", opResource},
	{"tunedModels/{id}/permissions", "GET, POST", opResource},
	{"tunedModels/{id}/permissions/{permission}", "GET, PATCH, DELETE", opResource},
	{"tunedModels/{id}/operations", "GET", opResource},
	{"tunedModels/{id}/operations/{operation}", "GET", opResource},
	{"tunedModels/{id}/operations/{operation}:cancel", "POST", opResource},

	{"upload/files", "POST, PUT", opUpload},
	{"upload/fileSearchStores/{id}:uploadToFileSearchStore", "POST, PUT", opUpload},
	{"upload/environments/{id}/files/{path}", "POST, PUT", opUpload},
	{"download/files/{id}:download", "GET, HEAD", opDownload},
	{"files", "GET, POST", opCollection},
	{"files:register", "POST", opUnimplemented}, // wants the client's own OAuth
	{"files/{id}", "GET, DELETE", opResource},
	{"files/{id}:download", "GET, HEAD", opDownload},
	{"generatedFiles", "GET", opCollection},
	{"generatedFiles/{id}", "GET", opResource},
	{"generatedFiles/{id}:download", "GET, HEAD", opDownload},
	{"generatedFiles/{id}/operations/{operation}", "GET", opResource},

	{"cachedContents", "GET, POST", opCollection},
	{"cachedContents/{id}", "GET, PATCH, DELETE", opResource},
	{"batches", "GET", opCollection},
	{"batches/{id}", "GET, DELETE", opResource},
	{"batches/{id}:cancel", "POST", opResource},
	{"batches/{id}:updateGenerateContentBatch", "PATCH", opResource},
	{"batches/{id}:updateEmbedContentBatch", "PATCH", opResource},
	{"operations", "GET", opCollection},
	{"operations/{id}", "GET, DELETE", opResource},

	{"fileSearchStores", "GET, POST", opCollection},
	{"fileSearchStores/{id}", "GET, DELETE", opResource},
	{"fileSearchStores/{id}:importFile", "POST", opResource},
	{"fileSearchStores/{id}/documents", "GET", opResource},
	{"fileSearchStores/{id}/documents/{document}", "GET, DELETE", opResource},
	{"fileSearchStores/{id}/operations/{operation}", "GET", opResource},
	{"fileSearchStores/{id}/upload/operations/{operation}", "GET", opResource},
	{"corpora", "GET, POST", opCollection},
	{"corpora/{id}", "GET, DELETE", opResource},
	{"corpora/{id}/permissions", "GET, POST", opResource},
	{"corpora/{id}/permissions/{permission}", "GET, PATCH, DELETE", opResource},
	{"corpora/{id}/operations/{operation}", "GET", opResource},

	{"interactions", "POST", opInteract},
	{"interactions/{id}", "GET, DELETE", opResource},
	{"interactions/{id}/cancel", "POST", opResource},
	{"environments", "GET, POST", opCollection},
	{"environments:create", "POST", opCollection},
	{"environments:list", "GET", opCollection},
	{"environments/{id}", "GET, DELETE", opResource},
	{"environments/{id}:get", "GET", opResource},
	{"environments/{id}:delete", "DELETE, POST", opResource},
	{"environments/{id}/files", "GET", opResource},
	{"environments/{id}/files/{path}", "GET", opDownload},
	{"voices", "GET, POST", opCollection},
	{"voices/{id}", "GET, DELETE", opResource},
	{"agents", "GET, POST", opCollection}, // these four: see adminCollections
	{"agents/{id}", "GET, DELETE", opResource},
	{"credentials", "GET, POST", opCollection},
	{"credentials/{id}", "GET, PATCH, DELETE", opResource},
	{"webhooks", "GET, POST", opCollection},
	{"webhooks/{id}", "GET, PATCH, DELETE", opResource},
	{"webhooks/{id}:ping", "POST", opResource},
	{"webhooks/{id}:rotateSigningSecret", "POST", opResource},
	{"triggers", "GET, POST", opCollection},
	{"triggers/{id}", "GET, PATCH, DELETE", opResource},
	{"triggers/{id}/executions", "GET, POST", opResource},

	{"auth_tokens", "POST", opAuthTokens},
	{"ws/BidiGenerateContent", "GET", opLive},
	{"ws/BidiGenerateContentConstrained", "GET", opLive},
	{"ws/BidiGenerateMusic", "GET", opLive},
}
