package compat

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"once/broker/brokertest"
)

// A fork has what the original had at one instant, for stock clients; each goes on by itself, and so does the original
// after a reset.
func TestFranzContinuesInAFork(t *testing.T) {
	for name, options := range map[string][]brokertest.Option{"in memory": {brokertest.WithMemory}, "on disk": nil} {
		t.Run(name, func(t *testing.T) {
			ctx := within(t)
			original := brokertest.Start(t, options...)
			at := func(b *brokertest.Broker, opts ...kgo.Opt) *kgo.Client {
				cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(b.Addr()), kgo.AllowAutoTopicCreation(),
					kgo.DefaultProduceTopic("x"))...)
				must(t, err)
				t.Cleanup(cl.Close)
				return cl
			}
			write := func(cl *kgo.Client, value string) {
				t.Helper()
				must(t, cl.BeginTransaction())
				must(t, cl.ProduceSync(ctx, kgo.StringRecord(value)).FirstErr())
				must(t, cl.EndTransaction(ctx, kgo.TryCommit))
			}
			read := func(b *brokertest.Broker, n int) []string {
				t.Helper()
				cl := at(b, kgo.ConsumeTopics("x"), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
				return values(poll(t, cl, n))
			}
			producer := at(original, kgo.TransactionalID("t"))
			write(producer, "both")
			must(t, producer.BeginTransaction())
			must(t, producer.ProduceSync(ctx, kgo.StringRecord("open")).FirstErr())
			offsets := kadm.Offsets{}
			offsets.Add(kadm.Offset{Topic: "x", At: 1, LeaderEpoch: -1})
			must(t, kadm.NewClient(producer).CommitAllOffsets(ctx, "g", offsets))

			fork := original.Fork(t)
			must(t, producer.EndTransaction(ctx, kgo.TryCommit))
			write(at(fork, kgo.TransactionalID("t")), "of the fork")
			write(producer, "of the original")
			if got, want := fmt.Sprint(read(fork, 2)), "[both of the fork]"; got != want {
				t.Errorf("the fork has %s, not %s", got, want)
			}
			if got, want := fmt.Sprint(read(original, 3)), "[both open of the original]"; got != want {
				t.Errorf("the original has %s, not %s", got, want)
			}
			committed, err := kadm.NewClient(at(fork)).FetchOffsets(ctx, "g")
			must(t, err)
			if o, ok := committed.Lookup("x", 0); !ok || o.At != 1 {
				t.Errorf("the fork has the committed offset %+v", o)
			}

			original.Reset()
			next := at(original, kgo.TransactionalID("t"))
			write(next, "after the reset")
			if got, want := fmt.Sprint(read(original, 1)), "[after the reset]"; got != want {
				t.Errorf("the original has %s, not %s", got, want)
			}
			if got, want := fmt.Sprint(read(fork, 2)), "[both of the fork]"; got != want {
				t.Errorf("after a reset of the original the fork has %s, not %s", got, want)
			}
		})
	}
}
