package durability

import (
	"context"
	"fmt"
	"time"

	"once/internal/vfs"
)

// Ticket is for waiting until everything appended before it was given is durable. The zero Ticket waits for nothing.
type Ticket struct {
	barrier    *Barrier
	generation uint64
}

// TicketFor returns the ticket that an answer of this kind waits for: it covers everything appended so far, or is the
// zero Ticket if the policy lets the answer go at once.
func (b *Barrier) TicketFor(a Answer) Ticket {
	if !b.Waits(a) {
		return Ticket{}
	}
	return b.ticket()
}

// Waits says whether an answer of this kind waits in this mode.
func (b *Barrier) Waits(a Answer) bool { return b != nil && b.o.Mode.waits(a) }

// ticket covers everything appended so far.
func (b *Barrier) ticket() Ticket {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.mu.dirty) == 0 && !b.mu.recordDirty {
		return Ticket{b, b.mu.collecting - 1}
	}
	return Ticket{b, b.mu.collecting}
}

// Pending says that Wait may have to wait.
func (t Ticket) Pending() bool { return t.barrier != nil }

// Want makes the barrier run now, for a caller that does not wait itself.
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

// Wait returns nil when a barrier that began after the ticket was given has completed, the barrier's error when it has
// failed, or the context's.
func (t Ticket) Wait(ctx context.Context) error { return t.WaitUntil(ctx, nil) }

// WaitUntil is like Wait, but gives up with context.DeadlineExceeded when it receives from expired: a timer costs less
// than a context with a deadline.
func (t Ticket) WaitUntil(ctx context.Context, expired <-chan time.Time) error {
	return t.wait(ctx, expired, true)
}

// wait waits for room on a full disk only when it is patient.
func (t Ticket) wait(ctx context.Context, expired <-chan time.Time, patient bool) error {
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
		if !patient && b.mu.stalled {
			b.mu.Unlock()
			return fmt.Errorf("the record of a barrier: %w", vfs.ErrNoSpace)
		}
		b.mu.wanted = max(b.mu.wanted, t.generation)
		ended := b.mu.next
		if t.generation < b.mu.collecting && b.mu.running != nil {
			ended = b.mu.running
		}
		b.mu.Unlock()
		b.wake()
		select {
		case <-ended:
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
func (b *Barrier) Sync(ctx context.Context) error { return b.ticket().Wait(ctx) }

// Checkpoint is like Sync, but always syncs the files and writes the record, so that a start does not need the journal.
func (b *Barrier) Checkpoint(ctx context.Context) error {
	b.mu.Lock()
	b.mu.recordDirty = true
	b.mu.Unlock()
	return b.Sync(ctx)
}

// TryCheckpoint is like Checkpoint, but returns vfs.ErrNoSpace when the disk is full, where Checkpoint waits for room.
func (b *Barrier) TryCheckpoint(ctx context.Context) error {
	b.mu.Lock()
	b.mu.recordDirty, b.mu.stalled = true, false
	b.mu.Unlock()
	return b.ticket().wait(ctx, nil, false)
}
