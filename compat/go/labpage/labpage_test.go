package labpage

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write page_test.go from docs/lab.md")

var fence = regexp.MustCompile("(?ms)^```go\n(.*?)^```$")

// What the page shows is what is run. After a change of the page, run this with -rewrite.
func TestPageIsWhatIsRun(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "lab.md"))
	must(t, err)
	var snippets []string
	for _, m := range fence.FindAllSubmatch(page, -1) {
		snippets = append(snippets, string(m[1]))
	}
	if len(snippets) != 12 {
		t.Errorf("the page has %d Go snippets", len(snippets))
	}
	want := strings.Join(snippets, "\n")
	if *rewrite {
		must(t, os.WriteFile("page_test.go", []byte(want), 0o644))
	}
	got, err := os.ReadFile("page_test.go")
	must(t, err)
	if string(got) != want {
		t.Error("page_test.go differs from the snippets of docs/lab.md")
	}
}
