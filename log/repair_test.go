package log

import (
	"fmt"
	"math/rand"
	"slices"
	"testing"

	"once/durability"
	"once/internal/files"
	"once/internal/vfs"
	"once/log/batch"
)

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
	w := &repairWorld{world: newWorld(t, vfs.NewMem(), durability.Page)}
	w.config.SegmentBytes = 500
	l := w.mustOpen()
	for i := range 20 {
		mustAdd(t, l, 1, 1+i%3)
	}
	w.end = l.EndOffset()
	if err := l.WriteSnapshot(w.end, []byte("snapshot")); err != nil {
		t.Fatal(err)
	}
	w.mustClose()
	for _, s := range w.stored() {
		b, err := files.ReadSmall(w.fs, testDir+"/"+s.Name)
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
	return &repairWorld{world: newWorld(t, w.fs.(*vfs.Mem).Clone(), durability.Page), end: w.end, batches: w.batches}
}

func (w *world) stored() (all []StoredSegment) {
	w.t.Helper()
	names, err := w.fs.List(testDir)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, name := range names {
		if base, suffix, ok := parseName(name); ok && suffix == suffixLog {
			st, err := w.fs.Stat(testDir + "/" + name)
			if err != nil {
				w.t.Fatal(err)
			}
			all = append(all, StoredSegment{Name: name, BaseOffset: base, SizeBytes: st.SizeBytes})
		}
	}
	return all
}

// recovery is how the next start on the same machine opens the log.
func (w *world) recovery() durability.Recovery {
	slots := durability.ReadBarriers(w.fs, "data")
	return durability.NewestBarrier(&slots).Recovery("orders-0", testTopic, w.boot, nil)
}

func (w *world) mustPlan() *Repair {
	w.t.Helper()
	r, err := PlanRepair(w.fs, testDir, w.stored(), w.recovery())
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// mustRepair repairs the log once, after which nothing is left to do.
func (w *world) mustRepair() *Repair {
	w.t.Helper()
	r := w.mustPlan()
	if r.Needed() {
		if err := ApplyRepairs(w.fs, "data", []*Repair{r}); err != nil {
			w.t.Fatal(err)
		}
	}
	if again := w.mustPlan(); again.Needed() || len(again.Beyond) > 0 {
		w.t.Fatalf("after the repair there is more to do: %+v", again)
	}
	return r
}

// reopened opens the repaired log, appends to it, and returns the base offsets of the batches from before.
func (w *repairWorld) reopened() []int64 {
	w.t.Helper()
	l := w.mustOpen()
	defer w.leave()
	if l.StartOffset() != 0 || l.EndOffset() != w.end {
		w.t.Fatalf("log has offsets %d to %d, had 0 to %d", l.StartOffset(), l.EndOffset(), w.end)
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
		w.t.Fatal(err)
	}
	mustAdd(w.t, l, 1, 1)
	if slice, err := l.Locate(w.end, l.EndOffset(), Budget{MaxBytes: 1000}); err != nil || slice.NextOffset() != w.end+1 {
		w.t.Fatalf("the next record: %+v, %v", slice, err)
	}
	return offsets
}

// mustHave fails unless the log has all batches but those that were touched, and says in its plan what is lost.
func (w *repairWorld) mustHave(r *Repair, touched func(p placedBatch) bool) {
	w.t.Helper()
	got := w.reopened()
	for _, p := range w.batches {
		there := slices.Contains(got, p.baseOffset)
		lost := slices.ContainsFunc(r.Lost(), func(o OffsetRange) bool {
			return o.From <= p.baseOffset && p.nextOffset <= o.To
		})
		if !there && !touched(p) {
			w.t.Fatalf("batch of offset %d, which was not touched, is lost; plan %+v", p.baseOffset, r)
		}
		if there == lost {
			w.t.Fatalf("batch of offset %d is there: %v; lost are %v", p.baseOffset, there, r.Lost())
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
			mutate(t, w.fs, testDir+"/"+s.Name, func(b []byte) []byte { b[at] ^= 1 << (at % 8); return b })
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
func TestRepairKeepsWhatWasNotTouched(t *testing.T) {
	whole := newRepairWorld(t)
	segments := whole.stored()
	for seed := range int64(600) {
		dice := rand.New(rand.NewSource(seed))
		w := whole.clone(t)
		s := segments[dice.Intn(len(segments))]
		from := dice.Int63n(s.SizeBytes)
		to := from + 1 + dice.Int63n(s.SizeBytes-from)
		mutate(t, w.fs, testDir+"/"+s.Name, func(b []byte) []byte {
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
			w.t = t
			w.mustHave(w.mustRepair(), func(p placedBatch) bool { return p.file == s.Name && p.from < to && from < p.to })
		})
	}
}

// The offset of a batch that was not touched otherwise was zeroed with what stood before. In a log without gaps its
// neighbours tell that it is wrong, although it fits where batches are lost.
func TestRepairKeepsNoBatchAtAWrongOffset(t *testing.T) {
	w := newRepairWorld(t)
	third := w.batches[2]
	mutate(t, w.fs, testDir+"/"+third.file, func(b []byte) []byte { clear(b[8 : third.from+8]); return b })
	r := w.mustRepair()
	if fmt.Sprint(r.Lost()) != fmt.Sprintf("[{0 %d}]", third.nextOffset) {
		t.Errorf("%v", r.Lost())
	}
	w.mustHave(r, func(p placedBatch) bool { return p.from <= third.from && p.file == third.file })

	// Above the recovery point of a log that was closed there is nothing.
	one := newWorld(t, vfs.NewMem(), durability.Page)
	mustAdd(t, one.mustOpen(), 1, 1)
	one.mustClose()
	mutate(t, one.fs, testDir+"/"+stem(0)+suffixLog, func(b []byte) []byte { b[7] = 1; return b })
	if r := one.mustRepair(); fmt.Sprint(r.Lost()) != "[{0 1}]" {
		t.Errorf("%v", r.Lost())
	}
	if l := one.mustOpen(); l.EndOffset() != 1 || len(mustScan(t, l)) != 0 {
		t.Errorf("log ends at %d with %v", l.EndOffset(), mustScan(t, l))
	}
	one.leave()
}

// mustScan returns the base offsets of all batches, whatever is missing between them.
func mustScan(t testing.TB, l *Log) (offsets []int64) {
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
		w := &repairWorld{world: newWorld(t, vfs.NewMem(), durability.Page)}
		w.config.SegmentBytes = 1 << 20
		l := w.mustOpen()
		mustAdd(t, l, 10, 2)
		w.mustCheckpoint()
		if above != "none" {
			mustAdd(t, l, 5, 2)
		}
		w.end = l.EndOffset()
		size := l.SizeBytes()
		w.leave()
		mutate(t, w.fs, testDir+"/"+stem(0)+suffixLog, func(b []byte) []byte {
			clear(b[70:200])
			if above == "torn" {
				b, w.end = b[:size-3], w.end-2
			}
			return b
		})
		if err := w.open(); damagedFile(err) == "" {
			t.Fatalf("%s: a damaged log opens: %v", above, err)
		}
		w.leave()
		if r := w.mustRepair(); r.BeginAt != 20 || len(r.Segments) != 1 {
			t.Fatalf("%s: %+v", above, r)
		}
		l = w.mustOpen()
		if l.EndOffset() != w.end {
			t.Errorf("%s: log ends at %d, want %d", above, l.EndOffset(), w.end)
		}
		offsets := mustScan(t, l)
		if n := int(w.end) / 2; len(offsets) > n-1 || len(offsets) < n-3 || offsets[len(offsets)-1] != w.end-2 {
			t.Errorf("%s: %v are left", above, offsets)
		}
		w.leave()
	}
}

// Segments that contradict each other are not touched: which of them is right nobody can tell.
func TestRepairLeavesSegmentsThatOverlap(t *testing.T) {
	w := newRepairWorld(t)
	segments := w.stored()
	wrong := testDir + "/" + stem(segments[1].BaseOffset-1) + suffixLog
	if err := w.fs.Rename(testDir+"/"+segments[1].Name, wrong); err != nil {
		t.Fatal(err)
	}
	if r := w.mustPlan(); r.Needed() || len(r.Beyond) != 1 {
		t.Errorf("%+v", r)
	}
}

// A batch that is a client's value is none of the log, whatever is damaged beside it.
func TestRepairTakesNoBatchOutOfAValue(t *testing.T) {
	inner, _ := makeBatch(4, 1, 0, 0)
	o := batch.BuildOptions{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1}
	raw := batch.Build(o, batch.Record{Key: []byte("k"), Value: inner})
	mem := vfs.NewMem()
	w := newWorld(t, mem, durability.Page)
	l := w.mustOpen()
	mustAdd(t, l, 4, 1)
	batch.SetOffsetAndEpoch(raw, 4, 0)
	h, err := batch.Verify(raw)
	if err != nil {
		t.Fatal(err)
	}
	at := l.SizeBytes()
	if err := l.Append(raw, h); err != nil {
		t.Fatal(err)
	}
	mustAdd(t, l, 4, 1)
	w.mustClose()
	mutate(t, mem, testDir+"/"+stem(0)+suffixLog, func(b []byte) []byte { b[at+batch.HeaderSizeBytes] ^= 1; return b })
	if r := w.mustRepair(); r.Segments[0].Batches() != 8 || fmt.Sprint(r.Lost()) != "[{4 5}]" {
		t.Errorf("%+v", r)
	}
}

// A repair that was interrupted when the new segment counted already is finished by a start, whichever of its files
// have their names.
func TestStartFinishesAnInterruptedRepair(t *testing.T) {
	for _, aside := range []bool{false, true} {
		w := newRepairWorld(t)
		name := testDir + "/" + w.stored()[0].Name
		if err := w.fs.Rename(name, testDir+"/"+stem(0)+suffixRepaired); err != nil {
			t.Fatal(err)
		}
		damaged := name
		if aside {
			damaged = testDir + "/" + asideName(w.fs, testDir, 0)
		}
		if err := files.Replace(w.fs, damaged, []byte("damaged")); err != nil {
			t.Fatal(err)
		}
		w.mustHave(&Repair{}, func(placedBatch) bool { return false })
		if b, err := files.ReadSmall(w.fs, testDir+"/"+stem(0)+infixDamaged+"0"); err != nil || string(b) != "damaged" {
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
