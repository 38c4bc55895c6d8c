package compat

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestAdminTopicLife(t *testing.T) {
	t.Parallel()
	adm, ctx, topic := admin(t), within(t), unique(t, "topic")
	size := "1048576"
	made, err := adm.CreateTopic(ctx, 3, 1, map[string]*string{"segment.bytes": &size}, topic)
	must(t, err)
	must(t, made.Err)
	if made.ID == (kadm.TopicID{}) || made.NumPartitions != 3 || made.ReplicationFactor != 1 {
		t.Errorf("created %+v", made)
	}
	if _, err := adm.CreateTopic(ctx, 3, 1, nil, topic); !errors.Is(err, kerr.TopicAlreadyExists) {
		t.Errorf("second create: %v", err)
	}
	if _, err := adm.CreateTopic(ctx, 1, 1, nil, "no/such:name"); !errors.Is(err, kerr.InvalidTopicException) {
		t.Errorf("bad name: %v", err)
	}
	if _, err := adm.CreateTopic(ctx, 0, 1, nil, unique(t, "topic")); !errors.Is(err, kerr.InvalidPartitions) {
		t.Errorf("no partitions: %v", err)
	}
	bad := "nonsense"
	if _, err := adm.CreateTopic(ctx, 1, 1, map[string]*string{"segment.bytes": &bad}, unique(t, "topic")); !errors.Is(err,
		kerr.InvalidConfig) {
		t.Errorf("bad configuration: %v", err)
	}
	dry := unique(t, "topic")
	validated, err := adm.ValidateCreateTopics(ctx, 1, 1, nil, dry)
	must(t, err)
	must(t, validated[dry].Err)

	visible(t, adm, topic, 3)
	details, err := adm.ListTopics(ctx)
	must(t, err)
	if d := details[topic]; d.Err != nil || len(d.Partitions) != 3 || d.ID != made.ID {
		t.Errorf("listed as %+v", d)
	}
	if details.Has(dry) {
		t.Error("a topic that was only validated exists")
	}
	grown, err := adm.UpdatePartitions(ctx, 5, topic)
	must(t, err)
	must(t, grown.Error())
	shrunk, err := adm.UpdatePartitions(ctx, 4, topic)
	must(t, err)
	if !errors.Is(shrunk[topic].Err, kerr.InvalidPartitions) {
		t.Errorf("fewer partitions: %v", shrunk[topic].Err)
	}
	visible(t, adm, topic, 5)
	deleted, err := adm.DeleteTopics(ctx, topic)
	must(t, err)
	must(t, deleted.Error())
	eventually(t, "the topic is gone", func() bool {
		details, err := adm.ListTopics(ctx, topic)
		must(t, err)
		return errors.Is(details[topic].Err, kerr.UnknownTopicOrPartition)
	})
	again, err := adm.DeleteTopics(ctx, topic)
	must(t, err)
	if !errors.Is(again[topic].Err, kerr.UnknownTopicOrPartition) {
		t.Errorf("second deletion: %v", again[topic].Err)
	}
}

func TestAdminRecreatedTopicIsEmpty(t *testing.T) {
	t.Parallel()
	adm, ctx, topic := admin(t), within(t), unique(t, "topic")
	for range 3 {
		made, err := adm.CreateTopic(ctx, 1, 1, nil, topic)
		must(t, err)
		must(t, made.Err)
		visible(t, adm, topic, 1)
		must(t, franz(t, kgo.DefaultProduceTopic(topic)).ProduceSync(ctx, kgo.StringRecord("x")).FirstErr())
		end, err := adm.ListEndOffsets(ctx, topic)
		must(t, err)
		if o := end[topic][0].Offset; o != 1 {
			t.Fatalf("end offset %d in a new topic with one record", o)
		}
		deleted, err := adm.DeleteTopics(ctx, topic)
		must(t, err)
		must(t, deleted.Error())
	}
}

func TestAdminConfigs(t *testing.T) {
	t.Parallel()
	adm, ctx, topic := admin(t), within(t), newTopic(t, 1)
	find := func(name string) *kadm.Config {
		t.Helper()
		all, err := adm.DescribeTopicConfigs(ctx, topic)
		must(t, err)
		rc, err := all.On(topic, nil)
		must(t, err)
		must(t, rc.Err)
		i := slices.IndexFunc(rc.Configs, func(c kadm.Config) bool { return c.Key == name })
		if i < 0 {
			t.Fatalf("no %s among %d configurations", name, len(rc.Configs))
		}
		return &rc.Configs[i]
	}
	for name, want := range map[string]string{"cleanup.policy": "delete", "retention.ms": "604800000",
		"segment.bytes": "1073741824", "min.insync.replicas": "1",
		"max.message.bytes": "1048588", "compression.type": "producer", "message.timestamp.type": "CreateTime"} {
		if c := find(name); c.MaybeValue() != want || c.Source == kmsg.ConfigSourceDynamicTopicConfig {
			t.Errorf("%s is %s (%v), want the default %s", name, c.MaybeValue(), c.Source, want)
		}
	}
	value := "compact"
	changed, err := adm.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "cleanup.policy",
		Value: &value}}, topic)
	must(t, err)
	must(t, changed[0].Err)
	eventually(t, "cleanup.policy is compact", func() bool {
		c := find("cleanup.policy")
		return c.MaybeValue() == "compact" && c.Source == kmsg.ConfigSourceDynamicTopicConfig
	})
	changed, err = adm.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.DeleteConfig, Name: "cleanup.policy"}}, topic)
	must(t, err)
	must(t, changed[0].Err)
	eventually(t, "cleanup.policy is the default", func() bool { return find("cleanup.policy").MaybeValue() == "delete" })
	changed, err = adm.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "no.such.setting",
		Value: &value}}, topic)
	must(t, err)
	if !errors.Is(changed[0].Err, kerr.InvalidConfig) {
		t.Errorf("unknown configuration: %v", changed[0].Err)
	}
	missing, err := adm.DescribeTopicConfigs(ctx, unique(t, "missing"))
	must(t, err)
	if !errors.Is(missing[0].Err, kerr.UnknownTopicOrPartition) {
		t.Errorf("configurations of a missing topic: %v", missing[0].Err)
	}
	meta, err := adm.BrokerMetadata(ctx)
	must(t, err)
	brokers, err := adm.DescribeBrokerConfigs(ctx, meta.Brokers[0].NodeID)
	must(t, err)
	must(t, brokers[0].Err)
	for _, name := range []string{"node.id", "log.dirs", "transaction.max.timeout.ms", "offsets.topic.num.partitions"} {
		if !slices.ContainsFunc(brokers[0].Configs, func(c kadm.Config) bool { return c.Key == name && c.Value != nil }) {
			t.Errorf("the broker's configurations have no %s", name)
		}
	}
}

func TestAdminDescribeCluster(t *testing.T) {
	t.Parallel()
	cl, ctx := franz(t), within(t)
	meta, err := kadm.NewClient(cl).BrokerMetadata(ctx)
	must(t, err)
	if len(meta.Brokers) != 1 || meta.Cluster == "" || meta.Controller != meta.Brokers[0].NodeID {
		t.Errorf("metadata %+v", meta)
	}
	resp, err := kmsg.NewPtrDescribeClusterRequest().RequestWith(ctx, cl)
	must(t, err)
	must(t, kerr.ErrorForCode(resp.ErrorCode))
	if resp.ClusterID != meta.Cluster || len(resp.Brokers) != 1 ||
		fmt.Sprintf("%s:%d", resp.Brokers[0].Host, resp.Brokers[0].Port) != fmt.Sprintf("%s:%d", meta.Brokers[0].Host,
			meta.Brokers[0].Port) {
		t.Errorf("DescribeCluster %+v, metadata %+v", resp, meta)
	}
	versions, err := kadm.NewClient(cl).ApiVersions(ctx)
	must(t, err)
	for _, v := range versions {
		must(t, v.Err)
		for key, name := range map[int16]string{0: "Produce", 1: "Fetch", 3: "Metadata", 22: "InitProducerId", 26: "EndTxn",
			66: "ListTransactions"} {
			if _, ok := v.KeyMaxVersion(key); !ok {
				t.Errorf("%s is not advertised", name)
			}
		}
	}
}

func TestAdminOffsets(t *testing.T) {
	t.Parallel()
	adm, ctx, topic := admin(t), within(t), newTopic(t, 1)
	producer := franz(t, kgo.DefaultProduceTopic(topic))
	for i := range 10 {
		must(t, producer.ProduceSync(ctx, &kgo.Record{Value: fmt.Append(nil, i),
			Timestamp: time.UnixMilli(1_700_000_000_000 + int64(i))}).FirstErr())
	}
	check := func(what string, list func() (kadm.ListedOffsets, error), want int64) {
		t.Helper()
		listed, err := list()
		must(t, err)
		if o := listed[topic][0]; o.Err != nil || o.Offset != want {
			t.Errorf("%s offset %d (%v), want %d", what, o.Offset, o.Err, want)
		}
	}
	check("start", func() (kadm.ListedOffsets, error) { return adm.ListStartOffsets(ctx, topic) }, 0)
	check("end", func() (kadm.ListedOffsets, error) { return adm.ListEndOffsets(ctx, topic) }, 10)
	check("stable", func() (kadm.ListedOffsets, error) { return adm.ListCommittedOffsets(ctx, topic) }, 10)
	check("highest timestamp", func() (kadm.ListedOffsets, error) { return adm.ListMaxTimestampOffsets(ctx, topic) }, 9)
	check("after all", func() (kadm.ListedOffsets, error) { return adm.ListOffsetsAfterMilli(ctx, 1<<50, topic) }, 10)

	var to kadm.Offsets
	to.AddOffset(topic, 0, 4, -1)
	cut, err := adm.DeleteRecords(ctx, to)
	must(t, err)
	if r := cut[topic][0]; r.Err != nil || r.LowWatermark != 4 {
		t.Errorf("DeleteRecords: low watermark %d (%v), want 4", r.LowWatermark, r.Err)
	}
	check("start after DeleteRecords", func() (kadm.ListedOffsets, error) { return adm.ListStartOffsets(ctx, topic) }, 4)
	if got := poll(t, franz(t, kgo.ConsumeTopics(topic)), 6); got[0].Offset != 4 {
		t.Errorf("reading begins at %d", got[0].Offset)
	}
	to = kadm.Offsets{}
	to.AddOffset(topic, 0, 11, -1)
	cut, err = adm.DeleteRecords(ctx, to)
	must(t, err)
	if r := cut[topic][0]; !errors.Is(r.Err, kerr.OffsetOutOfRange) {
		t.Errorf("DeleteRecords above the end: %v", r.Err)
	}
}

func TestAdminGroups(t *testing.T) {
	t.Parallel()
	adm, ctx, topic, group := admin(t), within(t), newTopic(t, 1), unique(t, "group")
	must(t, franz(t, kgo.DefaultProduceTopic(topic)).ProduceSync(ctx, kgo.StringRecord("x")).FirstErr())
	member := franz(t, kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.ClientID("member-1"))
	poll(t, member, 1)
	must(t, member.CommitUncommittedOffsets(ctx))

	listed, err := adm.ListGroups(ctx, "Stable")
	must(t, err)
	if g, ok := listed[group]; !ok || g.State != "Stable" || g.ProtocolType != "consumer" {
		t.Errorf("listed as %+v", g)
	}
	described, err := adm.DescribeGroups(ctx, group)
	must(t, err)
	if g := described[group]; g.State != "Stable" || len(g.Members) != 1 || g.Members[0].ClientID != "member-1" {
		t.Errorf("described as %+v", g)
	} else if assigned := described.AssignedPartitions(); !assigned.Lookup(topic, 0) {
		t.Errorf("assigned %v", assigned)
	}
	refused, err := adm.DeleteGroups(ctx, group)
	must(t, err)
	if !errors.Is(refused[group].Err, kerr.NonEmptyGroup) {
		t.Errorf("deletion of a group with members: %v", refused[group].Err)
	}
	lag, err := adm.Lag(ctx, group)
	must(t, err)
	if l := lag[group]; l.Error() != nil || l.Lag.Total() != 0 {
		t.Errorf("lag %d (%v)", l.Lag.Total(), l.Error())
	}
	member.CloseAllowingRebalance()
	eventually(t, "the group is empty", func() bool {
		described, err := adm.DescribeGroups(ctx, group)
		must(t, err)
		return described[group].State == "Empty"
	})
	var offsets kadm.Offsets
	offsets.AddOffset(topic, 0, 0, -1)
	must(t, adm.CommitAllOffsets(ctx, group, offsets))
	fetched, err := adm.FetchOffsets(ctx, group)
	must(t, err)
	if o, ok := fetched.Lookup(topic, 0); !ok || o.At != 0 {
		t.Errorf("offset %d after it was reset to 0", o.At)
	}
	var gone kadm.TopicsSet
	gone.Add(topic, 0)
	removed, err := adm.DeleteOffsets(ctx, group, gone)
	must(t, err)
	must(t, removed.Error())
	must(t, adm.CommitAllOffsets(ctx, group, offsets))
	deleted, err := adm.DeleteGroups(ctx, group)
	must(t, err)
	must(t, deleted.Error())
	again, err := adm.DeleteGroups(ctx, group)
	must(t, err)
	if !errors.Is(again[group].Err, kerr.GroupIDNotFound) {
		t.Errorf("second deletion: %v", again[group].Err)
	}
	missing, err := adm.DescribeGroups(ctx, unique(t, "missing"))
	must(t, err)
	for _, g := range missing {
		if g.State != "Dead" && !errors.Is(g.Err, kerr.GroupIDNotFound) {
			t.Errorf("a missing group is described as %s (%v)", g.State, g.Err)
		}
	}
}

func TestAdminTransactionsAndProducers(t *testing.T) {
	t.Parallel()
	adm, ctx, topic, id := admin(t), within(t), newTopic(t, 1), unique(t, "txn")
	producer := franz(t, kgo.TransactionalID(id), kgo.DefaultProduceTopic(topic))
	must(t, producer.BeginTransaction())
	must(t, producer.ProduceSync(ctx, kgo.StringRecord("a")).FirstErr())
	pid, epoch, err := producer.ProducerID(ctx)
	must(t, err)
	var set kadm.TopicsSet
	set.Add(topic, 0)
	producers := func() []kadm.DescribedProducer {
		described, err := adm.DescribeProducers(ctx, set)
		must(t, err)
		return described.SortedProducers()
	}
	if p := producers(); len(p) != 1 || p[0].ProducerID != pid || p[0].ProducerEpoch != epoch ||
		p[0].CurrentTxnStartOffset != 0 || p[0].LastSequence != 0 {
		t.Errorf("producers in the transaction: %+v, want id %d epoch %d", p, pid, epoch)
	}
	must(t, producer.EndTransaction(ctx, kgo.TryCommit))
	eventually(t, "no open transaction at the partition",
		func() bool { p := producers(); return len(p) == 1 && p[0].CurrentTxnStartOffset == -1 })
	eventually(t, "the transaction is complete", func() bool {
		described, err := adm.DescribeTransactions(ctx, id)
		must(t, err)
		return described[id].State == "CompleteCommit"
	})
	listed, err := adm.ListTransactions(ctx, []int64{pid}, nil)
	must(t, err)
	if l, ok := listed[id]; !ok || len(listed) != 1 || l.ProducerID != pid {
		t.Errorf("listed by producer id: %+v", listed)
	}
	missing, err := adm.DescribeTransactions(ctx, unique(t, "missing"))
	must(t, err)
	for _, m := range missing {
		if !errors.Is(m.Err, kerr.TransactionalIDNotFound) {
			t.Errorf("a missing transactional id: %v", m.Err)
		}
	}
}
