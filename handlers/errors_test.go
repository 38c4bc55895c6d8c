package handlers

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/partition"
	"once/settings"
	"once/wire"
)

// unanswered are the exported errors of the domain packages that no request can meet, each with the
// reason.
var unanswered = map[string]string{
	"pidmanager.ErrSnapshot": "a snapshot that cannot be used is left out when a partition is opened",
	"log.ErrOutOfRange":      "the partition has words of its own for it",
	"log.ErrClosed":          "a closed partition is offline, which has a row",
	"durability.ErrClosed":   "the topics are closed before, and their partitions are offline",
	"group.ErrDamaged":       "a damaged record is skipped when groups are loaded",

	"partition.ErrTransactionOpen": "only the lab makes a partition forget a producer",
	"partition.ErrUnknownProducer": "only the lab makes a partition forget a producer",
}

// TestEveryDomainErrorHasACode walks the exported errors of the domain packages: each stands in a table.
func TestEveryDomainErrorHasACode(t *testing.T) {
	for _, pkg := range []string{"partition", "pidmanager", "durability", "log", "log/batch", "topics", "configs",
		"txncoordinator", "groupcoordinator", "groupcoordinator/group", "groupcoordinator/sharegroup",
		"groupcoordinator/streamsgroup", "sharecoordinator", "sharepartition", "sharepartition/window", "telemetry"} {
		files, err := filepath.Glob(filepath.Join("..", pkg, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no files in %s: %v", pkg, err)
		}
		source := ""
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range errorsOf(f) {
				prefix := f.Name.Name + "."
				if prefix == "group." && name != "ErrDamaged" {
					prefix = "groupcoordinator." // which exports them again
				}
				source += prefix + name + "\n"
			}
		}
		for _, name := range strings.Fields(source) {
			if _, ok := unanswered[name]; !ok && !inTables(t, name) {
				t.Errorf("%s has no row in the tables of codes", name)
			}
		}
	}
}

// errorsOf returns the exported Err variables that a file declares.
func errorsOf(f *ast.File) (names []string) {
	for _, d := range f.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.VAR {
			continue
		}
		for _, s := range g.Specs {
			for _, n := range s.(*ast.ValueSpec).Names {
				if strings.HasPrefix(n.Name, "Err") {
					names = append(names, n.Name)
				}
			}
		}
	}
	return names
}

// inTables looks for an error in the source of the tables, by its qualified name.
func inTables(t *testing.T, name string) bool {
	t.Helper()
	pkg, base, _ := strings.Cut(name, ".")
	for _, file := range []string{"errors.go", "errors_txn.go", "errors_group.go", "errors_share.go"} {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		found := false
		ast.Inspect(f, func(n ast.Node) bool {
			s, ok := n.(*ast.SelectorExpr)
			if !ok || s.Sel.Name != base {
				return true
			}
			x, ok := s.X.(*ast.Ident)
			// partition passes on the errors of pidmanager under names of its own.
			found = found || ok && (x.Name == pkg || pkg == "pidmanager" && x.Name == "partition")
			return true
		})
		if found {
			return true
		}
	}
	return false
}

func TestCodesAndWhatOldClientsGet(t *testing.T) {
	for _, c := range []struct {
		err          error
		key, version int16
		want         wire.Code
	}{
		{nil, int16(kmsg.Produce), 9, wire.NoError},
		{fmt.Errorf("x-0: %w", partition.ErrFencedEpoch), int16(kmsg.Produce), 9, wire.InvalidProducerEpoch},
		{partition.ErrOffline, int16(kmsg.Fetch), 6, wire.KafkaStorageError},
		{partition.ErrOffline, int16(kmsg.Fetch), 5, wire.NotLeaderOrFollower},
		{&settings.InvalidError{Name: "x"}, int16(kmsg.CreateTopics), 7, wire.InvalidConfig},
		{errors.New("nobody knows"), int16(kmsg.Metadata), 9, wire.UnknownServerError},
	} {
		if got := codeFor(c.err, c.key, c.version); got != c.want {
			t.Errorf("%v in %s v%d: got %s, want %s", c.err, kmsg.NameForKey(c.key), c.version, got, c.want)
		}
	}
}
