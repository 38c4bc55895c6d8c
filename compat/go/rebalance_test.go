package compat

import (
	"net/http"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"once/broker"
	"once/broker/brokertest"
)

// A group of the consumer protocol assigns anew when a test wants it to: its member follows to the next epoch, and
// reads on where it was.
func TestFranzFollowsARebalanceByHand(t *testing.T) {
	ctx := within(t)
	b := brokertest.Start(t, brokertest.WithMemory, brokertest.WithSettings(t, map[string]string{
		"group.consumer.heartbeat.interval.ms": "100", "group.consumer.min.heartbeat.interval.ms": "100",
	}), func(c *broker.Config) { c.Admin = "127.0.0.1:0" })
	client := func(opts ...kgo.Opt) *kgo.Client {
		cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(b.Addr()), kgo.AllowAutoTopicCreation(),
			kgo.MetadataMinAge(50*time.Millisecond))...)
		must(t, err)
		t.Cleanup(cl.CloseAllowingRebalance)
		return cl
	}
	producer := client(kgo.DefaultProduceTopic("x"))
	must(t, producer.ProduceSync(ctx, kgo.StringRecord("a")).FirstErr())
	member := client(kgo.ConsumerGroup("g"), kgo.ConsumeTopics("x"), kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.ServerSideBalancer(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	poll(t, member, 1)
	described := func() kadm.DescribedConsumerGroup {
		groups, err := kadm.NewClient(producer).DescribeConsumerGroups(ctx, "g")
		must(t, err)
		return groups["g"]
	}
	before := described().Epoch
	answer, err := http.Post("http://"+b.AdminAddr()+"/v1/groups/g/rebalance", "", nil)
	must(t, err)
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Fatal(answer.Status)
	}
	eventually(t, "the member follows", func() bool {
		g := described()
		return g.Epoch == before+1 && g.AssignmentEpoch == before+1 && len(g.Members) == 1 &&
			g.Members[0].MemberEpoch == before+1
	})
	must(t, producer.ProduceSync(ctx, kgo.StringRecord("b")).FirstErr())
	if got := values(poll(t, member, 1)); got[0] != "b" {
		t.Errorf("read %q", got)
	}
}
