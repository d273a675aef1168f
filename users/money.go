// SPDX-License-Identifier: Apache-2.0

package users

import (
	"bytes"
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

// UnmarshalJSON reads a decimal number of dollars, with an exponent or without, as
// JavaScript writes 1e-7; one that is no whole number of nano-dollars is an error, and
// so is one below 0 or above a billion.
func (u *USD) UnmarshalJSON(data []byte) error {
	text := string(data)
	if text == "null" {
		return nil
	}
	whole, decimals, ok := positional(text)
	decimals = strings.TrimRight(decimals, "0")
	if ok && len(decimals) > 9 {
		return errors.New("has more than nine decimals, want dollars such as 12.50")
	}
	n, err := strconv.ParseUint(whole, 10, 32)
	if !ok || err != nil || n > maxUSD/dollar {
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

// maxShift bounds exponents: beyond it is no amount of money.
const maxShift = 30

// positional are the digits of a JSON number before and after its decimal point, once
// an exponent has moved that.
func positional(text string) (whole, decimals string, ok bool) {
	mantissa, exponent, scientific := strings.Cut(strings.ToLower(text), "e")
	whole, decimals, _ = strings.Cut(mantissa, ".")
	if !scientific {
		return whole, decimals, true
	}
	shift, err := strconv.Atoi(exponent)
	switch {
	case err != nil || shift < -maxShift || shift > maxShift:
		return "", "", false
	case shift >= 0:
		decimals += strings.Repeat("0", shift)
		return whole + decimals[:shift], decimals[shift:], true
	default:
		whole = strings.Repeat("0", 1-shift) + whole
		point := len(whole) + shift
		return whole[:point], whole[point:] + decimals, true
	}
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

// UnmarshalJSON reads a number or an object. It is strict where the decoder around it
// may not be: a misspelt field would be a key without a budget.
func (b *Budget) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] != '{' {
		*b = Budget{}
		return b.Total.UnmarshalJSON(data)
	}
	fields := map[string]*USD{"day": &b.Day, "month": &b.Month, "total": &b.Total}
	in := json.NewDecoder(bytes.NewReader(data))
	if _, err := in.Token(); err != nil {
		return err
	}
	for in.More() {
		token, err := in.Token()
		if err != nil {
			return err
		}
		name, _ := token.(string)
		field := fields[name]
		if field == nil {
			return errors.New("has a field that is not day, month or total, or one of these twice")
		}
		delete(fields, name)
		var value json.RawMessage
		if err := in.Decode(&value); err != nil {
			return err
		}
		if err := field.UnmarshalJSON(value); err != nil {
			return fmt.Errorf("(%s) %w", name, err)
		}
	}
	return nil
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
			return wrong("limits.budget."+f.name, "is %s dollars, want 0 to 1000000000", f.value)
		}
	}
	return nil
}
