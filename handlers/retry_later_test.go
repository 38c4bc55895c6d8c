package handlers

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/durability"
	"once/internal/clock"
	"once/internal/vfs"
	"once/log/batch"
	"once/log/directory"
	"once/meta"
	"once/partition"
	"once/pidmanager"
	"once/settings"
	"once/topics"
	"once/txncoordinator"
	"once/wire"
)

// blocks hands out blocks of producer IDs, or nothing.
type blocks struct {
	next int64
	fail error
}

func (b *blocks) ReserveProducerIDs(count, atLeast int64) (int64, error) {
	if b.fail != nil {
		return 0, b.fail
	}
	first := max(b.next, atLeast)
	b.next = first + count
	return first, nil
}

// plainStateLog is a partition of the transaction log without a wait for the disk.
type plainStateLog struct{ *partition.Partition }

func (l plainStateLog) AppendCoordinator(raw []byte, answer durability.Answer) (txncoordinator.Appended, error) {
	a, err := l.Partition.AppendCoordinator(raw, answer)
	return txncoordinator.Appended{BaseOffset: a.BaseOffset}, err
}

// newServices returns handlers on topics in memory: x, and the transaction log. The transaction coordinator
// has not read its log yet.
func newServices(t *testing.T, ids pidmanager.BlockStore) *Services {
	t.Helper()
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	fatal := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	store, err := meta.Open(filepath.Join(t.TempDir(), "meta.db"), meta.Options{})
	fatal(err)
	t.Cleanup(func() { store.Close() })
	set, _, err := settings.Resolve()
	fatal(err)
	fs, manual := vfs.NewMem(), clock.NewManual(time.UnixMilli(1_000_000))
	fatal(fs.MkdirAll("data"))
	barrier, err := durability.Open(durability.Options{FS: fs, Dir: "data", FindLogs: directory.Logs, BootID: "boot",
		Interval: time.Hour, RealTime: manual, Logger: quiet, OnFailure: func(err error) { t.Error(err) }})
	fatal(err)
	ts, err := topics.Open(topics.Options{Store: store, FS: fs, Dir: "data", Barrier: barrier, Settings: set, Starts: 1,
		Clock: manual, Logger: quiet, MaxInflatedBytes: 1 << 20})
	fatal(err)
	t.Cleanup(func() {
		if err := errors.Join(ts.Close(), barrier.Close(true)); err != nil {
			t.Error(err)
		}
	})
	for _, name := range []string{"x", topics.TransactionState} {
		_, err := ts.Create(topics.Spec{Name: name, Partitions: 1})
		fatal(err)
	}
	manager := pidmanager.NewManager(ids, -1)
	txns, err := txncoordinator.New(txncoordinator.Config{
		Partitions: 1,
		StateLogs: func(i int32) txncoordinator.StateLog {
			p, _ := ts.Partition(topics.TransactionState, i)
			return plainStateLog{p}
		},
		ProducerIDs:  manager,
		Participants: func(string, int32) (txncoordinator.Participant, bool) { return nil, false },
		Clock:        manual, Logger: quiet,
	})
	fatal(err)
	t.Cleanup(txns.Close)
	s := &Services{Topics: ts, Catalogue: NewCatalogue(ts), Txns: txns, ProducerIDs: manager, Settings: set, Clock: manual,
		Logger: quiet}
	s.Open()
	return s
}

func (s *Services) initForTest(transactionalID *string) (producerID int64, code wire.Code) {
	r := kmsg.NewPtrInitProducerIDRequest()
	r.Version, r.TransactionalID, r.TransactionTimeoutMillis = 4, transactionalID, 60_000
	resp := s.initProducerID(context.Background(), &wire.Request{Key: r.Key(), Version: r.Version,
		Body: r}).Response.(*kmsg.InitProducerIDResponse)
	return resp.ProducerID, wire.Code(resp.ErrorCode)
}

func (s *Services) produceForTest(version int16, producerID int64) wire.Code {
	r := kmsg.NewPtrProduceRequest()
	r.Version, r.TransactionID, r.Acks, r.TimeoutMillis = version, kmsg.StringPtr("t"), -1, 1000
	raw := batch.Build(batch.BuildOptions{ProducerID: producerID, Transactional: true, TimestampMs: 1_000_000,
		LeaderEpoch: -1}, batch.Record{Value: []byte("v")})
	r.Topics = []kmsg.ProduceRequestTopic{{Topic: "x", Partitions: []kmsg.ProduceRequestTopicPartition{{Records: raw}}}}
	resp := s.produce(context.Background(), &wire.Request{Key: r.Key(), Version: version,
		Body: r}).Response.(produceResponse)
	return wire.Code(resp.Topics[0].Partitions[0].ErrorCode)
}

// TestProducersWaitForTheCoordinatorToLoad: a producer is told to try again in a word that every version
// of its client retries without asking for a new leader (spec: transactions 8; 20, scenario 37).
func TestProducersWaitForTheCoordinatorToLoad(t *testing.T) {
	s := newServices(t, &blocks{next: 7})
	for _, version := range []int16{9, 10, 11, 12} {
		if code := s.produceForTest(version, 7); code != wire.NotEnoughReplicas {
			t.Errorf("Produce v%d while the coordinator loads: %v", version, code)
		}
	}
	if _, code := s.initForTest(kmsg.StringPtr("t")); code != wire.CoordinatorLoadInProgress {
		t.Errorf("InitProducerId while the coordinator loads: %v", code)
	}
	if err := s.Txns.Load(); err != nil {
		t.Fatal(err)
	}
	id, code := s.initForTest(kmsg.StringPtr("t"))
	if id != 7 || code != wire.NoError {
		t.Fatalf("InitProducerId: %d, %v", id, code)
	}
	for _, c := range []struct {
		version int16
		want    wire.Code
	}{{10, wire.InvalidTxnState}, {11, wire.TransactionAbortable}, {12, wire.NoError}} {
		if code := s.produceForTest(c.version, 7); code != c.want {
			t.Errorf("Produce v%d afterwards: %v, want %v", c.version, code, c.want)
		}
	}
}

// TestProducerIDsRunOut: when a block of IDs is used up and no other can be reserved, every client is told
// to try again, and gets one as soon as there is one (spec: idempotence 2; 10, scenario I58).
func TestProducerIDsRunOut(t *testing.T) {
	ids := &blocks{}
	s := newServices(t, ids)
	if err := s.Txns.Load(); err != nil {
		t.Fatal(err)
	}
	for want := range int64(pidmanager.BlockSize) {
		if id, code := s.initForTest(nil); id != want || code != wire.NoError {
			t.Fatalf("%d, %v; want %d", id, code, want)
		}
	}
	ids.fail = errors.New("no disk")
	for _, transactionalID := range []*string{nil, kmsg.StringPtr("t"), nil} {
		if id, code := s.initForTest(transactionalID); id != -1 || code != wire.CoordinatorLoadInProgress {
			t.Errorf("without a block: %d, %v", id, code)
		}
	}
	ids.fail = nil
	for i, transactionalID := range []*string{kmsg.StringPtr("t"), nil} {
		if id, code := s.initForTest(transactionalID); id != int64(pidmanager.BlockSize+i) || code != wire.NoError {
			t.Errorf("with a block: %d, %v", id, code)
		}
	}
}
