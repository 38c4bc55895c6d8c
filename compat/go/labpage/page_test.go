package labpage

import (
	"context"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"once/broker"
	"once/broker/brokertest"
	"once/cluster"
	"once/faults"
	"once/findings"
	"once/lab"
)

func start(t *testing.T) *brokertest.Broker {
	return brokertest.Start(t, brokertest.WithMemory, func(c *broker.Config) { c.Admin = "127.0.0.1:0" })
}

// begin returns a client with a transaction in which the value has been sent.
func begin(t *testing.T, b *brokertest.Broker, value string, options ...kgo.Opt) *kgo.Client {
	client, err := kgo.NewClient(append(options, kgo.SeedBrokers(b.Addr()), kgo.TransactionalID("orders-1"),
		kgo.AllowAutoTopicCreation(), kgo.DefaultProduceTopic("orders"))...)
	must(t, err)
	t.Cleanup(client.Close)
	must(t, client.BeginTransaction())
	must(t, client.ProduceSync(t.Context(), kgo.StringRecord(value)).FirstErr())
	return client
}

func commit(client *kgo.Client) error {
	return client.EndTransaction(context.Background(), kgo.TryCommit)
}

// reads expects the values that a read_committed reader gets, of which there is one at least.
func reads(t *testing.T, b *brokertest.Broker, want ...string) {
	t.Helper()
	n := int64(len(want))
	b.Await(lab.Condition{Partition: &lab.PartitionCondition{Topic: "orders", Records: &n}})
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.ConsumeTopics("orders"),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	must(t, err)
	defer client.Close()
	var got []string
	for len(got) < len(want) && t.Context().Err() == nil {
		for _, r := range client.PollFetches(t.Context()).Records() {
			got = append(got, string(r.Value))
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("read %q, want %q", got, want)
	}
}

func post(t *testing.T, b *brokertest.Broker, path string) {
	answer, err := http.Post("http://"+b.AdminAddr()+path, "", nil)
	must(t, err)
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Fatal(path, answer.Status)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestLostCommitAnswer(t *testing.T) {
	b := start(t)
	b.Fault(faults.Rule{Match: faults.Match{API: faults.Names{"EndTxn"}}, Do: faults.Do{LoseAnswer: true}})
	must(t, commit(begin(t, b, "a")))
	reads(t, b, "a")
}

func TestZombie(t *testing.T) {
	b := start(t)
	zombie := begin(t, b, "a")
	post(t, b, "/v1/transactions/orders-1/fence")
	if commit(zombie) == nil {
		t.Error("a zombie has committed")
	}
	must(t, commit(begin(t, b, "b")))
	reads(t, b, "b")
}

func TestTimeout(t *testing.T) {
	b := start(t)
	late := begin(t, b, "a", kgo.TransactionTimeout(15*time.Minute))
	b.Clock().Advance(16 * time.Minute)
	if commit(late) == nil {
		t.Error("a transaction that has timed out is committed")
	}
	must(t, commit(begin(t, b, "b")))
	reads(t, b, "b")
}

func TestCoordinatorMoves(t *testing.T) {
	b := start(t)
	b.Fault(faults.Rule{Match: faults.Match{API: faults.Names{"EndTxn"}}, Do: faults.Do{Error: "NOT_COORDINATOR"}})
	must(t, commit(begin(t, b, "a")))
	reads(t, b, "a")
}

func TestLateMarker(t *testing.T) {
	b := start(t)
	marker := b.Fault(faults.Rule{Match: faults.Match{Point: "txn.marker"}, Do: faults.Do{Hold: true}})
	must(t, commit(begin(t, b, "a")))
	open := 1
	b.Await(lab.Condition{Partition: &lab.PartitionCondition{Topic: "orders", OpenTransactions: &open}})
	marker.Release()
	reads(t, b, "a")
}

func TestRebalanceInATransaction(t *testing.T) {
	b := start(t)
	must(t, commit(begin(t, b, "a")))
	again := make(chan struct{}, 2)
	session, err := kgo.NewGroupTransactSession(kgo.SeedBrokers(b.Addr()), kgo.TransactionalID("billing-1"),
		kgo.ConsumerGroup("billing"), kgo.ConsumeTopics("orders"), kgo.Balancers(kgo.RangeBalancer()),
		kgo.HeartbeatInterval(100*time.Millisecond),
		kgo.OnPartitionsAssigned(func(context.Context, *kgo.Client, map[string][]int32) { again <- struct{}{} }))
	must(t, err)
	defer session.Close()
	session.PollFetches(t.Context())
	<-again
	must(t, session.Begin())
	post(t, b, "/v1/groups/billing/rebalance")
	<-again
	if committed, err := session.End(t.Context(), kgo.TryCommit); committed || err != nil {
		t.Errorf("committed: %v, %v", committed, err)
	}
}

func TestHangingTransaction(t *testing.T) {
	b := start(t)
	begin(t, b, "a")
	post(t, b, "/v1/transactions/orders-1/hang")
	must(t, commit(begin(t, b, "b")))
	open := 1
	b.Await(lab.Condition{Partition: &lab.PartitionCondition{Topic: "orders", OpenTransactions: &open}})
}

func TestPowerCut(t *testing.T) {
	b := brokertest.Start(t, func(c *broker.Config) { c.Durability = "txn" })
	must(t, commit(begin(t, b, "a")))
	b.Restart(cluster.PowerCut)
	must(t, commit(begin(t, b, "b")))
	reads(t, b, "a", "b")
}

func TestProducerStateLost(t *testing.T) {
	b := start(t)
	client := begin(t, b, "a")
	must(t, commit(client))
	b.Fault(faults.Rule{Match: faults.Match{API: faults.Names{"Produce"}, Topic: faults.Names{"orders"}},
		Do: faults.Do{Error: "UNKNOWN_PRODUCER_ID"}})
	must(t, client.BeginTransaction())
	if client.ProduceSync(t.Context(), kgo.StringRecord("b")).FirstErr() == nil {
		t.Error("a producer that is not known has sent a record")
	}
	must(t, client.EndTransaction(t.Context(), kgo.TryAbort))
	must(t, client.BeginTransaction())
	must(t, client.ProduceSync(t.Context(), kgo.StringRecord("b")).FirstErr())
	must(t, commit(client))
	reads(t, b, "a", "b")
}

func TestSlowBroker(t *testing.T) {
	b := start(t)
	slow := b.Fault(faults.Rule{Match: faults.Match{API: faults.Names{"Produce"}},
		Do: faults.Do{DelayAnswer: faults.Duration(2 * time.Second)}})
	must(t, commit(begin(t, b, "a", kgo.ProduceRequestTimeout(100*time.Millisecond),
		kgo.RequestTimeoutOverhead(100*time.Millisecond))))
	reads(t, b, "a")
	if n := slow.State().Matched; n < 2 {
		t.Errorf("%d Produce requests: nothing was sent again", n)
	}
}

func TestProgramIsRight(t *testing.T) {
	b := start(t)
	must(t, commit(begin(t, b, "a")))
	b.RequireNoFindings()
}

func TestTwoProgramsShareAnID(t *testing.T) {
	b := start(t)
	begin(t, b, "a")
	must(t, commit(begin(t, b, "b")))
	found := b.Findings()
	if len(found) != 1 || found[0].Code != findings.SharedTransactionalID || found[0].Subjects.TransactionalID != "orders-1" {
		t.Errorf("found %+v", found)
	}
	b.RequireNoFindings(findings.SharedTransactionalID)
}
