// SPDX-License-Identifier: Apache-2.0

package admin

import (
	_ "embed"
	"encoding/json"
	"net/http"
)

// openAPIDocument describes exactly the routes of handler.go (OpenAPI 3.1).
//
//go:embed openapi.json
var openAPIDocument []byte

func (a *api) openAPI(*call) (status int, body any, err error) {
	return http.StatusOK, json.RawMessage(openAPIDocument), nil
}
