package salvage

import (
	"bytes"
	"fmt"
	"math/rand"
	"slices"
	"testing"

	"once/durability"
	"once/internal/files"
	"once/internal/vfs"
	"once/log"
	"once/log/batch"
	"once/log/logtest"
)

// world is a log that is repaired.
type world struct{ *logtest.World }

func newWorld(t testing.TB, f vfs.FS) *world { return &world{logtest.NewWorld(t, f, durability.Page)} }

// repairWorld is a log that was closed, and the batches that were in it.
type repairWorld struct {
	*world
	end     int64
	batches []placedBatch
}

// placedBatch is where a batch stands.
type placedBatch struct {
	file                   string
	from, to               int64
	baseOffset, nextOffset int64
}

// newRepairWorld writes segments of eight batches or so, of one to three records each, and a snapshot.
func newRepairWorld(t testing.TB) *repairWorld {
	t.Helper()
	w := &repairWorld{world: newWorld(t, vfs.NewMem())}
	w.Config.SegmentBytes = 500
	l := w.MustOpen()
	for i := range 20 {
		logtest.MustAdd(t, l, 1, 1+i%3)
	}
	w.end = l.EndOffset()
	if err := l.WriteSnapshot(w.end, []byte("snapshot")); err != nil {
		t.Fatal(err)
	}
	w.MustClose()
	for _, s := range w.stored() {
		b, err := files.ReadSmall(w.FS, logtest.Dir+"/"+s.Name)
		if err != nil {
			t.Fatal(err)
		}
		for at := int64(0); at < int64(len(b)); {
			h, err := batch.ParseHeader(b[at:])
			if err != nil {
				t.Fatal(err)
			}
			to := at + int64(h.SizeBytes())
			w.batches = append(w.batches, placedBatch{s.Name, at, to, h.BaseOffset, h.NextOffset()})
			at = to
		}
	}
	return w
}

// clone returns a copy of a log that is closed.
func (w *repairWorld) clone(t testing.TB) *repairWorld {
	return &repairWorld{world: newWorld(t, w.FS.(*vfs.Mem).Clone()), end: w.end, batches: w.batches}
}

func (w *world) stored() (all []StoredSegment) {
	w.T.Helper()
	names, err := w.FS.List(logtest.Dir)
	if err != nil {
		w.T.Fatal(err)
	}
	for _, name := range names {
		if base, suffix, ok := log.ParseFileName(name); ok && suffix == log.LogSuffix {
			st, err := w.FS.Stat(logtest.Dir + "/" + name)
			if err != nil {
				w.T.Fatal(err)
			}
			all = append(all, StoredSegment{Name: name, BaseOffset: base, SizeBytes: st.SizeBytes})
		}
	}
	return all
}

// recovery is how the next start on the same machine opens the log.
func (w *world) recovery() durability.Recovery {
	slots := durability.ReadBarriers(w.FS, "data")
	return durability.NewestBarrier(&slots).Recovery("orders-0", logtest.Topic, w.Boot, nil)
}

func (w *world) mustPlan() *Repair {
	w.T.Helper()
	r, err := Plan(w.FS, logtest.Dir, w.stored(), w.recovery())
	if err != nil {
		w.T.Fatal(err)
	}
	return r
}

// mustRepair repairs the log once, after which nothing is left to do.
func (w *world) mustRepair() *Repair {
	w.T.Helper()
	r := w.mustPlan()
	if r.Needed() {
		if err := Apply(w.FS, "data", []*Repair{r}); err != nil {
			w.T.Fatal(err)
		}
	}
	if again := w.mustPlan(); again.Needed() || len(again.Beyond) > 0 {
		w.T.Fatalf("after the repair there is more to do: %+v", again)
	}
	return r
}

// reopened opens the repaired log, appends to it, and returns the base offsets of the batches from before.
func (w *repairWorld) reopened() []int64 {
	w.T.Helper()
	l := w.MustOpen()
	defer w.Leave()
	if l.StartOffset() != 0 || l.EndOffset() != w.end {
		w.T.Fatalf("log has offsets %d to %d, had 0 to %d", l.StartOffset(), l.EndOffset(), w.end)
	}
	var offsets []int64
	err := l.Scan(0, w.end, func(h batch.Header, _ []byte) error {
		i := slices.IndexFunc(w.batches, func(p placedBatch) bool { return p.baseOffset == h.BaseOffset })
		if i < 0 || w.batches[i].nextOffset != h.NextOffset() {
			return fmt.Errorf("batch of offsets %d to %d was never written", h.BaseOffset, h.LastOffset())
		}
		offsets = append(offsets, h.BaseOffset)
		return nil
	})
	if err != nil {
		w.T.Fatal(err)
	}
	logtest.MustAdd(w.T, l, 1, 1)
	if slice, err := l.Locate(w.end, l.EndOffset(), log.Budget{MaxBytes: 1000}); err != nil ||
		slice.NextOffset() != w.end+1 {
		w.T.Fatalf("the next record: %+v, %v", slice, err)
	}
	return offsets
}

// mustHave fails unless the log has all batches but those that were touched, and says in its plan what is lost.
func (w *repairWorld) mustHave(r *Repair, touched func(p placedBatch) bool) {
	w.T.Helper()
	got := w.reopened()
	for _, p := range w.batches {
		there := slices.Contains(got, p.baseOffset)
		lost := slices.ContainsFunc(r.Lost(), func(o OffsetRange) bool {
			return o.From <= p.baseOffset && p.nextOffset <= o.To
		})
		if !there && !touched(p) {
			w.T.Fatalf("batch of offset %d, which was not touched, is lost; plan %+v", p.baseOffset, r)
		}
		if there == lost {
			w.T.Fatalf("batch of offset %d is there: %v; lost are %v", p.baseOffset, there, r.Lost())
		}
	}
}

// Whatever bit is flipped, in whichever segment: no more than its batch is lost, all others have their offsets, and
// the log goes on where it ended.
func TestRepairOfAFlippedBitCostsOneBatch(t *testing.T) {
	whole := newRepairWorld(t)
	segments := whole.stored()
	if len(segments) < 3 {
		t.Fatal(segments)
	}
	repaired, noticeable := 0, 0
	for _, s := range []StoredSegment{segments[0], segments[1], segments[len(segments)-1]} {
		for at := int64(0); at < s.SizeBytes; at++ {
			noticeable++
			w := whole.clone(t)
			logtest.Mutate(t, w.FS, logtest.Dir+"/"+s.Name, func(b []byte) []byte { b[at] ^= 1 << (at % 8); return b })
			r := w.mustRepair()
			if r.Needed() {
				repaired++
			}
			w.mustHave(r, func(p placedBatch) bool { return p.file == s.Name && p.from <= at && at < p.to })
		}
	}
	for _, p := range whole.batches {
		if slices.Contains([]string{segments[0].Name, segments[1].Name, segments[len(segments)-1].Name}, p.file) {
			noticeable -= 4 // no checksum covers the leader epoch
		}
	}
	if repaired != noticeable {
		t.Errorf("%d flips needed a repair, %d could be noticed", repaired, noticeable)
	}
}

// A stretch of bytes is zeroed, or overwritten with others, or cut off: what it did not touch stays.
func TestRepairKeepsUntouchedRecords(t *testing.T) {
	whole := newRepairWorld(t)
	segments := whole.stored()
	for seed := range int64(600) {
		dice := rand.New(rand.NewSource(seed))
		w := whole.clone(t)
		s := segments[dice.Intn(len(segments))]
		from := dice.Int63n(s.SizeBytes)
		to := from + 1 + dice.Int63n(s.SizeBytes-from)
		logtest.Mutate(t, w.FS, logtest.Dir+"/"+s.Name, func(b []byte) []byte {
			switch dice.Intn(3) {
			case 0:
				clear(b[from:to])
			case 1:
				_, _ = dice.Read(b[from:to])
			default:
				to = s.SizeBytes
				b = b[:from]
			}
			return b
		})
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			w.T = t
			w.mustHave(w.mustRepair(), func(p placedBatch) bool { return p.file == s.Name && p.from < to && from < p.to })
		})
	}
}

// The offset of a batch that was not touched otherwise was zeroed with what stood before. In a log without gaps its
// neighbours tell that it is wrong, although it fits where batches are lost.
func TestRepairKeepsNoBatchAtAWrongOffset(t *testing.T) {
	w := newRepairWorld(t)
	third := w.batches[2]
	logtest.Mutate(t, w.FS, logtest.Dir+"/"+third.file, func(b []byte) []byte { clear(b[8 : third.from+8]); return b })
	r := w.mustRepair()
	if fmt.Sprint(r.Lost()) != fmt.Sprintf("[{0 %d}]", third.nextOffset) {
		t.Errorf("%v", r.Lost())
	}
	w.mustHave(r, func(p placedBatch) bool { return p.from <= third.from && p.file == third.file })

	// Above the recovery point of a log that was closed there is nothing.
	one := newWorld(t, vfs.NewMem())
	logtest.MustAdd(t, one.MustOpen(), 1, 1)
	one.MustClose()
	logtest.Mutate(t, one.FS, logtest.Dir+"/"+log.FileName(0, log.LogSuffix), func(b []byte) []byte { b[7] = 1; return b })
	if r := one.mustRepair(); fmt.Sprint(r.Lost()) != "[{0 1}]" {
		t.Errorf("%v", r.Lost())
	}
	if l := one.MustOpen(); l.EndOffset() != 1 || len(mustScan(t, l)) != 0 {
		t.Errorf("log ends at %d with %v", l.EndOffset(), mustScan(t, l))
	}
	one.Leave()
}

// mustScan returns the base offsets of all batches, whatever is missing between them.
func mustScan(t testing.TB, l *log.Log) (offsets []int64) {
	t.Helper()
	err := l.Scan(0, l.EndOffset(), func(h batch.Header, _ []byte) error {
		offsets = append(offsets, h.BaseOffset)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return offsets
}

// A log is repaired that was not closed: above the recovery point it goes on as the next start finds it.
func TestRepairLeavesWhatIsAboveTheRecoveryPoint(t *testing.T) {
	for _, above := range []string{"whole", "torn", "none"} {
		w := &repairWorld{world: newWorld(t, vfs.NewMem())}
		w.Config.SegmentBytes = 1 << 20
		l := w.MustOpen()
		logtest.MustAdd(t, l, 10, 2)
		w.MustCheckpoint()
		if above != "none" {
			logtest.MustAdd(t, l, 5, 2)
		}
		w.end = l.EndOffset()
		size := l.SizeBytes()
		w.Leave()
		logtest.Mutate(t, w.FS, logtest.Dir+"/"+log.FileName(0, log.LogSuffix), func(b []byte) []byte {
			clear(b[70:200])
			if above == "torn" {
				b, w.end = b[:size-3], w.end-2
			}
			return b
		})
		if err := w.Open(); logtest.DamagedFile(err) == "" {
			t.Fatalf("%s: a damaged log opens: %v", above, err)
		}
		w.Leave()
		if r := w.mustRepair(); r.BeginAt != 20 || len(r.Segments) != 1 {
			t.Fatalf("%s: %+v", above, r)
		}
		l = w.MustOpen()
		if l.EndOffset() != w.end {
			t.Errorf("%s: log ends at %d, want %d", above, l.EndOffset(), w.end)
		}
		offsets := mustScan(t, l)
		if n := int(w.end) / 2; len(offsets) > n-1 || len(offsets) < n-3 || offsets[len(offsets)-1] != w.end-2 {
			t.Errorf("%s: %v are left", above, offsets)
		}
		w.Leave()
	}
}

// Segments that contradict each other are not touched: which of them is right nobody can tell.
func TestRepairLeavesSegmentsThatOverlap(t *testing.T) {
	w := newRepairWorld(t)
	segments := w.stored()
	wrong := logtest.Dir + "/" + log.FileName(segments[1].BaseOffset-1, log.LogSuffix)
	if err := w.FS.Rename(logtest.Dir+"/"+segments[1].Name, wrong); err != nil {
		t.Fatal(err)
	}
	if r := w.mustPlan(); r.Needed() || len(r.Beyond) != 1 {
		t.Errorf("%+v", r)
	}
}

// A batch that is a client's value is none of the log, whatever is damaged beside it.
func TestRepairTakesNoBatchOutOfAValue(t *testing.T) {
	inner, _ := logtest.MakeBatch(4, 1, 0, 0)
	o := batch.BuildOptions{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1}
	raw := batch.Build(o, batch.Record{Key: []byte("k"), Value: inner})
	mem := vfs.NewMem()
	w := newWorld(t, mem)
	l := w.MustOpen()
	logtest.MustAdd(t, l, 4, 1)
	batch.SetOffsetAndEpoch(raw, 4, 0)
	h, err := batch.Verify(raw)
	if err != nil {
		t.Fatal(err)
	}
	at := l.SizeBytes()
	if err := l.Append(raw, h); err != nil {
		t.Fatal(err)
	}
	logtest.MustAdd(t, l, 4, 1)
	w.MustClose()
	logtest.Mutate(t, mem, logtest.Dir+"/"+log.FileName(0, log.LogSuffix),
		func(b []byte) []byte { b[at+batch.HeaderSizeBytes] ^= 1; return b })
	if r := w.mustRepair(); r.Segments[0].Batches() != 8 || fmt.Sprint(r.Lost()) != "[{4 5}]" {
		t.Errorf("%+v", r)
	}
}

// A repair that was interrupted when the new segment counted already is finished by a start, whichever of its files
// have their names.
func TestStartFinishesAnInterruptedRepair(t *testing.T) {
	for _, aside := range []bool{false, true} {
		w := newRepairWorld(t)
		name := logtest.Dir + "/" + w.stored()[0].Name
		if err := w.FS.Rename(name, logtest.Dir+"/"+log.FileName(0, log.RepairedSuffix)); err != nil {
			t.Fatal(err)
		}
		damaged := name
		if aside {
			damaged = logtest.Dir + "/" + log.AsideName(w.FS, logtest.Dir, 0)
		}
		if err := files.Replace(w.FS, damaged, []byte("damaged")); err != nil {
			t.Fatal(err)
		}
		w.mustHave(&Repair{}, func(placedBatch) bool { return false })
		if b, err := files.ReadSmall(w.FS, logtest.Dir+"/"+log.FileName(0, log.DamagedInfix)+"0"); err != nil ||
			string(b) != "damaged" {
			t.Errorf("moved aside: %v, %q, %v", aside, b, err)
		}
		if r := w.mustPlan(); r.Needed() {
			t.Errorf("%+v", r)
		}
	}
}

// The choice of runs is as good as that of trying all.
func TestLongestChoiceOfRuns(t *testing.T) {
	for seed := range int64(2000) {
		dice := rand.New(rand.NewSource(seed))
		runs := make([]Run, dice.Intn(10))
		for i := range runs {
			base := dice.Int63n(20)
			runs[i] = Run{BaseOffset: base, NextOffset: base + 1 + dice.Int63n(6), Batches: 1 + dice.Int63n(3)}
		}
		best := int64(0)
		for choice := range 1 << len(runs) {
			due, total := int64(0), int64(0)
			for i, r := range runs {
				if choice&(1<<i) == 0 {
					continue
				}
				if total += r.Batches; r.BaseOffset < due {
					total = -1000
				}
				due = r.NextOffset
			}
			best = max(best, total)
		}
		due, total := int64(0), int64(0)
		for _, r := range longest(runs) {
			if r.BaseOffset < due {
				t.Fatalf("seed %d: offsets do not ascend", seed)
			}
			due, total = r.NextOffset, total+r.Batches
		}
		if total != best {
			t.Fatalf("seed %d: %d batches, %d can be kept", seed, total, best)
		}
	}
}

// A segment that is larger than what is read and copied at once, with damage that is: what was not touched stays.
func TestRepairOfALargeSegment(t *testing.T) {
	w := newWorld(t, vfs.NewMem())
	w.Config.SegmentBytes = 1 << 30
	l := w.MustOpen()
	const batches = 800
	var sizeBytes int64
	for range batches {
		raw, h := logtest.LargeBatch(l.EndOffset())
		sizeBytes = int64(len(raw))
		if err := l.Append(raw, h); err != nil {
			t.Fatal(err)
		}
	}
	w.MustClose()
	from, to := 10*sizeBytes+1, 10*sizeBytes+3*searchBytes
	if batches*sizeBytes-to < 2*copyBytes {
		t.Fatal("too small")
	}
	logtest.Mutate(t, w.FS, logtest.Dir+"/"+log.FileName(0, log.LogSuffix),
		func(b []byte) []byte { clear(b[from:to]); return b })
	r := w.mustRepair()
	next := (to + sizeBytes - 1) / sizeBytes
	if want := fmt.Sprintf("[{10 %d}]", next); fmt.Sprint(r.Lost()) != want {
		t.Errorf("lost are %v, want %s", r.Lost(), want)
	}
	l = w.MustOpen()
	defer w.Leave()
	want := int64(0)
	err := l.Scan(0, l.EndOffset(), func(h batch.Header, raw []byte) error {
		if want == 10 {
			want = next
		}
		if same, _ := logtest.LargeBatch(want); !bytes.Equal(raw, same) {
			return fmt.Errorf("batch of offset %d is not that of offset %d", h.BaseOffset, want)
		}
		want++
		return nil
	})
	if err != nil || want != batches {
		t.Errorf("read up to offset %d: %v", want, err)
	}
}
