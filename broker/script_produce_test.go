package broker_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/internal/script"
	"once/log/batch"
)

// Several batches at once: in one request, or in requests that do not wait for each other's answers. Each
// input line has the arguments of produce.
func init() {
	commands["produce-together"] = produceTogether
	commands["pipeline"] = pipeline
}

// lines makes a command of each input line, with the position of the whole.
func lines(p *peer, c script.Command) []script.Command {
	all := make([]script.Command, len(c.Input))
	for i, line := range c.Input {
		all[i] = script.Command{Name: c.Name, Pos: c.Pos}
		for _, word := range strings.Fields(line) {
			name, value, found := strings.Cut(word, "=")
			all[i].Args = append(all[i].Args, script.Arg{Name: name, Value: value, IsFlag: !found})
		}
	}
	if len(all) == 0 {
		p.t.Fatalf("%s: no input lines", c.Pos)
	}
	return all
}

// batchOf builds the batch of a produce: [producer=p epoch=E sequence=S] [records=N] [plain] [time=MS]
// [step=MS] [no-key] [key=K] [keys=[K …]]. Each record is step later than the one before; keys has a record for each.
func (p *peer) batchOf(c script.Command) []byte {
	value := bytes.Repeat([]byte("v"), int(p.int(c, "value", 1)))
	keys := c.List("keys")
	records := make([]batch.Record, p.int(c, "records", max(1, int64(len(keys)))))
	for j := range records {
		records[j] = batch.Record{OffsetDelta: int32(j), Key: []byte(c.String("key", "k")), Value: value,
			TimestampDeltaMs: int64(j) * p.int(c, "step", 0)}
		if len(keys) > 0 {
			records[j].Key = []byte(keys[j])
		}
		if c.Has("no-key") {
			records[j].Key = nil
		}
	}
	raw := batch.Build(batch.BuildOptions{
		ProducerID: p.producer(c), ProducerEpoch: int16(p.int(c, "epoch", -1)), BaseSequence: int32(p.int(c, "sequence", -1)),
		Transactional: !c.Has("plain"), TimestampMs: p.int(c, "time", time.Now().UnixMilli()), LeaderEpoch: -1,
	}, records...)
	if c.Has("gzip") {
		return gzipped(p.t, raw)
	}
	return raw
}

// gzipped compresses a batch.
func gzipped(t *testing.T, raw []byte) []byte {
	packed := bytes.NewBuffer(bytes.Clone(raw[:batch.HeaderSizeBytes]))
	w := gzip.NewWriter(packed)
	if _, err := w.Write(raw[batch.HeaderSizeBytes:]); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	b := packed.Bytes()
	const lengthAt, crcAt, attributesAt = 8, 17, 21
	binary.BigEndian.PutUint32(b[lengthAt:], uint32(len(b)-lengthAt-4))
	b[attributesAt+1] |= byte(batch.Gzip)
	binary.BigEndian.PutUint32(b[crcAt:], crc32.Checksum(b[attributesAt:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

// produceRequest has one batch to each line's partition. The arguments for the request stand in c.
func (p *peer) produceRequest(c script.Command, batches ...script.Command) *kmsg.ProduceRequest {
	r := kmsg.NewPtrProduceRequest()
	r.Version = int16(p.int(c, "version", 12))
	r.Acks, r.TimeoutMillis = int16(p.int(c, "acks", -1)), 10_000
	if !c.Has("no-id") && !c.Has("plain") {
		id := p.id(c)
		r.TransactionID = &id
	}
	for _, b := range batches {
		topic, i := p.place(b.String("to", "x-0"))
		at := slices.IndexFunc(r.Topics, func(t kmsg.ProduceRequestTopic) bool { return t.Topic == topic })
		if at < 0 {
			t := kmsg.NewProduceRequestTopic()
			t.Topic, t.TopicID = topic, p.topicIDs[topic]
			at, r.Topics = len(r.Topics), append(r.Topics, t)
		}
		t := &r.Topics[at]
		t.Partitions = append(t.Partitions, kmsg.ProduceRequestTopicPartition{Partition: i, Records: p.batchOf(b)})
	}
	return r
}

// producedTo is what a partition of a Produce answers.
func producedTo(rp *kmsg.ProduceResponseTopicPartition) string {
	if rp.ErrorCode != 0 {
		return code(rp.ErrorCode)
	}
	return fmt.Sprintf("offset %d", rp.BaseOffset)
}

// produceTogether: produce-together [id=t] [version=V] [acks=A] [no-id]: one request with a batch a line
func produceTogether(p *peer, c script.Command) string {
	resp, ok := p.ask(p.produceRequest(c, lines(p, c)...)).(*kmsg.ProduceResponse)
	if !ok {
		return closed
	}
	var out []string
	for i := range resp.Topics {
		t := &resp.Topics[i]
		for j := range t.Partitions {
			out = append(out, fmt.Sprintf("%s-%d %s", p.nameOf(t.Topic, t.TopicID), t.Partitions[j].Partition,
				producedTo(&t.Partitions[j])))
		}
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

// pipeline: pipeline: a request a line, all sent before the first answer is read
func pipeline(p *peer, c script.Command) string {
	conn := p.connect()
	var requests []*kmsg.ProduceRequest
	var sent []int32
	for _, line := range lines(p, c) {
		r := p.produceRequest(line, line)
		id, err := conn.Send(r)
		if err != nil {
			p.t.Fatal(err)
		}
		requests, sent = append(requests, r), append(sent, id)
	}
	var out []string
	for i, r := range requests {
		answer, err := conn.Receive(r, sent[i])
		if err != nil {
			p.t.Fatalf("%s: answer %d: %v", c.Pos, i+1, err)
		}
		out = append(out, producedTo(&answer.(*kmsg.ProduceResponse).Topics[0].Partitions[0]))
	}
	return strings.Join(out, "\n")
}
