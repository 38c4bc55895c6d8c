package broker_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/twmb/franz-go/pkg/kmsg"

	"once/log/batch"
)

// part is what a Produce request carries for one partition; nil records are null.
type part struct {
	topic   string
	index   int32
	records []byte
}

// plainBatch is a good batch of one record, without a producer.
func plainBatch(value string) []byte {
	return batch.Build(batch.BuildOptions{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1,
		TimestampMs: time.Now().UnixMilli(), LeaderEpoch: -1},
		batch.Record{Key: []byte("k"), Value: []byte(value)})
}

// producerBatch is a good batch of one record of a producer.
func producerBatch(producerID int64, epoch int16, sequence int32, transactional bool) []byte {
	return batch.Build(batch.BuildOptions{ProducerID: producerID, ProducerEpoch: epoch, BaseSequence: sequence,
		Transactional: transactional,
		TimestampMs:   time.Now().UnixMilli(), LeaderEpoch: -1}, batch.Record{Key: []byte("k"), Value: []byte("v")})
}

// Positions of a batch's fields (spec: log 1).
const (
	atLength      = 8
	atMagic       = 16
	atCRC         = 17
	atAttributes  = 21
	atLastDelta   = 23
	atBaseTime    = 27
	atMaxTime     = 35
	atProducerID  = 43
	atEpoch       = 51
	atSequence    = 53
	atRecordCount = 57
	atRecords     = 61
)

// with puts bytes at a position of a copy of a batch, and leaves the CRC as it was.
func with(raw []byte, at int, b ...byte) []byte {
	raw = slices.Clone(raw)
	copy(raw[at:], b)
	return raw
}

// sealed gives a copy of a batch the CRC of its content.
func sealed(raw []byte) []byte {
	return with(raw, atCRC, binary.BigEndian.AppendUint32(nil,
		crc32.Checksum(raw[atAttributes:], crc32.MakeTable(crc32.Castagnoli)))...)
}

// counted is a batch that says it has count records, the last one at lastDelta.
func counted(raw []byte, count, lastDelta int32) []byte {
	return sealed(with(with(raw, atRecordCount, be32(count)...), atLastDelta, be32(lastDelta)...))
}

// filled is a batch with other bytes in the place of its records, length and CRC right.
func filled(raw []byte, attributes int16, records []byte) []byte {
	b := append(slices.Clone(raw[:atRecords]), records...)
	b = with(b, atLength, be32(int32(len(b)-12))...)
	return sealed(with(b, atAttributes, be16(attributes)...))
}

// varints is a run of zig-zag numbers.
func varints(numbers ...int64) (b []byte) {
	for _, n := range numbers {
		b = binary.AppendVarint(b, n)
	}
	return b
}

// record is a record's length and its body. A record without key, value and headers has the body
// attributes, timestamp delta, offset delta, -1, -1, 0.
func record(body ...[]byte) []byte {
	b := bytes.Join(body, nil)
	return append(varints(int64(len(b))), b...)
}

// codecs are Kafka's, by number.
var codecs = map[int16]string{1: "gzip", 2: "snappy", 3: "lz4", 4: "zstd"}

// deflated compresses what a reader gives as one stream of a codec.
func deflated(codec int16, from io.Reader) []byte {
	var out bytes.Buffer
	var to io.WriteCloser
	switch codec {
	case 1:
		to, _ = gzip.NewWriterLevel(&out, gzip.BestSpeed)
	case 2:
		b, _ := io.ReadAll(from)
		return snappy.Encode(nil, b)
	case 3:
		to = lz4.NewWriter(&out)
	case 4:
		to, _ = zstd.NewWriter(&out, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
	}
	// one Write after the other, not the writer's own ReadFrom
	if _, err := io.Copy(struct{ io.Writer }{to}, from); err != nil {
		panic(err)
	}
	if err := to.Close(); err != nil {
		panic(err)
	}
	return out.Bytes()
}

// zeros is n zero bytes.
func zeros(n int64) io.Reader { return io.LimitReader(zeroReader{}, n) }

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// bomb is one record whose value is n zeros, compressed.
func bomb(codec int16, n int64) []byte {
	head := bytes.Join([][]byte{{0}, varints(0, 0, -1, n)}, nil)
	body := io.MultiReader(bytes.NewReader(append(varints(int64(len(head))+n+1), head...)), zeros(n),
		bytes.NewReader([]byte{0}))
	return filled(plainBatch(""), codec, deflated(codec, body))
}

// gzipBomb is the same for gzip, made of one compressed mebibyte over and over: n counts mebibytes.
var gzipBomb = sync.OnceValue(func() []byte {
	const n = 900
	size := int64(n) << 20
	head := bytes.Join([][]byte{{0}, varints(0, 0, -1, size)}, nil)
	head = append(varints(int64(len(head))+size+1), head...)
	var out bytes.Buffer
	w, _ := gzip.NewWriterLevel(&out, gzip.BestCompression)
	step := func(b []byte) []byte {
		out.Reset()
		_, _ = w.Write(b)
		_ = w.Flush()
		return slices.Clone(out.Bytes())
	}
	mebibyte := make([]byte, 1<<20)
	all := step(head)
	first, again := step(mebibyte), step(mebibyte) // the first one still looks back at the head
	all = append(append(all, first...), bytes.Repeat(again, n-1)...)
	out.Reset()
	_, _ = w.Write([]byte{0})
	_ = w.Close()
	last := slices.Clone(out.Bytes())
	sum := crc32.NewIEEE()
	_, _ = sum.Write(head)
	for range n {
		_, _ = sum.Write(mebibyte)
	}
	_, _ = sum.Write([]byte{0})
	binary.LittleEndian.PutUint32(last[len(last)-8:], sum.Sum32())
	binary.LittleEndian.PutUint32(last[len(last)-4:], uint32(int64(len(head))+size+1))
	return filled(plainBatch(""), 1, append(all, last...))
})

// produceTo sends one Produce request and returns the code of each partition in order of
// their names, or closed.
func (h *hostile) produceTo(version, acks int16, id *string, parts ...part) string {
	h.t.Helper()
	r := kmsg.NewPtrProduceRequest()
	r.Version, r.Acks, r.TimeoutMillis, r.TransactionID = version, acks, 10_000, id
	for _, p := range parts {
		t := kmsg.NewProduceRequestTopic()
		t.Topic, t.TopicID = p.topic+h.suffix, h.topicIDs[p.topic+h.suffix]
		if strings.HasPrefix(p.topic, "__") {
			t.Topic = p.topic
		}
		t.Partitions = []kmsg.ProduceRequestTopicPartition{{Partition: p.index, Records: p.records}}
		r.Topics = append(r.Topics, t)
		h.sent += len(p.records)
	}
	if acks == 0 {
		return h.unanswered(r)
	}
	answer := h.ask(r)
	if answer == nil {
		return closed
	}
	var out []string
	for _, t := range answer.(*kmsg.ProduceResponse).Topics {
		for _, p := range t.Partitions {
			out = append(out, fmt.Sprintf("%s-%d %s", h.plainName(t.Topic), p.Partition, code(p.ErrorCode)))
		}
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

// unanswered sends a request that has no answer, and finds out by the next one whether the connection
// is still open.
func (h *hostile) unanswered(r kmsg.Request) string {
	h.t.Helper()
	c := h.dial()
	defer c.Close()
	if _, err := c.Send(r); err != nil {
		h.t.Fatal(err)
	}
	if _, err := c.Request(kmsg.NewPtrApiVersionsRequest()); err != nil {
		return closed
	}
	return "nothing"
}
