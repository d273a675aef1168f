// SPDX-License-Identifier: Apache-2.0

package admin

import "net/http"

// coreRoutes are those of the framework itself.
var coreRoutes = []route{
	{method: http.MethodGet, path: "/admin/openapi.json", operate: (*api).openAPI},

	{method: http.MethodGet, path: "/admin/setup", operate: (*api).getSetup, needs: needsNone},
	{method: http.MethodPost, path: "/admin/setup", operate: (*api).setUp, needs: needsNone, secret: true, maxBody: maxGuestBody},
	{method: http.MethodGet, path: "/admin/session", operate: (*api).getSession},
	{method: http.MethodPost, path: "/admin/session", operate: (*api).signIn, needs: needsNone, maxBody: maxGuestBody},
	{method: http.MethodDelete, path: "/admin/session", operate: (*api).signOut, needs: needsSession},
	{method: http.MethodPost, path: "/admin/session/ping", operate: (*api).ping, needs: needsSession, quiet: true},
	{method: http.MethodPost, path: "/admin/session/sudo", operate: (*api).sudo, needs: needsAdmin},
	{method: http.MethodDelete, path: "/admin/sessions", operate: (*api).signOutAll},
	{method: http.MethodPost, path: "/admin/admin-key/rotate", operate: (*api).rotateAdminKey, needs: needsSudo, secret: true},

	{method: http.MethodGet, path: "/admin/audit", params: []string{"cursor", "limit", "q"}, operate: (*api).listAudit},
	{method: http.MethodGet, path: "/admin/audit/verify", operate: (*api).verifyAudit},

	{method: http.MethodGet, path: "/admin/jobs", params: []string{"limit", "offset"}, operate: (*api).listJobs},
	{method: http.MethodGet, path: "/admin/jobs/{id}", operate: (*api).getJob},
	{method: http.MethodDelete, path: "/admin/jobs/{id}", operate: (*api).closeJob},
	{method: http.MethodPost, path: "/admin/jobs/{id}/cancel", operate: (*api).cancelJob},
	{method: http.MethodGet, path: "/admin/jobs/{id}/results", params: []string{"format", "limit", "offset"}, operate: (*api).jobResults},
	{method: http.MethodGet, path: "/admin/events", params: []string{"topics"}, operate: (*api).streamEvents},
}
