package handlers

import (
	"context"

	"once/wire"
)

// handler carries out a request of a row of the table.
type handler func(ctx context.Context, r *wire.Request, row *row) wire.Reply

// step is a part of the chain. It returns a handler that answers a request itself, or calls next; it may look at the
// reply, too. The row's subjects say what the request is about.
type step func(s *Services, next handler) handler

// chain is the list of steps that every request of every connection passes, in this order, before the handler of its
// API. Rules for requests of more than one API belong here.
var chain = []step{
	(*Services).noteRequest,
	(*Services).applyFaults,
	(*Services).applyQuotas,
	(*Services).checkFeature,
	(*Services).closeOlderConnection,
	(*Services).noteFindings,
}

// link makes one handler of the chain and the handlers of the table.
func (s *Services) link(steps []step) handler {
	next := func(ctx context.Context, r *wire.Request, row *row) wire.Reply { return row.handle(s, ctx, r) }
	for i := len(steps) - 1; i >= 0; i-- {
		next = steps[i](s, next)
	}
	return next
}

// Handle carries out a request of an API in the table.
func (s *Services) Handle(ctx context.Context, r *wire.Request) wire.Reply {
	return s.passChain(ctx, r, s.byKey[r.Key])
}
