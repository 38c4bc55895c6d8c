package groupcoordinator

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"reflect"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/internal/invariant"
	"once/log/batch"
)

// Records of __consumer_offsets (spec: groups 16). A key is an int16 key type and its fields, a value
// an int16 version and its fields; a null value is a tombstone.
//
//	key types 0, 1   group, topic, partition   OffsetCommitValue 0-4; written: 4, or 1 with an explicit expiry
//	key type 2       group                     GroupMetadataValue 0-4; written: 3
//
// Other key types belong to protocols that are not served; their records stay in the log and are skipped.

type recordKind uint8

const (
	kindUnknown recordKind = iota
	kindOffset
	kindGroup
)

const (
	keyTypeOffset0 = 0
	keyTypeOffset  = 1
	keyTypeGroup   = 2

	offsetValueVersion         = 4
	offsetValueExpiringVersion = 1
	offsetValueMaxVersion      = 4
	groupValueVersion          = 3
	groupValueMaxVersion       = 4
)

// record is one decoded record. It may refer to the bytes that it was read from, or to a request's: apply copies what
// it keeps.
type record struct {
	kind      recordKind
	tombstone bool
	group     string

	topic     string // kindOffset
	partition int32
	offset    committed

	meta *kmsg.GroupMetadataValue // kindGroup
}

// committed is the committed or pending offset of one partition.
type committed struct {
	offset            int64
	leaderEpoch       int32 // -1 unknown
	metadata          string
	commitTimestampMs int64
	expireTimestampMs int64    // explicit expiry; -1 for the broker's retention
	topicID           [16]byte // zero: unknown
	recordOffset      int64    // of the record, in the state log; not part of it
}

func offsetTombstone(group, topic string, partition int32) record {
	return record{kind: kindOffset, tombstone: true, group: group, topic: topic, partition: partition}
}

func groupTombstone(group string) record {
	return record{kind: kindGroup, tombstone: true, group: group}
}

// record is the group as a record.
func (g *classicGroup) record() record {
	v := kmsg.NewGroupMetadataValue()
	v.Version = groupValueVersion
	v.ProtocolType = g.protocolType
	v.Generation = g.generation
	v.Protocol = g.protocolName
	if g.leaderID != "" {
		v.Leader = &g.leaderID
	}
	v.CurrentStateTimestamp = g.stateTimestamp
	for _, m := range g.members {
		x := kmsg.NewGroupMetadataValueMember()
		x.MemberID, x.InstanceID = m.id, m.instanceID
		x.ClientID, x.ClientHost = m.clientID, m.clientHost
		x.RebalanceTimeoutMillis = int32(m.rebalanceTimeout.Milliseconds())
		x.SessionTimeoutMillis = int32(m.sessionTimeout.Milliseconds())
		if g.protocolName != nil {
			x.Subscription = m.metadataFor(*g.protocolName)
		}
		x.Assignment = m.assignment
		v.Members = append(v.Members, x)
	}
	return record{kind: kindGroup, group: g.id, meta: &v}
}

func (r *record) appendKey(dst []byte) []byte {
	if r.kind == kindGroup {
		k := kmsg.GroupMetadataKey{Version: keyTypeGroup, Group: r.group}
		return k.AppendTo(dst)
	}
	k := kmsg.OffsetCommitKey{Version: keyTypeOffset, Group: r.group, Topic: r.topic, Partition: r.partition}
	return k.AppendTo(dst)
}

// appendValue must not be called for a tombstone.
func (r *record) appendValue(dst []byte) []byte {
	if r.kind == kindGroup {
		return r.meta.AppendTo(dst)
	}
	v := kmsg.OffsetCommitValue{
		Version: offsetValueVersion, Offset: r.offset.offset, LeaderEpoch: r.offset.leaderEpoch,
		Metadata: r.offset.metadata, CommitTimestamp: r.offset.commitTimestampMs, TopicID: r.offset.topicID,
	}
	if r.offset.expireTimestampMs >= 0 {
		v.Version, v.ExpireTimestamp = offsetValueExpiringVersion, r.offset.expireTimestampMs
	}
	return v.AppendTo(dst)
}

// maxFixedBytes is an upper bound for the fixed-size fields of a record, and of a member in it.
const maxFixedBytes = 128

// maxBytes is an upper bound for the size of the record in a batch.
func (r *record) maxBytes() int {
	n := maxFixedBytes + len(r.group) + len(r.topic) + len(r.offset.metadata)
	if r.meta == nil {
		return n
	}
	optional := func(s *string) int {
		if s == nil {
			return 0
		}
		return len(*s)
	}
	n += len(r.meta.ProtocolType) + optional(r.meta.Protocol) + optional(r.meta.Leader)
	for i := range r.meta.Members {
		m := &r.meta.Members[i]
		n += maxFixedBytes + len(m.MemberID) + optional(m.InstanceID) + len(m.ClientID) + len(m.ClientHost)
		n += len(m.Subscription) + len(m.Assignment)
	}
	return n
}

// encodeBatch makes one batch of records, transactional when p is a producer. Keys and values take at most maxBytes.
func encodeBatch(p producer, nowMs int64, records []record, maxBytes int) []byte {
	list := make([]batch.Record, len(records))
	buf := make([]byte, 0, maxBytes)
	for i := range records {
		r := &records[i]
		from := len(buf)
		buf = r.appendKey(buf)
		key := buf[from:len(buf):len(buf)]
		list[i] = batch.Record{OffsetDelta: int32(i), Key: key}
		if !r.tombstone {
			from = len(buf)
			buf = r.appendValue(buf)
			list[i].Value = buf[from:len(buf):len(buf)]
		}
	}
	return batch.Build(batch.BuildOptions{
		ProducerID: p.id, ProducerEpoch: p.epoch, BaseSequence: -1, Transactional: p.id >= 0, TimestampMs: nowMs,
	}, list...)
}

// decodeRecord reads a key and its value; an unknown key type gives kindUnknown.
func decodeRecord(key, value []byte) (record, error) {
	if len(key) < 2 {
		return record{}, fmt.Errorf("%w: key of %d bytes", errDamaged, len(key))
	}
	r := record{tombstone: value == nil}
	switch int16(binary.BigEndian.Uint16(key)) {
	case keyTypeOffset0, keyTypeOffset:
		var k kmsg.OffsetCommitKey
		if err := k.ReadFrom(key); err != nil {
			return record{}, fmt.Errorf("%w: offset key: %w", errDamaged, err)
		}
		r.kind, r.group, r.topic, r.partition = kindOffset, k.Group, k.Topic, k.Partition
		return r, r.decodeOffset(value)
	case keyTypeGroup:
		var k kmsg.GroupMetadataKey
		if err := k.ReadFrom(key); err != nil {
			return record{}, fmt.Errorf("%w: group key: %w", errDamaged, err)
		}
		r.kind, r.group = kindGroup, k.Group
		return r, r.decodeGroup(value)
	default:
		return record{kind: kindUnknown, tombstone: r.tombstone}, nil
	}
}

func checkVersion(value []byte, highest int16) error {
	if len(value) < 2 {
		return fmt.Errorf("%w: value of %d bytes", errDamaged, len(value))
	}
	if v := int16(binary.BigEndian.Uint16(value)); v < 0 || v > highest {
		return fmt.Errorf("%w: value of version %d, known are 0 to %d", errDamaged, v, highest)
	}
	return nil
}

func (r *record) decodeOffset(value []byte) error {
	if r.tombstone {
		return nil
	}
	if err := checkVersion(value, offsetValueMaxVersion); err != nil {
		return err
	}
	var v kmsg.OffsetCommitValue
	if err := v.ReadFrom(value); err != nil {
		return fmt.Errorf("%w: offset value: %w", errDamaged, err)
	}
	r.offset = committed{
		offset: v.Offset, leaderEpoch: -1, metadata: v.Metadata,
		commitTimestampMs: v.CommitTimestamp, expireTimestampMs: -1, topicID: v.TopicID,
	}
	if v.Version >= 3 {
		r.offset.leaderEpoch = v.LeaderEpoch
	}
	if v.Version == offsetValueExpiringVersion {
		r.offset.expireTimestampMs = v.ExpireTimestamp
	}
	return nil
}

func (r *record) decodeGroup(value []byte) error {
	if r.tombstone {
		return nil
	}
	if err := checkVersion(value, groupValueMaxVersion); err != nil {
		return err
	}
	v := kmsg.NewGroupMetadataValue()
	if err := v.ReadFrom(value); err != nil {
		return fmt.Errorf("%w: group value: %w", errDamaged, err)
	}
	r.meta = &v
	return nil
}

// checkEncoding checks that the batch decodes to the records that are about to be applied.
func checkEncoding(raw []byte, records []record) {
	i, most := 0, batch.HeaderSizeBytes
	for b, err := range batch.Records(raw, len(raw)) {
		invariant.Check(err == nil && i < len(records), "own batch unreadable: %v", err)
		got, err := decodeRecord(b.Key, b.Value)
		invariant.Check(err == nil, "own record unreadable: %v", err)
		want := records[i]
		most += want.maxBytes()
		invariant.Check(got.kind == want.kind && got.group == want.group && got.topic == want.topic &&
			got.partition == want.partition && got.tombstone == want.tombstone, "record %d reads back as %+v", i, got)
		if !want.tombstone && want.kind == kindOffset {
			invariant.Check(got.offset == want.offset, "offset reads back as %+v, was %+v", got.offset, want.offset)
		}
		if !want.tombstone && want.kind == kindGroup {
			invariant.Check(bytes.Equal(got.meta.AppendTo(nil), want.meta.AppendTo(nil)) && reflect.DeepEqual(got.meta.Leader, want.meta.Leader),
				"group %q reads back differently", got.group)
		}
		i++
	}
	invariant.Check(i == len(records), "own batch has %d records, not %d", i, len(records))
	invariant.Check(len(raw) <= most, "own batch has %d bytes, more than %d", len(raw), most)
}

func milliseconds(ms int32) time.Duration { return time.Duration(ms) * time.Millisecond }
