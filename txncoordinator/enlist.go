package txncoordinator

import (
	"context"
	"errors"
	"time"

	"once/pidmanager"
)

// Guard is a partition's verification guard.
type Guard = pidmanager.Guard

// Verifier is a partition to which a batch of a transaction is to be appended.
type Verifier interface {
	// BeginVerification says whether the coordinator must verify the batch before it is appended, and returns the guard
	// to append it with (spec: idempotence 7). addsPartition: the client speaks transactions V2.
	BeginVerification(
		producerID int64, producerEpoch int16, baseSequence int32, addsPartition bool,
	) (guard Guard, ask bool, err error)
}

// Enlistment is an append in a producer's transaction: batches of a Produce, or offsets of a group. The caller sets all
// fields but the results, calls Enlist, and appends with the guard if there is no error.
type Enlistment struct {
	TransactionalID string
	ProducerID      int64
	ProducerEpoch   int16
	// ClientTransactionVersion is 2 for Produce 12, TxnOffsetCommit 5 and above, whose batches add their partition to
	// the transaction. Below, the partition must have been added before.
	ClientTransactionVersion int16
	Source                   Source
	Partitions               []EnlistedPartition
}

// EnlistedPartition is one partition of an Enlistment.
type EnlistedPartition struct {
	TopicPartition
	Verifier     Verifier
	BaseSequence int32 // of the batch; -1 for offsets of a group

	// The results.
	Guard          Guard
	PartitionErr   error // the partition refuses the producer; the coordinator was not asked
	CoordinatorErr error // the coordinator refuses

	ask bool
}

func (e *Enlistment) addsPartitions() bool { return e.ClientTransactionVersion >= epochBumpVersion }

// Enlist makes sure that each partition is in the producer's transaction before something is appended there. A
// partition in which the transaction is open needs nothing. For the others it asks the coordinator, which verifies that
// they have been added, or adds them for clients that speak transactions V2 (KIP-890; spec: transactions 8, 9.1). The
// guard is taken first: an end marker in between makes it invalid, so that nothing is appended after the marker.
//
// It waits for nothing but the append to the transaction log. again says that the producer's last operation is not
// finished, and that EnlistAgain may help.
func (c *Coordinator) Enlist(e *Enlistment) (again bool) {
	r := AddRequest{
		TransactionalID: e.TransactionalID, ProducerID: e.ProducerID, ProducerEpoch: e.ProducerEpoch,
		ClientTransactionVersion: e.ClientTransactionVersion, Source: e.Source,
	}
	for i := range e.Partitions {
		p := &e.Partitions[i]
		p.CoordinatorErr = nil
		p.Guard, p.ask, p.PartitionErr = p.Verifier.BeginVerification(
			e.ProducerID, e.ProducerEpoch, p.BaseSequence, e.addsPartitions())
		if p.ask {
			r.Partitions = append(r.Partitions, p.TopicPartition)
		}
	}
	if len(r.Partitions) == 0 {
		return false
	}
	var each []error // nil when err holds for all
	var err error
	if e.addsPartitions() {
		err = c.AddPartitions(r)
		again = errors.Is(err, ErrConcurrentTransactions) && c.cfg.AddRetryLimit > 0
	} else {
		each, err = c.VerifyPartitions(r)
	}
	for i := range e.Partitions {
		p := &e.Partitions[i]
		if !p.ask {
			continue
		}
		p.CoordinatorErr = err
		if each != nil {
			p.CoordinatorErr, each = each[0], each[1:]
		}
	}
	return again
}

// EnlistAgain repeats Enlist every AddRetryInterval while that may help, as Kafka's brokers do for Produce, so that
// most clients never see CONCURRENT_TRANSACTIONS. It returns with the last results after AddRetryLimit, or when ctx or
// Config.Ended ends.
func (c *Coordinator) EnlistAgain(ctx context.Context, e *Enlistment) {
	limit := time.NewTimer(c.cfg.AddRetryLimit)
	defer limit.Stop()
	interval := time.NewTicker(c.cfg.AddRetryInterval)
	defer interval.Stop()
	for again := true; again; again = c.Enlist(e) {
		select {
		case <-interval.C:
		case <-limit.C:
			return
		case <-ctx.Done():
			return
		case <-c.cfg.Ended:
			return
		}
	}
}
