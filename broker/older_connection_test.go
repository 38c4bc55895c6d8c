package broker_test

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/broker/brokertest"
	"once/internal/kafkatest"
)

// connected is a client whose connection is open, so that it is older than those that are opened later, and on which
// it has said what software it is.
func connected(t *testing.T, b *brokertest.Broker, software string) *killClient {
	t.Helper()
	c := newKillClient(t, nil)
	c.p = &process{addr: b.Addr(), Launched: &kafkatest.Launched{Exited: make(chan struct{})}}
	t.Cleanup(c.hangUp)
	r := kmsg.NewPtrApiVersionsRequest()
	r.Version, r.ClientSoftwareName, r.ClientSoftwareVersion = 3, software, "1.0"
	if got := c.Answer(r).(*kmsg.ApiVersionsResponse).ErrorCode; got != 0 {
		t.Fatal(code(got))
	}
	return c
}

// through lets a producer go on over another connection.
func (p *killProducer) through(c *killClient) *killProducer {
	again := *p.Producer
	return &killProducer{Producer: &again, c: c, pending: p.pending}
}

// requestsOf are those that act on the transaction of a client before transactions V2.
func requestsOf(p *killProducer) []kmsg.Request {
	return []kmsg.Request{p.AddPartitionsToTxnRequest("x", 1), p.AddOffsetsToTxnRequest("g"), p.EndTxnRequest(true)}
}

// singleConnectionClients are the names of the clients that keep a single connection to their coordinator.
var singleConnectionClients = []string{"apache-kafka-java", "confluent-kafka-go", "confluent-kafka-python",
	"kafka-python", "kgo", "librdkafka"}

// A request that a network has held back until its client had gone on over another connection does not act on
// the transaction that is open by then (spec: reliability P23, F20; transactions scenario 57).
func TestLateRequestsDoNotActOnALaterTransaction(t *testing.T) {
	b := brokertest.Start(t)
	connected(t, b, "kafkatest").createTopic("x", 2, nil)
	for _, software := range singleConnectionClients {
		t.Run(software, func(t *testing.T) { lateRequests(t, b, software) })
	}
}

func lateRequests(t *testing.T, b *brokertest.Broker, software string) {
	young := connected(t, b, software)
	p := young.producer("mover-"+software, false)
	for i := range requestsOf(p) {
		older := connected(t, b, software)
		young = connected(t, b, software)
		first, second := p.through(older), p.through(young)
		first.produce("first", "x", 0)
		first.end(true)
		second.Sequences = first.Sequences
		second.produce("second", "x", 0)

		r := requestsOf(p)[i]
		if resp, err := older.once(r); err == nil {
			t.Errorf("%s over the older connection was answered: %+v", kmsg.NameForKey(r.Key()), resp)
		}
		if end, stable, _ := young.Ends("x", 0); stable != end-1 {
			t.Errorf("after a late %s the last stable offset is %d, the high watermark %d",
				kmsg.NameForKey(r.Key()), stable, end)
		}
		second.end(false)
		third := p.through(connected(t, b, software)) // the client's next connection, when it has lost one
		third.Sequences = second.Sequences
		third.produce("third", "x", 0)
		third.end(true)
		p = third
	}
}

// transaction.allow.older.connections lets them through, as Kafka does; clients with transactions V2 need
// nothing of the kind: their epoch tells.
func TestLateRequestsMayBeAllowed(t *testing.T) {
	b := brokertest.Start(t, brokertest.WithSettings(t, map[string]string{"transaction.allow.older.connections": "true"}))
	older := connected(t, b, singleConnectionClients[0])
	older.createTopic("x", 2, nil)
	p := older.producer("mover", false)
	for i := range requestsOf(p) {
		young := p.through(connected(t, b, singleConnectionClients[0]))
		young.produce("x", "x", 0)
		if _, err := older.once(requestsOf(p)[i]); err != nil {
			t.Error(err)
		}
		young.end(true)
		p.Sequences = young.Sequences
	}
}

// A fenced producer comes back over a new connection, and its successor goes on over an older one.
func TestFencedProducerDoesNotMakeItsSuccessorLate(t *testing.T) {
	b := brokertest.Start(t)
	successor := connected(t, b, singleConnectionClients[0])
	successor.createTopic("x", 2, nil)
	fenced := connected(t, b, singleConnectionClients[0]).producer("mover", false)
	fenced.produce("lost", "x", 0)
	now := successor.producer("mover", false)
	now.produce("first", "x", 0)
	again := fenced.through(connected(t, b, singleConnectionClients[0]))
	for _, r := range requestsOf(again) {
		if _, err := again.c.once(r); err != nil {
			t.Errorf("%s of the fenced producer: %v", kmsg.NameForKey(r.Key()), err)
		}
	}
	now.end(true)
	now.produce("second", "x", 0)
	now.end(true)
}

// One producer resumes the transaction of another, as a committer does that has got the other's producer ID and epoch.
// Each keeps a single connection. They differ in the client ID, so neither makes the other's connection an older one.
func TestOlderConnectionOfAnotherClientIsServed(t *testing.T) {
	b := brokertest.Start(t)
	older := connected(t, b, singleConnectionClients[0])
	older.conn.ClientID = kmsg.StringPtr("committer")
	older.createTopic("x", 2, nil)
	writer := connected(t, b, singleConnectionClients[0])
	writer.conn.ClientID = kmsg.StringPtr("writer")
	p := writer.producer("mover", false)
	for _, r := range requestsOf(p) {
		p.produce(kmsg.NameForKey(r.Key()), "x", 0)
		if _, err := older.once(r); err != nil {
			t.Errorf("%s of the other client: %v", kmsg.NameForKey(r.Key()), err)
		}
	}
}
