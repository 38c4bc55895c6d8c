package broker_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/groupcoordinator"
	"once/internal/script"
	"once/log/batch"
)

func (p *peer) group(c script.Command) string {
	if g := c.String("group", "g"); g != "" {
		return g + p.suffix
	}
	return ""
}

// each splits x-0:10 into topic, partition and number.
func (p *peer) each(s string) (string, int32, int64) {
	place, n, _ := strings.Cut(s, ":")
	topic, i := p.place(place)
	offset, err := strconv.ParseInt(n, 10, 64)
	if err != nil {
		p.t.Fatalf("%q has no offset", s)
	}
	return topic, i, offset
}

// txnOffsetCommit: txn-commit [id=t] producer=p epoch=E [group=g] [generation=G member=M] offsets=[x-0:10 …]
// [version=V]
func (p *peer) txnOffsetCommit(c script.Command) string {
	r := kmsg.NewPtrTxnOffsetCommitRequest()
	r.Version = int16(p.int(c, "version", 5))
	r.TransactionalID, r.Group, r.ProducerID, r.ProducerEpoch = p.id(c), p.group(c), p.producer(c),
		int16(p.int(c, "epoch", 0))
	r.Generation, r.MemberID = int32(p.int(c, "generation", -1)), p.member(c)
	for _, s := range c.List("offsets") {
		topic, i, offset := p.each(s)
		t := kmsg.NewTxnOffsetCommitRequestTopic()
		t.Topic, t.TopicID = topic, p.topicIDs[topic]
		rp := kmsg.NewTxnOffsetCommitRequestTopicPartition()
		rp.Partition, rp.Offset = i, offset
		rp.Metadata = kmsg.StringPtr(c.String("metadata", ""))
		t.Partitions = append(t.Partitions, rp)
		r.Topics = append(r.Topics, t)
	}
	var out []string
	for _, t := range p.ask(r).(*kmsg.TxnOffsetCommitResponse).Topics {
		for _, rp := range t.Partitions {
			out = append(out, fmt.Sprintf("%s-%d %s", p.nameOf(t.Topic, t.TopicID), rp.Partition, code(rp.ErrorCode)))
		}
	}
	return strings.Join(out, "\n")
}

// offsetCommit: offset-commit [group=g] [generation=G member=M] offsets=[x-0:10 …] [version=V]
func (p *peer) offsetCommit(c script.Command) string {
	r := kmsg.NewPtrOffsetCommitRequest()
	r.Version = int16(p.int(c, "version", 8))
	r.Group, r.Generation, r.MemberID = p.group(c), int32(p.int(c, "generation", -1)), p.member(c)
	for _, s := range c.List("offsets") {
		topic, i, offset := p.each(s)
		t := kmsg.NewOffsetCommitRequestTopic()
		t.Topic, t.TopicID = topic, p.topicIDs[topic]
		rp := kmsg.NewOffsetCommitRequestTopicPartition()
		rp.Partition, rp.Offset = i, offset
		rp.Metadata = kmsg.StringPtr(strings.Repeat("m", int(p.int(c, "metadata-length", 0))))
		t.Partitions = append(t.Partitions, rp)
		r.Topics = append(r.Topics, t)
	}
	var out []string
	for _, t := range p.ask(r).(*kmsg.OffsetCommitResponse).Topics {
		for _, rp := range t.Partitions {
			out = append(out, fmt.Sprintf("%s-%d %s", p.nameOf(t.Topic, t.TopicID), rp.Partition, code(rp.ErrorCode)))
		}
	}
	return strings.Join(out, "\n")
}

// offsetFetch: offset-fetch [group=g] of=[x-0 …] [stable] [version=V] [as=M epoch=E], the latter from version 9 on
func (p *peer) offsetFetch(c script.Command) string {
	r := kmsg.NewPtrOffsetFetchRequest()
	r.Version = int16(p.int(c, "version", 8))
	r.RequireStable = c.Has("stable")
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group, g.MemberEpoch = p.group(c), int32(p.int(c, "epoch", -1))
	g.MemberID = p.optional(c, "as")
	for _, s := range c.List("of") {
		topic, i := p.place(s)
		g.Topics = append(g.Topics, kmsg.OffsetFetchRequestGroupTopic{Topic: topic, TopicID: p.topicIDs[topic],
			Partitions: []int32{i}})
	}
	r.Groups = append(r.Groups, g)
	rg := p.ask(r).(*kmsg.OffsetFetchResponse).Groups[0]
	if rg.ErrorCode != 0 {
		return code(rg.ErrorCode)
	}
	var out []string
	for _, t := range rg.Topics {
		for _, rp := range t.Partitions {
			out = append(out, fmt.Sprintf("%s-%d %s %d", p.nameOf(t.Topic, t.TopicID), rp.Partition, code(rp.ErrorCode),
				rp.Offset))
		}
	}
	if len(out) == 0 {
		return "none"
	}
	return strings.Join(out, "\n")
}

// offsetDelete: offset-delete [group=g] of=x-0
func (p *peer) offsetDelete(c script.Command) string {
	r := kmsg.NewPtrOffsetDeleteRequest()
	topic, i := p.place(c.String("of", "x-0"))
	r.Group = p.group(c)
	r.Topics = []kmsg.OffsetDeleteRequestTopic{{Topic: topic,
		Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: i}}}}
	resp := p.ask(r).(*kmsg.OffsetDeleteResponse)
	if resp.ErrorCode != 0 {
		return code(resp.ErrorCode)
	}
	return code(resp.Topics[0].Partitions[0].ErrorCode)
}

// storedOffsets: stored-offsets [group=g]: the records of the group's committed offsets in __consumer_offsets, with the
// version of their values and the topic of their topic ID
func storedOffsets(p *peer, c script.Command) string {
	group := p.group(c)
	place := fmt.Sprintf("__consumer_offsets-%d", groupcoordinator.PartitionOf(group, 50))
	var lines []string
	for from := int64(0); ; {
		raw := p.fetchOnce(script.Command{Pos: c.Pos, Args: []script.Arg{
			{Name: "of", Value: place}, {Name: "from", Value: strconv.FormatInt(from, 10)}}}).RecordBatches
		if len(raw) == 0 {
			break
		}
		for len(raw) > 0 {
			h, err := batch.ParseHeader(raw)
			if err != nil {
				p.t.Fatal(err)
			}
			for r, err := range batch.Records(raw[:h.SizeBytes()], 1<<20) {
				if err != nil {
					p.t.Fatal(err)
				}
				var k kmsg.OffsetCommitKey
				var v kmsg.OffsetCommitValue
				if h.IsControl() || k.ReadFrom(r.Key) != nil || k.Version > 1 || k.Group != group || v.ReadFrom(r.Value) != nil {
					continue
				}
				lines = append(lines, fmt.Sprintf("%s-%d offset %d, value of version %d, topic ID of %s", p.plainName(k.Topic),
					k.Partition, v.Offset, v.Version, p.topicName(v.TopicID)))
			}
			from, raw = h.NextOffset(), raw[h.SizeBytes():]
		}
	}
	return strings.Join(lines, "\n")
}

// fetch: fetch of=x-0 [from=O] [committed] [version=V]: offsets, batches, aborted transactions
func (p *peer) fetch(c script.Command) string {
	rp := p.fetchOnce(c)
	if rp.ErrorCode != 0 {
		return code(rp.ErrorCode)
	}
	out := []string{fmt.Sprintf("high_watermark=%d last_stable=%d log_start=%d", rp.HighWatermark, rp.LastStableOffset,
		rp.LogStartOffset)}
	out = append(out, p.describeBatches(rp.RecordBatches)...)
	switch {
	case rp.AbortedTransactions == nil && c.Has("committed"):
		out = append(out, "no list of aborted transactions")
	case len(rp.AbortedTransactions) > 0:
		for _, a := range rp.AbortedTransactions {
			out = append(out, fmt.Sprintf("aborted %s from %d", p.letter(a.ProducerID), a.FirstOffset))
		}
	}
	return strings.Join(out, "\n")
}

// showLog: log of=x-0: all batches
func (p *peer) showLog(c script.Command) string {
	rp := p.fetchOnce(c)
	if rp.ErrorCode != 0 {
		return code(rp.ErrorCode)
	}
	out := p.describeBatches(rp.RecordBatches)
	if len(out) == 0 {
		return "empty"
	}
	return strings.Join(out, "\n")
}

func (p *peer) fetchOnce(c script.Command) kmsg.FetchResponseTopicPartition {
	topic, i := p.place(c.String("of", "x-0"))
	r := kmsg.NewPtrFetchRequest()
	r.Version = int16(p.int(c, "version", 12))
	r.ReplicaID, r.MaxWaitMillis, r.MinBytes, r.MaxBytes, r.SessionEpoch = -1, 0, 0, 50<<20, -1
	if c.Has("committed") {
		r.IsolationLevel = 1
	}
	rp := kmsg.NewFetchRequestTopicPartition()
	rp.Partition, rp.FetchOffset, rp.PartitionMaxBytes = i, p.int(c, "from", 0), 10<<20
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID, t.Partitions = topic, p.topicIDs[topic], []kmsg.FetchRequestTopicPartition{rp}
	r.Topics = append(r.Topics, t)
	return p.ask(r).(*kmsg.FetchResponse).Topics[0].Partitions[0]
}

func (p *peer) describeBatches(raw []byte) []string {
	var out []string
	for len(raw) > 0 {
		h, err := batch.ParseHeader(raw)
		if err != nil || h.SizeBytes() > len(raw) {
			p.t.Fatalf("not whole batches: %v", err)
		}
		b := raw[:h.SizeBytes()]
		if _, err := batch.Verify(b); err != nil {
			p.t.Fatal(err)
		}
		who := "plain"
		if h.IsTransactional() || h.HasProducer() {
			who = producerAt(p, h.ProducerID, h.ProducerEpoch)
		}
		m, marker, _ := batch.ParseMarker(b)
		switch {
		case marker && m.Type == batch.Commit:
			out = append(out, fmt.Sprintf("%d commit %s", h.BaseOffset, who))
		case marker:
			out = append(out, fmt.Sprintf("%d abort %s", h.BaseOffset, who))
		default:
			out = append(out, fmt.Sprintf("%d data %s", h.BaseOffset, who))
		}
		raw = raw[h.SizeBytes():]
	}
	return out
}

// listOffsets: offsets of=x-0: earliest, latest by both isolation levels
func (p *peer) listOffsets(c script.Command) string {
	topic, i := p.place(c.String("of", "x-0"))
	at := func(timestamp int64, isolation int8) string {
		r := kmsg.NewPtrListOffsetsRequest()
		r.Version, r.ReplicaID, r.IsolationLevel = 7, -1, isolation
		rp := kmsg.NewListOffsetsRequestTopicPartition()
		rp.Partition, rp.Timestamp = i, timestamp
		r.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: topic, Partitions: []kmsg.ListOffsetsRequestTopicPartition{rp}}}
		got := p.ask(r).(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0]
		if got.ErrorCode != 0 {
			return code(got.ErrorCode)
		}
		return strconv.FormatInt(got.Offset, 10)
	}
	return fmt.Sprintf("earliest=%s latest=%s stable=%s", at(-2, 0), at(-1, 0), at(-1, 1))
}

// copyOf copies a data directory, but for its lock. A broker may run on it: while a file comes or goes, the
// copy is begun anew.
func copyOf(t *testing.T, dir string) string {
	for {
		to := t.TempDir()
		err := copyTree(dir, to)
		if err == nil {
			return to
		}
		if !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
}

func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o755)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), b, 0o644)
	})
}
