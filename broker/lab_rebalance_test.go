package broker_test

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// A group of each type assigns anew when a test wants it to: its epoch grows by one, and its members follow with their
// next heartbeats.
func TestGroupsOfAllTypesRebalanceByHand(t *testing.T) {
	l := startLab(t)
	consumer := func(epoch int32) (memberEpoch int32) {
		r := kmsg.NewPtrConsumerGroupHeartbeatRequest()
		r.Version, r.Group, r.MemberID, r.MemberEpoch, r.RebalanceTimeoutMillis = 1, "consumers", "m", epoch, -1
		if epoch == 0 {
			r.RebalanceTimeoutMillis, r.SubscribedTopicNames, r.Topics = 60_000, []string{"t"},
				[]kmsg.ConsumerGroupHeartbeatRequestTopic{}
		}
		a := l.Answer(r).(*kmsg.ConsumerGroupHeartbeatResponse)
		if a.ErrorCode != 0 {
			t.Fatalf("%+v", a)
		}
		return a.MemberEpoch
	}
	share := func(epoch int32) int32 {
		r := kmsg.NewPtrShareGroupHeartbeatRequest()
		r.Version, r.GroupID, r.MemberID, r.MemberEpoch = 1, "sharers", "m", epoch
		if epoch == 0 {
			r.SubscribedTopicNames = []string{"t"}
		}
		a := l.Answer(r).(*kmsg.ShareGroupHeartbeatResponse)
		if a.ErrorCode != 0 {
			t.Fatalf("%+v", a)
		}
		return a.MemberEpoch
	}
	streams := func(epoch int32) int32 {
		r := kmsg.NewPtrStreamsGroupHeartbeatRequest()
		r.Group, r.MemberID, r.MemberEpoch, r.RebalanceTimeoutMillis = "streams", "m", epoch, -1
		if epoch == 0 {
			process := "p"
			r.RebalanceTimeoutMillis, r.ProcessID = 60_000, &process
			r.ActiveTasks, r.StandbyTasks, r.WarmupTasks = []kmsg.TaskIDs{}, []kmsg.TaskIDs{}, []kmsg.TaskIDs{}
			sub := kmsg.NewStreamsGroupHeartbeatRequestTopologySubtopology()
			sub.SubtopologyID, sub.SourceTopics = "0", []string{"t"}
			topology := kmsg.NewStreamsGroupHeartbeatRequestTopology()
			topology.Subtopologies = append(topology.Subtopologies, sub)
			r.Topology = &topology
		}
		a := l.Answer(r).(*kmsg.StreamsGroupHeartbeatResponse)
		if a.ErrorCode != 0 {
			t.Fatalf("%+v", a)
		}
		return a.MemberEpoch
	}
	for name, heartbeat := range map[string]func(int32) int32{"consumers": consumer, "sharers": share,
		"streams": streams} {
		joined := heartbeat(0)
		if again := heartbeat(joined); again != joined {
			t.Errorf("%s: member epoch %d, then %d", name, joined, again)
		}
		// beyond the interval between assignments of a share group
		l.expect("POST", "/v1/clock", `{"advance": "2s", "expireMembers": true}`, 200)
		l.expect("POST", "/v1/groups/"+name+"/rebalance", "", 200, `"id": "`+name+`"`)
		if next := heartbeat(joined); next != joined+1 {
			t.Errorf("%s: after the rebalance the member epoch is %d, before it was %d", name, next, joined)
		}
		l.expect("POST", "/v1/coordinators/reload", "", 200)
		if same := heartbeat(joined + 1); same != joined+1 {
			t.Errorf("%s: after a reload the member epoch is %d", name, same)
		}
	}
}
