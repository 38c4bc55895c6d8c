package agent

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"once/compat/eos/history"
)

// fate is how a transaction ends, drawn before it begins.
type fate string

const (
	fateCommit       fate = "commit"
	fateAbort        fate = "abort"
	fateDieSending   fate = "die-sending"          // some records may not have left
	fateDieSent      fate = "die-sent"             // all records acknowledged
	fateDieOffsets   fate = "die-offsets-answered" // offsets staged, end not asked for
	fateDieEndSent   fate = "die-end-sent"         // EndTxn on its way
	fateDieEndDone   fate = "die-end-answered"     // the answer was on the wire, nobody read it
	fateHang         fate = "hang"                 // past the transaction's timeout
	fateFenced       fate = "fenced"               // a twin has the transactional id, then commit
	fateFencedRacing fate = "fenced-racing"        // the twin comes while the commit runs
	fateEmpty        fate = history.EmptyFate
)

var deaths = []fate{fateDieSending, fateDieSent, fateDieOffsets, fateDieEndSent, fateDieEndDone}

// drawFate rolls the dice (spec: reliability 4.3): commit 70 %, abort 15 %, die 5 %, hang 3 %, fenced 5 %,
// empty 2 %.
func (c *copier) drawFate() fate {
	d, which := c.dice.Intn(100), c.dice.Intn(10)
	if c.calm.Load() {
		return fateCommit
	}
	switch {
	case d < 70, c.cfg.Correct && d >= 90:
		return fateCommit
	case d < 85:
		return fateAbort
	case d < 90:
		return deaths[which%len(deaths)]
	case d < 93:
		return fateHang
	case d < 98:
		return []fate{fateFenced, fateFencedRacing}[which%2]
	default:
		return fateEmpty
	}
}

// run takes the transaction to its fate. A nil error means that this incarnation goes on.
func (c *copier) run(ctx context.Context, b *batch, f fate) error {
	c.event(history.Event{Kind: history.KindDice, Txn: c.txn, Text: string(f)})
	switch f {
	case fateAbort:
		c.produce(b, len(b.records))
		if c.dice.Intn(2) == 0 {
			if err := c.session.Client().Flush(ctx); err != nil {
				return err
			}
		}
		_, err := c.end(b, false)
		_ = c.settle(b) // results of an aborted transaction: any is right
		return err
	case fateDieSending:
		c.produce(b, len(b.records))
		time.Sleep(time.Duration(c.dice.Intn(3)) * time.Millisecond) // so that some are on their way
		die()
	case fateDieOffsets, fateDieEndSent, fateDieEndDone:
		c.trip.arm(f)
	}
	c.produce(b, len(b.records))
	if err := c.settle(b); err != nil {
		_, endErr := c.end(b, false)
		return errors.Join(endErr, retryable(err))
	}
	switch f {
	case fateDieSent:
		die()
	case fateHang:
		return c.hang(ctx, b)
	case fateFenced, fateFencedRacing:
		return c.fenced(ctx, b, f == fateFencedRacing)
	}
	outcome, err := c.end(b, true)
	if err != nil {
		return err
	}
	if outcome == history.Committed && c.txn%probeEach == 0 {
		c.probe(ctx, b)
	}
	return nil
}

// retryable keeps only errors after which the same producer cannot go on. After an abort franz-go has
// recovered from all others.
func retryable(err error) error {
	if errors.Is(err, kgo.ErrAborting) || kerr.IsRetriable(err) || errors.Is(err, kerr.TransactionAbortable) {
		return nil
	}
	return fmt.Errorf("produce: %w", err)
}

// hang keeps the transaction open until the broker must have aborted it, then tries to commit: the
// answer must agree with what readers see.
func (c *copier) hang(ctx context.Context, b *batch) error {
	select {
	case <-ctx.Done():
	case <-time.After(time.Duration(c.cfg.TimeoutMs+c.cfg.ExpiryMs+500) * time.Millisecond):
	}
	_, err := c.end(b, true)
	return err
}

// fenced lets a second client take over the transactional id, before or during the commit.
func (c *copier) fenced(ctx context.Context, b *batch, racing bool) error {
	var wait sync.WaitGroup
	defer wait.Wait()
	var twinErr error
	takeOver := func() {
		defer wait.Done()
		twinErr = c.twin(ctx)
	}
	wait.Add(1)
	if racing {
		go takeOver()
	} else if takeOver(); twinErr != nil {
		return fmt.Errorf("twin: %w", twinErr)
	}
	_, err := c.end(b, true)
	return errors.Join(errLeft, err)
}

func (c *copier) twin(ctx context.Context) error {
	cl, err := kgo.NewClient(c.options(kgo.TransactionalID(c.TransactionalID),
		kgo.TransactionTimeout(time.Duration(c.cfg.TimeoutMs)*time.Millisecond))...)
	if err != nil {
		return err
	}
	defer cl.Close()
	c.event(history.Event{Kind: history.KindTwinCall, TransactionalID: c.TransactionalID})
	id, epoch, err := cl.ProducerID(ctx)
	if err != nil {
		return err
	}
	c.event(history.Event{Kind: history.KindTwinDone, TransactionalID: c.TransactionalID, ProducerID: id,
		ProducerEpoch: epoch})
	return nil
}

// emptyTransaction ends a transaction that has no records. A client before V2 can register partitions
// without writing to them, and must be able to commit that (spec: reliability P19); any other client
// merely begins and ends.
func (c *copier) emptyTransaction(ctx context.Context) error {
	c.event(history.Event{Kind: history.KindDice, Text: history.EmptyFate})
	cl := c.session.Client()
	if !c.BeforeV2 {
		if err := c.session.Begin(); err != nil {
			return fmt.Errorf("begin: %w", err)
		}
		if err := cl.EndTransaction(ctx, kgo.TryCommit); err != nil {
			return fmt.Errorf("end of an empty transaction: %w", err)
		}
		c.report(Report{Outcome: string(fateEmpty)})
		return nil
	}
	id, epoch, err := cl.ProducerID(ctx)
	if err != nil {
		return err
	}
	add := kmsg.NewPtrAddPartitionsToTxnRequest()
	add.TransactionalID, add.ProducerID, add.ProducerEpoch = c.TransactionalID, id, epoch
	t := kmsg.NewAddPartitionsToTxnRequestTopic()
	to := c.cfg.Logs[c.cfg.OutputLog(0, 0)]
	t.Topic, t.Partitions = to.Topic, []int32{to.Partition}
	add.Topics = append(add.Topics, t)
	if err := retryConcurrent(ctx, func() error {
		resp, err := add.RequestWith(ctx, cl)
		if err != nil {
			return err
		}
		return kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode)
	}); err != nil {
		return fmt.Errorf("AddPartitionsToTxn of an empty transaction: %w", err)
	}
	end := kmsg.NewPtrEndTxnRequest()
	end.TransactionalID, end.ProducerID, end.ProducerEpoch, end.Commit = c.TransactionalID, id, epoch, true
	if err := retryConcurrent(ctx, func() error {
		resp, err := end.RequestWith(ctx, cl)
		if err != nil {
			return err
		}
		return kerr.ErrorForCode(resp.ErrorCode)
	}); err != nil {
		return fmt.Errorf("EndTxn of an empty transaction: %w", err)
	}
	c.report(Report{Outcome: string(fateEmpty)})
	return nil
}

// retryConcurrent repeats fn while the coordinator is busy with the last transaction.
func retryConcurrent(ctx context.Context, fn func() error) error {
	for {
		err := fn()
		if !kerr.IsRetriable(err) && !errors.Is(err, kerr.ConcurrentTransactions) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// tripwire is a hook of the client that kills this process at a chosen point of ending a transaction.
type tripwire struct{ armed atomic.Value }

func (t *tripwire) arm(f fate) { t.armed.Store(f) }

const (
	keyEndTxn          = 26
	keyTxnOffsetCommit = 28
)

// OnBrokerWrite implements kgo.HookBrokerWrite.
func (t *tripwire) OnBrokerWrite(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, _ error) {
	if key == keyEndTxn && t.armed.Load() == fateDieEndSent {
		die()
	}
}

// OnBrokerRead implements kgo.HookBrokerRead.
func (t *tripwire) OnBrokerRead(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, _ error) {
	armed := t.armed.Load()
	if key == keyTxnOffsetCommit && armed == fateDieOffsets || key == keyEndTxn && armed == fateDieEndDone {
		die()
	}
}
