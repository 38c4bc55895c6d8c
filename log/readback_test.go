package log_test

import (
	"errors"
	"strings"
	"testing"

	"once/durability"
	"once/internal/vfs"
	"once/log"
	"once/log/logtest"
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
	w := logtest.NewWorld(t, mem, durability.Page)
	logtest.MustAdd(t, w.MustOpen(), 4, 3)
	want := logtest.MustContents(t, w.Log)
	w.Leave()
	w.FS = flipping{mem, log.KeptSuffix}
	if err := w.Open(); !errors.Is(err, log.ErrNotAsWritten) {
		t.Fatal(err)
	}
	w.Leave()
	w.FS = mem
	if got := logtest.MustContents(t, w.MustOpen()); len(got) != len(want) {
		t.Fatalf("%v instead of %v", got, want)
	}
	if w.Report.RewrittenBytes == 0 {
		t.Error("nothing was copied")
	}
	w.Leave()
}
