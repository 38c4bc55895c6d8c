package batch

import (
	"encoding/binary"
	"fmt"
)

// MarkerSizeBytes is the size of every transaction marker batch: a header and one record.
const MarkerSizeBytes = 78

// MarkerType says how a transaction ended. The numbers are those of control records.
type MarkerType int16

// The control records that end a transaction (KIP-98). Other numbers are other control records.
const (
	Abort  MarkerType = 0
	Commit MarkerType = 1
)

// String is the type in Kafka's words.
func (t MarkerType) String() string {
	switch t {
	case Abort:
		return "ABORT"
	case Commit:
		return "COMMIT"
	}
	return fmt.Sprintf("CONTROL(%d)", int16(t))
}

// Marker is the control record that ends a producer's transaction in a partition.
type Marker struct {
	ProducerID       int64
	ProducerEpoch    int16
	Type             MarkerType
	CoordinatorEpoch int32 // of the transaction coordinator that decided
	TimestampMs      int64
}

// Both fields of a marker record start with a version; readers take higher ones for 0 (spec: log 1.3).
const markerVersion = 0

// BuildMarker makes the batch of a marker: MarkerSizeBytes, one offset, no sequence. Base offset and
// leader epoch are left 0 and -1; see SetOffsetAndEpoch.
func BuildMarker(m Marker) []byte {
	var key [4]byte
	binary.BigEndian.PutUint16(key[0:], markerVersion)
	binary.BigEndian.PutUint16(key[2:], uint16(m.Type))
	var value [6]byte
	binary.BigEndian.PutUint16(value[0:], markerVersion)
	binary.BigEndian.PutUint32(value[2:], uint32(m.CoordinatorEpoch))
	return Build(BuildOptions{
		ProducerID:    m.ProducerID,
		ProducerEpoch: m.ProducerEpoch,
		BaseSequence:  NoSequence,
		Transactional: true,
		Control:       true,
		TimestampMs:   m.TimestampMs,
		LeaderEpoch:   -1,
	}, Record{Key: key[:], Value: value[:]})
}

// ParseMarker reads a control batch. The bool says whether it ends a transaction: it is false, without
// an error, for data, for control records of another type, and for a control batch that compaction
// emptied. A control record that cannot be read is ErrCorrupt.
func ParseMarker(raw []byte) (Marker, bool, error) {
	h, err := ParseHeader(raw)
	if err != nil {
		return Marker{}, false, err
	}
	if !h.IsControl() || h.RecordCount == 0 {
		return Marker{}, false, nil
	}
	for r, err := range Records(raw, maxControlBytes) {
		if err != nil {
			return Marker{}, false, fmt.Errorf("%w: control batch at offset %d: %v", ErrCorrupt, h.BaseOffset, err)
		}
		return parseControl(h, r)
	}
	return Marker{}, false, nil
}

// maxControlBytes is far above any control record; a control batch is never compressed by a broker.
const maxControlBytes = 1 << 16

func parseControl(h Header, r Record) (Marker, bool, error) {
	if len(r.Key) < 4 {
		return Marker{}, false, fmt.Errorf("%w: control record key of %d bytes", ErrCorrupt, len(r.Key))
	}
	if v := int16(binary.BigEndian.Uint16(r.Key)); v < 0 {
		return Marker{}, false, fmt.Errorf("%w: control record version %d", ErrCorrupt, v)
	}
	t := MarkerType(binary.BigEndian.Uint16(r.Key[2:]))
	if t != Abort && t != Commit {
		return Marker{}, false, nil
	}
	if len(r.Value) < 6 {
		return Marker{}, false, fmt.Errorf("%w: marker value of %d bytes", ErrCorrupt, len(r.Value))
	}
	if v := int16(binary.BigEndian.Uint16(r.Value)); v < 0 {
		return Marker{}, false, fmt.Errorf("%w: marker version %d", ErrCorrupt, v)
	}
	return Marker{
		ProducerID:       h.ProducerID,
		ProducerEpoch:    h.ProducerEpoch,
		Type:             t,
		CoordinatorEpoch: int32(binary.BigEndian.Uint32(r.Value[2:])),
		TimestampMs:      h.TimestampMs(r),
	}, true, nil
}
