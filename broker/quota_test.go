package broker_test

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/broker/brokertest"
	"once/internal/kafkatest"
	"once/log/batch"
)

// A client that produces or fetches more than its quota is told for how long it has to pause, and its next request on
// the same connection waits; other connections do not (admin scenario 24).
func TestQuotasThrottle(t *testing.T) {
	t.Parallel() // it waits
	b := brokertest.Start(t)
	c, err := kafkatest.Dial(b.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	other, err := kafkatest.Dial(b.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	topic := kmsg.NewPtrMetadataRequest()
	topic.Version, topic.AllowAutoTopicCreation = 9, true
	name := "x"
	topic.Topics = []kmsg.MetadataRequestTopic{{Topic: &name}}
	ask(t, c, topic)

	if ms := produceBytes(t, c, 20_000); ms != 0 {
		t.Fatalf("throttled for %d ms without a quota", ms)
	}
	setQuota(t, c, "producer_byte_rate", 1950) // 20,000 bytes at once are 2,000 a second
	began := time.Now()                        // the pause begins with the answer
	ms := produceBytes(t, c, 20_000)
	if ms < 100 || ms > 1000 {
		t.Fatalf("throttled for %d ms", ms)
	}
	ask(t, c, topic)
	if took := time.Since(began); took < time.Duration(ms)*time.Millisecond {
		t.Errorf("the next request waited for %v of %d ms", took, ms)
	}

	// The time of requests: a percentage that no request stays below.
	setQuota(t, other, "request_percentage", 1e-9)
	if versions := ask(t, other, apiVersions()).(*kmsg.ApiVersionsResponse); versions.ThrottleMillis != 1000 {
		t.Errorf("throttled for %d ms, want the length of a window", versions.ThrottleMillis)
	}
}

// A connection that has to pause for very long holds up no other.
func TestThrottledConnectionHoldsUpNoOther(t *testing.T) {
	b := brokertest.Start(t)
	kafkatest.Connect(t, b.Addr()).CreateTopic("x", 1, nil)
	var conns [2]*kafkatest.Conn
	for i := range conns {
		var err error
		if conns[i], err = kafkatest.Dial(b.Addr()); err != nil {
			t.Fatal(err)
		}
		defer conns[i].Close()
	}
	setQuota(t, conns[0], "producer_byte_rate", 10)
	ms := produceBytes(t, conns[0], 20_000)
	began := time.Now()
	ask(t, conns[1], apiVersions())
	if took := time.Since(began); ms < 60_000 || took > time.Duration(ms)*time.Millisecond {
		t.Errorf("one connection pauses for %d ms, the other waited for %v", ms, took)
	}
}

// A Fetch above the quota is answered without records, and what it would have got does not count. It gets no more than
// the quota allows in all windows; a batch that is larger is given when the client has fetched nothing else (admin 17).
func TestFetchesAboveTheQuotaAreEmpty(t *testing.T) {
	t.Parallel() // it waits
	b := brokertest.Start(t)
	admin := kafkatest.Must(t, dial(t, b))
	if err := admin.CreateTopic("x", 1, nil); err != nil {
		t.Fatal(err)
	}
	c := dial(t, b)
	for range 3 {
		produceBytes(t, c, 20_000)
	}
	setQuota(t, c, "consumer_byte_rate", 3900) // 39,000 in all windows
	fetch := func(c *kafkatest.Conn, session, epoch int32, batches int, throttled bool) *kmsg.FetchResponse {
		t.Helper()
		r := kmsg.NewPtrFetchRequest()
		r.Version, r.MaxBytes, r.SessionID, r.SessionEpoch = 12, 1<<20, session, epoch
		if epoch <= 0 {
			part := kmsg.NewFetchRequestTopicPartition()
			part.PartitionMaxBytes, part.CurrentLeaderEpoch = 1<<20, -1
			r.Topics = []kmsg.FetchRequestTopic{{Topic: "x", Partitions: []kmsg.FetchRequestTopicPartition{part}}}
		}
		resp := ask(t, c, r).(*kmsg.FetchResponse)
		got := 0
		for _, topic := range resp.Topics {
			got += len(topic.Partitions[0].RecordBatches) / 20_000
		}
		if got != batches || resp.ErrorCode != 0 || (resp.ThrottleMillis > 0) != throttled ||
			batches == 0 && len(resp.Topics) > 0 {
			t.Errorf("%d batches, %d topics, throttled for %d ms, code %d", got, len(resp.Topics), resp.ThrottleMillis,
				resp.ErrorCode)
		}
		return resp
	}
	begun := fetch(c, 0, 0, 1, false)
	if begun.SessionID == 0 {
		t.Fatal("no session")
	}
	if kept := fetch(c, begun.SessionID, 1, 0, true); kept.SessionID != begun.SessionID {
		t.Errorf("the session is %d, and was %d", kept.SessionID, begun.SessionID)
	}
	if none := fetch(dial(t, b), 0, 0, 0, true); none.SessionID != 0 {
		t.Errorf("a session was begun without an answer")
	}
	fetch(dial(t, b), 0, -1, 0, true)
	setQuota(t, dial(t, b), "consumer_byte_rate", 1e9)
	fetch(c, begun.SessionID, 2, 3, false)

	setQuota(t, dial(t, b), "consumer_byte_rate", 10)
	small := dial(t, b)
	small.ClientID = kmsg.StringPtr("small")
	fetch(small, 0, -1, 1, true)
	small = dial(t, b)
	small.ClientID = kmsg.StringPtr("small")
	fetch(small, 0, -1, 0, true)
}

// A Fetch above request_percentage is answered without records, and its session stays as it was; the next one of the
// connection gets them, though it is above the quota as well: else a client below a small quota would never get any.
func TestFetchesThatTakeTooLongAreEmpty(t *testing.T) {
	t.Parallel() // it waits
	b := brokertest.Start(t)
	admin := kafkatest.Must(t, dial(t, b))
	if err := admin.CreateTopic("x", 1, nil); err != nil {
		t.Fatal(err)
	}
	c := dial(t, b)
	produceBytes(t, c, 1000)
	setQuota(t, c, "consumer_byte_rate", 2000) // what is kept back does not count: one answer is below
	setQuota(t, dial(t, b), "request_percentage", 1e-9)
	c = dial(t, b)
	fetch := func(session, epoch int32) (*kmsg.FetchResponse, int) {
		t.Helper()
		r := kafkatest.FetchRequest("x", 0, 0, false)
		r.Version, r.SessionID, r.SessionEpoch = 12, session, epoch
		if epoch > 0 {
			r.Topics = nil
		}
		resp := ask(t, c, r).(*kmsg.FetchResponse)
		if resp.ErrorCode != 0 || resp.ThrottleMillis != 1000 {
			t.Errorf("%s, throttled for %d ms", code(resp.ErrorCode), resp.ThrottleMillis)
		}
		sizeBytes := 0
		for _, topic := range resp.Topics {
			sizeBytes += len(topic.Partitions[0].RecordBatches)
		}
		return resp, sizeBytes
	}
	if resp, got := fetch(0, 0); got != 0 || len(resp.Topics) > 0 || resp.SessionID != 0 {
		t.Errorf("%d bytes of records, %d topics, session %d", got, len(resp.Topics), resp.SessionID)
	}
	begun, got := fetch(0, 0)
	if got < 1000 || begun.SessionID == 0 {
		t.Errorf("then %d bytes of records, session %d", got, begun.SessionID)
	}
	if resp, got := fetch(begun.SessionID, 1); got != 0 || resp.SessionID != begun.SessionID {
		t.Errorf("in the session %d bytes of records, session %d", got, resp.SessionID)
	}
	if _, got := fetch(begun.SessionID, 2); got < 1000 {
		t.Errorf("in the session then %d bytes of records", got)
	}
}

func dial(t *testing.T, b *brokertest.Broker) *kafkatest.Conn {
	t.Helper()
	c, err := kafkatest.Dial(b.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func apiVersions() kmsg.Request {
	r := kmsg.NewPtrApiVersionsRequest()
	r.Version, r.ClientSoftwareName, r.ClientSoftwareVersion = 3, "a", "1"
	return r
}

func ask(t *testing.T, c *kafkatest.Conn, r kmsg.Request) kmsg.Response {
	t.Helper()
	resp, err := c.Request(r)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// setQuota sets a quota for all clients by default.
func setQuota(t *testing.T, c *kafkatest.Conn, quota string, value float64) {
	t.Helper()
	r := kmsg.NewPtrAlterClientQuotasRequest()
	r.Version = 1
	op := kmsg.NewAlterClientQuotasRequestEntryOp()
	op.Key, op.Value = quota, value
	r.Entries = []kmsg.AlterClientQuotasRequestEntry{{
		Entity: []kmsg.AlterClientQuotasRequestEntryEntity{{Type: "client-id"}},
		Ops:    []kmsg.AlterClientQuotasRequestEntryOp{op},
	}}
	if got := ask(t, c, r).(*kmsg.AlterClientQuotasResponse).Entries[0]; got.ErrorCode != 0 {
		t.Fatalf("setting %s: %s", quota, code(got.ErrorCode))
	}
}

// produceBytes produces about so many bytes, and returns the throttle time.
func produceBytes(t *testing.T, c *kafkatest.Conn, sizeBytes int) int32 {
	t.Helper()
	r := kmsg.NewPtrProduceRequest()
	r.Version, r.Acks, r.TimeoutMillis = 12, -1, 10_000
	rt := kmsg.NewProduceRequestTopic()
	rp := kmsg.NewProduceRequestTopicPartition()
	rp.Records = batch.Build(batch.BuildOptions{
		ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1, TimestampMs: time.Now().UnixMilli(), LeaderEpoch: -1,
	}, batch.Record{Value: make([]byte, sizeBytes)})
	rt.Topic, rt.Partitions = "x", append(rt.Partitions, rp)
	r.Topics = append(r.Topics, rt)
	resp := ask(t, c, r).(*kmsg.ProduceResponse)
	if got := resp.Topics[0].Partitions[0].ErrorCode; got != 0 {
		t.Fatal(code(got))
	}
	return resp.ThrottleMillis
}
