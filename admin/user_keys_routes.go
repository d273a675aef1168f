// SPDX-License-Identifier: Apache-2.0

package admin

import "net/http"

// userKeyRoutes are about user keys. Fixed paths stand before those with {id}.
var userKeyRoutes = []route{
	{method: http.MethodGet, path: "/admin/keys/user", params: userKeyParams, operate: (*api).listUserKeys},
	{method: http.MethodPost, path: "/admin/keys/user", operate: (*api).createUserKey, idempotent: true, secret: true},
	{method: http.MethodPost, path: "/admin/keys/user/bulk", operate: (*api).bulkUserKeys, idempotent: true},
	{method: http.MethodGet, path: "/admin/keys/user/{id}", operate: (*api).getUserKey},
	{method: http.MethodPatch, path: "/admin/keys/user/{id}", operate: (*api).editUserKey},
	{method: http.MethodDelete, path: "/admin/keys/user/{id}", operate: (*api).deleteUserKey},
	{method: http.MethodPost, path: "/admin/keys/user/{id}/enable", operate: (*api).enableUserKey},
	{method: http.MethodPost, path: "/admin/keys/user/{id}/disable", operate: (*api).disableUserKey},
	{method: http.MethodPost, path: "/admin/keys/user/{id}/restore", operate: (*api).restoreUserKey},
	{method: http.MethodPost, path: "/admin/keys/user/{id}/rotate", operate: (*api).rotateUserKey, secret: true, idempotent: true},
}
