package handlers

import (
	"context"
	"sync"
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
		q := questions.Get().(*question)
		q.ask(s, r, row)
		d := s.Faults.Decide(&q.Request)
		q.forget()
		if d == nil {
			questions.Put(q)
			return next(ctx, r, row)
		}
		r.Fault = d.RuleID
		if d.Do.Blackhole {
			context.AfterFunc(ctx, func() { s.Faults.Forget(r.Conn.ID()) })
		}
		return (&faulted{s, d, r, row, next}).carryOut(ctx)
	}
}

// question is what the rules ask about a request. It is used again unless a rule fires, so that rules for other
// requests cost no allocation.
type question struct {
	faults.Request
	s          *Services
	r          *wire.Request // only while the rules ask
	row        *row
	conn       *wire.Conn
	named      faults.Named
	partitions []int32 // of the topics in named
}

var questions = sync.Pool{New: func() any {
	q := &question{}
	q.Close, q.Names = func() { q.conn.Close() }, q.names
	return q
}}

func (q *question) ask(s *Services, r *wire.Request, row *row) {
	q.s, q.r, q.row, q.conn = s, r, row, r.Conn
	q.Key, q.Version, q.API = r.Key, r.Version, apiname.Of(r.Key)
	q.ClientID, q.User, q.Connection = r.ClientID, anonymous, r.Conn.ID()
}

// forget lets go of the request, into which the names point.
func (q *question) forget() {
	q.r, q.row = nil, nil
	clear(q.named.Topics)
	clear(q.named.TransactionalIDs)
}

// names returns what the request names. The two APIs that carry records have neither groups nor members.
func (q *question) names() *faults.Named {
	q.named = faults.Named{Topics: q.named.Topics[:0], TransactionalIDs: q.named.TransactionalIDs[:0]}
	q.partitions = q.partitions[:0]
	switch req := q.r.Body.(type) {
	case *kmsg.ProduceRequest:
		for i := range req.Topics {
			t, from := &req.Topics[i], len(q.partitions)
			for j := range t.Partitions {
				q.partitions = append(q.partitions, t.Partitions[j].Partition)
			}
			q.addTopic(t.Topic, t.TopicID, from)
		}
		if req.TransactionID != nil {
			q.named.TransactionalIDs = append(q.named.TransactionalIDs, *req.TransactionID)
		}
	case *kmsg.FetchRequest:
		for i := range req.Topics {
			t, from := &req.Topics[i], len(q.partitions)
			for j := range t.Partitions {
				q.partitions = append(q.partitions, t.Partitions[j].Partition)
			}
			q.addTopic(t.Topic, t.TopicID, from)
		}
		q.named.Topics = append(q.named.Topics, q.s.sessions.topics(req.SessionID)...)
	default:
		return q.s.named(q.r, q.row)
	}
	return &q.named
}

// addTopic adds a topic with the partitions from an index on.
func (q *question) addTopic(name string, id [16]byte, from int) {
	of := q.s.Catalogue.subject(name, id, q.r.Version >= 13, q.partitions[from:len(q.partitions):len(q.partitions)])
	q.named.Topics = append(q.named.Topics, faults.Topic{Name: of.Name, Partitions: of.Partitions})
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
		f.s.Faults.GoLate(f.r.SizeBytes, func() { f.carryOutLate(late) })
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

// refuse answers with the error. An ApiVersions that is to get UNSUPPORTED_VERSION is answered as one of a version that
// is not served: in the layout of version 0, which names lower versions, so that the client asks again (KIP-511).
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
		h.Late(f.r.SizeBytes, func() { f.carryOutLate(late) })
		return wire.Reply{Close: true}
	}
	reply := f.next(ctx, f.r, f.row)
	h.Done()
	return complete(ctx, reply)
}

// lateTimeout bounds how long a request waits whose client has gone: what it asks for is done by then, but for other
// members of its group.
const lateTimeout = 5 * time.Second

// carryOutLate carries out a request whose client has gone.
func (f *faulted) carryOutLate(r *wire.Request) {
	ctx, cancel := context.WithTimeout(context.Background(), lateTimeout)
	defer cancel()
	release(f.whole(ctx, r))
}

// holdAnswer carries the request out, and gives the answer when the rule lets go of it.
func (f *faulted) holdAnswer(ctx context.Context) wire.Reply {
	reply, h := f.whole(ctx, f.r), f.d.Hold
	switch h.Wait(ctx) {
	case faults.Dropped:
		release(reply)
		return wire.Reply{Close: true}
	case faults.Gone:
		h.Late(0, nil)
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
