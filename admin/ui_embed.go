// SPDX-License-Identifier: Apache-2.0

//go:build !gb_no_ui

package admin

import (
	"embed"
	"io/fs"
)

// webFiles are the web UI as it is written: no build step makes it.
//
//go:embed ui/web
var webFiles embed.FS

// uiFiles are the files below ui/web.
var uiFiles = below(webFiles, "ui/web")

func below(files fs.FS, dir string) fs.FS {
	sub, err := fs.Sub(files, dir)
	if err != nil {
		panic(err) // only a malformed dir
	}
	return sub
}
