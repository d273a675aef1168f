// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// Snapshot is one state of everything; it never changes.
type Snapshot struct {
	Values Values
	ETag   string // differs when a value or a source does

	sources map[string]Source // of fields that are not at their default
}

// Source tells where the value of a field comes from.
func (s *Snapshot) Source(f *Field) Source {
	if from, ok := s.sources[f.Name]; ok {
		return from
	}
	return SourceDefault
}

// tag makes the ETag.
func (s *Snapshot) tag() string {
	h := sha256.New()
	for _, f := range fields {
		fmt.Fprintf(h, "%s\x00%v\x00%s\n", f.Name, f.Value(&s.Values), s.Source(f))
	}
	return hex.EncodeToString(h.Sum(nil)[:12])
}

// Export writes what was set at run time and what the Caddyfile sets, as a JSON
// object that [ParsePatch] reads again. There are no secrets among settings.
func (s *Snapshot) Export() ([]byte, error) {
	p := Patch{}
	for name := range s.sources {
		p[name] = byName[name].Value(&s.Values)
	}
	return json.MarshalIndent(p.tree(), "", "  ")
}

// Import is the patch that brings a Store to what Export wrote: fields that file
// does not name go back to their default. What the running configuration sets
// stays as it is; skipped names what file would have changed of it.
func (s *Snapshot) Import(file Patch) (p Patch, skipped []string) {
	p = Patch{}
	for _, f := range fields {
		value, named := file[f.Name]
		switch {
		case s.Source(f) == SourceCaddyfile:
			if named && value != f.Value(&s.Values) {
				skipped = append(skipped, f.Name)
			}
		case named:
			p[f.Name] = value
		case s.Source(f) == SourceStore:
			p[f.Name] = nil
		}
	}
	return p, skipped
}
