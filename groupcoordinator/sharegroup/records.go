package sharegroup

import (
	"encoding/binary"
	"fmt"
	"strings"

	"once/groupcoordinator/group"
	"once/internal/fields"
)

// Records of share groups in __consumer_offsets (spec: share-groups 14). A value is an int16 version 0 and its fields
// in the flexible encoding.
//
//	10 group, member   rackId nullable string, clientId string, clientHost string, subscribedTopicNames
//	11 group           epoch int32, metadataHash int64
//	12 group           assignmentEpoch int32, tag 0: assignmentTimestamp int64
//	13 group, member   topicPartitions: topicId, partitions
//	14 group, member   memberEpoch int32, previousMemberEpoch int32, state int8, assignedPartitions
//	15 group           initializing, initialized: topicId, topicName, partitions; deleting: topicId, topicName
const (
	KeyMember            = 10
	KeyGroup             = 11
	KeyTargetMetadata    = 12
	KeyTargetMember      = 13
	KeyCurrentAssignment = 14
	KeyStatePartitions   = 15
)

const valueVersion = 0

// Record is one record of a share group. The fields are those of its key type.
type Record struct {
	Key       int16
	Group     string
	MemberID  string // of 10, 13, 14
	Tombstone bool

	RackID     *string // of 10, as are the next three
	ClientID   string
	ClientHost string
	Subscribed []string // names of topics

	GroupEpoch   int32 // of 11, as is the next one
	MetadataHash int64

	AssignmentEpoch     int32 // of 12, as is the next one
	AssignmentTimestamp int64 // Unix ms; 0: none

	Partitions Assignment // of 13 and 14

	MemberEpoch, PreviousMemberEpoch int32 // of 14, as is the next one
	State                            int8

	Initializing, Initialized []StateTopic // of 15, as is the next one
	Deleting                  []StateTopic // without partitions
}

// StateTopic is a topic with the partitions for which there is share group state.
type StateTopic struct {
	ID         [16]byte
	Name       string
	Partitions []int32
}

// KeyType implements group.Record.
func (r *Record) KeyType() int16 { return r.Key }

// GroupID implements group.Record.
func (r *Record) GroupID() string { return r.Group }

// IsTombstone implements group.Record.
func (r *Record) IsTombstone() bool { return r.Tombstone }

// EndsGroup implements group.Record.
func (r *Record) EndsGroup() bool { return r.Key == KeyGroup }

// GroupType implements group.Record.
func (r *Record) GroupType() group.Type { return group.Share }

// ofMember says whether keys of a type have a member ID.
func ofMember(key int16) bool {
	return key == KeyMember || key == KeyTargetMember || key == KeyCurrentAssignment
}

// AppendKey implements group.Record.
func (r *Record) AppendKey(b []byte) []byte {
	b = fields.AppendString(fields.AppendInt16(b, r.Key), r.Group)
	if ofMember(r.Key) {
		b = fields.AppendString(b, r.MemberID)
	}
	return b
}

// AppendValue implements group.Record.
func (r *Record) AppendValue(b []byte) []byte {
	b = fields.AppendInt16(b, valueVersion)
	switch r.Key {
	case KeyMember:
		b = fields.AppendCompactString(fields.AppendCompactString(fields.AppendCompactNullableString(b, r.RackID),
			r.ClientID), r.ClientHost)
		b = fields.AppendCompactLen(b, len(r.Subscribed))
		for _, name := range r.Subscribed {
			b = fields.AppendCompactString(b, name)
		}
	case KeyGroup:
		b = fields.AppendInt64(fields.AppendInt32(b, r.GroupEpoch), r.MetadataHash)
	case KeyTargetMetadata:
		b = fields.AppendInt32(b, r.AssignmentEpoch)
		if r.AssignmentTimestamp != 0 {
			return fields.AppendInt64(append(b, 1, 0, 8), r.AssignmentTimestamp) // one tag: number 0, 8 bytes
		}
	case KeyTargetMember:
		b = appendAssignment(b, r.Partitions)
	case KeyCurrentAssignment:
		b = fields.AppendInt32(fields.AppendInt32(b, r.MemberEpoch), r.PreviousMemberEpoch)
		b = appendAssignment(append(b, byte(r.State)), r.Partitions)
	case KeyStatePartitions:
		b = appendStateTopics(b, r.Initializing, true)
		b = appendStateTopics(b, r.Initialized, true)
		b = appendStateTopics(b, r.Deleting, false)
	}
	return append(b, 0)
}

func appendAssignment(b []byte, a Assignment) []byte {
	b = fields.AppendCompactLen(b, len(a))
	for _, id := range a.topics() {
		b = append(fields.AppendInt32s(append(b, id[:]...), a[id]), 0)
	}
	return b
}

func appendStateTopics(b []byte, topics []StateTopic, partitions bool) []byte {
	b = fields.AppendCompactLen(b, len(topics))
	for _, t := range topics {
		b = fields.AppendCompactString(append(b, t.ID[:]...), t.Name)
		if partitions {
			b = fields.AppendInt32s(b, t.Partitions)
		}
		b = append(b, 0)
	}
	return b
}

// MaxBytes implements group.Record.
func (r *Record) MaxBytes() int {
	n := 128 + len(r.Group) + len(r.MemberID) + len(r.ClientID) + len(r.ClientHost)
	if r.RackID != nil {
		n += len(*r.RackID)
	}
	for _, name := range r.Subscribed {
		n += 5 + len(name)
	}
	for _, partitions := range r.Partitions {
		n += 24 + 4*len(partitions)
	}
	for _, list := range [][]StateTopic{r.Initializing, r.Initialized, r.Deleting} {
		for _, t := range list {
			n += 32 + len(t.Name) + 4*len(t.Partitions)
		}
	}
	return n
}

// Decode reads a record of a key type of share groups. Its error wraps group.ErrDamaged.
func Decode(key, value []byte) (group.Record, error) {
	r, err := DecodeRecord(key, value)
	if err != nil {
		return nil, fmt.Errorf("%w: record of a share group: %w", group.ErrDamaged, err)
	}
	return r, nil
}

// DecodeRecord is Decode for tools. Its error wraps fields.ErrDamaged.
func DecodeRecord(key, value []byte) (*Record, error) {
	k := fields.NewReader(key)
	r := &Record{Key: k.Int16(), Tombstone: value == nil}
	if r.Key < KeyMember || r.Key > KeyStatePartitions {
		k.Fail("key type %d", r.Key)
	}
	r.Group = k.String()
	if ofMember(r.Key) {
		r.MemberID = k.String()
	}
	if err := k.Finish(); err != nil || r.Tombstone {
		return r, err
	}
	v := fields.NewReader(value)
	if version := v.Int16(); version != valueVersion {
		v.Fail("value of version %d, known is %d", version, valueVersion)
	}
	r.decodeValue(v)
	return r, v.Err()
}

func (r *Record) decodeValue(v *fields.Reader) {
	switch r.Key {
	case KeyMember:
		r.RackID, r.ClientID, r.ClientHost = v.CompactNullableString(), v.CompactString(), v.CompactString()
		for n := v.ArrayLen(1); n > 0 && v.Err() == nil; n-- {
			r.Subscribed = append(r.Subscribed, v.CompactString())
		}
	case KeyGroup:
		r.GroupEpoch, r.MetadataHash = v.Int32(), v.Int64()
	case KeyTargetMetadata:
		r.AssignmentEpoch = v.Int32()
	case KeyTargetMember:
		r.Partitions = readAssignment(v)
	case KeyCurrentAssignment:
		r.MemberEpoch, r.PreviousMemberEpoch, r.State = v.Int32(), v.Int32(), v.Int8()
		r.Partitions = readAssignment(v)
	case KeyStatePartitions:
		r.Initializing, r.Initialized = readStateTopics(v, true), readStateTopics(v, true)
		r.Deleting = readStateTopics(v, false)
	}
	v.Tags(func(tag int, value *fields.Reader) {
		if r.Key == KeyTargetMetadata && tag == 0 {
			r.AssignmentTimestamp = value.Int64()
		}
	})
}

func readAssignment(v *fields.Reader) Assignment {
	a := Assignment{}
	for n := v.ArrayLen(18); n > 0 && v.Err() == nil; n-- {
		id, partitions := v.UUID(), v.Int32s()
		v.Tags(nil)
		a[id] = partitions
	}
	return a
}

func readStateTopics(v *fields.Reader, partitions bool) (topics []StateTopic) {
	for n := v.ArrayLen(18); n > 0 && v.Err() == nil; n-- {
		t := StateTopic{ID: v.UUID(), Name: v.CompactString()}
		if partitions {
			t.Partitions = v.Int32s()
		}
		v.Tags(nil)
		topics = append(topics, t)
	}
	return topics
}

// hashTopics is the metadata hash of the topics that a group is subscribed to: FNV-1a of 64 bits over name, ID and
// number of partitions, in the order given.
func hashTopics(topics []group.Topic) int64 {
	h := uint64(14695981039346656037)
	add := func(b ...byte) {
		for _, x := range b {
			h = (h ^ uint64(x)) * 1099511628211
		}
	}
	for _, t := range topics {
		add([]byte(t.Name)...)
		add(0)
		add(t.ID[:]...)
		add(binary.BigEndian.AppendUint32(nil, uint32(t.Partitions))...)
	}
	return int64(h)
}

func cloneAll(names []string) []string {
	c := make([]string, len(names))
	for i, name := range names {
		c[i] = strings.Clone(name)
	}
	return c
}
