package broker_test

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/broker/brokertest"
	"once/cluster"
	"once/findings"
	"once/internal/kafkatest"
)

// Findings over HTTP: with code, sentence, subjects, count and time, without those that are ignored; cleared, and
// refused where the query is wrong.
func TestFindingsOverHTTP(t *testing.T) {
	l := startLab(t)
	l.expect("GET", "/v1/findings", "", 200, "[]")
	p, _ := l.InitProducer("careless")
	for range 2 {
		p.V1 = true
		l.AddPartition(p, "t", 0)
		l.Client.End(p, true)
	}
	l.expect("GET", "/v1/findings", "", 200,
		`[ { "code": "empty-transaction", "sentence": "A transaction of transactional ID \"careless\" was`,
		`"subjects": { "transactionalId": "careless" }, "count": 2, "since": "20`)
	l.expect("GET", "/v1/findings?ignore=mixed-commits", "", 200, `"empty-transaction"`)
	l.expect("GET", "/v1/findings?ignore=mixed-commits,empty-transaction", "", 200, "[]")
	l.expect("GET", "/v1/findings?ignore=empty", "", 400,
		`?ignore: has no code \"empty\"; codes are mixed-commits, long-transaction,`)
	l.expect("GET", "/v1/findings?ignore=", "", 400, `?ignore`)
	l.expect("GET", "/v1/findings?code=x", "", 400, `?code: is unknown here; allowed are ignore`)
	l.expect("DELETE", "/v1/findings?ignore=empty-transaction", "", 400, "?ignore: is unknown here")
	l.expect("GET", "/v1/clusters/none/findings", "", 404, "no cluster")
	l.expect("GET", "/v1/clusters/default/findings", "", 200, `"careless"`)
	l.expect("DELETE", "/v1/findings", "", 200, `"careless"`)
	l.expect("GET", "/v1/findings", "", 200, "[]")
	l.expect("DELETE", "/v1/findings", "", 200, "[]")
}

// Nothing is noticed while the lab is off.
func TestNothingIsNoticedWithoutLab(t *testing.T) {
	l := startLab(t, brokertest.WithSettings(t, map[string]string{"lab": "false"}))
	l.expect("GET", "/v1/findings", "", 404, "nothing is noticed while the lab is off")
	l.expect("DELETE", "/v1/findings", "", 404, "the lab is off")
}

// codes expects the codes of all findings, and clears them.
func (l overHTTP) codes(want ...findings.Code) {
	l.t.Helper()
	all := l.ClearFindings()
	for i, f := range all {
		if i >= len(want) || f.Code != want[i] {
			l.t.Errorf("found %+v, want %v", all, want)
			return
		}
	}
	if len(all) != len(want) {
		l.t.Errorf("found %+v, want %v", all, want)
	}
}

// An idempotent producer's sequences begin again with a new producer ID, or with a new epoch; those of a transactional
// one do with each transaction, which is no finding.
func TestResetSequencesAreNoticed(t *testing.T) {
	l := startLab(t)
	p, _ := l.InitProducer("")
	l.Produce(p, "t", 0, kafkatest.Values("a")...)
	l.codes()
	p.ProducerEpoch++
	p.Sequences = map[kafkatest.Place]int32{}
	l.Produce(p, "t", 0, kafkatest.Values("b")...)
	l.Produce(p, "t", 0, kafkatest.Values("c")...)
	l.codes(findings.SequencesReset)

	p, _ = l.InitProducer("")
	l.RequireNoFindings() // clearing has forgotten the first one
	l.InitProducer("")
	l.codes(findings.SequencesReset)
	l.reconnect()
	l.InitProducer("")
	l.codes()
	again := kafkatest.InitProducerIDRequest("")
	again.ProducerID, again.ProducerEpoch = p.ProducerID, p.ProducerEpoch
	l.reconnect()
	l.Answer(again)
	l.codes(findings.SequencesReset)

	txn, _ := l.InitProducer("txn")
	for range 2 {
		l.Produce(txn, "t", 1, kafkatest.Values("a")...)
		l.Client.End(txn, true)
	}
	l.codes()
}

// Offsets beyond the last stable offset, in both kinds of commit, but not beyond the end of the log.
func TestUnstableCommitsAreNoticed(t *testing.T) {
	l := startLab(t)
	l.Append(one(0, "plain"))
	p, _ := l.InitProducer("writer")
	l.Produce(p, "t", 0, kafkatest.Values("a", "b")...)
	for offset, noticed := range map[int64]bool{1: false, 2: true, 3: true, 4: false, 1 << 40: false} {
		l.Commit("g", "t", 0, offset, "")
		var want []findings.Code
		if noticed {
			want = append(want, findings.UnstableCommit)
		}
		l.codes(want...)
	}
	copier, _ := l.InitProducer("copier")
	l.Stage(copier, "h", "t", 0, 2)
	l.codes(findings.UnstableCommit)
	l.Client.End(p, true)
	l.Commit("g", "t", 0, 3, "")
	l.Produce(copier, "t", 0, kafkatest.Values("its own")...)
	l.Stage(copier, "h", "t", 0, 5)
	l.codes()
}

// A restart keeps findings, as it keeps the last requests; a reset and a restore clear them. A transaction that the
// opening of a snapshot aborts is none.
func TestFindingsAndTheLifeOfACluster(t *testing.T) {
	l := startLab(t)
	careless := func() {
		l.reconnect()
		p, _ := l.InitProducer("careless")
		p.V1 = true
		l.AddPartition(p, "t", 0)
		l.Client.End(p, true)
	}
	careless()
	l.Restart(cluster.ByKill)
	l.expect("GET", "/v1/findings", "", 200, `"careless"`)
	l.expect("PUT", "/v1/snapshots/one", "", 200)
	l.expect("POST", "/v1/snapshots/one/restore", "", 200)
	l.expect("GET", "/v1/findings", "", 200, "[]")
	careless()
	l.expect("POST", "/v1/reset", `{"keep": ["topics"]}`, 200)
	l.expect("GET", "/v1/findings", "", 200, "[]")

	l.reconnect()
	p, _ := l.InitProducer("open")
	l.Produce(p, "t", 0, kafkatest.Values("a")...)
	l.Clock().Advance(10 * time.Minute) // of 15
	l.expect("GET", "/v1/findings", "", 200, `"open\" has been open for 10m`)
	l.expect("PUT", "/v1/snapshots/open", "", 200)
	l.expect("POST", "/v1/snapshots/open/restore", "", 200)
	l.expect("GET", "/v1/findings", "", 200, "[]")
}

// A fence by hand is no second client, and a lost answer no second commit.
func TestWhatALabDoesIsNoFinding(t *testing.T) {
	l := startLab(t)
	p, _ := l.InitProducer("fenced")
	l.Produce(p, "t", 0, kafkatest.Values("a")...)
	l.expect("POST", "/v1/transactions/fenced/fence", "", 200)
	zombie, err := l.conn.Request(p.EndTxnRequest(true))
	if err != nil || zombie.(*kmsg.EndTxnResponse).ErrorCode == 0 {
		t.Errorf("a fenced producer has committed: %v", err)
	}
	l.codes()
}
