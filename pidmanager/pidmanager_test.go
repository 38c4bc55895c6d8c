package pidmanager

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"testing"

	"once/log/batch"
)

type memoryStore struct {
	next int64
	fail error
}

func (s *memoryStore) ReserveProducerIDs(count, atLeast int64) (int64, error) {
	if s.fail != nil {
		return 0, s.fail
	}
	first := max(s.next, atLeast)
	s.next = first + count
	return first, nil
}

func TestNoProducerIDIsHandedOutTwice(t *testing.T) {
	store := &memoryStore{}
	seen := map[int64]bool{}
	for restart := range 5 {
		m := NewManager(store, -1)
		for range BlockSize + 10*restart {
			id, err := m.Next()
			if err != nil || seen[id] {
				t.Fatalf("restart %d: %d again, or %v", restart, id, err)
			}
			seen[id] = true
		}
	}
}

func TestProducerIDsBeginAboveThoseInLogs(t *testing.T) {
	store := &memoryStore{} // as after the metadata was restored from an old copy
	m := NewManager(store, 4999)
	if id, err := m.Next(); id < 5000 || err != nil {
		t.Fatalf("%d %v", id, err)
	}
	m.Raise(5499)
	if id, _ := m.Next(); id < 5500 {
		t.Fatalf("%d", id)
	}
	m.Raise(89999)
	if id, _ := m.Next(); id < 90000 {
		t.Fatalf("%d", id)
	}
}

func TestAFailedReservationGivesNoID(t *testing.T) {
	store := &memoryStore{fail: errors.New("disk")}
	m := NewManager(store, -1)
	if _, err := m.Next(); !errors.Is(err, store.fail) {
		t.Fatal(err)
	}
	store.fail = nil
	if id, err := m.Next(); id != 0 || err != nil {
		t.Fatalf("%d %v", id, err)
	}
}

func header(pid int64, epoch int16, sequence int32, base int64, transactional bool) batch.Header {
	h := batch.Header{BaseOffset: base, ProducerID: pid, ProducerEpoch: epoch, BaseSequence: sequence, RecordCount: 1,
		MaxTimestampMs: base * 10}
	if transactional {
		h.Attributes = 1 << 4
	}
	return h
}

func filled() *Producers {
	p := &Producers{}
	for i := range int64(7) {
		h := header(i, int16(i), int32(i*3), i, i%2 == 0)
		p.Apply(&h)
	}
	p.ApplyMarker(batch.Marker{ProducerID: 2, ProducerEpoch: 3, Type: batch.Commit, CoordinatorEpoch: 9, TimestampMs: 77})
	return p
}

func TestASnapshotBringsTheStateBack(t *testing.T) {
	p, q := filled(), &Producers{}
	if err := q.Load(p.Snapshot()); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(p.Snapshot(), q.Snapshot()) {
		t.Fatal("a loaded snapshot gives another one")
	}
	e, _ := q.Get(2)
	if e.ProducerEpoch != 3 || e.CoordinatorEpoch != 9 || e.LastTimestampMs != 77 || e.TxnFirstOffset != -1 ||
		e.LastSequence() != -1 {
		t.Fatalf("%+v", e)
	}
	if len(q.Open()) != 3 || q.Open()[4] != 4 {
		t.Fatalf("open transactions %v", q.Open())
	}
}

// A producer that was cut off with five requests under way sends all five again (spec: reliability P14).
func TestASnapshotKeepsTheWholeWindow(t *testing.T) {
	p, q := filled(), &Producers{}
	for i := range int64(9) {
		h := header(5, 5, int32(15+i), 100+i, false)
		p.Apply(&h)
	}
	if err := q.Load(p.Snapshot()); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(p.Snapshot(), q.Snapshot()) {
		t.Fatal("a loaded snapshot gives another one")
	}
	for i := range int64(9) {
		h := header(5, 5, int32(15+i), 0, false)
		if b, ok := q.Duplicate(&h); ok != (i >= 4) || ok && (b.FirstOffset() != 100+i || b.TimestampMs != 1000+10*i) {
			t.Errorf("retry of the batch at %d: %+v, %v", 100+i, b, ok)
		}
	}
	raw := p.Snapshot()
	for _, cut := range []int{1, 24, 25} {
		damaged := bytes.Clone(raw[:len(raw)-cut])
		binary.BigEndian.PutUint32(damaged[2:], crc32.Checksum(damaged[6:], castagnoli))
		if err := q.Load(damaged); !errors.Is(err, ErrSnapshot) {
			t.Errorf("%d bytes short: %v", cut, err)
		}
	}
}

// TestSnapshotBytes pins Kafka's layout: one producer, field by field.
func TestSnapshotBytes(t *testing.T) {
	p := &Producers{}
	h := header(0x0102030405060708, 0x1112, 0x21222324, 0x31, true)
	h.LastOffsetDelta = 2
	p.Apply(&h)
	b := p.Snapshot()
	if len(b) != 56 || binary.BigEndian.Uint16(b) != 1 || binary.BigEndian.Uint32(b[6:]) != 1 {
		t.Fatalf("% x", b)
	}
	if binary.BigEndian.Uint32(b[2:]) != crc32.Checksum(b[6:], crc32.MakeTable(crc32.Castagnoli)) {
		t.Fatal("checksum")
	}
	want := []byte{
		1, 2, 3, 4, 5, 6, 7, 8, // producer ID
		0x11, 0x12, // epoch
		0x21, 0x22, 0x23, 0x26, // last sequence
		0, 0, 0, 0, 0, 0, 0, 0x33, // last offset
		0, 0, 0, 2, // offset delta
		0, 0, 0, 0, 0, 0, 0x01, 0xea, // timestamp
		0xff, 0xff, 0xff, 0xff, // coordinator epoch
		0, 0, 0, 0, 0, 0, 0, 0x31, // first offset of the open transaction
	}
	if !bytes.Equal(b[10:], want) {
		t.Fatalf("% x", b[10:])
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(filled().Snapshot())
	long := filled()
	for i := range int64(3) {
		h := header(5, 5, int32(15+i), 100+i, false)
		long.Apply(&h)
	}
	f.Add(long.Snapshot())
	f.Add([]byte{})
	f.Add([]byte{0, 1, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff})
	f.Add(append([]byte{0, 2}, filled().Snapshot()[2:]...))
	f.Fuzz(func(t *testing.T, b []byte) {
		p := filled()
		before := p.Snapshot()
		if err := p.Load(b); err != nil {
			if !errors.Is(err, ErrSnapshot) || !bytes.Equal(before, p.Snapshot()) {
				t.Fatalf("a refused snapshot: %v", err)
			}
		}
	})
}
