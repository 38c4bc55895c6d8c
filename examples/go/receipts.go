// Package receipts is an application that consumes, transforms and produces exactly once.
package receipts

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Open joins the group of this application. Only one producer with the transactional ID can commit.
func Open(address, transactionalID string) (*kgo.GroupTransactSession, error) {
	return kgo.NewGroupTransactSession(
		kgo.SeedBrokers(address),
		kgo.TransactionalID(transactionalID),
		kgo.ConsumerGroup("receipts"),
		kgo.ConsumeTopics("payments"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.RequireStableFetchOffsets(),
		kgo.AllowAutoTopicCreation(),
	)
}

// Write makes the receipt of a payment.
type Write func(payment *kgo.Record) (*kgo.Record, error)

// Step reads some payments and writes a receipt for each, in one transaction with the offsets of the payments. If write
// fails for one of them, the whole transaction is aborted, and the next step reads the same payments again. It returns
// how many it has committed.
func Step(ctx context.Context, session *kgo.GroupTransactSession, write Write) (int, error) {
	fetches := session.PollFetches(ctx)
	if err := fetches.Err0(); err != nil {
		return 0, err
	}
	if err := session.Begin(); err != nil {
		return 0, err
	}
	var failed error
	produced := kgo.AbortingFirstErrPromise(session.Client())
	fetches.EachRecord(func(payment *kgo.Record) {
		receipt, err := write(payment)
		if err != nil {
			failed = err
			return
		}
		session.Produce(ctx, receipt, produced.Promise())
	})
	if err := produced.Err(); err != nil {
		failed = err
	}
	committed, err := session.End(ctx, kgo.TransactionEndTry(failed == nil))
	if err != nil || !committed {
		return 0, err
	}
	return fetches.NumRecords(), nil
}
