package compat

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// consumerMember is a member of a group of the consumer protocol (KIP-848).
func consumerMember(t *testing.T, group, topic string, opts ...kgo.Opt) *kgo.Client {
	return franz(t, append([]kgo.Opt{
		kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.ServerSideBalancer(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	}, opts...)...)
}

// Two members of a group of the consumer protocol share the partitions; when one leaves, the other gets its partitions
// and goes on where it has committed.
func TestFranzConsumerProtocol(t *testing.T) {
	t.Parallel()
	topic := newTopic(t, 4)
	ctx := within(t)
	producer := franz(t, kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	send := func(from, to int) {
		for i := from; i < to; i++ {
			must(t, producer.ProduceSync(ctx, &kgo.Record{Value: fmt.Append(nil, i), Partition: int32(i % 4)}).FirstErr())
		}
	}
	send(0, 40)
	group := "group-" + topic
	a := consumerMember(t, group, topic, kgo.DisableAutoCommit())
	first := poll(t, a, 40)
	must(t, a.CommitRecords(ctx, first...))
	b := consumerMember(t, group, topic, kgo.DisableAutoCommit())
	eventually(t, "both have two partitions", func() bool {
		a.PollRecords(brief(ctx), 1)
		b.PollRecords(brief(ctx), 1)
		groups, err := admin(t).DescribeConsumerGroups(ctx, group)
		must(t, err)
		members := groups[group].Members
		if len(members) != 2 || groups[group].State != "Stable" {
			return false
		}
		for _, m := range members {
			n := 0
			for _, partitions := range m.Assignment {
				n += len(partitions)
			}
			if n != 2 {
				return false
			}
		}
		return true
	})
	must(t, b.LeaveGroupContext(ctx))
	send(40, 60)
	seen := map[string]bool{}
	for _, r := range poll(t, a, 20) {
		if seen[string(r.Value)] || r.Offset < 10 {
			t.Errorf("record %s at offset %d came again", r.Value, r.Offset)
		}
		seen[string(r.Value)] = true
	}
	must(t, a.CommitUncommittedOffsets(ctx))
}

// A copier whose members speak the consumer protocol commits its offsets in its transactions: each record is there
// once.
func TestFranzConsumerProtocolInTransactions(t *testing.T) {
	t.Parallel()
	in, out := newTopic(t, 2), newTopic(t, 2)
	ctx := within(t)
	producer := franz(t, kgo.DefaultProduceTopic(in))
	const records = 200
	for i := range records {
		must(t, producer.ProduceSync(ctx, &kgo.Record{Value: fmt.Append(nil, i)}).FirstErr())
	}
	session, err := kgo.NewGroupTransactSession(
		kgo.SeedBrokers(address), kgo.TransactionalID("copier-"+in), kgo.ConsumerGroup("copiers-"+in),
		kgo.ConsumeTopics(in), kgo.Balancers(kgo.CooperativeStickyBalancer()), kgo.ServerSideBalancer(),
		kgo.RequireStableFetchOffsets(),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	)
	must(t, err)
	defer session.Close()
	for copied := 0; copied < records; {
		fetches := session.PollRecords(ctx, 50)
		must(t, fetches.Err())
		must(t, session.Begin())
		n := 0
		fetches.EachRecord(func(r *kgo.Record) {
			session.Produce(ctx, &kgo.Record{Topic: out, Value: r.Value, Partition: r.Partition}, nil)
			n++
		})
		committed, err := session.End(ctx, kgo.TryCommit)
		must(t, err)
		if committed {
			copied += n
		}
	}
	reader := franz(t, kgo.ConsumeTopics(out), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	seen := map[string]bool{}
	for _, r := range poll(t, reader, records) {
		if seen[string(r.Value)] {
			t.Errorf("record %s is there twice", r.Value)
		}
		seen[string(r.Value)] = true
	}
}

func brief(ctx context.Context) context.Context {
	ctx, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	context.AfterFunc(ctx, cancel)
	return ctx
}
