package broker_test

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"once/internal/kafkatest"
	"once/wire"
)

// killMember is the one member of a classic group.
type killMember struct {
	c          *killClient
	group      string
	id         string
	generation int32
	highest    int32 // generation ever seen
}

// member joins a group and is its leader.
func (c *killClient) member(group string) *killMember {
	c.t.Helper()
	m := &killMember{c: c, group: group, generation: -1}
	m.join()
	return m
}

// join joins, or joins again with the ID it has, and syncs. A restart may have forgotten a member whose
// group was not stored yet: then it joins as a new one, in a generation that was not there before.
func (m *killMember) join() {
	m.c.t.Helper()
	for {
		r := kmsg.NewPtrJoinGroupRequest()
		r.Version, r.Group, r.MemberID, r.ProtocolType = 3, m.group, m.id, "consumer"
		r.SessionTimeoutMillis, r.RebalanceTimeoutMillis = 30_000, 10_000
		p := kmsg.NewJoinGroupRequestProtocol()
		p.Name, p.Metadata = "range", []byte("subscription")
		r.Protocols = append(r.Protocols, p)
		joined := m.c.Answer(r).(*kmsg.JoinGroupResponse)
		if m.forgotten(joined.ErrorCode) {
			continue
		}
		if joined.ErrorCode != 0 {
			m.c.t.Fatalf("joining: %s", code(joined.ErrorCode))
		}
		m.id, m.generation = joined.MemberID, joined.Generation
		s := kmsg.NewPtrSyncGroupRequest()
		s.Version, s.Group, s.MemberID, s.Generation = 3, m.group, m.id, m.generation
		a := kmsg.NewSyncGroupRequestGroupAssignment()
		a.MemberID, a.MemberAssignment = m.id, []byte("assignment")
		s.GroupAssignment = append(s.GroupAssignment, a)
		synced := m.c.Answer(s).(*kmsg.SyncGroupResponse)
		if m.forgotten(synced.ErrorCode) {
			continue
		}
		if synced.ErrorCode != 0 || string(synced.MemberAssignment) != "assignment" {
			m.c.t.Fatalf("syncing: %s, %q", code(synced.ErrorCode), synced.MemberAssignment)
		}
		if m.generation < m.highest {
			m.c.t.Fatalf("generation %d after %d", m.generation, m.highest)
		}
		m.highest = m.generation
		return
	}
}

// forgotten reports whether a code means that the member has to join anew.
func (m *killMember) forgotten(errorCode int16) bool {
	switch wire.Code(errorCode) {
	case wire.UnknownMemberID:
		m.id = ""
		return true
	case wire.IllegalGeneration, wire.RebalanceInProgress:
		return true
	}
	return false
}

// commit commits an offset of x-index, as the member or, when m has no group membership, as nobody.
func (c *killClient) commit(group string, m *killMember, index int32, offset int64) {
	c.t.Helper()
	r := kafkatest.OffsetCommitRequest(group, "x", index, offset)
	if m != nil {
		r.MemberID, r.Generation = m.id, m.generation
	}
	c.CommitOffsets(r)
}

// offset fetches a group's offset of x-index, waiting for transactions that have staged another one.
func (c *killClient) offset(group string, index int32) int64 {
	c.t.Helper()
	return c.offsetsOf(kafkatest.OffsetFetchRequest(group, "x", index, true))[0].Offset
}

// offsetsOf fetches offsets of one group and topic.
func (c *killClient) offsetsOf(r *kmsg.OffsetFetchRequest) []kmsg.OffsetFetchResponseGroupTopicPartition {
	c.t.Helper()
	g := c.Answer(r).(*kmsg.OffsetFetchResponse).Groups[0]
	if g.ErrorCode != 0 {
		c.t.Fatalf("offsets of %s: %s", g.Group, code(g.ErrorCode))
	}
	for _, p := range g.Topics[0].Partitions {
		if p.ErrorCode != 0 {
			c.t.Fatalf("offset of %s for partition %d: %s", g.Group, p.Partition, code(p.ErrorCode))
		}
	}
	return g.Topics[0].Partitions
}
