// SPDX-License-Identifier: Apache-2.0

package users

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// USD is money in nano-USD. In JSON it is a decimal number of dollars, exactly.
type USD int64

const (
	dollar = 1_000_000_000
	// maxUSD bounds a budget: a billion dollars.
	maxUSD = 1_000_000_000 * dollar
)

// UnmarshalJSON reads a decimal number of dollars; one that is no whole number of
// nano-dollars is an error, and so is one below 0 or above a billion.
func (u *USD) UnmarshalJSON(data []byte) error {
	text := string(data)
	if text == "null" {
		return nil
	}
	whole, decimals, _ := strings.Cut(text, ".")
	decimals = strings.TrimRight(decimals, "0")
	if len(decimals) > 9 {
		return errors.New("has more than nine decimals, want dollars such as 12.50")
	}
	n, err := strconv.ParseUint(whole, 10, 32)
	if err != nil || n > maxUSD/dollar {
		return errors.New("must be dollars from 0 to 1000000000, as a number such as 12.50")
	}
	nano := uint64(0)
	if decimals != "" {
		if nano, err = strconv.ParseUint((decimals + "000000000")[:9], 10, 32); err != nil {
			return errors.New("must be dollars as a number such as 12.50")
		}
	}
	*u = USD(n*dollar + nano) //nolint:gosec // at most 10^18 + 10^9
	return nil
}

// MarshalJSON writes dollars with as many decimals as there are.
func (u USD) MarshalJSON() ([]byte, error) { return []byte(u.String()), nil }

// String is the amount in dollars, without a sign for them.
func (u USD) String() string {
	sign := ""
	if u < 0 {
		sign, u = "-", -u
	}
	text := fmt.Sprintf("%s%d.%09d", sign, u/dollar, u%dollar)
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}

// Budget is how much money a user key may spend. 0 means no such bound. In JSON a
// bare number is the total.
type Budget struct {
	Day   USD `json:"day,omitempty"`
	Month USD `json:"month,omitempty"`
	Total USD `json:"total,omitempty"`
}

// UnmarshalJSON reads a number or an object.
func (b *Budget) UnmarshalJSON(data []byte) error {
	type plain Budget
	if len(data) > 0 && data[0] != '{' {
		*b = Budget{}
		return b.Total.UnmarshalJSON(data)
	}
	return json.Unmarshal(data, (*plain)(b))
}

// none reports whether nothing is bounded.
func (b *Budget) none() bool { return b == nil || *b == Budget{} }

func (b *Budget) validate() error {
	if b == nil {
		return nil
	}
	for _, f := range []struct {
		name  string
		value USD
	}{{"day", b.Day}, {"month", b.Month}, {"total", b.Total}} {
		if f.value < 0 || f.value > maxUSD {
			return fmt.Errorf("%w: limits.budget.%s is %s dollars, want 0 to 1000000000", ErrInvalid, f.name, f.value)
		}
	}
	return nil
}
