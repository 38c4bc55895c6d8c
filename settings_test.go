package once

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"once/settings"
)

// A setting that is a field and that nobody reads is not implemented. Which settings are fields is shown in package
// settings, TestImplementedSettingsHaveAnEffect.
func TestSettingsAreRead(t *testing.T) {
	selected := map[string]bool{} // every name that stands behind a dot outside of package settings
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (name == "settings" || name == "compat" || strings.HasPrefix(name, ".") && name != "."):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				selected[s.Sel.Name] = true
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, of := range []reflect.Type{reflect.TypeFor[settings.Broker](), reflect.TypeFor[settings.Topic]()} {
		for i := range of.NumField() {
			if f := of.Field(i); f.IsExported() && !selected[f.Name] {
				t.Errorf("nobody reads %s.%s", of, f.Name)
			}
		}
	}
}
