package handlers

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/findings"
	"once/partition"
	"once/topics"
	"once/txncoordinator"
	"once/wire"
)

// noteFindings is a step of the chain: it tells findings what clients do with transactions and committed offsets. It is
// the last one, so that it sees only what is carried out, with the handler's own answer. Of a Produce the handler says
// what there is to say.
func (s *Services) noteFindings(next handler) handler {
	if s.Findings == nil {
		return next
	}
	return func(ctx context.Context, r *wire.Request, row *row) wire.Reply {
		switch kmsg.Key(r.Key) {
		case kmsg.InitProducerID, kmsg.AddPartitionsToTxn, kmsg.AddOffsetsToTxn, kmsg.EndTxn, kmsg.TxnOffsetCommit,
			kmsg.OffsetCommit:
			o := &observed{s: s, r: r, by: clientOf(ctx, r)}
			o.unstable = s.unstableCommits(r)
			return o.observe(next(ctx, r, row))
		}
		return next(ctx, r, row)
	}
}

// clientOf returns the client of a request. ctx ends with the connection; that of a late request never does.
func clientOf(ctx context.Context, r *wire.Request) findings.Client {
	by := findings.Client{ID: r.ClientID, Closed: ctx.Done()}
	if r.Conn != nil {
		by.Connection = r.Conn.ID()
	}
	return by
}

// observed is a request that is reported to findings when it ends.
type observed struct {
	s        *Services
	r        *wire.Request
	by       findings.Client
	unstable []findings.Unstable
}

func (o *observed) observe(reply wire.Reply) wire.Reply {
	switch then, resume := reply.Then, reply.Resume; {
	case resume != nil:
		reply.Resume = func(ctx context.Context) wire.Reply { return o.observe(resume(ctx)) }
	case then != nil:
		reply.Then = func(ctx context.Context) kmsg.Response {
			resp := then(ctx)
			o.end(resp)
			return resp
		}
	default:
		o.end(reply.Response)
	}
	return reply
}

func (o *observed) end(resp kmsg.Response) {
	f := o.s.Findings
	switch resp := resp.(type) {
	case *kmsg.InitProducerIDResponse:
		o.initialized(resp)
	case *kmsg.AddPartitionsToTxnResponse:
		if o.r.Version < 4 && len(resp.Topics) > 0 && len(resp.Topics[0].Partitions) > 0 { // later ones are of brokers
			id := o.r.Body.(*kmsg.AddPartitionsToTxnRequest).TransactionalID
			f.ProducerActed(o.by, id, resp.Topics[0].Partitions[0].ErrorCode == 0)
		}
	case *kmsg.AddOffsetsToTxnResponse:
		f.ProducerActed(o.by, o.r.Body.(*kmsg.AddOffsetsToTxnRequest).TransactionalID, resp.ErrorCode == 0)
	case *kmsg.EndTxnResponse:
		f.ProducerActed(o.by, o.r.Body.(*kmsg.EndTxnRequest).TransactionalID, resp.ErrorCode == 0)
	case *kmsg.TxnOffsetCommitResponse:
		o.committedInTransaction(resp)
	case *kmsg.OffsetCommitResponse:
		o.committed(resp)
	}
}

func (o *observed) initialized(resp *kmsg.InitProducerIDResponse) {
	req, f := o.r.Body.(*kmsg.InitProducerIDRequest), o.s.Findings
	switch {
	case req.TransactionalID == nil && resp.ErrorCode == 0:
		f.IdempotentInitialized(o.by, req.ProducerID, resp.ProducerID)
	case req.TransactionalID == nil:
	case req.ProducerID < 0 && resp.ErrorCode == 0:
		f.ProducerInitialized(o.by, *req.TransactionalID)
	default:
		f.ProducerActed(o.by, *req.TransactionalID, resp.ErrorCode == 0)
	}
}

func (o *observed) committedInTransaction(resp *kmsg.TxnOffsetCommitResponse) {
	req := o.r.Body.(*kmsg.TxnOffsetCommitRequest)
	stored := false
	for i := range resp.Topics {
		t := &resp.Topics[i]
		for j := range t.Partitions {
			p := &t.Partitions[j]
			if p.ErrorCode == 0 {
				stored = true
				o.storedOffset(t.Topic, t.TopicID, p.Partition)
			}
		}
	}
	o.s.Findings.ProducerActed(o.by, req.TransactionalID, stored)
	if stored {
		o.s.Findings.OffsetsCommitted(o.by, findings.Commit{Group: req.Group, MemberID: req.MemberID,
			TransactionalID: req.TransactionalID})
	}
}

func (o *observed) committed(resp *kmsg.OffsetCommitResponse) {
	req := o.r.Body.(*kmsg.OffsetCommitRequest)
	stored := false
	for i := range resp.Topics {
		t := &resp.Topics[i]
		for j := range t.Partitions {
			p := &t.Partitions[j]
			if p.ErrorCode == 0 {
				stored = true
				o.storedOffset(t.Topic, t.TopicID, p.Partition)
			}
		}
	}
	if stored {
		o.s.Findings.OffsetsCommitted(o.by, findings.Commit{Group: req.Group, MemberID: req.MemberID})
	}
}

// storedOffset reports a stored offset that is one of the unstable ones.
func (o *observed) storedOffset(topic string, id [16]byte, partition int32) {
	for i := range o.unstable {
		u := &o.unstable[i]
		found, code := o.s.topicOf(topic, id)
		if u.Partition == partition && code == wire.NoError && found.Name == u.Topic {
			o.s.Findings.CommittedUnstable(o.by, *u)
		}
	}
}

// unstableCommits returns the offsets of a commit that lie beyond the last stable offset, as it is when the request
// comes. An offset beyond the end of the log says nothing: no record is read there. Nor does an offset behind records
// of the same transaction, which has the same outcome.
func (s *Services) unstableCommits(r *wire.Request) (found []findings.Unstable) {
	look := func(group string, producerID int64, topic string, id [16]byte, partition int32, offset int64) {
		t, code := s.topicOf(topic, id)
		if code != wire.NoError {
			return
		}
		p, ok := t.Partition(partition)
		if !ok {
			return
		}
		at, err := p.Offsets()
		if err != nil || offset <= at.LastStableOffset || offset > at.HighWatermark || !passesOther(p, offset, producerID) {
			return
		}
		found = append(found, findings.Unstable{Group: group, Topic: t.Name, Partition: partition, Offset: offset,
			LastStableOffset: at.LastStableOffset})
	}
	switch req := r.Body.(type) {
	case *kmsg.OffsetCommitRequest:
		for i := range req.Topics {
			t := &req.Topics[i]
			for j := range t.Partitions {
				look(req.Group, txncoordinator.NoProducerID, t.Topic, t.TopicID, t.Partitions[j].Partition, t.Partitions[j].Offset)
			}
		}
	case *kmsg.TxnOffsetCommitRequest:
		for i := range req.Topics {
			t := &req.Topics[i]
			for j := range t.Partitions {
				look(req.Group, req.ProducerID, t.Topic, t.TopicID, t.Partitions[j].Partition, t.Partitions[j].Offset)
			}
		}
	}
	return found
}

// passesOther says whether an open transaction of another producer begins before an offset.
func passesOther(p *partition.Partition, offset, producerID int64) bool {
	return slices.ContainsFunc(p.OldestTransactions(2), func(t partition.OpenTransaction) bool {
		return t.FirstOffset < offset && t.ProducerID != producerID
	})
}

// topicOf returns a topic that is given by its ID, or by its name where the ID is zero.
func (s *Services) topicOf(name string, id [16]byte) (*topics.Topic, wire.Code) {
	return s.offsetTopic(name, id, id != [16]byte{})
}
