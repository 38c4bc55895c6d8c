package once

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// sizedPackages are those in which code takes another path at a size. docs/fault-tests.md has a table for each that
// names, for each size, the test that goes beyond it.
var sizedPackages = []string{"log", "log/salvage", "durability", "internal/files", "log/batch", "partition", "wire",
	"pidmanager", "groupcoordinator", "txncoordinator", "handlers"}

// notSizes are the constants of a package at which no code takes another path: positions, lengths, flags, versions and
// magic numbers of formats, sentinels, levels and times. A name may end in *.
var notSizes = map[string]string{
	"log":         `abortedEntryBytes crcLine keySlotBytes offsetEntryBytes stemDigits timeEntryBytes maxOffset DefaultSegmentMs writing`,
	"log/salvage": `maxOffset`,
	"durability": `entryFlag* flagClean flagRestore journalHead journalGroup journalHeadSpacing journalHeaderBytes journalMagic journalVersion
		recordHeaderBytes recordMagic recordVersion recordVersion2 maxRecordOffset zeroBytes`,
	"log/batch": `HeaderSizeBytes Magic MarkerSizeBytes NoSequence NoTimestampMs attr* pos* gzipMaxLevel gzipMinLevel lengthPrefixBytes
		lz4DefaultLevel lz4Flag* lz4HeaderBytes lz4Magic lz4Stored markerVersion maxEncoderLevel prime* zstdDefaultLevel
		zstdMagic zstdSkippable lz4Block64KiB defaultTimestampAfterMaxMs`,
	"wire":       `fixedHeaderBytes prefixBytes refusalWindow forcedCloseGrace unknownTagCostBytes unknownTagsCostBytes`,
	"pidmanager": `snapshot*`,
	"groupcoordinator": `generationEpoch DefaultMinSessionTimeout DefaultMaxSessionTimeout DefaultOffsetsRetention
		DefaultRegexRefreshInterval DefaultRetentionCheckInterval defaultConsumer* newMemberJoinTimeout keyType* offsetValue* groupValue*`,
	"txncoordinator": `firstRetry maxRetry keyVersion highestValueVersion flexibleTransactions No* noTimestampMs epochBumpVersion defaultMaxTimeoutMs`,
	"handlers": `sessionIdle lateTimeout endpoint* allVersions transactionV0 transactionV2 TransactionVersionMax GroupVersionMax coordinatorOf* latestTimestamp
		earliest* electUnclean percent upgrade unsafeDowngrade maxTimestamp latestTieredTimestamp acquire* ShareVersionMax noAuthorizedOperations topicOperations groupOperations clusterOperations
		metadataVersion* streamsVersion topologyDescription*`,
}

// numbersInCode are numbers of three digits and more, and shifts, that stand in code and at which it takes no other
// path, by file.
var numbersInCode = map[string]string{
	"log/batch/zstd.go": "256",
}

func TestEverySizeIsCrossedByATest(t *testing.T) {
	page, err := os.ReadFile("docs/fault-tests.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(page), "\n## Sizes at which code takes another path\n")
	if !found {
		t.Fatal("docs/fault-tests.md has no section on sizes")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	tests := testNames(t)
	for _, p := range sizedPackages {
		_, table, _ := strings.Cut(section, "\n### "+p+"\n")
		table, _, _ = strings.Cut(table, "\n### ")
		for _, complaint := range missingRows(p, table, constantsOf(t, p), tests) {
			t.Error(complaint)
		}
	}
}

// missingRows compares the constants of a package with its table.
func missingRows(pkg, table string, constants []string, tests map[string]bool) (complaints []string) {
	rows := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|[^|]*\\|([^|]*)\\|$").FindAllStringSubmatch(table, -1) {
		rows[m[1]] = true
		named := 0
		for _, name := range regexp.MustCompile(`\b(?:Test|Fuzz|Benchmark)[A-Z]\w*`).FindAllString(m[2], -1) {
			named++
			if !tests[name] {
				complaints = append(complaints, fmt.Sprintf("%s: %s is to be crossed by %s, which does not exist", pkg, m[1], name))
			}
		}
		if named == 0 {
			complaints = append(complaints, fmt.Sprintf("%s: no test crosses %s", pkg, m[1]))
		}
		if !slices.Contains(constants, m[1]) {
			complaints = append(complaints, fmt.Sprintf("%s: there is no constant %s any more", pkg, m[1]))
		}
	}
	for _, name := range constants {
		if !rows[name] && !matches(notSizes[pkg], name) {
			complaints = append(complaints,
				fmt.Sprintf("%s: %s has no row in docs/fault-tests.md; name the test that goes beyond it, or add it to notSizes",
					pkg, name))
		}
	}
	return complaints
}

// matches says whether a name is in a list of names, of which some end in *.
func matches(list, name string) bool {
	return slices.ContainsFunc(strings.Fields(list), func(pattern string) bool {
		ok, _ := path.Match(pattern, name)
		return ok
	})
}

func testNames(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	err := filepath.WalkDir(".", func(name string, d os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(name, "_test.go") {
			return err
		}
		b, err := os.ReadFile(name)
		for _, m := range regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w+)\(`).FindAllStringSubmatch(string(b),
			-1) {
			names[m[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// constantsOf returns the integer constants of a package, and complains of numbers that should be constants.
func constantsOf(t *testing.T, dir string) (names []string) {
	t.Helper()
	files, err := filepath.Glob(dir + "/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("%s has no code: %v", dir, err)
	}
	set := token.NewFileSet()
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(set, file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GenDecl:
				if n.Tok == token.CONST {
					names = append(names, integersOf(n)...)
					return false
				}
			case *ast.BinaryExpr, *ast.BasicLit:
				if text, ok := unnamedSize(n.(ast.Expr)); ok {
					if !matches(numbersInCode[file], text) {
						t.Errorf("%s: give %s a name", set.Position(n.Pos()), text)
					}
					return false
				}
			}
			return true
		})
	}
	return names
}

// unnamedSize says whether an expression is a number that may be a size: a shift of a number, or one of three digits.
func unnamedSize(e ast.Expr) (text string, ok bool) {
	switch e := e.(type) {
	case *ast.BinaryExpr:
		x, isNumber := e.X.(*ast.BasicLit)
		y, byNumber := e.Y.(*ast.BasicLit)
		if e.Op == token.SHL && isNumber && byNumber {
			return x.Value + "<<" + y.Value, true
		}
	case *ast.BasicLit:
		v, err := strconv.ParseInt(e.Value, 0, 64)
		return e.Value, e.Kind == token.INT && err == nil && v >= 100 && !strings.HasPrefix(e.Value, "0x")
	}
	return "", false
}

// integersOf returns the constants of a declaration that are integers and belong to no enumeration.
func integersOf(d *ast.GenDecl) (names []string) {
	for _, spec := range d.Specs {
		v := spec.(*ast.ValueSpec)
		basic, ok := v.Type.(*ast.Ident)
		if v.Type != nil && (!ok || !strings.HasPrefix(basic.Name, "int") && !strings.HasPrefix(basic.Name, "uint")) {
			continue
		}
		for i, name := range v.Names {
			if i < len(v.Values) && hasInteger(v.Values[i]) {
				names = append(names, name.Name)
			}
		}
	}
	return names
}

func hasInteger(e ast.Expr) (found bool) {
	ast.Inspect(e, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BasicLit:
			found = found || n.Kind == token.INT
		case *ast.SelectorExpr: // math.MaxInt32
			found = found || strings.HasPrefix(n.Sel.Name, "Max") || strings.HasPrefix(n.Sel.Name, "Min")
		}
		return true
	})
	return found
}

// The comparison itself: each way in which table and code can fall apart is noticed.
func TestMissingRowsAreNoticed(t *testing.T) {
	const row = "| `a` | b | TestThere |\n"
	tests := map[string]bool{"TestThere": true}
	for _, c := range []struct {
		table     string
		constants []string
		want      string
	}{
		{row, []string{"a"}, ""},
		{row, []string{"a", "b"}, "b has no row"},
		{row, nil, "no constant a"},
		{"| `a` | b | TestGone |\n", []string{"a"}, "TestGone, which does not exist"},
		{"| `a` | b | by hand |\n", []string{"a"}, "no test crosses a"},
		{row, []string{"a", "posX"}, ""},
	} {
		got := strings.Join(missingRows("log/batch", c.table, c.constants, tests), "\n")
		if (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
			t.Errorf("%q, %v: %q, want %q", c.table, c.constants, got, c.want)
		}
	}
}
