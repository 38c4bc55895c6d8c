package handlers

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/faults"
	"once/internal/apiname"
	"once/wire"
)

// applyFaults is a step of the chain: it does with a request what a rule of a test says. It stands before the check for
// older connections: a request that was held is late in the network.
func (s *Services) applyFaults(next handler) handler {
	return func(ctx context.Context, r *wire.Request, row *row) wire.Reply {
		if !s.Faults.Concern(r.Key, r.ClientID) || r.Body == nil {
			return next(ctx, r, row)
		}
		d := s.Faults.Decide(&faults.Request{
			Key: r.Key, Version: r.Version, API: apiname.Of(r.Key), ClientID: r.ClientID, User: anonymous,
			Connection: r.Conn.ID(), Close: r.Conn.Close, Names: func() *faults.Named { return s.named(r, row) },
		})
		if d == nil {
			return next(ctx, r, row)
		}
		r.Fault = d.RuleID
		if d.Do.Blackhole {
			context.AfterFunc(ctx, func() { s.Faults.Forget(r.Conn.ID()) })
		}
		return (&faulted{s, d, r, row, next}).carryOut(ctx)
	}
}

// anonymous is the name of every client while there is no authentication.
const anonymous = "ANONYMOUS"

// faulted is a request that a rule acts on.
type faulted struct {
	s    *Services
	d    *faults.Decision
	r    *wire.Request
	row  *row
	next handler
}

// carryOut does what the rule says. What waits, or needs the answer, runs in Resume: the connection's next requests
// wait, and a client that goes is noticed.
func (f *faulted) carryOut(ctx context.Context) wire.Reply {
	do := &f.d.Do
	switch {
	case f.d.Swallow:
		return wire.Reply{}
	case do.LoseRequest:
		return wire.Reply{Close: true}
	case do.Error != "" && !do.CarriedOut && f.d.Part == nil:
		return f.refuse()
	case do.Disconnect:
		late := cloneRequest(f.r)
		go f.whole(context.Background(), late)
		return wire.Reply{Close: true}
	}
	return wire.Reply{Resume: func(ctx context.Context) wire.Reply {
		switch {
		case do.Error != "":
			return f.fail(ctx)
		case do.Hold, do.Delay > 0:
			return f.hold(ctx)
		case do.HoldAnswer, do.DelayAnswer > 0:
			return f.holdAnswer(ctx)
		case do.LoseAnswer:
			release(f.whole(ctx, f.r))
			return wire.Reply{Close: true}
		case do.Duplicate:
			again := cloneRequest(f.r)
			reply := f.whole(ctx, f.r)
			release(f.whole(ctx, again))
			return reply
		}
		return throttled(f.whole(ctx, f.r), time.Duration(do.Throttle))
	}}
}

// errorMessageOfFault is the text beside an error that a test has asked for.
const errorMessageOfFault = "a test has asked for this error"

// refuse answers with the error. An ApiVersions that is to get UNSUPPORTED_VERSION is answered as one of a version that is
// not served: in the layout of version 0, which names lower versions, so that the client asks again (KIP-511).
func (f *faulted) refuse() wire.Reply {
	reply := f.s.Fail(f.r, f.d.Code, errorMessageOfFault)
	resp, ok := reply.Response.(*kmsg.ApiVersionsResponse)
	if !ok || f.d.Code != wire.UnsupportedVersion {
		return reply
	}
	f.r.Body = nil // an answer to such a request has the layout of version 0
	if f.r.Version == 0 {
		resp.ApiKeys = nil
	}
	for i := range resp.ApiKeys {
		resp.ApiKeys[i].MaxVersion = f.r.Version - 1
	}
	return reply
}

// whole carries a request out up to its answer.
func (f *faulted) whole(ctx context.Context, r *wire.Request) wire.Reply {
	return complete(ctx, f.next(ctx, r, f.row))
}

// complete waits for the answer of a reply.
func complete(ctx context.Context, reply wire.Reply) wire.Reply {
	if reply.Resume != nil {
		reply = reply.Resume(ctx)
	}
	if reply.Then != nil {
		resp := reply.Then(ctx)
		return wire.Reply{Response: resp, Close: resp == nil}
	}
	return reply
}

// release lets go of an answer that is not sent.
func release(reply wire.Reply) {
	if s, ok := reply.Response.(wire.Streamed); ok {
		s.Release()
	}
}

// hold carries the request out when the rule lets go of it; without an answer if the client has gone by then.
func (f *faulted) hold(ctx context.Context) wire.Reply {
	h := f.d.Hold
	switch h.Wait(ctx) {
	case faults.Dropped:
		return wire.Reply{Close: true}
	case faults.Gone:
		late := cloneRequest(f.r)
		h.Late(func() { release(f.whole(context.Background(), late)) })
		return wire.Reply{Close: true}
	}
	reply := f.next(ctx, f.r, f.row)
	h.Done()
	return complete(ctx, reply)
}

// holdAnswer carries the request out, and gives the answer when the rule lets go of it.
func (f *faulted) holdAnswer(ctx context.Context) wire.Reply {
	reply, h := f.whole(ctx, f.r), f.d.Hold
	switch h.Wait(ctx) {
	case faults.Dropped:
		release(reply)
		return wire.Reply{Close: true}
	case faults.Gone:
		h.Late(nil)
		release(reply)
		return wire.Reply{Close: true}
	}
	h.Done()
	return reply
}

// named returns what a request names.
func (s *Services) named(r *wire.Request, row *row) *faults.Named {
	n := &faults.Named{Members: membersIn(r.Body)}
	if row.subjects == nil {
		return n
	}
	about := row.subjects(s.Catalogue, r)
	n.AllTopics, n.Groups = about.AllTopics, about.Groups
	for _, t := range about.Topics {
		n.Topics = append(n.Topics, faults.Topic{Name: t.Name, Partitions: t.Partitions})
	}
	for _, t := range about.Transactions {
		n.TransactionalIDs = append(n.TransactionalIDs, t.TransactionalID)
	}
	if fetch, ok := r.Body.(*kmsg.FetchRequest); ok {
		n.Topics = append(n.Topics, s.sessions.topics(fetch.SessionID)...)
	}
	return n
}
