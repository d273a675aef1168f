// SPDX-License-Identifier: Apache-2.0

package geminibalance

import (
	"fmt"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// parseAdminHandler reads the directive gemini_balance_admin.
func parseAdminHandler(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	handler := new(AdminHandler)
	return handler, handler.UnmarshalCaddyfile(h.Dispenser)
}

// UnmarshalCaddyfile reads the admin handler directive. Syntax:
//
//	gemini_balance_admin [<matcher>] {
//		admin_key  {env.NAME}
//		viewer_key {env.NAME}
//		ui         on | off
//		hosts      <names...>
//	}
func (h *AdminHandler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return options{
		"admin_key":  once(secret(&h.AdminKey)),
		"viewer_key": once(secret(&h.ViewerKey)),
		"ui":         once(onOff(&h.UI)),
		"hosts":      once(h.unmarshalHosts),
	}.directive(d)
}

func (h *AdminHandler) unmarshalHosts(d *caddyfile.Dispenser) error {
	if err := list(&h.Hosts)(d); err != nil {
		return err
	}
	for _, host := range h.Hosts {
		if err := checkHost(host); err != nil {
			return d.WrapErr(err)
		}
	}
	return nil
}

// checkHost refuses what can never be the name in a Host header.
func checkHost(host string) error {
	name := strings.TrimPrefix(host, "*.")
	if name == "" || strings.ContainsAny(name, "*/:@ {}") {
		return fmt.Errorf("hosts: '%s' is no host name; write names without scheme, port and path, such as nas.local or *.example.com", host)
	}
	return nil
}
