// SPDX-License-Identifier: Apache-2.0

package balancer

import "time"

// The kinds of rest. Without one, a target is ready.
const (
	Cooling         = "cooling"     // until a deadline
	ExhaustedForDay = "exhausted"   // until the next Pacific midnight
	NotAvailable    = "unavailable" // the model is not for this project; asked again at the deadline
)

// Rest is a rest in force, for operators.
type Rest struct {
	Scope    string    `json:"scope"`             // project_model, project, key, model or route
	Project  string    `json:"project,omitempty"` // for a key's own project, the key's id
	Model    string    `json:"model,omitempty"`
	KeyID    string    `json:"key_id,omitempty"`
	Route    string    `json:"route,omitempty"` // host of the proxy, "" for the default route
	Kind     string    `json:"kind"`            // Cooling, ExhaustedForDay or NotAvailable
	Until    time.Time `json:"until"`
	Since    time.Time `json:"since"`
	Reason   string    `json:"reason"`   // one redacted line
	Affected int       `json:"affected"` // keys that rest for it; 0 for scope model
}
