// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// secretNames are what variables with secrets, their hashes and tags are called here.
var secretNames = regexp.MustCompile(`(?i)secret|hash|mac$|mac[A-Z]|token$|credential|password|digest|adminkey|viewer$|sealed|plain$|^key$`)

// comparers end as soon as two texts differ, which tells by the time how much of a
// secret was guessed.
var comparers = []string{
	"bytes.Equal", "bytes.Compare", "slices.Equal", "slices.Compare", "slices.Contains", "slices.Index", "strings.EqualFold",
	"strings.Compare", "reflect.DeepEqual", "cmp.Compare", "maps.Equal",
}

// publicComparisons are those that only look like one of a secret, with the reason.
var publicComparisons = map[string]string{
	"admin/access.go key == r":                                "two roles",
	"admin/auth.go strings.EqualFold(key, )":                  "the word Bearer",
	"admin/event.go key == key":                               "names of events",
	"backup.go key == checkKey":                               "keys of the store",
	"balancer/query.go strings.EqualFold(secret, last4)":      "the last four characters, which lists show",
	"gateway/live.go strings.EqualFold(s, token)":             "a token of a header",
	"gateway/native_refs.go is != plain":                      "kinds of references",
	"settings/patch.go token != ":                             "a token of JSON",
	"store/badger/access.go key != after":                     "keys of the store",
	"store/masterkey.go plain != masterCheckText":             "a fixed text, which the source has",
	"store/memory/memory.go key == after":                     "keys of the store",
	"store/memory/tree.go key != key":                         "keys of the store",
	"store/memory/tree.go key == key":                         "keys of the store",
	"store/restore.go Key == masterCheckKey":                  "keys of the store",
	"upstream/http1/answer.go strings.EqualFold(Trim, token)": "a token of a header",
	"users/credential.go credential == credentialPrefix":      "how user keys begin",
	"users/credential.go credential == credential":            "the checksum, which anybody can make",
	"upstream/redact.go q != secret":                          "a copy of the text itself in another writing",
}

// TestSecretsAreComparedInConstantTime looks for comparisons of secrets in all sources
// but by crypto/subtle or hmac. Source: specs/gateways.md A5.
func TestSecretsAreComparedInConstantTime(t *testing.T) {
	seen, looked := map[string]bool{}, 0
	must(t, filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel("../..", path)
		if err == nil && d.IsDir() && slices.Contains([]string{"node_modules", "build", "test", "bench", "tools", "cmd", "internal", "translate", ".git"}, rel) {
			return filepath.SkipDir
		}
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		looked++
		ast.Inspect(file, func(n ast.Node) bool {
			if what := comparison(n); what != "" {
				if what = filepath.ToSlash(rel) + " " + what; publicComparisons[what] == "" && !seen[what] {
					t.Errorf("%s: use crypto/subtle or hmac.Equal, or say in publicComparisons why not", what)
				}
				seen[what] = true
			}
			return true
		})
		return nil
	}))
	for what := range publicComparisons {
		if !seen[what] {
			t.Errorf("%s is not there any more", what)
		}
	}
	if looked < 250 {
		t.Errorf("only %d files were looked at", looked)
	}
}

// comparison describes n if it compares something that is called like a secret.
func comparison(n ast.Node) string {
	switch n := n.(type) {
	case *ast.BinaryExpr:
		if (n.Op == token.EQL || n.Op == token.NEQ) && !constant(n.X) && !constant(n.Y) && (secretNames.MatchString(nameOf(n.X)) || secretNames.MatchString(nameOf(n.Y))) {
			return nameOf(n.X) + " " + n.Op.String() + " " + nameOf(n.Y)
		}
	case *ast.CallExpr:
		if len(n.Args) != 2 {
			return ""
		}
		called, _ := n.Fun.(*ast.SelectorExpr)
		if called == nil {
			return ""
		}
		if pkg, ok := called.X.(*ast.Ident); !ok || !slices.Contains(comparers, pkg.Name+"."+called.Sel.Name) || constant(n.Args[1]) && !strings.HasPrefix(called.Sel.Name, "Equal") {
			return ""
		}
		if a, b := nameOf(n.Args[0]), nameOf(n.Args[1]); secretNames.MatchString(a) || secretNames.MatchString(b) {
			return nameOf(called.X) + "." + called.Sel.Name + "(" + a + ", " + b + ")"
		}
	}
	return ""
}

// constant reports what is no secret: literals, lengths and names of constants.
func constant(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.BasicLit:
		return true
	case *ast.Ident:
		return e.Name == "nil" || e.Name == "true" || e.Name == "false"
	case *ast.ParenExpr:
		return constant(e.X)
	case *ast.CompositeLit:
		return len(e.Elts) == 0
	case *ast.CallExpr:
		f, ok := e.Fun.(*ast.Ident)
		return ok && f.Name == "len"
	case *ast.IndexExpr: // one byte of a text
		_, ok := e.Index.(*ast.BasicLit)
		return ok
	}
	return false
}

// nameOf is the last name in an expression: of a field, a variable, a conversion's.
func nameOf(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	case *ast.StarExpr:
		return nameOf(e.X)
	case *ast.ParenExpr:
		return nameOf(e.X)
	case *ast.UnaryExpr:
		return nameOf(e.X)
	case *ast.SliceExpr:
		return nameOf(e.X)
	case *ast.IndexExpr:
		return nameOf(e.X)
	case *ast.CallExpr:
		if len(e.Args) == 1 {
			return nameOf(e.Args[0])
		}
		return nameOf(e.Fun)
	}
	return ""
}
