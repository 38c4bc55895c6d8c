package groupcoordinator

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/groupcoordinator/consumergroup"
	"once/internal/script"
	"once/log/batch"
)

// What scripts do with offsets, and how they show what the state log is given.

// offsets: offsets=[x-0:10 …] [topic-id=N]; behind another colon the length of the metadata
func offsets(t *testing.T, c script.Command) (all []OffsetCommit) {
	for _, word := range c.List("offsets") {
		fields := strings.Split(word, ":")
		p, err := script.ParsePartition(fields[0])
		numbers := make([]int64, 2)
		for i, field := range fields[1:] {
			if err == nil {
				numbers[i], err = strconv.ParseInt(field, 10, 64)
			}
		}
		if err != nil {
			t.Fatalf("%s: %v", c.Pos, err)
		}
		all = append(all, OffsetCommit{
			Topic: p.Topic, TopicID: topicID(t, c), Partition: p.Index, Offset: numbers[0], LeaderEpoch: -1,
			Metadata: strings.Repeat("m", int(numbers[1])),
		})
	}
	return all
}

// offsetCommit: offset-commit [group=g] [member=a] [instance=i] [generation=-1] offsets=[x-0:10 …] [retention=D]
func (s *conversation) offsetCommit(c script.Command) string {
	r := CommitRequest{
		GroupID: groupID(c), KnowsMemberEpochs: true, MemberID: s.member(c), InstanceID: instance(c),
		Generation: s.generation(c, -1),
		Retention:  c.Duration(s.t, "retention", -1), Offsets: offsets(s.t, c),
	}
	return committedTo(c, now(s.t, s.w.c.CommitOffsets(&r)))
}

// txnCommit: txn-commit, with the arguments of offset-commit but the retention, and producer=P [epoch=0]
func (s *conversation) txnCommit(c script.Command) string {
	r := TxnCommitRequest{
		GroupID: groupID(c), MemberID: s.member(c), InstanceID: instance(c), Generation: s.generation(c, -1),
		ProducerID: c.Int(s.t, "producer", -1), ProducerEpoch: int16(c.Int(s.t, "epoch", 0)), Offsets: offsets(s.t, c),
	}
	return committedTo(c, now(s.t, s.w.c.TxnCommitOffsets(&r, 7)))
}

// committedTo is ok, the code of all, or a line for each offset when some were refused.
func committedTo(c script.Command, r CommitResult) string {
	if r.Err != nil || r.Offsets == nil {
		return codes.OK(r.Err)
	}
	return each(c.List("offsets"), r.Offsets)
}

// each has a line for each partition, whose name stands before a colon in its word.
func each(words []string, errs []error) string {
	var lines []string
	for i, err := range errs {
		name, _, _ := strings.Cut(words[i], ":")
		lines = append(lines, name+" "+codes.OK(err))
	}
	return strings.Join(lines, "\n")
}

// offsetFetch: offset-fetch [group=g] [of=[x-0 …]] [topic-id=N] [stable]: without partitions all that there are
func (s *conversation) offsetFetch(c script.Command) string {
	r := FetchRequest{GroupID: groupID(c), MemberEpoch: -1, All: !c.Has("of"), RequireStable: c.Has("stable")}
	for _, p := range c.Partitions(s.t, "of") {
		r.Topics = append(r.Topics, FetchTopic{Topic: p.Topic, TopicID: topicID(s.t, c), Partitions: []int32{p.Index}})
	}
	result := now(s.t, s.w.c.FetchOffsets(&r))
	if result.Err != nil {
		return codes.Of(result.Err)
	}
	var lines []string
	for _, topic := range result.Topics {
		for _, o := range topic.Partitions {
			line := fmt.Sprintf("%s-%d %d", topic.Topic, o.Partition, o.Offset)
			if o.Err != nil {
				line = fmt.Sprintf("%s-%d %s", topic.Topic, o.Partition, codes.Of(o.Err))
			}
			lines = append(lines, line)
		}
	}
	if lines == nil {
		return "none"
	}
	return strings.Join(lines, "\n")
}

// offsetDelete: offset-delete [group=g] of=[x-0 …]
func (s *conversation) offsetDelete(c script.Command) string {
	r := DeleteOffsetsRequest{GroupID: groupID(c)}
	for _, p := range c.Partitions(s.t, "of") {
		r.Offsets = append(r.Offsets, TopicPartition{p.Topic, p.Index})
	}
	result := now(s.t, s.w.c.DeleteOffsets(&r))
	if result.Err != nil {
		return codes.Of(result.Err)
	}
	return each(c.List("of"), result.Offsets)
}

// describeBatch returns a batch as scripts show it, and its kind for crashes.
func (s *conversation) describeBatch(raw []byte) (text, kind string) {
	h, err := batch.ParseHeader(raw)
	if err != nil {
		s.t.Fatal(err)
	}
	m, isMarker, err := batch.ParseMarker(raw)
	if err != nil {
		s.t.Fatal(err)
	}
	if isMarker {
		return fmt.Sprintf("marker %v producer=%d epoch=%d", m.Type, m.ProducerID, m.ProducerEpoch), "marker"
	}
	var words []string
	for b, err := range batch.Records(raw, len(raw)) {
		if err != nil {
			s.t.Fatal(err)
		}
		r, err := decodeRecord(b.Key, b.Value)
		if err != nil {
			s.t.Fatal(err)
		}
		text, kind = s.describeRecord(&r)
		words = append(words, text)
	}
	slices.Sort(words)
	text = "append " + kind + " " + strings.Join(words, " ")
	if h.IsTransactional() {
		text += fmt.Sprintf(" producer=%d epoch=%d", h.ProducerID, h.ProducerEpoch)
	}
	return text, kind
}

func (s *conversation) describeRecord(r *record) (text, kind string) {
	if of, ok := r.own.(consumergroup.Record); ok {
		return s.describeConsumerRecord(of), "consumers"
	}
	switch {
	case r.tombstone && r.kind == kindGroup:
		return r.group, "tombstones"
	case r.tombstone:
		return fmt.Sprintf("%s/%s-%d", r.group, r.topic, r.partition), "tombstones"
	case r.kind == kindGroup:
		return r.group + " " + s.describeValue(r.own.(classicRecord).meta), "group"
	}
	text = fmt.Sprintf("%s/%s-%d:%d", r.group, r.topic, r.partition, r.offset.offset)
	if r.offset.expireTimestampMs >= 0 {
		text += " expires=" + strconv.FormatInt(r.offset.expireTimestampMs-s.w.clock.Now().UnixMilli(), 10)
	}
	return text, "offsets"
}

func (s *conversation) describeValue(v *kmsg.GroupMetadataValue) string {
	text := fmt.Sprintf("generation=%d", v.Generation)
	for _, field := range []struct{ name, value string }{
		{"type", v.ProtocolType}, {"protocol", orEmpty(v.Protocol)}, {"leader", s.name(orEmpty(v.Leader))},
	} {
		if field.value != "" {
			text += " " + field.name + "=" + field.value
		}
	}
	var members []string
	for i := range v.Members {
		m := &v.Members[i]
		members = append(members, fmt.Sprintf("%s:%s", s.nameAt(m.MemberID, m.InstanceID), shownAssignment(m.Assignment)))
	}
	return text + fmt.Sprintf(" members=%v", members)
}

// encodeSubscription is a member's metadata: topics, and the partitions that it owns, as t+u:t-0+t-1. Other than
// Kafka's is what stands behind a question mark.
func encodeSubscription(s string) []byte {
	if other, found := strings.CutPrefix(s, "?"); found {
		return []byte(other)
	}
	topics, owned, _ := strings.Cut(s, ":")
	v := kmsg.NewConsumerMemberMetadata()
	v.Version, v.Topics = 1, words(topics)
	for _, word := range words(owned) {
		p, err := script.ParsePartition(word)
		if err != nil {
			panic(err)
		}
		owned := kmsg.NewConsumerMemberMetadataOwnedPartition()
		owned.Topic, owned.Partitions = p.Topic, []int32{p.Index}
		v.OwnedPartitions = append(v.OwnedPartitions, owned)
	}
	return v.AppendTo(nil)
}

func decodeSubscription(b []byte) string {
	v := kmsg.NewConsumerMemberMetadata()
	if err := v.ReadFrom(b); err != nil {
		return "?" + string(b)
	}
	var owned []string
	for _, o := range v.OwnedPartitions {
		for _, p := range o.Partitions {
			owned = append(owned, fmt.Sprintf("%s-%d", o.Topic, p))
		}
	}
	if owned == nil {
		return strings.Join(v.Topics, "+")
	}
	return strings.Join(v.Topics, "+") + ":" + strings.Join(owned, "+")
}

func words(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, "+")
}
