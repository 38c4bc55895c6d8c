package log_test

import (
	"errors"
	"runtime"
	"sync"
	"testing"

	"once/durability"
	"once/internal/vfs"
	"once/log"
	"once/log/batch"
	"once/log/logtest"
)

// Readers at the tail, far behind and by timestamp run beside appends, rolls, deletions and barriers;
// each sees whole batches in order.
func TestReadersBesideAppends(t *testing.T) {
	w := logtest.NewWorld(t, vfs.NewMem(), durability.Page)
	l := w.MustOpen()
	defer w.Leave()
	const batches = 600
	var wg sync.WaitGroup
	reader := func(limit func(next int64) int64) {
		next := int64(0)
		for next < 2*batches {
			end := l.EndOffset()
			s, err := l.Locate(next, limit(end), log.Budget{MaxBytes: 700, AtLeastOne: true})
			if errors.Is(err, log.ErrOutOfRange) {
				next = l.StartOffset()
				continue
			}
			raw, rerr := s.ReadInto(nil)
			s.Release()
			if err != nil || rerr != nil {
				t.Error(err, rerr)
				return
			}
			for len(raw) > 0 {
				h, err := batch.ParseHeader(raw)
				if err != nil || h.BaseOffset != next {
					t.Errorf("batch at %d where %d was due: %v", h.BaseOffset, next, err)
					return
				}
				if _, err := batch.Verify(raw[:h.SizeBytes()]); err != nil {
					t.Error(err)
					return
				}
				next, raw = h.NextOffset(), raw[h.SizeBytes():]
			}
			if s.NextOffset() != next {
				t.Errorf("next %d, want %d", s.NextOffset(), next)
				return
			}
			runtime.Gosched()
		}
	}
	wg.Go(func() { reader(func(end int64) int64 { return end }) })
	wg.Go(func() {
		reader(func(end int64) int64 { return max(end-6, min(end, 2*batches-6), 0) + 6*(end/(2*batches)) })
	})
	wg.Go(func() {
		for l.EndOffset() < 2*batches {
			_, _, err := l.OffsetForTimestamp(1000*(l.EndOffset()-4), l.EndOffset())
			_, _, merr := l.MaxTimestamp()
			if err != nil || merr != nil {
				t.Error(err, merr)
				return
			}
		}
	})
	for i := range batches {
		logtest.MustAdd(t, l, 1, 2)
		if i%100 == 99 {
			l.SetStartOffset(int64(i + 1))
			l.DeleteSegments()
			w.MustSync()
		}
	}
	wg.Wait()
}

type noisyFS struct {
	vfs.FS
	wrote chan struct{}
	after error // what writes return although they wrote everything
	trunc error
}

func (n *noisyFS) Create(name string) (vfs.File, error) {
	f, err := n.FS.Create(name)
	if err != nil {
		return nil, err
	}
	return &noisyFile{f, n}, nil
}

type noisyFile struct {
	vfs.File
	n *noisyFS
}

func (f *noisyFile) WriteAt(b []byte, off int64) (int, error) {
	n, err := f.File.WriteAt(b, off)
	select {
	case f.n.wrote <- struct{}{}:
	default:
	}
	if err == nil {
		err = f.n.after
	}
	return n, err
}

func (f *noisyFile) Truncate(size int64) error {
	if f.n.trunc != nil {
		return f.n.trunc
	}
	return f.File.Truncate(size)
}

// An append that returned an error is not in the log after a restart either, although all its bytes
// were written (spec: reliability P16).
func TestFailedAppendLeavesNothing(t *testing.T) {
	fs := &noisyFS{FS: vfs.NewMem()}
	w := logtest.NewWorld(t, fs, durability.Page)
	l := w.MustOpen()
	logtest.MustAdd(t, l, 2, 1)
	fs.after = vfs.ErrInjected
	if err := logtest.Add(l, 1); !errors.Is(err, vfs.ErrInjected) || errors.Is(err, log.ErrFailed) {
		t.Fatal(err)
	}
	fs.after = nil
	w.Leave()
	if l = w.MustOpen(); l.EndOffset() != 2 || w.Report.TruncatedBytes != 0 {
		t.Fatalf("end %d %+v", l.EndOffset(), w.Report)
	}
	logtest.MustAdd(t, l, 1, 1) // the disk has room again
	fs.after, fs.trunc = vfs.ErrInjected, vfs.ErrInjected
	_ = l.Roll()
	fs.after, fs.trunc = nil, nil
	logtest.MustAdd(t, l, 1, 1)
	fs.after, fs.trunc = vfs.ErrInjected, vfs.ErrInjected
	if err := logtest.Add(l, 1); !errors.Is(err, log.ErrFailed) {
		t.Fatal("the tail is not known, and yet:", err)
	}
	fs.after, fs.trunc = nil, nil
	if err := logtest.Add(l, 1); !errors.Is(err, log.ErrFailed) {
		t.Fatal("writable again:", err)
	}
	if l.EndOffset() != 4 {
		t.Fatal("published")
	}
	w.Leave()
}

// A large segment that lost its index gets one again instead of a walk from its start at each fetch.
func TestLostIndexIsCompleted(t *testing.T) {
	w := logtest.NewWorld(t, vfs.NewMem(), durability.Page)
	w.Config = log.Config{}
	l := w.MustOpen()
	logtest.MustAdd(t, l, 2000, 1)
	if err := l.Roll(); err != nil {
		t.Fatal(err)
	}
	logtest.MustAdd(t, l, 1, 1)
	first := l.Segments()[0]
	want := first.IndexEntries()
	w.MustClose()
	logtest.Mutate(t, w.FS, first.File(log.IndexSuffix), func([]byte) []byte { return nil })
	l = w.MustOpen()
	defer w.Leave()
	checkLocate(t, l, 1700, 2000, 1000, true)
	if got := l.Segments()[0].IndexEntries(); got < want-2 {
		t.Fatalf("%d entries, had %d", got, want)
	}
}
