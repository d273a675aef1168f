// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// codesIn are the codes that the source gives problems, and faults of fields, as far as
// they stand there as they are.
func codesIn(t *testing.T) (problems, faults map[string]bool) {
	t.Helper()
	problems, faults = map[string]bool{}, map[string]bool{}
	add := func(to map[string]bool, e ast.Expr) {
		if lit, ok := e.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if code, err := strconv.Unquote(lit.Value); err == nil {
				to[code] = true
			}
		}
	}
	files, err := parser.ParseDir(token.NewFileSet(), ".", nil, 0) //nolint:staticcheck // no build tags matter here
	if err != nil {
		t.Fatal(err)
	}
	for path, file := range files["admin"].Files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				switch name := calledName(n); {
				case name == "problem" && len(n.Args) == 3:
					add(problems, n.Args[1])
				case name == "invalid" && len(n.Args) == 2:
					add(problems, n.Args[0])
				case name == "fault" && len(n.Args) == 3:
					add(faults, n.Args[1])
				}
			case *ast.CompositeLit:
				if name, ok := n.Type.(*ast.Ident); ok && name.Name == "fieldError" && len(n.Elts) == 3 {
					add(faults, n.Elts[1])
				}
				list, _ := n.Type.(*ast.ArrayType)
				if list == nil {
					break
				}
				if name, ok := list.Elt.(*ast.Ident); !ok || name.Name != "fieldError" {
					break
				}
				for _, e := range n.Elts {
					if fault, ok := e.(*ast.CompositeLit); ok && len(fault.Elts) == 3 {
						add(faults, fault.Elts[1])
					}
				}
			}
			return true
		})
	}
	return problems, faults
}

func calledName(c *ast.CallExpr) string {
	switch f := c.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	}
	return ""
}

// TestOpenAPI_Codes: the document names every code, so that the walk through all routes
// finds an answer with another one.
func TestOpenAPI_Codes(t *testing.T) {
	var document struct {
		Components struct {
			Schemas struct {
				Problem struct {
					Properties struct {
						Code   struct{ Enum []string }
						Errors struct {
							Items struct {
								Properties struct{ Code struct{ Enum []string } }
							}
						}
					}
				}
			}
		}
	}
	if err := json.Unmarshal(openAPIDocument, &document); err != nil {
		t.Fatal(err)
	}
	described := document.Components.Schemas.Problem.Properties
	problems, faults := codesIn(t)
	if len(problems) < 40 || len(faults) < 8 {
		t.Errorf("only %d and %d codes found in the source", len(problems), len(faults))
	}
	for what, c := range map[string]struct {
		source map[string]bool
		enum   []string
	}{"problem": {problems, described.Code.Enum}, "fault": {faults, described.Errors.Items.Properties.Code.Enum}} {
		for _, code := range slices.Sorted(maps.Keys(c.source)) {
			if !slices.Contains(c.enum, code) {
				t.Errorf("the code %s of a %s is not described", code, what)
			}
		}
	}
}
