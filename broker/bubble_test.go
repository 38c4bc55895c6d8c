package broker_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/broker"
	"once/broker/brokertest"
	"once/internal/kafkatest"
	"once/internal/memnet"
	"once/log/batch"
)

// A whole broker runs in memory and in a bubble, where an hour passes as soon as everybody waits: a Fetch of nine
// minutes, a session that ends, a transaction that times out, and a clean stop.
func TestBrokerInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		listener := memnet.Listen()
		b := brokertest.Start(t, func(cfg *broker.Config) { cfg.Listener, cfg.InMemory = listener, true })
		nc, err := listener.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		conn := kafkatest.New(nc)
		conn.Timeout = time.Hour
		client := &compactedTopic{peer: &peer{t: t, conns: map[string]*kafkatest.Conn{"": conn}}}
		client.create("x", nil)

		join := kmsg.NewPtrJoinGroupRequest()
		join.Version, join.Group, join.ProtocolType = 3, "g", "consumer"
		join.SessionTimeoutMillis, join.RebalanceTimeoutMillis = 60_000, 60_000
		join.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range"}}
		client.must(client.ask(join).(*kmsg.JoinGroupResponse).ErrorCode)
		client.begin()
		client.must(client.send("x", true, batch.Record{Value: []byte("v")}))
		fetch := kmsg.NewPtrFetchRequest()
		fetch.Version, fetch.MaxWaitMillis, fetch.MinBytes = 12, 540_000, 1<<20
		fetch.Topics = []kmsg.FetchRequestTopic{{Topic: "x", Partitions: []kmsg.FetchRequestTopicPartition{{PartitionMaxBytes: 1 << 20, CurrentLeaderEpoch: -1, LastFetchedEpoch: -1}}}}
		sent := time.Now()
		answer := client.ask(fetch).(*kmsg.FetchResponse).Topics[0].Partitions[0]
		if waited := time.Since(sent); waited != 9*time.Minute {
			t.Errorf("a fetch with a MaxWait of nine minutes took %v", waited)
		}
		if answer.HighWatermark != 2 || answer.LastStableOffset != 2 {
			t.Errorf("high watermark %d, last stable offset %d: the transaction of a minute was not aborted",
				answer.HighWatermark, answer.LastStableOffset)
		}
		describe := kmsg.NewPtrDescribeGroupsRequest()
		describe.Version, describe.Groups = 5, []string{"g"}
		if got := client.ask(describe).(*kmsg.DescribeGroupsResponse).Groups[0].State; got != "Empty" {
			t.Errorf("the group whose member was silent for nine minutes is %s", got)
		}
		nc.Close()
		stopped := time.Now()
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		if took := time.Since(stopped); took > time.Second {
			t.Errorf("the stop took %v", took)
		}
	})
}
