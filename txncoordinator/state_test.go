package txncoordinator

import (
	"errors"
	"fmt"
	"slices"
	"testing"
)

func image(state State, epoch int16) Transaction {
	t := newTransaction("t", 7, 60_000, 0)
	t.State, t.ProducerEpoch, t.PreviousProducerID = state, epoch, 7
	return t
}

// The answers of the tables.
const concurrent, invalid, fenced = "CONCURRENT_TRANSACTIONS", "INVALID_TXN_STATE", "PRODUCER_FENCED"

func prepareText(p plan, err error) string {
	switch {
	case err != nil:
		return codes.Of(err)
	case p.done:
		return "done"
	}
	return fmt.Sprintf("%v %d", p.next.State, p.next.ProducerEpoch)
}

// TestEndTxnOfVersion1 is the table of transactions 10.1.
func TestEndTxnOfVersion1(t *testing.T) {
	for _, row := range []struct {
		state         State
		commit, abort string
	}{
		{Ongoing, "PrepareCommit 3", "PrepareAbort 3"},
		{PrepareCommit, concurrent, invalid},
		{PrepareAbort, invalid, concurrent},
		{CompleteCommit, "done", invalid},
		{CompleteAbort, invalid, "done"},
		{Empty, invalid, invalid},
	} {
		txn := image(row.state, 3)
		for _, commit := range []bool{true, false} {
			want := row.abort
			if commit {
				want = row.commit
			}
			r := EndRequest{TransactionalID: "t", ProducerID: 7, ProducerEpoch: 3, Commit: commit}
			if got := prepareText(prepareEnd(&txn, &r, NoProducerID, 1)); got != want {
				t.Errorf("%v commit=%v: %s, want %s", row.state, commit, got, want)
			}
			// The order of the checks: producer ID, epoch, pending.
			pending := txn
			pending.Pending = Ongoing
			if _, err := prepareEnd(&pending, &r, NoProducerID, 1); !errors.Is(err, ErrConcurrentTransactions) {
				t.Errorf("%v pending: %v", row.state, err)
			}
			r.ProducerEpoch = 2
			if _, err := prepareEnd(&pending, &r, NoProducerID, 1); !errors.Is(err, ErrFenced) {
				t.Errorf("%v epoch: %v", row.state, err)
			}
			r.ProducerID = 8
			if _, err := prepareEnd(&pending, &r, NoProducerID, 1); !errors.Is(err, ErrInvalidProducerIDMapping) {
				t.Errorf("%v producer ID: %v", row.state, err)
			}
		}
	}
}

// TestEndTxnOfVersion2 is the tables of transactions 10.2, at epoch 3: current is 3, a retry carries 2.
func TestEndTxnOfVersion2(t *testing.T) {
	for _, row := range []struct {
		state                                                State
		abortRetry, abortCurrent, commitRetry, commitCurrent string
	}{
		{Empty, fenced, "PrepareAbort 4", fenced, invalid},
		{Ongoing, fenced, "PrepareAbort 4", fenced, "PrepareCommit 4"},
		{PrepareAbort, concurrent, fenced, invalid, fenced},
		{PrepareCommit, invalid, fenced, concurrent, fenced},
		{CompleteAbort, "done", "PrepareAbort 4", invalid, invalid},
		{CompleteCommit, invalid, "PrepareAbort 4", "done", invalid},
	} {
		txn := image(row.state, 3)
		for _, c := range []struct {
			commit bool
			epoch  int16
			want   string
		}{
			{false, 2, row.abortRetry}, {false, 3, row.abortCurrent}, {true, 2, row.commitRetry}, {true, 3, row.commitCurrent},
			{false, 1, fenced}, {true, 4, fenced}, {false, 32766, fenced}, {true, 32767, fenced}, {true, -1, fenced},
		} {
			r := EndRequest{TransactionalID: "t", ProducerID: 7, ProducerEpoch: c.epoch, Commit: c.commit,
				ClientTransactionVersion: 2}
			if got := prepareText(prepareEnd(&txn, &r, NoProducerID, 1)); got != c.want {
				t.Errorf("%v commit=%v epoch=%d: %s, want %s", row.state, c.commit, c.epoch, got, c.want)
			}
			pending := txn
			pending.Pending = Ongoing
			r.ProducerID = 8
			if _, err := prepareEnd(&pending, &r, NoProducerID, 1); !errors.Is(err, ErrConcurrentTransactions) {
				t.Errorf("%v: pending comes before the producer ID: %v", row.state, err)
			}
			if _, err := prepareEnd(&txn, &r, NoProducerID, 1); !errors.Is(err, ErrInvalidProducerIDMapping) {
				t.Errorf("%v: other producer ID: %v", row.state, err)
			}
		}
	}
}

// TestInitOnIdleID is the table of transactions 5 row 11.
func TestInitOnIdleID(t *testing.T) {
	const fresh = 99
	for _, row := range []struct {
		name                string
		current, last       int16
		given               bool
		producerID          int64
		epoch               int16
		wantID              int64
		wantEpoch, wantLast int16
		refused             bool
	}{
		{name: "first ever", current: -1, last: -1, wantID: 7, wantEpoch: 0, wantLast: -1},
		{name: "plain", current: 4, last: 3, wantID: 7, wantEpoch: 5, wantLast: -1},
		{name: "plain, exhausted", current: 32766, last: 3, wantID: fresh, wantEpoch: 0, wantLast: -1},
		{name: "unknown ID, with identity", current: -1, last: -1, given: true, producerID: 5, epoch: 3, wantID: 7,
			wantEpoch: 0, wantLast: -1},
		{name: "current", current: 4, last: 3, given: true, producerID: 7, epoch: 4, wantID: 7, wantEpoch: 5, wantLast: 4},
		{name: "retry", current: 4, last: 3, given: true, producerID: 7, epoch: 3, wantID: 7, wantEpoch: 4, wantLast: 3},
		{name: "old", current: 4, last: 3, given: true, producerID: 7, epoch: 2, refused: true},
		{name: "ahead", current: 4, last: 3, given: true, producerID: 7, epoch: 5, refused: true},
		{name: "last usable", current: 32765, last: -1, given: true, producerID: 7, epoch: 32765, wantID: 7, wantEpoch: 32766,
			wantLast: 32765},
		{name: "exhausted", current: 32766, last: -1, given: true, producerID: 7, epoch: 32766, wantID: fresh, wantEpoch: 0,
			wantLast: 32766},
		{name: "exhausted, retry", current: 32766, last: 32765, given: true, producerID: 7, epoch: 32765, wantID: 7,
			wantEpoch: 32766, wantLast: 32765},
		{name: "exhausted, other", current: 32766, last: -1, given: true, producerID: 7, epoch: 5, refused: true},
		{name: "other producer ID", current: 4, last: 3, given: true, producerID: 8, epoch: 4, refused: true},
	} {
		for _, state := range []State{Empty, CompleteCommit, CompleteAbort} {
			txn := image(state, row.current)
			txn.LastProducerEpoch = row.last
			r := InitRequest{TransactionalID: "t", ProducerID: -1, ProducerEpoch: -1, TimeoutMs: 5}
			if row.given {
				r.ProducerID, r.ProducerEpoch = row.producerID, row.epoch
			}
			p, err := prepareInit(&txn, &r, fresh, 2, 1)
			if row.refused {
				if !errors.Is(err, ErrFenced) {
					t.Errorf("%s: %v", row.name, err)
				}
				continue
			}
			n := p.next
			if err != nil || n.ProducerID != row.wantID || n.ProducerEpoch != row.wantEpoch ||
				n.LastProducerEpoch != row.wantLast ||
				n.State != Empty || n.TimeoutMs != 5 || n.StartTimestampMs != -1 || n.PreviousProducerID != 7 ||
				p.answer != (Identity{row.wantID, row.wantEpoch}) {
				t.Errorf("%s in %v: %+v, %v", row.name, state, p, err)
			}
		}
	}
}

// TestRetryOfAnInitThatRotated: the previous producer ID is let in only with an exhausted epoch.
func TestRetryOfAnInitThatRotated(t *testing.T) {
	txn := image(Empty, 0)
	txn.ProducerID, txn.LastProducerEpoch = 99, 32766
	r := InitRequest{TransactionalID: "t", ProducerID: 7, ProducerEpoch: 32766, TimeoutMs: 5}
	if p, err := prepareInit(&txn, &r, NoProducerID, 2, 1); err != nil || p.answer != (Identity{99, 0}) {
		t.Error(p, err)
	}
	r.ProducerEpoch = 32765
	if _, err := prepareInit(&txn, &r, NoProducerID, 2, 1); !errors.Is(err, ErrFenced) {
		t.Error(err)
	}
}

// TestPrepareLeavesTheImageAlone: deciding has no effect, however often it is done.
func TestPrepareLeavesTheImageAlone(t *testing.T) {
	txn := image(Ongoing, 3)
	txn.Partitions = []TopicPartition{{"b", 1}, {"d", 0}}
	before := txn
	parts := slices.Clone(txn.Partitions)
	for range 2 {
		add := AddRequest{TransactionalID: "t", ProducerID: 7, ProducerEpoch: 3,
			Partitions: []TopicPartition{{"a", 0}, {"b", 0}, {"c", 5}, {"c", 5}, {"e", 0}}}
		p, err := prepareAdd(&txn, &add, 9)
		if err != nil || fmt.Sprint(p.next.Partitions) != "[a-0 b-0 b-1 c-5 d-0 e-0]" {
			t.Error(p, err)
		}
		if _, err := prepareEnd(&txn, &EndRequest{TransactionalID: "t", ProducerID: 7, ProducerEpoch: 3,
			ClientTransactionVersion: 2}, NoProducerID, 9); err != nil {
			t.Error(err)
		}
		if _, err := prepareFence(&txn, NoProducerID, 0, 9); err != nil {
			t.Error(err)
		}
	}
	if fmt.Sprintf("%+v", txn) != fmt.Sprintf("%+v", before) || !slices.Equal(txn.Partitions, parts) {
		t.Errorf("%+v, want %+v", txn, before)
	}
}

func TestLegalPreviousStates(t *testing.T) {
	want := map[State][]State{
		Empty: {Empty, CompleteCommit, CompleteAbort}, Ongoing: {Empty, Ongoing, CompleteCommit, CompleteAbort},
		PrepareCommit: {Ongoing}, PrepareAbort: {Empty, Ongoing, CompleteCommit, CompleteAbort},
		CompleteCommit: {PrepareCommit}, CompleteAbort: {PrepareAbort}, Dead: {Empty, CompleteCommit, CompleteAbort},
	}
	for next := Empty; next <= PrepareEpochFence; next++ {
		for from := Empty; from <= PrepareEpochFence; from++ {
			if got := mayFollow(next, from); got != slices.Contains(want[next], from) {
				t.Errorf("%v after %v: %v", next, from, got)
			}
		}
	}
}

// TestPartitionFor has transactions scenario 120, and values of Java's String.hashCode.
func TestPartitionFor(t *testing.T) {
	for _, row := range []struct {
		id         string
		partitions int32
		want       int32
	}{
		{"t", 50, 116 % 50},
		{"", 50, 0},
		{"hello", 1 << 30, 99162322},
		{"polygenelubricants", 50, 0},    // hash -2^31
		{"\U0001F600", 1 << 30, 1772899}, // two units, d83d de00
		{"é", 1000, 233},
	} {
		if got := partitionFor(row.id, row.partitions); got != row.want {
			t.Errorf("%q of %d: %d, want %d", row.id, row.partitions, got, row.want)
		}
	}
}
