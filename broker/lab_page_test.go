package broker_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/internal/kafkatest"
)

// What hangs is found: the oldest open transactions with the partition that each holds back most, a transaction that no
// coordinator knows, and a partition that is offline. A hanging transaction is aborted by hand, and no other one is.
func TestWhatHangsOverHTTP(t *testing.T) {
	l := startLab(t)
	l.expect("GET", "/v1/hanging", "", 200,
		`"openCount": 0, "open": [], "hangingCount": 0, "hanging": [], "offlineCount": 0, "offline": []`)
	l.Append(one(0, "plain"))
	older, _ := l.InitProducer("older")
	l.Produce(older, "t", 0, kafkatest.Values("a")...)
	younger, _ := l.InitProducer("younger")
	l.Produce(younger, "t", 0, kafkatest.Values("b")...)
	l.expect("POST", "/v1/clock", `{"advance": "1s"}`, 200)
	last, _ := l.InitProducer("last")
	l.Produce(last, "t", 1, kafkatest.Values("c")...)
	l.expect("GET", "/v1/hanging?limit=1", "", 200, `"openCount": 3`, `"transactionalId": "older", "state": "Ongoing"`,
		`"partitionCount": 1`,
		`"holds": { "topic": "t", "partition": 0, "lastStableOffset": 1, "highWatermark": 3 }`, `"hangingCount": 0`)
	l.expect("GET", "/v1/topics/t?from=0&limit=1", "", 200,
		`"heldBy": { "transactionalId": "older", "producerId": 0, "producerEpoch": 0, "firstOffset": 1, "state": "Ongoing"`)

	inT0 := `{"topic": "t", "partition": 0}`
	l.expect("POST", fmt.Sprintf("/v1/producers/%d/abort", older.ProducerID), inT0, 409,
		"/v1/transactions/older/abort ends it")
	l.expect("POST", "/v1/transactions/older/hang", "", 200)
	l.expect("GET", "/v1/hanging", "", 200, `"openCount": 2`,
		`"hangingCount": 1, "hanging": [ { "topic": "t", "partition": 0, "lastStableOffset": 1, "highWatermark": 3, "producerId": 0`,
		`"hanging": true, "lastWrite": "`)
	l.expect("GET", "/v1/topics/t", "", 200,
		`"heldBy": { "producerId": 0, "producerEpoch": 0, "firstOffset": 1, "hanging": true`)
	l.expect("POST", "/v1/producers/99/abort", inT0, 409, "producer 99 has no transaction open")
	l.expect("POST", "/v1/producers/x/abort", inT0, 404, "a producer ID is a number")
	l.expect("POST", "/v1/producers/0/abort", `{"topic": "none", "partition": 0}`, 404, "no partition 0 of a topic")
	l.expect("POST", "/v1/producers/0/abort", `{"partition": 0}`, 400, "topic")
	l.expect("POST", fmt.Sprintf("/v1/producers/%d/abort", older.ProducerID), inT0, 200, `"lastStableOffset": 2`,
		`"openTransactions": 1`)
	l.expect("GET", "/v1/records/t/0", "", 200, `"baseOffset": 1, "lastOffset": 1, "fate": "aborted"`,
		`"baseOffset": 2, "lastOffset": 2, "fate": "open"`)
	l.expect("GET", "/v1/hanging", "", 200, `"hangingCount": 0`)

	l.expect("POST", "/v1/partitions/t/1/offline", "", 200)
	l.expect("GET", "/v1/hanging", "", 200,
		`"offlineCount": 1, "offline": [ { "topic": "t", "partition": 1, "offline": "partition is offline`)
	l.expect("GET", "/v1/topics?internal=false&brief=true", "", 200,
		`"partitionCount": 2, "offsetCount": 4, "unstableCount": 2, "openTransactions": 1, "offlinePartitions": 1, "partitions": []`)
	l.expect("POST", "/v1/partitions/t/1/online", "", 200)
	l.Client.End(younger, true)
	l.Client.End(last, true)
}

// A transaction that begins or ends while the cluster is looked at does not hang.
func TestTransactionsThatEndDoNotHang(t *testing.T) {
	l := startLab(t)
	p, _ := l.InitProducer("busy")
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				l.Produce(p, "t", 0, kafkatest.Values("a")...)
				l.Client.End(p, true)
			}
		}
	}()
	for range 300 {
		if _, text := l.ask("GET", "/v1/hanging", ""); !strings.Contains(text, `"hangingCount": 0`) {
			t.Errorf("%s", text)
			break
		}
	}
	close(stop)
	<-stopped
}

// A committed offset in a hanging transaction is pending for ever, until the transaction is aborted by hand.
func TestHangingOffsetsAreAborted(t *testing.T) {
	l := startLab(t)
	l.Commit("g", "t", 0, 1, "")
	p, _ := l.InitProducer("copier")
	l.Stage(p, "g", "t", 0, 5)
	l.expect("POST", "/v1/transactions/copier/hang", "", 200)
	l.expect("GET", "/v1/groups/g", "", 200, `"pending": true`, `"pendingCount": 1`)
	var found struct {
		Hanging []struct {
			Topic     string
			Partition int32
		}
	}
	l.into("GET", "/v1/hanging", "", &found)
	if len(found.Hanging) != 1 || found.Hanging[0].Topic != "__consumer_offsets" {
		t.Fatalf("%+v", found)
	}
	l.expect("POST", fmt.Sprintf("/v1/producers/%d/abort", p.ProducerID),
		fmt.Sprintf(`{"topic": "__consumer_offsets", "partition": %d}`, found.Hanging[0].Partition), 200)
	l.expect("GET", "/v1/groups/g", "", 200, `"committed": 1`, `"pending": false`, `"pendingCount": 0`)
}

// Lists can be brief, filtered by name, and say how long they are; what is long in an answer can be cut.
func TestBriefAnswers(t *testing.T) {
	l := startLab(t)
	for i := range 3 {
		p, _ := l.InitProducer(fmt.Sprintf("pay-%d", i))
		l.Produce(p, "t", 0, kafkatest.Values(strings.Repeat("ö", 100))...)
		l.Client.End(p, true)
	}
	l.Commit("g", "t", 0, 1, "")
	l.expect("GET", "/v1/transactions?brief=true&name=pay-*&limit=1", "", 200, `"partitions": []`, `"partitionCount": 0`,
		`"transitions": []`)
	l.expect("GET", "/v1/transactions?name=pay", "", 200, `[]`)
	l.expect("GET", "/v1/groups?brief=true&estimate=true", "", 200, `"members": []`, `"offsets": []`, `"offsetCount": 1`,
		`"lag": 2 }`)
	l.expect("GET", "/v1/groups/g?from=1", "", 200, `"offsets": []`, `"offsetCount": 1`)
	l.expect("GET", "/v1/topics?internal=maybe", "", 400, "?internal")
	l.expect("GET", "/v1/topics/t?from=1", "", 200, `"partitionCount": 2`, `"partitions": [ { "partition": 1`)
	l.expect("GET", "/v1/records/t/0?cut=11&limit=2", "", 200, `"value": "`+strings.Repeat("ö", 5)+`"`,
		`"valueBytes": 200`, `"nextOffset": 2`)
	r, err := http.Get("http://" + l.AdminAddr() + "/v1/transactions?limit=2&after=pay-0&name=pay-*")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if got := r.Header.Get("X-Total-Count"); got != "3" {
		t.Errorf("X-Total-Count: %q", got)
	}
}

// A batch with more records than are wanted is shown in pieces, which nextOffset joins.
func TestLargeBatchIsCut(t *testing.T) {
	l := startLab(t)
	var nobody *kafkatest.Producer
	r := one(0, "")
	r.Topics[0].Partitions[0].Records = nobody.Batch(-1, 0, kafkatest.Values("a", "b", "c", "d", "e")...)
	l.Append(r)
	l.expect("GET", "/v1/records/t/0?cut=100&limit=2", "", 200, `"nextOffset": 2`, `"lastOffset": 4`, `"value": "b"`)
	l.expect("GET", "/v1/records/t/0?cut=100&limit=2&from=2", "", 200, `"nextOffset": 4`, `"value": "c"`, `"value": "d"`)
	l.expect("GET", "/v1/records/t/0?cut=100&limit=2&from=4", "", 200, `"nextOffset": 5`, `"value": "e"`)
	l.expect("GET", "/v1/records/t/0?limit=2", "", 200, `"nextOffset": 5`, `"value": "e"`)
}

// Groups of each kind have members, with what is assigned to them.
func TestMembersOfGroupsOfEachKind(t *testing.T) {
	l := startLab(t)
	consumer := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	consumer.Version, consumer.Group, consumer.MemberID, consumer.RebalanceTimeoutMillis = 1, "consumers", "c-1", 60000
	consumer.SubscribedTopicNames, consumer.Topics = []string{"t"}, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	l.Answer(consumer)
	share := kmsg.NewPtrShareGroupHeartbeatRequest()
	share.Version, share.GroupID, share.MemberID, share.SubscribedTopicNames = 1, "sharers", "s-1", []string{"t"}
	l.Answer(share)
	for group, member := range map[string]string{"consumers": "c-1", "sharers": "s-1"} {
		l.expect("GET", "/v1/groups/"+group, "", 200, `"memberId": "`+member+`"`, `"memberCount": 1`,
			`"assignment": [ { "topic": "t", "partition": 0 }, { "topic": "t", "partition": 1 } ]`)
	}
	streams := kmsg.NewPtrStreamsGroupHeartbeatRequest()
	streams.Group, streams.MemberID, streams.RebalanceTimeoutMillis = "counters", "app-1", 60000
	streams.ProcessID = kmsg.StringPtr("process")
	streams.Topology = &kmsg.StreamsGroupHeartbeatRequestTopology{Epoch: 1,
		Subtopologies: []kmsg.StreamsGroupHeartbeatRequestTopologySubtopology{{SubtopologyID: "0",
			SourceTopics: []string{"t"}}}}
	streams.ActiveTasks, streams.StandbyTasks, streams.WarmupTasks = []kmsg.TaskIDs{},
		[]kmsg.TaskIDs{}, []kmsg.TaskIDs{}
	l.Answer(streams)
	l.expect("GET", "/v1/groups/counters", "", 200, `"type": "streams"`, `"memberId": "app-1"`,
		`"assignment": [ { "topic": "t", "partition": 0 }, { "topic": "t", "partition": 1 } ], "tasks": [ "0_0", "0_1" ]`)
	l.expect("GET", "/v1/groups/sharers", "", 200, `"type": "share"`, `"offsetCount": 2`)
}
