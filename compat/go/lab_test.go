package compat

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/getkin/kin-openapi/openapi3"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"once/broker"
	"once/broker/brokertest"
	"once/faults"
	"once/lab"
)

// The description of the lab is OpenAPI, by the judgement of another library.
func TestDescriptionIsOpenAPI(t *testing.T) {
	b := brokertest.Start(t, brokertest.WithMemory, func(c *broker.Config) { c.Admin = "127.0.0.1:0" })
	resp, err := http.Get("http://" + b.AdminAddr() + "/v1/openapi.json")
	must(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	must(t, err)
	doc, err := openapi3.NewLoader().LoadFromData(text)
	must(t, err)
	must(t, doc.Validate(t.Context()))
	if n := doc.Paths.Len(); n < 40 {
		t.Errorf("%d paths", n)
	}
}

// lostCommit is a broker that loses the answer of the first EndTxn.
func lostCommit(t *testing.T) *labOverHTTP {
	l := startLabOverHTTP(t)
	l.call("POST", "/faults", `{"match": {"api": "EndTxn"}, "do": {"loseAnswer": true}}`, &faults.State{})
	return l
}

// committedOnce expects the records of two commits once; the first one took two EndTxns.
func committedOnce(t *testing.T, l *labOverHTTP, want ...string) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(l.b.Addr()), kgo.ConsumeTopics("x"),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	must(t, err)
	defer cl.Close()
	if got := values(poll(t, cl, len(want))); !slices.Equal(got, want) {
		t.Errorf("read %q, want %q", got, want)
	}
	quiet(t, cl, 50*time.Millisecond)
	var rule faults.State
	l.call("DELETE", "/faults/f1", "", &rule)
	var asked []remembered
	l.call("GET", "/requests?api=EndTxn", "", &asked)
	if rule.Triggered != 1 || len(asked) != 3 || asked[0].Outcome != "closed" || asked[0].Fault != rule.ID ||
		asked[1].Outcome != "answered" || !slices.Equal(asked[1].Codes, []string{"NONE"}) {
		t.Errorf("%d answers lost, EndTxns %+v", rule.Triggered, asked)
	}
}

// A commit whose answer is lost is repeated by the client, and succeeds; the records are there once.
func TestFranzRepeatsALostCommit(t *testing.T) {
	eachTransactionVersion(t, func(t *testing.T, version []kgo.Opt) {
		ctx := within(t)
		l := lostCommit(t)
		cl, err := kgo.NewClient(with(version, kgo.SeedBrokers(l.b.Addr()), kgo.TransactionalID("pay"),
			kgo.AllowAutoTopicCreation(),
			kgo.DefaultProduceTopic("x"))...)
		must(t, err)
		defer cl.Close()
		for _, value := range []string{"a", "b"} {
			must(t, cl.BeginTransaction())
			must(t, cl.ProduceSync(ctx, kgo.StringRecord(value)).FirstErr())
			must(t, cl.EndTransaction(ctx, kgo.TryCommit))
		}
		committedOnce(t, l, "a", "b")
	})
}

func TestSaramaRepeatsALostCommit(t *testing.T) {
	l := lostCommit(t)
	c := saramaConfig(sarama.V2_8_0_0)
	c.Producer.Transaction.ID, c.Producer.Idempotent, c.Net.MaxOpenRequests = "pay", true, 1
	c.Producer.RequiredAcks = sarama.WaitForAll
	p, err := sarama.NewSyncProducer([]string{l.b.Addr()}, c)
	must(t, err)
	defer p.Close()
	for _, value := range []string{"a", "b"} {
		must(t, p.BeginTxn())
		_, _, err = p.SendMessage(&sarama.ProducerMessage{Topic: "x", Value: sarama.StringEncoder(value)})
		must(t, err)
		must(t, p.CommitTxn())
	}
	committedOnce(t, l, "a", "b")
}

// A transaction of fifteen minutes is aborted by moving the clock; a consumer of a group with a session of ten seconds
// is still a member.
func TestFranzTransactionTimesOutInNoTime(t *testing.T) {
	ctx := within(t)
	b := brokertest.Start(t, brokertest.WithMemory)
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.TransactionalID("orders-1"),
		kgo.TransactionTimeout(15*time.Minute),
		kgo.AllowAutoTopicCreation(), kgo.DefaultProduceTopic("x"))
	must(t, err)
	defer cl.Close()
	must(t, cl.BeginTransaction())
	must(t, cl.ProduceSync(ctx, kgo.StringRecord("a")).FirstErr())
	member, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.ConsumerGroup("g"), kgo.ConsumeTopics("x"),
		kgo.SessionTimeout(10*time.Second))
	must(t, err)
	defer member.Close()
	one := 1
	stable := lab.Condition{Group: &lab.GroupCondition{ID: "g", State: faults.Names{"Stable"}, Members: &one}}
	b.Await(stable)
	began := time.Now()
	did := b.Clock().Advance(16 * time.Minute)
	if took := time.Since(began); took > time.Minute {
		t.Errorf("took %v", took)
	}
	if len(did) != 1 || fmt.Sprint(did[0].Attributes) != "[transactionalId=orders-1]" {
		t.Errorf("did %v", did)
	}
	b.Await(stable)
	if err := cl.ProduceSync(ctx, kgo.StringRecord("b")).FirstErr(); err == nil {
		err = cl.EndTransaction(ctx, kgo.TryCommit)
		if err == nil {
			t.Error("a transaction that was aborted is committed")
		}
	}
}

// One partition of a Produce gets UNKNOWN_PRODUCER_ID, and the part of the other one is stored. The producer aborts and
// sends both again.
func TestFranzProducerUnknownInOnePartition(t *testing.T) {
	ctx := within(t)
	l := startLabOverHTTP(t)
	l.call("POST", "/topics", `[{"name": "x", "partitions": 2}]`, &[]lab.Topic{})
	l.call("POST", "/faults", `{"match": {"api": "Produce", "topic": "x", "partition": 1}, "when": {"nth": 2},
		"do": {"error": "UNKNOWN_PRODUCER_ID"}}`, &faults.State{})
	cl, err := kgo.NewClient(kgo.SeedBrokers(l.b.Addr()), kgo.TransactionalID("pay"), kgo.DefaultProduceTopic("x"),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(100*time.Millisecond))
	must(t, err)
	defer cl.Close()
	send := func(value string) (errs [2]error) {
		must(t, cl.BeginTransaction())
		for _, r := range cl.ProduceSync(ctx, &kgo.Record{Partition: 0, Value: []byte(value)},
			&kgo.Record{Partition: 1, Value: []byte(value)}) {
			errs[r.Record.Partition] = r.Err
		}
		return errs
	}
	for i, value := range []string{"a", "b", "b"} {
		errs := send(value)
		if errs[0] != nil || errors.Is(errs[1], kerr.UnknownProducerID) != (i == 1) {
			t.Errorf("transaction %d: %v", i, errs)
		}
		must(t, cl.EndTransaction(ctx, kgo.TransactionEndTry(i != 1)))
	}
	fates := func(partition int) (all []string) {
		var found struct {
			Batches []struct {
				Fate    string
				Records []struct{ Value string }
			}
		}
		l.call("GET", fmt.Sprintf("/records/x/%d", partition), "", &found)
		for _, b := range found.Batches {
			if b.Fate != "marker" {
				all = append(all, b.Fate+" "+b.Records[0].Value)
			}
		}
		return all
	}
	if got, want := fmt.Sprint(fates(0), fates(1)),
		"[committed a aborted b committed b] [committed a committed b]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
