// SPDX-License-Identifier: Apache-2.0

package admin

import "net/http"

// usageRoutes are about what was used.
var usageRoutes = []route{
	{method: http.MethodGet, path: "/admin/stats", params: []string{"window"}, operate: (*api).stats},
}
