// SPDX-License-Identifier: Apache-2.0

package admin

import "net/http"

// coreRoutes are those of the framework itself.
var coreRoutes = []route{
	{method: http.MethodGet, path: "/admin/openapi.json", operate: (*api).openAPI},

	{method: http.MethodGet, path: "/admin/jobs", params: []string{"limit", "offset"}, operate: (*api).listJobs},
	{method: http.MethodGet, path: "/admin/jobs/{id}", operate: (*api).getJob},
	{method: http.MethodDelete, path: "/admin/jobs/{id}", operate: (*api).closeJob},
	{method: http.MethodPost, path: "/admin/jobs/{id}/cancel", operate: (*api).cancelJob},
	{method: http.MethodGet, path: "/admin/jobs/{id}/results", params: []string{"format", "limit", "offset"}, operate: (*api).jobResults},
	{method: http.MethodGet, path: "/admin/events", params: []string{"topics"}, operate: (*api).streamEvents},
}
