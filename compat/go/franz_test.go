package compat

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"
)

var codecs = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
	"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
}

func TestFranzRoundTripOfEachCodec(t *testing.T) {
	for name, codec := range codecs {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			topic := newTopic(t, 1)
			ctx := within(t)
			producer := franz(t, kgo.ProducerBatchCompression(codec), kgo.DefaultProduceTopic(topic),
				kgo.ProducerLinger(5*time.Millisecond))
			var sent []*kgo.Record
			for i := range 200 {
				r := &kgo.Record{Key: fmt.Appendf(nil, "key-%d", i), Value: bytes.Repeat(fmt.Appendf(nil, "value-%d ", i), 20),
					Timestamp: time.UnixMilli(1_700_000_000_000 + int64(i)),
					Headers: []kgo.RecordHeader{{Key: "h", Value: fmt.Append(nil, i)}, {Key: "h", Value: nil},
						{Key: "", Value: []byte{0, 255}}}}
				switch i {
				case 1:
					r.Key = nil
				case 2:
					r.Value = nil
				case 3:
					r.Key, r.Value, r.Headers = []byte{}, []byte{}, nil
				}
				sent = append(sent, r)
			}
			must(t, producer.ProduceSync(ctx, sent...).FirstErr())
			consumer := franz(t, kgo.ConsumeTopics(topic))
			for i, got := range poll(t, consumer, len(sent)) {
				want := sent[i]
				if got.Offset != int64(i) || got.Offset != want.Offset {
					t.Fatalf("record %d: offset %d, acknowledged at %d", i, got.Offset, want.Offset)
				}
				if !bytes.Equal(got.Key, want.Key) || (got.Key == nil) != (want.Key == nil) ||
					!bytes.Equal(got.Value, want.Value) || (got.Value == nil) != (want.Value == nil) {
					t.Fatalf("record %d: key %q value %q, want %q %q", i, got.Key, got.Value, want.Key, want.Value)
				}
				if !got.Timestamp.Equal(want.Timestamp) || len(got.Headers) != len(want.Headers) {
					t.Fatalf("record %d: timestamp %v headers %v, want %v %v", i, got.Timestamp, got.Headers, want.Timestamp,
						want.Headers)
				}
				for j, h := range got.Headers {
					if h.Key != want.Headers[j].Key || !bytes.Equal(h.Value, want.Headers[j].Value) {
						t.Fatalf("record %d header %d: %v, want %v", i, j, h, want.Headers[j])
					}
				}
			}
		})
	}
}

func TestFranzAcksWithoutIdempotence(t *testing.T) {
	for name, acks := range map[string]kgo.Acks{"none": kgo.NoAck(), "leader": kgo.LeaderAck(), "all": kgo.AllISRAcks()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			topic := newTopic(t, 1)
			producer := franz(t, kgo.RequiredAcks(acks), kgo.DisableIdempotentWrite(), kgo.DefaultProduceTopic(topic))
			for i := range 50 {
				must(t, producer.ProduceSync(within(t), kgo.StringRecord(fmt.Sprint(i))).FirstErr())
			}
			for i, r := range poll(t, franz(t, kgo.ConsumeTopics(topic)), 50) {
				if string(r.Value) != fmt.Sprint(i) {
					t.Fatalf("record %d is %q", i, r.Value)
				}
			}
		})
	}
}

func TestFranzIdempotentProduceKeepsOrder(t *testing.T) {
	t.Parallel()
	topic := newTopic(t, 3)
	ctx := within(t)
	producer := franz(t, kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchMaxBytes(600))
	const n = 3000
	var failed error
	var mu sync.Mutex
	for i := range n {
		producer.Produce(ctx, &kgo.Record{Partition: int32(i % 3), Value: fmt.Append(nil, i)},
			func(_ *kgo.Record, err error) {
				mu.Lock()
				defer mu.Unlock()
				failed = errors.Join(failed, err)
			})
	}
	must(t, producer.Flush(ctx))
	must(t, failed)
	next := map[int32]int64{}
	for _, r := range poll(t, franz(t, kgo.ConsumeTopics(topic)), n) {
		if r.Offset != next[r.Partition] || string(r.Value) != fmt.Sprint(3*r.Offset+int64(r.Partition)) {
			t.Fatalf("partition %d offset %d: %q", r.Partition, r.Offset, r.Value)
		}
		if r.ProducerID < 0 {
			t.Fatalf("partition %d offset %d has no producer ID", r.Partition, r.Offset)
		}
		next[r.Partition]++
	}
}

func TestFranzGroupResumesAtCommittedOffset(t *testing.T) {
	for name, cap := range map[string]*kversion.Versions{"stable": nil, "V2_4": kversion.V2_4_0(),
		"V0_11": kversion.V0_11_0()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			topic, group := newTopic(t, 1), unique(t, "group")
			ctx := within(t)
			opts := []kgo.Opt{kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
				kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())}
			if cap != nil {
				opts = append(opts, kgo.MaxVersions(cap))
			}
			for i := range 20 {
				must(t, franz(t, kgo.DefaultProduceTopic(topic)).ProduceSync(ctx, kgo.StringRecord(fmt.Sprint(i))).FirstErr())
			}
			first := franz(t, opts...)
			got := first.PollRecords(ctx, 7).Records()
			for len(got) < 7 {
				got = append(got, first.PollRecords(ctx, 7-len(got)).Records()...)
			}
			must(t, first.CommitRecords(ctx, got...))
			first.CloseAllowingRebalance()
			for i, r := range poll(t, franz(t, opts...), 13) {
				if r.Offset != int64(7+i) {
					t.Fatalf("resumed at offset %d, want %d", r.Offset, 7+i)
				}
			}
			offsets, err := admin(t).FetchOffsets(ctx, group)
			must(t, err)
			if o, ok := offsets.Lookup(topic, 0); !ok || o.At != 7 {
				t.Fatalf("committed offset %v, want 7", o.At)
			}
		})
	}
}

// rebalance lets a second member join, checks that the two share the partitions, lets the first leave and
// checks that the second gets them all and nothing is lost.
func TestFranzTwoMembersRebalance(t *testing.T) {
	balancers := map[string]kgo.GroupBalancer{"range": kgo.RangeBalancer(), "sticky": kgo.StickyBalancer(),
		"cooperative": kgo.CooperativeStickyBalancer()}
	for name, balancer := range balancers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			topic, group := newTopic(t, 4), unique(t, "group")
			ctx := within(t)
			producer := franz(t, kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()))
			var mu sync.Mutex
			owned := map[string]map[int32]bool{}
			seen := map[string]int{}
			member := func(name string) *kgo.Client {
				owned[name] = map[int32]bool{}
				change := func(own bool) func(context.Context, *kgo.Client, map[string][]int32) {
					return func(_ context.Context, _ *kgo.Client, parts map[string][]int32) {
						mu.Lock()
						defer mu.Unlock()
						for _, p := range parts[topic] {
							if own {
								owned[name][p] = true
							} else {
								delete(owned[name], p)
							}
						}
					}
				}
				cl := franz(t, kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.Balancers(balancer),
					kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
					kgo.OnPartitionsAssigned(change(true)), kgo.OnPartitionsRevoked(change(false)),
					kgo.OnPartitionsLost(change(false)),
					kgo.HeartbeatInterval(200*time.Millisecond), kgo.AutoCommitMarks(), kgo.AutoCommitInterval(100*time.Millisecond),
					kgo.ClientID(name))
				go func() { // ends when the client is closed
					for {
						fetches := cl.PollFetches(context.Background())
						if fetches.IsClientClosed() {
							return
						}
						fetches.EachRecord(func(r *kgo.Record) {
							mu.Lock()
							seen[string(r.Value)]++
							mu.Unlock()
							cl.MarkCommitRecords(r)
						})
					}
				}()
				return cl
			}
			sent := 0
			produce := func() {
				for range 40 {
					must(t, producer.ProduceSync(ctx, &kgo.Record{Partition: int32(sent % 4),
						Value: fmt.Append(nil, sent)}).FirstErr())
					sent++
				}
			}
			counts := func(a, b int) func() bool {
				return func() bool {
					mu.Lock()
					defer mu.Unlock()
					return len(owned["a"]) == a && len(owned["b"]) == b
				}
			}
			all := func() bool {
				mu.Lock()
				defer mu.Unlock()
				return len(seen) == sent
			}
			a := member("a")
			produce()
			eventually(t, "member a owns all", counts(4, 0))
			eventually(t, "member a read all", all)
			member("b")
			eventually(t, "a and b own two partitions each", counts(2, 2))
			produce()
			eventually(t, "both read all", all)
			described, err := admin(t).DescribeGroups(ctx, group)
			must(t, err)
			if g := described[group]; g.Err != nil || g.State != "Stable" || len(g.Members) != 2 ||
				g.ProtocolType != "consumer" || g.Protocol != balancer.ProtocolName() {
				t.Errorf("described as %s with %d members, protocol %s %s (%v)", g.State, len(g.Members), g.ProtocolType,
					g.Protocol, g.Err)
			}
			a.CloseAllowingRebalance()
			eventually(t, "member b owns all", func() bool {
				mu.Lock()
				defer mu.Unlock()
				return len(owned["b"]) == 4
			})
			produce()
			eventually(t, "b read all", all)
		})
	}
}

func TestFranzStaticMemberKeepsItsPartitions(t *testing.T) {
	t.Parallel()
	topic, group := newTopic(t, 2), unique(t, "group")
	ctx := within(t)
	opts := []kgo.Opt{kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.InstanceID("static-1"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())}
	must(t, franz(t, kgo.DefaultProduceTopic(topic)).ProduceSync(ctx, kgo.StringRecord("x")).FirstErr())
	first := franz(t, opts...)
	poll(t, first, 1)
	must(t, first.CommitUncommittedOffsets(ctx))
	_, generation := first.GroupMetadata()
	first.CloseAllowingRebalance() // a static member does not leave
	second := franz(t, opts...)
	must(t, franz(t, kgo.DefaultProduceTopic(topic)).ProduceSync(ctx, kgo.StringRecord("y")).FirstErr())
	if got := poll(t, second, 1); string(got[0].Value) != "y" {
		t.Fatalf("%q after a restart, want y", got[0].Value)
	}
	described, err := admin(t).DescribeGroups(ctx, group)
	must(t, err)
	members := described[group].Members
	if len(members) != 1 || members[0].InstanceID == nil || *members[0].InstanceID != "static-1" {
		t.Fatalf("members %+v", members)
	}
	if _, now := second.GroupMetadata(); now < generation {
		t.Errorf("generation %d after %d", now, generation)
	}
	left, err := admin(t).LeaveGroup(ctx, kadm.LeaveGroup(group).InstanceIDs("static-1"))
	must(t, err)
	must(t, left.Error())
}

func TestFranzAutoCreatesTopicOnMetadata(t *testing.T) {
	t.Parallel()
	topic := unique(t, "topic")
	ctx := within(t)
	cl := franz(t, kgo.AllowAutoTopicCreation(), kgo.DefaultProduceTopic(topic), kgo.ConsumeTopics(topic))
	must(t, cl.ProduceSync(ctx, kgo.StringRecord("made on the way")).FirstErr())
	poll(t, cl, 1)
	_, err := admin(t).DeleteTopics(ctx, topic)
	must(t, err)

	missing := unique(t, "topic")
	without := franz(t, kgo.DefaultProduceTopic(missing), kgo.UnknownTopicRetries(0))
	if err := without.ProduceSync(ctx, kgo.StringRecord("x")).FirstErr(); !errors.Is(err, kerr.UnknownTopicOrPartition) {
		t.Errorf("produce to a missing topic without leave to create it: %v", err)
	}
}

func TestFranzConsumeFromOffsetsAndTimestamps(t *testing.T) {
	t.Parallel()
	topic := newTopic(t, 1)
	ctx := within(t)
	producer := franz(t, kgo.DefaultProduceTopic(topic))
	base := time.UnixMilli(1_700_000_000_000)
	for i := range 30 {
		must(t, producer.ProduceSync(ctx, &kgo.Record{Value: fmt.Append(nil, i),
			Timestamp: base.Add(time.Duration(i) * time.Second)}).FirstErr())
	}
	for name, c := range map[string]struct {
		offset kgo.Offset
		first  int64
	}{
		"start": {kgo.NewOffset().AtStart(), 0}, "exact": {kgo.NewOffset().At(12), 12},
		"relative":     {kgo.NewOffset().AtEnd().Relative(-4), 26},
		"after time":   {kgo.NewOffset().AfterMilli(base.Add(9500 * time.Millisecond).UnixMilli()), 10},
		"out of range": {kgo.NewOffset().At(500), 30},
	} {
		cl := franz(t, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: c.offset}}),
			kgo.ConsumeResetOffset(kgo.NewOffset().AtEnd()))
		if c.first == 30 {
			quiet(t, cl, 500*time.Millisecond)
			continue
		}
		if got := poll(t, cl, 30-int(c.first)); got[0].Offset != c.first {
			t.Errorf("%s: first offset %d, want %d", name, got[0].Offset, c.first)
		}
	}
}
