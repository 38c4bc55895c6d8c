package broker_test

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/internal/kafkatest"
	"once/wire"
)

// The coordinators load again: an open transaction goes on, its offsets are still staged, and owed markers stay owed.
func TestCoordinatorsReloadOverHTTP(t *testing.T) {
	l := startLab(t)
	p, _ := l.InitProducer("pay")
	l.Produce(p, "t", 0, kafkatest.Values("a")...)
	l.Commit("g", "t", 0, 1, "")
	l.Stage(p, "g", "t", 0, 5)
	for range 3 {
		l.expect("POST", "/v1/coordinators/reload", "", 200,
			`"transactionalIds": 1, "resumed": [], "groups": 1, "sharePartitions": 0, "took": "`)
	}
	if offset, err := l.Committed("g", "t", 0); offset != 1 || err != nil {
		t.Errorf("committed %d, %v", offset, err)
	}
	l.expect("POST", "/v1/faults", `{"match": {"point": "txn.marker", "topic": "t"}, "do": {"hold": true}}`, 201, `"f1"`)
	l.Client.End(p, true)
	l.expect("POST", "/v1/coordinators/reload", "", 200, `"resumed": [ "pay" ]`)
	l.values(0)
	l.expect("POST", "/v1/faults/f1/release", "", 200, `"released": 1`)
	l.values(0, "a")
	if offset, err := l.Committed("g", "t", 0); offset != 5 || err != nil {
		t.Errorf("committed %d, %v", offset, err)
	}
	l.expect("POST", "/v1/coordinators/reload", "{}", 400, "must be empty")
	l.expect("GET", "/v1/coordinators/reload", "", 405, "POST")
}

// While a partition of an internal topic is offline, nobody coordinates what belongs to it, as in Kafka whose log
// directory has failed; what belongs to others goes on. When it is back, all is as it was.
func TestPartitionsOfInternalTopicsAreTakenOffline(t *testing.T) {
	l := startLab(t)
	quiet := kafkatest.Connect(t, l.Addr()).Quiet()
	p, _ := l.InitProducer("pay")
	l.Produce(p, "t", 0, kafkatest.Values("a")...)
	l.Commit("g", "t", 0, 1, "")
	l.Stage(p, "g", "t", 0, 5)
	v, _ := l.Cluster().View()
	offsets := fmt.Sprintf("/v1/partitions/__consumer_offsets/%d/", v.Groups.PartitionFor("g"))
	transactions := fmt.Sprintf("/v1/partitions/__transaction_state/%d/", v.Txns.PartitionFor("pay"))
	v.End()
	code := func(what string, err error, want wire.Code) {
		t.Helper()
		if got := wire.Code(kafkatest.Code(t, err)); got != want {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	find := func(key string, kind int8, want wire.Code) {
		t.Helper()
		r := kmsg.NewPtrFindCoordinatorRequest()
		r.Version, r.CoordinatorType, r.CoordinatorKeys = 4, kind, []string{key}
		c := l.Answer(r).(*kmsg.FindCoordinatorResponse).Coordinators[0]
		if wire.Code(c.ErrorCode) != want || (c.NodeID == -1) != (want != wire.NoError) {
			t.Errorf("coordinator of %s: %+v, want %v", key, c, want)
		}
	}
	for range 2 {
		l.expect("POST", offsets+"offline", "", 200, `"offline": "partition is offline`)
	}
	find("g", 0, wire.CoordinatorNotAvailable)
	find("pay", 1, wire.NoError)
	code("commit", quiet.Commit("g", "t", 0, 2, ""), wire.NotCoordinator)
	_, err := quiet.Committed("g", "t", 0)
	code("fetch", err, wire.NotCoordinator)
	l.Commit("other", "t", 0, 3, "")
	l.expect("GET", "/v1/groups", "", 200, `"id": "other"`)
	code("a commit with offsets there", quiet.End(p, true), wire.ConcurrentTransactions) // the marker is owed
	l.values(0, "a")
	for range 2 {
		l.expect("POST", offsets+"online", "", 200, `"partition": `)
	}
	l.expect("GET", "/v1/transactions/pay", "", 200, `"state": "CompleteCommit"`)
	if offset, err := l.Committed("g", "t", 0); offset != 5 || err != nil {
		t.Errorf("committed %d, %v", offset, err)
	}
	find("g", 0, wire.NoError)

	p, _ = l.InitProducer("pay")
	l.Produce(p, "t", 1, kafkatest.Values("b")...)
	l.expect("POST", transactions+"offline", "", 200, `"offline": "partition is offline`)
	find("pay", 1, wire.CoordinatorNotAvailable)
	code("end", quiet.End(p, true), wire.NotCoordinator)
	_, err = quiet.InitProducer("pay")
	code("init", err, wire.NotCoordinator)
	_, err = quiet.Produce(p, "t", 0, kafkatest.Values("c")...)
	code("produce", err, wire.NotEnoughReplicas)
	l.expect("GET", "/v1/transactions/pay", "", 404)
	l.expect("POST", "/v1/coordinators/reload", "", 200, `"transactionalIds": 0`)
	l.expect("POST", transactions+"online", "", 200)
	l.Client.End(p, true)
	l.values(1, "b")
	l.expect("POST", "/v1/partitions/__transaction_state/50/offline", "", 404, "no partition 50")

	for _, how := range []string{"clean", "kill"} { // a restart opens them again
		l.expect("POST", offsets+"offline", "", 200)
		l.expect("POST", transactions+"offline", "", 200)
		l.expect("POST", "/v1/restart", `{"how": "`+how+`"}`, 200)
		l.reconnect()
		if offset, err := l.Committed("g", "t", 0); offset != 5 || err != nil {
			t.Errorf("committed %d, %v", offset, err)
		}
		l.expect("GET", "/v1/transactions/pay", "", 200, `"state": "CompleteCommit"`)
	}
	l.expect("POST", offsets+"offline", "", 200)
	l.expect("POST", "/v1/reset", "", 200)
	l.CreateTopic("t", 1, nil)
	l.Commit("g", "t", 0, 1, "")
}

// A partition that an internal topic gets while the broker runs belongs to no coordinator before the next start.
// Markers are written to it, and it goes offline and comes back, as with a user's topic.
func TestPartitionsAddedToInternalTopicsHaveNoCoordinator(t *testing.T) {
	l := startLab(t)
	l.Commit("g", "t", 0, 1, "")
	r := kmsg.NewPtrCreatePartitionsRequest()
	r.Version, r.TimeoutMillis = 3, 10_000
	for _, name := range []string{"__consumer_offsets", "__transaction_state"} {
		topic := kmsg.NewCreatePartitionsRequestTopic()
		topic.Topic, topic.Count = name, 52
		r.Topics = append(r.Topics, topic)
	}
	for _, topic := range l.Answer(r).(*kmsg.CreatePartitionsResponse).Topics {
		if topic.ErrorCode != 0 {
			t.Fatalf("%s: %v", topic.Topic, wire.Code(topic.ErrorCode))
		}
	}
	marker := kmsg.NewPtrWriteTxnMarkersRequest()
	marker.Version = 1
	marker.Markers = []kmsg.WriteTxnMarkersRequestMarker{{ProducerID: 7, Topics: []kmsg.WriteTxnMarkersRequestMarkerTopic{
		{Topic: "__consumer_offsets", Partitions: []int32{51}}}}}
	answer := l.Answer(marker).(*kmsg.WriteTxnMarkersResponse).Markers[0].Topics[0].Partitions[0]
	if answer.ErrorCode != 0 {
		t.Errorf("marker: %v", wire.Code(answer.ErrorCode))
	}
	for _, name := range []string{"__consumer_offsets", "__transaction_state"} {
		for _, change := range []string{"offline", "online"} {
			l.expect("POST", "/v1/partitions/"+name+"/51/"+change, "", 200, `"partition": 51`)
		}
	}
	if offset, err := l.Committed("g", "t", 0); offset != 1 || err != nil {
		t.Errorf("committed %d, %v", offset, err)
	}
}
