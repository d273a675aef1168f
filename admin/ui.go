// SPDX-License-Identifier: Apache-2.0

package admin

// uiHash names the version of the web UI.
func (a *api) uiHash() string { return "" }
