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
	w := newWorld(t, mem, Page)
	w.config.SegmentBytes = 500
	l := w.mustOpen()
	for len(l.list()) < 2 || l.EndOffset()%9 != 0 {
		mustAdd(t, l, 1, 3)
	}
	var names []string
	for _, s := range l.list() {
		names = append(names, s.file(suffixLog))
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
		stored, err := readSmall(mem, name)
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
				w := newWorld(t, damaged.Clone(), Page)
				got, err := []byte(nil), w.open()
				if err == nil {
					got, err = readAll(w.log, maxBytes)
				}
				var d *DamagedError
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
	w := newWorld(t, mem, Page)
	w.config.SegmentBytes = 500
	l := w.mustOpen()
	for len(l.list()) < 4 {
		mustAdd(t, l, 1, 3)
	}
	segments := l.list()
	before, gone, behind := segments[1], segments[2], segments[3]
	w.mustClose()
	if err := mem.Remove(gone.file(suffixLog)); err != nil {
		t.Fatal(err)
	}
	l = w.mustOpen()
	defer w.leave()
	if _, err := readAll(l, 200); damagedFile(err) != before.file(suffixLog) || !strings.Contains(err.Error(), "are missing") {
		t.Error("fetched:", err)
	}
	if _, err := contents(l); damagedFile(err) != behind.file(suffixLog) || !strings.Contains(err.Error(), "are missing") {
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
		c.owns(150)
		var known [size]bool
		for i := range known {
			known[i] = i >= 150
		}
		for range 40 {
			from := dice.Intn(size)
			to := from + dice.Intn(size-from)
			at := from
			for _, r := range c.unknown(int64(from), int64(to)) {
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

// A set of ranges holds what was added and not removed since.
func TestRangesAddAndRemove(t *testing.T) {
	const size = 100
	dice := rand.New(rand.NewSource(4))
	for range 200 {
		var set byteRanges
		var want [size]bool
		for range 40 {
			from := dice.Intn(size - 1)
			to := from + 1 + dice.Intn(size-from-1)
			adds, had := dice.Intn(2) == 0, slices.Contains(want[from:to], true)
			if adds {
				set.add(int64(from), int64(to))
			} else {
				if got := set.overlaps(int64(from), int64(to)); got != had {
					t.Fatalf("%d to %d of %v: %v", from, to, set, got)
				}
				set.remove(int64(from), int64(to))
			}
			for i := from; i < to; i++ {
				want[i] = adds
			}
			var got [size]bool
			for i, r := range set {
				if r.from >= r.to || i > 0 && set[i-1].to > r.from {
					t.Fatal(set)
				}
				for at := r.from; at < r.to; at++ {
					got[at] = true
				}
			}
			if got != want {
				t.Fatalf("%v, want %v", set, want)
			}
		}
	}
}

func TestCheckedRangesAreBounded(t *testing.T) {
	c := checked{}
	c.owns(1 << 30)
	for i := range int64(10 * maxRanges) {
		c.add(10*i, 10*i+5)
	}
	if n := len(c.mu.known); n != maxRanges {
		t.Errorf("%d ranges", n)
	}
	// What is known is forgotten; what is cold is not.
	many := func() (b byteRanges) {
		for i := range int64(3 * maxRanges) {
			b.add(10*i, 10*i+5)
		}
		return b
	}
	all, known, cold := many(), many(), many()
	known.forgetBeyond()
	cold.joinBeyond()
	for _, r := range known {
		if left := all.without(r.from, r.to); left != nil {
			t.Errorf("%v was never added", left)
		}
	}
	for _, r := range all {
		if left := cold.without(r.from, r.to); left != nil {
			t.Errorf("%v is lost", left)
		}
	}
	if len(known) != maxRanges || len(cold) != maxRanges {
		t.Errorf("%d and %d ranges", len(known), len(cold))
	}
}

// cold is a file system whose files are never in memory.
type cold struct{ vfs.FS }

type coldFile struct{ vfs.File }

func (coldFile) InMemory(int64, int64) bool { return false }

func (c cold) OpenReadWrite(name string) (vfs.File, error) {
	f, err := c.FS.OpenReadWrite(name)
	return coldFile{f}, err
}

func (c cold) Create(name string) (vfs.File, error) {
	f, err := c.FS.Create(name)
	return coldFile{f}, err
}

// What comes from the disk is checked each time: the disk may have changed its mind.
func TestColdBytesAreCheckedEachTime(t *testing.T) {
	mem := vfs.NewMem()
	w := newWorld(t, cold{mem}, Page)
	l := w.mustOpen()
	defer w.leave()
	mustAdd(t, l, 3, 3)
	if _, err := readAll(l, 1<<20); err != nil {
		t.Fatal(err)
	}
	name := l.list()[0].file(suffixLog)
	mutate(t, mem, name, func(b []byte) []byte { b[70] ^= 1; return b })
	if _, err := readAll(l, 1<<20); damagedFile(err) != name {
		t.Error(err)
	}
}

// readingAhead is a file system whose files come into memory when they are read, and so many bytes ahead.
type readingAhead struct {
	vfs.FS
	bytes int64
}

type aheadFile struct {
	vfs.File
	bytes  int64
	filled *int64 // up to where they are in memory
}

func (f aheadFile) InMemory(position, sizeBytes int64) bool { return position+sizeBytes <= *f.filled }

func (f aheadFile) ReadAt(p []byte, at int64) (int, error) {
	*f.filled = max(*f.filled, at+int64(len(p))+f.bytes)
	return f.File.ReadAt(p, at)
}

func (r readingAhead) Create(name string) (vfs.File, error) {
	f, err := r.FS.Create(name)
	return aheadFile{f, r.bytes, new(int64)}, err
}

// What comes from the disk has a budget of its own, and the first batch none.
func TestColdBytesHaveTheirOwnBudget(t *testing.T) {
	const batches = 5
	for name, c := range map[string]struct {
		fs      vfs.FS
		coldMax int // in batches
		want    int
	}{
		"in memory":            {vfs.NewMem(), 2, batches},
		"cold, no bound":       {cold{vfs.NewMem()}, 0, batches},
		"cold":                 {cold{vfs.NewMem()}, 2, 2},
		"cold, larger batches": {cold{vfs.NewMem()}, -1, 1},
	} {
		w := newWorld(t, c.fs, Page)
		l := w.mustOpen()
		mustAdd(t, l, batches, 3)
		_, size := l.list()[0].bounds()
		coldMax := c.coldMax * int(size) / (batches - 1) // batches differ by a few bytes
		if c.coldMax < 0 {
			coldMax = 1
		}
		slice, err := l.Locate(0, l.EndOffset(), Budget{MaxBytes: 1 << 20, ColdMaxBytes: coldMax})
		if got := int(slice.NextOffset()) / 3; err != nil || got != c.want {
			t.Errorf("%s: %d batches, %v; want %d", name, got, err, c.want)
		}
		slice.Release()
		w.leave()
	}
}

// evict takes a segment out of memory.
func evict(s *segment) {
	*s.mu.file.(aheadFile).filled = 0
	s.checked.mu.lookedTo = 0 // which a reader that comes back after some time does as well
}

// What the system has read ahead of a reader comes from the disk as well.
func TestBytesReadAheadAreCheckedEachTime(t *testing.T) {
	mem := vfs.NewMem()
	w := newWorld(t, readingAhead{mem, 1 << 20}, Page)
	l := w.mustOpen()
	defer w.leave()
	mustAdd(t, l, 3, 3)
	name := l.list()[0].file(suffixLog)
	l.list()[0].recent.Store(nil) // as of batches that are not the last ones
	read := func(offset int64) (cold bool, err error) {
		slice, err := l.Locate(offset, l.EndOffset(), Budget{AtLeastOne: true}) // a batch at a time
		defer slice.Release()
		return slice.IsCold(), err
	}
	for i := range 3 {
		if cold, err := read(int64(3 * i)); err != nil || !cold {
			t.Fatalf("batch %d: %v, from the disk %v", i, err, cold)
		}
	}
	if cold, err := read(3); err != nil || cold {
		t.Errorf("once more: %v, from the disk %v", err, cold)
	}
	evict(l.list()[0])
	if _, err := read(0); err != nil {
		t.Fatal(err)
	}
	mutate(t, mem, name, func(b []byte) []byte { b[len(b)-1] ^= 1; return b })
	if _, err := read(6); damagedFile(err) != name {
		t.Error("served as it is:", err)
	}
}

// A byte that somebody changes under the running broker is found as well, by the time of the file; and what this
// process writes beside its readers is no reason to check everything again.
func TestChangeUnderTheRunningBrokerIsNoticed(t *testing.T) {
	t.Chdir(t.TempDir())
	w := newWorld(t, vfs.OS, Page)
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
	name := s.file(suffixLog)
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
	if err := s.checked.forgetIfChanged(f, size); err != nil || len(s.checked.unknown(0, size)) > 0 {
		t.Errorf("checked again: %v, %v", s.checked.unknown(0, size), err)
	}
}

// A batch that is larger than what is read at once is checked in pieces, none of which may differ; and who reads it
// from the disk is asked to wait before each.
func TestLargeBatchIsCheckedInPieces(t *testing.T) {
	mem := vfs.NewMem()
	w := newWorld(t, cold{mem}, Page)
	w.config.SegmentBytes = 1 << 20
	l := w.mustOpen()
	defer w.leave()
	mustAdd(t, l, 1, 3)
	_, second := l.list()[0].bounds()
	mustAdd(t, l, 1, 10_000)
	_, third := l.list()[0].bounds()
	mustAdd(t, l, 1, 3)
	if third-second < 3*coldReadBytes {
		t.Fatalf("a batch of %d bytes is none of several pieces", third-second)
	}
	name := l.list()[0].file(suffixLog)
	read := func(offset int64) (paced []int, err error) {
		slice, err := l.Locate(offset, l.EndOffset(), Budget{AtLeastOne: true, ColdPace: func(sizeBytes int) { paced = append(paced, sizeBytes) }})
		slice.Release()
		return paced, err
	}
	paced, err := read(3)
	sum := 0
	for _, n := range paced {
		sum += n
		if n > coldReadBytes {
			t.Errorf("%d bytes were read at once", n)
		}
	}
	if err != nil || int64(sum) != third-second {
		t.Fatalf("%d bytes were read in %d pieces of a batch of %d: %v", sum, len(paced), third-second, err)
	}
	for _, at := range []int64{second + 21, second + coldReadBytes - 1, second + coldReadBytes, second + 2*coldReadBytes, third - 1} {
		flip := func(b []byte) []byte { b[at] ^= 1; return b }
		mutate(t, mem, name, flip)
		var d *DamagedError
		if _, err := read(3); !errors.As(err, &d) || d.File != name || d.Position != second {
			t.Errorf("byte %d was changed: %v, want damage at %d", at, err, second)
		}
		if _, err := read(10_003); err != nil {
			t.Errorf("the batch behind: %v", err)
		}
		mutate(t, mem, name, flip)
	}
	if _, err := read(3); err != nil {
		t.Error(err)
	}
}

// P8: no checksum covers a batch's base offset, and in a log that was compacted offsets may be missing. A batch that
// would reach beyond its segment, or above the log's end, is served to nobody all the same; nobody skips a segment.
func TestBatchBeyondItsSegmentIsServedToNobody(t *testing.T) {
	mem, names, whole := twoSegments(t)
	for which, name := range names {
		stored, err := readSmall(mem, name)
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
				w := newWorld(t, damaged, Page)
				b, err := OpenBarrier(BarrierOptions{FS: damaged, Dir: "data", BootID: "boot-1", Mode: Page})
				if err != nil {
					t.Fatal(err)
				}
				r := b.Recovery("orders-0", testTopic)
				r.Gaps = true
				var got []byte
				if w.log, _, err = Open(Options{FS: damaged, Dir: testDir, TopicID: testTopic, Config: w.config, Barrier: b}, r); err == nil {
					got, err = readAll(w.log, 200)
				}
				b.stop()
				last := i == len(starts)-1
				higher := stored[at+7-bit/8]&(1<<(bit%8)) == 0
				if (last && higher || bit >= 8) && damagedFile(err) != name {
					t.Fatalf("segment %d, batch %d, bit %d: %d of %d bytes, %v", which, i, bit, len(got), len(whole), err)
				}
			}
		}
	}
}
