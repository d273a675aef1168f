// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

var (
	// docsRoute is a method with a path, or several with one, as the tables of docs/admin.md
	// name them: `PATCH, DELETE /admin/keys/user/{id}`.
	docsRoute = regexp.MustCompile("`((?:GET|POST|PUT|PATCH|DELETE)(?:, (?:GET|POST|PUT|PATCH|DELETE))*) (/admin/[^`? ]*)")
	parameter = regexp.MustCompile(`\{[^}]*\}`)
)

// TestDocs: what the pages name is served, and docs/admin.md names all that is served.
func TestDocs(t *testing.T) {
	served := map[string]bool{}
	for i := range routes {
		served[routes[i].method+" "+parameter.ReplaceAllString(routes[i].path, "{}")] = true
	}
	for _, page := range []struct {
		file  string
		whole bool
	}{{"../docs/admin.md", true}, {"../docs/admin.zh-CN.md", true}, {"../README.md", false}, {"../README.zh-CN.md", false}} {
		text, err := os.ReadFile(page.file)
		if err != nil {
			t.Fatal(err)
		}
		named := map[string]bool{}
		for _, m := range docsRoute.FindAllStringSubmatch(string(text), -1) {
			for method := range strings.SplitSeq(m[1], ", ") {
				named[method+" "+parameter.ReplaceAllString(strings.TrimSuffix(m[2], "/…"), "{}")] = true
			}
		}
		if len(named) < 5 {
			t.Errorf("%s names %d routes: are they still written as `GET /admin/…`?", page.file, len(named))
		}
		for name := range named {
			if !served[name] {
				t.Errorf("%s names %s, which is not served", page.file, name)
			}
		}
		for name := range served {
			if page.whole && !named[name] {
				t.Errorf("%s does not name %s", page.file, name)
			}
		}
	}
}
