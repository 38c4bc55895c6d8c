package broker_test

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// A move keeps the record locks of members that live. Those of others end by the clock, and with expireLocks all do.
func TestMovesKeepLocksOfMembersThatLive(t *testing.T) {
	l := startLab(t)
	earliest := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	earliest.Name, earliest.Value = "share.auto.offset.reset", kmsg.StringPtr("earliest")
	set := kmsg.NewPtrIncrementalAlterConfigsRequest()
	set.Resources = []kmsg.IncrementalAlterConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeGroupConfig,
		ResourceName: "g", Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{earliest}}}
	l.Answer(set)
	metadata := kmsg.NewPtrMetadataRequest()
	metadata.Version, metadata.Topics = 12, []kmsg.MetadataRequestTopic{{Topic: kmsg.StringPtr("t")}}
	topicID := l.Answer(metadata).(*kmsg.MetadataResponse).Topics[0].TopicID
	group, member := "g", "m"
	heartbeat := func(epoch int32) {
		t.Helper()
		r := kmsg.NewPtrShareGroupHeartbeatRequest()
		r.Version, r.GroupID, r.MemberID, r.MemberEpoch = 1, group, member, epoch
		if epoch == 0 {
			r.SubscribedTopicNames = []string{"t"}
		}
		if a := l.Answer(r).(*kmsg.ShareGroupHeartbeatResponse); a.ErrorCode != 0 {
			t.Fatalf("%+v", a)
		}
	}
	session := int32(0)
	fetch := func(wantDeliveries int16) {
		t.Helper()
		r := kmsg.NewPtrShareFetchRequest()
		r.Version, r.GroupID, r.MemberID, r.ShareSessionEpoch = 1, &group, &member, session
		session++
		r.MaxBytes, r.MaxRecords, r.BatchSize = 1<<20, 10, 10
		of := kmsg.NewShareFetchRequestTopic()
		of.TopicID, of.Partitions = topicID, []kmsg.ShareFetchRequestTopicPartition{kmsg.NewShareFetchRequestTopicPartition()}
		r.Topics = append(r.Topics, of)
		a := l.Answer(r).(*kmsg.ShareFetchResponse)
		got := int16(0)
		for _, topic := range a.Topics {
			for _, p := range topic.Partitions {
				for _, acquired := range p.AcquiredRecords {
					got = acquired.DeliveryCount
				}
			}
		}
		if a.ErrorCode != 0 || got != wantDeliveries {
			t.Errorf("code %d, delivery %d, want %d", a.ErrorCode, got, wantDeliveries)
		}
	}
	const ended = `"what": "ended record locks"`
	heartbeat(0)
	l.Append(one(0, "a"))
	fetch(1)
	l.expect("POST", "/v1/clock", `{"advance": "10m"}`, 200, `"did": []`)
	l.expect("POST", "/v1/clock", `{"advance": "10s", "expireLocks": true}`, 200, `"did": []`)
	fetch(0)
	l.expect("POST", "/v1/clock", `{"advance": "31s", "expireLocks": true}`, 200, ended)
	fetch(2)
	l.expect("POST", "/v1/clock", `{"advance": "1m", "expireMembers": true}`, 200, `"what": "removed member"`)
	fetch(0)
	l.expect("POST", "/v1/clock", `{"advance": "31s"}`, 200, ended) // of who is no member any more
	fetch(3)
	heartbeat(0)
	l.expect("POST", "/v1/clock", `{"advance": "31s"}`, 200, `"did": []`)
	l.expect("POST", "/v1/clock", `{"freeze": true, "expireLocks": true}`, 400, "expireLocks: goes with a move")
}
