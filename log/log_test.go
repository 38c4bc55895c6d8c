package log_test

import (
	"bytes"
	"errors"
	"io/fs"
	"testing"

	"once/durability"
	"once/internal/files"
	"once/internal/vfs"
	"once/log"
	"once/log/batch"
	"once/log/logtest"
)

func TestLogWithoutRecordsHasNoFile(t *testing.T) {
	mem := vfs.NewMem()
	w := logtest.NewWorld(t, mem, durability.Page)
	l := w.MustOpen()
	if l.StartOffset() != 0 || l.EndOffset() != 0 || l.SizeBytes() != 0 {
		t.Fatal("empty log is not empty")
	}
	s, err := l.Locate(0, 0, log.Budget{MaxBytes: 100, AtLeastOne: true})
	if err != nil || s.SizeBytes() != 0 || s.NextOffset() != 0 {
		t.Fatal(s, err)
	}
	w.MustClose()
	if _, err := mem.Stat(logtest.Dir); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal("directory was made", err)
	}
}

func TestLocateReturnsWholeBatchesWithinLimits(t *testing.T) {
	w := logtest.NewWorld(t, vfs.NewMem(), durability.Page)
	l := w.MustOpen()
	defer w.Leave()
	logtest.MustAdd(t, l, 100, 3) // offsets 0 to 299, several segments
	if len(l.Segments()) < 5 {
		t.Fatal("no rolls")
	}
	raw, _ := logtest.MakeBatch(0, 3, 0, 0)
	one := len(raw)
	for _, reopened := range []bool{false, true} {
		if reopened {
			w.MustClose()
			l = w.MustOpen()
		}
		for offset := int64(0); offset < 300; offset++ {
			for _, limit := range []int64{300, 299, offset + 1, offset + 3, offset + 7, 150} {
				for _, maxBytes := range []int{1, one, 2*one + 20, 1 << 20} {
					for _, least := range []bool{true, false} {
						checkLocate(t, l, offset, limit, maxBytes, least)
					}
				}
			}
		}
	}
	for _, offset := range []int64{-1, 301} {
		if _, err := l.Locate(offset, 300, log.Budget{MaxBytes: 1, AtLeastOne: true}); !errors.Is(err, log.ErrOutOfRange) {
			t.Errorf("offset %d: %v", offset, err)
		}
	}
	l.SetStartOffset(10)
	if _, err := l.Locate(9, 300, log.Budget{MaxBytes: 1, AtLeastOne: true}); !errors.Is(err, log.ErrOutOfRange) {
		t.Error("below the start", err)
	}
}

// checkLocate compares with what the definition says, computed from the list of batches.
func checkLocate(t *testing.T, l *log.Log, offset, limit int64, maxBytes int, least bool) {
	t.Helper()
	s, err := l.Locate(offset, limit, log.Budget{MaxBytes: maxBytes, AtLeastOne: least})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Release()
	var want []byte
	segment := int64(-1)
	errStop := errors.New("stop")
	_ = l.Scan(offset, l.EndOffset(), func(h batch.Header, raw []byte) error {
		var base int64
		for _, x := range l.Segments() {
			if x.Base() <= h.BaseOffset {
				base = x.Base()
			}
		}
		if segment < 0 {
			segment = base
		}
		fits := len(want)+len(raw) <= maxBytes || len(want) == 0 && least
		if offset >= limit || base != segment || h.NextOffset() > limit || !fits {
			return errStop
		}
		want = append(want, raw...)
		return nil
	})
	got, err := s.ReadInto([]byte("x"))
	if err != nil || !bytes.Equal(got[1:], want) || s.SizeBytes() != len(want) {
		t.Fatalf("Locate(%d, %d, %d, %v): %d bytes, want %d, %v", offset, limit, maxBytes, least, s.SizeBytes(), len(want),
			err)
	}
	next := offset
	for b := want; len(b) > 0; {
		h, _ := batch.ParseHeader(b)
		next, b = h.NextOffset(), b[h.SizeBytes():]
	}
	if s.NextOffset() != next {
		t.Fatalf("Locate(%d, %d, %d, %v): next %d, want %d", offset, limit, maxBytes, least, s.NextOffset(), next)
	}
}

func TestRollRules(t *testing.T) {
	raw, _ := logtest.MakeBatch(0, 1, 0, 0)
	one := int32(len(raw))
	for name, c := range map[string]struct {
		config log.Config
		times  []int64
		want   int // segments
	}{
		"two fit exactly":       {log.Config{SegmentBytes: 2 * one}, []int64{0, 0}, 1},
		"one byte too small":    {log.Config{SegmentBytes: 2*one - 1}, []int64{0, 0}, 2},
		"timestamps within":     {log.Config{SegmentMs: 100}, []int64{50, 150}, 1},
		"timestamp jump":        {log.Config{SegmentMs: 100}, []int64{50, 151}, 2},
		"first batch decides":   {log.Config{SegmentMs: 100}, []int64{50, 120, 151}, 2},
		"no timestamp, no time": {log.Config{SegmentMs: 100}, []int64{-1, -1}, 1},
		"offset index full": {log.Config{IndexIntervalBytes: 1, SegmentIndexBytes: 3 * log.OffsetEntryBytes},
			[]int64{-1, -1, -1, -1, -1}, 2},
		"offset index almost full": {log.Config{IndexIntervalBytes: 1, SegmentIndexBytes: 3 * log.OffsetEntryBytes},
			[]int64{-1, -1, -1, -1}, 1},
		"time index full but one": {log.Config{IndexIntervalBytes: 1, SegmentIndexBytes: 3 * log.TimeEntryBytes},
			[]int64{0, 1, 2, 3}, 2},
		"batch larger than segment": {log.Config{SegmentBytes: 10}, []int64{0}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := logtest.NewWorld(t, vfs.NewMem(), durability.Page)
			w.Config = c.config
			l := w.MustOpen()
			defer w.Leave()
			for i, ts := range c.times {
				raw, h := logtest.MakeBatch(int64(i), 1, ts, 0)
				if err := l.Append(raw, h); err != nil {
					t.Fatal(err)
				}
			}
			if got := len(l.Segments()); got != c.want {
				t.Errorf("%d segments, want %d", got, c.want)
			}
		})
	}
}

// With jitter a segment rolls earlier by a random time, never later (spec: log 5.1).
func TestSegmentsRollEarlierByARandomTime(t *testing.T) {
	const batches, apart = 200, 30
	segments := func(jitterMs int64) int {
		w := logtest.NewWorld(t, vfs.NewMem(), durability.Page)
		w.Config = log.Config{SegmentMs: 100, SegmentJitterMs: jitterMs}
		l := w.MustOpen()
		defer w.Leave()
		for i := range int64(batches) {
			raw, h := logtest.MakeBatch(i, 1, i*apart, 0)
			if err := l.Append(raw, h); err != nil {
				t.Fatal(err)
			}
		}
		return len(l.Segments())
	}
	if got := segments(0); got != batches/4 {
		t.Errorf("%d segments without jitter", got)
	}
	if got := segments(100); got <= batches/4 || got >= batches {
		t.Errorf("%d segments with jitter", got)
	}
}

func TestOffsetForTimestamp(t *testing.T) {
	w := logtest.NewWorld(t, vfs.NewMem(), durability.Page)
	l := w.MustOpen()
	defer func() { w.Leave() }()
	logtest.MustAdd(t, l, 50, 3) // record n of batch at o has timestamp 1000*o+n
	check := func() {
		t.Helper()
		for _, c := range []struct {
			target, limit, offset, ts int64
			found                     bool
		}{
			{0, 150, 0, 0, true}, {1, 150, 1, 1, true}, {3, 150, 3, 3000, true}, {60001, 150, 61, 60001, true},
			{60003, 150, 63, 63000, true}, {147002, 150, 149, 147002, true}, {147003, 150, 0, 0, false},
			{60001, 61, 0, 0, false}, {60001, 62, 61, 60001, true},
		} {
			at, found, err := l.OffsetForTimestamp(c.target, c.limit)
			if err != nil || found != c.found || found && at != (log.TimestampOffset{TimestampMs: c.ts, Offset: c.offset}) {
				t.Errorf("target %d limit %d: %+v %v %v", c.target, c.limit, at, found, err)
			}
		}
		at, found, err := l.MaxTimestamp()
		if err != nil || !found || at.TimestampMs != 147002 || at.Offset != 149 {
			t.Errorf("max timestamp %+v %v %v", at, found, err)
		}
	}
	check()
	w.MustClose()
	l = w.MustOpen()
	check()
	l.SetStartOffset(10)
	if at, found, err := l.OffsetForTimestamp(0, 150); err != nil || !found || at.Offset != 10 {
		t.Error("from the start offset", at, found, err)
	}
}

// The largest timestamp may come early; the time index must not lose it.
func TestTimestampsOutOfOrder(t *testing.T) {
	w := logtest.NewWorld(t, vfs.NewMem(), durability.Page)
	l := w.MustOpen()
	for i, ts := range []int64{500, 100, 900, 300, 900, 200} {
		raw, h := logtest.MakeBatch(int64(i), 1, ts, 0)
		if err := l.Append(raw, h); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		for target, want := range map[int64]int64{0: 0, 500: 0, 501: 2, 900: 2} {
			if at, found, err := l.OffsetForTimestamp(target, 6); err != nil || !found || at.Offset != want {
				t.Errorf("target %d: %+v %v %v", target, at, found, err)
			}
		}
		if at, _, err := l.MaxTimestamp(); err != nil || at.TimestampMs != 900 || at.Offset != 2 {
			t.Error("max", at, err)
		}
		w.MustClose()
		l = w.MustOpen()
	}
	w.Leave()
}

func TestEndOffsetForEpoch(t *testing.T) {
	w := logtest.NewWorld(t, vfs.NewMem(), durability.Page)
	l := w.MustOpen()
	for _, epoch := range []int32{2, 2, 5, 5, 7} {
		raw, h := logtest.MakeBatch(l.EndOffset(), 10, 0, epoch)
		if err := l.Append(raw, h); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		for _, c := range []struct {
			asked, current, epoch int32
			end                   int64
		}{{8, 8, 8, 50}, {9, 8, -1, -1}, {7, 8, 7, 50}, {6, 8, 5, 40}, {5, 8, 5, 40}, {4, 8, 2, 20}, {2, 8, 2, 20},
			{1, 8, 1, 0}, {-1, 8, -1, -1}} {
			if epoch, end := l.EndOffsetForEpoch(c.asked, c.current); epoch != c.epoch || end != c.end {
				t.Errorf("epoch %d: %d, %d; want %d, %d", c.asked, epoch, end, c.epoch, c.end)
			}
		}
		w.MustClose()
		if err := w.FS.Remove(logtest.Dir + "/" + log.EpochCheckpointFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		l = w.MustOpen()
	}
	w.Leave()
}

func TestAbortedBetween(t *testing.T) {
	w := logtest.NewWorld(t, vfs.NewMem(), durability.Page)
	l := w.MustOpen()
	logtest.MustAdd(t, l, 20, 2)
	for _, a := range []log.AbortedTxn{{1, 0, 5, 2}, {2, 2, 9, 10}, {3, 12, 20, 21}} {
		if err := l.AppendAborted(a); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		for _, c := range []struct{ from, upper, n int64 }{{0, 40, 3}, {6, 40, 2}, {5, 40, 3}, {10, 40, 1}, {21, 40, 0},
			{0, 2, 1}, {0, 3, 2}, {0, 12, 2}, {0, 13, 3}} {
			if got := l.AbortedBetween(c.from, c.upper); int64(len(got)) != c.n {
				t.Errorf("from %d upper %d: %v", c.from, c.upper, got)
			}
		}
		w.MustClose()
		l = w.MustOpen()
		if w.Report.AbortedIndexTo != 40 {
			t.Error("complete to", w.Report.AbortedIndexTo)
		}
		if err := l.AppendAborted(log.AbortedTxn{3, 12, 20, 21}); err != nil { // a replay hands it in again
			t.Fatal(err)
		}
	}
	w.Leave()
}

// A deleted .txnindex must not look like "nothing was aborted": the partition has to replay from where
// the list is complete.
func TestMissingTxnIndexIsNoticed(t *testing.T) {
	w := logtest.NewWorld(t, vfs.NewMem(), durability.Page)
	l := w.MustOpen()
	logtest.MustAdd(t, l, 60, 1)
	if err := l.AppendAborted(log.AbortedTxn{1, 30, 59, 60}); err != nil {
		t.Fatal(err)
	}
	last := l.Segments()[len(l.Segments())-1].Base()
	if err := l.WriteSnapshot(60, []byte("end")); err != nil {
		t.Fatal(err)
	}
	w.MustClose()
	if err := w.FS.Remove(logtest.Dir + "/" + log.FileName(last, log.TxnIndexSuffix)); err != nil {
		t.Fatal(err)
	}
	l = w.MustOpen()
	defer w.Leave()
	if got := l.Snapshots(); got[0] != 60 || w.Report.AbortedIndexTo != last {
		t.Fatal("snapshots", got, "complete to", w.Report.AbortedIndexTo)
	}
	if b, err := l.ReadSnapshot(last); err != nil || len(b) == 0 {
		t.Fatal(err)
	}
}

// Everything derived may vanish, be emptied or be cut: answers stay the same (spec: reliability P10).
func TestDerivedFilesAreOnlyShortcuts(t *testing.T) {
	for name, spoil := range map[string]func(b []byte) []byte{
		"emptied":  func([]byte) []byte { return nil },
		"cut":      func(b []byte) []byte { return b[:len(b)/2] },
		"garbage":  func(b []byte) []byte { return bytes.Repeat([]byte{0, 0, 0, 1, 0, 0, 0, 9}, len(b)/8) },
		"zeroed":   func(b []byte) []byte { return make([]byte, len(b)) },
		"flipped":  func(b []byte) []byte { b = bytes.Clone(b); b[len(b)-1] ^= 1; return b },
		"extended": func(b []byte) []byte { return append(bytes.Clone(b), b...) },
		"deleted":  nil,
	} {
		t.Run(name, func(t *testing.T) {
			w := logtest.NewWorld(t, vfs.NewMem(), durability.Page)
			l := w.MustOpen()
			logtest.MustAdd(t, l, 100, 2)
			w.MustClose()
			names, _ := w.FS.List(logtest.Dir)
			for _, n := range names {
				if _, suffix, ok := log.ParseFileName(n); n == log.MetadataFile || ok && suffix == log.LogSuffix {
					continue
				}
				if spoil == nil {
					_ = w.FS.Remove(logtest.Dir + "/" + n)
				} else if b, _ := files.ReadSmall(w.FS, logtest.Dir+"/"+n); len(b) > 0 {
					logtest.Mutate(t, w.FS, logtest.Dir+"/"+n, spoil)
				}
			}
			l = w.MustOpen()
			defer w.Leave()
			if l.EndOffset() != 200 || len(logtest.MustContents(t, l)) != 100 {
				t.Fatal("end", l.EndOffset())
			}
			for offset := int64(0); offset < 200; offset++ {
				checkLocate(t, l, offset, 200, 500, true)
				if at, found, err := l.OffsetForTimestamp(offset/2*2000+offset%2, 200); err != nil || !found ||
					at.Offset != offset {
					t.Fatal("timestamp of", offset, at, found, err)
				}
			}
			if at, _, err := l.MaxTimestamp(); err != nil || at.Offset != 199 || at.TimestampMs != 198001 {
				t.Fatal(at, err)
			}
			if epoch, end := l.EndOffsetForEpoch(0, 1); epoch != 0 || end != 200 {
				t.Fatal("epoch", epoch, end)
			}
		})
	}
}

func TestOtherTopicIDIsDamage(t *testing.T) {
	w := logtest.NewWorld(t, vfs.NewMem(), durability.Page)
	logtest.MustAdd(t, w.MustOpen(), 1, 1)
	w.MustClose()
	_, _, err := log.Open(log.Options{FS: w.FS, Dir: logtest.Dir, TopicID: [16]byte{9}}, durability.Recovery{})
	if logtest.DamagedFile(err) != logtest.Dir+"/"+log.MetadataFile {
		t.Fatal(err)
	}
}

// windowsFS refuses what Windows does: it renames no directory that has something open in it.
type windowsFS struct{ vfs.FS }

func (f windowsFS) Rename(oldName, newName string) error {
	if oldName == logtest.Dir {
		return vfs.ErrInUse
	}
	return f.FS.Rename(oldName, newName)
}

func TestRemoveLeavesReadersAlone(t *testing.T) {
	for name, f := range map[string]vfs.FS{"renamed": vfs.NewMem(), "in place": windowsFS{vfs.NewMem()}} {
		t.Run(name, func(t *testing.T) { removeBesideReader(t, f) })
	}
}

func removeBesideReader(t *testing.T, under vfs.FS) {
	w := logtest.NewWorld(t, under, durability.Page)
	l := w.MustOpen()
	defer func() { w.Leave() }()
	logtest.MustAdd(t, l, 3, 1)
	s, err := l.Locate(0, 3, log.Budget{MaxBytes: 1000, AtLeastOne: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Remove(); err != nil {
		t.Fatal(err)
	}
	if b, err := s.ReadInto(nil); err != nil || len(b) != s.SizeBytes() {
		t.Fatal(err)
	}
	s.Release()
	if names, _ := w.FS.List("data"); len(names) != 1 {
		t.Fatal("left", names)
	}
	if err := l.AppendAborted(log.AbortedTxn{}); !errors.Is(err, log.ErrClosed) {
		t.Fatal(err)
	}
	w.MustSync()
	l, _, err = log.Open(log.Options{FS: w.FS, Dir: logtest.Dir, TopicID: [16]byte{7}, Barrier: w.Barrier},
		w.Barrier.Recovery("orders-0", [16]byte{7}))
	if err != nil || l.EndOffset() != 0 {
		t.Fatal(err)
	}
}

func TestDeleteSegments(t *testing.T) {
	w := logtest.NewWorld(t, vfs.NewMem(), durability.Page)
	l := w.MustOpen()
	logtest.MustAdd(t, l, 60, 1)
	bases := []int64{}
	for _, s := range l.Segments() {
		bases = append(bases, s.Base())
	}
	size := l.SizeBytes()
	l.SetStartOffset(bases[2] + 1)
	if n, _ := l.DeleteSegments(); n != 0 {
		t.Fatal("deleted before a barrier has covered it", n)
	}
	w.MustSync()
	n, freed := l.DeleteSegments()
	if n != 2 || l.SizeBytes() != size-freed || freed == 0 {
		t.Fatal(n, freed)
	}
	if _, err := w.FS.Stat(logtest.Dir + "/" + log.FileName(bases[0], log.LogSuffix)); err != nil {
		t.Fatal("deleted before the barrier that no longer counts on it", err)
	}
	w.MustSync()
	l.SetStartOffset(bases[2] + 2)
	w.MustSync() // begins when the first is done with everything
	if _, err := w.FS.Stat(logtest.Dir + "/" + log.FileName(bases[0], log.LogSuffix)); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal("not deleted", err)
	}
	w.MustClose()
	l = w.MustOpen()
	defer w.Leave()
	if l.StartOffset() != bases[2]+2 || l.EndOffset() != 60 {
		t.Fatal(l.StartOffset(), l.EndOffset())
	}
}
