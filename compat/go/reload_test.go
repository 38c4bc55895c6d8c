package compat

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"once/broker/brokertest"
)

// reloaded is a broker whose coordinators load again whenever its clients have got further.
type reloaded struct {
	t       *testing.T
	b       *brokertest.Broker
	further chan struct{}
}

// went lets the coordinators load again.
func (r *reloaded) went() {
	select {
	case r.further <- struct{}{}:
	default: // it has not begun with the last one
	}
}

// reloads loads the coordinators again until ctx ends, and returns how often.
func (r *reloaded) reloads(ctx context.Context) (n int) {
	for {
		select {
		case <-r.further:
		case <-ctx.Done():
			return n
		}
		v, ok := r.b.Cluster().View()
		if !ok {
			r.t.Error("the cluster is down")
			return n
		}
		_, err := v.ReloadCoordinators()
		v.End()
		if err != nil {
			r.t.Error(err)
			return n
		}
		n++
	}
}

func (r *reloaded) client(opts ...kgo.Opt) *kgo.Client {
	r.t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(r.b.Addr()), kgo.MetadataMinAge(50 * time.Millisecond),
		kgo.FetchMaxWait(200 * time.Millisecond), kgo.AllowAutoTopicCreation(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted())}, opts...)...)
	must(r.t, err)
	r.t.Cleanup(cl.CloseAllowingRebalance)
	return cl
}

// once reads a topic until n values have come, each of which is to come once, and no other with it.
func (r *reloaded) once(ctx context.Context, topic string, n int) {
	cl := r.client(kgo.ConsumeTopics(topic))
	seen := map[string]int{}
	for len(seen) < n && ctx.Err() == nil {
		for _, record := range cl.PollFetches(ctx).Records() {
			seen[string(record.Value)]++
		}
	}
	for value, times := range seen {
		if times != 1 {
			r.t.Errorf("%s has %s %d times", topic, value, times)
		}
	}
	if len(seen) != n {
		r.t.Errorf("%s has %d values of %d", topic, len(seen), n)
	}
}

// Coordinators that load again, many times, while producers of transactions V1 and V2, copiers in groups of both
// protocols and a share group are at work: all of them go on, and nothing is lost or doubled (LAB-18).
func TestClientsGoOnWhileCoordinatorsReload(t *testing.T) {
	ctx := within(t)
	r := &reloaded{t, brokertest.Start(t, brokertest.WithMemory), make(chan struct{}, 1)}
	const n = 60 // transactions, and values to copy
	reloading, stop := context.WithCancel(ctx)
	times := make(chan int)
	go func() { times <- r.reloads(reloading) }()

	var input sync.WaitGroup
	in := r.client(kgo.DefaultProduceTopic("in"))
	for i := range n {
		must(t, in.ProduceSync(ctx, kgo.StringRecord(fmt.Sprint("in-", i))).FirstErr())
	}
	v1 := kgo.MaxVersions(kversion.V3_7_0())
	for name, opts := range map[string][]kgo.Opt{"V1": {v1}, "V2": nil} {
		input.Go(func() { r.produce(ctx, "produced-"+name, n, opts...) })
	}
	serverSide := []kgo.Opt{kgo.Balancers(kgo.CooperativeStickyBalancer()), kgo.ServerSideBalancer()}
	for name, opts := range map[string][]kgo.Opt{"classic": nil, "classic-V1": {v1}, "consumer": serverSide} {
		input.Go(func() { r.copy(ctx, "copied-"+name, n, opts...) })
	}
	input.Go(func() { r.share(ctx, n) })
	input.Wait()
	stop()
	if done := <-times; done < 30 {
		t.Errorf("only %d reloads", done)
	}
	for _, topic := range []string{"produced-V1", "produced-V2"} {
		r.once(ctx, topic, n-n/4)
	}
	r.b.ReloadCoordinators()
	for _, topic := range []string{"copied-classic", "copied-classic-V1", "copied-consumer"} {
		r.once(ctx, topic, n)
		offsets, err := kadm.NewClient(in).FetchOffsets(ctx, topic) // the group has the same name
		must(t, err)
		if o, ok := offsets.Lookup("in", 0); !ok || o.At != n {
			t.Errorf("%s has committed %d of %d", topic, o.At, n)
		}
	}
}

// produce sends a value in each of n transactions, every fourth of which is aborted.
func (r *reloaded) produce(ctx context.Context, topic string, n int, opts ...kgo.Opt) {
	cl := r.client(append(opts, kgo.TransactionalID(topic), kgo.DefaultProduceTopic(topic))...)
	for i := range n {
		err := cl.BeginTransaction()
		if err == nil {
			err = cl.ProduceSync(ctx, kgo.StringRecord(fmt.Sprint(i))).FirstErr()
		}
		if err == nil {
			err = cl.EndTransaction(ctx, kgo.TransactionEndTry(i%4 != 0))
		}
		if err != nil {
			r.t.Errorf("%s: transaction %d: %v", topic, i, err)
			return
		}
		r.went()
	}
}

// copy copies n values of the input in transactions, as a member of a group, until all of them are committed.
func (r *reloaded) copy(ctx context.Context, topic string, n int, opts ...kgo.Opt) {
	session, err := kgo.NewGroupTransactSession(append(opts, kgo.SeedBrokers(r.b.Addr()), kgo.TransactionalID(topic),
		kgo.ConsumerGroup(topic), kgo.ConsumeTopics("in"), kgo.DefaultProduceTopic(topic), kgo.AllowAutoTopicCreation(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.HeartbeatInterval(20*time.Millisecond), kgo.MetadataMinAge(50*time.Millisecond),
		kgo.FetchMaxWait(200*time.Millisecond))...)
	if err != nil {
		r.t.Error(err)
		return
	}
	defer session.CloseAllowingRebalance()
	for copied := 0; copied < n && ctx.Err() == nil; {
		records := session.PollRecords(ctx, 3).Records()
		if err := session.Begin(); err != nil {
			r.t.Errorf("%s: %v", topic, err)
			return
		}
		for _, record := range records {
			session.Produce(ctx, &kgo.Record{Value: record.Value}, nil)
		}
		committed, err := session.End(ctx, kgo.TryCommit)
		if err != nil {
			r.t.Errorf("%s: %v", topic, err)
			return
		}
		if committed { // else the group has rebalanced, and they come again
			copied += len(records)
		}
		r.went()
	}
}

// share reads n values as a member of a share group, and accepts each. Each comes once.
func (r *reloaded) share(ctx context.Context, n int) {
	in := r.client(kgo.DefaultProduceTopic("shared"))
	earliest := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	earliest.Name, earliest.Value = "share.auto.offset.reset", kmsg.StringPtr("earliest")
	set := kmsg.NewPtrIncrementalAlterConfigsRequest()
	set.Resources = []kmsg.IncrementalAlterConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeGroupConfig,
		ResourceName: "share", Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{earliest}}}
	if _, err := set.RequestWith(ctx, in); err != nil {
		r.t.Error(err)
		return
	}
	for i := range n {
		if err := in.ProduceSync(ctx, kgo.StringRecord(fmt.Sprint(i))).FirstErr(); err != nil {
			r.t.Error(err)
			return
		}
	}
	cl := r.client(kgo.ShareGroup("share"), kgo.ConsumeTopics("shared"), kgo.ShareMaxRecords(3),
		kgo.ShareAckCallback(func(_ *kgo.Client, results kgo.ShareAckResults) {
			if err := results.Error(); err != nil {
				r.t.Errorf("an acknowledgement was refused: %v", err)
			}
		}))
	seen := map[string]int{}
	for len(seen) < n && ctx.Err() == nil {
		for _, record := range cl.PollFetches(ctx).Records() {
			seen[string(record.Value)]++
			record.Ack(kgo.AckAccept)
		}
		r.went()
	}
	if err := cl.FlushAcks(ctx); err != nil {
		r.t.Error(err)
	}
	for value, times := range seen {
		if times != 1 {
			r.t.Errorf("the share group has got %s %d times", value, times)
		}
	}
}
