package broker_test

import (
	"testing"

	"once/internal/kafkatest"
)

// A partition that is taken offline answers nothing until it is brought online, with all its records; the other partition
// goes on.
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
