// SPDX-License-Identifier: Apache-2.0

package admin

import "net/http"

// userKeyRoutes are about user keys. Fixed paths stand before those with {id}.
var userKeyRoutes = []route{
	{method: http.MethodGet, path: "/admin/keys/user", params: []string{"limit", "offset", "q"}, operate: (*api).listUserKeys},
	{method: http.MethodPost, path: "/admin/keys/user", operate: (*api).createUserKey, idempotent: true, secret: true},
	{method: http.MethodGet, path: "/admin/keys/user/{id}", operate: (*api).getUserKey},
	{method: http.MethodDelete, path: "/admin/keys/user/{id}", operate: (*api).deleteUserKey},
	{method: http.MethodPost, path: "/admin/keys/user/{id}/enable", operate: (*api).enableUserKey},
	{method: http.MethodPost, path: "/admin/keys/user/{id}/disable", operate: (*api).disableUserKey},
}
