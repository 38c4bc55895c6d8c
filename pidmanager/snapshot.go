package pidmanager

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"sort"
)

// A producer state snapshot is the state of all producers after every batch below an offset, in Kafka's format (spec:
// idempotence 8), big-endian:
//
//	offset  size
//	     0     2  version, 1
//	     2     4  CRC-32C of everything behind it
//	     6     4  number of producers n
//	    10    46  n times: producer ID 8, producer epoch 2, last sequence 4, last offset 8,
//	              offset delta 4, timestamp 8, coordinator epoch 4, first offset of the open transaction 8
//
// That has the newest batch of each producer only. A producer has up to five requests in flight, and sends them all
// again after a kill: with one batch to compare with, the broker would refuse the first four as out of order, and the
// client would write them again under another epoch. So the older batches follow, unless no producer has any; Kafka's
// tools take them for padding:
//
//	0  1  n times, in the same order: number of older batches m, 0 to 4
//	1 24  m times, oldest first: last sequence 4, last offset 8, offset delta 4, timestamp 8
const (
	snapshotVersion    = 1
	snapshotHeadBytes  = 10
	snapshotEachBytes  = 46
	snapshotOlderBytes = 24
)

// ErrSnapshot is wrapped by all errors of Load. Snapshots are derived: the caller uses an older one, or replays the
// log.
var ErrSnapshot = errors.New("unusable producer snapshot")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Snapshot encodes the state of all producers, ordered by producer ID.
func (p *Producers) Snapshot() []byte {
	ids := make([]int64, 0, len(p.byID))
	for id := range p.byID {
		ids = append(ids, id)
	}
	sort.Slice(ids, func(i, j int) bool { return ids[i] < ids[j] })
	b := make([]byte, snapshotHeadBytes, snapshotHeadBytes+len(ids)*snapshotEachBytes)
	binary.BigEndian.PutUint16(b, snapshotVersion)
	binary.BigEndian.PutUint32(b[6:], uint32(len(ids)))
	for _, id := range ids {
		e := p.byID[id]
		last := Batch{LastSequence: -1, LastOffset: -1, TimestampMs: e.LastTimestampMs}
		if e.cached > 0 {
			last = e.batches[e.cached-1]
		}
		b = binary.BigEndian.AppendUint64(b, uint64(id))
		b = binary.BigEndian.AppendUint16(b, uint16(e.ProducerEpoch))
		b = binary.BigEndian.AppendUint32(b, uint32(last.LastSequence))
		b = binary.BigEndian.AppendUint64(b, uint64(last.LastOffset))
		b = binary.BigEndian.AppendUint32(b, uint32(last.OffsetDelta))
		b = binary.BigEndian.AppendUint64(b, uint64(e.LastTimestampMs))
		b = binary.BigEndian.AppendUint32(b, uint32(e.CoordinatorEpoch))
		b = binary.BigEndian.AppendUint64(b, uint64(e.TxnFirstOffset))
	}
	b = p.appendOlder(b, ids)
	binary.BigEndian.PutUint32(b[2:], crc32.Checksum(b[6:], castagnoli))
	return b
}

func (p *Producers) appendOlder(b []byte, ids []int64) []byte {
	without := len(b)
	any := false
	for _, id := range ids {
		e := p.byID[id]
		older := e.batches[:max(e.cached-1, 0)]
		any = any || len(older) > 0
		b = append(b, byte(len(older)))
		for _, o := range older {
			b = binary.BigEndian.AppendUint32(b, uint32(o.LastSequence))
			b = binary.BigEndian.AppendUint64(b, uint64(o.LastOffset))
			b = binary.BigEndian.AppendUint32(b, uint32(o.OffsetDelta))
			b = binary.BigEndian.AppendUint64(b, uint64(o.TimestampMs))
		}
	}
	if !any {
		return b[:without]
	}
	return b
}

// takeOlder adds the batches at the front of older to a producer that has none yet, and returns the rest; ok is false
// when they are impossible.
func (e *Producer) takeOlder(older []byte) (rest []byte, ok bool) {
	if len(older) == 0 {
		return nil, false
	}
	n := int(older[0])
	if older = older[1:]; n >= CachedBatches || len(older) < n*snapshotOlderBytes {
		return nil, false
	}
	for range n {
		e.push(Batch{
			LastSequence: int32(binary.BigEndian.Uint32(older)), LastOffset: int64(binary.BigEndian.Uint64(older[4:])),
			OffsetDelta: int32(binary.BigEndian.Uint32(older[12:])), TimestampMs: int64(binary.BigEndian.Uint64(older[16:])),
		})
		older = older[snapshotOlderBytes:]
	}
	return older, true
}

// Load replaces the state by that of a snapshot. On an error, which wraps ErrSnapshot, the state is unchanged.
func (p *Producers) Load(b []byte) error {
	if len(b) < snapshotHeadBytes {
		return fmt.Errorf("%w: %d bytes", ErrSnapshot, len(b))
	}
	if v := binary.BigEndian.Uint16(b); v != snapshotVersion {
		return fmt.Errorf("%w: version %d", ErrSnapshot, v)
	}
	if binary.BigEndian.Uint32(b[2:]) != crc32.Checksum(b[6:], castagnoli) {
		return fmt.Errorf("%w: checksum does not match", ErrSnapshot)
	}
	n := int64(binary.BigEndian.Uint32(b[6:]))
	rest := b[snapshotHeadBytes:]
	if int64(len(rest)) < n*snapshotEachBytes {
		return fmt.Errorf("%w: %d producers in %d bytes", ErrSnapshot, n, len(rest))
	}
	rest, older := rest[:n*snapshotEachBytes], rest[n*snapshotEachBytes:]
	hasOlder, ok := len(older) > 0, true
	byID := make(map[int64]*Producer, n)
	for ; len(rest) > 0; rest = rest[snapshotEachBytes:] {
		e := &Producer{
			ProducerEpoch:    int16(binary.BigEndian.Uint16(rest[8:])),
			LastTimestampMs:  int64(binary.BigEndian.Uint64(rest[26:])),
			CoordinatorEpoch: int32(binary.BigEndian.Uint32(rest[34:])),
			TxnFirstOffset:   int64(binary.BigEndian.Uint64(rest[38:])),
		}
		if hasOlder {
			if older, ok = e.takeOlder(older); !ok {
				return fmt.Errorf("%w: older batches", ErrSnapshot)
			}
		}
		last := Batch{
			LastSequence: int32(binary.BigEndian.Uint32(rest[10:])),
			LastOffset:   int64(binary.BigEndian.Uint64(rest[14:])),
			OffsetDelta:  int32(binary.BigEndian.Uint32(rest[22:])),
			TimestampMs:  e.LastTimestampMs,
		}
		if last.LastOffset >= 0 {
			e.push(last)
		}
		byID[int64(binary.BigEndian.Uint64(rest))] = e
	}
	if len(older) > 0 {
		return fmt.Errorf("%w: %d bytes too many", ErrSnapshot, len(older))
	}
	p.byID, p.verifications = byID, nil
	return nil
}
