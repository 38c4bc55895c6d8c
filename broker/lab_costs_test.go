package broker_test

import (
	"encoding/binary"
	"io"
	"runtime"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/broker/brokertest"
	"once/faults"
	"once/internal/invariant"
	"once/internal/kafkatest"
)

// rulesForOthers match no request of a rawClient that produces to t or fetches from it.
var rulesForOthers = []faults.Rule{
	{Match: api("EndTxn", "AddPartitionsToTxn"), Do: faults.Do{LoseAnswer: true}},
	{Match: faults.Match{ClientID: faults.Names{"other", "another-*"}}, Do: faults.Do{Hold: true}},
	{Match: faults.Match{API: faults.Names{"Produce", "Fetch"}, Topic: faults.Names{"u"}},
		Do: faults.Do{Error: "NOT_LEADER_OR_FOLLOWER"}},
	{Match: faults.Match{API: faults.Names{"Produce"}, TransactionalID: faults.Names{"pay-*"}},
		Do: faults.Do{Duplicate: true}},
	{Match: faults.Match{Point: "txn.marker", Topic: faults.Names{"t"}}, Do: faults.Do{Hold: true}},
	{Match: faults.Match{Point: "partition.append", Topic: faults.Names{"u"}}, Do: faults.Do{Offline: true}},
}

// rawClient sends the same bytes again and again, and allocates nothing for that.
type rawClient struct {
	t     testing.TB
	conn  *kafkatest.Conn
	frame []byte
	in    []byte
}

func newRawClient(t testing.TB, addr string, r kmsg.Request) *rawClient {
	conn, err := kafkatest.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &rawClient{t: t, conn: conn, frame: kafkatest.AppendRequest(nil, r, 1, conn.ClientID), in: make([]byte, 64<<10)}
}

// ask sends the request and reads the answer.
func (c *rawClient) ask() {
	_, err := c.conn.Write(c.frame)
	if err == nil {
		_, err = io.ReadFull(c.conn.Conn, c.in[:4])
	}
	if err == nil {
		_, err = io.ReadFull(c.conn.Conn, c.in[:binary.BigEndian.Uint32(c.in)])
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// rawClients are a Produce and a Fetch of one record, of a broker that has used up the room of its journal.
func rawClients(t testing.TB) (*brokertest.Broker, map[string]*rawClient) {
	b := brokertest.Start(t, brokertest.WithMemory, brokertest.WithSettings(t, map[string]string{"lab.requests": "65536"}))
	kafkatest.Connect(t, b.Addr()).CreateTopic("t", 1, nil)
	fetch := kafkatest.FetchRequest("t", 0, 0, false)
	fetch.Topics[0].Partitions[0].PartitionMaxBytes = 1
	clients := map[string]*rawClient{"Produce": newRawClient(t, b.Addr(), one(0, "value")),
		"Fetch": newRawClient(t, b.Addr(), fetch)}
	for range 500 {
		clients["Produce"].ask()
		clients["Fetch"].ask()
	}
	return b, clients
}

// Rules that match no request cost it no allocation.
func TestRulesForOthersAllocateNothing(t *testing.T) {
	if invariant.Enabled {
		t.Skip("with the race detector pools forget what they have")
	}
	b, clients := rawClients(t)
	without := map[string]float64{}
	for name, c := range clients {
		without[name] = allocations(c.ask)
	}
	for _, rule := range rulesForOthers {
		if _, err := b.Cluster().Rules().Add(rule); err != nil {
			t.Fatal(err)
		}
		for name, c := range clients {
			if n := allocations(c.ask); n > without[name]+0.5 {
				t.Errorf("%s: %.1f allocations, %.1f without rules; the last rule is %+v", name, n, without[name], rule.Match)
			}
		}
	}
	for _, s := range b.Cluster().Rules().States() {
		if s.Matched != 0 {
			t.Errorf("%+v has matched", s.Rule)
		}
	}
	t.Logf("without rules: %v", without)
}

// allocations is how many a call costs the whole process, the smallest of some averages: other goroutines may allocate
// meanwhile.
func allocations(f func()) float64 {
	const calls = 200
	least := 1e9
	for range 5 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range calls {
			f()
		}
		runtime.ReadMemStats(&after)
		least = min(least, float64(after.Mallocs-before.Mallocs)/calls)
	}
	return least
}

// BenchmarkRules is a Produce and a Fetch without rules, and with rules for others.
func BenchmarkRules(b *testing.B) {
	for _, rules := range []string{"none", "others"} {
		of, clients := rawClients(b)
		for _, rule := range rulesForOthers {
			if rules == "others" {
				if _, err := of.Cluster().Rules().Add(rule); err != nil {
					b.Fatal(err)
				}
			}
		}
		for name, c := range clients {
			b.Run(name+"/"+rules, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					c.ask()
				}
			})
		}
	}
}
