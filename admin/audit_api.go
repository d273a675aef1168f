// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"net/http"
	"strings"
)

// audit writes down a call that succeeded.
func (a *api) audit(c *call) error {
	if reads(c.Method) && c.route.needs != needsSudo || c.route.quiet || c.silent {
		return nil
	}
	e := a.auditLine(c)
	e.Action, e.Detail = c.route.method+" "+c.route.path, strings.Join(c.notes, "; ")
	if err := a.State.audit.append(e); err != nil {
		p := asProblem(err)
		p.Detail = "It was done, but could not be written to the audit log: " + p.Detail
		return p
	}
	return nil
}

// refuse writes down that a key or token was wrong.
func (a *api) refuse(c *call, what string) {
	e := a.auditLine(c)
	e.Detail = what
	a.State.audit.refused(e)
}

func (a *api) auditLine(c *call) auditEntry {
	e := auditEntry{Actor: c.actor.name(), Role: c.actor.role, Object: c.object, RequestID: c.requestID}
	if e.Object == "" {
		e.Object = clip(c.id)
	}
	if c.actor.ip.IsValid() {
		e.IP = c.actor.ip.Unmap().String()
	}
	return e
}

// auditAnswer is what GET /admin/audit answers.
type auditAnswer struct {
	Items []auditEntry `json:"items"`
	Next  *string      `json:"next"` // cursor; null at the end
}

func (a *api) listAudit(c *call) (status int, body any, err error) {
	q := queryReader{call: c}
	limit, words, cursor := q.limit(), q.search(), q.text("cursor")
	if cursor != "" && (len(cursor) != 16 || strings.Trim(cursor, "0123456789abcdef") != "") {
		q.fault("cursor", "must be the next of an answer before")
	}
	if err := q.err(); err != nil {
		return 0, nil, err
	}
	items, next, err := a.State.audit.read(cursor, words, limit)
	if err != nil {
		return 0, nil, err
	}
	answer := auditAnswer{Items: items}
	if items == nil {
		answer.Items = []auditEntry{}
	}
	if next != "" {
		answer.Next = &next
	}
	return http.StatusOK, answer, nil
}

func (a *api) verifyAudit(*call) (status int, body any, err error) {
	report, err := a.State.audit.verify()
	return http.StatusOK, report, err
}
