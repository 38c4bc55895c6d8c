package durability

import (
	"context"
	"time"
)

// Ticket is the right to know when what has been appended is durable. The zero Ticket is ready.
type Ticket struct {
	barrier    *Barrier
	generation uint64
}

// TicketIn returns a ticket that covers everything appended so far if the mode is m or a stricter
// one, and else the zero Ticket: Fsync for plain appends, Txn for commits, Page for always.
func (b *Barrier) TicketIn(m Mode) Ticket {
	if b == nil || b.o.Mode < m {
		return Ticket{}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.mu.dirty) == 0 && !b.mu.recordDirty {
		return Ticket{b, b.mu.collecting - 1}
	}
	return Ticket{b, b.mu.collecting}
}

// IsZero says that there is nothing to wait for.
func (t Ticket) IsZero() bool { return t.barrier == nil }

// Want makes the barrier run now, for somebody who does not wait for it himself.
func (t Ticket) Want() {
	b := t.barrier
	if b == nil {
		return
	}
	b.mu.Lock()
	b.mu.wanted = max(b.mu.wanted, t.generation)
	b.mu.Unlock()
	b.wake()
}

// Wait returns nil when a barrier that began after the ticket was given has completed, the barrier's
// error when none will, or the context's.
func (t Ticket) Wait(ctx context.Context) error { return t.WaitUntil(ctx, nil) }

// WaitUntil is Wait that gives up with context.DeadlineExceeded when it receives from expired: a timer costs less
// than a context with a deadline.
func (t Ticket) WaitUntil(ctx context.Context, expired <-chan time.Time) error {
	b := t.barrier
	if b == nil {
		return nil
	}
	b.mu.Lock()
	for b.mu.done < t.generation {
		if err := b.failure(); err != nil {
			b.mu.Unlock()
			return err
		}
		b.mu.wanted = max(b.mu.wanted, t.generation)
		told := b.mu.next
		if t.generation < b.mu.collecting && b.mu.running != nil {
			told = b.mu.running
		}
		b.mu.Unlock()
		b.wake()
		select {
		case <-told:
		case <-expired:
			return context.DeadlineExceeded
		case <-ctx.Done():
			return ctx.Err()
		}
		b.mu.Lock()
	}
	b.mu.Unlock()
	return nil
}

// Sync makes everything appended so far durable, in any mode.
func (b *Barrier) Sync(ctx context.Context) error { return b.TicketIn(Page).Wait(ctx) }

// Checkpoint is Sync by a barrier that syncs the files and writes its record: a start needs nothing else then.
func (b *Barrier) Checkpoint(ctx context.Context) error {
	b.mu.Lock()
	b.mu.recordDirty = true
	b.mu.Unlock()
	return b.Sync(ctx)
}
