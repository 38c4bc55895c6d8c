package broker_test

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/broker"
	"once/broker/brokertest"
	"once/internal/kafkatest"
	"once/log/batch"
	"once/wire"
)

// overHTTP is a broker in memory with a topic of two partitions, a client, and its lab.
type overHTTP struct{ *ruled }

func startLab(t *testing.T, options ...brokertest.Option) overHTTP {
	options = append([]brokertest.Option{brokertest.WithMemory, func(c *broker.Config) { c.Admin = "127.0.0.1:0" }},
		options...)
	f := &ruled{Broker: brokertest.Start(t, options...), t: t}
	f.reconnect()
	f.CreateTopic("t", 2, nil)
	return overHTTP{f}
}

// ask sends a request to the lab and returns the answer.
func (l overHTTP) ask(method, path, body string) (status int, answer string) {
	l.t.Helper()
	r, err := http.NewRequestWithContext(l.t.Context(), method, "http://"+l.AdminAddr()+path, strings.NewReader(body))
	if err != nil {
		l.t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		l.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		l.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// expect asks, and checks the status and parts of the answer, in which runs of space are one.
func (l overHTTP) expect(method, path, body string, status int, parts ...string) {
	l.t.Helper()
	got, text := l.ask(method, path, body)
	text = strings.Join(strings.Fields(text), " ")
	if got != status {
		l.t.Errorf("%s %s %s: %d %s, want %d", method, path, body, got, text, status)
	}
	for _, part := range parts {
		if !strings.Contains(text, part) {
			l.t.Errorf("%s %s %s: %s, want %s", method, path, body, text, part)
		}
	}
}

func (l overHTTP) into(method, path, body string, answer any) {
	l.t.Helper()
	status, text := l.ask(method, path, body)
	if err := json.Unmarshal([]byte(text), answer); err != nil || status/100 != 2 {
		l.t.Fatalf("%s %s %s: %d %s: %v", method, path, body, status, text, err)
	}
}

// The state over HTTP: transactions, partitions, records with what has become of them, groups with their lag.
func TestStateOverHTTP(t *testing.T) {
	l := startLab(t)
	l.Append(one(0, "plain"))
	for _, c := range []struct {
		id     string
		commit bool
	}{{"good", true}, {"bad", false}} {
		p, _ := l.InitProducer(c.id)
		l.Produce(p, "t", 0, kafkatest.Values("x", "y")...)
		l.Client.End(p, c.commit)
	}
	open, _ := l.InitProducer("open")
	l.Produce(open, "t", 0, kafkatest.Values("z")...)
	l.Commit("g", "t", 0, 1, "here")
	l.Stage(open, "g", "t", 1, 5)

	l.expect("GET", "/v1/transactions", "", 200, `"transactionalId": "bad", "state": "CompleteAbort"`,
		`"transactionalId": "open", "state": "Ongoing"`)
	l.expect("GET", "/v1/transactions/open", "", 200, `"topic": "t", "partition": 0`, `"timeout": "15m"`, `"age": `,
		`"timeLeft": "`)
	l.expect("GET", "/v1/transactions/bad", "", 200,
		`"state": "Empty", "producerId": 1, "producerEpoch": 0, "reason": "InitProducerId v5 from client kafkatest"`,
		`"state": "Ongoing", "producerId": 1, "producerEpoch": 0, "reason": "first partitions added by Produce v12 from client kafkatest"`, `"state": "PrepareAbort"`, `"reason": "EndTxn v5 from client kafkatest"`, `"reason": "markers written"`)
	l.expect("GET", "/v1/transactions/none", "", 404, "no transactional ID")
	l.expect("GET", "/v1/topics/t", "", 200,
		`"partition": 0, "logStartOffset": 0, "lastStableOffset": 7, "highWatermark": 8, "logEndOffset": 8`,
		`"openTransactions": 1`)
	l.expect("GET", "/v1/topics", "", 200, `"name": "__transaction_state"`, `"internal": true`)
	l.expect("GET", "/v1/records/t/0", "", 200,
		`"baseOffset": 0, "lastOffset": 0, "fate": "plain"`, `"baseOffset": 1, "lastOffset": 2, "fate": "committed"`,
		`"fate": "marker", "marker": "COMMIT"`,
		`"baseOffset": 4, "lastOffset": 5, "fate": "aborted"`, `"marker": "ABORT"`, `"fate": "open"`, `"value": "plain"`,
		`"nextOffset": 8`, `"transactionalId": "open"`)
	l.expect("GET", "/v1/records/t/0?from=2&limit=1", "", 200, `"baseOffset": 1, "lastOffset": 2`, `"nextOffset": 3`,
		`"records": [ { "offset": 2,`)
	l.expect("GET", "/v1/records/t/2", "", 404, "no partition")
	l.expect("GET", "/v1/records/t/0?limit=0", "", 400, "?limit: must be a whole number between 1 and 1000")
	l.expect("GET", "/v1/groups/g", "", 200, `"state": "Empty"`,
		`"committed": 1, "metadata": "here", "pending": false, "lastStableOffset": 7, "lag": 2`, `"lag": 2 }`)
	l.expect("GET", "/v1/groups/g", "", 200, `"partition": 1, "committed": -1, "pending": true`)
	l.Client.End(open, true)
	l.expect("GET", "/v1/groups/g", "", 200, `"lag": 3 }`, `"partition": 1, "committed": 5`)
	l.expect("GET", "/v1/groups", "", 200, `"id": "g"`)

	fenced, _ := l.InitProducer("fenced")
	l.Produce(fenced, "t", 0, kafkatest.Values("f")...)
	l.InitProducer("fenced")
	l.expect("GET", "/v1/transactions/fenced", "", 200, `"reason": "fenced by InitProducerId v5 from client kafkatest"`)
}

// An await answers when its condition holds, and with the state as it is when the time is over.
func TestAwait(t *testing.T) {
	l := startLab(t)
	p, _ := l.InitProducer("pay")
	l.Produce(p, "t", 0, kafkatest.Values("a")...)
	for _, c := range []struct {
		body   string
		status int
		part   string
	}{
		{`{"transaction": {"id": "pay", "state": ["Empty", "Ongoing"]}}`, 200, `"state": "Ongoing"`},
		{`{"transaction": {"id": "none", "absent": true}}`, 200, `"missing": "none"`},
		{`{"transaction": {"id": "pay", "state": "CompleteCommit"}, "timeout": "10ms"}`, 408, `"state": "Ongoing"`},
		{`{"transaction": {"id": "pay", "state": "Nonsense"}}`, 400, `transaction.state`},
		{`{"transaction": {"id": "pay"}}`, 400, `must have one of state and absent`},
		{`{"transaction": {"state": "Empty"}}`, 400, `transaction.id: is missing`},
		{`{"group": {"id": "g"}}`, 400, `group: must have`},
		{`{"group": {"id": "g", "state": "Stable"}, "timeout": "1ms"}`, 408, `"missing": "g"`},
		{`{"group": {"id": "g", "state": ["Stable", "Dead"]}}`, 200, `"missing": "g"`},
		{`{"group": {"id": "g", "state": "Dead", "members": 1}, "timeout": "1ms"}`, 408, `"missing": "g"`},
		{`{"partition": {"topic": "t", "partition": 0, "highWatermark": 1}}`, 200, `"highWatermark": 1`},
		{`{"partition": {"topic": "t", "lastStableOffset": 1}, "timeout": "1ms"}`, 408, `"lastStableOffset": 0`},
		{`{"partition": {"topic": "t", "openTransactions": 1}}`, 200, `"openTransactions": 1`},
		{`{"partition": {"topic": "t"}}`, 400, `must have one of`},
		{`{"fault": {"id": "f9", "triggered": 1}}`, 404, `no fault`},
		{`{"timeout": "1s"}`, 400, `exactly one`},
		{`{"fault": {"id": "f9", "triggered": 1}, "caughtUp": {"group": "g"}}`, 400, `exactly one`},
		{`{"fault": {"id": "f9", "triggered": 1}, "timeout": "2m"}`, 400, `timeout: must be a duration of at most`},
	} {
		l.expect("POST", "/v1/await", c.body, c.status, c.part)
	}
	answered := make(chan string)
	for _, body := range []string{
		`{"partition": {"topic": "t", "partition": 0, "records": 1}}`,
		`{"committed": {"group": "g", "topic": "t", "partition": 0, "offset": 1}}`,
		`{"caughtUp": {"group": "g"}}`,
		`{"transaction": {"id": "pay", "state": "CompleteCommit"}}`,
	} {
		go func() {
			_, text := l.ask("POST", "/v1/await", body)
			answered <- text
		}()
	}
	l.Stage(p, "g", "t", 0, 1)
	l.Client.End(p, true)
	for range 4 {
		if text := <-answered; strings.Contains(text, `"missing"`) {
			t.Error(text)
		}
	}
}

// A restart keeps rules and clock; what it finds is in the answer. Connections are closed.
func TestRestartOverHTTP(t *testing.T) {
	l := startLab(t)
	var rule struct{ ID string }
	for _, how := range []string{"clean", "kill", "powerCut"} {
		p, _ := l.InitProducer("pay-" + how)
		l.Produce(p, "t", 0, kafkatest.Values(how)...)
		l.expect("POST", "/v1/clock", `{"advance": "10s"}`, 200)
		l.into("POST", "/v1/faults",
			`{"match": {"point": "txn.marker", "transactionalId": "pay-`+how+`"}, "do": {"hold": true}}`, &rule)
		if how != "powerCut" { // it may take back the end
			l.Client.End(p, true)
			l.expect("GET", "/v1/faults/"+rule.ID+"?wait=held", "", 200)
		}
		if status, text := l.ask("POST", "/v1/restart", `{"how": "`+how+`"}`); status != 200 ||
			strings.Contains(text, `"pay-`+how+`"`) != (how != "powerCut") {
			t.Errorf("%s: %d %s", how, status, text)
		}
		if err := l.conn.WaitClosed(); err != nil {
			t.Error(err)
		}
		l.reconnect()
		l.expect("GET", "/v1/faults/"+rule.ID, "", 200, `"held": 0`)
	}
	l.expect("GET", "/v1/clock", "", 200, `"offset": "30s"`)
	if got, _, _ := l.Consume("t", 0, 0, true); !slices.Equal(got, []string{"clean", "kill"}) &&
		!slices.Equal(got, []string{}) {
		t.Errorf("%q", got)
	}
	l.expect("POST", "/v1/restart", `{"how": "nonsense"}`, 400, "how: must be clean, kill or powerCut")
	l.expect("POST", "/v1/restart", `{"how": "kill", "downFor": "2m"}`, 400, "downFor")
}

// A kill at an inner point leaves the cluster as a kill -9 does, and it opens again by itself. A failed sync takes it
// down until it is restarted; the process goes on.
func TestKillAndFailedSyncByRules(t *testing.T) {
	l := startLab(t, func(c *broker.Config) { c.Durability = "fsync" })
	var rule struct{ ID string }
	p, _ := l.InitProducer("pay")
	l.Produce(p, "t", 0, kafkatest.Values("a")...)
	l.into("POST", "/v1/faults", `{"match": {"point": "txn.complete"}, "do": {"kill": true}}`, &rule)
	l.closed(p.EndTxnRequest(true))
	l.expect("POST", "/v1/await", `{"transaction": {"id": "pay", "state": "CompleteCommit"}}`, 200)
	l.reconnect()
	l.values(0, "a")
	l.into("POST", "/v1/faults", `{"match": {"point": "disk.sync"}, "do": {"fail": true}}`, &rule)
	if _, err := l.conn.Send(one(0, "b")); err != nil {
		t.Fatal(err)
	}
	l.expect("GET", "/v1/faults/"+rule.ID+"?wait=triggered", "", 200)
	l.until("the cluster is down", func() bool {
		status, _ := l.ask("GET", "/v1/topics", "")
		return status == 503
	})
	l.expect("GET", "/v1/topics", "", 503, "the cluster is not open")
	l.expect("POST", "/v1/restart", `{"how": "kill"}`, 200)
	l.reconnect()
	l.Append(one(0, "c"))
	if l.Err() != nil {
		t.Error(l.Err())
	}
}

// A reset empties the cluster, for a test that follows; connections stay unless it says otherwise.
func TestResetOverHTTP(t *testing.T) {
	l := startLab(t)
	l.Append(one(0, "a"))
	l.expect("POST", "/v1/clock", `{"freeze": true}`, 200)
	l.expect("POST", "/v1/faults", `{"do": {"hold": true}, "match": {"api": "EndTxn"}}`, 201)
	l.expect("POST", "/v1/reset", `{"keep": ["topics"]}`, 200, `"took"`)
	l.values(0)
	l.expect("GET", "/v1/faults", "", 200, "[]")
	l.expect("GET", "/v1/clock", "", 200, `"frozen": false`)
	l.expect("POST", "/v1/reset", "", 200)
	l.expect("GET", "/v1/topics/t", "", 404)
	l.expect("POST", "/v1/reset", `{"keep": ["groups"]}`, 400, "keep: there is no")
	if _, err := l.conn.Request(kmsg.NewPtrMetadataRequest()); err != nil {
		t.Error(err)
	}
	l.expect("POST", "/v1/reset", `{"disconnect": true}`, 200)
	if err := l.conn.WaitClosed(); err != nil {
		t.Error(err)
	}
}

// A transaction of fifteen minutes is aborted by moving the clock, and nobody waits that long.
func TestClockOverHTTP(t *testing.T) {
	l := startLab(t)
	l.TransactionTimeout = 15 * time.Minute
	p, _ := l.InitProducer("orders-1")
	l.Produce(p, "t", 0, kafkatest.Values("a")...)
	began := time.Now()
	l.expect("POST", "/v1/clock", `{"advance": "16m"}`, 200, `"what": "aborted transaction"`,
		`"transactionalId": "orders-1"`, `"offset": "16m"`)
	l.expect("GET", "/v1/transactions/orders-1", "", 200, `"reason": "timeout"`)
	if took := time.Since(began); took > 5*time.Minute {
		t.Errorf("took %v", took)
	}
	l.expect("GET", "/v1/transactions/orders-1", "", 200, `"state": "CompleteAbort"`)
}

// The journal has each request with what it was about, what was answered, and the fault that fired; it is followed as
// it grows. A commit that changes nothing and what clients send while they wait leave the cluster idle.
func TestRequestsOverHTTP(t *testing.T) {
	l := startLab(t)
	r, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+l.AdminAddr()+"/v1/requests?follow=true&api=EndTxn",
		nil)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()
	l.expect("POST", "/v1/faults", `{"match": {"api": "EndTxn"}, "do": {"loseAnswer": true}}`, 201)
	p, _ := l.InitProducer("pay")
	l.Produce(p, "t", 0, kafkatest.Values("a")...)
	l.closed(p.EndTxnRequest(true))
	l.Client.End(p, true)
	l.expect("GET", "/v1/requests?transactionalId=p*&api=EndTxn", "", 200,
		`"api": "EndTxn", "version": 5, "transactionalIds": [ "pay" ], "codes": [], "outcome": "closed"`,
		`"fault": "f1"`, `"codes": [ "NONE" ], "outcome": "answered"`)
	l.Quiet().Append(kafkatest.ProduceRequest("", "none", 0, one(0, "x").Topics[0].Partitions[0].Records))
	l.expect("GET", "/v1/requests?topic=none", "", 200, `"topics": [ "none" ], "codes": [ "UNKNOWN_TOPIC_OR_PARTITION" ]`)
	l.expect("GET", "/v1/requests?api=InitProducerId", "", 200, `"api": "InitProducerId"`)
	l.expect("GET", "/v1/requests?api=Nonsense", "", 200, `[]`)
	l.expect("GET", "/v1/requests?api=InitProducerId&client=&topic=&group=&transactionalId=&since=&limit=", "", 200,
		`"api": "InitProducerId"`)
	l.expect("GET", "/v1/requests?since=soon", "", 400, `?since`)
	var last []struct{ ID int }
	l.into("GET", "/v1/requests?limit=1", "", &last)
	if len(last) != 1 {
		t.Errorf("%d entries", len(last))
	}
	events := ""
	for buffer := make([]byte, 4096); strings.Count(events, "data: ") < 2; {
		n, err := stream.Body.Read(buffer)
		if events += string(buffer[:n]); err != nil {
			t.Fatalf("%v after %s", err, events)
		}
	}

	l.Commit("g", "t", 0, 1, "")
	l.expect("POST", "/v1/await", `{"idle": "5ms"}`, 200, `"idle": "`)
	busy, stop := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(busy)
		c := kafkatest.Connect(t, l.Addr())
		for {
			select {
			case <-stop:
				return
			default:
				c.Commit("g", "t", 0, 1, "")
				c.Ends("t", 0)
			}
		}
	}()
	l.expect("POST", "/v1/await", `{"idle": "20ms"}`, 200, `"idle": "`)
	close(stop)
	<-busy
}

// Who lives stays alive: a move throws no member out that has said something within its session, and one on whose
// client a black hole acts is out. With expireMembers all are.
func TestMovesKeepMembersThatLive(t *testing.T) {
	l := startLab(t)
	member, _ := l.Join("g")
	heartbeat := func() int16 {
		r := kmsg.NewPtrHeartbeatRequest()
		r.Version, r.Group, r.MemberID, r.Generation = 3, "g", member.MemberID, member.Generation
		return kafkatest.Connect(t, l.Addr()).Answer(r).(*kmsg.HeartbeatResponse).ErrorCode
	}
	l.expect("POST", "/v1/clock", `{"advance": "16m"}`, 200, `"did": []`)
	if code := heartbeat(); code != 0 {
		t.Errorf("code %d", code)
	}
	l.expect("POST", "/v1/clock", `{"freeze": true}`, 200)
	l.expect("POST", "/v1/clock", `{"advance": "16m"}`, 200, `"did": []`)
	l.expect("POST", "/v1/clock", `{"resume": true}`, 200, `"offset": "3`) // 32m, less the time that it stood still
	if code := heartbeat(); code != 0 {
		t.Errorf("code %d", code)
	}
	l.expect("POST", "/v1/clock", `{"advance": "1m", "expireMembers": true}`, 200, `"what": "removed member"`)
	if code := heartbeat(); code != int16(wire.UnknownMemberID) {
		t.Errorf("code %d", code)
	}

	l.Join("h")
	l.expect("POST", "/v1/faults",
		`{"match": {"clientId": "`+kafkatest.ClientID+`"}, "when": {"always": true}, "do": {"blackhole": true}}`, 201)
	if _, err := l.conn.Send(kmsg.NewPtrMetadataRequest()); err != nil {
		t.Fatal(err)
	}
	l.expect("GET", "/v1/faults/f1?wait=triggered", "", 200)
	l.expect("POST", "/v1/clock", `{"advance": "10s"}`, 200, `"did": []`)
	l.expect("POST", "/v1/clock", `{"advance": "1m"}`, 200, `"what": "removed member"`)
}

// The next thing that falls due is moved to; what a fault holds is pending.
func TestMoveToTheNextDeadline(t *testing.T) {
	l := startLab(t)
	l.expect("POST", "/v1/faults", `{"match": {"point": "txn.marker", "transactionalId": "a"}, "do": {"hold": true}}`, 201)
	for _, id := range []string{"b", "a"} {
		l.TransactionTimeout = map[string]time.Duration{"a": time.Minute, "b": 2 * time.Minute}[id]
		p, _ := l.InitProducer(id)
		l.Produce(p, "t", 0, kafkatest.Values("x")...)
	}
	l.expect("GET", "/v1/clock", "", 200, `"what": "transaction a times out"`)
	l.expect("POST", "/v1/clock", `{"advanceToNext": true}`, 200,
		`"pending": [ { "transactionalId": "a", "state": "PrepareAbort"`)
	l.expect("GET", "/v1/transactions/b", "", 200, `"state": "Ongoing"`)
	l.expect("POST", "/v1/faults/f1/release", "", 200, `"released": 1`)
	l.expect("POST", "/v1/clock", `{"advanceToNext": true}`, 200, `"what": "aborted transaction"`, `"pending": []`)
	l.expect("GET", "/v1/transactions/b", "", 200, `"state": "CompleteAbort"`)
}

// Topics are made from JSON; a transaction is fenced or aborted, and a member thrown out, by hand.
func TestByHandOverHTTP(t *testing.T) {
	l := startLab(t)
	l.expect("POST", "/v1/topics",
		`[{"name": "made", "partitions": 2, "records": [{"partition": 1, "key": "k", "value": {"base64": "AAE="}}]}, {"name": "t"}]`, 200,
		`"name": "made"`, `"partition": 1, "logStartOffset": 0, "lastStableOffset": 1`, `"name": "t"`)
	l.expect("GET", "/v1/records/made/1", "", 200, `"key": "k", "value": { "base64": "AAE=" }`)
	l.expect("POST", "/v1/topics", `[{"name": "x", "nonsense": 1}]`, 400, "nonsense")

	p, _ := l.InitProducer("pay")
	l.Produce(p, "t", 0, kafkatest.Values("a")...)
	l.expect("POST", "/v1/transactions/pay/fence", "", 200, `"state": "Empty"`)
	if err := l.Quiet().End(p, true); kafkatest.Code(t, err) != int16(wire.ProducerFenced) {
		t.Error(err)
	}
	p, _ = l.InitProducer("pay")
	l.expect("POST", "/v1/transactions/pay/abort", "", 409, "no open transaction")
	l.Produce(p, "t", 0, kafkatest.Values("b")...)
	l.expect("POST", "/v1/transactions/pay/abort", "", 200, `"state": "CompleteAbort"`)
	if _, err := l.Quiet().Produce(p, "t", 0, kafkatest.Values("c")...); err == nil {
		t.Error("an aborted producer writes on")
	}
	l.values(0)
	l.expect("POST", "/v1/transactions/none/abort", "", 404)
	l.expect("POST", "/v1/transactions/none/fence", "", 404)

	hanging, _ := l.InitProducer("hanging")
	l.Produce(hanging, "t", 1, kafkatest.Values("d")...)
	l.expect("POST", "/v1/transactions/hanging/hang", "", 200, `"state": "Ongoing"`)
	l.expect("GET", "/v1/transactions/hanging", "", 404)
	l.expect("POST", "/v1/await", `{"partition": {"topic": "t", "partition": 1, "openTransactions": 1}}`, 200,
		`"lastStableOffset": 0`)
	l.expect("POST", "/v1/transactions/pay/hang", "", 409)
	marker := kmsg.NewPtrWriteTxnMarkersRequest() // as kafka-transactions abort sends it
	marker.Version = 1
	marker.Markers = []kmsg.WriteTxnMarkersRequestMarker{{ProducerID: hanging.ProducerID,
		ProducerEpoch: hanging.ProducerEpoch,
		Topics:        []kmsg.WriteTxnMarkersRequestMarkerTopic{{Topic: "t", Partitions: []int32{1}}}}}
	l.Answer(marker)
	l.expect("POST", "/v1/await", `{"partition": {"topic": "t", "partition": 1, "openTransactions": 0}}`, 200)

	member, _ := l.Join("g")
	l.expect("POST", "/v1/groups/none/rebalance", "", 409)
	l.expect("POST", "/v1/groups/g/rebalance", "", 200, `"state": "PreparingRebalance"`)
	l.expect("POST", "/v1/groups/g/members/"+member.MemberID+"/expire", "", 200)
	l.expect("GET", "/v1/groups/g", "", 200, `"state": "Empty"`, `"members": []`)
	l.expect("POST", "/v1/groups/g/members/none/expire", "", 404, "no member")
	l.expect("POST", "/v1/groups/none/members/none/expire", "", 404)
}

// A program that copies each input once is judged right; a missing, a doubled, a foreign and a late output are named. A
// running cluster is checked as a stopped one is.
func TestVerdictsOverHTTP(t *testing.T) {
	l := startLab(t)
	l.CreateTopic("in", 1, nil)
	l.CreateTopic("out", 1, nil)
	put := func(topic string, values ...string) {
		r := one(0, "")
		r.Topics[0].Topic = topic
		var nobody *kafkatest.Producer
		r.Topics[0].Partitions[0].Records = nobody.Batch(-1, time.Now().UnixMilli(), kafkatest.Values(values...)...)
		l.Append(r)
	}
	put("in", "a", "b", "c", "d")
	put("out", "a", "b")
	aborted, _ := l.InitProducer("copier")
	l.Produce(aborted, "out", 0, kafkatest.Values("b")...)
	l.Client.End(aborted, false)
	const program = `{"input": "in", "output": "out", "key": "value"`
	l.expect("POST", "/v1/verify", program+`}`, 409, `"ok": false, "inputs": 4, "outputs": 2`, `"id": "c"`, `"id": "d"`,
		`"duplicated": []`)
	l.Commit("g", "in", 0, 2, "")
	l.expect("POST", "/v1/verify", program+`, "group": "g"}`, 200, `"ok": true, "inputs": 2, "outputs": 2`)
	put("out", "d", "c", "a", "x")
	l.expect("POST", "/v1/verify", program+`}`, 409, `"missing": []`,
		`"duplicated": [ { "partition": 0, "offset": 6, "id": "a" } ]`,
		`"outOfOrder": [ { "partition": 0, "offset": 5, "id": "c" } ]`,
		`"unknown": [ { "partition": 0, "offset": 7, "id": "x" } ]`)
	with := func(name string, records ...batch.Record) (all []batch.Record) {
		for _, r := range records {
			r.Headers = []batch.RecordHeader{{Key: name, Value: r.Value}}
			all = append(all, r)
		}
		return all
	}
	l.CreateTopic("some", 1, nil)
	l.CreateTopic("made", 1, nil)
	l.Produce(nil, "some", 0, append(with("id", kafkatest.Values("1", "2")...), kafkatest.Values("dropped")...)...)
	l.Produce(nil, "made", 0, with("id", kafkatest.Values("1", "2")...)...)
	const dropping = `{"input": "some", "output": "made", "key": "header:id"}`
	l.expect("POST", "/v1/verify", dropping, 200, `"ok": true, "inputs": 2, "outputs": 2`)
	l.Produce(nil, "made", 0, kafkatest.Values("of nothing")...)
	l.expect("POST", "/v1/verify", dropping, 409, `"missing": []`,
		`"unknown": [ { "partition": 0, "offset": 2, "id": "" } ]`)
	l.expect("POST", "/v1/verify", `{"input": "none", "output": "out", "key": "value"}`, 400, "input: there is no topic")
	l.expect("POST", "/v1/verify", `{"input": "in", "output": "out", "key": "header:"}`, 400, "key: must be")
	l.expect("POST", "/v1/verify", `{"input": "in", "key": "value"}`, 400, "output: is missing")
	l.expect("POST", "/v1/check", "", 200, `"damage": 0`, `"partitions": `)
}
