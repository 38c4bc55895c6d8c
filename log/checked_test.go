package log_test

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"once/durability"
	"once/internal/files"
	"once/internal/vfs"
	"once/log"
	"once/log/batch"
	"once/log/directory"
	"once/log/logtest"
)

// readAll reads a log as fetches do, so many bytes at a time, up to the first error.
func readAll(l *log.Log, maxBytes int) (got []byte, err error) {
	for offset := l.StartOffset(); offset < l.EndOffset(); {
		s, err := l.Locate(offset, l.EndOffset(), log.Budget{MaxBytes: maxBytes, AtLeastOne: true})
		if err != nil {
			return got, err
		}
		from := len(got)
		got, err = s.ReadInto(got)
		s.Release()
		if err != nil {
			return got, err
		}
		for part := got[from:]; len(part) > 0; { // as a client does, who knows nothing of segments
			h, err := batch.ParseHeader(part)
			if err != nil {
				return got, err
			}
			part, offset = part[h.SizeBytes():], h.NextOffset()
		}
		if len(got) == from {
			return got, nil
		}
	}
	return got, nil
}

// twoSegments is a closed log whose .log files are returned, oldest first.
func twoSegments(t *testing.T) (*vfs.Mem, []string, []byte) {
	t.Helper()
	mem := vfs.NewMem()
	w := logtest.NewWorld(t, mem, durability.Page)
	w.Config.SegmentBytes = 500
	l := w.MustOpen()
	for len(l.Segments()) < 2 || l.EndOffset()%9 != 0 {
		logtest.MustAdd(t, l, 1, 3)
	}
	var names []string
	for _, s := range l.Segments() {
		names = append(names, s.File(log.LogSuffix))
	}
	all, err := readAll(l, 200)
	if err != nil {
		t.Fatal(err)
	}
	w.MustClose()
	return mem, names, all
}

// P8: whichever byte of a log that was stopped in order is not what was written, nobody gets to see it, and the
// error names the file and the batch. The leader epoch is the one field that nothing vouches for.
func TestFlippedByteIsNotServed(t *testing.T) {
	mem, names, whole := twoSegments(t)
	for _, name := range names {
		stored, err := files.ReadSmall(mem, name)
		if err != nil {
			t.Fatal(err)
		}
		start := 0 // of the batch that holds the byte
		for i := range stored {
			h, err := batch.ParseHeader(stored[start:])
			if err != nil {
				t.Fatal(err)
			}
			if i == start+h.SizeBytes() {
				start = i
			}
			if in := i - start; in >= 12 && in < 16 {
				continue
			}
			damaged := mem.Clone()
			logtest.Mutate(t, damaged, name, func(b []byte) []byte { b[i] ^= 0x04; return b })
			for _, maxBytes := range []int{1, 200, 1 << 20} {
				w := logtest.NewWorld(t, damaged.Clone(), durability.Page)
				got, err := []byte(nil), w.Open()
				if err == nil {
					got, err = readAll(w.Log, maxBytes)
				}
				var d *files.DamagedError
				if !errors.As(err, &d) || d.File != name || d.Position > int64(i) {
					t.Fatalf("byte %d of %s, %d at a time: %v", i, name, maxBytes, err)
				}
				if !bytes.HasPrefix(whole, got) {
					t.Fatalf("byte %d of %s, %d at a time: it was read", i, name, maxBytes)
				}
				w.Leave()
			}
		}
	}
}

// A segment that somebody took out of a log that was never compacted is missed by whoever comes there.
func TestMissingSegmentIsMissed(t *testing.T) {
	mem := vfs.NewMem()
	w := logtest.NewWorld(t, mem, durability.Page)
	w.Config.SegmentBytes = 500
	l := w.MustOpen()
	for len(l.Segments()) < 4 {
		logtest.MustAdd(t, l, 1, 3)
	}
	segments := l.Segments()
	before, gone, behind := segments[1], segments[2], segments[3]
	w.MustClose()
	if err := mem.Remove(gone.File(log.LogSuffix)); err != nil {
		t.Fatal(err)
	}
	l = w.MustOpen()
	defer w.Leave()
	if _, err := readAll(l, 200); logtest.DamagedFile(err) != before.File(log.LogSuffix) ||
		!strings.Contains(err.Error(), "are missing") {
		t.Error("fetched:", err)
	}
	if _, err := logtest.Contents(l); logtest.DamagedFile(err) != behind.File(log.LogSuffix) ||
		!strings.Contains(err.Error(), "are missing") {
		t.Error("scanned:", err)
	}
	// Where compaction has been, offsets may be missing.
	l.AllowGaps()
	if _, err := readAll(l, 200); err != nil {
		t.Error(err)
	}
}

// A byte that somebody changes under the running broker is found as well, by the time of the file; and what this
// process writes beside its readers is no reason to check everything again.
func TestChangeUnderTheRunningBrokerIsNoticed(t *testing.T) {
	t.Chdir(t.TempDir())
	w := logtest.NewWorld(t, vfs.OS, durability.Page)
	l := w.MustOpen()
	defer w.Leave()
	logtest.MustAdd(t, l, 3, 3)
	s := l.Segments()[0]
	for range 3 {
		logtest.MustAdd(t, l, 1, 3)
		if _, err := readAll(l, 1<<20); err != nil {
			t.Fatal(err)
		}
		if s.OwnFrom() != 0 {
			t.Fatal("what this process wrote is not trusted")
		}
	}
	name := s.File(log.LogSuffix)
	f, err := vfs.OS.OpenReadWrite(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var was [1]byte
	if _, err := f.ReadAt(was[:], 70); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{^was[0]}, 70); err != nil {
		t.Fatal(err)
	}
	// The times of some kernels go in steps of milliseconds, and the last append is nearer.
	if later := time.Now().Add(time.Second); os.Chtimes(name, later, later) != nil {
		t.Fatal("no time set")
	}
	if _, err := readAll(l, 1<<20); logtest.DamagedFile(err) != name {
		t.Error(err)
	}
	// The change is noticed once, although its time is still to come: what was checked since counts as such.
	if _, err := f.WriteAt([]byte{was[0]}, 70); err != nil {
		t.Fatal(err)
	}
	if later := time.Now().Add(time.Hour); os.Chtimes(name, later, later) != nil {
		t.Fatal("no time set")
	}
	for range 2 {
		if _, err := readAll(l, 1<<20); err != nil {
			t.Fatal(err)
		}
	}
	if again, err := s.ForgetIfChanged(f); err != nil || again > 0 {
		t.Errorf("%d parts are checked again, %v", again, err)
	}
}

// readSizes is a file system that tells how much is read at once.
type readSizes struct {
	vfs.FS
	sizes *[]int
}

type readSizesFile struct {
	vfs.File
	sizes *[]int
}

func (f readSizesFile) ReadAt(b []byte, at int64) (int, error) {
	*f.sizes = append(*f.sizes, len(b))
	return f.File.ReadAt(b, at)
}

func (f readSizes) OpenReadWrite(name string) (vfs.File, error) {
	file, err := f.FS.OpenReadWrite(name)
	return readSizesFile{file, f.sizes}, err
}

// A batch that is larger than what is read at once is verified in pieces, none of which may differ.
func TestLargeBatchIsVerifiedInPieces(t *testing.T) {
	mem := vfs.NewMem()
	w := logtest.NewWorld(t, mem, durability.Page)
	w.LogSizes = log.Sizes{}
	w.Config.SegmentBytes = 1 << 21
	l := w.MustOpen()
	logtest.MustAdd(t, l, 1, 3)
	_, second := l.Segments()[0].Bounds()
	logtest.MustAdd(t, l, 1, 40_000)
	_, third := l.Segments()[0].Bounds()
	logtest.MustAdd(t, l, 1, 3)
	if third-second < 3*log.ScanBytes {
		t.Fatalf("a batch of %d bytes is none of several pieces", third-second)
	}
	name := l.Segments()[0].File(log.LogSuffix)
	w.MustClose()
	read := func(offset int64) (sizes []int, err error) {
		w.FS = readSizes{mem.Clone(), &sizes}
		l := w.MustOpen()
		defer w.Leave()
		sizes = nil
		slice, err := l.Locate(offset, l.EndOffset(), log.Budget{AtLeastOne: true})
		slice.Release()
		return sizes, err
	}
	sizes, err := read(3)
	if err != nil || slices.Max(sizes) > log.ScanBytes || len(sizes) < 4 {
		t.Fatalf("read in %v: %v", sizes, err)
	}
	for _, at := range []int64{second + 21, second + log.ScanBytes - 1, second + log.ScanBytes, second + 2*log.ScanBytes,
		third - 1} {
		flip := func(b []byte) []byte { b[at] ^= 1; return b }
		logtest.Mutate(t, mem, name, flip)
		var d *files.DamagedError
		if _, err := read(3); !errors.As(err, &d) || d.File != name || d.Position != second {
			t.Errorf("byte %d was changed: %v, want damage at %d", at, err, second)
		}
		if _, err := read(40_003); err != nil {
			t.Errorf("the batch behind: %v", err)
		}
		logtest.Mutate(t, mem, name, flip)
	}
}

// P8: no checksum covers a batch's base offset, and in a log that was compacted offsets may be missing. A batch that
// would reach beyond its segment, or above the log's end, is served to nobody all the same; nobody skips a segment.
func TestBatchBeyondItsSegmentIsNotServed(t *testing.T) {
	mem, names, whole := twoSegments(t)
	for which, name := range names {
		stored, err := files.ReadSmall(mem, name)
		if err != nil {
			t.Fatal(err)
		}
		var starts []int
		for at := 0; at < len(stored); {
			h, err := batch.ParseHeader(stored[at:])
			if err != nil {
				t.Fatal(err)
			}
			starts = append(starts, at)
			at += h.SizeBytes()
		}
		for i, at := range starts {
			for bit := range 62 {
				damaged := mem.Clone()
				logtest.Mutate(t, damaged, name, func(b []byte) []byte { b[at+7-bit/8] ^= 1 << (bit % 8); return b })
				w := logtest.NewWorld(t, damaged, durability.Page)
				b, err := durability.Open(durability.Options{FS: damaged, Dir: "data", FindLogs: directory.Logs, BootID: "boot-1",
					Mode: durability.Page})
				if err != nil {
					t.Fatal(err)
				}
				r := b.Recovery("orders-0", logtest.Topic)
				r.Gaps = true
				var got []byte
				if w.Log, _, err = log.Open(log.Options{FS: damaged, Dir: logtest.Dir, TopicID: logtest.Topic, Config: w.Config,
					Barrier: b}, r); err == nil {
					got, err = readAll(w.Log, 200)
				}
				b.Kill()
				last := i == len(starts)-1
				higher := stored[at+7-bit/8]&(1<<(bit%8)) == 0
				if (last && higher || bit >= 8) && logtest.DamagedFile(err) != name {
					t.Fatalf("segment %d, batch %d, bit %d: %d of %d bytes, %v", which, i, bit, len(got), len(whole), err)
				}
			}
		}
	}
}
