package handlers

import (
	"context"

	"once/durability"
)

// shareWaits are the records that an answer to a share group waits for.
type shareWaits struct{ tickets []durability.Ticket }

func (w *shareWaits) add(t durability.Ticket) {
	if t.Pending() {
		w.tickets = append(w.tickets, t)
	}
}

func (w *shareWaits) pending() bool { return len(w.tickets) > 0 }

// wait reports whether all records are durable. If not there is no answer: the client asks again.
func (w *shareWaits) wait(ctx context.Context) bool {
	for i := range w.tickets {
		if w.tickets[i].Wait(ctx) != nil {
			return false
		}
	}
	return true
}
