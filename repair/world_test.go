package repair_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/broker/brokertest"
	"once/internal/files"
	"once/internal/kafkatest"
	"once/internal/vfs"
	"once/log"
	"once/log/batch"
)

// client talks to a broker in the words of the protocol.
type client struct {
	t    *testing.T
	conn *kafkatest.Conn
	at   int64 // timestamp of the next batch
}

func dial(t *testing.T, b *brokertest.Broker) *client {
	t.Helper()
	conn, err := kafkatest.Dial(b.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &client{t: t, conn: conn, at: time.Now().UnixMilli()}
}

func (c *client) ask(r kmsg.Request) kmsg.Response {
	c.t.Helper()
	resp, err := c.conn.Request(r)
	if err != nil {
		c.t.Fatalf("%s: %v", kmsg.NameForKey(r.Key()), err)
	}
	return resp
}

func (c *client) topic(name string, set map[string]string) {
	c.t.Helper()
	r := kmsg.NewPtrCreateTopicsRequest()
	r.Version = 7
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, 1, 1
	for k, v := range set {
		t.Configs = append(t.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: k, Value: &v})
	}
	r.Topics = append(r.Topics, t)
	if code := c.ask(r).(*kmsg.CreateTopicsResponse).Topics[0].ErrorCode; code != 0 {
		c.t.Fatal("create topic: code", code)
	}
}

// produce sends a batch and returns the error code.
func (c *client) produce(topic string, o batch.BuildOptions, records ...batch.Record) int16 {
	c.t.Helper()
	for i := range records {
		records[i].OffsetDelta = int32(i)
	}
	o.TimestampMs, o.LeaderEpoch = c.at, -1
	c.at += 10
	r := kmsg.NewPtrProduceRequest()
	r.Version, r.Acks, r.TimeoutMillis = 12, -1, 10_000
	if o.Transactional {
		r.TransactionID = kmsg.StringPtr(transactionalID)
	}
	t := kmsg.NewProduceRequestTopic()
	t.Topic = topic
	t.Partitions = []kmsg.ProduceRequestTopicPartition{{Records: batch.Build(o, records...)}}
	r.Topics = append(r.Topics, t)
	return c.ask(r).(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode
}

var plain = batch.BuildOptions{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1}

func (c *client) mustProduce(topic, key, value string) {
	c.t.Helper()
	if code := c.produce(topic, plain, batch.Record{Key: []byte(key), Value: []byte(value)}); code != 0 {
		c.t.Fatal("produce: code", code)
	}
}

const transactionalID = "payer"

// transaction begins one with a record and an offset of a group, and ends it if that is asked for.
func (c *client) transaction(topic, value string, end bool) {
	c.t.Helper()
	begin := kmsg.NewPtrInitProducerIDRequest()
	begin.Version, begin.TransactionTimeoutMillis = 4, 900_000
	begin.TransactionalID = kmsg.StringPtr(transactionalID)
	p := c.ask(begin).(*kmsg.InitProducerIDResponse)
	if p.ErrorCode != 0 {
		c.t.Fatal("init producer id: code", p.ErrorCode)
	}
	o := batch.BuildOptions{ProducerID: p.ProducerID, ProducerEpoch: p.ProducerEpoch, Transactional: true}
	if code := c.produce(topic, o, batch.Record{Key: []byte("key"), Value: []byte(value)}); code != 0 {
		c.t.Fatal("produce: code", code)
	}
	if !end {
		return
	}
	r := kmsg.NewPtrEndTxnRequest()
	r.Version, r.TransactionalID, r.Commit = 5, transactionalID, true
	r.ProducerID, r.ProducerEpoch = p.ProducerID, p.ProducerEpoch
	if code := c.ask(r).(*kmsg.EndTxnResponse).ErrorCode; code != 0 {
		c.t.Fatal("end: code", code)
	}
}

// commit commits an offset with metadata and returns the error code.
func (c *client) commit(group, topic string, offset int64, metadata string) int16 {
	c.t.Helper()
	r := kmsg.NewPtrOffsetCommitRequest()
	r.Version, r.Group, r.Generation = 8, group, -1
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Offset, p.Metadata = offset, &metadata
	r.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: topic, Partitions: []kmsg.OffsetCommitRequestTopicPartition{p}}}
	return c.ask(r).(*kmsg.OffsetCommitResponse).Topics[0].Partitions[0].ErrorCode
}

// committed returns the offset of a group, -1 for none.
func (c *client) committed(group, topic string) int64 {
	c.t.Helper()
	r := kmsg.NewPtrOffsetFetchRequest()
	r.Version = 8
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group, g.Topics = group, []kmsg.OffsetFetchRequestGroupTopic{{Topic: topic, Partitions: []int32{0}}}
	r.Groups = append(r.Groups, g)
	p := c.ask(r).(*kmsg.OffsetFetchResponse).Groups[0].Topics[0].Partitions[0]
	if p.ErrorCode != 0 {
		c.t.Fatal("offset fetch: code", p.ErrorCode)
	}
	return p.Offset
}

// values reads a topic to its end and returns its records by offset, and the error code that came instead of more.
func (c *client) values(topic string) (found map[int64]string, code int16) {
	c.t.Helper()
	found = map[int64]string{}
	for at, end := int64(0), int64(1); at < end; {
		r := kmsg.NewPtrFetchRequest()
		r.Version, r.ReplicaID, r.MaxBytes, r.SessionEpoch = 12, -1, 1<<20, -1
		p := kmsg.NewFetchRequestTopicPartition()
		p.FetchOffset, p.PartitionMaxBytes = at, 1<<20
		r.Topics = []kmsg.FetchRequestTopic{{Topic: topic, Partitions: []kmsg.FetchRequestTopicPartition{p}}}
		answer := c.ask(r).(*kmsg.FetchResponse).Topics[0].Partitions[0]
		if answer.ErrorCode != 0 {
			return found, answer.ErrorCode
		}
		end = answer.HighWatermark
		if len(answer.RecordBatches) == 0 {
			return found, 0 // nothing up to the end
		}
		for raw := answer.RecordBatches; len(raw) > 0; {
			h, err := batch.ParseHeader(raw)
			if err != nil || h.SizeBytes() > len(raw) {
				c.t.Fatalf("fetch of %s at %d: %v", topic, at, err)
			}
			for rec, err := range batch.Records(raw[:h.SizeBytes()], 1<<20) {
				if err != nil {
					c.t.Fatal(err)
				}
				if offset := h.BaseOffset + int64(rec.OffsetDelta); !h.IsControl() {
					found[offset] = string(rec.Value)
				}
			}
			raw, at = raw[h.SizeBytes():], h.NextOffset()
		}
	}
	return found, 0
}

// start runs a broker that compacts at once what it can.
func start(t *testing.T, dir string, options ...brokertest.Option) *brokertest.Broker {
	t.Helper()
	settings := brokertest.WithSettings(t, map[string]string{
		"log.cleaner.backoff.ms": "20", "flush.interval.ms": "20", "log.cleaner.min.cleanable.ratio": "0.01",
		"offsets.topic.num.partitions": "1", "offsets.topic.segment.bytes": "2800000",
		"transaction.state.log.num.partitions": "1",
	})
	return brokertest.Start(t, append([]brokertest.Option{brokertest.WithDataDir(dir), settings}, options...)...)
}

func stop(t *testing.T, b *brokertest.Broker) {
	t.Helper()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
}

// segments returns the .log files of a partition.
func segments(t *testing.T, dir, partition string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, partition, "*"+log.LogSuffix))
	if err != nil || len(names) == 0 {
		t.Fatalf("no segments of %s: %v", partition, err)
	}
	slices.Sort(names)
	return names
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t *testing.T, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(name, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

// eachBatch calls f with each batch of a segment.
func eachBatch(t *testing.T, segment []byte, f func(h batch.Header, raw []byte)) {
	t.Helper()
	for len(segment) > 0 {
		h, err := batch.ParseHeader(segment)
		if err != nil {
			t.Fatal(err)
		}
		f(h, segment[:h.SizeBytes()])
		segment = segment[h.SizeBytes():]
	}
}

// noise is text of a length that differs from call to call and that nothing compresses.
func noise(dice *rand.Rand, least, most int) string {
	b := make([]byte, least+dice.Intn(most-least))
	for i := range b {
		b[i] = byte('a' + dice.Intn(26))
	}
	return string(b)
}

// inMemory copies the logs of a directory, under the same names; the metadata stays where it is.
func inMemory(t *testing.T, to *vfs.Mem, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if err := to.MkdirAll(filepath.Dir(name)); err != nil {
			return err
		}
		f, err := to.Create(name)
		if err != nil {
			return err
		}
		_, err = f.WriteAt(read(t, name), 0)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	to.SyncAll()
}

// filesIn returns the content of all files of a partition that make up its log, and of those that were moved aside.
func filesIn(t *testing.T, under vfs.FS, dir, partition string) (logs map[string][]byte, aside [][]byte) {
	t.Helper()
	names, err := under.List(filepath.Join(dir, partition))
	if err != nil {
		t.Fatal(err)
	}
	logs = map[string][]byte{}
	for _, name := range names {
		b, err := files.ReadSmall(under, filepath.Join(dir, partition, name))
		if err != nil {
			t.Fatal(err)
		}
		_, suffix, _ := log.ParseFileName(name)
		if suffix == log.LogSuffix {
			logs[name] = b
		}
		if strings.HasPrefix(suffix, log.DamagedInfix) {
			aside = append(aside, b)
		}
	}
	return logs, aside
}

func mustEqualFiles(t *testing.T, got, want map[string][]byte) {
	t.Helper()
	for name, b := range want {
		if !bytes.Equal(got[name], b) {
			t.Fatalf("%s has %d bytes, want %d", name, len(got[name]), len(b))
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%d segments, want %d", len(got), len(want))
	}
}

func mustContainBytes(t *testing.T, files [][]byte, b []byte) {
	t.Helper()
	if !slices.ContainsFunc(files, func(f []byte) bool { return bytes.Equal(f, b) }) {
		t.Fatal("the damaged file is nowhere")
	}
}

// fingerprint is every name with the hash of its content.
func fingerprint(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fmt.Fprint(&b, name)
		if !d.IsDir() {
			fmt.Fprintf(&b, " %x", sha256.Sum256(read(t, name)))
		}
		b.WriteByte('\n')
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// containsLine says whether a line begins so.
func containsLine(text, begins string) bool { return strings.Contains("\n"+text, "\n"+begins) }
