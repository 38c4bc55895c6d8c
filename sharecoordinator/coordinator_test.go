package sharecoordinator

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"once/durability"
	"once/internal/clock"
	"once/log/batch"
	"once/sharepartition/window"
)

// fakeLog is a state log in memory.
type fakeLog struct {
	start, end int64
	batches    [][]byte
	fail       error
	scanning   func() // called when a scan begins; nil: nothing
}

func (l *fakeLog) AppendCoordinator(raw []byte, _ durability.Answer) (Appended, error) {
	if l.fail != nil {
		return Appended{}, l.fail
	}
	batch.SetOffsetAndEpoch(raw, l.end, 0)
	l.batches = append(l.batches, raw)
	l.end++
	return Appended{BaseOffset: l.end - 1}, nil
}

func (l *fakeLog) Scan(from, to int64, fn func(h batch.Header, raw []byte) error) error {
	if l.scanning != nil {
		l.scanning()
	}
	for _, raw := range l.batches {
		h, err := batch.ParseHeader(raw)
		if err != nil {
			return err
		}
		if h.BaseOffset >= from && h.BaseOffset < to {
			if err := fn(h, raw); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *fakeLog) LogStartOffset() int64 { return l.start }
func (l *fakeLog) LogEndOffset() int64   { return l.end }
func (l *fakeLog) DeleteRecords(offset int64) error {
	l.start = offset
	return nil
}

type world struct {
	log    *fakeLog
	clock  *clock.Movable
	config Config // intervals
	c      *Coordinator
}

func newWorld(t *testing.T) *world {
	w := &world{log: &fakeLog{}, clock: clock.NewManual(time.UnixMilli(1_000_000))}
	w.open(t)
	return w
}

// open starts a coordinator, after the end of the one before.
func (w *world) open(t *testing.T) {
	t.Helper()
	if w.c != nil {
		w.c.Close()
	}
	c := w.config
	c.StateLogs, c.Partitions, c.Clock = func(int32) StateLog { return w.log }, 1, w.clock
	w.c = New(c)
	if err := w.c.Load(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.c.Close)
}

var key = Key{Group: "g", TopicID: [16]byte{1}, Partition: 3}

func (w *world) write(t *testing.T, start int64, count int32, batches ...window.Batch) {
	t.Helper()
	if _, err := w.c.Write(&Write{Key: key, StateEpoch: 1, LeaderEpoch: 1, StartOffset: start,
		DeliveryCompleteCount: count, Batches: batches}); err != nil {
		t.Fatal(err)
	}
}

func (w *world) state(t *testing.T) State {
	t.Helper()
	s, _, err := w.c.Summary(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// After 500 updates comes a snapshot with everything (share-groups SG-73), and a restart reads the same.
func TestEvery500UpdatesThereIsASnapshot(t *testing.T) {
	w := newWorld(t)
	if _, err := w.c.Initialize(key, 1, 0); err != nil {
		t.Fatal(err)
	}
	for i := range int64(505) {
		w.write(t, i, 1, window.Batch{FirstOffset: i, LastOffset: i, State: window.Acknowledged, DeliveryCount: 1})
	}
	var snapshots []int
	for i, raw := range w.log.batches {
		for b, err := range batch.Records(raw, 1<<20) {
			if err != nil {
				t.Fatal(err)
			}
			r, err := DecodeRecord(b.Key, b.Value)
			if err != nil {
				t.Fatal(err)
			}
			if r.Snapshot {
				snapshots = append(snapshots, i)
			}
			if i == 501 && (r.StartOffset != 500 || !reflect.DeepEqual(r.Batches,
				[]window.Batch{{FirstOffset: 500, LastOffset: 500, State: 2, DeliveryCount: 1}})) {
				t.Errorf("the snapshot is %+v", r)
			}
		}
	}
	if !reflect.DeepEqual(snapshots, []int{0, 501}) {
		t.Errorf("snapshots at %v", snapshots)
	}
	before := w.state(t)
	w.open(t)
	if after := w.state(t); !reflect.DeepEqual(before, after) || after.StartOffset != 504 {
		t.Errorf("after a restart %+v, before %+v", after, before)
	}
}

// A share partition without a recent snapshot gets one, and the records below all snapshots are deleted.
func TestOldRecordsAreDeleted(t *testing.T) {
	w := newWorld(t)
	other := Key{Group: "h", TopicID: [16]byte{2}}
	for _, k := range []Key{key, other} {
		if _, err := w.c.Initialize(k, 1, 0); err != nil {
			t.Fatal(err)
		}
	}
	w.write(t, 0, 0, window.Batch{FirstOffset: 0, LastOffset: 3, State: window.Available, DeliveryCount: 2})
	before := w.state(t)
	w.clock.Advance(DefaultPruneInterval)
	if w.log.start != 1 { // the other one's snapshot, which has no updates
		t.Errorf("log starts at %d", w.log.start)
	}
	if _, err := w.c.Delete(other); err != nil {
		t.Fatal(err)
	}
	w.clock.Advance(DefaultPruneInterval)
	if w.log.start != 3 {
		t.Errorf("log starts at %d", w.log.start)
	}
	w.open(t)
	if after := w.state(t); !reflect.DeepEqual(before.Batches, after.Batches) ||
		after.SnapshotEpoch != before.SnapshotEpoch+1 {
		t.Errorf("after a restart %+v, before %+v", after, before)
	}
	if _, _, err := w.c.Summary(other); !errors.Is(err, ErrNoState) {
		t.Errorf("the deleted share partition: %v", err)
	}
}

// A share partition is cold after an interval without a snapshot. A move of the clock runs all checks, so that the
// interval of the deletion shows in the time at which it is due.
func TestColdSnapshotsAndDeletionHaveTheirIntervals(t *testing.T) {
	w := newWorld(t)
	w.config = Config{ColdSnapshotInterval: time.Minute, PruneInterval: time.Hour}
	w.open(t)
	if _, err := w.c.Initialize(key, 1, 0); err != nil {
		t.Fatal(err)
	}
	w.write(t, 0, 0, window.Batch{FirstOffset: 0, LastOffset: 3, State: window.Available, DeliveryCount: 2})
	w.clock.Advance(59 * time.Second)
	if got := w.state(t); got.SnapshotEpoch != 0 || w.log.end != 2 {
		t.Errorf("after 59 s: snapshot epoch %d, the log ends at %d", got.SnapshotEpoch, w.log.end)
	}
	w.clock.Advance(time.Second)
	if got := w.state(t); got.SnapshotEpoch != 1 || w.log.end != 3 {
		t.Errorf("after 1 min: snapshot epoch %d, the log ends at %d", got.SnapshotEpoch, w.log.end)
	}
	w.clock.Advance(time.Hour)
	if w.log.start != 2 || w.log.end != 3 {
		t.Errorf("after 1 h the log is %d to %d: nothing has changed since the snapshot", w.log.start, w.log.end)
	}
	for _, config := range []Config{
		{ColdSnapshotInterval: time.Minute, PruneInterval: time.Hour},
		{ColdSnapshotInterval: time.Hour, PruneInterval: time.Minute},
	} {
		w = newWorld(t)
		w.config = config
		w.open(t)
		if at, _ := w.clock.Next(); at.Sub(w.clock.Now()) != time.Minute {
			t.Errorf("%v and %v: the first check is due after %v", config.ColdSnapshotInterval, config.PruneInterval,
				at.Sub(w.clock.Now()))
		}
	}
}

func TestWithoutUpdatesEachWriteIsASnapshot(t *testing.T) {
	w := newWorld(t)
	w.config = Config{UpdatesPerSnapshot: -1}
	w.open(t)
	if _, err := w.c.Initialize(key, 1, 0); err != nil {
		t.Fatal(err)
	}
	w.write(t, 0, 1, window.Batch{FirstOffset: 0, LastOffset: 0, State: window.Acknowledged, DeliveryCount: 1})
	w.write(t, 1, 1, window.Batch{FirstOffset: 1, LastOffset: 1, State: window.Acknowledged, DeliveryCount: 1})
	if got := w.state(t); got.SnapshotEpoch != 2 || got.StartOffset != 1 {
		t.Errorf("snapshot epoch %d, start offset %d", got.SnapshotEpoch, got.StartOffset)
	}
}

func TestOlderEpochsAreFenced(t *testing.T) {
	w := newWorld(t)
	if _, _, err := w.c.Read(key, 1); !errors.Is(err, ErrNoState) {
		t.Errorf("nothing stored: %v", err)
	}
	if _, err := w.c.Initialize(key, 5, 7); err != nil {
		t.Fatal(err)
	}
	if _, err := w.c.Initialize(key, 4, 7); !errors.Is(err, ErrFencedStateEpoch) {
		t.Errorf("older state epoch: %v", err)
	}
	if _, _, err := w.c.Read(key, 3); err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.c.Read(key, 2); !errors.Is(err, ErrFencedLeaderEpoch) {
		t.Errorf("older leader epoch: %v", err)
	}
	if _, err := w.c.Write(&Write{Key: key, StateEpoch: 4, LeaderEpoch: 3}); !errors.Is(err, ErrFencedStateEpoch) {
		t.Errorf("older state epoch: %v", err)
	}
	if _, err := w.c.Write(&Write{Key: key, StateEpoch: 5, LeaderEpoch: 2}); !errors.Is(err, ErrFencedLeaderEpoch) {
		t.Errorf("older leader epoch: %v", err)
	}
}

func TestFailedWriteChangesNothing(t *testing.T) {
	w := newWorld(t)
	if _, err := w.c.Initialize(key, 1, 0); err != nil {
		t.Fatal(err)
	}
	before := w.state(t)
	w.log.fail = errors.New("no")
	_, err := w.c.Write(&Write{Key: key, StateEpoch: 1,
		Batches: []window.Batch{{LastOffset: 3, State: window.Archived, DeliveryCount: 1}}})
	if !errors.Is(err, ErrNotWritten) || !reflect.DeepEqual(before, w.state(t)) {
		t.Errorf("%v: %+v", err, w.state(t))
	}
}

// Merging agrees with a map of offsets, in which the higher delivery count wins, then the higher state.
func TestMergeAgreesWithAMap(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		s := State{}
		model := map[int64]window.Batch{}
		for range 60 {
			first := s.StartOffset + r.Int64N(30)
			b := window.Batch{
				FirstOffset: first, LastOffset: first + r.Int64N(10), State: []window.State{0, 2, 3, 4}[r.IntN(4)],
				DeliveryCount: int16(1 + r.IntN(3)),
			}
			start := s.StartOffset + r.Int64N(2)
			s.apply(&Record{StartOffset: start, Batches: []window.Batch{b}})
			for o := b.FirstOffset; o <= b.LastOffset; o++ {
				if old, ok := model[o]; !ok || b.DeliveryCount > old.DeliveryCount || b.DeliveryCount == old.DeliveryCount &&
					b.State > old.State {
					model[o] = b
				}
			}
			last := int64(-1)
			seen := 0
			for i, x := range s.Batches {
				if x.FirstOffset <= last || x.LastOffset < x.FirstOffset || x.FirstOffset < s.StartOffset || i > 0 &&
					joins(s.Batches[i-1], x) {
					t.Fatalf("seed %d: %v", seed, s.Batches)
				}
				for o := x.FirstOffset; o <= x.LastOffset; o++ {
					if m := model[o]; m.State != x.State || m.DeliveryCount != x.DeliveryCount {
						t.Fatalf("seed %d: offset %d is %v*%d, want %v*%d", seed, o, x.State, x.DeliveryCount, m.State, m.DeliveryCount)
					}
					seen++
				}
				last = x.LastOffset
			}
			for o := range model {
				if o < s.StartOffset {
					delete(model, o)
				}
			}
			if seen != len(model) {
				t.Fatalf("seed %d: %d offsets, want %d", seed, seen, len(model))
			}
		}
	}
}

// The partition of a key is Kafka's: String.hashCode of group:topicId:partition.
func TestKeys(t *testing.T) {
	k := Key{Group: "a:b", TopicID: [16]byte{0xff, 1}, Partition: 7}
	parsed, err := ParseKey(k.String())
	if err != nil || parsed != k {
		t.Errorf("%v, %v", parsed, err)
	}
	for _, bad := range []string{"", "g", "g:x", "g:xx:0", ":AAAAAAAAAAAAAAAAAAAAAA:0", "g:AAAAAAAAAAAAAAAAAAAAAA:x"} {
		if _, err := ParseKey(bad); err == nil {
			t.Errorf("%q is a key", bad)
		}
	}
}

// Any bytes are a record that encodes to something that reads back the same, or an error; reading them never panics.
func FuzzDecodeRecord(f *testing.F) {
	for _, r := range []Record{
		{Key: key, Snapshot: true, Tombstone: true},
		{Key: key, Snapshot: true, SnapshotEpoch: 1, StateEpoch: 2, LeaderEpoch: 3, StartOffset: 4, DeliveryCompleteCount: 5,
			Batches: []window.Batch{{FirstOffset: 4, LastOffset: 6, State: 2, DeliveryCount: 1}}},
		{Key: key, StartOffset: -1, DeliveryCompleteCount: -1},
	} {
		var value []byte
		if !r.Tombstone {
			value = r.appendValue(nil)
		}
		f.Add(r.appendKey(nil), value, r.Tombstone)
		f.Add(append(r.appendKey(nil), 0), value, r.Tombstone) // refused: a byte behind the key
	}
	f.Fuzz(func(t *testing.T, key, value []byte, tombstone bool) {
		if tombstone {
			value = nil
		} else if value == nil {
			value = []byte{}
		}
		r, err := DecodeRecord(key, value)
		if err != nil {
			return
		}
		if !bytes.Equal(r.appendKey(nil), key) {
			t.Fatalf("key %x of %+v", key, r)
		}
		if r.Tombstone {
			return
		}
		again, err := DecodeRecord(key, r.appendValue(nil))
		if err != nil || !reflect.DeepEqual(r, again) {
			t.Fatalf("%+v reads back as %+v, %v", r, again, err)
		}
		var s State
		s.apply(&r) // what is on the disk is applied, whatever it says
	})
}
