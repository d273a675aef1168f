// SPDX-License-Identifier: Apache-2.0

package admin

import "net/http"

// systemRoutes are about the gateway as a whole: state, configuration.
var systemRoutes = []route{
	{method: http.MethodGet, path: "/admin/status", operate: (*api).status},

	{method: http.MethodGet, path: "/admin/config", operate: (*api).getConfig},
	{method: http.MethodPost, path: "/admin/config", operate: (*api).setConfig},
	{method: http.MethodPatch, path: "/admin/config", operate: (*api).setConfig},
	{method: http.MethodGet, path: "/admin/config/export", operate: (*api).exportConfig},
	{method: http.MethodPost, path: "/admin/config/import", operate: (*api).importConfig},
	{method: http.MethodDelete, path: "/admin/config/{id}", operate: (*api).resetConfig},

	{method: http.MethodGet, path: "/admin/models", operate: (*api).listModels},
	{method: http.MethodPost, path: "/admin/models/sync", operate: (*api).syncModels},
	{method: http.MethodPatch, path: "/admin/models/{id}", operate: (*api).patchModel},

	{method: http.MethodGet, path: "/admin/aliases", operate: (*api).listAliases},
	{method: http.MethodPut, path: "/admin/aliases", operate: (*api).putAliases},
	{method: http.MethodPost, path: "/admin/aliases/test", operate: (*api).testAlias, quiet: true},

	{method: http.MethodPost, path: "/admin/playground/token", operate: (*api).playgroundToken, secret: true, idempotent: true},

	{method: http.MethodGet, path: "/admin/checks", operate: (*api).listChecks},
	{method: http.MethodGet, path: "/admin/diagnostics", operate: (*api).diagnostics, needs: needsAdmin},
	{method: http.MethodPost, path: "/admin/master-key/rotate", operate: (*api).rotateMasterKey, needs: needsSudo, idempotent: true},
	{method: http.MethodPost, path: "/admin/backup", operate: (*api).backup, needs: needsSudo},
	{method: http.MethodPost, path: "/admin/restore", params: []string{"dry_run"}, operate: (*api).restore, needs: needsSudo, streams: true, accepts: []string{backupType}, maxBody: maxRestore},
	{method: http.MethodDelete, path: "/admin/restore", operate: (*api).cancelRestore, needs: needsSudo},
}
