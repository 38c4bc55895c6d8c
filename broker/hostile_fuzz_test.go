package broker_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/broker"
	"once/broker/brokertest"
	"once/cluster"
	"once/internal/kafkatest"
)

// FuzzBroker sends whole frames, several on one connection, to a broker that keeps what earlier inputs
// did to it. The answers come in order and decode, no handler panics, other connections go on; and every
// so often the broker is started again on its data, and must be in the state in which it was.
//
// An input is frames as they are sent; a length that reaches beyond the input is cut. With sealed the
// requests are made to fit: CRCs of batches are right, and producers are who the broker says they are.
func FuzzBroker(f *testing.F) {
	for _, c := range capturedFrames(f) {
		f.Add(framed(c.frame), true)
	}
	for _, s := range conversations() {
		f.Add(s, true)
		f.Add(s, false)
	}
	w := &fuzzed{}
	f.Cleanup(w.stop)
	f.Fuzz(func(t *testing.T, input []byte, sealed bool) {
		if w.b == nil || w.inputs >= 500 {
			w.restart(t)
		}
		w.inputs++
		w.send(t, input, sealed)
		if w.panicked.Load() {
			t.Fatal("a handler panicked")
		}
		if _, err := w.bystander.Request(kmsg.NewPtrApiVersionsRequest()); err != nil {
			t.Fatalf("the bystander: %v", err)
		}
	})
}

// fuzzed is the broker under fuzzing, in one process after the other.
type fuzzed struct {
	b         *broker.Broker
	dir       string
	bystander *kafkatest.Conn
	inputs    int
	panicked  atomic.Bool
}

// Enabled, Handle, WithAttrs and WithGroup make it a slog.Handler that looks for panics.
func (w *fuzzed) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelError }
func (w *fuzzed) WithAttrs([]slog.Attr) slog.Handler           { return w }
func (w *fuzzed) WithGroup(string) slog.Handler                { return w }
func (w *fuzzed) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "handler panicked" {
		w.panicked.Store(true)
		_, err := os.Stderr.WriteString(r.Message + "\n")
		r.Attrs(func(a slog.Attr) bool { _, err = os.Stderr.WriteString(a.String() + "\n"); return err == nil })
	}
	return nil
}

func (w *fuzzed) stop() {
	if w.b != nil {
		_ = w.bystander.Close()
		_ = w.b.Close()
		_ = os.RemoveAll(w.dir)
		w.b = nil
	}
}

var startCount = regexp.MustCompile(`(?m)^starts .*$`)

func (w *fuzzed) state() string {
	var b bytes.Buffer
	w.b.WriteState(&b)
	return startCount.ReplaceAllString(b.String(), "starts")
}

// restart starts the present broker again on its data, compares, and then begins with a new one.
func (w *fuzzed) restart(t *testing.T) {
	if w.b != nil {
		quiet := w.awaitQuiet(t)
		_ = w.bystander.Close()
		before := w.state()
		if err := w.b.Close(); err != nil {
			t.Fatalf("stopping: %v", err)
		}
		w.start(t)
		if after := w.state(); before != after && quiet {
			t.Fatalf("what a restart changed:\n%s", lineDiff(before, after))
		}
		w.stop()
	}
	dir, err := os.MkdirTemp("", "once-fuzz-")
	if err != nil {
		t.Fatal(err)
	}
	w.dir, w.inputs = dir, 0
	w.start(t)
	h := &hostile{peer: &peer{t: t, addr: w.b.Addr(), own: &brokertest.Broker{Broker: w.b}}}
	h.forget()
	h.topic("orders", "partitions", "2")
	h.topic("compact", "set", "cleanup.policy:compact")
	h.hangUp()
}

// awaitQuiet waits a while until only the bystander is connected. What is parked longer than that, such
// as a JoinGroup, may have requests behind it that change something when the broker stops.
func (w *fuzzed) awaitQuiet(t *testing.T) bool {
	h := &hostile{peer: &peer{t: t, own: &brokertest.Broker{Broker: w.b}}, admin: w.b.AdminAddr()}
	limit := time.NewTimer(200 * time.Millisecond)
	defer limit.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for h.count().connections != 1 {
		select {
		case <-tick.C:
		case <-limit.C:
			return false
		}
	}
	return true
}

// lineDiff returns the lines that stand in one of two texts only.
func lineDiff(before, after string) string {
	in := map[string]int{}
	for line := range strings.Lines(before) {
		in[line]--
	}
	for line := range strings.Lines(after) {
		in[line]++
	}
	var out []string
	for line, n := range in {
		if n != 0 {
			out = append(out, map[bool]string{true: "+ ", false: "- "}[n > 0]+line)
		}
	}
	slices.Sort(out)
	return strings.Join(out, "")
}

func (w *fuzzed) start(t *testing.T) {
	cfg := broker.Config{DataDir: w.dir, Admin: "127.0.0.1:0", Env: cluster.Env{Logger: slog.New(w)}}
	brokertest.WithSettings(t, map[string]string{
		"offsets.topic.num.partitions": "2", "transaction.state.log.num.partitions": "2",
		"group.initial.rebalance.delay.ms":           "0",
		"add.partitions.to.txn.retry.backoff.max.ms": "1",
	})(&cfg)
	b, err := broker.Start(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	w.b = b
	if w.bystander, err = kafkatest.Dial(b.Addr()); err != nil {
		t.Fatal(err)
	}
}

// send holds one conversation: with sealed one request after the other, else all at once. Requests that
// wait for something are not waited for.
func (w *fuzzed) send(t *testing.T, input []byte, sealed bool) {
	conn, err := kafkatest.Dial(w.b.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.Timeout = 100 * time.Millisecond
	tcp := conn.Conn.(*net.TCPConn)
	_ = tcp.SetLinger(0) // no port stays taken
	frames := split(input)
	for i := range frames {
		frames[i] = hurry(frames[i])
	}
	if sealed {
		var who identity
		for i := range frames {
			frames[i] = who.patch(frames[i])
			if conn.SendFrame(frames[i]) != nil {
				return
			}
			answer := receive(t, conn)
			if answer == nil {
				return
			}
			answered(t, frames[:i+1], i, answer)
			who.learn(frames[i], answer)
		}
		return
	}
	go func() {
		for _, frame := range frames {
			if conn.SendFrame(frame) != nil {
				break
			}
		}
		_ = tcp.CloseWrite()
	}()
	for next := 0; ; {
		answer := receive(t, conn)
		if answer == nil {
			return
		}
		next = answered(t, frames, next, answer)
	}
}

// receive returns nil when there is no answer, or none soon.
func receive(t *testing.T, conn *kafkatest.Conn) []byte {
	answer, err := conn.ReceiveFrame()
	var failed net.Error
	if err != nil && !errors.Is(err, io.EOF) && !errors.As(err, &failed) {
		t.Fatalf("reading: %v", err)
	}
	return answer
}

// answered finds the request of an answer among those from next on, and decodes it.
func answered(t *testing.T, frames [][]byte, next int, answer []byte) int {
	for ; next < len(frames); next++ {
		if len(frames[next]) < 10 || len(answer) < 4 || !bytes.Equal(frames[next][4:8], answer[:4]) {
			continue // it had no answer: acks 0
		}
		key, version := int16(binary.BigEndian.Uint16(frames[next])), int16(binary.BigEndian.Uint16(frames[next][2:]))
		r := kmsg.RequestForKey(key)
		if r == nil {
			t.Fatalf("key %d was answered", key)
		}
		r.SetVersion(version)
		if key == int16(kmsg.ApiVersions) && (version < 0 || version > r.MaxVersion()) {
			r.SetVersion(0)
		}
		if _, err := kafkatest.DecodeResponse(r, int32(binary.BigEndian.Uint32(answer)), answer); err != nil {
			t.Fatalf("answer to %s v%d: %v", kmsg.NameForKey(key), version, err)
		}
		return next + 1
	}
	t.Fatal("an answer that nobody asked for, or in the wrong place")
	return next
}

// split cuts an input into frames.
func split(input []byte) (frames [][]byte) {
	for len(input) >= 4 && len(frames) < 20 {
		n := min(uint64(binary.BigEndian.Uint32(input)), uint64(len(input)-4))
		frames = append(frames, bytes.Clone(input[4:4+n]))
		input = input[4+n:]
	}
	return frames
}

// hurry makes a Fetch wait no longer than an input may take.
func hurry(frame []byte) []byte {
	_, _, _, body, err := decodeFrame(frame)
	if r, ok := body.(*kmsg.FetchRequest); err == nil && ok && r.MaxWaitMillis > 10 {
		head := frame[:len(frame)-len(body.AppendTo(nil))]
		r.MaxWaitMillis = 10
		return body.AppendTo(bytes.Clone(head))
	}
	return frame
}

// identity is what a conversation's producer has been told to be. Requests that name producer 0, epoch 0
// are made to name it, so that a story works whatever happened before.
type identity struct {
	producerID int64
	epoch      int16
}

// learn takes the identity out of an answer.
func (p *identity) learn(frame, answer []byte) {
	_, _, id, body, err := decodeFrame(frame)
	if err != nil {
		return
	}
	resp, err := kafkatest.DecodeResponse(body, id, answer)
	if err != nil {
		return
	}
	switch r := resp.(type) {
	case *kmsg.InitProducerIDResponse:
		if r.ErrorCode == 0 {
			p.producerID, p.epoch = r.ProducerID, r.ProducerEpoch
		}
	case *kmsg.EndTxnResponse:
		if r.ErrorCode == 0 && r.Version >= 5 {
			p.producerID, p.epoch = r.ProducerID, r.ProducerEpoch
		}
	}
}

// patch puts the identity into a request, and makes the CRCs of its batches right.
func (p *identity) patch(frame []byte) []byte {
	_, _, _, body, err := decodeFrame(frame)
	if err != nil {
		return frame
	}
	put := func(producerID *int64, epoch *int16) {
		if *producerID == 0 && *epoch == 0 {
			*producerID, *epoch = p.producerID, p.epoch
		}
	}
	head := frame[:len(frame)-len(body.AppendTo(nil))]
	switch r := body.(type) {
	case *kmsg.AddPartitionsToTxnRequest:
		put(&r.ProducerID, &r.ProducerEpoch)
	case *kmsg.AddOffsetsToTxnRequest:
		put(&r.ProducerID, &r.ProducerEpoch)
	case *kmsg.TxnOffsetCommitRequest:
		put(&r.ProducerID, &r.ProducerEpoch)
	case *kmsg.EndTxnRequest:
		put(&r.ProducerID, &r.ProducerEpoch)
	case *kmsg.ProduceRequest:
		for _, topic := range r.Topics {
			for i := range topic.Partitions {
				topic.Partitions[i].Records = p.patchBatch(topic.Partitions[i].Records)
			}
		}
	default:
		return frame
	}
	return body.AppendTo(bytes.Clone(head))
}

func (p *identity) patchBatch(raw []byte) []byte {
	if len(raw) < atRecords {
		return raw
	}
	if bytes.Equal(raw[atProducerID:atSequence], make([]byte, 10)) {
		raw = with(raw, atProducerID, binary.BigEndian.AppendUint64(nil, uint64(p.producerID))...)
		raw = with(raw, atEpoch, be16(p.epoch)...)
	}
	return sealed(raw)
}

// conversations are whole stories of a producer, which captured frames are not.
func conversations() [][]byte {
	var id int32
	var story []byte
	say := func(r kmsg.Request, version int16) {
		id++
		r.SetVersion(version)
		story = kafkatest.AppendRequest(story, r, id, kmsg.StringPtr("fuzz"))
	}
	txn := kmsg.StringPtr("pay")
	begin := kmsg.NewPtrInitProducerIDRequest()
	begin.TransactionalID, begin.TransactionTimeoutMillis = txn, 60_000
	produce := kmsg.NewPtrProduceRequest()
	produce.TransactionID, produce.Acks, produce.TimeoutMillis = txn, -1, 1000
	topic := kmsg.NewProduceRequestTopic()
	topic.Topic = "orders"
	topic.Partitions = []kmsg.ProduceRequestTopicPartition{{Partition: 0, Records: producerBatch(0, 0, 0, true)},
		{Partition: 1, Records: producerBatch(0, 0, 0, true)}}
	produce.Topics = append(produce.Topics, topic)
	offsets := kmsg.NewPtrTxnOffsetCommitRequest()
	offsets.TransactionalID, offsets.Group, offsets.Generation = "pay", "g", -1
	committed := kmsg.NewTxnOffsetCommitRequestTopic()
	committed.Topic = "orders"
	committed.Partitions = []kmsg.TxnOffsetCommitRequestTopicPartition{{Offset: 1, Metadata: kmsg.StringPtr("")}}
	offsets.Topics = append(offsets.Topics, committed)
	add := kmsg.NewPtrAddPartitionsToTxnRequest()
	add.TransactionalID = "pay"
	add.Topics = []kmsg.AddPartitionsToTxnRequestTopic{{Topic: "orders", Partitions: []int32{0, 1}}}
	groups := kmsg.NewPtrAddOffsetsToTxnRequest()
	groups.TransactionalID, groups.Group = "pay", "g"
	end := kmsg.NewPtrEndTxnRequest()
	end.TransactionalID, end.Commit = "pay", true
	fetch := kmsg.NewPtrFetchRequest()
	fetch.ReplicaID, fetch.MaxBytes, fetch.IsolationLevel, fetch.SessionEpoch = -1, 1<<20, 1, 0
	wanted := kmsg.NewFetchRequestTopicPartition()
	wanted.PartitionMaxBytes = 1 << 20
	fetch.Topics = []kmsg.FetchRequestTopic{{Topic: "orders", Partitions: []kmsg.FetchRequestTopicPartition{wanted}}}

	say(begin, 4)
	say(produce, 12)
	say(offsets, 5)
	say(end, 5)
	say(fetch, 12)
	v2 := story
	story = nil
	say(begin, 4)
	say(add, 3)
	say(produce, 11)
	say(groups, 3)
	say(offsets, 3)
	say(end, 3)
	say(fetch, 11)
	return [][]byte{v2, story}
}
