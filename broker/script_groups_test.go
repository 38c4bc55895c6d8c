package broker_test

import (
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/internal/script"
)

// Members of classic groups. A script names them as it likes; the broker's names for them are kept apart.
func init() {
	commands["join"] = joinGroup
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

// joinGroup: join [group=g] member=M: joins, or joins anew, alone
func joinGroup(p *peer, c script.Command) string {
	r := kmsg.NewPtrJoinGroupRequest()
	r.Version, r.Group, r.ProtocolType = 3, p.group(c), "consumer" // until version 3 a first join is not sent back for its ID
	r.SessionTimeoutMillis, r.RebalanceTimeoutMillis = 30_000, 30_000
	r.MemberID = p.members[c.String("member", "")]
	protocol := kmsg.NewJoinGroupRequestProtocol()
	protocol.Name = "range"
	r.Protocols = append(r.Protocols, protocol)
	resp := p.ask(r).(*kmsg.JoinGroupResponse)
	if resp.ErrorCode != 0 {
		return code(resp.ErrorCode)
	}
	p.members[c.String("member", "")] = resp.MemberID
	return fmt.Sprintf("generation %d of %d", resp.Generation, len(resp.Members))
}

// syncGroup: sync [group=g] member=M generation=G: as the leader, which assigns to itself
func syncGroup(p *peer, c script.Command) string {
	r := kmsg.NewPtrSyncGroupRequest()
	r.Version, r.Group, r.MemberID, r.Generation = 3, p.group(c), p.member(c), int32(p.int(c, "generation", 1))
	a := kmsg.NewSyncGroupRequestGroupAssignment()
	a.MemberID, a.MemberAssignment = r.MemberID, []byte("all")
	r.GroupAssignment = append(r.GroupAssignment, a)
	resp := p.ask(r).(*kmsg.SyncGroupResponse)
	return strings.TrimSpace(code(resp.ErrorCode) + " " + string(resp.MemberAssignment))
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
