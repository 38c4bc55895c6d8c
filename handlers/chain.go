package handlers

import (
	"context"

	"once/wire"
)

// handler carries out a request of a row of the table, or a step of the chain does so in its place.
type handler func(ctx context.Context, r *wire.Request, row *row) wire.Reply

// step is a part of the chain. It returns a handler that answers a request itself, or has next do it; it may look at
// the reply, too. What the request is about it finds out with the row's subjects.
type step func(s *Services, next handler) handler

// chain is what every request of every connection passes, in this order, before its API's handler carries it out. Here
// is the place of whatever concerns requests of more than one API. A step stands here when it does something.
var chain = []step{
	(*Services).closeOlderConnection,
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
