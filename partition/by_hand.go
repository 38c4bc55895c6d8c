package partition

import (
	"errors"
	"fmt"

	"once/internal/fault"
)

// What tests do to a partition by hand.

var (
	// ErrTransactionOpen: a producer that has a transaction open cannot be forgotten.
	ErrTransactionOpen = errors.New("the producer has a transaction open")
	// ErrUnknownProducer: the partition has no state of the producer.
	ErrUnknownProducer = errors.New("the partition does not know the producer")

	errByHand = fmt.Errorf("%w: taken offline by hand", fault.ErrOffline)
)

// takenOffline says whether a cause of being offline is a test, which has left the log as it was.
func takenOffline(cause error) bool { return errors.Is(cause, fault.ErrOffline) }

// TakeOffline takes the partition offline until BringOnline, or until it is opened again. One that is offline already
// keeps its cause.
func (p *Partition) TakeOffline() {
	p.mu.Lock()
	if p.mu.offline == nil {
		p.opts.Logger.Info("partition is taken offline", "partition", p.id.String())
		p.endLocked(errByHand)
	}
	p.mu.Unlock()
	p.waiters.wake(wakeUp{uncommitted: true, committed: true})
}

// BringOnline brings the partition back that TakeOffline or a fault has taken offline. One that is offline for another
// cause stays so, with that as error: its log is not known to be whole.
func (p *Partition) BringOnline() error {
	p.mu.Lock()
	switch {
	case p.mu.offline == nil:
		p.mu.Unlock()
		return nil
	case !takenOffline(p.mu.offline):
		defer p.mu.Unlock()
		return p.offlineErrorLocked()
	}
	p.mu.offline = nil
	p.publishLocked(p.view.Load().highWatermark)
	p.mu.Unlock()
	p.opts.Logger.Info("partition is brought online", "partition", p.id.String())
	p.waiters.wake(wakeUp{uncommitted: true, committed: true})
	return nil
}

// ForgetProducer forgets what the partition knows of a producer, as if it had expired. Errors: ErrUnknownProducer,
// ErrTransactionOpen, ErrOffline.
func (p *Partition) ForgetProducer(producerID int64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.offline != nil {
		return p.offlineErrorLocked()
	}
	e, ok := p.mu.producers.Get(producerID)
	switch {
	case !ok:
		return ErrUnknownProducer
	case e.TxnFirstOffset >= 0:
		return ErrTransactionOpen
	}
	p.mu.producers.Forget(producerID)
	return nil
}
