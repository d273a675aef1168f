// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// readmeEndpoint is a method with a path, or several of both, as README.md's
// tables name them: `POST /v1/completions`.
var readmeEndpoint = regexp.MustCompile("`((?:GET|POST|PUT|PATCH|DELETE)(?:, (?:GET|POST|PUT|PATCH|DELETE))*) /(v1|v1beta|upload/v1beta|download/v1beta)/([^`]+)`")

// TestREADME: what README.md names is served, and what is served is named there.
func TestREADME(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\n## Endpoints\n")
	section, _, ok := strings.Cut(rest, "\n## ")
	if !ok {
		t.Fatal("README.md has no section Endpoints")
	}
	type row struct{ prefix, path string }
	named := map[row][]string{}
	for _, m := range readmeEndpoint.FindAllStringSubmatch(section, -1) {
		paths := []string{m[3]}
		if before, generic := strings.CutSuffix(m[3], ":{method}"); generic {
			paths = nil
			for _, e := range geminiEndpoints {
				if collection, verb, ok := strings.Cut(e.path, ":"); ok && collection == before && strings.Contains(section, "`"+verb+"`") {
					paths = append(paths, before+":"+verb)
				}
			}
		}
		for _, path := range paths {
			r := row{m[2], path}
			for method := range strings.SplitSeq(m[1], ", ") {
				if !slices.Contains(named[r], method) { // two APIs share /v1/models
					named[r] = append(named[r], method)
				}
			}
		}
	}
	served := map[row][]string{}
	for prefix, table := range map[string][]endpoint{"v1": slices.Concat(openaiEndpoints, anthropicEndpoints), "v1beta": geminiEndpoints} {
		for _, e := range table {
			prefix, path := prefix, e.path
			for _, first := range []string{"upload", "download"} { // which come before the version
				if rest, ok := strings.CutPrefix(path, first+"/"); ok {
					prefix, path = first+"/v1beta", rest
				}
			}
			if e.op == opLive {
				continue // named as a whole
			}
			methods := slices.DeleteFunc(strings.Split(e.methods, ", "), func(m string) bool { return m == "HEAD" }) // comes with GET
			served[row{prefix, path}] = methods
		}
	}
	for r, methods := range served {
		if !slices.Equal(named[r], methods) {
			t.Errorf("/%s/%s takes %v, README.md names %v", r.prefix, r.path, methods, named[r])
		}
	}
	for r := range named {
		if served[r] == nil {
			t.Errorf("README.md names /%s/%s, which is not served", r.prefix, r.path)
		}
	}
}
