package compat

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"
)

// eachTransactionVersion runs a test as a client of transactions V2 and as one from before.
func eachTransactionVersion(t *testing.T, test func(t *testing.T, version []kgo.Opt)) {
	for name, opts := range map[string][]kgo.Opt{"V2": nil, "before-V2": {kgo.MaxVersions(kversion.V3_7_0())}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, opts)
		})
	}
}

func with(opts []kgo.Opt, more ...kgo.Opt) []kgo.Opt { return append(more, opts...) }

func values(records []*kgo.Record) (out []string) {
	for _, r := range records {
		out = append(out, string(r.Value))
	}
	return out
}

func TestTransactionsCommitAndAbort(t *testing.T) {
	eachTransactionVersion(t, func(t *testing.T, version []kgo.Opt) {
		topic := newTopic(t, 1)
		ctx := within(t)
		producer := franz(t, with(version, kgo.TransactionalID(unique(t, "txn")), kgo.DefaultProduceTopic(topic))...)
		var want []string
		for i := range 12 {
			must(t, producer.BeginTransaction())
			value := fmt.Sprint(i)
			must(t, producer.ProduceSync(ctx, kgo.StringRecord(value), kgo.StringRecord(value+"b")).FirstErr())
			commit := kgo.TransactionEndTry(i%3 != 1)
			must(t, producer.EndTransaction(ctx, commit))
			if commit {
				want = append(want, value, value+"b")
			}
		}
		committed := franz(t, kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
		if got := values(poll(t, committed, len(want))); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("read_committed %q, want %q", got, want)
		}
		if got := poll(t, franz(t, kgo.ConsumeTopics(topic)), 24); len(got) != 24 {
			t.Errorf("read_uncommitted sees %d", len(got))
		}
		raw := poll(t, franz(t, kgo.ConsumeTopics(topic), kgo.KeepControlRecords()), 36)
		markers := 0
		for i, r := range raw {
			if r.Offset != int64(i) {
				t.Fatalf("offset %d at place %d", r.Offset, i)
			}
			if !r.Attrs.IsControl() {
				continue
			}
			commit := byte(1)
			if markers%3 == 1 {
				commit = 0
			}
			if markers++; len(r.Key) != 4 || r.Key[3] != commit {
				t.Errorf("marker at offset %d has key %v, want type %d", r.Offset, r.Key, commit)
			}
		}
		if markers != 12 {
			t.Errorf("%d markers, want 12", markers)
		}
	})
}

func TestTransactionsOpenOneHoldsBackCommittedReaders(t *testing.T) {
	eachTransactionVersion(t, func(t *testing.T, version []kgo.Opt) {
		topic, id := newTopic(t, 1), unique(t, "txn")
		ctx := within(t)
		producer := franz(t, with(version, kgo.TransactionalID(id), kgo.DefaultProduceTopic(topic))...)
		plain := franz(t, kgo.DefaultProduceTopic(topic))
		must(t, plain.ProduceSync(ctx, kgo.StringRecord("before")).FirstErr())
		must(t, producer.BeginTransaction())
		must(t, producer.ProduceSync(ctx, kgo.StringRecord("inside")).FirstErr())
		must(t, plain.ProduceSync(ctx, kgo.StringRecord("after")).FirstErr())

		committed := franz(t, kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
		poll(t, committed, 1)
		quiet(t, committed, 300*time.Millisecond)
		adm := admin(t)
		stable, err := adm.ListCommittedOffsets(ctx, topic)
		must(t, err)
		end, err := adm.ListEndOffsets(ctx, topic)
		must(t, err)
		if s, e := stable[topic][0].Offset, end[topic][0].Offset; s != 1 || e != 3 {
			t.Errorf("last stable offset %d, high watermark %d, want 1 and 3", s, e)
		}
		described, err := adm.DescribeTransactions(ctx, id)
		must(t, err)
		if d := described[id]; d.Err != nil || d.State != "Ongoing" || !d.Topics.Lookup(topic, 0) {
			t.Errorf("described as %s with %v (%v)", d.State, d.Topics, d.Err)
		}
		listed, err := adm.ListTransactions(ctx, nil, []string{"Ongoing"})
		must(t, err)
		if l, ok := listed[id]; !ok || l.State != "Ongoing" {
			t.Errorf("not listed as ongoing: %v", l)
		}

		must(t, producer.EndTransaction(ctx, kgo.TryCommit))
		if got := values(poll(t, committed, 2)); got[0] != "inside" || got[1] != "after" {
			t.Errorf("after the commit: %q", got)
		}
	})
}

// TestTransactionsConsumeTransformProduce copies every input exactly once with two members of one group
// and an abort in every third transaction.
func TestTransactionsConsumeTransformProduce(t *testing.T) {
	eachTransactionVersion(t, func(t *testing.T, version []kgo.Opt) {
		in, out, group := newTopic(t, 2), newTopic(t, 2), unique(t, "group")
		ctx := within(t)
		const n = 600
		producer := franz(t, kgo.DefaultProduceTopic(in))
		for i := range n {
			producer.Produce(ctx, kgo.StringRecord(fmt.Sprint(i)), nil)
			if i%10 == 0 {
				must(t, producer.Flush(ctx)) // several batches in each partition
			}
		}
		must(t, producer.Flush(ctx))
		copyCtx, stop := context.WithCancel(ctx)
		defer stop()
		errs := make(chan error, 2)
		for member := range 2 {
			session, err := kgo.NewGroupTransactSession(with(version, kgo.SeedBrokers(address),
				kgo.TransactionalID(unique(t, "txn")), kgo.ConsumerGroup(group),
				kgo.ConsumeTopics(in), kgo.DefaultProduceTopic(out), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
				kgo.FetchIsolationLevel(kgo.ReadCommitted()),
				kgo.HeartbeatInterval(200*time.Millisecond), kgo.MetadataMinAge(50*time.Millisecond),
				kgo.FetchMaxWait(200*time.Millisecond))...)
			must(t, err)
			go func() { errs <- copyUntil(copyCtx, session, member) }()
		}
		reader := franz(t, kgo.ConsumeTopics(out), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
		seen := map[string]int{}
		for _, r := range poll(t, reader, n) {
			seen[string(r.Value)]++
		}
		eventually(t, "the group's offsets reach the end of the input", func() bool {
			offsets, err := admin(t).FetchOffsets(ctx, group)
			must(t, err)
			sum := int64(0)
			offsets.Offsets().Each(func(o kadm.Offset) { sum += o.At })
			return sum == n
		})
		stop()
		for range 2 {
			must(t, <-errs)
		}
		quiet(t, reader, 300*time.Millisecond)
		for i := range n {
			if seen[fmt.Sprint(i)] != 1 {
				t.Errorf("input %d was copied %d times", i, seen[fmt.Sprint(i)])
			}
		}
	})
}

func copyUntil(ctx context.Context, session *kgo.GroupTransactSession, member int) error {
	defer session.CloseAllowingRebalance()
	for txn := 0; ; txn++ {
		fetches := session.PollRecords(ctx, 40)
		if ctx.Err() != nil {
			return nil
		}
		if err := session.Begin(); err != nil {
			return fmt.Errorf("member %d: begin: %w", member, err)
		}
		fetches.EachRecord(func(r *kgo.Record) { session.Produce(context.Background(), &kgo.Record{Value: r.Value}, nil) })
		if _, err := session.End(context.Background(), kgo.TransactionEndTry(txn%3 != 1)); err != nil {
			return fmt.Errorf("member %d: end: %w", member, err)
		}
	}
}

func TestTransactionsSecondClientFencesTheFirst(t *testing.T) {
	eachTransactionVersion(t, func(t *testing.T, version []kgo.Opt) {
		topic, id := newTopic(t, 1), unique(t, "txn")
		ctx := within(t)
		opts := with(version, kgo.TransactionalID(id), kgo.DefaultProduceTopic(topic))
		first := franz(t, opts...)
		must(t, first.BeginTransaction())
		must(t, first.ProduceSync(ctx, kgo.StringRecord("fenced")).FirstErr())
		second := franz(t, opts...)
		must(t, second.BeginTransaction())
		must(t, second.ProduceSync(ctx, kgo.StringRecord("fences")).FirstErr())

		err := first.EndTransaction(ctx, kgo.TryCommit)
		if !errors.Is(err, kerr.ProducerFenced) && !errors.Is(err, kerr.InvalidProducerEpoch) {
			t.Errorf("commit of the fenced producer: %v, want PRODUCER_FENCED or INVALID_PRODUCER_EPOCH", err)
		}
		must(t, second.EndTransaction(ctx, kgo.TryCommit))
		committed := franz(t, kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
		if got := values(poll(t, committed, 1)); got[0] != "fences" {
			t.Errorf("read_committed %q", got)
		}
		quiet(t, committed, 200*time.Millisecond)
	})
}

func TestTransactionsFencedProducerCannotProduce(t *testing.T) {
	eachTransactionVersion(t, func(t *testing.T, version []kgo.Opt) {
		topic, id := newTopic(t, 1), unique(t, "txn")
		ctx := within(t)
		opts := with(version, kgo.TransactionalID(id), kgo.DefaultProduceTopic(topic))
		first := franz(t, opts...)
		must(t, first.BeginTransaction())
		must(t, first.ProduceSync(ctx, kgo.StringRecord("fenced")).FirstErr())
		_, _, err := franz(t, opts...).ProducerID(ctx)
		must(t, err)
		err = first.ProduceSync(ctx, kgo.StringRecord("late")).FirstErr()
		if !errors.Is(err, kerr.InvalidProducerEpoch) && !errors.Is(err, kerr.ProducerFenced) {
			t.Errorf("produce of the fenced producer: %v, want INVALID_PRODUCER_EPOCH or PRODUCER_FENCED", err)
		}
		committed := franz(t, kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
		quiet(t, committed, 300*time.Millisecond)
	})
}

func TestTransactionsTimeoutAborts(t *testing.T) {
	eachTransactionVersion(t, func(t *testing.T, version []kgo.Opt) {
		topic, id := newTopic(t, 1), unique(t, "txn")
		ctx := within(t)
		producer := franz(t, with(version, kgo.TransactionalID(id), kgo.DefaultProduceTopic(topic),
			kgo.TransactionTimeout(time.Second))...)
		must(t, producer.BeginTransaction())
		must(t, producer.ProduceSync(ctx, kgo.StringRecord("too slow")).FirstErr())
		plain := franz(t, kgo.DefaultProduceTopic(topic))
		must(t, plain.ProduceSync(ctx, kgo.StringRecord("behind")).FirstErr())
		committed := franz(t, kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
		if got := values(poll(t, committed, 1)); got[0] != "behind" { // waits for the abort
			t.Errorf("read_committed %q", got)
		}
		described, err := admin(t).DescribeTransactions(ctx, id)
		must(t, err)
		if s := described[id].State; s != "CompleteAbort" {
			t.Errorf("state %s after the timeout, want CompleteAbort", s)
		}
		if err := producer.EndTransaction(ctx, kgo.TryCommit); err == nil {
			t.Error("the commit after the timeout succeeded")
		}
	})
}

func TestTransactionsOffsetsOfAnAbortAreDropped(t *testing.T) {
	eachTransactionVersion(t, func(t *testing.T, version []kgo.Opt) {
		in, out, group := newTopic(t, 1), newTopic(t, 1), unique(t, "group")
		ctx := within(t)
		must(t, franz(t, kgo.DefaultProduceTopic(in)).ProduceSync(ctx, kgo.StringRecord("a"),
			kgo.StringRecord("b")).FirstErr())
		session, err := kgo.NewGroupTransactSession(with(version, kgo.SeedBrokers(address),
			kgo.TransactionalID(unique(t, "txn")), kgo.ConsumerGroup(group),
			kgo.ConsumeTopics(in), kgo.DefaultProduceTopic(out), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
		must(t, err)
		defer session.CloseAllowingRebalance()
		committedOffset := func() int64 {
			offsets, err := admin(t).FetchOffsets(ctx, group)
			must(t, err)
			if o, ok := offsets.Lookup(in, 0); ok {
				return o.At
			}
			return -1
		}
		for _, commit := range []kgo.TransactionEndTry{kgo.TryAbort, kgo.TryCommit} {
			n := 0
			must(t, session.Begin())
			for n < 2 {
				n += session.PollFetches(ctx).NumRecords() // after the abort the same two come again
			}
			must(t, session.ProduceSync(ctx, kgo.StringRecord("out")).FirstErr())
			committed, err := session.End(ctx, commit)
			must(t, err)
			if committed != bool(commit) {
				t.Fatalf("committed %v, asked for %v", committed, commit)
			}
			want := int64(-1)
			if commit {
				want = 2
			}
			eventually(t, fmt.Sprintf("committed offset %d", want), func() bool { return committedOffset() == want })
		}
	})
}
