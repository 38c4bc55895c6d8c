package partition

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"once/internal/vfs"
	"once/log"
	"once/log/batch"
)

// newCompacted is a shelf whose log is compacted; each batch has a segment of its own.
func newCompacted(t testing.TB) *shelf {
	s := newShelf(t, vfs.NewMem())
	s.config.Log.SegmentBytes = 100
	s.config.Compaction = Compaction{Compact: true, DeleteRetentionMs: 10_000}
	s.mustOpen()
	return s
}

func (s *shelf) compact() log.Cleaned {
	s.t.Helper()
	s.sync() // what no barrier has covered is left alone
	done, err := s.p.Compact(context.Background(), s.nowMs(), 1<<20)
	if err != nil {
		s.t.Fatal(err)
	}
	return done
}

// roll begins a new segment, so that all before can be compacted.
func (s *shelf) roll() {
	s.t.Helper()
	if err := s.p.log.Roll(); err != nil {
		s.t.Fatal(err)
	}
}

// layout shows what is stored: one line a batch.
func (s *shelf) layout() string {
	s.t.Helper()
	var b strings.Builder
	err := s.p.Scan(0, math.MaxInt64, func(h batch.Header, raw []byte) error {
		fmt.Fprintf(&b, "%d-%d", h.BaseOffset, h.LastOffset())
		if h.HasProducer() {
			fmt.Fprintf(&b, " pid=%d epoch=%d seq=%d", h.ProducerID, h.ProducerEpoch, h.BaseSequence)
		}
		if h.Codec() != batch.None {
			fmt.Fprintf(&b, " %v", h.Codec())
		}
		if h.HasDeleteHorizon() {
			fmt.Fprintf(&b, " until=%d", h.BaseTimestampMs)
		}
		m, marker, err := batch.ParseMarker(raw)
		if err != nil {
			return err
		}
		for r, err := range batch.Records(raw, 1<<20) {
			if err != nil {
				return err
			}
			value := string(r.Value)
			if r.Value == nil {
				value = "null"
			}
			if !marker {
				fmt.Fprintf(&b, " %d:%s=%s@%d", h.BaseOffset+int64(r.OffsetDelta), r.Key, value, h.TimestampMs(r))
			}
		}
		switch {
		case marker:
			fmt.Fprintf(&b, " %v", m.Type)
		case h.RecordCount == 0:
			b.WriteString(" empty")
		}
		b.WriteString("\n")
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return b.String()
}

func (s *shelf) expect(when, want string) {
	s.t.Helper()
	want = strings.TrimPrefix(strings.ReplaceAll(want, "\t", ""), "\n")
	if got := s.layout(); got != want {
		s.t.Fatalf("%s:\n%swant:\n%s", when, got, want)
	}
}

// L42: of a key the newest record stays; a tombstone stays for delete.retention.ms from the first pass
// that meets it.
func TestTombstoneIsKeptForDeleteRetention(t *testing.T) {
	s := newCompacted(t)
	for _, v := range []string{"1", "2", "-"} {
		s.must(s.send(rec{"k", v}))
	}
	s.must(s.send(rec{"other", "x"}))
	s.roll()
	s.compact()
	s.expect("first pass", `
		2-2 until=1010000 2:k=null@1000000
		3-3 3:other=x@1000000
	`)
	s.clock.Advance(9_999 * time.Millisecond)
	s.must(s.send(rec{"a", "1"})) // passes need something new
	s.roll()
	s.compact()
	s.expect("just before the horizon", `
		2-2 until=1010000 2:k=null@1000000
		3-3 3:other=x@1000000
		4-4 4:a=1@1009999
	`)
	s.clock.Advance(time.Millisecond)
	s.must(s.send(rec{"b", "1"}))
	s.roll()
	s.compact()
	s.expect("at the horizon", `
		3-3 3:other=x@1000000
		4-4 4:a=1@1009999
		5-5 5:b=1@1010000
	`)
	if o := must1(s.p.Offsets()); o.LogStartOffset != 0 || o.LogEndOffset != 6 {
		t.Fatalf("%+v", o)
	}
	s.shut()
}

// L43: an open transaction, and what comes after it, is left alone.
func TestCompactionStopsAtOpenTransaction(t *testing.T) {
	s := newCompacted(t)
	s.must(s.send(rec{"k", "1"}))
	s.must(s.send(rec{"k", "2"}))
	s.must(s.sendAs(7, 0, 0, true, rec{"k", "3"}))
	s.must(s.send(rec{"k", "4"}))
	s.must(s.send(rec{"k", "5"}))
	s.roll()
	s.compact()
	s.expect("while it is open", `
		1-1 1:k=2@1000000
		2-2 pid=7 epoch=0 seq=0 2:k=3@1000000
		3-3 3:k=4@1000000
		4-4 4:k=5@1000000
	`)
	if err := s.end(7, 0, batch.Commit); err != nil {
		t.Fatal(err)
	}
	s.roll()
	s.compact()
	s.expect("when it has ended", `
		2-2 pid=7 epoch=0 seq=0 empty
		4-4 4:k=5@1000000
		5-5 pid=7 epoch=0 seq=-1 COMMIT
	`)
	s.shut()
}

// L44: a marker goes at the third pass at the earliest: data, horizon, marker. As long as it is there its
// entry in the list of aborted transactions is, too, and both go together.
func TestMarkerOutlivesItsData(t *testing.T) {
	s := newCompacted(t)
	s.must(s.send(rec{"k", "1"}))
	s.must(s.sendAs(7, 0, 0, true, rec{"k", "2"}))
	if err := s.end(7, 0, batch.Abort); err != nil {
		t.Fatal(err)
	}
	s.must(s.sendAs(7, 0, 1, true, rec{"k2", "3"})) // the producer's last batch is another one
	if err := s.end(7, 0, batch.Commit); err != nil {
		t.Fatal(err)
	}
	aborted := func() int { return len(s.p.log.AbortedBetween(0, 100)) }
	again := func(key string) {
		s.must(s.send(rec{key, "x"}))
		s.roll()
		s.compact()
	}
	again("a")
	s.expect("first pass", `
		0-0 0:k=1@1000000
		2-2 pid=7 epoch=0 seq=-1 ABORT
		3-3 pid=7 epoch=0 seq=1 3:k2=3@1000000
		4-4 pid=7 epoch=0 seq=-1 COMMIT
		5-5 5:a=x@1000000
	`)
	again("b")
	s.expect("second pass", `
		0-0 0:k=1@1000000
		2-2 pid=7 epoch=0 seq=-1 until=1010000 ABORT
		3-3 pid=7 epoch=0 seq=1 3:k2=3@1000000
		4-4 pid=7 epoch=0 seq=-1 COMMIT
		5-5 5:a=x@1000000
		6-6 6:b=x@1000000
	`)
	s.clock.Advance(9_999 * time.Millisecond)
	again("c")
	if aborted() != 1 || !strings.Contains(s.layout(), "ABORT") {
		t.Fatalf("%d are aborted:\n%s", aborted(), s.layout())
	}
	s.clock.Advance(time.Millisecond)
	again("d")
	if aborted() != 0 || strings.Contains(s.layout(), "ABORT") {
		t.Fatalf("%d are aborted:\n%s", aborted(), s.layout())
	}
	if got := must1(consume(s.p, 0, true, 1000)); len(got) != 6 || got[1].value != "3" {
		t.Fatal(got)
	}
	s.shut()
}

// When a marker has gone, its entry must not come back, whenever the process or the machine dies: clients
// would then skip what the producer committed later.
func TestAbortedEntryDoesNotOutliveItsMarker(t *testing.T) {
	story := func(s *shelf) error {
		if err := s.open(); err != nil {
			return err
		}
		_, err0 := s.sendAs(7, 0, 0, true, rec{"k", "1"})
		err1 := s.end(7, 0, batch.Abort)
		_, err2 := s.sendAs(7, 0, 1, true, rec{"k", "committed"})
		err3 := s.end(7, 0, batch.Commit)
		err := errors.Join(err0, err1, err2, err3)
		for pass := range 3 {
			if err == nil {
				_, err = s.send(rec{fmt.Sprint(pass), "x"})
			}
			if err == nil {
				err = s.p.log.Roll()
			}
			if err == nil {
				err = s.barrier.Sync(context.Background())
			}
			if err == nil {
				_, err = s.p.Compact(context.Background(), s.nowMs(), 1<<20)
			}
			s.clock.Advance(time.Minute)
		}
		return err
	}
	for n, fired := 0, true; fired; n++ {
		for _, power := range []bool{false, true} {
			mem := vfs.NewCrashable(int64(n))
			s := newShelf(t, mem)
			dying := vfs.DieAt(n, mem)
			s.fs = dying
			s.config.Log.SegmentBytes = 200
			s.config.Compaction = Compaction{Compact: true, DeleteRetentionMs: 10_000}
			if err := story(s); err == nil {
				if strings.Contains(s.layout(), "ABORT") {
					t.Fatal("the marker is still there")
				}
			}
			again := newShelf(t, mem.Clone())
			if power {
				again = newShelf(t, mem.CrashClone())
				again.boot = "boot-2"
			}
			if s.barrier != nil {
				_ = s.barrier.Close(false)
			}
			again.config, again.clock, again.starts = s.config, s.clock, s.starts+1
			again.mustOpen()
			o, got := must1(again.p.Offsets()), must1(consume(again.p, 0, true, 1<<20))
			if o.LastStableOffset >= 4 && (len(got) == 0 || got[0].value != "committed") {
				t.Fatalf("power cut %v, operation %d: %v\n%s%v", power, n, got, again.layout(), again.p.log.AbortedBetween(0, 100))
			}
			again.shut()
			fired = dying.Fired()
		}
	}
}

// L45: of a producer that is still known the last batch stays as a header, so that a restart without
// snapshots knows it, too.
func TestProducerSurvivesCompactionAndRestart(t *testing.T) {
	s := newCompacted(t)
	s.must(s.sendAs(7, 3, 0, false, rec{"k", "1"}))
	s.must(s.sendAs(7, 3, 1, false, rec{"k", "2"}, rec{"k", "3"}))
	s.must(s.sendAs(8, 0, 0, false, rec{"k", "4"}))
	if s.p.ExpireProducers(s.nowMs()+1, math.MaxInt64) != 0 {
		t.Fatal("expired")
	}
	s.must(s.send(rec{"k", "5"}))
	s.roll()
	s.compact()
	s.expect("while it is known", `
		1-2 pid=7 epoch=3 seq=1 empty
		3-3 pid=8 epoch=0 seq=0 empty
		4-4 4:k=5@1000000
	`)
	s.shut()
	for _, name := range []string{".snapshot", ".index", ".timeindex"} {
		names := must1(s.fs.List("data/x-0"))
		for _, n := range names {
			if strings.HasSuffix(n, name) {
				_ = s.fs.Remove("data/x-0/" + n)
			}
		}
	}
	s.mustOpen()
	if a, err := s.sendAs(7, 3, 1, false, rec{"k", "2"}, rec{"k", "3"}); err != nil || !a.Duplicate || a.BaseOffset != 1 {
		t.Fatalf("retry: %+v, %v", a, err)
	}
	if _, err := s.sendAs(7, 3, 9, false, rec{"k", "x"}); err == nil {
		t.Fatal("a gap was accepted")
	}
	s.must(s.sendAs(7, 3, 3, false, rec{"l", "6"}))
	s.p.ExpireProducers(s.nowMs()+100, 1) // all of them
	s.must(s.send(rec{"m", "7"}))
	s.roll()
	s.compact()
	s.expect("when it is forgotten", `
		4-4 4:k=5@1000000
		5-5 pid=7 epoch=3 seq=3 5:l=6@1000000
		6-6 6:m=7@1000000
	`)
	s.shut()
}

// The marker of a newer transaction protocol carries an epoch that nothing else in the log has.
func TestMarkerWithTheNewestEpochIsKept(t *testing.T) {
	s := newCompacted(t)
	s.must(s.sendAs(7, 0, 0, true, rec{"k", "1"}))
	if _, err := s.p.AppendMarker(batch.Marker{ProducerID: 7, ProducerEpoch: 1, Type: batch.Commit}, 2); err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		s.must(s.send(rec{"k", fmt.Sprint(i)}))
		s.roll()
		s.compact()
		s.clock.Advance(time.Minute)
	}
	s.expect("after four passes", `
		1-1 pid=7 epoch=1 seq=-1 COMMIT
		5-5 5:k=3@1180000
	`)
	s.shut()
}

// A partly kept batch keeps its range, producer, codec and record times.
func TestCompactionRewritesInTheSameCodec(t *testing.T) {
	for _, codec := range []batch.Codec{batch.None, batch.Gzip, batch.Snappy, batch.LZ4, batch.Zstd} {
		s := newShelf(t, vfs.NewMem())
		s.config.Log.SegmentBytes = 100
		s.config.Compaction = Compaction{Compact: true, DeleteRetentionMs: 10_000}
		s.config.Rules.Recompress, s.config.Rules.Codec = true, codec
		s.mustOpen()
		s.must(s.sendAs(7, 0, 0, false, rec{"a", "1"}, rec{"b", "2"}, rec{"c", "-"}, rec{"d", "4"}))
		s.must(s.send(rec{"b", "5"}, rec{"d", "6"}))
		s.roll()
		s.compact()
		name := ""
		if codec != batch.None {
			name = " " + codec.String()
		}
		s.expect(codec.String(), fmt.Sprintf(`
			0-3 pid=7 epoch=0 seq=0%s until=1010000 0:a=1@1000000 2:c=null@1000000
			4-5%s 4:b=5@1000000 5:d=6@1000000
		`, name, name))
		s.shut()
	}
}

// Which segments are looked at, and when a pass is due, follows the settings while the broker runs.
func TestCompactionIsDueBySettings(t *testing.T) {
	s := newCompacted(t)
	set := func(change func(c *Compaction)) {
		c := Compaction{Compact: true, DeleteRetentionMs: 10_000, MinDirtyRatio: 0.5, MaxLagMs: math.MaxInt64}
		change(&c)
		s.config.Compaction = c
		s.p.SetConfig(s.config)
	}
	due := func() Dirtiness { s.t.Helper(); s.sync(); return must1(s.p.Dirtiness(s.nowMs())) }
	for range 4 {
		s.must(s.send(rec{"k", "v"}))
	}
	for name, c := range map[string]struct {
		change    func(c *Compaction)
		cleanable int64 // segments
		due       bool
	}{
		"all but the active one": {func(*Compaction) {}, 3, true},
		"another policy":         {func(c *Compaction) { c.Compact = false }, 0, false},
		"ratio above what it is": {func(c *Compaction) { c.MinDirtyRatio = 1 }, 3, false},
		"too young":              {func(c *Compaction) { c.MinLagMs = 1_000 }, 0, false},
		"overdue whatever ratio": {func(c *Compaction) { c.MinDirtyRatio, c.MaxLagMs = 1, -1; c.MaxLagMs = 1 }, 3, false},
	} {
		set(c.change)
		if d := due(); d.CleanableBytes != c.cleanable*s.p.SizeBytes()/4 || d.Due != c.due {
			t.Errorf("%s: %+v, want %d segments, due %v", name, d, c.cleanable, c.due)
		}
	}
	s.clock.Advance(2 * time.Second)
	set(func(c *Compaction) { c.MinDirtyRatio, c.MaxLagMs = 1, 1_000 })
	if !due().Due {
		t.Error("not due although overdue")
	}
	set(func(c *Compaction) { c.MinLagMs = 1_999 })
	if d := due(); d.CleanableBytes == 0 {
		t.Errorf("%+v", d)
	}
	set(func(*Compaction) {})
	s.compact()
	if d := due(); d.Due || d.CleanableBytes != 0 || d.CleanBytes == 0 || d.DirtyStart != 3 {
		t.Errorf("%+v right after a pass", d)
	}
	s.shut()
	s.mustOpen() // the checkpoint is read
	if d := due(); d.DirtyStart != 3 {
		t.Errorf("%+v after a restart", d)
	}
	_ = s.fs.Remove("data/x-0/cleaner-checkpoint")
	s.shut()
	s.mustOpen()
	if d := due(); d.DirtyStart != 0 {
		t.Errorf("%+v without a checkpoint", d)
	}
	s.shut()
}

// When the map of keys is full the pass ends there, and the next one goes on.
func TestCompactionWithSmallMap(t *testing.T) {
	s := newCompacted(t)
	for i := range 40 {
		s.must(s.send(rec{fmt.Sprint("k", i%20), fmt.Sprint(i)}))
	}
	s.roll()
	s.sync()
	passes := 0
	for end := int64(0); end < 40; passes++ {
		done, err := s.p.Compact(context.Background(), s.nowMs(), 24*8)
		if err != nil || done.Keys > 8 || done.End <= end {
			t.Fatalf("%+v, %v", done, err)
		}
		end = done.End
	}
	if got := must1(consume(s.p, 0, true, 1000)); len(got) != 20 || got[0].offset != 20 || passes < 4 {
		t.Fatal(passes, got)
	}
	s.shut()
}

// A tombstone whose time has come, behind the end of the map, stays: what it deletes is still there.
func TestTombstoneBehindTheMapIsKept(t *testing.T) {
	s := newCompacted(t)
	s.config.Log.SegmentBytes = 4000
	s.p.SetConfig(s.config)
	s.must(s.send(rec{"k", "1"}))
	for i := range 19 {
		s.must(s.send(rec{fmt.Sprint(i), "x"}))
	}
	s.must(s.send(rec{"k", "-"}))
	s.roll()
	s.sync()
	for pass, end := 0, int64(0); end < 21; pass++ {
		done, err := s.p.Compact(context.Background(), s.nowMs(), 24*8)
		if err != nil || pass > 5 {
			t.Fatal(pass, err)
		}
		end = done.End
		value, tombstone := strings.Contains(s.layout(), "k=1@"), strings.Contains(s.layout(), "k=null@")
		if end < 21 && !(value && tombstone) || end == 21 && (value || tombstone) {
			t.Fatalf("compacted to %d:\n%s", end, s.layout())
		}
		s.clock.Advance(time.Minute)
	}
	s.shut()
}

// Records without a key came in when the topic was not compacted yet.
func TestCompactionDropsRecordsWithoutKey(t *testing.T) {
	s := newCompacted(t)
	raw := batch.Build(batch.BuildOptions{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1, TimestampMs: s.nowMs(),
		LeaderEpoch: -1}, batch.Record{Value: []byte("x")}, batch.Record{Key: []byte{}, Value: []byte("y")})
	s.must(s.p.AppendClient(raw, 0, 9))
	s.must(s.send(rec{"k", "1"}))
	s.roll()
	s.compact()
	s.expect("an empty key is one", `
		0-1 1:=y@1000000
		2-2 2:k=1@1000000
	`)
	s.shut()
}

// A slice given out before a pass can be read after it, and a closing partition is not held up.
func TestReaderKeepsCompactedSegment(t *testing.T) {
	s := newCompacted(t)
	s.must(s.send(rec{"k", "1"}))
	s.must(s.send(rec{"k", "2"}))
	s.roll()
	r := must1(s.p.Read(ReadRequest{Offset: 0, MaxBytes: 1000, CurrentLeaderEpoch: -1, LastFetchedEpoch: -1}))
	s.compact()
	raw := must1(r.Slice.ReadInto(nil))
	if h := must1(batch.ParseHeader(raw)); h.BaseOffset != 0 || h.RecordCount != 1 {
		t.Fatal(h)
	}
	r.Slice.Release()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	s.must(s.send(rec{"k", "3"}))
	s.roll()
	s.sync()
	if _, err := s.p.Compact(ctx, s.nowMs(), 1<<20); !log.IsStopped(err) {
		t.Fatal(err)
	}
	s.shut()
	if _, err := s.p.Compact(context.Background(), s.nowMs(), 1<<20); err != nil {
		t.Fatal(err)
	}
}

// Damage is left where it is, for whoever reads it; nothing is replaced, in this life or the next. What the cleaner
// reads is held to the same as what readers get: checksums, and order and bounds of offsets.
func TestCompactionLeavesDamageAlone(t *testing.T) {
	swap := func(b []byte) []byte { // both are whole, and stand in each other's place
		h := must1(batch.ParseHeader(b))
		second := must1(batch.ParseHeader(b[h.SizeBytes():]))
		at := h.SizeBytes()
		return slices.Concat(b[at:at+second.SizeBytes()], b[:at], b[at+second.SizeBytes():])
	}
	for name, damage := range map[string]func(b []byte) []byte{
		"a flipped bit in a record":             func(b []byte) []byte { b[65] ^= 0xff; return b },
		"a record count of 2^30":                func(b []byte) []byte { b[57] ^= 0x40; return b },
		"a record count below 0":                func(b []byte) []byte { b[57] ^= 0x80; return b },
		"two batches swapped":                   swap,
		"a base offset above the segment's end": func(b []byte) []byte { b[len(b)/2+6] ^= 0x10; return b },
		"a base offset below the segment's":     func(b []byte) []byte { b[7] ^= 0x02; return b },
		"a base offset below the one before":    func(b []byte) []byte { b[len(b)/2+7] ^= 0x01; return b },
	} {
		for _, compacted := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, compacted %v", name, compacted),
				func(t *testing.T) { compactionOverDamage(t, damage, compacted) })
		}
	}
}

// compactionOverDamage damages a segment that a pass has looked at before, or one that none has.
func compactionOverDamage(t *testing.T, damage func(b []byte) []byte, compacted bool) {
	s := newCompacted(t)
	s.config.Log.SegmentBytes = 160 // of two batches each
	s.p.SetConfig(s.config)
	s.must(s.send(rec{"k", "0"}))
	for i := range 5 {
		s.must(s.send(rec{fmt.Sprint("key", i), "x"}))
	}
	s.must(s.send(rec{"k", "1"}))
	s.roll()
	s.compact() // offsets may be missing from now on
	for range 4 {
		s.must(s.send(rec{"k", "2"}))
	}
	s.roll()
	s.sync()
	base := int64(7)
	if compacted {
		base = 2
	}
	file := fmt.Sprintf("data/x-0/%020d.log", base)
	f := must1(s.fs.OpenReadWrite(file))
	b := make([]byte, must1(f.Size()))
	must1(f.ReadAt(b, 0))
	b = damage(b)
	must1(f.WriteAt(b, 0))
	files := s.files(".log")
	for life := range 2 {
		if _, err := s.p.Compact(context.Background(), s.nowMs(), 1<<20); err == nil ||
			!strings.Contains(err.Error(), "damaged") {
			t.Fatalf("life %d: %v", life, err)
		}
		if _, err := consume(s.p, 0, false, 1<<20); !errors.Is(err, ErrOffline) {
			t.Errorf("life %d: readers: %v", life, err)
		}
		now := make([]byte, len(b))
		must1(f.ReadAt(now, 0))
		if !bytes.Equal(now, b) || s.files(".log") != files {
			t.Errorf("life %d: something was replaced", life)
		}
		s.shut()
		if _, err := s.p.Compact(context.Background(), s.nowMs(), 1<<20); err != nil {
			t.Fatal(err)
		}
		s.mustOpen()
	}
	s.shut()
}
