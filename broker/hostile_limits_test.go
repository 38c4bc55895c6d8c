package broker_test

import (
	"bytes"
	"net"
	"runtime"
	"runtime/metrics"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/broker"
	"once/broker/brokertest"
	"once/internal/kafkatest"
	"once/lab"
	"once/log/batch"
)

// The rows that are about time, memory and many connections need limits that a test can reach, and so a
// broker of their own. They are always held with ours.

func newLimited(t *testing.T, set map[string]string) *hostile {
	t.Helper()
	t.Setenv("ONCE_SCRIPT_BROKER", "")
	return newHostile(t, set)
}

// closedFor waits until so many connections have been closed for a reason.
func (h *hostile) closedFor(reason string, n int) {
	h.t.Helper()
	h.await(func() bool { return h.count().closed[reason] >= n })
}

// B3: the length of a frame is no reason to allocate, and a frame that does not come is not waited for.
func TestHostileAnnouncedFramesCostNothing(t *testing.T) {
	const conns = 200
	h := newLimited(t, map[string]string{"request.timeout.ms": "300"})
	before := liveBytes()
	for range conns {
		c := h.dial()
		if _, err := c.Write(append(be32(100<<20), "ten bytes."...)); err != nil {
			t.Fatal(err)
		}
	}
	if n := liveBytes() - before; n > conns*(128<<10) {
		t.Errorf("%d bytes are held for %d connections", n, conns)
	}
	h.closedFor("frame_timeout", conns)
	h.bystanderFetch()
	h.settle()
}

// liveBytes is the heap after a collection.
func liveBytes() int {
	runtime.GC()
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return int(sample[0].Value.Uint64())
}

// B3: neither is one that comes a byte at a time.
func TestHostileTrickleIsClosed(t *testing.T) {
	h := newLimited(t, map[string]string{"request.timeout.ms": "100"})
	c := h.dial()
	b := be32(1 << 20)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for sent, err := 0, error(nil); err == nil; sent++ {
		if sent > 10_000 {
			t.Fatal("ten thousand bytes were taken, one at a time")
		}
		<-tick.C
		_, err = c.Write(b[:1])
		b = append(b[1:], 0)
	}
	h.closedFor("frame_timeout", 1)
	h.bystanderFetch()
}

// B31: a client that asks and does not read is not read from; when it reads, its answers are in order.
func TestHostileUnreadAnswersStayInOrder(t *testing.T) {
	const requests = 1000
	h := newLimited(t, nil)
	h.topic("wide", "partitions", "500")
	c := h.dial()
	if err := c.Conn.(*net.TCPConn).SetReadBuffer(256 << 10); err != nil { // far less than 15 MB of answers
		t.Fatal(err)
	}
	r := kmsg.NewPtrMetadataRequest()
	r.Version = 1 // of everything: 600 partitions
	before := allocatedBytes()
	done := make(chan error, 1)
	go func() {
		for range requests {
			if _, err := c.Send(r); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for range 20 {
		h.bystanderFetch()
	}
	if n := allocatedBytes() - before; n > 128<<20 {
		t.Errorf("%d bytes were allocated for answers that nobody reads", n)
	}
	for i := range requests {
		resp, err := c.Receive(r, int32(i+1))
		if err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
		if n := len(resp.(*kmsg.MetadataResponse).Topics); n != 6 {
			t.Fatalf("answer %d has %d topics", i, n)
		}
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// B31: the same where answers wait for the disk while further requests are handled.
func TestHostilePipelinedProducesStayInOrder(t *testing.T) {
	const requests = 500
	b := brokertest.Start(t, brokertest.WithDataDir(t.TempDir()), func(c *broker.Config) { c.Durability = "fsync" })
	h := &hostile{peer: &peer{t: t, addr: b.Addr(), own: b}}
	h.forget()
	t.Cleanup(h.hangUp)
	h.topic("x")
	id, _ := h.producer(nil)
	c := h.dial()
	produce := func(sequence int) *kmsg.ProduceRequest {
		r := kmsg.NewPtrProduceRequest()
		r.Version, r.Acks, r.TimeoutMillis = 9, -1, 10_000
		t := kmsg.NewProduceRequestTopic()
		t.Topic = "x"
		t.Partitions = []kmsg.ProduceRequestTopicPartition{{Records: producerBatch(id, 0, int32(sequence), false)}}
		r.Topics = append(r.Topics, t)
		return r
	}
	go func() {
		for i := range requests {
			if _, err := c.Send(produce(i)); err != nil {
				return // the reader finds out
			}
		}
	}()
	for i := range requests {
		resp, err := c.Receive(produce(0), int32(i+1))
		if err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
		if p := resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0]; p.ErrorCode != 0 || p.BaseOffset != int64(i) {
			t.Fatalf("answer %d: %s, offset %d", i, code(p.ErrorCode), p.BaseOffset)
		}
	}
}

// B24: a fetch that would wait for weeks gives its connection back, whether its client is there or not.
func TestHostileEndlessFetchEnds(t *testing.T) {
	h := newLimited(t, map[string]string{"connections.max.idle.ms": "300"})
	endless := h.fetchRequest(12, func(r *kmsg.FetchRequest, p *kmsg.FetchRequestTopicPartition) {
		r.MinBytes, r.MaxWaitMillis, p.FetchOffset = 1, 1<<31-1, 1
	})
	gone := h.dial()
	if _, err := gone.Send(endless); err != nil {
		t.Fatal(err)
	}
	gone.Close()
	if got := h.fetched(endless); got != "NONE" {
		t.Errorf("answered %s", got)
	}
	h.hangUp()
	h.closedFor("client_closed", 1)
}

// B24: two connections use one session at once, which no client does.
func TestHostileSessionOfTwo(t *testing.T) {
	h := newLimited(t, nil)
	first := h.fetchRequest(12, func(r *kmsg.FetchRequest, _ *kmsg.FetchRequestTopicPartition) { r.SessionEpoch = 0 })
	session := h.request(first).(*kmsg.FetchResponse).SessionID
	var both sync.WaitGroup
	for range 2 {
		c := h.dial()
		both.Go(func() {
			for epoch := int32(1); epoch <= 300; epoch++ {
				r := h.fetchRequest(12, func(r *kmsg.FetchRequest, p *kmsg.FetchRequestTopicPartition) {
					r.SessionID, r.SessionEpoch, r.MaxWaitMillis = session, epoch, 1
					p.FetchOffset = int64(epoch % 2)
				})
				resp, err := c.Request(r)
				if err != nil {
					t.Error(err)
					return
				}
				if got := code(resp.(*kmsg.FetchResponse).ErrorCode); got != "NONE" && got != "INVALID_FETCH_SESSION_EPOCH" {
					t.Errorf("epoch %d: %s", epoch, got)
				}
			}
		})
	}
	both.Wait()
	if h.count().panics != 0 {
		t.Error("a handler panicked")
	}
	h.bystanderFetch()
}

// B25: a group is as large as group.max.size lets it be.
func TestHostileGroupIsFull(t *testing.T) {
	const members = 10
	h := newLimited(t, map[string]string{"group.max.size": strconv.Itoa(members),
		"group.initial.rebalance.delay.ms": "60000"})
	r := h.joinRequest(func(r *kmsg.JoinGroupRequest) { r.Protocols[0].Metadata = seeded(1<<20, 6) })
	parked := make([]*kafkatest.Conn, members)
	for i := range parked {
		parked[i] = h.dial()
		if _, err := parked[i].Send(r); err != nil {
			t.Fatal(err)
		}
	}
	full := members
	h.own.Await(lab.Condition{Group: &lab.GroupCondition{ID: r.Group, Members: &full}})
	if got := joining(func(r *kmsg.JoinGroupRequest) { r.Protocols[0].Metadata = []byte("small") })(h); got != "GROUP_MAX_SIZE_REACHED" {
		t.Errorf("the last one: %s", got)
	}
	h.bystanderFetch()
}

// A full batch of the smallest records costs no more than its size says.
func TestHostileManySmallRecords(t *testing.T) {
	h := newLimited(t, map[string]string{"message.max.bytes": strconv.Itoa(32 << 20)})
	const n = 300_000
	body := make([]byte, 0, n*9)
	for i := range n {
		body = append(body, record([]byte{0}, varints(0, int64(i), -1, -1, 0))...)
	}
	for codec := int16(0); codec <= 4; codec++ {
		records := body
		if codec > 0 {
			records = deflated(codec, bytes.NewReader(body))
		}
		raw := counted(filled(plainBatch(""), codec, records), n, n-1)
		before := allocatedBytes()
		if got := to(raw)(h); got != "x-0 NONE" {
			t.Errorf("codec %d: %s", codec, got)
		}
		if got := allocatedBytes() - before; got > uint64(8<<20+8*len(raw)) {
			t.Errorf("codec %d: %d bytes were allocated for %d", codec, got, len(raw))
		}
	}
	if got := h.fetchCount("x", 0); got != 5*n {
		t.Errorf("%d records are stored, not %d", got, 5*n)
	}
}

// fetchCount adds up the records of the batches of a partition.
func (h *hostile) fetchCount(topic string, index int32) (n int) {
	h.t.Helper()
	for offset := int64(0); ; {
		r := h.fetchRequest(12, func(r *kmsg.FetchRequest, p *kmsg.FetchRequestTopicPartition) {
			p.Partition, p.FetchOffset, r.MaxBytes, p.PartitionMaxBytes = index, offset, 50<<20, 50<<20
		})
		r.Topics[0].Topic = topic + h.suffix
		raw := h.request(r).(*kmsg.FetchResponse).Topics[0].Partitions[0].RecordBatches
		if len(raw) == 0 {
			return n
		}
		for len(raw) > 0 {
			b, err := batch.ParseHeader(raw)
			if err != nil {
				h.t.Fatal(err)
			}
			n += int(b.RecordCount)
			offset = b.NextOffset()
			raw = raw[b.SizeBytes():]
		}
	}
}
