package log

import (
	"errors"
	"strings"
	"testing"

	"once/durability"
	"once/internal/vfs"
)

// flipping is a file system that flips a bit of what is written to files of one ending.
type flipping struct {
	vfs.FS
	ending string
}

func (s flipping) Create(name string) (vfs.File, error) {
	f, err := s.FS.Create(name)
	if err != nil || !strings.HasSuffix(name, s.ending) {
		return f, err
	}
	return flippingFile{f}, nil
}

type flippingFile struct{ vfs.File }

func (f flippingFile) WriteAt(b []byte, at int64) (int, error) {
	b = append([]byte(nil), b...)
	b[len(b)-1] ^= 1
	return f.File.WriteAt(b, at)
}

// What recovery keeps of a log after a death is copied to a new file. A copy that is not the same replaces nothing: the
// log stays closed, and the next start finds it as it was.
func TestKeptBytesAreReadBackBeforeTheyReplace(t *testing.T) {
	mem := vfs.NewMem()
	w := newWorld(t, mem, durability.Page)
	mustAdd(t, w.mustOpen(), 4, 3)
	want := mustContents(t, w.log)
	w.leave()
	w.fs = flipping{mem, KeptSuffix}
	if err := w.open(); !errors.Is(err, errNotAsWritten) {
		t.Fatal(err)
	}
	w.leave()
	w.fs = mem
	if got := mustContents(t, w.mustOpen()); len(got) != len(want) {
		t.Fatalf("%v instead of %v", got, want)
	}
	if w.report.RewrittenBytes == 0 {
		t.Error("nothing was copied")
	}
	w.leave()
}
