package compat

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"once/broker/brokertest"
	"once/faults"
)

// One of the two markers of a commit is held. The commit returns all the same, readers see one partition of it, and the
// producer's next transaction waits without an error until the marker is released.
func TestTransactionsWhoseMarkerIsHeld(t *testing.T) {
	if os.Getenv("ONCE_TEST_BROKER") != "" {
		t.Skip("needs a broker of its own")
	}
	eachTransactionVersion(t, func(t *testing.T, version []kgo.Opt) {
		b, ctx := brokertest.Start(t, brokertest.WithMemory), within(t)
		of := func(opts ...kgo.Opt) *kgo.Client { return franz(t, append(opts, kgo.SeedBrokers(b.Addr()))...) }
		topic := unique(t, "topic")
		index := int32(1)
		marker := b.Fault(faults.Rule{Do: faults.Do{Hold: true},
			Match: faults.Match{Point: "txn.marker", Topic: faults.Names{topic}, Partition: &index}})
		_, err := kadm.NewClient(of()).CreateTopic(ctx, 2, 1, nil, topic)
		must(t, err)

		producer := of(with(version, kgo.TransactionalID("t"), kgo.DefaultProduceTopic(topic),
			kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
		send := func(value string, partitions ...int32) error {
			if err := producer.BeginTransaction(); err != nil {
				return err
			}
			var records []*kgo.Record
			for _, p := range partitions {
				records = append(records, &kgo.Record{Partition: p, Value: []byte(value)})
			}
			return errors.Join(producer.ProduceSync(ctx, records...).FirstErr(), producer.EndTransaction(ctx, kgo.TryCommit))
		}
		must(t, send("first", 0, 1))
		reader := of(kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
		if r := poll(t, reader, 1)[0]; r.Partition != 0 {
			t.Errorf("partition %d is seen, whose marker is held", r.Partition)
		}
		quiet(t, reader, 300*time.Millisecond)

		second := make(chan error, 1)
		go func() { second <- send("second", 0) }()
		select {
		case err := <-second:
			t.Errorf("the next transaction does not wait: %v", err)
		case <-time.After(300 * time.Millisecond):
		}
		if n := marker.Release(); n != 1 {
			t.Errorf("%d released", n)
		}
		must(t, <-second)
		for _, r := range poll(t, reader, 2) {
			if want := map[int32]string{0: "second", 1: "first"}[r.Partition]; string(r.Value) != want {
				t.Errorf("partition %d: %s, want %s", r.Partition, r.Value, want)
			}
		}
	})
}
