// SPDX-License-Identifier: Apache-2.0

//go:build gb_no_ui

package admin

import "io/fs"

// uiFiles are left out.
var uiFiles fs.FS
