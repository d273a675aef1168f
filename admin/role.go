// SPDX-License-Identifier: Apache-2.0

package admin

// role is what an actor may do.
type role string

const (
	roleAdmin  role = "admin"
	roleViewer role = "viewer" // reads, but no secrets
)
