package sharecoordinator

import (
	"runtime"
	"testing"
	"time"

	"once/sharepartition/window"
)

// Ten thousand stored share partitions are loaded in bounded memory, and cost nothing while nothing happens to them
// (share-groups SG-93).
func TestManyIdleSharePartitions(t *testing.T) {
	const partitions, mostBytesEach = 10_000, 1024
	w := newWorld(t)
	all := make([]Key, partitions)
	for i := range all {
		all[i] = Key{Group: "g", TopicID: [16]byte{1}, Partition: int32(i)}
		if _, err := w.c.Initialize(all[i], 1, 0); err != nil {
			t.Fatal(err)
		}
		_, err := w.c.Write(&Write{Key: all[i], StateEpoch: 1, LeaderEpoch: 1, StartOffset: 5, DeliveryCompleteCount: 1,
			Batches: []window.Batch{
				{FirstOffset: 5, LastOffset: 8, State: window.Available, DeliveryCount: 1},
				{FirstOffset: 9, LastOffset: 9, State: window.Acknowledged, DeliveryCount: 2},
			}})
		if err != nil {
			t.Fatal(err)
		}
	}
	w.c.Close()
	w.c = nil
	before := heapBytes()
	w.open(t)
	if each := (heapBytes() - before) / partitions; each > mostBytesEach {
		t.Errorf("%d bytes for each share partition", each)
	}
	if got := len(w.c.Keys()); got != partitions {
		t.Errorf("%d share partitions are loaded", got)
	}
	w.clock.Advance(DefaultColdSnapshotInterval) // each gets its snapshot, once
	end := w.log.end
	if end != 3*partitions || w.log.start != 2*partitions {
		t.Errorf("the log is %d to %d", w.log.start, end)
	}
	if allocated := testing.AllocsPerRun(3, func() { w.clock.Advance(time.Hour) }); allocated > 1000 {
		t.Errorf("a check of idle share partitions allocates %.0f times", allocated)
	}
	if w.log.end != end {
		t.Errorf("%d records are written for idle share partitions", w.log.end-end)
	}
}

func heapBytes() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
