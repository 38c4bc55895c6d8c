package partition

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"once/internal/vfs"
	"once/log"
)

// spoilt is a file system on which what is written to files of one ending is not what was asked for.
type spoilt struct {
	vfs.FS
	ending string
	write  func(f vfs.File, b []byte, at int64) (int, error) // nil: as asked
}

func (s *spoilt) Create(name string) (vfs.File, error) {
	f, err := s.FS.Create(name)
	if err != nil || !strings.HasSuffix(name, s.ending) {
		return f, err
	}
	return spoiltFile{f, s}, nil
}

type spoiltFile struct {
	vfs.File
	of *spoilt
}

func (f spoiltFile) WriteAt(b []byte, at int64) (int, error) {
	if f.of.write == nil {
		return f.File.WriteAt(b, at)
	}
	return f.of.write(f.File, b, at)
}

func counted(t *testing.T, from prometheus.Gatherer, name string) float64 {
	t.Helper()
	families, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatal("no metric", name)
	return 0
}

// A cleaned segment that is not what was to be written, however that comes, replaces nothing: the originals stay and
// are read, the metric counts, and nothing is tried again until the next start.
func TestCleanedSegmentIsReadBackBeforeItReplaces(t *testing.T) {
	for name, write := range map[string]func(f vfs.File, b []byte, at int64) (int, error){
		"a flipped bit in a record": func(f vfs.File, b []byte, at int64) (int, error) {
			b[70] ^= 4
			return f.WriteAt(b, at)
		},
		"a base offset": func(f vfs.File, b []byte, at int64) (int, error) {
			b[7] ^= 1
			return f.WriteAt(b, at)
		},
		"behind its place": func(f vfs.File, b []byte, at int64) (int, error) { return f.WriteAt(b, at+int64(len(b))) },
		"the rest is missing": func(f vfs.File, b []byte, at int64) (int, error) {
			if at > 0 {
				return len(b), nil
			}
			return f.WriteAt(b, at)
		},
		"nothing is written": func(_ vfs.File, b []byte, _ int64) (int, error) { return len(b), nil },
		"twice": func(f vfs.File, b []byte, at int64) (int, error) {
			_, _ = f.WriteAt(b, at+int64(len(b)))
			return f.WriteAt(b, at)
		},
	} {
		t.Run(name, func(t *testing.T) {
			disk := &spoilt{FS: vfs.NewMem(), ending: log.CleanedSuffix}
			s := newShelf(t, disk)
			s.sizes.CleanBufferBytes = 1
			s.config.Log.SegmentBytes = 400
			s.config.Compaction = Compaction{Compact: true}
			registry := prometheus.NewRegistry()
			s.registerer = registry
			s.mustOpen()
			for i := range 12 { // something of each batch goes, and something stays
				s.must(s.send(rec{"a", fmt.Sprint(i)}, rec{fmt.Sprint("key", i), "x"}))
			}
			s.roll()
			s.sync()
			before := s.layout()
			disk.write = write
			for range 2 {
				if _, err := s.p.Compact(context.Background(), s.nowMs(), 1<<20); !log.IsUncleanable(err) {
					t.Fatalf("%v", err)
				}
				s.expect("after a pass that failed", before)
			}
			if got := counted(t, registry, "log_cleaner_read_back_failures_total"); got != 1 {
				t.Errorf("counted %v times", got)
			}
			if n := s.files(log.CleanedSuffix) + s.files(".swap"); n != 0 {
				t.Errorf("%d files of the cleaner are left", n)
			}
			disk.write = nil
			s.shut()
			s.registerer = nil
			s.mustOpen()
			s.expect("after a restart", before)
			s.compact()
			if after := s.layout(); after == before {
				t.Error("the next start does not compact")
			}
			s.shut()
		})
	}
}
