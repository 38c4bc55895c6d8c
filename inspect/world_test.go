package inspect_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/broker/brokertest"
	"once/inspect"
	"once/internal/kafkatest"
	"once/internal/vfs"
	"once/log/batch"
)

// client talks to a broker in the words of the protocol.
type client struct {
	t    *testing.T
	conn *kafkatest.Conn
	at   int64 // timestamp of the next batch
}

func (c *client) ask(r kmsg.Request) kmsg.Response {
	c.t.Helper()
	resp, err := c.conn.Request(r)
	if err != nil {
		c.t.Fatalf("%s: %v", kmsg.NameForKey(r.Key()), err)
	}
	return resp
}

func (c *client) ok(code int16, what string) {
	c.t.Helper()
	if code != 0 {
		c.t.Fatalf("%s: code %d", what, code)
	}
}

func (c *client) topic(name string, partitions int32, set map[string]string) {
	c.t.Helper()
	r := kmsg.NewPtrCreateTopicsRequest()
	r.Version = 7
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, partitions, 1
	for k, v := range set {
		t.Configs = append(t.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: k, Value: &v})
	}
	r.Topics = append(r.Topics, t)
	c.ok(c.ask(r).(*kmsg.CreateTopicsResponse).Topics[0].ErrorCode, "create topic")
}

// producer is who writes, and as what.
type producer struct {
	id       string // transactional ID; "" for an idempotent one
	pid      int64
	epoch    int16
	v1       bool // speaks as before transactions V2
	sequence map[string]int32
}

func (c *client) producer(id string, v1 bool) *producer {
	c.t.Helper()
	r := kmsg.NewPtrInitProducerIDRequest()
	r.Version, r.TransactionTimeoutMillis = 4, 900_000
	if id != "" {
		r.TransactionalID = &id
	}
	resp := c.ask(r).(*kmsg.InitProducerIDResponse)
	c.ok(resp.ErrorCode, "init")
	return &producer{id: id, pid: resp.ProducerID, epoch: resp.ProducerEpoch, v1: v1, sequence: map[string]int32{}}
}

// produce sends one batch; p may be nil for a batch without a producer.
func (c *client) produce(p *producer, topic string, partition int32, values ...string) {
	c.t.Helper()
	var records []batch.Record
	for i, v := range values {
		records = append(records, batch.Record{OffsetDelta: int32(i), Key: []byte("key-" + v), Value: []byte(v)})
	}
	c.send(p, topic, partition, records...)
}

// send is produce for records with any key.
func (c *client) send(p *producer, topic string, partition int32, records ...batch.Record) *kmsg.ProduceRequest {
	c.t.Helper()
	o := batch.BuildOptions{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1, TimestampMs: c.at, LeaderEpoch: -1}
	c.at += 10
	r := kmsg.NewPtrProduceRequest()
	r.Version, r.Acks, r.TimeoutMillis = 12, -1, 10_000
	place := fmt.Sprintf("%s-%d", topic, partition)
	if p != nil {
		o.ProducerID, o.ProducerEpoch, o.BaseSequence = p.pid, p.epoch, p.sequence[place]
		p.sequence[place] += int32(len(records))
		if p.id != "" {
			r.TransactionID, o.Transactional = &p.id, true
		}
		if p.v1 {
			r.Version = 11
			c.addPartition(p, topic, partition)
		}
	}
	t := kmsg.NewProduceRequestTopic()
	t.Topic = topic
	t.Partitions = []kmsg.ProduceRequestTopicPartition{{Partition: partition, Records: batch.Build(o, records...)}}
	r.Topics = append(r.Topics, t)
	c.ok(c.ask(r).(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode, "produce")
	return r
}

func (c *client) addPartition(p *producer, topic string, partition int32) {
	c.t.Helper()
	r := kmsg.NewPtrAddPartitionsToTxnRequest()
	r.Version, r.TransactionalID, r.ProducerID, r.ProducerEpoch = 3, p.id, p.pid, p.epoch
	r.Topics = []kmsg.AddPartitionsToTxnRequestTopic{{Topic: topic, Partitions: []int32{partition}}}
	c.ok(c.ask(r).(*kmsg.AddPartitionsToTxnResponse).Topics[0].Partitions[0].ErrorCode, "add partition")
}

func (c *client) end(p *producer, commit bool) {
	c.t.Helper()
	r := kmsg.NewPtrEndTxnRequest()
	r.Version, r.TransactionalID, r.ProducerID, r.ProducerEpoch, r.Commit = 5, p.id, p.pid, p.epoch, commit
	if p.v1 {
		r.Version = 4
	}
	resp := c.ask(r).(*kmsg.EndTxnResponse)
	c.ok(resp.ErrorCode, "end")
	if !p.v1 {
		p.pid, p.epoch, p.sequence = resp.ProducerID, resp.ProducerEpoch, map[string]int32{}
	}
}

// stage puts an offset of a group into the transaction.
func (c *client) stage(p *producer, group, topic string, offset int64) {
	c.t.Helper()
	r := kmsg.NewPtrTxnOffsetCommitRequest()
	r.Version, r.TransactionalID, r.Group, r.ProducerID, r.ProducerEpoch, r.Generation = 5, p.id, group, p.pid, p.epoch, -1
	t := kmsg.NewTxnOffsetCommitRequestTopic()
	rp := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	rp.Offset = offset
	t.Topic, t.Partitions = topic, []kmsg.TxnOffsetCommitRequestTopicPartition{rp}
	r.Topics = append(r.Topics, t)
	c.ok(c.ask(r).(*kmsg.TxnOffsetCommitResponse).Topics[0].Partitions[0].ErrorCode, "stage")
}

func (c *client) commit(group, topic string, offset int64) {
	c.t.Helper()
	r := kmsg.NewPtrOffsetCommitRequest()
	r.Version, r.Group, r.Generation = 8, group, -1
	t := kmsg.NewOffsetCommitRequestTopic()
	rp := kmsg.NewOffsetCommitRequestTopicPartition()
	rp.Offset = offset
	t.Topic, t.Partitions = topic, []kmsg.OffsetCommitRequestTopicPartition{rp}
	r.Topics = append(r.Topics, t)
	c.ok(c.ask(r).(*kmsg.OffsetCommitResponse).Topics[0].Partitions[0].ErrorCode, "commit")
}

// join makes a classic group of one member.
func (c *client) join(group string) {
	c.t.Helper()
	r := kmsg.NewPtrJoinGroupRequest()
	r.Version, r.Group, r.ProtocolType, r.SessionTimeoutMillis, r.RebalanceTimeoutMillis = 3, group, "consumer", 30_000, 30_000
	r.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: []byte("\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")}}
	resp := c.ask(r).(*kmsg.JoinGroupResponse)
	c.ok(resp.ErrorCode, "join")
	s := kmsg.NewPtrSyncGroupRequest()
	s.Version, s.Group, s.MemberID, s.Generation = 2, group, resp.MemberID, resp.Generation
	s.GroupAssignment = []kmsg.SyncGroupRequestGroupAssignment{{MemberID: resp.MemberID, MemberAssignment: []byte("all")}}
	c.ok(c.ask(s).(*kmsg.SyncGroupResponse).ErrorCode, "sync")
}

// openID is the transactional ID that the fixture leaves with a transaction open.
const openID = "left-open"

// fixture is a directory of everything, as a running broker has it and as a clean stop leaves it. The
// log x-0 has four segments, which timestamps far apart made: those of markers lie before all others.
type fixture struct {
	once           sync.Once
	running, clean string
	root           string
}

var made fixture

func TestMain(m *testing.M) {
	code := m.Run()
	if made.root != "" {
		_ = os.RemoveAll(made.root)
	}
	os.Exit(code)
}

// build runs a broker and takes both directories.
func (f *fixture) build(t *testing.T) {
	var err error
	if f.root, err = os.MkdirTemp("", "once-inspect-"); err != nil {
		t.Fatal(err)
	}
	f.clean, f.running = filepath.Join(f.root, "clean"), filepath.Join(f.root, "running")
	// No barrier but those that are asked for: what stands above the last one is known.
	b := brokertest.Start(t, brokertest.WithDataDir(f.clean), brokertest.WithSettings(t, map[string]string{"flush.interval.ms": "3600000"}))
	conn, err := kafkatest.Dial(b.Addr())
	if err != nil {
		t.Fatal(err)
	}
	c := &client{t: t, conn: conn, at: time.Now().Add(30 * time.Minute).UnixMilli()}
	tell(c)
	conn.Close()
	copyTree(t, f.clean, f.running)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
}

// tell is what happens in the fixture. Initializing a producer is a barrier.
func tell(c *client) {
	c.topic("x", 2, map[string]string{"segment.ms": "60000", "index.interval.bytes": "64"})
	c.topic("zipped", 1, map[string]string{"compression.type": "gzip"})
	idle, one, two, old, open := c.producer("", false), c.producer("one", false), c.producer("two", false), c.producer("old", true), c.producer(openID, false)
	for i := range 3 {
		c.produce(nil, "x", 0, fmt.Sprint("plain", i), "more")
		c.produce(idle, "x", 0, fmt.Sprint("idem", i))
		c.produce(one, "x", 0, fmt.Sprint("one", i))
		c.produce(two, "x", 0, fmt.Sprint("two", i), "too")
		c.produce(one, "x", 1, fmt.Sprint("one", i))
		c.stage(one, "staged", "x", int64(i+1))
		c.produce(old, "x", 1, fmt.Sprint("old", i))
		c.end(one, true)
		c.end(two, i == 1)
		c.end(old, i != 1)
		c.at += 100_000 // a new segment
	}
	c.produce(nil, "zipped", 0, strings.Repeat("z", 500), "y")
	c.commit("plain", "x", 2)
	c.join("members")
	c.producer("barrier", false)
	c.produce(open, "x", 1, "never", "ended")
	c.stage(open, "staged", "x", 9)
	c.produce(idle, "x", 0, "above", "the", "barrier")
	c.produce(idle, "x", 0, "and", "another", "batch")
}

// clean and running return a copy of the fixture that a test may spoil.
func (f *fixture) copyOf(t *testing.T, from func(*fixture) string) string {
	t.Helper()
	f.once.Do(func() { f.build(t) })
	to := t.TempDir()
	copyTree(t, from(f), to)
	return to
}

func cleanDir(t *testing.T) string {
	t.Helper()
	return made.copyOf(t, func(f *fixture) string { return f.clean })
}
func runningDir(t *testing.T) string {
	t.Helper()
	return made.copyOf(t, func(f *fixture) string { return f.running })
}

func copyTree(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
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
	if err != nil {
		t.Fatal(err)
	}
}

// Editing of files.

func read(t *testing.T, elements ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(elements...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t *testing.T, b []byte, elements ...string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(elements...), b, 0o644); err != nil {
		t.Fatal(err)
	}
}

func flip(t *testing.T, at int, elements ...string) {
	t.Helper()
	b := read(t, elements...)
	if at < 0 {
		at += len(b)
	}
	b[at] ^= 1
	write(t, b, elements...)
}

// segments returns the .log files of a partition.
func segments(t *testing.T, dir, partition string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, partition, "*.log"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no segments of %s: %v", partition, err)
	}
	slices.Sort(names)
	return names
}

// placed is a batch in a file.
type placed struct {
	batch.Header
	raw []byte
	at  int
}

func batches(t *testing.T, file string) (all []placed) {
	t.Helper()
	b := read(t, file)
	for at := 0; at < len(b); {
		h, err := batch.ParseHeader(b[at:])
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, placed{h, b[at : at+h.SizeBytes()], at})
		at += h.SizeBytes()
	}
	return all
}

// rewrite stores batches one behind the other, each sealed anew.
func rewrite(t *testing.T, file string, all []placed) {
	t.Helper()
	var b []byte
	for _, p := range all {
		seal(p.raw)
		b = append(b, p.raw...)
	}
	write(t, b, file)
}

func seal(raw []byte) {
	binary.BigEndian.PutUint32(raw[17:], crc32.Checksum(raw[21:], crc32.MakeTable(crc32.Castagnoli)))
}

// pick returns the first batch that f takes.
func pick(t *testing.T, all []placed, f func(placed) bool) *placed {
	t.Helper()
	i := slices.IndexFunc(all, f)
	if i < 0 {
		t.Fatal("no such batch")
	}
	return &all[i]
}

func isMarker(kind batch.MarkerType) func(placed) bool {
	return func(p placed) bool {
		m, ok, err := batch.ParseMarker(p.raw)
		return ok && err == nil && m.Type == kind
	}
}

// internalOf returns the file of the partition of an internal topic that holds a text.
func internalOf(t *testing.T, dir, topic, text string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, topic+"-*", "*.log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.Contains(string(read(t, name)), text) {
			return name
		}
	}
	t.Fatalf("%s has no %q", topic, text)
	return ""
}

// check inspects a directory and returns the findings from a severity on.
func check(t *testing.T, dir string, from inspect.Severity, o inspect.Options) []string {
	t.Helper()
	report, err := inspect.Check(vfs.OS, dir, o)
	if err != nil {
		t.Fatal(err)
	}
	if damaged := errors.Is(report.Err(), inspect.ErrDamaged); damaged != (report.Counters.Damage > 0) {
		t.Errorf("%d findings of damage, error %v", report.Counters.Damage, report.Err())
	}
	if err := report.Write(io.Discard); err != nil {
		t.Error(err)
	}
	var lines []string
	for _, f := range report.Findings {
		if f.Severity >= from {
			lines = append(lines, f.String())
		}
	}
	return lines
}
