package broker_test

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/broker"
	"once/broker/brokertest"
	"once/internal/clock"
	"once/internal/kafkatest"
)

// A stopped clock of the cluster stops what Kafka decides by time, and nothing that waits for the network or the disk.
// Once it is moved, all that has fallen due has been done.
func TestClusterClock(t *testing.T) {
	c := clock.NewMovable()
	b := brokertest.Start(t, func(cfg *broker.Config) { cfg.Clock, cfg.Durability = c, "fsync" },
		brokertest.WithSettings(t, map[string]string{
			"group.min.session.timeout.ms": "100", "group.initial.rebalance.delay.ms": "0",
		}))
	client := kafkatest.Connect(t, b.Addr())
	client.TransactionTimeout = time.Minute
	client.CreateTopic("x", 1, nil)
	c.Freeze()

	join := kmsg.NewPtrJoinGroupRequest()
	join.Version, join.Group, join.ProtocolType = 3, "g", "consumer"
	join.SessionTimeoutMillis, join.RebalanceTimeoutMillis = 100, 60_000
	join.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range"}}
	member := client.Answer(join).(*kmsg.JoinGroupResponse)
	if member.ErrorCode != 0 {
		t.Fatal(code(member.ErrorCode))
	}
	sync := kmsg.NewPtrSyncGroupRequest()
	sync.Version, sync.Group, sync.Generation, sync.MemberID = 3, "g", member.Generation, member.MemberID
	if got := client.Answer(sync).(*kmsg.SyncGroupResponse).ErrorCode; got != 0 {
		t.Fatal(code(got))
	}
	stateOf := func() string {
		describe := kmsg.NewPtrDescribeGroupsRequest()
		describe.Version, describe.Groups = 5, []string{"g"}
		return client.Answer(describe).(*kmsg.DescribeGroupsResponse).Groups[0].State
	}

	producer, _ := client.InitProducer("t")
	client.Produce(producer, "x", 0, kafkatest.Values("v")...) // answered once it is synced
	fetch := kafkatest.FetchRequest("x", 0, 0, true)
	fetch.MaxWaitMillis, fetch.MinBytes = 200, 1
	sent := time.Now()
	lastStable := client.Answer(fetch).(*kmsg.FetchResponse).Topics[0].Partitions[0].LastStableOffset
	if waited := time.Since(sent); waited < 200*time.Millisecond || waited > 20*time.Second || lastStable != 0 {
		t.Errorf("a fetch with a MaxWait of 200 ms took %v, last stable offset %d", waited, lastStable)
	}
	// The session of 100 ms is over by the machine's clock.
	if got := stateOf(); got != "Stable" {
		t.Errorf("on a stopped clock the group becomes %s", got)
	}

	began := c.Now()
	did := c.Advance(61 * time.Second) // the transaction's timeout is 60 s
	if got := c.Now().Sub(began); got != 61*time.Second {
		t.Errorf("the clock moved by %v", got)
	}
	if got := stateOf(); got != "Dead" {
		t.Errorf("the group is %s", got)
	}
	if got := client.Answer(fetch).(*kmsg.FetchResponse).Topics[0].Partitions[0].LastStableOffset; got != 2 {
		t.Errorf("last stable offset %d: the transaction was not aborted", got)
	}
	var what []string
	for _, e := range did {
		what = append(what, e.What+" after "+e.At.Sub(began).String())
	}
	want := []string{"removed member after 100ms", "aborted transaction after 1m1s"}
	if len(what) != 2 || what[0] != want[0] || what[1] != want[1] {
		t.Errorf("did %q, want %q", what, want)
	}
}
