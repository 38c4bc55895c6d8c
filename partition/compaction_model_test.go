package partition

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand"
	"slices"
	"testing"
	"time"

	"once/internal/crashtest"
	"once/internal/shrink"
	"once/internal/vfs"
	"once/log"
	"once/log/batch"
)

// seen is a record as a client hands it to its user.
type seen struct {
	offset     int64
	key, value string // "-" is null
}

// consume reads from an offset to the end of what the isolation level shows, as clients do: the list of
// aborted transactions counts for one answer, a producer on it is skipped until its abort marker.
func consume(p *Partition, from int64, committed bool, maxBytes int) ([]seen, error) {
	var all []seen
	for at := from; ; {
		r, err := p.Read(ReadRequest{Offset: at, Committed: committed, MaxBytes: maxBytes, AtLeastOne: true,
			CurrentLeaderEpoch: -1, LastFetchedEpoch: -1})
		if err != nil {
			return nil, err
		}
		limit := r.HighWatermark
		if committed {
			limit = r.LastStableOffset
		}
		raw, err := r.Slice.ReadInto(nil)
		r.Slice.Release()
		if err != nil {
			return nil, err
		}
		if len(raw) == 0 {
			if at < limit {
				return nil, fmt.Errorf("nothing to read at %d, below %d", at, limit)
			}
			return all, nil
		}
		aborted, skipped := slices.Clone(r.Aborted), map[int64]bool{}
		for len(raw) > 0 {
			h, err := batch.ParseHeader(raw)
			if err != nil {
				return nil, err
			}
			one := raw[:h.SizeBytes()]
			raw = raw[len(one):]
			if _, err := batch.Verify(one); err != nil {
				return nil, err
			}
			for _, a := range aborted {
				if a.FirstOffset <= h.LastOffset() {
					skipped[a.ProducerID] = true
				}
			}
			aborted = slices.DeleteFunc(aborted, func(a log.AbortedTxn) bool { return a.FirstOffset <= h.LastOffset() })
			if h.NextOffset() <= at {
				return nil, fmt.Errorf("batch %d to %d after %d", h.BaseOffset, h.LastOffset(), at)
			}
			at = h.NextOffset()
			if h.IsControl() {
				if m, ok, err := batch.ParseMarker(one); err != nil {
					return nil, err
				} else if ok && m.Type == batch.Abort {
					delete(skipped, h.ProducerID)
				}
				continue
			}
			if committed && h.IsTransactional() && skipped[h.ProducerID] {
				continue
			}
			for rec, err := range batch.Records(one, 1<<20) {
				if err != nil {
					return nil, err
				}
				x := seen{h.BaseOffset + int64(rec.OffsetDelta), string(rec.Key), string(rec.Value)}
				if rec.Value == nil {
					x.value = "-"
				}
				if x.offset >= from {
					all = append(all, x)
				}
			}
		}
	}
}

// fact is a record that was appended.
type fact struct {
	seen
	atMs     int64
	producer int64 // 0: none
	outcome  string
}

// history is what really happened to a partition.
type history struct {
	events    []event
	facts     []fact
	end       int64
	producers map[int64]*writer
}

// event is one append, which a crash can take back.
type event struct {
	next  int64 // offset behind it
	apply func(hi *history)
}

// writer is a producer as it sees itself.
type writer struct {
	id       int64
	v2       bool
	epoch    int16
	sequence int32
	open     bool
	last     []byte // the newest batch
	lastAt   int64
}

func newHistory() *history {
	return &history{producers: map[int64]*writer{1: {id: 1}, 2: {id: 2}, 3: {id: 3}, 4: {id: 4, v2: true},
		5: {id: 5, v2: true}}}
}

func (hi *history) happens(next int64, apply func(hi *history)) {
	hi.events = append(hi.events, event{next, apply})
	apply(hi)
	hi.end = next
}

// upTo is the history of a log that a crash cut to an end.
func (hi *history) upTo(end int64) *history {
	cut := newHistory()
	for _, e := range hi.events {
		if e.next <= end {
			cut.happens(e.next, e.apply)
		}
	}
	return cut
}

// check compares what readers see with what happened. Records that were aborted are never seen as
// committed; of each key the newest committed record is, unless it is a tombstone older than retention.
func (hi *history) check(p *Partition, nowMs, deleteRetentionMs int64) error {
	o, err := p.Offsets()
	if err != nil {
		return err
	}
	lastStable := hi.end
	for _, f := range hi.facts {
		if f.outcome == "open" {
			lastStable = min(lastStable, f.offset)
		}
	}
	if o.LogEndOffset != hi.end || o.LastStableOffset != lastStable {
		return fmt.Errorf("log ends at %d, stable to %d; want %d and %d", o.LogEndOffset, o.LastStableOffset, hi.end,
			lastStable)
	}
	stable := func(f fact) bool { return f.offset < lastStable && (f.outcome == "" || f.outcome == "commit") }
	latest := map[string]fact{}
	for _, f := range hi.facts {
		if stable(f) {
			latest[f.key] = f
		}
	}
	for _, committed := range []bool{true, false} {
		for from := o.LogStartOffset; from <= o.LogEndOffset; from += 1 + (o.LogEndOffset-o.LogStartOffset)/12 {
			got, err := consume(p, from, committed, 200+int(from%5)*150)
			if err != nil {
				return fmt.Errorf("committed %v from %d: %w", committed, from, err)
			}
			if err := hi.compare(got, from, committed, latest, stable, nowMs-deleteRetentionMs); err != nil {
				return fmt.Errorf("committed %v from %d: %w", committed, from, err)
			}
		}
	}
	return nil
}

func (hi *history) compare(got []seen, from int64, committed bool, latest map[string]fact, stable func(fact) bool,
	oldMs int64) error {
	i := 0
	missing := map[string]fact{}
	for k, f := range latest {
		if f.offset >= from && (f.value != "-" || f.atMs > oldMs) {
			missing[k] = f
		}
	}
	for _, x := range got {
		for i < len(hi.facts) && hi.facts[i].offset < x.offset {
			i++
		}
		if i == len(hi.facts) || hi.facts[i].seen != x {
			return fmt.Errorf("%+v was never written there", x)
		}
		if committed && !stable(hi.facts[i]) {
			return fmt.Errorf("%+v is read as committed", hi.facts[i])
		}
		if missing[x.key].offset == x.offset {
			delete(missing, x.key)
		}
		i++
	}
	for _, f := range missing {
		return fmt.Errorf("%+v is missing", f)
	}
	return nil
}

// The model test: random producers, transactions, tombstones, passes and restarts.
func TestCompactionAgainstModel(t *testing.T) {
	for seed := range int64(12) {
		if err := compactionLife(t, seed); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

const modelDeleteRetentionMs = 20_000

// modelSizes are small for every second seed.
func modelSizes(seed int64) (s log.Sizes) {
	if seed%2 == 1 {
		shrink.Fields(&s, rand.New(rand.NewSource(seed)))
	}
	return s
}

func compactionLife(t *testing.T, seed int64) error {
	dice := rand.New(rand.NewSource(seed))
	s := newShelf(t, vfs.NewMem())
	s.sizes = modelSizes(seed)
	s.config.Log.SegmentBytes = int32(300 + 300*dice.Intn(3))
	s.config.Compaction = Compaction{Compact: true, DeleteRetentionMs: modelDeleteRetentionMs}
	s.mustOpen()
	hi := newHistory()
	passes := 0
	for step := range 260 {
		s.clock.Advance(time.Duration(dice.Intn(1500)) * time.Millisecond)
		if err := hi.act(s, dice); err != nil {
			return fmt.Errorf("step %d: %w", step, err)
		}
		switch dice.Intn(30) {
		case 0, 1, 2:
			if dice.Intn(3) > 0 {
				s.sync()
			}
			done, err := s.p.Compact(context.Background(), s.nowMs(), int64(100+dice.Intn(2000)))
			if err != nil {
				return fmt.Errorf("step %d: %w", step, err)
			}
			if done.SegmentsBefore > 0 {
				passes++
				if err := hi.compacted(s.p, done.End); err != nil {
					return fmt.Errorf("step %d: %w", step, err)
				}
			}
		case 3:
			if dice.Intn(2) == 0 {
				s.shut()
			} else { // killed; perhaps all that is derived goes, too
				s.fs = s.fs.(*vfs.Mem).Clone()
				_ = s.barrier.Close(false)
				if dice.Intn(2) == 0 {
					for _, offset := range s.p.log.Snapshots() {
						_ = s.fs.Remove(fmt.Sprintf("data/x-0/%020d.snapshot", offset))
					}
					_ = s.fs.Remove("data/x-0/txnindex-checkpoint")
					_ = s.fs.Remove("data/x-0/cleaner-checkpoint")
				}
			}
			s.mustOpen()
		default:
			continue
		}
		if err := hi.check(s.p, s.nowMs(), modelDeleteRetentionMs); err != nil {
			return fmt.Errorf("step %d: %w", step, err)
		}
		if err := hi.retry(s); err != nil {
			return fmt.Errorf("step %d: %w", step, err)
		}
	}
	if passes < 5 {
		return errors.New("there was hardly anything to compact")
	}
	s.shut()
	return nil
}

// retry sends the newest batch of each producer again: it is stored already.
func (hi *history) retry(s *shelf) error {
	for _, w := range hi.producers {
		if w.last == nil {
			continue
		}
		if a, err := s.p.AppendClient(slices.Clone(w.last), 0, 9); err != nil || !a.Duplicate || a.BaseOffset != w.lastAt {
			return fmt.Errorf("retry of producer %d, stored at %d: %+v, %v", w.id, w.lastAt, a, err)
		}
	}
	return nil
}

func randomRecords(dice *rand.Rand) []rec {
	rs := make([]rec, 1+dice.Intn(3))
	for i := range rs {
		rs[i] = rec{fmt.Sprint("key", dice.Intn(9)), fmt.Sprint("value", dice.Int31())}
		if dice.Intn(4) == 0 {
			rs[i].value = "-"
		}
	}
	return rs
}

// act appends something. It stands in the history before it is tried: after a crash the log tells.
func (hi *history) act(s *shelf, dice *rand.Rand) error {
	id := int64(dice.Intn(6))
	w := hi.producers[id]
	if w != nil && w.open && dice.Intn(3) == 0 {
		return hi.endTransaction(s, w, dice.Intn(2) == 0)
	}
	rs, nowMs, base := randomRecords(dice), s.nowMs(), hi.end
	o := batch.BuildOptions{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1, TimestampMs: nowMs, LeaderEpoch: -1}
	outcome := ""
	if w != nil {
		// producer 1 is idempotent only
		o.ProducerID, o.ProducerEpoch, o.BaseSequence, o.Transactional = id, w.epoch, w.sequence, id > 1
	}
	if id > 1 {
		outcome = "open"
	}
	raw := batch.Build(o, recordsOf(rs)...)
	sent := slices.Clone(raw)
	hi.happens(base+int64(len(rs)), func(hi *history) {
		for i, r := range rs {
			hi.facts = append(hi.facts, fact{seen{base + int64(i), r.key, r.value}, nowMs, id, outcome})
		}
		if w := hi.producers[id]; w != nil {
			w.sequence += int32(len(rs))
			w.open, w.last, w.lastAt = id > 1, raw, base
		}
	})
	a, err := s.p.AppendClient(sent, 0, 9)
	if err == nil && (a.Duplicate || a.BaseOffset != base) {
		err = fmt.Errorf("producer %d: %+v instead of %d", id, a, base)
	}
	return err
}

func (hi *history) endTransaction(s *shelf, w *writer, commit bool) error {
	id, kind, outcome, version, epoch := w.id, batch.Abort, "abort", int16(0), w.epoch
	if commit {
		kind, outcome = batch.Commit, "commit"
	}
	if w.v2 {
		epoch, version = epoch+1, 2
	}
	hi.happens(hi.end+1, func(hi *history) {
		w := hi.producers[id]
		w.open, w.epoch = false, epoch
		if w.v2 {
			w.sequence, w.last = 0, nil
		}
		for i := range hi.facts {
			if hi.facts[i].producer == id && hi.facts[i].outcome == "open" {
				hi.facts[i].outcome = outcome
			}
		}
	})
	_, err := s.p.AppendMarker(batch.Marker{ProducerID: id, ProducerEpoch: epoch, Type: kind}, version)
	return err
}

// compacted says whether a pass did what it is for: below its end each key is there once at most, and
// nothing that was aborted.
func (hi *history) compacted(p *Partition, end int64) error {
	got, err := consume(p, p.LogStartOffset(), false, 1<<20)
	if err != nil {
		return err
	}
	there := map[string]int64{}
	for _, x := range got {
		if x.offset >= end {
			break
		}
		if before, ok := there[x.key]; ok {
			return fmt.Errorf("%s is there at %d and at %d, compacted to %d", x.key, before, x.offset, end)
		}
		there[x.key] = x.offset
		i := slices.IndexFunc(hi.facts, func(f fact) bool { return f.offset == x.offset })
		if hi.facts[i].outcome == "abort" {
			return fmt.Errorf("%+v is there, compacted to %d", hi.facts[i], end)
		}
	}
	return nil
}

// passOperations returns which file operations of a story belong to its passes; the others are swept
// elsewhere. It is a sample, another one for each seed, unless ONCE_CRASH is a number.
func passOperations(t *testing.T, seed int64) []int {
	counted := vfs.FailAt(math.MaxInt, vfs.NewCrashable(seed))
	s := newShelf(t, vfs.NewMem())
	s.fs, s.sizes = counted, modelSizes(seed)
	if err := counted.MkdirAll("data"); err != nil {
		t.Fatal(err)
	}
	s.config.Compaction = Compaction{Compact: true, DeleteRetentionMs: modelDeleteRetentionMs}
	var operations []int
	if _, err := compactionStory(s, newHistory(), rand.New(rand.NewSource(seed)), func(pass func() error) error {
		from := counted.Operations()
		err := pass()
		for n := from; n < counted.Operations(); n++ {
			operations = append(operations, n-1) // less the directory
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	s.shut()
	sample := operations[:0]
	stride := crashtest.Stride(t, 35, 7)
	for i := int(seed) % stride; i < len(operations); i += stride {
		sample = append(sample, operations[i])
	}
	return sample
}

func plainly(pass func() error) error { return pass() }

// Nothing acknowledged is lost, and nothing taken back comes again, when the process or the machine dies
// at any file operation of a pass (spec: reliability P28, F19).
func TestCompactionDeathAtEveryOperation(t *testing.T) {
	for seed := range int64(3) {
		for _, n := range passOperations(t, seed) {
			for _, power := range []bool{false, true} {
				if err := compactionDeath(t, seed, n, power); err != nil {
					t.Fatalf("power cut %v, seed %d, operation %d: %v", power, seed, n, err)
				}
			}
		}
	}
}

// One operation of a pass fails and the process lives on.
func TestCompactionFailureAtEveryOperation(t *testing.T) {
	for seed := range int64(2) {
		for _, n := range passOperations(t, seed) {
			if err := compactionFailure(t, seed, n); err != nil {
				t.Fatalf("seed %d, operation %d: %v", seed, n, err)
			}
		}
	}
}

func compactionFailure(t *testing.T, seed int64, n int) error {
	mem := vfs.NewCrashable(int64(n))
	s := newShelf(t, mem)
	failing := vfs.FailAt(n, mem)
	s.fs, s.sizes = failing, modelSizes(seed)
	s.config.Compaction = Compaction{Compact: true, DeleteRetentionMs: modelDeleteRetentionMs}
	hi := newHistory()
	_, err := compactionStory(s, hi, rand.New(rand.NewSource(seed)), plainly)
	if err != nil && s.barrier.Sync(context.Background()) == nil {
		for range 2 { // another pass, whatever became of the first
			s.clock.Advance(30 * time.Second)
			_, err := s.p.Compact(context.Background(), s.nowMs(), 1<<20)
			if errors.Is(err, log.ErrFailed) { // a failed sync is final: the broker stops
				break
			}
			if err != nil {
				return err
			}
			if err := hi.check(s.p, s.nowMs(), modelDeleteRetentionMs); err != nil {
				return err
			}
		}
	}
	again := newShelf(t, mem.Clone())
	again.config, again.sizes, again.clock, again.starts = s.config, s.sizes, s.clock, s.starts+1
	again.mustOpen()
	if err := hi.check(again.p, again.nowMs(), modelDeleteRetentionMs); err != nil {
		return fmt.Errorf("after a restart: %w", err)
	}
	again.shut()
	_ = s.barrier.Close(false)
	if !failing.Fired() {
		return errors.New("nothing failed")
	}
	return nil
}

func compactionDeath(t *testing.T, seed int64, n int, power bool) error {
	mem := vfs.NewCrashable(int64(n))
	s := newShelf(t, mem)
	dying := vfs.DieAt(n, mem)
	s.fs, s.sizes = dying, modelSizes(seed)
	s.config.Compaction = Compaction{Compact: true, DeleteRetentionMs: modelDeleteRetentionMs}
	hi, dice := newHistory(), rand.New(rand.NewSource(seed))
	synced, _ := compactionStory(s, hi, dice, plainly)
	left := mem.Clone()
	if power {
		left = mem.CrashClone()
	}
	if s.barrier != nil {
		_ = s.barrier.Close(false)
	}
	again := newShelf(t, left)
	again.config, again.sizes, again.clock, again.starts = s.config, s.sizes, s.clock, s.starts+1
	if power {
		again.boot = "boot-2"
	}
	if err := again.open(); err != nil {
		return err
	}
	o := must1(again.p.Offsets())
	if o.LogEndOffset < synced || !power && len(hi.events) > 1 && o.LogEndOffset < hi.events[len(hi.events)-2].next {
		return fmt.Errorf("log ends at %d, %d were synced, %d sent", o.LogEndOffset, synced, hi.end)
	}
	hi = hi.upTo(o.LogEndOffset)
	for range 3 {
		if err := errors.Join(hi.check(again.p, again.nowMs(), modelDeleteRetentionMs), hi.retry(again)); err != nil {
			return err
		}
		for range 15 {
			if err := hi.act(again, dice); err != nil {
				return fmt.Errorf("going on: %w", err)
			}
		}
		done, err := again.p.Compact(context.Background(), again.nowMs(), 1<<20)
		if err == nil && done.SegmentsBefore > 0 {
			err = hi.compacted(again.p, done.End)
		}
		if err != nil {
			return err
		}
		again.clock.Advance(15 * time.Second)
	}
	if names, err := left.List("data/x-0"); err != nil ||
		slices.ContainsFunc(names, func(name string) bool { return len(name) > 24 && name[20:25] == ".log." }) {
		return fmt.Errorf("left over: %v, %w", names, err)
	}
	again.shut()
	if !dying.Fired() {
		return errors.New("nothing died")
	}
	return nil
}

// compactionStory appends and compacts until something fails. Offsets below synced are on disk.
func compactionStory(s *shelf, hi *history, dice *rand.Rand, around func(pass func() error) error) (synced int64,
	err error) {
	if err := s.open(); err != nil {
		return 0, err
	}
	for step := range 112 {
		s.clock.Advance(time.Second)
		if err := hi.act(s, dice); err != nil {
			return synced, err
		}
		if step%14 == 9 {
			if err := s.barrier.Sync(context.Background()); err != nil {
				return synced, err
			}
			synced = hi.end
		}
		if step%14 == 13 {
			if err := around(func() error {
				_, err := s.p.Compact(context.Background(), s.nowMs(),
					1<<20)
				return err
			}); err != nil {
				return synced, err
			}
			s.clock.Advance(8 * time.Second)
		}
	}
	return synced, nil
}
