package cluster

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"once/log/batch"
	"once/partition"
	"once/settings"
	"once/sharecoordinator"
	"once/sharepartition/window"
	"once/topics"
)

// deadLetters writes records that share groups give up into other topics (spec: share-groups 13).
type deadLetters struct{ e *engine }

// A letter that cannot be written is tried so often, with pauses from the first to the longest.
const (
	letterTries      = 5
	firstLetterPause = time.Second
	maxLetterPause   = 30 * time.Second
)

// deadLetterEnable is the setting of a topic without which share groups write nothing into it.
const deadLetterEnable = "errors.deadletterqueue.group.enable"

// The headers of a letter.
const (
	headerTopic     = "__dlq.errors.topic"
	headerPartition = "__dlq.errors.partition"
	headerOffset    = "__dlq.errors.offset"
	headerGroup     = "__dlq.errors.group"
	headerCount     = "__dlq.errors.delivery.count"
	headerMessage   = "__dlq.errors.message"
)

// letterMessages are Kafka's texts.
var letterMessages = map[window.LetterReason]string{
	window.Rejected:      "Offset rejected by client.",
	window.DeliveryLimit: "Offset delivery count exceeded the threshold.",
}

// Write implements sharepartition.DeadLetters.
func (d *deadLetters) Write(ctx context.Context, k sharecoordinator.Key, topic string, letter window.Letter) error {
	target, err := d.target(topic)
	if err != nil {
		return err
	}
	source, ok := d.e.topics.LookupID(k.TopicID)
	if !ok {
		return errors.New("the topic of the records is gone")
	}
	from, ok := source.Partition(k.Partition)
	if !ok {
		return errors.New("the partition of the records is gone")
	}
	partitions := target.Partitions()
	to := partitions[int(k.Partition)%len(partitions)]
	copied := d.e.shareGroup(k.Group).DeadLetterCopy
	for offset := letter.FirstOffset; offset <= letter.LastOffset; offset++ {
		record := batch.Record{Headers: letterHeaders(k, source.Name, offset, letter)}
		if copied {
			record.Key, record.Value = d.contents(from, offset)
		}
		if err := d.append(ctx, to, record); err != nil {
			return fmt.Errorf("offset %d: %w", offset, err)
		}
	}
	return nil
}

// target returns the topic for letters, if share groups may write into it.
func (d *deadLetters) target(name string) (*topics.Topic, error) {
	s := d.e.configs.Settings()
	if prefix := s.DeadLetterTopicPrefix; !strings.HasPrefix(name, prefix) {
		return nil, fmt.Errorf("the name of topic %q does not begin with %q", name, prefix)
	}
	t, ok := d.e.topics.Lookup(name)
	if !ok && s.DeadLetterAutoCreateTopics {
		var err error
		t, err = d.e.topics.Create(topics.Spec{Name: strings.Clone(name), Partitions: s.NumPartitions,
			Overrides: settings.Values{
				deadLetterEnable: "true", "message.timestamp.type": "CreateTime",
			}})
		if errors.Is(err, topics.ErrExists) {
			t, _ = d.e.topics.Lookup(name)
		} else if err != nil {
			return nil, err
		}
		ok = t != nil
	}
	switch {
	case !ok:
		return nil, fmt.Errorf("topic %q does not exist", name)
	case !t.Config().DeadLetterGroupEnable:
		return nil, fmt.Errorf("topic %q has %s off", name, deadLetterEnable)
	}
	return t, nil
}

func letterHeaders(k sharecoordinator.Key, topic string, offset int64, letter window.Letter) []batch.RecordHeader {
	header := func(name, value string) batch.RecordHeader {
		return batch.RecordHeader{Key: name, Value: []byte(value)}
	}
	return []batch.RecordHeader{
		header(headerTopic, topic),
		header(headerPartition, strconv.Itoa(int(k.Partition))),
		header(headerOffset, strconv.FormatInt(offset, 10)),
		header(headerGroup, k.Group),
		header(headerCount, strconv.Itoa(int(letter.DeliveryCount))),
		header(headerMessage, letterMessages[letter.Reason]),
	}
}

// contents returns key and value of a record; nil when it cannot be read any more.
func (d *deadLetters) contents(p *partition.Partition, offset int64) (key, value []byte) {
	read, err := p.Read(partition.ReadRequest{Offset: offset, MaxBytes: 1, AtLeastOne: true, CurrentLeaderEpoch: -1,
		LastFetchedEpoch: -1})
	if err != nil {
		return nil, nil
	}
	defer read.Slice.Release()
	raw, err := read.Slice.ReadInto(nil)
	if err != nil || len(raw) == 0 {
		return nil, nil
	}
	h, err := batch.ParseHeader(raw)
	if err != nil {
		return nil, nil
	}
	for r, err := range batch.Records(raw, d.e.env.Settings.MaxDecompressedBatchBytes) {
		if err != nil {
			return nil, nil
		}
		if h.BaseOffset+int64(r.OffsetDelta) == offset {
			return r.Key, r.Value
		}
	}
	return nil, nil
}

// append writes one letter, again after a pause where that fails.
func (d *deadLetters) append(ctx context.Context, p *partition.Partition, record batch.Record) error {
	pause := firstLetterPause
	for try := 1; ; try++ {
		raw := batch.Build(batch.BuildOptions{
			ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1, TimestampMs: d.e.env.Clock.Now().UnixMilli(),
		}, record)
		appended, err := p.AppendClient(raw, 0, latestProduce)
		if err == nil {
			err = appended.Durable.Wait(ctx)
		}
		if err == nil || try == letterTries || ctx.Err() != nil {
			return err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
		pause = min(2*pause, maxLetterPause)
	}
}

// latestProduce is a version of Produce that has no downgrades.
const latestProduce = 13
