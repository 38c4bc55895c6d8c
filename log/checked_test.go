package log

import (
	"bytes"
	"errors"
	"math/rand"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"once/durability"
	"once/internal/files"
	"once/internal/vfs"
	"once/log/batch"
)

// readAll reads a log as fetches do, so many bytes at a time, up to the first error.
func readAll(l *Log, maxBytes int) (got []byte, err error) {
	for offset := l.StartOffset(); offset < l.EndOffset(); {
		s, err := l.Locate(offset, l.EndOffset(), Budget{MaxBytes: maxBytes, AtLeastOne: true})
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
	w := newWorld(t, mem, durability.Page)
	w.config.SegmentBytes = 500
	l := w.mustOpen()
	for len(l.list()) < 2 || l.EndOffset()%9 != 0 {
		mustAdd(t, l, 1, 3)
	}
	var names []string
	for _, s := range l.list() {
		names = append(names, s.file(LogSuffix))
	}
	all, err := readAll(l, 200)
	if err != nil {
		t.Fatal(err)
	}
	w.mustClose()
	return mem, names, all
}

// P8: whichever byte of a log that was stopped in order is not what was written, nobody gets to see it, and the
// error names the file and the batch. The leader epoch is the one field that nothing vouches for.
func TestFlippedByteIsServedToNobody(t *testing.T) {
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
			mutate(t, damaged, name, func(b []byte) []byte { b[i] ^= 0x04; return b })
			for _, maxBytes := range []int{1, 200, 1 << 20} {
				w := newWorld(t, damaged.Clone(), durability.Page)
				got, err := []byte(nil), w.open()
				if err == nil {
					got, err = readAll(w.log, maxBytes)
				}
				var d *files.DamagedError
				if !errors.As(err, &d) || d.File != name || d.Position > int64(i) {
					t.Fatalf("byte %d of %s, %d at a time: %v", i, name, maxBytes, err)
				}
				if !bytes.HasPrefix(whole, got) {
					t.Fatalf("byte %d of %s, %d at a time: it was read", i, name, maxBytes)
				}
				w.leave()
			}
		}
	}
}

// A segment that somebody took out of a log that was never compacted is missed by whoever comes there.
func TestMissingSegmentIsMissed(t *testing.T) {
	mem := vfs.NewMem()
	w := newWorld(t, mem, durability.Page)
	w.config.SegmentBytes = 500
	l := w.mustOpen()
	for len(l.list()) < 4 {
		mustAdd(t, l, 1, 3)
	}
	segments := l.list()
	before, gone, behind := segments[1], segments[2], segments[3]
	w.mustClose()
	if err := mem.Remove(gone.file(LogSuffix)); err != nil {
		t.Fatal(err)
	}
	l = w.mustOpen()
	defer w.leave()
	if _, err := readAll(l, 200); damagedFile(err) != before.file(LogSuffix) || !strings.Contains(err.Error(), "are missing") {
		t.Error("fetched:", err)
	}
	if _, err := contents(l); damagedFile(err) != behind.file(LogSuffix) || !strings.Contains(err.Error(), "are missing") {
		t.Error("scanned:", err)
	}
	// Where compaction has been, offsets may be missing.
	l.gaps.Store(true)
	if _, err := readAll(l, 200); err != nil {
		t.Error(err)
	}
}

// What has been checked is not checked again, what this process wrote never, and what a check has not seen
// always: the ranges hold against a bitmap.
func TestCheckedRangesAreABitmap(t *testing.T) {
	const size = 200
	dice := rand.New(rand.NewSource(3))
	for range 200 {
		c := checked{}
		c.setOwnFrom(150)
		var known [size]bool
		for i := range known {
			known[i] = i >= 150
		}
		for range 40 {
			from := dice.Intn(size)
			to := from + dice.Intn(size-from)
			at := from
			for _, r := range c.unverified(int64(from), int64(to)) {
				for ; at < int(r.from); at++ {
					if !known[at] {
						t.Fatalf("%d to %d: byte %d counts as known", from, to, at)
					}
				}
				for ; at < int(r.to); at++ {
					if known[at] {
						t.Fatalf("%d to %d: byte %d counts as unknown", from, to, at)
					}
				}
			}
			for ; at < to; at++ {
				if !known[at] {
					t.Fatalf("%d to %d: byte %d counts as known", from, to, at)
				}
			}
			if from < to {
				c.add(int64(from), int64(to))
				for i := from; i < to; i++ {
					known[i] = true
				}
			}
		}
	}
}

func TestCheckedRangesAreBounded(t *testing.T) {
	c := checked{}
	c.setOwnFrom(1 << 30)
	for i := range int64(10 * maxRanges) {
		c.add(10*i, 10*i+5)
	}
	if n := len(c.mu.known); n != maxRanges {
		t.Errorf("%d ranges", n)
	}
	for _, r := range c.mu.known {
		if r.from%10 != 0 || r.to != r.from+5 {
			t.Errorf("%v was never added", r)
		}
	}
}

// A byte that somebody changes under the running broker is found as well, by the time of the file; and what this
// process writes beside its readers is no reason to check everything again.
func TestChangeUnderTheRunningBrokerIsNoticed(t *testing.T) {
	t.Chdir(t.TempDir())
	w := newWorld(t, vfs.OS, durability.Page)
	l := w.mustOpen()
	defer w.leave()
	mustAdd(t, l, 3, 3)
	s := l.list()[0]
	for range 3 {
		mustAdd(t, l, 1, 3)
		if _, err := readAll(l, 1<<20); err != nil {
			t.Fatal(err)
		}
		if s.checked.mu.ownFrom != 0 {
			t.Fatal("what this process wrote is not trusted")
		}
	}
	name := s.file(LogSuffix)
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
	if _, err := readAll(l, 1<<20); damagedFile(err) != name {
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
	_, size := s.bounds()
	if err := s.checked.forgetIfChanged(f, size); err != nil || len(s.checked.unverified(0, size)) > 0 {
		t.Errorf("checked again: %v, %v", s.checked.unverified(0, size), err)
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
	w := newWorld(t, mem, durability.Page)
	w.sizes = Sizes{}
	w.config.SegmentBytes = 1 << 21
	l := w.mustOpen()
	mustAdd(t, l, 1, 3)
	_, second := l.list()[0].bounds()
	mustAdd(t, l, 1, 40_000)
	_, third := l.list()[0].bounds()
	mustAdd(t, l, 1, 3)
	if third-second < 3*scanBytes {
		t.Fatalf("a batch of %d bytes is none of several pieces", third-second)
	}
	name := l.list()[0].file(LogSuffix)
	w.mustClose()
	read := func(offset int64) (sizes []int, err error) {
		w.fs = readSizes{mem.Clone(), &sizes}
		l := w.mustOpen()
		defer w.leave()
		sizes = nil
		slice, err := l.Locate(offset, l.EndOffset(), Budget{AtLeastOne: true})
		slice.Release()
		return sizes, err
	}
	sizes, err := read(3)
	if err != nil || slices.Max(sizes) > scanBytes || len(sizes) < 4 {
		t.Fatalf("read in %v: %v", sizes, err)
	}
	for _, at := range []int64{second + 21, second + scanBytes - 1, second + scanBytes, second + 2*scanBytes, third - 1} {
		flip := func(b []byte) []byte { b[at] ^= 1; return b }
		mutate(t, mem, name, flip)
		var d *files.DamagedError
		if _, err := read(3); !errors.As(err, &d) || d.File != name || d.Position != second {
			t.Errorf("byte %d was changed: %v, want damage at %d", at, err, second)
		}
		if _, err := read(40_003); err != nil {
			t.Errorf("the batch behind: %v", err)
		}
		mutate(t, mem, name, flip)
	}
}

// P8: no checksum covers a batch's base offset, and in a log that was compacted offsets may be missing. A batch that
// would reach beyond its segment, or above the log's end, is served to nobody all the same; nobody skips a segment.
func TestBatchBeyondItsSegmentIsServedToNobody(t *testing.T) {
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
				mutate(t, damaged, name, func(b []byte) []byte { b[at+7-bit/8] ^= 1 << (bit % 8); return b })
				w := newWorld(t, damaged, durability.Page)
				b, err := durability.Open(durability.Options{FS: damaged, Dir: "data", FindLogs: findLogs, BootID: "boot-1", Mode: durability.Page})
				if err != nil {
					t.Fatal(err)
				}
				r := b.Recovery("orders-0", testTopic)
				r.Gaps = true
				var got []byte
				if w.log, _, err = Open(Options{FS: damaged, Dir: testDir, TopicID: testTopic, Config: w.config, Barrier: b}, r); err == nil {
					got, err = readAll(w.log, 200)
				}
				b.Kill()
				last := i == len(starts)-1
				higher := stored[at+7-bit/8]&(1<<(bit%8)) == 0
				if (last && higher || bit >= 8) && damagedFile(err) != name {
					t.Fatalf("segment %d, batch %d, bit %d: %d of %d bytes, %v", which, i, bit, len(got), len(whole), err)
				}
			}
		}
	}
}
