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
		client := kafkatest.Must(t, conn)
		client.TransactionTimeout = time.Minute
		client.CreateTopic("x", 1, nil)
		client.Join("g")
		producer, _ := client.InitProducer("t")
		client.Produce(producer, "x", 0, kafkatest.Values("v")...)
		fetch := kafkatest.FetchRequest("x", 0, 0, false)
		fetch.MaxWaitMillis, fetch.MinBytes = 540_000, 1<<20
		sent := time.Now()
		answer := client.Answer(fetch).(*kmsg.FetchResponse).Topics[0].Partitions[0]
		if waited := time.Since(sent); waited != 9*time.Minute {
			t.Errorf("a fetch with a MaxWait of nine minutes took %v", waited)
		}
		if answer.HighWatermark != 2 || answer.LastStableOffset != 2 {
			t.Errorf("high watermark %d, last stable offset %d: the transaction of a minute was not aborted",
				answer.HighWatermark, answer.LastStableOffset)
		}
		describe := kmsg.NewPtrDescribeGroupsRequest()
		describe.Version, describe.Groups = 5, []string{"g"}
		if got := client.Answer(describe).(*kmsg.DescribeGroupsResponse).Groups[0].State; got != "Empty" {
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
