package consumergroup

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kbin"

	"once/groupcoordinator/assignment"
	"once/groupcoordinator/group"
	"once/internal/fields"
)

// Records of consumer groups in __consumer_offsets (spec: groups 16). A key is an int16 key type, then the group ID,
// and the member ID or the regular expression where the schema has one. A value is an int16 version, always 0, and a
// flexible schema; tagged fields that have their default are left out.
//
//	key type 3   group           group epoch, tag 0: hash of the subscribed topics
//	key type 4   group           written by Kafka 4.0 only, here only as a tombstone
//	key type 5   group, member   subscription, timeouts, tag 0: a member that speaks the classic protocol
//	key type 6   group           assignment epoch, tag 0: Unix ms at which it was computed
//	key type 7   group, member   target assignment
//	key type 8   group, member   member epoch, previous one, state, assigned and revoked partitions
//	key type 16  group, regex    topics that it matches, version and Unix ms of the resolution
const (
	keyGroup        = 3
	keyLegacyTopics = 4
	keyMember       = 5
	keyTargetEpoch  = 6
	keyTarget       = 7
	keyCurrent      = 8
	keyRegex        = 16

	valueVersion = 0
)

// KeyTypes are the key types of the records.
func KeyTypes() []int16 {
	return []int16{keyGroup, keyLegacyTopics, keyMember, keyTargetEpoch, keyTarget, keyCurrent, keyRegex}
}

// Record is a record of a consumer group.
type Record struct {
	keyType int16
	groupID string
	name    string // the member ID, or the regular expression
	value   Value  // nil: a tombstone
}

// Value is the value of a Record: one of the exported structs here.
type Value interface {
	append(dst []byte) []byte
	size() int // an upper bound
}

// KeyType implements group.Record.
func (r Record) KeyType() int16 { return r.keyType }

// GroupID implements group.Record.
func (r Record) GroupID() string { return r.groupID }

// Name is the member ID, or the regular expression; empty for a record of the group.
func (r Record) Name() string { return r.name }

// Value returns nil for a tombstone.
func (r Record) Value() Value { return r.value }

// IsTombstone implements group.Record.
func (r Record) IsTombstone() bool { return r.value == nil }

// EndsGroup implements group.Record: a group ends with the tombstone of its epoch.
func (r Record) EndsGroup() bool { return r.keyType == keyGroup }

// GroupType implements group.Record.
func (r Record) GroupType() group.Type { return group.Consumer }

func (r Record) hasName() bool {
	return r.keyType == keyMember || r.keyType == keyTarget || r.keyType == keyCurrent || r.keyType == keyRegex
}

// AppendKey implements group.Record.
func (r Record) AppendKey(dst []byte) []byte {
	dst = kbin.AppendString(kbin.AppendInt16(dst, r.keyType), r.groupID)
	if r.hasName() {
		dst = kbin.AppendString(dst, r.name)
	}
	return dst
}

// AppendValue implements group.Record.
func (r Record) AppendValue(dst []byte) []byte {
	return r.value.append(kbin.AppendInt16(dst, valueVersion))
}

// fixedBytes is more than the fixed-size fields of any record here take in a batch, without those of list elements.
const fixedBytes = 128

// MaxBytes implements group.Record.
func (r Record) MaxBytes() int {
	n := fixedBytes + len(r.groupID) + len(r.name)
	if r.value != nil {
		n += r.value.size()
	}
	return n
}

// GroupValue is the group's epoch.
type GroupValue struct {
	GroupEpoch   int32
	MetadataHash int64 // of the subscribed topics; 0 for none
}

func (v GroupValue) size() int { return 0 }

func (v GroupValue) append(dst []byte) []byte {
	return appendTaggedInt64(kbin.AppendInt32(dst, v.GroupEpoch), v.MetadataHash)
}

// appendTaggedInt64 ends a value with tag 0.
func appendTaggedInt64(dst []byte, value int64) []byte {
	if value == 0 {
		return append(dst, 0)
	}
	return fields.AppendTag(append(dst, 1), 0, kbin.AppendInt64(nil, value))
}

// TargetEpochValue is the epoch that the target assignment is of.
type TargetEpochValue struct {
	AssignmentEpoch int32
	TimestampMs     int64 // when it was computed; 0: never, or before Kafka 4.3
}

func (v TargetEpochValue) size() int { return 0 }

func (v TargetEpochValue) append(dst []byte) []byte {
	return appendTaggedInt64(kbin.AppendInt32(dst, v.AssignmentEpoch), v.TimestampMs)
}

// MemberValue is a member's subscription.
type MemberValue struct {
	InstanceID, RackID   *string
	ClientID, ClientHost string
	SubscribedTopics     []string // sorted, each once
	SubscribedRegex      *string  // "" and nil: none
	RebalanceTimeoutMs   int32    // -1: not known
	ServerAssignor       *string
	Classic              *ClassicValue // nil: the member speaks the consumer protocol
}

// ClassicValue is what only members that speak the classic protocol have.
type ClassicValue struct {
	SessionTimeoutMs int32
	Protocols        []group.Protocol
}

func optional(s *string) int {
	if s == nil {
		return 0
	}
	return len(*s)
}

func (v MemberValue) size() int {
	n := optional(v.InstanceID) + optional(v.RackID) + len(v.ClientID) + len(v.ClientHost) + optional(v.SubscribedRegex) +
		optional(v.ServerAssignor)
	for _, t := range v.SubscribedTopics {
		n += len(t) + kbin.UvarintLen(1<<31)
	}
	if v.Classic != nil {
		for _, p := range v.Classic.Protocols {
			n += len(p.Name) + len(p.Metadata) + 3*kbin.UvarintLen(1<<31)
		}
	}
	return n
}

func (v MemberValue) append(dst []byte) []byte {
	dst = kbin.AppendCompactNullableString(dst, v.InstanceID)
	dst = kbin.AppendCompactNullableString(dst, v.RackID)
	dst = kbin.AppendCompactString(dst, v.ClientID)
	dst = kbin.AppendCompactString(dst, v.ClientHost)
	dst = fields.AppendCompactStrings(dst, v.SubscribedTopics)
	dst = kbin.AppendCompactNullableString(dst, v.SubscribedRegex)
	dst = kbin.AppendInt32(dst, v.RebalanceTimeoutMs)
	dst = kbin.AppendCompactNullableString(dst, v.ServerAssignor)
	if v.Classic == nil {
		return append(dst, 0)
	}
	classic := kbin.AppendInt32([]byte{1}, v.Classic.SessionTimeoutMs)
	classic = kbin.AppendCompactArrayLen(classic, len(v.Classic.Protocols))
	for _, p := range v.Classic.Protocols {
		classic = kbin.AppendCompactString(classic, p.Name)
		classic = kbin.AppendCompactBytes(classic, p.Metadata)
		classic = append(classic, 0)
	}
	return fields.AppendTag(append(dst, 1), 0, append(classic, 0))
}

// TargetValue is a member's target assignment.
type TargetValue struct{ Partitions assignment.Set }

func (v TargetValue) size() int { return setBytes(v.Partitions) }

func setBytes(s assignment.Set) int {
	n := 0
	for _, partitions := range s {
		n += 16 + 4*len(partitions) + 3*kbin.UvarintLen(1<<31)
	}
	return n
}

func (v TargetValue) append(dst []byte) []byte {
	dst = kbin.AppendCompactArrayLen(dst, len(v.Partitions))
	for _, topic := range v.Partitions.Topics() {
		dst = kbin.AppendUuid(dst, topic)
		dst = fields.AppendInt32s(dst, v.Partitions[topic])
		dst = append(dst, 0)
	}
	return append(dst, 0)
}

// CurrentValue is what a member has.
type CurrentValue struct {
	MemberEpoch, PreviousMemberEpoch int32
	State                            MemberState
	Assigned                         Owned
	PendingRevocation                Owned // not assigned any more, and perhaps still in use
}

func (v CurrentValue) size() int {
	return 2*setBytes(v.Assigned.Set) + 2*setBytes(v.PendingRevocation.Set)
}

func (v CurrentValue) append(dst []byte) []byte {
	dst = kbin.AppendInt32(dst, v.MemberEpoch)
	dst = kbin.AppendInt32(dst, v.PreviousMemberEpoch)
	dst = append(dst, byte(v.State))
	dst = v.Assigned.append(dst)
	dst = v.PendingRevocation.append(dst)
	return append(dst, 0)
}

func (o Owned) append(dst []byte) []byte {
	dst = kbin.AppendCompactArrayLen(dst, len(o.Set))
	for _, topic := range o.Set.Topics() {
		partitions := o.Set[topic]
		dst = kbin.AppendUuid(dst, topic)
		dst = fields.AppendInt32s(dst, partitions)
		epochs := make([]int32, len(partitions))
		for i, p := range partitions {
			epochs[i] = o.Epoch(topic, p)
		}
		dst = fields.AppendTag(append(dst, 1), 0, fields.AppendInt32s(nil, epochs))
	}
	return dst
}

// RegexValue is what a regular expression stands for.
type RegexValue struct {
	Topics      []string // sorted
	Version     int64    // of the topic image
	TimestampMs int64
}

func (v RegexValue) size() int {
	n := 0
	for _, t := range v.Topics {
		n += len(t) + kbin.UvarintLen(1<<31)
	}
	return n
}

func (v RegexValue) append(dst []byte) []byte {
	dst = kbin.AppendInt64(fields.AppendCompactStrings(dst, v.Topics), v.Version)
	return append(kbin.AppendInt64(dst, v.TimestampMs), 0)
}

// LegacyTopicsValue is a value of key type 4, which nobody reads.
type LegacyTopicsValue struct{ raw []byte }

func (v LegacyTopicsValue) size() int                { return len(v.raw) }
func (v LegacyTopicsValue) append(dst []byte) []byte { return append(dst, v.raw...) }

// DecodeRecord reads a key and its value; value nil: a tombstone. The record keeps no slice of them. Its error wraps
// group.ErrDamaged.
func DecodeRecord(key, value []byte) (group.Record, error) {
	f := fields.NewReader(key)
	r := Record{keyType: f.Int16(), groupID: f.String()}
	if r.hasName() {
		r.name = f.String()
	}
	if err := f.Finish(); err != nil {
		return nil, fmt.Errorf("%w: key of type %d: %w", group.ErrDamaged, r.keyType, err)
	}
	if value == nil {
		return r, nil
	}
	if len(value) < 2 || binary.BigEndian.Uint16(value) != valueVersion {
		return nil, fmt.Errorf("%w: unknown version of a value of key type %d", group.ErrDamaged, r.keyType)
	}
	f = fields.NewReader(value[2:])
	switch r.keyType {
	case keyGroup:
		v := GroupValue{GroupEpoch: f.Int32()}
		v.MetadataHash = readTaggedInt64(f)
		r.value = v
	case keyLegacyTopics:
		r.value = LegacyTopicsValue{slices.Clone(value[2:])}
		return r, nil
	case keyMember:
		r.value = readMember(f)
	case keyTargetEpoch:
		v := TargetEpochValue{AssignmentEpoch: f.Int32()}
		v.TimestampMs = readTaggedInt64(f)
		r.value = v
	case keyTarget:
		r.value = TargetValue{readSet(f)}
		f.Tags(nil)
	case keyCurrent:
		r.value = readCurrent(f)
	case keyRegex:
		r.value = RegexValue{Topics: f.CompactStrings(), Version: f.Int64(), TimestampMs: f.Int64()}
		f.Tags(nil)
	default:
		return nil, fmt.Errorf("%w: key type %d is none of a consumer group", group.ErrDamaged, r.keyType)
	}
	if err := f.Finish(); err != nil {
		return nil, fmt.Errorf("%w: value of key type %d: %w", group.ErrDamaged, r.keyType, err)
	}
	return r, nil
}

func readTaggedInt64(f *fields.Reader) (value int64) {
	f.Tags(func(tag int, v *fields.Reader) {
		if tag == 0 {
			value = v.Int64()
		}
	})
	return value
}

func readMember(f *fields.Reader) MemberValue {
	v := MemberValue{
		InstanceID: f.CompactNullableString(), RackID: f.CompactNullableString(),
		ClientID: f.CompactString(), ClientHost: f.CompactString(), SubscribedTopics: sortedNames(f.CompactStrings()),
		SubscribedRegex: f.CompactNullableString(), RebalanceTimeoutMs: f.Int32(), ServerAssignor: f.CompactNullableString(),
	}
	f.Tags(func(tag int, c *fields.Reader) {
		if tag != 0 || c.Int8() < 0 { // not known, or null
			return
		}
		classic := &ClassicValue{SessionTimeoutMs: c.Int32()}
		for range c.ArrayLen(3) {
			classic.Protocols = append(classic.Protocols, group.Protocol{Name: c.CompactString(), Metadata: c.CompactBytes()})
			c.Tags(nil)
		}
		c.Tags(nil)
		v.Classic = classic
	})
	return v
}

// sortedNames returns each name once, sorted, in a list of its own.
func sortedNames(names []string) []string {
	names = slices.Clone(names)
	slices.Sort(names)
	return slices.Compact(names)
}

// topicBytes is the least that a topic with its partitions takes.
const topicBytes = 18

func readSet(f *fields.Reader) assignment.Set {
	s := assignment.Set{}
	for range f.ArrayLen(topicBytes) {
		s.Add(f.UUID(), f.Int32s()...)
		f.Tags(nil)
	}
	return s
}

func readCurrent(f *fields.Reader) CurrentValue {
	v := CurrentValue{MemberEpoch: f.Int32(), PreviousMemberEpoch: f.Int32(), State: MemberState(f.Int8())}
	v.Assigned = readOwned(f, v.MemberEpoch)
	v.PendingRevocation = readOwned(f, v.MemberEpoch)
	f.Tags(nil)
	return v
}

// readOwned reads partitions with their epochs. Before Kafka 4.3 there were none: then the member's own holds.
func readOwned(f *fields.Reader, memberEpoch int32) Owned {
	o := Owned{}
	for range f.ArrayLen(topicBytes) {
		topic, partitions := f.UUID(), f.Int32s()
		var epochs []int32
		f.Tags(func(tag int, v *fields.Reader) {
			if tag == 0 {
				epochs = v.Int32s()
			}
		})
		for i, p := range partitions {
			epoch := memberEpoch
			if i < len(epochs) {
				epoch = epochs[i]
			}
			o.add(topic, p, epoch)
		}
	}
	return o.sorted()
}
