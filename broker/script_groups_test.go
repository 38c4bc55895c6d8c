package broker_test

import (
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/internal/script"
	"once/wire"
)

// Members of classic groups. A script names them as it likes; the broker's names for them are kept apart.
func init() {
	commands["join"] = joinGroup
	commands["stored-offsets"] = storedOffsets
	commands["sync"] = syncGroup
	commands["heartbeat"] = heartbeatGroup
	commands["leave"] = leaveGroup
}

// member is the ID of the member that a script names; a name that did not join stands for itself.
func (p *peer) member(c script.Command) string {
	name := c.String("member", "")
	if id, ok := p.members[name]; ok {
		return id
	}
	return name
}

// joinGroup: join [group=g] member=M [topics=[x …] [owned=[x-0 …]]] [instance=I] [version=3] [cut]: joins, or joins
// anew, alone; with topics its metadata is a subscription, with cut one that ends too early
func joinGroup(p *peer, c script.Command) string {
	r := kmsg.NewPtrJoinGroupRequest()
	// Until version 3 a first join is not sent back for its ID.
	r.Version, r.Group, r.ProtocolType = int16(p.int(c, "version", 3)), p.group(c), "consumer"
	r.InstanceID = p.optional(c, "instance")
	r.SessionTimeoutMillis, r.RebalanceTimeoutMillis = 30_000, 30_000
	r.MemberID = p.members[c.String("member", "")]
	protocol := kmsg.NewJoinGroupRequestProtocol()
	protocol.Name = "range"
	if c.Has("topics") {
		protocol.Metadata = p.subscription(c)
	}
	r.Protocols = append(r.Protocols, protocol)
	resp := p.ask(r).(*kmsg.JoinGroupResponse)
	if resp.ErrorCode == int16(wire.MemberIDRequired) {
		p.members[c.String("member", "")] = resp.MemberID
	}
	if resp.ErrorCode != 0 {
		return code(resp.ErrorCode)
	}
	p.members[c.String("member", "")] = resp.MemberID
	return fmt.Sprintf("generation %d of %d", resp.Generation, len(resp.Members))
}

// subscription is what members of a classic group tell their leader.
func (p *peer) subscription(c script.Command) []byte {
	s := kmsg.NewConsumerMemberMetadata()
	s.Version = 1
	for _, name := range c.List("topics") {
		s.Topics = append(s.Topics, name+p.suffix)
	}
	for _, place := range c.List("owned") {
		topic, index := p.place(place)
		if n := len(s.OwnedPartitions); n == 0 || s.OwnedPartitions[n-1].Topic != topic {
			s.OwnedPartitions = append(s.OwnedPartitions, kmsg.ConsumerMemberMetadataOwnedPartition{Topic: topic})
		}
		last := &s.OwnedPartitions[len(s.OwnedPartitions)-1]
		last.Partitions = append(last.Partitions, index)
	}
	b := s.AppendTo(nil)
	if c.Has("cut") {
		b = b[:len(b)-9]
	}
	return b
}

// assignment is what the leader of a classic group tells a member, [x-0 …], or the text if it is none.
func (p *peer) assignment(b []byte) string {
	var a kmsg.ConsumerMemberAssignment
	if len(b) < 2 || b[0] != 0 || a.ReadFrom(b) != nil {
		return string(b)
	}
	all := []string{}
	for _, t := range a.Topics {
		for _, index := range t.Partitions {
			all = append(all, fmt.Sprintf("%s-%d", p.plainName(t.Topic), index))
		}
	}
	slices.Sort(all)
	return fmt.Sprint(all)
}

// syncGroup: sync [group=g] member=M generation=G [assign=[x-0 …]] [version=3]: as the leader, which assigns to itself
func syncGroup(p *peer, c script.Command) string {
	r := kmsg.NewPtrSyncGroupRequest()
	r.Version, r.Group, r.MemberID, r.Generation = 3, p.group(c), p.member(c), int32(p.int(c, "generation", 1))
	a := kmsg.NewSyncGroupRequestGroupAssignment()
	a.MemberID, a.MemberAssignment = r.MemberID, []byte("all")
	if c.Has("assign") {
		assigned := kmsg.NewConsumerMemberAssignment()
		for _, place := range c.List("assign") {
			topic, index := p.place(place)
			if n := len(assigned.Topics); n == 0 || assigned.Topics[n-1].Topic != topic {
				assigned.Topics = append(assigned.Topics, kmsg.ConsumerMemberAssignmentTopic{Topic: topic})
			}
			last := &assigned.Topics[len(assigned.Topics)-1]
			last.Partitions = append(last.Partitions, index)
		}
		a.MemberAssignment = assigned.AppendTo(nil)
	}
	r.GroupAssignment = append(r.GroupAssignment, a)
	resp := p.ask(r).(*kmsg.SyncGroupResponse)
	return strings.TrimSpace(code(resp.ErrorCode) + " " + p.assignment(resp.MemberAssignment))
}

// heartbeatGroup: heartbeat [group=g] member=M generation=G
func heartbeatGroup(p *peer, c script.Command) string {
	r := kmsg.NewPtrHeartbeatRequest()
	r.Version, r.Group, r.MemberID, r.Generation = 3, p.group(c), p.member(c), int32(p.int(c, "generation", 1))
	return code(p.ask(r).(*kmsg.HeartbeatResponse).ErrorCode)
}

// leaveGroup: leave [group=g] member=M
func leaveGroup(p *peer, c script.Command) string {
	r := kmsg.NewPtrLeaveGroupRequest()
	r.Version, r.Group, r.MemberID = 2, p.group(c), p.member(c)
	return code(p.ask(r).(*kmsg.LeaveGroupResponse).ErrorCode)
}
