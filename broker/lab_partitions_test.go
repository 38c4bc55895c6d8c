package broker_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/internal/kafkatest"
	"once/wire"
)

// A partition that is taken offline answers nothing until it is brought online, with all its records; the other
// partition goes on.
func TestPartitionIsTakenOfflineAndBroughtBack(t *testing.T) {
	l := startLab(t)
	l.Append(one(0, "before"))
	for range 2 { // the second time changes nothing
		l.expect("POST", "/v1/partitions/t/0/offline", "", 200, `"partition": 0`, `"offline": "partition is offline`, "taken offline by hand")
	}
	quiet := kafkatest.Connect(t, l.Addr()).Quiet()
	if _, err := quiet.Produce(nil, "t", 0, kafkatest.Values("lost")...); err == nil {
		t.Error("a partition that is offline has taken a record")
	}
	if _, _, err := quiet.Consume("t", 0, 0, false); err == nil {
		t.Error("a partition that is offline was read")
	}
	if _, err := quiet.Produce(nil, "t", 1, kafkatest.Values("other")...); err != nil {
		t.Errorf("the other partition: %v", err)
	}
	for range 2 {
		status, text := l.ask("POST", "/v1/partitions/t/0/online", "")
		if status != 200 {
			t.Fatalf("%d %s", status, text)
		}
	}
	l.Append(one(0, "after"))
	l.values(0, "before", "after")
	l.values(1, "other")
	l.expect("POST", "/v1/faults", `{"match": {"point": "partition.append", "topic": "t", "partition": 1}, "do": {"offline": true}}`, 201)
	if _, err := quiet.Produce(nil, "t", 1, kafkatest.Values("lost")...); err == nil {
		t.Error("the fault has not taken the partition offline")
	}
	l.expect("POST", "/v1/partitions/t/1/online", "", 200, `"highWatermark": 1`)
	l.values(1, "other")
	l.expect("POST", "/v1/partitions/t/0/offline", "", 200)
	l.expect("POST", "/v1/restart", `{"how": "clean"}`, 200)
	l.reconnect()
	l.values(0, "before", "after") // a restart has opened it again

	l.expect("POST", "/v1/partitions/t/2/offline", "", 404, "no partition 2")
	l.expect("POST", "/v1/partitions/t/x/offline", "", 404, "no partition x")
	l.expect("POST", "/v1/partitions/none/0/online", "", 404)
}

// A partition that has forgotten a producer takes a batch again that it would have known for a retry. What is open is not
// forgotten.
func TestPartitionForgetsAProducer(t *testing.T) {
	l := startLab(t)
	p, _ := l.InitProducer("")
	l.Produce(p, "t", 0, kafkatest.Values("a")...)
	clear(p.Sequences)
	l.Produce(p, "t", 0, kafkatest.Values("a")...)
	l.values(0, "a") // known for a retry
	l.expect("POST", "/v1/producers/0/forget", `{"topic": "t", "partition": 0}`, 200, `"producers": 0`)
	clear(p.Sequences)
	l.Produce(p, "t", 0, kafkatest.Values("a")...)
	l.values(0, "a", "a")

	open, _ := l.InitProducer("open")
	l.Produce(open, "t", 1, kafkatest.Values("x")...)
	l.expect("POST", "/v1/producers/1/forget", `{"topic": "t", "partition": 1}`, 409, "transaction open")
	l.Client.End(open, true)
	l.expect("POST", "/v1/producers/1/forget", `{"topic": "t", "partition": 1}`, 200, `"producers": 0`)
	l.expect("POST", "/v1/producers/1/forget", `{"topic": "t", "partition": 1}`, 404, "does not know the producer 1")
	l.expect("POST", "/v1/producers/1/forget", `{"topic": "__consumer_offsets", "partition": 1}`, 409, "internal topic")
	l.expect("POST", "/v1/producers/x/forget", `{"topic": "t", "partition": 1}`, 404)
	l.expect("POST", "/v1/producers/1/forget", `{"partition": 1}`, 400, "topic: is missing")
	l.expect("POST", "/v1/producers/1/forget", `{"topic": "t", "partition": 9}`, 404)
}

// What a partition answers to a producer that it has forgotten, as Kafka 4.4 does when the producer has expired: the next
// batch is accepted whatever its sequence, and refused with OUT_OF_ORDER_SEQUENCE_NUMBER if it begins a transaction of V2.
// No Kafka of these days answers UNKNOWN_PRODUCER_ID (idempotence 4).
func TestForgottenProducerIsAnsweredAsInKafka(t *testing.T) {
	l := startLab(t)
	forget := func(p *kafkatest.Producer) {
		t.Helper()
		l.expect("POST", fmt.Sprintf("/v1/producers/%d/forget", p.ProducerID), `{"topic": "t", "partition": 0}`, 200)
	}
	produce := func(p *kafkatest.Producer, version int16) wire.Code {
		r := p.ProduceRequest("t", 0, p.Batch(3, time.Now().UnixMilli(), kafkatest.Values("x")...))
		r.Version = version
		return wire.Code(l.Answer(r).(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode)
	}
	idempotent, _ := l.InitProducer("")
	l.Produce(idempotent, "t", 0, kafkatest.Values("a", "b", "c")...)
	forget(idempotent)
	if code := produce(idempotent, 12); code != wire.NoError {
		t.Errorf("idempotent: %v", code)
	}
	for _, c := range []struct {
		version int16
		want    wire.Code
	}{{11, wire.NoError}, {12, wire.OutOfOrderSequenceNumber}} {
		p, _ := l.InitProducer("pay")
		l.Produce(p, "t", 0, kafkatest.Values("a")...)
		l.Client.End(p, true)
		forget(p)
		if c.version < 12 {
			add := p.AddPartitionsToTxnRequest("t", 0)
			add.Version = 3
			l.Answer(add)
		}
		if code := produce(p, c.version); code != c.want {
			t.Errorf("Produce v%d: %v, want %v", c.version, code, c.want)
		}
		l.Client.End(p, false)
	}
}
