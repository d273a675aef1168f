// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
)

// What an operator may mean by a limit of 0 is everything: no limit, none allowed, as
// usual. It is refused, and said how each is asked for. Source: DESIGN.md §2.2.
const (
	zeroLimit  = "is 0; leave it out (null in a PATCH) for the default, set unlimited for no limit, or disable the key to stop it"
	zeroBudget = "is 0; leave it out (null in a PATCH) for the default, which is none unless the settings have one, or disable the key to stop it"
)

// checkZeros looks for limits of 0 in a body that was decoded before.
func checkZeros(body json.RawMessage) error {
	var form struct {
		Limits map[string]json.RawMessage `json:"limits"`
	}
	if err := json.Unmarshal(body, &form); err != nil {
		return err
	}
	return invalid("invalid_body", zeros(nil, "limits.", form.Limits))
}

func zeros(faults []fieldError, in string, limits map[string]json.RawMessage) []fieldError {
	for _, name := range slices.Sorted(maps.Keys(limits)) {
		var budgets map[string]json.RawMessage
		n, err := strconv.ParseFloat(string(limits[name]), 64)
		switch {
		case err == nil && n == 0 && (name == "budget" || in != "limits."):
			faults = append(faults, fieldError{in + name, "invalid_value", zeroBudget})
		case err == nil && n == 0:
			faults = append(faults, fieldError{in + name, "invalid_value", zeroLimit})
		case name == "budget" && json.Unmarshal(limits[name], &budgets) == nil:
			faults = zeros(faults, in+"budget.", budgets)
		}
	}
	return faults
}
