package tools

import (
	"context"
	"sync"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// positions are where a member of a group stands in the partitions that it was assigned. Kafka's consumer commits its
// position in all of them, those without a record too: the next run goes on from there.
type positions struct {
	fromBeginning bool // where a partition without a committed offset is begun

	mu sync.Mutex
	at kadm.Offsets
}

// assigned notes where reading begins: at the committed offset, else at the first or the last.
func (p *positions) assigned(ctx context.Context, client *kgo.Client, partitions map[string][]int32) {
	admin := kadm.NewClient(client)
	topics := kadm.TopicsSet{}
	for topic, numbers := range partitions {
		topics.Add(topic, numbers...)
	}
	if len(topics) == 0 {
		return
	}
	list := admin.ListEndOffsets
	if p.fromBeginning {
		list = admin.ListStartOffsets
	}
	begin, err := list(ctx, topics.Topics()...)
	if err != nil {
		return // then only what was read is committed
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	topics.Each(func(topic string, partition int32) {
		if o, ok := begin.Lookup(topic, partition); ok && o.Err == nil {
			p.at.AddOffset(topic, partition, o.Offset, -1)
		}
	})
}

func (p *positions) revoked(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for topic, numbers := range partitions {
		for _, partition := range numbers {
			delete(p.at[topic], partition)
		}
	}
}

// commit commits what was read, and where reading began in partitions that have neither a record read nor an offset.
func (p *positions) commit(ctx context.Context, client *kgo.Client, group string) error {
	if err := client.CommitUncommittedOffsets(ctx); err != nil {
		return err
	}
	p.mu.Lock()
	at := p.at
	p.mu.Unlock()
	if len(at) == 0 {
		return nil
	}
	admin := kadm.NewClient(client)
	committed, err := admin.FetchOffsets(ctx, group)
	if err != nil {
		return err
	}
	missing := kadm.Offsets{}
	at.Each(func(o kadm.Offset) {
		if has, ok := committed.Lookup(o.Topic, o.Partition); !ok || has.At < 0 {
			missing.Add(o)
		}
	})
	if len(missing) == 0 {
		return nil
	}
	byTopic := map[string]map[int32]kgo.EpochOffset{}
	missing.Each(func(o kadm.Offset) {
		if byTopic[o.Topic] == nil {
			byTopic[o.Topic] = map[int32]kgo.EpochOffset{}
		}
		byTopic[o.Topic][o.Partition] = kgo.EpochOffset{Epoch: -1, Offset: o.At}
	})
	var failed error
	client.CommitOffsetsSync(ctx, byTopic, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, _ *kmsg.OffsetCommitResponse,
		err error) {
		failed = err
	})
	return failed
}
