// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"net/http"
	"slices"
)

// usageRoutes are about what was used.
var usageRoutes = []route{
	{method: http.MethodGet, path: "/admin/overview", params: []string{"window"}, operate: (*api).overview},
	{method: http.MethodGet, path: "/admin/stats", params: []string{"window"}, operate: (*api).stats},
	{method: http.MethodGet, path: "/admin/stats/series", params: []string{"window", "metric", "model", "user", "key"}, operate: (*api).statsSeries},
	{method: http.MethodGet, path: "/admin/stats/top", params: []string{"by", "window", "limit"}, operate: (*api).statsTop},
	{method: http.MethodGet, path: "/admin/requests", params: slices.Concat(filterParams, []string{"cursor", "limit"}), operate: (*api).listRequests},
	{method: http.MethodGet, path: "/admin/requests/histogram", params: filterParams, operate: (*api).requestHistogram},
	{method: http.MethodGet, path: "/admin/requests/export", params: slices.Concat(filterParams, []string{"format"}), operate: (*api).exportRequests},
	{method: http.MethodGet, path: "/admin/requests/{id}", operate: (*api).getRequest},
}
