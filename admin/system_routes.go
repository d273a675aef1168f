// SPDX-License-Identifier: Apache-2.0

package admin

import "net/http"

// systemRoutes are about the gateway as a whole: state, configuration.
var systemRoutes = []route{
	{method: http.MethodGet, path: "/admin/status", operate: (*api).status},
	{method: http.MethodGet, path: "/admin/config", operate: (*api).getConfig},
	{method: http.MethodPost, path: "/admin/config", operate: (*api).setConfig},
}
