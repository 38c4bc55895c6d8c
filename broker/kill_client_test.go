package broker_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/internal/kafkatest"
	"once/log/batch"
	"once/wire"
)

// killClient does by hand what a producer, a consumer's group membership and a transactional producer
// do, one request after the other. A request that is not answered is sent again to whoever comes after
// the broker that died, as clients do; so is one whose code says to try again.
type killClient struct {
	t    *testing.T
	p    *process
	dir  string
	args []string
	conn *kafkatest.Conn
	plan []string // faults of the starts to come; after them a broker has none
	died int      // how often the broker has been killed
	// launch starts a broker.
	launch func(faults string) *process

	timestamp int64                // of the next batch: each one rolls a segment
	acked     map[string]int64     // value → offset
	places    map[string]placed    // value → where it was sent
	committed map[string]bool      // values of transactions that were committed, and of none
	lastBatch map[string]lastBatch // partition → the last batch of the idempotent producer
}

type placed struct {
	topic string
	index int32
}

type lastBatch struct {
	raw    []byte
	offset int64
}

func newKillClient(t *testing.T, args []string, plan ...string) *killClient {
	c := &killClient{t: t, dir: t.TempDir(), args: args, plan: plan, timestamp: time.Now().Add(-time.Hour).UnixMilli(), acked: map[string]int64{},
		places: map[string]placed{}, committed: map[string]bool{}, lastBatch: map[string]lastBatch{}}
	c.launch = func(faults string) *process { return launch(c.t, c.dir, faults, c.args...) }
	return c
}

// ask sends a request until it is answered with a code that is not one to be tried again.
func (c *killClient) ask(r kmsg.Request, codeOf func(kmsg.Response) int16) kmsg.Response {
	c.t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		resp, err := c.once(r)
		if err != nil {
			c.revive(fmt.Errorf("%s v%d: %w", kmsg.NameForKey(r.Key()), r.GetVersion(), err))
			continue
		}
		switch code := wire.Code(codeOf(resp)); code {
		case wire.ConcurrentTransactions, wire.CoordinatorLoadInProgress, wire.CoordinatorNotAvailable, wire.NotCoordinator, wire.UnstableOffsetCommit:
			select {
			case <-tick.C:
			case <-deadline.C:
				c.t.Fatalf("%s v%d: still %v", kmsg.NameForKey(r.Key()), r.GetVersion(), code)
			}
		default:
			return resp
		}
	}
}

func (c *killClient) once(r kmsg.Request) (kmsg.Response, error) {
	if c.conn == nil {
		conn, err := kafkatest.Dial(c.p.addr)
		if err != nil {
			return nil, err
		}
		c.conn = conn
	}
	return c.conn.Request(r)
}

// must is ask where nothing but success is right.
func (c *killClient) must(r kmsg.Request, codeOf func(kmsg.Response) int16) kmsg.Response {
	c.t.Helper()
	resp := c.ask(r, codeOf)
	if got := codeOf(resp); got != 0 {
		c.t.Fatalf("%s v%d: %s", kmsg.NameForKey(r.Key()), r.GetVersion(), code(got))
	}
	return resp
}

// revive starts the broker that was killed again.
func (c *killClient) revive(cause error) {
	c.t.Helper()
	c.hangUp()
	select {
	case <-c.p.Exited:
	case <-time.After(10 * time.Second):
		c.t.Fatalf("the broker runs and does not answer: %v", cause)
	}
	c.mourn()
	c.start()
}

// mourn counts a death. One without a fault, or by anything but the fault, fails the test.
func (c *killClient) mourn() {
	c.t.Helper()
	if !c.p.Killed() || c.p.faults == "" {
		c.t.Fatalf("the broker ended by itself: %v\n%s", c.p.ProcessState, c.p.Log.String())
	}
	c.died++
}

func (c *killClient) hangUp() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

// start starts the broker with the next faults of the plan, until one lives long enough to be ready.
func (c *killClient) start() {
	c.t.Helper()
	for {
		faults := ""
		if len(c.plan) > 0 {
			faults, c.plan = c.plan[0], c.plan[1:]
		}
		if c.p = c.launch(faults); c.p.addr != "" {
			return
		}
		c.mourn()
	}
}

func (c *killClient) createTopic(name string, partitions int32, config map[string]string) {
	c.t.Helper()
	r := kmsg.NewPtrCreateTopicsRequest()
	r.Version, r.TimeoutMillis = 6, 10_000
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, partitions, 1
	for k, v := range config {
		t.Configs = append(t.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: k, Value: &v})
	}
	r.Topics = append(r.Topics, t)
	resp := c.ask(r, func(r kmsg.Response) int16 { return r.(*kmsg.CreateTopicsResponse).Topics[0].ErrorCode })
	if got := wire.Code(resp.(*kmsg.CreateTopicsResponse).Topics[0].ErrorCode); got != wire.NoError && got != wire.TopicAlreadyExists {
		c.t.Fatalf("creating %s: %v", name, got)
	}
}

// killProducer is a producer's identity and its sequences.
type killProducer struct {
	c       *killClient
	id      string // transactional; "" for none
	v2      bool
	pid     int64
	epoch   int16
	next    map[placed]int32
	pending []string // values of the open transaction
}

func (c *killClient) producer(id string, v2 bool) *killProducer {
	c.t.Helper()
	r := kmsg.NewPtrInitProducerIDRequest()
	r.Version, r.TransactionTimeoutMillis = 4, 60_000
	if id != "" {
		r.TransactionalID = &id
	}
	resp := c.must(r, func(r kmsg.Response) int16 { return r.(*kmsg.InitProducerIDResponse).ErrorCode }).(*kmsg.InitProducerIDResponse)
	return &killProducer{c: c, id: id, v2: v2, pid: resp.ProducerID, epoch: resp.ProducerEpoch, next: map[placed]int32{}}
}

// produce writes one record whose value is unlike any other.
func (p *killProducer) produce(value, topic string, index int32) {
	p.c.t.Helper()
	c, at := p.c, placed{topic, index}
	if p.id != "" && !p.v2 {
		p.add(topic, index)
	}
	c.timestamp += 60_000
	raw := batch.Build(batch.BuildOptions{ProducerID: p.pid, ProducerEpoch: p.epoch, BaseSequence: p.next[at], Transactional: p.id != "",
		TimestampMs: c.timestamp, LeaderEpoch: -1}, batch.Record{Key: []byte("k"), Value: []byte(value)})
	c.places[value] = at
	offset := p.send(raw, at, 0)
	c.acked[value] = offset
	p.next[at]++
	if p.id == "" {
		c.committed[value] = true
		c.lastBatch[topic+fmt.Sprint(index)] = lastBatch{raw, offset}
		return
	}
	p.pending = append(p.pending, value)
}

// send sends one batch and returns its offset; want is the code that it is answered with.
func (p *killProducer) send(raw []byte, at placed, want wire.Code) int64 {
	p.c.t.Helper()
	r := kmsg.NewPtrProduceRequest()
	r.Version, r.Acks, r.TimeoutMillis = 11, -1, 10_000
	if p.id != "" {
		r.TransactionID = &p.id
	}
	if p.v2 {
		r.Version = 12
	}
	t := kmsg.NewProduceRequestTopic()
	t.Topic = at.topic
	t.Partitions = []kmsg.ProduceRequestTopicPartition{{Partition: at.index, Records: slices.Clone(raw)}}
	r.Topics = append(r.Topics, t)
	codeOf := func(r kmsg.Response) int16 {
		return r.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode
	}
	resp := p.c.ask(r, codeOf)
	if got := wire.Code(codeOf(resp)); got != want {
		p.c.t.Fatalf("producing to %s-%d: %v, want %v", at.topic, at.index, got, want)
	}
	return resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0].BaseOffset
}

func (p *killProducer) add(topic string, index int32) {
	r := kmsg.NewPtrAddPartitionsToTxnRequest()
	r.Version, r.TransactionalID, r.ProducerID, r.ProducerEpoch = 3, p.id, p.pid, p.epoch
	r.Topics = []kmsg.AddPartitionsToTxnRequestTopic{{Topic: topic, Partitions: []int32{index}}}
	p.c.must(r, func(r kmsg.Response) int16 {
		return r.(*kmsg.AddPartitionsToTxnResponse).Topics[0].Partitions[0].ErrorCode
	})
}

// offsets stages an offset of x-index for a group, which the client is a member of when m is set.
func (p *killProducer) offsets(group string, m *killMember, index int32, offset int64) {
	p.c.t.Helper()
	p.stage(group, m, kmsg.TxnOffsetCommitRequestTopicPartition{Partition: index, Offset: offset, Metadata: kmsg.StringPtr("")})
}

// stage stages offsets of x.
func (p *killProducer) stage(group string, m *killMember, partitions ...kmsg.TxnOffsetCommitRequestTopicPartition) {
	p.c.t.Helper()
	if !p.v2 {
		r := kmsg.NewPtrAddOffsetsToTxnRequest()
		r.Version, r.TransactionalID, r.ProducerID, r.ProducerEpoch, r.Group = 3, p.id, p.pid, p.epoch, group
		p.c.must(r, func(r kmsg.Response) int16 { return r.(*kmsg.AddOffsetsToTxnResponse).ErrorCode })
	}
	r := kmsg.NewPtrTxnOffsetCommitRequest()
	r.Version, r.TransactionalID, r.ProducerID, r.ProducerEpoch, r.Group, r.Generation = 3, p.id, p.pid, p.epoch, group, -1
	if p.v2 {
		r.Version = 5
	}
	if m != nil {
		r.MemberID, r.Generation = m.id, m.generation
	}
	t := kmsg.NewTxnOffsetCommitRequestTopic()
	t.Topic, t.Partitions = "x", partitions
	r.Topics = append(r.Topics, t)
	p.c.must(r, func(r kmsg.Response) int16 {
		return r.(*kmsg.TxnOffsetCommitResponse).Topics[0].Partitions[0].ErrorCode
	})
}

// end commits or aborts the open transaction.
func (p *killProducer) end(commit bool) {
	p.c.t.Helper()
	r := kmsg.NewPtrEndTxnRequest()
	r.Version, r.TransactionalID, r.ProducerID, r.ProducerEpoch, r.Commit = 4, p.id, p.pid, p.epoch, commit
	if p.v2 {
		r.Version = 5
	}
	resp := p.c.must(r, func(r kmsg.Response) int16 { return r.(*kmsg.EndTxnResponse).ErrorCode }).(*kmsg.EndTxnResponse)
	for _, value := range p.pending {
		p.c.committed[value] = commit
	}
	p.pending = nil
	if p.v2 {
		if resp.ProducerID != p.pid || resp.ProducerEpoch != p.epoch+1 {
			p.c.t.Fatalf("the end of epoch %d gives producer %d, epoch %d", p.epoch, resp.ProducerID, resp.ProducerEpoch)
		}
		p.epoch, p.next = resp.ProducerEpoch, map[placed]int32{}
	}
}
