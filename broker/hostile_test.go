package broker_test

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/metrics"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/broker"
	"once/broker/brokertest"
	"once/internal/invariant"
	"once/internal/kafkatest"
	"once/internal/script"
)

// Hostile input (spec: reliability 5). Every case is a row of that catalogue, sent to a broker that is
// up, and looks at five things: what is answered, that a bystander's connection goes on, that nothing
// was stored, that no handler panicked and that memory was not taken on the word of the client.
//
// With ONCE_SCRIPT_BROKER=HOST:PORT the cases are sent to that broker. Where Apache Kafka answers
// something else, the case says what, and why we do not.

// hostileCase is one case. An answer is what the connection did, and the codes in it.
type hostileCase struct {
	row   string // of the catalogue
	name  string
	send  func(*hostile) string
	want  string
	kafka string // Kafka's answer where it is another one; notAsked where it is not to be had
	why   string // of a difference
	grows bool   // the case stores something, and should
	// perByte is how many bytes may be allocated for each byte sent, answer and client included. The default
	// is 24; where a few bytes ask for something that takes a hundred to answer, it is more.
	perByte int
}

const notAsked = "not asked"

// hostile is the broker under test, with topics x (two partitions), compact (compacted) and stamped
// (LogAppendTime).
type hostile struct {
	*peer
	admin     string // address of the metrics; "" of another broker
	bystander *kafkatest.Conn
	kept      []byte // what the bystander reads again and again
	sent      int    // bytes of the case
	owned     int    // transactional IDs made so far
	counters  wireCounters
}

// newHostile starts a broker, or takes the one that ONCE_SCRIPT_BROKER names.
func newHostile(t *testing.T, set map[string]string) *hostile {
	t.Helper()
	h := &hostile{peer: &peer{t: t, addr: os.Getenv("ONCE_SCRIPT_BROKER"),
		suffix: "-" + strconv.FormatInt(36*36*36*36*36+time.Now().UnixNano()%1e9, 36)}}
	h.forget()
	if h.addr == "" {
		h.dir = filepath.Join(t.TempDir(), "data")
		h.own = brokertest.Start(t, brokertest.WithDataDir(h.dir), brokertest.WithSettings(t, set), withAdmin)
		h.addr, h.admin = h.own.Addr(), h.own.AdminAddr()
	} else {
		h.awaitCoordinators()
	}
	t.Cleanup(h.hangUp)
	h.topic("x", "partitions", "2")
	h.topic("compact", "set", "cleanup.policy:compact")
	h.topic("stamped", "set", "message.timestamp.type:LogAppendTime")
	if got := h.produceTo(9, -1, nil, part{"x", 1, plainBatch("kept")}); got != "x-1 NONE" {
		t.Fatalf("the bystander's record: %s", got)
	}
	h.hangUp()
	h.bystander = h.dial()
	h.kept = h.bystanderFetch()
	h.settle()
	return h
}

func withAdmin(c *broker.Config) { c.Admin = "127.0.0.1:0" }

// topic creates a topic; arguments are those of the script command topic.
func (h *hostile) topic(name string, args ...string) {
	h.t.Helper()
	c := script.Command{Args: []script.Arg{{Name: name, IsFlag: true}}}
	for i := 0; i+1 < len(args); i += 2 {
		c.Args = append(c.Args, script.Arg{Name: args[i], Value: args[i+1]})
	}
	if got := h.createTopic(c); got != "NONE" {
		h.t.Fatalf("creating %s: %s", name, got)
	}
}

// dial opens a connection that is closed at the end of the test.
func (h *hostile) dial() *kafkatest.Conn {
	h.t.Helper()
	c, err := kafkatest.Dial(h.addr)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { c.Close() })
	return c
}

// run runs cases one after the other, each on a connection of its own.
func (h *hostile) run(cases []hostileCase) {
	for _, c := range cases {
		want := c.want
		if h.own == nil && c.kafka != "" {
			want = c.kafka
		}
		if want == notAsked {
			continue
		}
		outer := h.t
		outer.Run(c.row+" "+c.name, func(t *testing.T) {
			h.t = t
			defer func() { h.t = outer }()
			h.runOne(t, &c, want)
		})
	}
}

func (h *hostile) runOne(t *testing.T, c *hostileCase, want string) {
	h.hangUp()
	state, before := h.state(), h.counters
	h.sent = 0
	allocated := allocatedBytes()
	got := c.send(h)
	allocated = allocatedBytes() - allocated
	h.hangUp()
	h.settle()
	if h.own == nil {
		want = withoutReason(want)
	} else if strings.HasPrefix(got, closed) && strings.HasPrefix(want, closed+" ") {
		got += " " + h.counters.reasonSince(before)
	}
	if got != want {
		t.Errorf("%s: %s\nanswered: %s\nwanted:   %s", c.row, c.name, got, want)
	}
	if data := h.bystanderFetch(); !bytes.Equal(data, h.kept) {
		t.Errorf("the bystander reads %d other bytes", len(data))
	}
	if h.own == nil {
		return
	}
	if now := h.state(); !c.grows && now != state {
		t.Errorf("the state has changed from\n%s\nto\n%s", state, now)
	}
	if h.counters.panics != 0 {
		t.Errorf("%d handlers panicked", h.counters.panics)
	}
	limit := uint64(8<<20 + cmp.Or(c.perByte, 24)*h.sent)
	if invariant.Enabled {
		limit *= 2 // with the race detector everything takes more
	}
	if allocated > limit {
		t.Errorf("%d bytes were allocated for %d that were sent, %d are allowed", allocated, h.sent, limit)
	}
}

// withoutReason is an answer without the broker's own reason for closing.
func withoutReason(answer string) string {
	if strings.HasPrefix(answer, closed+" ") {
		return closed
	}
	return answer
}

// state is what a case may not change: every log's offsets, producers, transactions.
func (h *hostile) state() string {
	var state strings.Builder
	if h.own != nil {
		h.own.WriteState(&state)
	}
	return state.String()
}

// wireCounters are the metrics of connections.
type wireCounters struct {
	connections, panics int
	closed              map[string]int // by reason
}

// reasonSince is why connections were closed, other than by their clients.
func (w wireCounters) reasonSince(before wireCounters) string {
	reason := "client_closed"
	for r, n := range w.closed {
		if n > before.closed[r] && r != "client_closed" {
			reason = r
		}
	}
	return reason
}

// scrape reads the metrics: all lines that start with the prefix, without it.
func (h *hostile) scrape(prefix string) []string {
	h.t.Helper()
	resp, err := plainHTTP.Get("http://" + h.admin + "/metrics")
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		h.t.Fatalf("metrics: %s, %v", resp.Status, err)
	}
	var found []string
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, prefix); ok {
			found = append(found, strings.TrimSpace(rest))
		}
	}
	return found
}

// plainHTTP does not compress: that would be most of the work.
var plainHTTP = http.Client{Transport: &http.Transport{DisableCompression: true}}

func (h *hostile) count() wireCounters {
	h.t.Helper()
	w := wireCounters{closed: map[string]int{}}
	for _, line := range h.scrape("once_wire_") {
		name, value, _ := strings.Cut(line, " ")
		v, _ := strconv.Atoi(value)
		switch reason, ok := strings.CutPrefix(name, `connections_closed_total{reason="`); {
		case ok:
			w.closed[strings.TrimSuffix(reason, `"}`)] = v
		case name == "connections":
			w.connections = v
		case name == "handler_panics_total":
			w.panics = v
		}
	}
	return w
}

// settle waits until only the bystander is connected: a connection that stays is a leak. Then every
// other one has been counted with the reason of its end.
func (h *hostile) settle() {
	h.t.Helper()
	if h.own == nil {
		return
	}
	h.await(func() bool { return h.count().connections == 1 })
	// A scrape is no instant: it may have read the reasons before the last connection was counted under one.
	h.counters = h.count()
}

// await asks again until it is so.
func (h *hostile) await(so func() bool) {
	h.t.Helper()
	h.awaitOr(so, func() string { return fmt.Sprintf("metrics: %v", h.count()) })
}

// awaitOr does the same, and says why when it never is.
func (h *hostile) awaitOr(so func() bool, why func() string) {
	h.t.Helper()
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-tick.C:
		case <-deadline.C:
			h.t.Fatalf("waited in vain: %s", why())
		}
	}
}

// bystanderFetch reads the kept record over the connection that is open all the time.
func (h *hostile) bystanderFetch() []byte {
	h.t.Helper()
	r := kmsg.NewPtrFetchRequest()
	r.Version, r.ReplicaID, r.MaxBytes, r.SessionEpoch = 12, -1, 1<<20, -1
	rp := kmsg.NewFetchRequestTopicPartition()
	rp.Partition, rp.PartitionMaxBytes = 1, 1<<20
	r.Topics = []kmsg.FetchRequestTopic{{Topic: "x" + h.suffix, Partitions: []kmsg.FetchRequestTopicPartition{rp}}}
	resp, err := h.bystander.Request(r)
	if err != nil {
		h.t.Fatalf("the bystander: %v", err)
	}
	got := resp.(*kmsg.FetchResponse).Topics[0].Partitions[0]
	if got.ErrorCode != 0 || len(got.RecordBatches) == 0 {
		h.t.Fatalf("the bystander: %s, %d bytes", code(got.ErrorCode), len(got.RecordBatches))
	}
	return got.RecordBatches
}

// allocatedBytes counts all that was ever allocated in this process, which is the broker's too.
func allocatedBytes() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// raw sends bytes as they are, and returns what came back: closed, silence is a failure.
func raw(pieces ...[]byte) func(*hostile) string {
	return func(h *hostile) string {
		c := h.dial()
		for _, p := range pieces {
			h.sent += len(p)
			if _, err := c.Write(p); err != nil {
				break // closed already
			}
		}
		return h.answer(c)
	}
}

// answer reads one answer.
func (h *hostile) answer(c *kafkatest.Conn) string {
	h.t.Helper()
	frame, err := c.ReceiveFrame()
	c.Close()
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return "nothing"
	}
	if err != nil {
		return closed
	}
	return fmt.Sprintf("answered %d", int32(binary.BigEndian.Uint32(frame)))
}

// framed puts the length in front of a frame.
func framed(parts ...[]byte) []byte {
	payload := bytes.Join(parts, nil)
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(payload))), payload...)
}

// header is a request header with correlation ID 7.
func header(key kmsg.Key, version int16, flexible bool) []byte {
	id := "hostile"
	return kafkatest.AppendHeader(nil, int16(key), version, 7, &id, flexible)
}
