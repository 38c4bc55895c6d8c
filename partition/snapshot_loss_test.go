package partition

import (
	"fmt"
	"path"
	"strings"
	"testing"

	"once/internal/vfs"
)

// Producer snapshots are derived as long as the batches are there that they speak for, readable or not
// (spec: reliability P10, P14): whatever becomes of the files while the broker is down, retries are
// recognised, also of batches below the log start offset, and also after their segments are gone.

// derivedLosses are what somebody does to the files of a partition; each is called with a file's name.
var derivedLosses = []struct {
	name string
	edit func(fs vfs.FS, name string) error
}{
	{"snapshots removed", func(fs vfs.FS, name string) error {
		if strings.HasSuffix(name, ".snapshot") {
			return fs.Remove(name)
		}
		return nil
	}},
	{"snapshots spoiled", func(fs vfs.FS, name string) error {
		if strings.HasSuffix(name, ".snapshot") {
			return overwrite(fs, name)
		}
		return nil
	}},
	{"snapshots spoiled, aborted transactions not known", func(fs vfs.FS, name string) error {
		if strings.HasSuffix(name, ".snapshot") {
			return overwrite(fs, name)
		}
		if strings.HasSuffix(name, "txnindex-checkpoint") {
			return fs.Remove(name)
		}
		return nil
	}},
	{"all removed", func(fs vfs.FS, name string) error {
		if strings.HasSuffix(name, ".log") || strings.HasSuffix(name, "partition.metadata") {
			return nil
		}
		return fs.Remove(name)
	}},
}

func overwrite(fs vfs.FS, name string) error {
	f, err := fs.OpenReadWrite(name)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteAt([]byte("spoiled"), 3)
	return err
}

func TestProducersOutliveTheirBatchesAndSnapshots(t *testing.T) {
	const batches = 12
	for _, loss := range derivedLosses {
		for _, startOffset := range []int64{1, 6, batches} {
			for _, roll := range []bool{false, true} { // another segment begins before those are deleted
				for _, clean := range []bool{false, true} {
					name := fmt.Sprintf("%s, log starts at %d, roll %v, clean %v", loss.name, startOffset, roll, clean)
					if err := producersOutlive(t, batches, startOffset, roll, clean, loss.edit); err != nil {
						t.Errorf("%s: %v", name, err)
					}
				}
			}
		}
	}
}

func producersOutlive(t *testing.T, batches int32, startOffset int64, roll, clean bool,
	edit func(vfs.FS, string) error) error {
	mem := vfs.NewMem()
	s := newShelf(t, mem)
	s.mustOpen()
	for i := range batches {
		s.must(s.sendAs(7, 0, i, false, rec{"k", filler}))
	}
	if _, err := s.p.DeleteRecords(startOffset); err != nil {
		return err
	}
	s.sync()
	end := func() *shelf { // of one life
		if clean {
			s.shut()
			return s
		}
		mem = mem.Clone()
		_ = s.barrier.Close(false)
		next := newShelf(t, mem)
		next.starts = s.starts
		return next
	}
	s = end()
	names, err := mem.List("data/x-0")
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := edit(mem, path.Join("data/x-0", name)); err != nil {
			return err
		}
	}
	for life := range 3 {
		if err := s.open(); err != nil {
			return err
		}
		for i := batches - 5; i < batches; i++ {
			if a, err := s.sendAs(7, 0, i, false, rec{"k", filler}); err != nil || !a.Duplicate || a.BaseOffset != int64(i) {
				return fmt.Errorf("life %d: retry of batch %d: %+v, %v", life, i, a, err)
			}
		}
		if roll {
			s.fill(3)
		}
		s.retain()
		s.sync()
		s = end()
	}
	return nil
}
