package log_test

import (
	"bytes"
	"fmt"
	"path"
	"testing"

	"once/durability"
	"once/internal/files"
	"once/internal/vfs"
	"once/log"
	"once/log/logtest"
)

// An image shares the sealed segments of a log. When the barrier record behind it is damaged later, recovery goes back
// to the one before, cuts such segments, and appends behind them: the files of the image keep their bytes.
func TestRecoveryLeavesSharedFilesAlone(t *testing.T) {
	const batches = 12
	cut := map[string]bool{}
	for synced := 1; synced < batches; synced++ {
		for _, boot := range []string{"boot-1", "boot-2"} {
			w := logtest.NewWorld(t, vfs.NewMem(), durability.Page)
			w.Boot = "boot-1"
			w.Config.SegmentBytes = 300
			l := w.MustOpen()
			logtest.MustAdd(t, l, synced, 1)
			w.MustSync()
			logtest.MustAdd(t, l, batches-synced, 1)
			shared := map[string][]byte{}
			for _, s := range l.Segments() {
				name := s.File(log.LogSuffix)
				content, err := files.ReadSmall(w.FS, name)
				if err == nil {
					err = w.FS.Link(name, "image-"+path.Base(name))
				}
				if err != nil {
					t.Fatal(err)
				}
				shared["image-"+path.Base(name)] = content
			}
			w.Leave()
			if len(shared) < 3 {
				t.Fatalf("%d segments", len(shared))
			}

			w.Boot, w.Config.SegmentBytes = boot, 1<<20 // the last segment takes more
			l = w.MustOpen()
			if kept := boot == "boot-1"; kept != (l.EndOffset() == batches) {
				t.Fatalf("%s, %d batches synced: the log ends at %d", boot, synced, l.EndOffset())
			}
			_, atEnd := shared[fmt.Sprintf("image-%020d.log", l.EndOffset())]
			cut[fmt.Sprintf("%s, at the end of a segment: %v", boot, atEnd)] = true
			logtest.MustAdd(t, l, 2, 1)
			w.MustSync()
			for name, want := range shared {
				if got, err := files.ReadSmall(w.FS, name); !bytes.Equal(got, want) || err != nil {
					t.Errorf("%s, %d batches synced: %s has %d bytes of %d: %v", boot, synced, name, len(got), len(want), err)
				}
			}
			logtest.MustContents(t, l)
			w.Leave()
		}
	}
	for _, want := range []string{"boot-2, at the end of a segment: true", "boot-2, at the end of a segment: false"} {
		if !cut[want] {
			t.Errorf("no cut %s", want)
		}
	}
}
