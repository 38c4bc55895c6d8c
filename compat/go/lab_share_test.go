package compat

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"once/broker/brokertest"
	"once/faults"
)

// A member of a share group acquires a record and is heard no more. When the clock is moved past the lock, another
// member gets the record, for the second time.
func TestFranzShareLockEndsWithTheClock(t *testing.T) {
	ctx := within(t)
	b := brokertest.Start(t, brokertest.WithMemory)
	of := func(opts ...kgo.Opt) *kgo.Client {
		cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(b.Addr()), kgo.FetchMaxWait(200*time.Millisecond))...)
		must(t, err)
		t.Cleanup(cl.Close)
		return cl
	}
	plain := of(kgo.AllowAutoTopicCreation(), kgo.DefaultProduceTopic("jobs"))
	must(t, plain.ProduceSync(ctx, kgo.StringRecord("a")).FirstErr())
	earliest := kmsg.NewPtrIncrementalAlterConfigsRequest()
	earliest.Resources = []kmsg.IncrementalAlterConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeGroupConfig,
		ResourceName: "workers",
		Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: "share.auto.offset.reset",
			Value: kmsg.StringPtr("earliest")}}}}
	_, err := earliest.RequestWith(ctx, plain)
	must(t, err)

	member := func(name string) *kgo.Client {
		return of(kgo.ClientID(name), kgo.ShareGroup("workers"), kgo.ConsumeTopics("jobs"))
	}
	if r := poll(t, member("silent"), 1)[0]; r.DeliveryCount() != 1 {
		t.Errorf("delivered %d times", r.DeliveryCount())
	}
	silence := b.Fault(faults.Rule{Match: faults.Match{ClientID: faults.Names{"silent"}}, When: &faults.When{Always: true},
		Do: faults.Do{Blackhole: true}})
	silence.Await(func(s faults.State) bool { return s.Triggered > 0 })
	other := member("other")
	quiet(t, other, 300*time.Millisecond)
	did := b.Clock().Advance(40 * time.Second) // a lock is for 30 s
	if len(did) == 0 || did[0].What != "ended record locks" {
		t.Errorf("did %v", did)
	}
	if r := poll(t, other, 1)[0]; string(r.Value) != "a" || r.DeliveryCount() != 2 {
		t.Errorf("%s, delivered %d times", r.Value, r.DeliveryCount())
	}
}
