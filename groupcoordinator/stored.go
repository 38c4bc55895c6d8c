package groupcoordinator

import (
	"encoding/binary"
	"fmt"

	"once/groupcoordinator/consumergroup"
	"once/groupcoordinator/group"
	"once/groupcoordinator/streamsgroup"
)

// What follows is for tools that read the groups of a stopped broker.

// StoredKind is the kind of a record of __consumer_offsets.
type StoredKind uint8

// The kinds of records.
const (
	StoredOther  StoredKind = iota // of a protocol that is not served; kept and passed over
	StoredOffset                   // an offset, committed or staged
	StoredGroup                    // a classic group with its members
	StoredTyped                    // a record of a group of another type: Text has it
)

// StoredRecord is one record of __consumer_offsets. Times are Unix ms.
type StoredRecord struct {
	Kind      StoredKind
	KeyType   int16
	Tombstone bool
	Group     string // not of StoredOther

	Topic             string // of StoredOffset, as are the next ones
	Partition         int32
	Offset            int64
	LeaderEpoch       int32 // -1 unknown
	Metadata          string
	CommitTimestampMs int64
	ExpireTimestampMs int64 // -1: the broker's retention

	Generation       int32 // of StoredGroup, as are the next ones
	ProtocolType     string
	Protocol, Leader string // "" none
	StateTimestampMs int64
	Members          []StoredMember

	Type string // of StoredTyped: the type of the group
	Text string // and a description
	own  group.Record
}

// StoredMember is a member in its group's record.
type StoredMember struct {
	MemberID, InstanceID                       string // InstanceID "": none
	ClientID, ClientHost                       string
	SessionTimeoutMs, RebalanceTimeoutMs       int32
	SubscriptionSizeBytes, AssignmentSizeBytes int
}

// DecodeRecord reads a key and its value. Replay skips a record with an error.
func DecodeRecord(key, value []byte) (StoredRecord, error) {
	r, err := decodeRecord(key, value)
	if err != nil {
		return StoredRecord{}, err
	}
	s := StoredRecord{KeyType: int16(binary.BigEndian.Uint16(key)), Tombstone: r.tombstone, Group: r.group}
	switch r.kind {
	case kindOffset:
		s.Kind, s.Topic, s.Partition = StoredOffset, r.topic, r.partition
		s.Offset, s.LeaderEpoch, s.Metadata = r.offset.offset, r.offset.leaderEpoch, r.offset.metadata
		s.CommitTimestampMs, s.ExpireTimestampMs = r.offset.commitTimestampMs, r.offset.expireTimestampMs
	case kindGroup:
		classic, ok := r.own.(classicRecord)
		if !ok {
			s.Kind, s.Type, s.own = StoredTyped, string(r.own.GroupType()), r.own
			s.Text = textOf(r.own)
			break
		}
		s.Kind = StoredGroup
		meta := classic.meta
		if meta == nil {
			break
		}
		s.Generation, s.ProtocolType, s.StateTimestampMs = meta.Generation, meta.ProtocolType, meta.CurrentStateTimestamp
		s.Protocol, s.Leader = orEmpty(meta.Protocol), orEmpty(meta.Leader)
		for i := range meta.Members {
			m := &meta.Members[i]
			s.Members = append(s.Members, StoredMember{
				MemberID: m.MemberID, InstanceID: orEmpty(m.InstanceID), ClientID: m.ClientID, ClientHost: m.ClientHost,
				SessionTimeoutMs: m.SessionTimeoutMillis, RebalanceTimeoutMs: m.RebalanceTimeoutMillis,
				SubscriptionSizeBytes: len(m.Subscription), AssignmentSizeBytes: len(m.Assignment),
			})
		}
	}
	return s, nil
}

// textOf describes a record of a group.
func textOf(r group.Record) string {
	if d, ok := r.(interface{ Text() string }); ok {
		return d.Text()
	}
	what := string(r.GroupType()) + "-group-record"
	if r.IsTombstone() {
		what = string(r.GroupType()) + "-group-tombstone"
	}
	return fmt.Sprintf("%s group=%q key_type=%d", what, r.GroupID(), r.KeyType())
}

// EndsGroup says that the record, of StoredTyped, is the tombstone that ends its group.
func (s *StoredRecord) EndsGroup() bool { return s.own != nil && s.Tombstone && s.own.EndsGroup() }

// StoredGroups checks the records of consumer and streams groups in the order of the log.
type StoredGroups struct {
	groups map[string]storedGroup
}

// storedGroup is a group that can check its records.
type storedGroup interface {
	group.Group
	Contradiction(group.Record) string
}

func newStoredGroup(s *StoredRecord) storedGroup {
	switch group.Type(s.Type) {
	case group.Consumer:
		return consumergroup.New(&consumergroup.Config{Topics: group.NoTopics{}}, s.Group)
	case group.Streams:
		return streamsgroup.New(&streamsgroup.Env{Topics: group.NoTopics{}}, s.Group)
	}
	return nil
}

// Check says what is wrong with a record, "" for nothing, and applies it. Records of other groups are passed over.
func (c *StoredGroups) Check(s *StoredRecord) string {
	if s.Kind != StoredTyped {
		return ""
	}
	g := c.groups[s.Group]
	if g != nil && g.Type() != group.Type(s.Type) {
		g = nil // the group has changed its type
	}
	switch {
	case s.Tombstone && s.own.EndsGroup():
		if g != nil {
			delete(c.groups, s.Group)
		}
		return ""
	case g == nil && s.Tombstone:
		return ""
	case g == nil:
		if g = newStoredGroup(s); g == nil {
			return ""
		}
		if c.groups == nil {
			c.groups = map[string]storedGroup{}
		}
		c.groups[s.Group] = g
	}
	wrong := g.Contradiction(s.own)
	g.Apply(s.own)
	return wrong
}

func orEmpty(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// PartitionOf returns the partition of __consumer_offsets for a group, given the number of partitions.
func PartitionOf(groupID string, partitions int32) int32 {
	c := Coordinator{cfg: Config{Partitions: partitions}}
	return c.PartitionFor(groupID)
}
