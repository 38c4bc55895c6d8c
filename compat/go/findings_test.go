package compat

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"once/broker/brokertest"
	"once/cluster"
	"once/faults"
	"once/findings"
)

// Each code of a finding is brought about once by franz-go, with a mistake that a program can have; and a program
// without a mistake gives none.

// connect returns a client of the broker.
func connectTo(t *testing.T, b *brokertest.Broker, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(b.Addr()), kgo.AllowAutoTopicCreation(),
		kgo.DefaultProduceTopic("out"), kgo.MetadataMinAge(10 * time.Millisecond)}, options...)...)
	must(t, err)
	t.Cleanup(cl.Close)
	return cl
}

// transact sends values in a transaction and commits it, whatever becomes of the sends.
func transact(t *testing.T, cl *kgo.Client, values ...string) {
	t.Helper()
	must(t, cl.BeginTransaction())
	send(t, cl, values...)
	must(t, cl.EndTransaction(within(t), kgo.TryCommit))
}

func send(t *testing.T, cl *kgo.Client, values ...string) {
	t.Helper()
	for _, v := range values {
		must(t, cl.ProduceSync(within(t), kgo.StringRecord(v)).FirstErr())
	}
}

// expectFinding expects findings of one code, and that each sentence has all the words.
func expectFinding(t *testing.T, b *brokertest.Broker, code findings.Code, words ...string) {
	t.Helper()
	all := b.Findings()
	if len(all) != 1 || all[0].Code != code || all[0].Count < 1 || all[0].Since.IsZero() {
		t.Fatalf("found %+v, want one of %s", all, code)
	}
	for _, w := range words {
		if !strings.Contains(all[0].Sentence, w) {
			t.Errorf("%q does not say %q", all[0].Sentence, w)
		}
	}
	if left := b.Findings(code); len(left) != 0 {
		t.Errorf("without %s there are %v", code, left)
	}
	if cleared := b.ClearFindings(); len(cleared) != 1 {
		t.Errorf("cleared %v", cleared)
	}
}

// copying returns the session of a program that copies from in to out.
func copying(t *testing.T, b *brokertest.Broker, options ...kgo.Opt) *kgo.GroupTransactSession {
	t.Helper()
	session, err := kgo.NewGroupTransactSession(append([]kgo.Opt{kgo.SeedBrokers(b.Addr()),
		kgo.TransactionalID("copier"), kgo.ConsumerGroup("copiers"), kgo.ConsumeTopics("in"),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.MetadataMinAge(10 * time.Millisecond), kgo.HeartbeatInterval(100 * time.Millisecond),
		kgo.SessionTimeout(6 * time.Second), kgo.AllowAutoTopicCreation()}, options...)...)
	must(t, err)
	return session
}

// copyOnce copies what one poll gives, and returns how many records that were.
func copyOnce(t *testing.T, s *kgo.GroupTransactSession, end kgo.TransactionEndTry) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(within(t), time.Second)
	fetches := s.PollRecords(ctx, 3)
	cancel()
	if fetches.NumRecords() == 0 {
		return 0
	}
	must(t, s.Begin())
	fetches.EachRecord(func(r *kgo.Record) {
		s.Produce(within(t), &kgo.Record{Topic: "out", Value: r.Value}, nil)
	})
	committed, err := s.End(within(t), end)
	must(t, err)
	if !committed {
		return 0
	}
	return fetches.NumRecords()
}

func copyAll(t *testing.T, s *kgo.GroupTransactSession, n int) {
	t.Helper()
	for copied := 0; copied < n && within(t).Err() == nil; {
		copied += copyOnce(t, s, kgo.TryCommit)
	}
}

func TestCommitsOutsideOfTransactionsAreFound(t *testing.T) {
	b := brokertest.Start(t, brokertest.WithMemory)
	send(t, connectTo(t, b, kgo.DefaultProduceTopic("in")), "a", "b", "c")
	s := copying(t, b)
	defer s.Close()
	copyAll(t, s, 3)
	b.RequireNoFindings()
	var failed error
	s.Client().CommitOffsetsSync(within(t), s.Client().CommittedOffsets(),
		func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
			if failed = err; err == nil {
				failed = kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode)
			}
		})
	must(t, failed)
	expectFinding(t, b, findings.MixedCommits, `Group "copiers"`, `transactional ID "copier"`)
}

func TestLongTransactionsAreFound(t *testing.T) {
	b := brokertest.Start(t, brokertest.WithMemory)
	cl := connectTo(t, b, kgo.TransactionalID("slow"), kgo.TransactionTimeout(time.Minute))
	transact(t, cl, "a")
	must(t, cl.BeginTransaction())
	send(t, cl, "b")
	b.RequireNoFindings()
	b.Clock().Advance(31 * time.Second)
	expectFinding(t, b, findings.LongTransaction, `"slow" has been open for 31`)
	must(t, cl.EndTransaction(within(t), kgo.TryCommit))
	expectFinding(t, b, findings.LongTransaction, `"slow" was open for 31`, "of its timeout of 1m0s, and then committed")
}

func TestClientsThatShareAnIDAreFound(t *testing.T) {
	b := brokertest.Start(t, brokertest.WithMemory)
	transact(t, connectTo(t, b, kgo.TransactionalID("same"), kgo.ClientID("first")), "a")
	b.RequireNoFindings()
	transact(t, connectTo(t, b, kgo.TransactionalID("same"), kgo.ClientID("second")), "b")
	expectFinding(t, b, findings.SharedTransactionalID, `"same"`, `"first"`, `"second"`)
}

// A send that fails without being noticed leaves a transaction without a record. A compacted topic takes no record
// without a key. The client is one from before transactions V2: later ones do not end such a transaction.
func TestEmptyTransactionsAreFound(t *testing.T) {
	b := brokertest.Start(t, brokertest.WithMemory,
		brokertest.WithSeed(t, `[{"name": "out", "partitions": 1, "configs": {"cleanup.policy": "compact"}}]`))
	versions := kversion.V3_7_0()
	versions.SetMaxKeyVersion(24, 3) // AddPartitionsToTxn: from version 4 it is for brokers
	cl := connectTo(t, b, kgo.TransactionalID("careless"), kgo.MaxVersions(versions))
	must(t, cl.BeginTransaction())
	if cl.ProduceSync(within(t), kgo.StringRecord("no key")).FirstErr() == nil {
		t.Fatal("a record without a key is taken")
	}
	must(t, cl.EndTransaction(within(t), kgo.TryCommit))
	expectFinding(t, b, findings.EmptyTransaction, `"careless"`)
}

func TestCommitsOfUnstableOffsetsAreFound(t *testing.T) {
	b := brokertest.Start(t, brokertest.WithMemory)
	cl := connectTo(t, b, kgo.TransactionalID("writer"))
	must(t, cl.BeginTransaction())
	send(t, cl, "a", "b")
	reader := connectTo(t, b, kgo.ConsumerGroup("readers"), kgo.ConsumeTopics("out"), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	poll(t, reader, 2)
	b.RequireNoFindings()
	must(t, reader.CommitUncommittedOffsets(within(t)))
	expectFinding(t, b, findings.UnstableCommit, `Group "readers" committed offset 2 of out-0`, "last stable offset 0")
	must(t, cl.EndTransaction(within(t), kgo.TryCommit))
}

func TestSequencesThatAreResetAreFound(t *testing.T) {
	b := brokertest.Start(t, brokertest.WithMemory)
	cl := connectTo(t, b)
	send(t, cl, "a")
	b.Fault(faults.Rule{Match: faults.Match{API: faults.Names{"Produce"}}, Do: faults.Do{Error: "UNKNOWN_PRODUCER_ID"}})
	_ = cl.ProduceSync(within(t), kgo.StringRecord("b"))
	send(t, cl, "c")
	expectFinding(t, b, findings.SequencesReset, "raised its epoch to 1 and wrote to out-0")
}

// Programs without a mistake: a copier that commits, aborts, loses answers, is replaced and survives kills of the
// broker; a reader with commits of its own; an idempotent producer.
func TestCorrectProgramsGiveNoFinding(t *testing.T) {
	b := brokertest.Start(t)
	feeder := connectTo(t, b, kgo.DefaultProduceTopic("in"))
	reader := connectTo(t, b, kgo.ConsumerGroup("readers"), kgo.ConsumeTopics("out"),
		kgo.AutoCommitInterval(100*time.Millisecond),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	var want, got []string
	for round := range 4 {
		batch := []string{"a", "b", "c", "d", "e"}
		send(t, feeder, batch...)
		want = append(want, batch...)
		s := copying(t, b)
		if round == 1 {
			copyOnce(t, s, kgo.TryAbort)
		}
		if round == 2 {
			b.Fault(faults.Rule{Match: faults.Match{API: faults.Names{"EndTxn"}}, Do: faults.Do{LoseAnswer: true}})
			b.Fault(faults.Rule{Match: faults.Match{API: faults.Names{"TxnOffsetCommit"}}, Do: faults.Do{LoseAnswer: true}})
			b.Fault(faults.Rule{Match: faults.Match{API: faults.Names{"Produce"}}, Do: faults.Do{Duplicate: true}})
		}
		copyAll(t, s, len(batch))
		got = append(got, values(poll(t, reader, len(batch)))...)
		s.Close()
		b.RequireNoFindings()
		if round == 2 {
			b.Restart(cluster.ByKill)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("read %q, want %q", got, want)
	}
	b.RequireNoFindings()
}

// Clients with one ID that come one after the other, each when the last one is closed, share nothing: the broker sees
// that a connection is closed before the next client has ended its first transaction.
func TestSuccessorsAtOnceGiveNoFinding(t *testing.T) {
	b := brokertest.Start(t, brokertest.WithMemory)
	for range 50 {
		cl := connectTo(t, b, kgo.TransactionalID("successor"))
		transact(t, cl, "a")
		cl.Close()
	}
	b.RequireNoFindings()
}
