package groupcoordinator

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"unicode/utf8"

	"once/durability"
)

// Future is an answer that may still depend on other members, or on the disk. It owns no goroutine; an unused one needs
// no cleanup.
type Future[T any] struct {
	done    chan struct{}     // nil when the value was there from the start
	value   T                 // set before done is closed
	durable durability.Ticket // set with value
}

// Wait returns the answer. Its error is that of ctx, or ErrNotDurable when the records of the answer cannot be made
// durable; the group's errors are inside the answer.
func (f *Future[T]) Wait(ctx context.Context) (T, error) {
	var zero T
	if f.done != nil {
		select {
		case <-f.done:
		case <-ctx.Done():
			return zero, ctx.Err()
		}
	}
	if err := f.durable.Wait(ctx); err != nil {
		if ctx.Err() != nil {
			return zero, ctx.Err()
		}
		return zero, fmt.Errorf("%w: %w", ErrNotDurable, err)
	}
	return f.value, nil
}

// Ready reports whether Wait would return at once.
func (f *Future[T]) Ready() bool {
	if f.done != nil {
		select {
		case <-f.done:
		default:
			return false
		}
	}
	return !f.durable.Pending()
}

func parked[T any]() *Future[T] { return &Future[T]{done: make(chan struct{})} }

func ready[T any](value T, durable durability.Ticket) *Future[T] {
	return &Future[T]{value: value, durable: durable}
}

// immediate is an answer that depends on no record.
func immediate[T any](value T) *Future[T] { return &Future[T]{value: value} }

// resolve answers a parked future, once: the code that takes it from its member resolves it.
func (f *Future[T]) resolve(value T, durable durability.Ticket) {
	f.value, f.durable = value, durable
	close(f.done)
}

// maxMemberIDBytes is the longest string of Kafka's protocol and of the group's record.
const maxMemberIDBytes = 1<<15 - 1

// newMemberID is Kafka's form: the prefix, a dash and a random UUID (version 4). A prefix that would make the ID too
// long is shortened; Kafka cannot send such an ID, and fails.
func newMemberID(prefix string) string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	h := hex.EncodeToString(b[:])
	id := "-" + h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
	n := min(len(prefix), maxMemberIDBytes-len(id))
	for n > 0 && n < len(prefix) && !utf8.RuneStart(prefix[n]) {
		n-- // half a character would come back from a client as another one
	}
	return prefix[:n] + id
}
