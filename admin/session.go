// SPDX-License-Identifier: Apache-2.0

package admin

// session is a browser that is signed in.
type session struct{}
