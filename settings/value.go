// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// nanoPerUSD is how money is counted.
const nanoPerUSD = 1_000_000_000

// parse reads a field's JSON value into the type that Value returns. What is
// wrong never repeats the value.
func (f *Field) parse(raw json.RawMessage) (any, *Fault) {
	switch f.Type {
	case TypeWord, TypeText:
		var s string
		if json.Unmarshal(raw, &s) != nil {
			return nil, f.fault("wrong_type", "must be a string")
		}
		return s, nil
	case TypeSwitch:
		var b bool
		if json.Unmarshal(raw, &b) != nil {
			return nil, f.fault("wrong_type", "must be true or false")
		}
		return b, nil
	case TypeCount, TypeBytes:
		var n int64
		if json.Unmarshal(raw, &n) != nil {
			return nil, f.fault("wrong_type", "must be a whole number")
		}
		return n, nil
	case TypeShare:
		var x float64
		if json.Unmarshal(raw, &x) != nil {
			return nil, f.fault("wrong_type", "must be a number")
		}
		return x, nil
	case TypeDuration:
		var s string
		if json.Unmarshal(raw, &s) != nil {
			return nil, f.fault("wrong_type", "must be a string, a duration such as 10s or 1m30s")
		}
		d, ok := parseDuration(s)
		if !ok {
			return nil, f.fault("invalid_value", "must be a duration such as 10s or 1m30s")
		}
		return d, nil
	default: // TypeUSD
		nano, ok := ParseUSD(strings.Trim(string(raw), `"`))
		if !ok {
			return nil, f.fault("wrong_type", "must be an amount in USD such as 12.50, with up to nine decimals")
		}
		return nano, nil
	}
}

// parseDuration reads what Go and the Caddyfile read: days, too.
func parseDuration(s string) (time.Duration, bool) {
	if days, rest, ok := strings.Cut(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return 0, false
		}
		if rest == "" {
			return time.Duration(n) * day, true
		}
		d, err := time.ParseDuration(rest)
		return time.Duration(n)*day + d, err == nil && d >= 0 && d < math.MaxInt64/2
	}
	d, err := time.ParseDuration(s)
	return d, err == nil
}

// ParseUSD reads an amount of USD such as 12.50 exactly, in nano-USD; floats would
// lose some.
func ParseUSD(s string) (nano int64, ok bool) {
	whole, part, _ := strings.Cut(s, ".")
	if len(part) > 9 || whole == "" || len(whole) > 10 {
		return 0, false
	}
	digits := whole + part + strings.Repeat("0", 9-len(part))
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	return n, err == nil
}

// formatUSD writes nano-USD as an exact decimal.
func formatUSD(nano int64) string {
	s := fmt.Sprintf("%d.%09d", nano/nanoPerUSD, nano%nanoPerUSD)
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}

// JSON is what stands for a value, of the type that Value returns, in JSON.
func (f *Field) JSON(value any) any {
	switch v := value.(type) {
	case time.Duration:
		return v.String()
	case int64:
		if f.Type == TypeUSD {
			return json.Number(formatUSD(v))
		}
	}
	return value
}

func (f *Field) fault(code, message string) *Fault { return &Fault{f.Name, code, message} }

// check looks whether a value has the field's type and lies within its bounds.
func (f *Field) check(value any) *Fault {
	var in bool
	switch v := value.(type) {
	case string:
		return f.checkText(v)
	case bool:
		in = f.Type == TypeSwitch
	case int64:
		in = within(f, v)
	case float64:
		in = within(f, v) // false for NaN, too: it is in no order
	case time.Duration:
		in = within(f, v)
	}
	if in {
		return nil
	}
	return f.fault("invalid_value", f.bounds())
}

func (f *Field) checkText(s string) *Fault {
	switch {
	case f.Type == TypeWord && !slices.Contains(f.Options, s):
		return f.fault("invalid_value", "must be one of: "+strings.Join(f.Options, ", "))
	case f.Type == TypeText && !plain(s):
		return f.fault("invalid_value", "must be up to 128 letters, digits, dots, dashes and underscores")
	case f.Type != TypeWord && f.Type != TypeText:
		return f.fault("wrong_type", f.bounds())
	}
	return nil
}

// plain accepts names of models, and none.
func plain(s string) bool {
	return len(s) <= 128 && !strings.ContainsFunc(s, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("-_.", c)
	})
}

func within[T cmp.Ordered](f *Field, v T) bool {
	least, isT := f.Min.(T)
	most, too := f.Max.(T)
	return isT && too && v >= least && v <= most
}

// bounds words the bounds.
func (f *Field) bounds() string {
	if f.Type == TypeSwitch {
		return "must be true or false"
	}
	unit := f.Unit
	if unit != "" {
		unit = " " + unit
	}
	return fmt.Sprintf("must be from %v to %v%s", f.JSON(f.Min), f.JSON(f.Max), unit)
}
