package fault

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// TestEveryPointIsAsked walks the source of the whole module: each point is asked somewhere, by Meet if it can hold and
// by Hit if it cannot, and by its constant, so that a refactoring cannot drop one unseen.
func TestEveryPointIsAsked(t *testing.T) {
	asked := map[string]string{} // constant → method
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "compat" || strings.HasPrefix(d.Name(), ".") && len(d.Name()) > 2) {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") ||
			strings.Contains(path, "internal/fault/") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) == 0 {
				return true
			}
			method, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			point, ok := call.Args[0].(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if pkg, ok := point.X.(*ast.Ident); ok && pkg.Name == "fault" &&
				(method.Sel.Name == "Hit" || method.Sel.Name == "Meet") {
				asked[point.Sel.Name] = method.Sel.Name
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range All(0) {
		want := "Hit"
		if p.Can(CanHold) {
			want = "Meet"
		}
		if got := asked[constantOf(p)]; got != want {
			t.Errorf("%v is asked by %q, want %q", p, got, want)
		}
		delete(asked, constantOf(p))
	}
	for name := range asked {
		t.Errorf("fault.%s is asked and is no point of the table", name)
	}
}

// constantOf is the name of a point's constant: txn.prepare is TxnPrepare.
func constantOf(p Point) string {
	var name strings.Builder
	for _, part := range strings.Split(p.String(), ".") {
		name.WriteString(strings.ToUpper(part[:1]) + part[1:])
	}
	return name.String()
}
