package groupcoordinator

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/groupcoordinator/group"
	"once/internal/invariant"
	"once/log/batch"
)

// Records of __consumer_offsets (spec: groups 16). A key is an int16 key type and its fields, a value
// an int16 version and its fields; a null value is a tombstone.
//
//	key types 0, 1   group, topic, partition   OffsetCommitValue 0-4; written: 4, or 1 with an explicit expiry
//	key type 2       group                     GroupMetadataValue 0-4; written: 3
//
// Other key types are those of other types of groups (types.go). Unknown ones stay in the log and are skipped.

type recordKind uint8

const (
	kindUnknown recordKind = iota
	kindOffset
	kindGroup // a record of a group's own state
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

	own group.Record // kindGroup
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

// ownRecord is a record of a group's own state.
func ownRecord(r group.Record) record {
	return record{kind: kindGroup, tombstone: r.IsTombstone(), group: r.GroupID(), own: r}
}

// classicRecord is the record of a classic group with its members; meta nil: a tombstone.
type classicRecord struct {
	groupID string
	meta    *kmsg.GroupMetadataValue
}

func (r classicRecord) KeyType() int16        { return keyTypeGroup }
func (r classicRecord) GroupID() string       { return r.groupID }
func (r classicRecord) GroupType() group.Type { return group.Classic }
func (r classicRecord) IsTombstone() bool     { return r.meta == nil }
func (r classicRecord) EndsGroup() bool       { return true }

func (r classicRecord) AppendKey(dst []byte) []byte {
	k := kmsg.GroupMetadataKey{Version: keyTypeGroup, Group: r.groupID}
	return k.AppendTo(dst)
}

func (r classicRecord) AppendValue(dst []byte) []byte { return r.meta.AppendTo(dst) }

func (r classicRecord) MaxBytes() int {
	n := maxFixedBytes + len(r.groupID)
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

// record is the group as a record.
func (g *classicGroup) record() classicRecord {
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
	return classicRecord{g.id, &v}
}

func (r *record) appendKey(dst []byte) []byte {
	if r.kind == kindGroup {
		return r.own.AppendKey(dst)
	}
	k := kmsg.OffsetCommitKey{Version: keyTypeOffset, Group: r.group, Topic: r.topic, Partition: r.partition}
	return k.AppendTo(dst)
}

// appendValue must not be called for a tombstone.
func (r *record) appendValue(dst []byte) []byte {
	if r.kind == kindGroup {
		return r.own.AppendValue(dst)
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
	if r.kind == kindGroup {
		return r.own.MaxBytes()
	}
	return maxFixedBytes + len(r.group) + len(r.topic) + len(r.offset.metadata)
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
		return record{}, fmt.Errorf("%w: key of %d bytes", group.ErrDamaged, len(key))
	}
	keyType := int16(binary.BigEndian.Uint16(key))
	if keyType == keyTypeOffset0 || keyType == keyTypeOffset {
		var k kmsg.OffsetCommitKey
		if err := k.ReadFrom(key); err != nil {
			return record{}, fmt.Errorf("%w: offset key: %w", group.ErrDamaged, err)
		}
		r := record{kind: kindOffset, tombstone: value == nil, group: k.Group, topic: k.Topic, partition: k.Partition}
		return r, r.decodeOffset(value)
	}
	decode := decoderOf(keyType)
	if decode == nil {
		return record{kind: kindUnknown, tombstone: value == nil}, nil
	}
	own, err := decode(key, value)
	if err != nil {
		return record{}, err
	}
	return ownRecord(own), nil
}

func checkVersion(value []byte, highest int16) error {
	if len(value) < 2 {
		return fmt.Errorf("%w: value of %d bytes", group.ErrDamaged, len(value))
	}
	if v := int16(binary.BigEndian.Uint16(value)); v < 0 || v > highest {
		return fmt.Errorf("%w: value of version %d, known are 0 to %d", group.ErrDamaged, v, highest)
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
		return fmt.Errorf("%w: offset value: %w", group.ErrDamaged, err)
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

func decodeClassic(key, value []byte) (group.Record, error) {
	var k kmsg.GroupMetadataKey
	if err := k.ReadFrom(key); err != nil {
		return nil, fmt.Errorf("%w: group key: %w", group.ErrDamaged, err)
	}
	r := classicRecord{groupID: k.Group}
	if value == nil {
		return r, nil
	}
	if err := checkVersion(value, groupValueMaxVersion); err != nil {
		return nil, err
	}
	v := kmsg.NewGroupMetadataValue()
	if err := v.ReadFrom(value); err != nil {
		return nil, fmt.Errorf("%w: group value: %w", group.ErrDamaged, err)
	}
	r.meta = &v
	return r, nil
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
		if want.kind == kindGroup {
			invariant.Check(bytes.Equal(got.appendKey(nil), want.appendKey(nil)), "key of group %q reads back differently",
				got.group)
		}
		if !want.tombstone && want.kind == kindGroup {
			invariant.Check(bytes.Equal(got.appendValue(nil), want.appendValue(nil)), "group %q reads back differently",
				got.group)
		}
		i++
	}
	invariant.Check(i == len(records), "own batch has %d records, not %d", i, len(records))
	invariant.Check(len(raw) <= most, "own batch has %d bytes, more than %d", len(raw), most)
}

func milliseconds(ms int32) time.Duration { return time.Duration(ms) * time.Millisecond }
