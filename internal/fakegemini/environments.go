// SPDX-License-Identifier: Apache-2.0

package fakegemini

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"
)

// environmentFile is one in an environment.
type environmentFile struct {
	mime    string
	size    int64
	content []byte
}

// keepInEnvironment puts what was uploaded into an environment. The caller holds
// s.mu.
func (s *Server) keepInEnvironment(u *upload) object {
	r := s.keep(u.project, u.environment+"/files/"+u.name, &environmentFile{u.mime, u.received, u.content})
	return object{"files": []object{shownInEnvironment(r)}}
}

func shownInEnvironment(r *resource) object {
	f := r.value.(*environmentFile)
	_, path, _ := strings.Cut(r.name, "/files/")
	return object{
		"name": path[strings.LastIndex(path, "/")+1:], "path": path, "type": "file", "mime_type": f.mime, "size_bytes": strconv.FormatInt(f.size, 10),
		"created": stamp(r.created), "modified": stamp(r.updated),
	}
}

// environmentFiles answers for a file: itself, or its bytes with alt=media; and
// for a directory, the files in it.
func (x *exchange) environmentFiles() {
	if x.ownedPlain() == nil {
		return
	}
	path := strings.TrimSuffix(x.rest, "/")
	x.s.mu.Lock()
	one := x.s.resources[ownedKey{x.e.Project, path}]
	var inside []object
	for _, r := range x.s.family(x.e.Project, path+"/") {
		inside = append(inside, shownInEnvironment(r))
	}
	x.s.mu.Unlock()
	switch {
	case one != nil && x.r.URL.Query().Get("alt") == "media":
		f := one.value.(*environmentFile)
		x.w.Header().Set("Content-Type", f.mime)
		http.ServeContent(counted{x}, x.r, "", one.created, bytes.NewReader(f.content))
	case one != nil:
		x.snakeJSON(object{"files": []object{shownInEnvironment(one)}})
	case len(x.ids) > 1 && len(inside) == 0:
		x.error(failure(404, messages[404]))
	default:
		page(x, "files", inside, 50, 1000)
	}
}
