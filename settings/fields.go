// SPDX-License-Identifier: Apache-2.0

package settings

import "time"

// Type says how a field is written in JSON.
type Type string

// The types of fields.
const (
	TypeWord     Type = "word"     // a string, one of Options
	TypeText     Type = "text"     // a string
	TypeSwitch   Type = "switch"   // true or false
	TypeCount    Type = "count"    // a whole number
	TypeShare    Type = "share"    // a number from 0 to 1
	TypeDuration Type = "duration" // a string such as "10s"
	TypeBytes    Type = "bytes"    // a whole number
	TypeUSD      Type = "usd"      // a decimal number with up to nine decimals
)

// The words of Field.Effect: from when a change holds.
const (
	EffectRequest    = "next_request"
	EffectConnection = "next_connection" // to Google
	EffectAtOnce     = "at_once"
	EffectUserKey    = "new_user_keys"
	EffectSession    = "next_sign_in"
	EffectJob        = "next_job"
)

// Field describes one setting. The table of them is the only place that knows
// names and bounds: parsing, checking, storing and the admin API go by it.
type Field struct {
	Name      string // dotted: "retry.wait"
	Type      Type
	Unit      string   // "tokens", "requests", …; "" where Type says all
	Min, Max  any      // bounds, of the type that Value returns; nil for none
	Options   []string // of TypeWord
	Directive string   // the Caddyfile option that sets and so locks it, "" for none
	Effect    string   // from when a change holds: one of the Effect words

	ref func(*Values) any // *string, *bool, *int, *int64, *float64 or *time.Duration
}

const (
	day       = 24 * time.Hour
	mostCount = int64(1) << 53                    // what JavaScript holds exactly
	maxUSD    = int64(1_000_000_000) * nanoPerUSD // far from what int64 holds, so that sums fit
)

// fields is the table, in the order in which they are shown.
var fields = []*Field{
	{Name: "strategy", Type: TypeWord, Options: Strategies(), Directive: "strategy", Effect: EffectRequest, ref: func(v *Values) any { return &v.Strategy }},
	{Name: "affinity", Type: TypeWord, Options: []string{AffinityPrefix, AffinityOff}, Directive: "affinity", Effect: EffectRequest, ref: func(v *Values) any { return &v.Affinity }},

	{Name: "retry.attempts", Type: TypeCount, Unit: "attempts", Min: int64(1), Max: int64(MaxAttempts), Directive: "retry attempts", Effect: EffectRequest, ref: func(v *Values) any { return &v.Retry.Attempts }},
	{Name: "retry.budget", Type: TypeShare, Min: 0.0, Max: 1.0, Directive: "retry budget", Effect: EffectRequest, ref: func(v *Values) any { return &v.Retry.Budget }},
	{Name: "retry.wait", Type: TypeDuration, Min: time.Duration(0), Max: MaxWait, Directive: "retry wait", Effect: EffectRequest, ref: func(v *Values) any { return &v.Retry.Wait }},
	{Name: "retry.hedge", Type: TypeShare, Min: 0.0, Max: 1.0, Directive: "retry hedge", Effect: EffectRequest, ref: func(v *Values) any { return &v.Retry.Hedge }},

	{Name: "timeouts.connect", Type: TypeDuration, Min: 100 * time.Millisecond, Max: 5 * time.Minute, Directive: "timeouts connect", Effect: EffectConnection, ref: func(v *Values) any { return &v.Timeouts.Connect }},
	{Name: "timeouts.first_output", Type: TypeDuration, Min: 100 * time.Millisecond, Max: day, Directive: "timeouts first_output", Effect: EffectRequest, ref: func(v *Values) any { return &v.Timeouts.FirstOutput }},
	{Name: "timeouts.idle", Type: TypeDuration, Min: 100 * time.Millisecond, Max: day, Directive: "timeouts idle", Effect: EffectRequest, ref: func(v *Values) any { return &v.Timeouts.Idle }},
	{Name: "timeouts.total", Type: TypeDuration, Min: 100 * time.Millisecond, Max: day, Directive: "timeouts total", Effect: EffectRequest, ref: func(v *Values) any { return &v.Timeouts.Total }},

	{Name: "heartbeat", Type: TypeDuration, Min: time.Duration(0), Max: 10 * time.Minute, Directive: "heartbeat", Effect: EffectRequest, ref: func(v *Values) any { return &v.Heartbeat }},
	{Name: "reasoning", Type: TypeWord, Options: []string{ReasoningAuto, ReasoningContent, ReasoningTags, ReasoningOff}, Directive: "reasoning", Effect: EffectRequest, ref: func(v *Values) any { return &v.Reasoning }},
	{Name: "fetch_images", Type: TypeSwitch, Directive: "fetch_images", Effect: EffectRequest, ref: func(v *Values) any { return &v.FetchImages }},
	{Name: "query_key", Type: TypeSwitch, Directive: "query_key", Effect: EffectRequest, ref: func(v *Values) any { return &v.QueryKey }},
	{Name: "max_request_size", Type: TypeBytes, Unit: "bytes", Min: int64(1024), Max: int64(1) << 40, Directive: "max_request_size", Effect: EffectRequest, ref: func(v *Values) any { return &v.MaxRequestSize }},

	{Name: "limits.rpm", Type: TypeCount, Unit: "requests", Min: int64(1), Max: mostCount, Directive: "limits rpm", Effect: EffectUserKey, ref: func(v *Values) any { return &v.Limits.RPM }},
	{Name: "limits.tpm", Type: TypeCount, Unit: "tokens", Min: int64(1), Max: mostCount, Directive: "limits tpm", Effect: EffectUserKey, ref: func(v *Values) any { return &v.Limits.TPM }},
	{Name: "limits.rpd", Type: TypeCount, Unit: "requests", Min: int64(1), Max: mostCount, Directive: "limits rpd", Effect: EffectUserKey, ref: func(v *Values) any { return &v.Limits.RPD }},
	{Name: "limits.tpd", Type: TypeCount, Unit: "tokens", Min: int64(0), Max: mostCount, Directive: "limits tpd", Effect: EffectUserKey, ref: func(v *Values) any { return &v.Limits.TPD }},
	{Name: "limits.monthly_tokens", Type: TypeCount, Unit: "tokens", Min: int64(0), Max: mostCount, Directive: "limits monthly_tokens", Effect: EffectUserKey, ref: func(v *Values) any { return &v.Limits.MonthlyTokens }},
	{Name: "limits.concurrency", Type: TypeCount, Unit: "requests", Min: int64(1), Max: int64(1_000_000), Directive: "limits concurrency", Effect: EffectUserKey, ref: func(v *Values) any { return &v.Limits.Concurrency }},
	{Name: "limits.budget.day", Type: TypeUSD, Unit: "USD", Min: int64(0), Max: maxUSD, Directive: "limits budget", Effect: EffectUserKey, ref: func(v *Values) any { return &v.Limits.Budget.Day }},
	{Name: "limits.budget.month", Type: TypeUSD, Unit: "USD", Min: int64(0), Max: maxUSD, Directive: "limits budget", Effect: EffectUserKey, ref: func(v *Values) any { return &v.Limits.Budget.Month }},
	{Name: "limits.budget.total", Type: TypeUSD, Unit: "USD", Min: int64(0), Max: maxUSD, Directive: "limits budget", Effect: EffectUserKey, ref: func(v *Values) any { return &v.Limits.Budget.Total }},

	{Name: "request_log.retention", Type: TypeDuration, Min: time.Hour, Max: 400 * day, Directive: "request_log retention", Effect: EffectAtOnce, ref: func(v *Values) any { return &v.RequestLog.Retention }},
	{Name: "request_log.max_size", Type: TypeBytes, Unit: "bytes", Min: int64(1) << 20, Max: int64(1) << 40, Directive: "request_log max_size", Effect: EffectAtOnce, ref: func(v *Values) any { return &v.RequestLog.MaxSize }},
	{Name: "request_log.bodies", Type: TypeWord, Options: []string{BodiesOff, BodiesErrors, BodiesAll}, Directive: "request_log bodies", Effect: EffectRequest, ref: func(v *Values) any { return &v.RequestLog.Bodies }},

	{Name: "probe.enabled", Type: TypeSwitch, Directive: "probe", Effect: EffectAtOnce, ref: func(v *Values) any { return &v.Probe.Enabled }},
	{Name: "validation.model", Type: TypeText, Effect: EffectJob, ref: func(v *Values) any { return &v.Validation.Model }},
	{Name: "validation.concurrency", Type: TypeCount, Unit: "keys", Min: int64(1), Max: int64(64), Effect: EffectJob, ref: func(v *Values) any { return &v.Validation.Concurrency }},
	{Name: "validation.disable_invalid", Type: TypeSwitch, Effect: EffectJob, ref: func(v *Values) any { return &v.Validation.DisableInvalid }},

	{Name: "models.unknown", Type: TypeWord, Options: []string{UnknownPass, UnknownRefuse}, Effect: EffectRequest, ref: func(v *Values) any { return &v.Models.Unknown }},
	{Name: "session.idle", Type: TypeDuration, Min: time.Minute, Max: day, Effect: EffectSession, ref: func(v *Values) any { return &v.Session.Idle }},
	{Name: "session.absolute", Type: TypeDuration, Min: 5 * time.Minute, Max: 30 * day, Effect: EffectSession, ref: func(v *Values) any { return &v.Session.Absolute }},
	{Name: "keys.reveal", Type: TypeSwitch, Effect: EffectAtOnce, ref: func(v *Values) any { return &v.Keys.Reveal }},
}

// byName finds a field.
var byName = func() map[string]*Field {
	m := make(map[string]*Field, len(fields))
	for _, f := range fields {
		m[f.Name] = f
	}
	return m
}()

// Fields returns the table, in the order in which it is to be shown. The fields
// are shared and must not be changed.
func Fields() []*Field { return append([]*Field(nil), fields...) }

// Value returns the field's value in v: a string, bool, int64 (of counts, bytes
// and, in nano-USD, money), float64 or [time.Duration].
func (f *Field) Value(v *Values) any {
	switch p := f.ref(v).(type) {
	case *string:
		return *p
	case *bool:
		return *p
	case *int:
		return int64(*p)
	case *int64:
		return *p
	case *float64:
		return *p
	default:
		return *p.(*time.Duration)
	}
}

// set puts a value of the type that Value returns into v.
func (f *Field) set(v *Values, value any) {
	switch p := f.ref(v).(type) {
	case *string:
		*p = value.(string)
	case *bool:
		*p = value.(bool)
	case *int:
		*p = int(value.(int64))
	case *int64:
		*p = value.(int64)
	case *float64:
		*p = value.(float64)
	case *time.Duration:
		*p = value.(time.Duration)
	}
}
