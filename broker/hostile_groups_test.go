package broker_test

import (
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// joinRequest is a good JoinGroup of a member that has no ID yet, with something changed in it. The
// version is one in which the broker gives the ID at once.
func (h *hostile) joinRequest(change func(r *kmsg.JoinGroupRequest)) *kmsg.JoinGroupRequest {
	r := kmsg.NewPtrJoinGroupRequest()
	r.Version, r.Group, r.ProtocolType = 3, "hostile"+h.suffix, "consumer"
	r.SessionTimeoutMillis, r.RebalanceTimeoutMillis = 10_000, 10_000
	p := kmsg.NewJoinGroupRequestProtocol()
	p.Name = "range"
	r.Protocols = append(r.Protocols, p)
	change(r)
	return r
}

func joining(change func(r *kmsg.JoinGroupRequest)) func(*hostile) string {
	return func(h *hostile) string {
		if resp, ok := h.request(h.joinRequest(change)).(*kmsg.JoinGroupResponse); ok {
			return code(resp.ErrorCode)
		}
		return closed
	}
}

func joins() []hostileCase {
	type join = *kmsg.JoinGroupRequest
	session := func(ms int32) func(*hostile) string {
		return joining(func(r join) { r.SessionTimeoutMillis = ms })
	}
	return []hostileCase{
		{row: "B25", name: "empty group ID", send: joining(func(r join) { r.Group = "" }), want: "INVALID_GROUP_ID"},
		{row: "B25", name: "session timeout 0", send: session(0), want: "INVALID_SESSION_TIMEOUT"},
		{row: "B25", name: "session timeout -1", send: session(-1), want: "INVALID_SESSION_TIMEOUT"},
		{row: "B25", name: "session timeout above group.max.session.timeout.ms", send: session(1_800_001),
			want: "INVALID_SESSION_TIMEOUT"},
		// the empty group
		{row: "B25", name: "no protocols", send: joining(func(r join) { r.Protocols = nil }),
			want: "INCONSISTENT_GROUP_PROTOCOL", grows: true},
		{row: "B25", name: "empty protocol type", send: joining(func(r join) { r.ProtocolType = "" }),
			want: "INCONSISTENT_GROUP_PROTOCOL"},
		{row: "B25", name: "member that nobody knows", send: joining(func(r join) { r.MemberID = "nobody" }),
			want: "UNKNOWN_MEMBER_ID"},
		{row: "B25", name: "static member that nobody knows", want: "UNKNOWN_MEMBER_ID",
			send: joining(func(r join) { r.Version, r.MemberID, r.InstanceID = 5, "nobody", kmsg.StringPtr("instance") })},
		{row: "B25", name: "1 MiB of metadata, and it is the leader", send: largeMember,
			want:  "NONE, then UNKNOWN_SERVER_ERROR",
			grows: true},
		{row: "B25", name: "second member that shares no protocol", send: secondMember, want: "INCONSISTENT_GROUP_PROTOCOL",
			grows: true},
		{row: "B25", name: "SyncGroup of a group that nobody knows", send: syncing("nogroup", "m", 1),
			want: "UNKNOWN_MEMBER_ID"},
		{row: "B25", name: "SyncGroup of an empty group ID", send: syncing("", "m", 1), want: "INVALID_GROUP_ID"},
		{row: "B25", name: "Heartbeat of a group that nobody knows", want: "UNKNOWN_MEMBER_ID",
			send: func(h *hostile) string {
				r := kmsg.NewPtrHeartbeatRequest()
				r.Version, r.Group, r.MemberID, r.Generation = 4, "nogroup", "m", -1
				return code(h.request(r).(*kmsg.HeartbeatResponse).ErrorCode)
			}},
		{row: "B25", name: "LeaveGroup of 10000 members that nobody knows", want: "NONE, 10000 UNKNOWN_MEMBER_ID",
			send: leaving, grows: true},
	}
}

// largeMember is a leader whose group cannot be stored.
func largeMember(h *hostile) string {
	r := h.joinRequest(func(r *kmsg.JoinGroupRequest) {
		r.Group = "large" + h.suffix
		r.Protocols[0].Metadata = seeded(1<<20, 5)
	})
	joined := h.request(r).(*kmsg.JoinGroupResponse)
	if joined.ErrorCode != 0 {
		return code(joined.ErrorCode)
	}
	s := kmsg.NewPtrSyncGroupRequest()
	s.Version, s.Group, s.MemberID, s.Generation = 3, r.Group, joined.MemberID, joined.Generation
	a := kmsg.NewSyncGroupRequestGroupAssignment()
	a.MemberID, a.MemberAssignment = joined.MemberID, []byte("all")
	s.GroupAssignment = append(s.GroupAssignment, a)
	out := "NONE, then " + code(h.request(s).(*kmsg.SyncGroupResponse).ErrorCode)
	return out + h.leave(r.Group, joined.MemberID)
}

// secondMember meets a first one that speaks another protocol.
func secondMember(h *hostile) string {
	first := h.joinRequest(func(*kmsg.JoinGroupRequest) {})
	joined := h.request(first).(*kmsg.JoinGroupResponse)
	got := joining(func(r *kmsg.JoinGroupRequest) { r.Protocols[0].Name = "other" })(h)
	return got + h.leave(first.Group, joined.MemberID)
}

// leave takes a member out again, and says only when that does not work.
func (h *hostile) leave(group, member string) string {
	r := kmsg.NewPtrLeaveGroupRequest()
	r.Version, r.Group, r.MemberID = 2, group, member
	if c := h.request(r).(*kmsg.LeaveGroupResponse).ErrorCode; c != 0 {
		return ", left with " + code(c)
	}
	return ""
}

func syncing(group, member string, generation int32) func(*hostile) string {
	return func(h *hostile) string {
		r := kmsg.NewPtrSyncGroupRequest()
		r.Version, r.Group, r.MemberID, r.Generation = 3, group, member, generation
		return code(h.request(r).(*kmsg.SyncGroupResponse).ErrorCode)
	}
}

func leaving(h *hostile) string {
	joined := h.request(h.joinRequest(func(*kmsg.JoinGroupRequest) {})).(*kmsg.JoinGroupResponse)
	r := kmsg.NewPtrLeaveGroupRequest()
	r.Version, r.Group = 4, "hostile"+h.suffix
	for i := range 10_000 {
		m := kmsg.NewLeaveGroupRequestMember()
		m.MemberID = fmt.Sprint("nobody", i)
		r.Members = append(r.Members, m)
	}
	resp := h.request(r).(*kmsg.LeaveGroupResponse)
	var codes []int16
	for _, m := range resp.Members {
		codes = append(codes, m.ErrorCode)
	}
	return code(resp.ErrorCode) + ", " + tally(codes) + h.leave(r.Group, joined.MemberID)
}

// committing sends an OffsetCommit of x-0, with something changed in it.
func committing(version int16, change func(h *hostile, r *kmsg.OffsetCommitRequest,
	p *kmsg.OffsetCommitRequestTopicPartition)) func(*hostile) string {
	return func(h *hostile) string {
		r := kmsg.NewPtrOffsetCommitRequest()
		r.Version, r.Group, r.Generation = version, "offsets"+h.suffix, -1
		t := kmsg.NewOffsetCommitRequestTopic()
		t.Topic, t.TopicID = "x"+h.suffix, h.topicIDs["x"+h.suffix]
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		p.Offset, p.Metadata = 1, kmsg.StringPtr("")
		r.Topics = append(r.Topics, t)
		change(h, r, &p)
		if len(r.Topics) > 0 && r.Topics[0].Partitions == nil {
			r.Topics[0].Partitions = append(r.Topics[0].Partitions, p)
		}
		resp, ok := h.request(r).(*kmsg.OffsetCommitResponse)
		if !ok {
			return closed
		}
		var codes []int16
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				codes = append(codes, p.ErrorCode)
			}
		}
		return tally(codes)
	}
}

func offsetCommits() []hostileCase {
	type request = *kmsg.OffsetCommitRequest
	type partition = *kmsg.OffsetCommitRequestTopicPartition
	metadata := func(n int) func(*hostile) string {
		return committing(8, func(_ *hostile, _ request, p partition) { p.Metadata = kmsg.StringPtr(strings.Repeat("m", n)) })
	}
	offset := func(o int64) func(*hostile) string {
		return committing(8, func(_ *hostile, _ request, p partition) { p.Offset = o })
	}
	many := func(topic string, n int) func(*hostile) string {
		return committing(8, func(h *hostile, r request, p partition) {
			r.Topics[0].Topic = topic + h.suffix
			for i := range n {
				p.Partition = int32(i + 2)
				r.Topics[0].Partitions = append(r.Topics[0].Partitions, *p)
			}
		})
	}
	return []hostileCase{
		{row: "B26", name: "4096 bytes of metadata", send: metadata(4096), want: "NONE", grows: true},
		{row: "B26", name: "4097 bytes of metadata", send: metadata(4097), want: "OFFSET_METADATA_TOO_LARGE"},
		{row: "B26", name: "32767 bytes of metadata", send: metadata(32767), want: "OFFSET_METADATA_TOO_LARGE"},
		{row: "B26", name: "offset -1", send: offset(-1), want: "NONE", grows: true},
		{row: "B26", name: "offset -9223372036854775808", send: offset(-1 << 63), want: "NONE", grows: true},
		{row: "B26", name: "100000 partitions of an unknown topic", send: many("nosuch", 100_000),
			want: "100000 UNKNOWN_TOPIC_OR_PARTITION", perByte: 40},
		{row: "B26", name: "100000 partitions that a topic does not have", send: many("x", 100_000),
			want: "100000 UNKNOWN_TOPIC_OR_PARTITION", perByte: 40},
		{row: "B26", name: "unknown topic ID", want: "UNKNOWN_TOPIC_ID",
			send: committing(10, func(_ *hostile, r request, _ partition) { r.Topics[0].TopicID = [16]byte{1, 2, 3} })},
		{row: "B26", name: "empty group ID", send: committing(8, func(_ *hostile, r request, _ partition) { r.Group = "" }),
			want: "NONE", grows: true},
		{row: "B26", name: "generation of a group that nobody knows", want: "ILLEGAL_GENERATION",
			send: committing(8, func(_ *hostile, r request, _ partition) {
				r.Group, r.Generation, r.MemberID = "nogroup", 5,
					"m"
			})},
		{row: "B26", name: "no topics", send: committing(8, func(_ *hostile, r request, _ partition) { r.Topics = nil }),
			want: ""},
		{row: "B26", name: "OffsetFetch of 100000 partitions", want: "NONE, 100000 NONE", perByte: 150,
			send: func(h *hostile) string {
				r := kmsg.NewPtrOffsetFetchRequest()
				r.Version = 8
				g := kmsg.NewOffsetFetchRequestGroup()
				g.Group = "nogroup"
				t := kmsg.NewOffsetFetchRequestGroupTopic()
				t.Topic = "nosuch"
				for i := range int32(100_000) {
					t.Partitions = append(t.Partitions, i)
				}
				g.Topics = append(g.Topics, t)
				r.Groups = append(r.Groups, g)
				got := h.request(r).(*kmsg.OffsetFetchResponse).Groups[0]
				var codes []int16
				for _, p := range got.Topics[0].Partitions {
					codes = append(codes, p.ErrorCode)
				}
				return code(got.ErrorCode) + ", " + tally(codes)
			}},
	}
}
