// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

// Problem is an error as clients see it (RFC 9457). Its texts hold no secrets.
type Problem struct {
	Type      string       `json:"type"`   // always about:blank; Code tells problems apart
	Title     string       `json:"title"`  // of the status
	Status    int          `json:"status"` // as in the status line
	Detail    string       `json:"detail"` // for people: what happened and what to do
	Code      string       `json:"code"`   // for programs: snake_case
	RequestID string       `json:"request_id"`
	Errors    []fieldError `json:"errors,omitempty"` // what is wrong with which field or parameter

	// Of count_changed: what the client expected, and what there is.
	Expected *int   `json:"expected,omitempty"`
	Found    *int   `json:"found,omitempty"`
	Job      string `json:"job,omitempty"` // of job_running: which one

	retryAfter time.Duration
}

// fieldError says what is wrong with one field of the body, such as
// "limits.rpm" or "keys[3]", or one query parameter.
type fieldError struct {
	Field   string `json:"field"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Error implements error.
func (p *Problem) Error() string { return p.Detail }

func problem(status int, code, detail string) *Problem {
	return &Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Code: code, Detail: detail}
}

// maxFaults bounds how many faults of one request are listed.
const maxFaults = 20

// invalid is the 400 for faults in a request, nil for none.
func invalid(code string, faults []fieldError) error {
	if len(faults) == 0 {
		return nil
	}
	slices.SortStableFunc(faults, func(a, b fieldError) int { return strings.Compare(a.Field, b.Field) })
	p := problem(http.StatusBadRequest, code, faults[0].Field+" "+faults[0].Message+".")
	if more := len(faults) - 1; more > 0 {
		p.Detail = strings.TrimSuffix(p.Detail, ".") + ", and " + strconv.Itoa(more) + " more: see errors."
	}
	p.Errors = faults[:min(len(faults), maxFaults)]
	return p
}

// clip shortens what a client sent before it is repeated to it.
func clip(s string) string {
	const limit = 64
	if len(s) <= limit {
		return strings.ToValidUTF8(s, "?")
	}
	for i := limit; ; i-- {
		if utf8.RuneStart(s[i]) {
			return strings.ToValidUTF8(s[:i], "?") + "…"
		}
	}
}

// asProblem words any error. Those that no operation foresaw mostly come from
// the store.
func asProblem(err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return problem(http.StatusServiceUnavailable, "canceled", "The request was given up before it was done; nothing or a part of it was changed.")
	case errors.Is(err, store.ErrClosed):
		return problem(http.StatusServiceUnavailable, "store_closed", "The gateway is shutting down; nothing was changed. Try again.")
	case errors.Is(err, store.ErrConflict):
		return problem(http.StatusConflict, "conflict", "Somebody else changed the same object at the same time; nothing was changed. Try again.")
	case errors.Is(err, store.ErrFull), errors.Is(err, syscall.ENOSPC):
		return problem(http.StatusInsufficientStorage, "disk_full", "The disk of the gateway's store is full; nothing was changed. Make room there, then try again.")
	default:
		return problem(http.StatusInternalServerError, "internal", "The gateway failed: "+err.Error()+". The change was not acknowledged; if the store is to blame, look at its disk, then try again.")
	}
}

func writeProblem(w http.ResponseWriter, p *Problem, requestID string) {
	answer := *p // shared problems stay as they are
	answer.RequestID = requestID
	if p.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.FormatInt(int64((p.retryAfter+time.Second-1)/time.Second), 10))
	}
	body, err := json.Marshal(answer)
	if err != nil {
		body = []byte(`{"type":"about:blank","title":"Internal Server Error","status":500,"code":"internal"}`)
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(body, '\n'))
}
