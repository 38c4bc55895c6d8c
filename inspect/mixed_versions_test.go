package inspect_test

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/broker/brokertest"
	"once/inspect/inspecttest"
	"once/internal/kafkatest"
	"once/wire"
)

// A fence ends a transaction under the next epoch, as transactions V2 do, and a client of V1 has its next transaction
// in that epoch: two ends in one epoch, of different partitions, are right then.
func TestFencedTransactionOfAnOlderClientIsClean(t *testing.T) {
	dir := t.TempDir()
	b := brokertest.Start(t, brokertest.WithDataDir(dir))
	c := kafkatest.Connect(t, b.Addr())
	c.CreateTopic("x", 2, nil)
	p, _ := c.InitProducer("older")
	p.V1 = true
	c.Produce(p, "x", 1, kafkatest.Values("fenced")...)
	again := kafkatest.InitProducerIDRequest("older")
	again.ProducerID, again.ProducerEpoch = p.ProducerID, p.ProducerEpoch
	for code := wire.ConcurrentTransactions; code == wire.ConcurrentTransactions; {
		resp, err := c.Ask(again)
		if err != nil {
			t.Fatal(err)
		}
		code, p.ProducerEpoch = wire.Code(resp.(*kmsg.InitProducerIDResponse).ErrorCode),
			resp.(*kmsg.InitProducerIDResponse).ProducerEpoch
	}
	p.Sequences = map[kafkatest.Place]int32{}
	c.Produce(p, "x", 0, kafkatest.Values("ended")...)
	c.End(p, false)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	inspecttest.RequireClean(t, dir)
}
