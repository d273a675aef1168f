// SPDX-License-Identifier: Apache-2.0

package fakegemini

import (
	"strings"
)

// operation is work that goes on after its request was answered. It is done
// after Config.OperationPolls polls.
type operation struct {
	polls    int
	metadata object
	finish   func() (response, failure object) // runs once, with s.mu held
	done     bool
	response object
	failure  object
}

func (r *resource) operation() *operation { return r.value.(*operation) }

// FinishOperation lets an operation be done by its next poll.
func (s *Server) FinishOperation(project, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.resources[ownedKey{project, name}]; r != nil {
		r.operation().polls = s.cfg.OperationPolls
	}
}

// begin makes an operation of the request's project; finish is what it comes to.
func (x *exchange) begin(name string, metadata object, finish func() (response, failure object)) object {
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	return x.s.begin(x.e.Project, name, metadata, finish)
}

// begin is the same for a caller that holds s.mu.
func (s *Server) begin(project, name string, metadata object, finish func() (response, failure object)) object {
	op := &operation{metadata: metadata, finish: finish}
	s.keep(project, name, op)
	return op.shown(name)
}

func (op *operation) shown(name string) object {
	o := object{"name": name}
	if op.metadata != nil {
		o["metadata"] = op.metadata
	}
	if op.done {
		o["done"] = true
		if op.failure != nil {
			o["error"] = op.failure
		} else {
			o["response"] = op.response
		}
	}
	return o
}

// ownedOperation answers itself where there is none.
func (x *exchange) ownedOperation() *resource {
	name, _, _ := strings.Cut(x.rest, ":")
	r := x.owned(name)
	if r == nil {
		x.error(failure(404, messages[404]))
	}
	return r
}

func (x *exchange) getOperation() {
	r := x.ownedOperation()
	if r == nil {
		return
	}
	x.s.mu.Lock()
	op := r.operation()
	if op.polls++; !op.done && op.polls > x.s.cfg.OperationPolls {
		op.done = true
		op.response, op.failure = op.finish()
	}
	shown := op.shown(r.name)
	x.s.mu.Unlock()
	x.json(pretty(shown))
}

// listOperations lists those of one parent, or all with v1's operations.
func (x *exchange) listOperations() {
	parent := strings.TrimSuffix(strings.TrimSuffix(x.rest, "operations"), "/")
	x.s.mu.Lock()
	var shown []object
	for _, r := range x.s.family(x.e.Project, parent) {
		if op, ok := r.value.(*operation); ok {
			shown = append(shown, op.shown(r.name))
		}
	}
	x.s.mu.Unlock()
	page(x, "operations", shown, 50, 100)
}

// deleteOperation forgets an operation by v1's path, which leaves out its parent.
func (x *exchange) deleteOperation() {
	x.s.mu.Lock()
	for k := range x.s.resources {
		if strings.HasSuffix(k.name, "/"+x.rest) {
			x.rest = k.name
			break
		}
	}
	x.s.mu.Unlock()
	if r := x.ownedOperation(); r != nil {
		x.remove(r)
	}
}

func (x *exchange) cancelOperation() {
	r := x.ownedOperation()
	if r == nil {
		return
	}
	x.s.mu.Lock()
	if op := r.operation(); !op.done {
		op.done, op.failure = true, object{"code": 1, "message": messages[499]}
	}
	x.s.mu.Unlock()
	x.json([]byte("{}\n"))
}
