package broker_test

import (
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/broker/brokertest"
	"once/cluster"
	"once/faults"
	"once/internal/kafkatest"
	"once/lab"
	"once/wire"
)

// ruled is a broker in memory with a topic of two partitions, and a connection to it.
type ruled struct {
	*brokertest.Broker
	t    *testing.T
	conn *kafkatest.Conn
	*kafkatest.Client
}

func startRuled(t *testing.T) *ruled {
	b := brokertest.Start(t, brokertest.WithMemory)
	f := &ruled{Broker: b, t: t}
	f.reconnect()
	f.CreateTopic("t", 2, nil)
	return f
}

func (f *ruled) reconnect() {
	f.t.Helper()
	conn, err := kafkatest.Dial(f.Addr())
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { conn.Close() })
	f.conn, f.Client = conn, kafkatest.Must(f.t, conn)
}

func (f *ruled) values(partition int32, want ...string) {
	f.t.Helper()
	got, _, _ := kafkatest.Connect(f.t, f.Addr()).Consume("t", partition, 0, true)
	if !slices.Equal(got, want) {
		f.t.Errorf("partition %d has %q, want %q", partition, got, want)
	}
}

func api(names ...string) faults.Match { return faults.Match{API: names} }

// closed sends a request and expects the connection to be closed in place of an answer.
func (f *ruled) closed(r kmsg.Request) {
	f.t.Helper()
	if _, err := f.conn.Send(r); err != nil {
		f.t.Fatal(err)
	}
	if err := f.conn.WaitClosed(); err != nil {
		f.t.Error(err)
	}
	f.reconnect()
}

// one is a Produce of a record that nobody has numbered.
func one(partition int32, value string) *kmsg.ProduceRequest {
	var nobody *kafkatest.Producer
	return kafkatest.ProduceRequest("", "t", partition,
		nobody.Batch(-1, time.Now().UnixMilli(), kafkatest.Values(value)...))
}

// A commit whose answer is lost has been carried out: the client's retry finds it done, and the records are there once.
func TestLostAnswerOfACommit(t *testing.T) {
	f := startRuled(t)
	rule := f.Fault(faults.Rule{Match: faults.Match{API: faults.Names{"EndTxn"}, TransactionalID: faults.Names{"pay-*"}},
		Do: faults.Do{LoseAnswer: true}})
	p, _ := f.InitProducer("pay-1")
	f.Produce(p, "t", 0, kafkatest.Values("a")...)
	f.closed(p.EndTxnRequest(true))
	f.values(0, "a")
	f.Client.End(p, true)
	f.values(0, "a")
	if s := rule.State(); s.Triggered != 1 || s.Matched != 2 || s.Last[0].TransactionalID != "pay-1" ||
		s.Last[0].API != "EndTxn" {
		t.Errorf("%+v", s)
	}
}

// A lost request has not been carried out.
func TestLostRequest(t *testing.T) {
	f := startRuled(t)
	f.Fault(faults.Rule{Match: api("Produce"), Do: faults.Do{LoseRequest: true}})
	f.closed(one(0, "lost"))
	f.Append(one(0, "kept"))
	f.values(0, "kept")
}

// A connection that is cut as soon as a request has been sent: the broker carries it out all the same.
func TestDisconnect(t *testing.T) {
	f := startRuled(t)
	f.Fault(faults.Rule{Match: api("CreateTopics"), Do: faults.Do{Disconnect: true}})
	f.closed(kafkatest.CreateTopicsRequest("u", 1, nil))
	for {
		r := kmsg.NewPtrMetadataRequest()
		r.Version, r.Topics = 4, []kmsg.MetadataRequestTopic{{Topic: kmsg.StringPtr("u")}}
		if f.Answer(r).(*kmsg.MetadataResponse).Topics[0].ErrorCode == 0 {
			break
		}
	}
}

// An error stands in place of the answer, or of what has been done.
func TestErrors(t *testing.T) {
	f := startRuled(t)
	f.Fault(faults.Rule{Match: api("Produce"), Do: faults.Do{Error: "NOT_LEADER_OR_FOLLOWER"}})
	if _, err := f.Quiet().Append(one(0, "refused")); kafkatest.Code(t, err) != int16(wire.NotLeaderOrFollower) {
		t.Error(err)
	}
	f.Fault(faults.Rule{Match: api("Produce"), Do: faults.Do{Error: "REQUEST_TIMED_OUT", CarriedOut: true}})
	if _, err := f.Quiet().Append(one(0, "stored")); kafkatest.Code(t, err) != int16(wire.RequestTimedOut) {
		t.Error(err)
	}
	f.values(0, "stored")
}

// A client whose ApiVersions is not supported reads the layout of version 0, and which lower versions it may ask for.
func TestUnsupportedApiVersions(t *testing.T) {
	f := startRuled(t)
	for _, c := range []struct{ asked, offered int16 }{{5, 4}, {3, 2}, {0, -1}} {
		f.Fault(faults.Rule{Match: api("ApiVersions"), Do: faults.Do{Error: "UNSUPPORTED_VERSION"}})
		r := kmsg.NewPtrApiVersionsRequest()
		r.Version, r.ClientSoftwareName, r.ClientSoftwareVersion = c.asked, "test", "1"
		id, err := f.conn.Send(r)
		if err != nil {
			t.Fatal(err)
		}
		r.Version = 0
		resp, err := f.conn.Receive(r, id)
		if err != nil {
			t.Fatal(err)
		}
		answer, offered := resp.(*kmsg.ApiVersionsResponse), int16(-1)
		for _, k := range answer.ApiKeys {
			offered = k.MaxVersion
		}
		if answer.ErrorCode != int16(wire.UnsupportedVersion) || offered != c.offered {
			t.Errorf("v%d: %+v", c.asked, answer)
		}
	}
}

// An error for one partition leaves the others of the request alone, in a Produce and in a Fetch, also in one whose
// session names nothing.
func TestErrorsOfOnePartition(t *testing.T) {
	f := startRuled(t)
	partition := int32(1)
	at := func(api string) faults.Match {
		return faults.Match{API: faults.Names{api}, Topic: faults.Names{"t"}, Partition: &partition}
	}
	f.Fault(faults.Rule{Match: at("Produce"), Do: faults.Do{Error: "UNKNOWN_PRODUCER_ID"}})
	r := one(0, "a")
	r.Topics[0].Partitions = append(r.Topics[0].Partitions, one(1, "b").Topics[0].Partitions...)
	for _, p := range f.Answer(r).(*kmsg.ProduceResponse).Topics[0].Partitions {
		if want := map[int32]wire.Code{0: 0, 1: wire.UnknownProducerID}[p.Partition]; p.ErrorCode != int16(want) {
			t.Errorf("produce to %d: %d", p.Partition, p.ErrorCode)
		}
	}
	f.values(0, "a")
	f.values(1)

	fetch := kafkatest.FetchRequest("t", 0, 0, true)
	fetch.Topics[0].Partitions = append(fetch.Topics[0].Partitions,
		kafkatest.FetchRequest("t", 1, 0, true).Topics[0].Partitions...)
	fetch.Version, fetch.SessionEpoch = 12, 0
	first := f.Answer(fetch).(*kmsg.FetchResponse)
	f.Fault(faults.Rule{Match: at("Fetch"), Do: faults.Do{Error: "KAFKA_STORAGE_ERROR"}})
	next := kafkatest.FetchRequest("t", 0, 1, true)
	next.Version, next.SessionID, next.SessionEpoch, next.Topics = 12, first.SessionID, 1, nil
	answer := f.Answer(next).(*kmsg.FetchResponse)
	codes := map[int32]int16{}
	for _, topic := range answer.Topics {
		for _, p := range topic.Partitions {
			codes[p.Partition] = p.ErrorCode
		}
	}
	if first.SessionID == 0 || answer.ErrorCode != 0 || codes[1] != int16(wire.KafkaStorageError) || codes[0] != 0 {
		t.Errorf("session %d, error %d, codes %v", first.SessionID, answer.ErrorCode, codes)
	}
}

// A held request is carried out when it is let go. Those behind it on its connection wait, those of others do not.
func TestHeldRequest(t *testing.T) {
	f := startRuled(t)
	rule := f.Fault(faults.Rule{Match: api("Produce"), Do: faults.Do{Hold: true}})
	held, behind := one(0, "held"), one(0, "behind")
	first, err := f.conn.Send(held)
	if err != nil {
		t.Fatal(err)
	}
	rule.AwaitHeld()
	second, err := f.conn.Send(behind)
	if err != nil {
		t.Fatal(err)
	}
	kafkatest.Connect(t, f.Addr()).Append(one(0, "other"))
	f.values(0, "other")
	if n := rule.Release(); n != 1 {
		t.Errorf("%d released", n)
	}
	for _, r := range []struct {
		of *kmsg.ProduceRequest
		id int32
	}{{held, first}, {behind, second}} {
		if _, err := f.conn.Receive(r.of, r.id); err != nil {
			t.Fatal(err)
		}
	}
	f.values(0, "other", "held", "behind")
	if s := rule.State(); s.Held != 0 || s.Matched != 3 {
		t.Errorf("%+v", s)
	}
}

// A held request whose client has gone is a late one: it is carried out when it is let go, and when the rule ends.
func TestHeldRequestIsLate(t *testing.T) {
	for _, letGo := range []func(*brokertest.Fault){func(f *brokertest.Fault) { f.Release() }, (*brokertest.Fault).End} {
		f := startRuled(t)
		rule := f.Fault(faults.Rule{Match: api("Produce"), Do: faults.Do{Hold: true}})
		if _, err := f.conn.Send(one(0, "late")); err != nil {
			t.Fatal(err)
		}
		rule.AwaitHeld()
		f.conn.Close()
		f.reconnect()
		f.Append(one(0, "early"))
		letGo(rule)
		f.values(0, "early", "late")
	}
}

// A held answer belongs to a request that has been carried out. A delay lets go by itself.
func TestHeldAndDelayedAnswers(t *testing.T) {
	f := startRuled(t)
	rule := f.Fault(faults.Rule{Match: api("Produce"), Do: faults.Do{HoldAnswer: true}})
	r := one(0, "a")
	id, err := f.conn.Send(r)
	if err != nil {
		t.Fatal(err)
	}
	rule.AwaitHeld()
	f.values(0, "a")
	rule.Release()
	if _, err := f.conn.Receive(r, id); err != nil {
		t.Fatal(err)
	}
	for _, do := range []faults.Do{{Delay: faults.Duration(20 * time.Millisecond)},
		{DelayAnswer: faults.Duration(20 * time.Millisecond)}} {
		f.Fault(faults.Rule{Match: api("Produce"), Do: do})
		began := time.Now()
		f.Append(one(0, "b"))
		if took := time.Since(began); took < 20*time.Millisecond {
			t.Errorf("%+v took %v", do, took)
		}
	}
	f.values(0, "a", "b", "b")
}

// What is held when the cluster ends is dropped with its connection.
func TestResetDropsWhatIsHeld(t *testing.T) {
	f := startRuled(t)
	for _, do := range []faults.Do{{Hold: true}, {HoldAnswer: true}} {
		rule, err := f.Cluster().Rules().Add(faults.Rule{Match: api("Produce"), Do: do})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.conn.Send(one(0, "x")); err != nil {
			t.Fatal(err)
		}
		f.Cluster().Rules().Await(t.Context(), rule.ID, func(s faults.State) bool { return s.Held == 1 })
		f.Reset()
		if err := f.conn.WaitClosed(); err != nil {
			t.Error(err)
		}
		f.reconnect()
		f.CreateTopic("t", 2, nil)
		f.values(0)
	}
	if left := f.Cluster().Rules().States(); len(left) != 0 {
		t.Errorf("%+v", left)
	}
}

// A request that arrives twice is carried out twice, and answered once.
func TestDuplicate(t *testing.T) {
	f := startRuled(t)
	f.Fault(faults.Rule{Match: api("Produce"), When: &faults.When{Always: true}, Do: faults.Do{Duplicate: true}})
	if offset, _ := f.Append(one(0, "a")); offset != 0 {
		t.Errorf("offset %d", offset)
	}
	f.values(0, "a", "a")
	p, _ := f.InitProducer("")
	f.Produce(p, "t", 1, kafkatest.Values("b")...) // the partition knows the sequence
	f.values(1, "b")
}

// A connection in a black hole is read and not answered; others are served. Its rule's end closes it.
func TestBlackhole(t *testing.T) {
	f := startRuled(t)
	rule := f.Fault(faults.Rule{Match: api("Produce"), Do: faults.Do{Blackhole: true}})
	r := one(0, "gone")
	for range 3 {
		if _, err := f.conn.Send(r); err != nil {
			t.Fatal(err)
		}
	}
	metadata := kmsg.NewPtrMetadataRequest()
	if _, err := f.conn.Send(metadata); err != nil {
		t.Fatal(err)
	}
	rule.Await(func(s faults.State) bool { return s.Triggered == 1 })
	kafkatest.Connect(t, f.Addr()).Append(one(0, "other"))
	f.values(0, "other")
	rule.End()
	if err := f.conn.WaitClosed(); err != nil {
		t.Error(err)
	}
	f.reconnect()
	f.Append(one(0, "healed"))
	f.values(0, "other", "healed")
}

func TestThrottle(t *testing.T) {
	f := startRuled(t)
	f.Fault(faults.Rule{Match: api("Produce", "Fetch"), When: &faults.When{Always: true},
		Do: faults.Do{Throttle: faults.Duration(500 * time.Millisecond)}})
	produced := f.Answer(one(0, "a")).(*kmsg.ProduceResponse)
	fetched := f.Answer(kafkatest.FetchRequest("t", 0, 0, true)).(*kmsg.FetchResponse)
	if produced.ThrottleMillis != 500 || fetched.ThrottleMillis != 500 {
		t.Errorf("%d, %d", produced.ThrottleMillis, fetched.ThrottleMillis)
	}
}

// A held marker of one partition: readers of the other see the records, of this one not, and the next transaction meets
// CONCURRENT_TRANSACTIONS until it is let go.
func TestHeldMarker(t *testing.T) {
	f := startRuled(t)
	partition := int32(1)
	rule := f.Fault(faults.Rule{Match: faults.Match{Point: "txn.marker", Topic: faults.Names{"t"}, Partition: &partition},
		Do: faults.Do{Hold: true}})
	p, _ := f.InitProducer("pay")
	f.Produce(p, "t", 0, kafkatest.Values("a")...)
	f.Produce(p, "t", 1, kafkatest.Values("b")...)
	f.Client.End(p, true)
	rule.AwaitHeld()
	f.values(0, "a")
	f.values(1)
	if init := f.Answer(kafkatest.InitProducerIDRequest("pay")).(*kmsg.InitProducerIDResponse); init.ErrorCode != int16(wire.ConcurrentTransactions) {
		t.Errorf("code %d", init.ErrorCode)
	}
	if n := rule.Release(); n != 1 {
		t.Errorf("%d released", n)
	}
	f.values(1, "b")
	if s := rule.State(); s.Last[0].TransactionalID != "pay" || *s.Last[0].Partition != 1 {
		t.Errorf("%+v", s)
	}
}

// A group stands for its partition of __consumer_offsets; an error at an inner point reaches the client by its name.
func TestInnerPointsOfGroups(t *testing.T) {
	f := startRuled(t)
	rule := f.Fault(faults.Rule{Match: faults.Match{Point: "txn.marker", Group: faults.Names{"g"}},
		Do: faults.Do{Hold: true}})
	p, _ := f.InitProducer("pay")
	f.Stage(p, "g", "t", 0, 7)
	f.Client.End(p, true)
	rule.AwaitHeld()
	if offset, _ := f.Committed("g", "t", 0); offset != -1 {
		t.Errorf("committed offset %d", offset)
	}
	rule.Release()
	if offset, _ := f.Committed("g", "t", 0); offset != 7 {
		t.Errorf("committed offset %d", offset)
	}
	f.Fault(faults.Rule{Match: faults.Match{Point: "group.append", Group: faults.Names{"g"}},
		Do: faults.Do{Error: "NOT_COORDINATOR"}})
	if err := f.Quiet().Commit("g", "t", 0, 8, ""); kafkatest.Code(t, err) != int16(wire.NotCoordinator) {
		t.Error(err)
	}
}

// An error at an inner point reaches the client by its name, where the answer of its API has it.
func TestErrorsAtInnerPoints(t *testing.T) {
	f := startRuled(t)
	p, _ := f.InitProducer("pay")
	f.Fault(faults.Rule{Match: faults.Match{Point: "partition.append", Topic: faults.Names{"t"}},
		Do: faults.Do{Error: "NOT_LEADER_OR_FOLLOWER"}})
	if _, err := f.Quiet().Append(one(0, "x")); kafkatest.Code(t, err) != int16(wire.NotLeaderOrFollower) {
		t.Error(err)
	}
	f.Produce(p, "t", 0, kafkatest.Values("a")...)
	f.Fault(faults.Rule{Match: faults.Match{Point: "txn.prepare"}, Do: faults.Do{Error: "NOT_COORDINATOR"}})
	if err := f.Quiet().End(p, true); kafkatest.Code(t, err) != int16(wire.NotCoordinator) {
		t.Error(err)
	}
	f.Client.End(p, true)
	f.values(0, "a")
}

// A test in Go has the same as methods.
func TestLabInGo(t *testing.T) {
	f := startRuled(t)
	f.TransactionTimeout = 15 * time.Minute
	p, _ := f.InitProducer("pay")
	f.Produce(p, "t", 0, kafkatest.Values("a")...)
	f.Await(lab.Condition{Transaction: &lab.TransactionCondition{ID: "pay", State: faults.Names{"Ongoing"}}})
	if did := f.Clock().Advance(16 * time.Minute); len(did) != 1 || did[0].What != "aborted transaction" {
		t.Errorf("%+v", did)
	}
	if loaded := f.ReloadCoordinators(); loaded.TransactionalIDs != 1 {
		t.Errorf("%+v", loaded)
	}
	f.Await(lab.Condition{Transaction: &lab.TransactionCondition{ID: "pay", State: faults.Names{"CompleteAbort"}}})
	f.Restart(cluster.ByKill)
	f.reconnect()
	f.values(0)
}
