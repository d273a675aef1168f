// SPDX-License-Identifier: Apache-2.0

package admin

import "net/http"

// geminiKeyRoutes are about the pool. Fixed paths stand before those with {id}.
var geminiKeyRoutes = []route{
	{method: http.MethodGet, path: "/admin/explain", params: []string{"model", "user_key", "tokens", "standing", "limit", "offset"}, operate: (*api).explain},
	{method: http.MethodGet, path: "/admin/quotas", params: []string{"model", "project", "limit", "offset"}, operate: (*api).listQuotas},

	{method: http.MethodGet, path: "/admin/keys/gemini", params: geminiKeyParams, operate: (*api).listGeminiKeys},
	{method: http.MethodPost, path: "/admin/keys/gemini", operate: (*api).addGeminiKeys, idempotent: true},
	{method: http.MethodGet, path: "/admin/keys/gemini/rests", params: []string{"limit"}, operate: (*api).listRests},
	{method: http.MethodGet, path: "/admin/keys/gemini/tags", operate: (*api).listTags},
	{method: http.MethodGet, path: "/admin/keys/gemini/deleted", params: []string{"limit", "offset", "batch"}, operate: (*api).listDeleted},
	{method: http.MethodPost, path: "/admin/keys/gemini/bulk", operate: (*api).bulkGeminiKeys, idempotent: true},
	{method: http.MethodPost, path: "/admin/keys/gemini/import", params: importParams, operate: (*api).importGeminiKeys, accepts: importTypes, maxBody: maxImportBody, idempotent: true},
	{method: http.MethodPost, path: "/admin/keys/gemini/import/undo", operate: (*api).undoImport, idempotent: true},
	{method: http.MethodPost, path: "/admin/keys/gemini/validate", operate: (*api).validateGeminiKeys, idempotent: true},
	{method: http.MethodPost, path: "/admin/keys/gemini/export", operate: (*api).exportGeminiKeys, secret: true},
	{method: http.MethodGet, path: "/admin/keys/gemini/{id}", operate: (*api).getGeminiKey},
	{method: http.MethodPatch, path: "/admin/keys/gemini/{id}", operate: (*api).editGeminiKey},
	{method: http.MethodDelete, path: "/admin/keys/gemini/{id}", operate: (*api).deleteGeminiKey},
	{method: http.MethodPost, path: "/admin/keys/gemini/{id}/enable", operate: (*api).enableGeminiKey},
	{method: http.MethodPost, path: "/admin/keys/gemini/{id}/disable", operate: (*api).disableGeminiKey},
	{method: http.MethodPost, path: "/admin/keys/gemini/{id}/reset", operate: (*api).resetGeminiKey},
	{method: http.MethodPost, path: "/admin/keys/gemini/{id}/probe", operate: (*api).probeGeminiKey},
	{method: http.MethodPost, path: "/admin/keys/gemini/{id}/validate", operate: (*api).validateGeminiKey},
	{method: http.MethodPost, path: "/admin/keys/gemini/{id}/reveal", operate: (*api).revealGeminiKey, needs: needsSudo, secret: true},
	{method: http.MethodPost, path: "/admin/keys/gemini/{id}/restore", operate: (*api).restoreGeminiKey},
	{method: http.MethodPost, path: "/admin/keys/gemini/{id}/purge", operate: (*api).purgeGeminiKey, needs: needsSudo},
}
