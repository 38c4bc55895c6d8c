package broker_test

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/internal/kafkatest"
	"once/wire"
)

// killClient does by hand what a producer, a consumer's group membership and a transactional producer
// do, one request after the other. A request that is not answered is sent again to whoever comes after
// the broker that died, as clients do; so is one whose code says to try again.
type killClient struct {
	*kafkatest.Client // over ask; what goes wrong ends the test

	t    *testing.T
	p    *process
	dir  string
	args []string
	conn *kafkatest.Conn
	plan []string // faults of the starts to come; after them a broker has none
	died int      // how often the broker has been killed
	// launch starts a broker.
	launch func(faults string) *process

	acked     map[string]int64              // value → offset
	committed map[string]bool               // values of transactions that were committed, and of none
	lastBatch map[kafkatest.Place]lastBatch // the last batch of the idempotent producer
}

type lastBatch struct {
	raw    []byte
	offset int64
}

func newKillClient(t *testing.T, args []string, plan ...string) *killClient {
	c := &killClient{t: t, dir: t.TempDir(), args: args, plan: plan, acked: map[string]int64{},
		committed: map[string]bool{},
		lastBatch: map[kafkatest.Place]lastBatch{}}
	c.launch = func(faults string) *process { return launch(c.t, c.dir, faults, c.args...) }
	const segment = time.Minute // each batch rolls one
	c.Client = &kafkatest.Client{
		Ask:                c.ask,
		Fail:               func(err error) { t.Helper(); t.Fatal(err) },
		TimestampMs:        time.Now().Add(-time.Hour).UnixMilli(),
		StepMs:             segment.Milliseconds(),
		TransactionTimeout: time.Minute,
	}
	return c
}

// ask sends a request until it is answered with codes that are not to be tried again.
func (c *killClient) ask(r kmsg.Request) (kmsg.Response, error) {
	c.t.Helper()
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		resp, err := c.once(r)
		if err != nil {
			c.revive(fmt.Errorf("%s v%d: %w", kmsg.NameForKey(r.Key()), r.GetVersion(), err))
			continue
		}
		again := codeToTryAgain(reflect.ValueOf(resp).Elem())
		if again == wire.NoError {
			return resp, nil
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			return nil, fmt.Errorf("%s v%d: still %v", kmsg.NameForKey(r.Key()), r.GetVersion(), again)
		}
	}
}

// codeToTryAgain returns a code in an answer that asks the client to try again, and 0 if there is none.
func codeToTryAgain(v reflect.Value) wire.Code {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).Name == "ErrorCode" {
				switch code := wire.Code(v.Field(i).Int()); code {
				case wire.ConcurrentTransactions, wire.CoordinatorLoadInProgress, wire.CoordinatorNotAvailable, wire.NotCoordinator,
					wire.UnstableOffsetCommit:
					return code
				}
			} else if code := codeToTryAgain(v.Field(i)); code != wire.NoError {
				return code
			}
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() != reflect.Struct {
			break
		}
		for i := range v.Len() {
			if code := codeToTryAgain(v.Index(i)); code != wire.NoError {
				return code
			}
		}
	}
	return wire.NoError
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

// revive starts the broker that was killed again.
func (c *killClient) revive(cause error) {
	c.t.Helper()
	c.hangUp()
	select {
	case <-c.p.Exited:
	case <-time.After(time.Minute):
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

// createTopic creates a topic, which is there already if an earlier answer was lost.
func (c *killClient) createTopic(name string, partitions int32, config map[string]string) {
	c.t.Helper()
	err := c.Quiet().CreateTopic(name, partitions, config)
	if got := wire.Code(kafkatest.Code(c.t, err)); got != wire.NoError && got != wire.TopicAlreadyExists {
		c.t.Fatal(err)
	}
}

// killProducer is a producer and what it has written.
type killProducer struct {
	*kafkatest.Producer
	c       *killClient
	pending []string // values of the open transaction
}

func (c *killClient) producer(id string, v2 bool) *killProducer {
	c.t.Helper()
	p, _ := c.InitProducer(id)
	p.V1 = !v2
	return &killProducer{Producer: p, c: c}
}

// produce writes one record whose value is unlike any other.
func (p *killProducer) produce(value, topic string, index int32) {
	p.c.t.Helper()
	c, at := p.c, kafkatest.Place{Topic: topic, Partition: index}
	record := kafkatest.KeyValue("k", value)
	raw := p.Batch(p.Sequences[at], c.TimestampMs, record)
	offset, _ := c.Produce(p.Producer, topic, index, record)
	c.acked[value] = offset
	if p.TransactionalID == "" {
		c.committed[value] = true
		c.lastBatch[at] = lastBatch{raw, offset}
		return
	}
	p.pending = append(p.pending, value)
}

// send sends one batch and returns its offset; want is the code that it is answered with.
func (p *killProducer) send(raw []byte, at kafkatest.Place, want wire.Code) int64 {
	p.c.t.Helper()
	offset, err := p.c.Quiet().Append(p.ProduceRequest(at.Topic, at.Partition, raw))
	if got := wire.Code(kafkatest.Code(p.c.t, err)); got != want {
		p.c.t.Fatalf("producing to %s-%d: %v, want %v", at.Topic, at.Partition, got, want)
	}
	return offset
}

// offsets stages an offset of x-index for a group, which the client is a member of when m is set.
func (p *killProducer) offsets(group string, m *killMember, index int32, offset int64) {
	p.c.t.Helper()
	r := p.TxnOffsetCommitRequest(group, "x", index, offset)
	if m != nil {
		r.MemberID, r.Generation = m.id, m.generation
	}
	p.c.StageOffsets(p.Producer, r)
}

// end commits or aborts the open transaction.
func (p *killProducer) end(commit bool) {
	p.c.t.Helper()
	before := *p.Producer
	p.c.End(p.Producer, commit)
	for _, value := range p.pending {
		p.c.committed[value] = commit
	}
	p.pending = nil
	if !p.V1 && (p.ProducerID != before.ProducerID || p.ProducerEpoch != before.ProducerEpoch+1) {
		p.c.t.Fatalf("the end of epoch %d gives producer %d, epoch %d", before.ProducerEpoch, p.ProducerID, p.ProducerEpoch)
	}
}
