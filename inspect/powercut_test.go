package inspect_test

import (
	"context"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"once/inspect"
	"once/internal/clock"
	"once/internal/vfs"
	"once/log"
	"once/log/batch"
	"once/partition"
)

// machine is a partition on a machine whose power can be cut.
type machine struct {
	t       *testing.T
	dir     string
	barrier *log.Barrier
	*partition.Partition
	nowMs int64
}

// boot starts the partition under a kernel of this name. What an earlier one had open is left as it is:
// with every byte in its file, though the barrier record does not vouch for all.
func (m *machine) boot(name string) {
	m.t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	var err error
	m.barrier, err = log.OpenBarrier(log.BarrierOptions{FS: vfs.OS, Dir: m.dir, BootID: name, Interval: time.Hour, Logger: quiet})
	if err != nil {
		m.t.Fatal(err)
	}
	m.Partition, err = partition.Open(partition.ID{Topic: "x", TopicID: [16]byte{1}}, partition.Options{
		FS: vfs.OS, Dir: m.dir, Barrier: m.barrier, Clock: clock.Real{}, Logger: quiet, Unverified: true,
		Config: partition.Config{Log: log.Config{SegmentMs: 1000}, Rules: batch.Rules{
			MaxMessageBytes: 1 << 20, SegmentBytes: 1 << 30, TimestampBeforeMaxMs: math.MaxInt64, TimestampAfterMaxMs: math.MaxInt64, MaxInflatedBytes: 1 << 20,
		}},
	})
	if err != nil {
		m.t.Fatal(err)
	}
}

// abort writes a transaction of some records and aborts it.
func (m *machine) abort(sequence int32, records int) {
	m.t.Helper()
	m.write(sequence, records, m.nowMs)
	if _, err := m.AppendMarker(batch.Marker{ProducerID: 1, Type: batch.Abort, TimestampMs: m.nowMs}, 0); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) write(sequence int32, records int, timestampMs int64) {
	m.t.Helper()
	list := make([]batch.Record, records)
	for i := range list {
		list[i] = batch.Record{OffsetDelta: int32(i), Key: []byte("k"), Value: []byte("v")}
	}
	raw := batch.Build(batch.BuildOptions{ProducerID: 1, BaseSequence: sequence, Transactional: true, TimestampMs: timestampMs, LeaderEpoch: -1}, list...)
	if _, err := m.AppendClient(raw, 0, 11); err != nil {
		m.t.Fatal(err)
	}
}

// The transaction index knew two aborted transactions when the power went, and one of them went with the
// cut. The one that comes in its place is another one: readers of committed data have to be told of it,
// and not of the one that is gone.
func TestATransactionThatWentWithThePowerLeavesTheIndex(t *testing.T) {
	m := &machine{t: t, dir: t.TempDir(), nowMs: time.Now().UnixMilli()}
	m.boot("first")
	m.abort(0, 1)
	if err := m.barrier.Sync(context.Background()); err != nil {
		t.Fatal(err)
	}
	m.abort(1, 1)
	m.write(2, 1, m.nowMs+60_000) // a new segment: the index of the first one is written
	m.boot("second")
	m.abort(1, 5)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if err := m.barrier.Close(true); err != nil {
		t.Fatal(err)
	}
	for _, line := range check(t, m.dir, inspect.Warning, inspect.Options{BootID: "second"}) {
		if !strings.HasPrefix(line, "damage file=meta.db: metadata is missing") { // there is no broker here
			t.Error(line)
		}
	}
}
