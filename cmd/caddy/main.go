// SPDX-License-Identifier: Apache-2.0

// Command caddy is Caddy with its standard modules and this plugin.
package main

import (
	_ "time/tzdata" // quota days are Pacific days, on systems without a zone database too

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	// plug in Caddy modules here
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/gemini-balance/caddy-gemini-balance"
)

func main() {
	caddycmd.Main()
}
