package handlers

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/wire"
)

// DescribeTransactions v0. Of a prepared transaction only the partitions without marker are shown (spec: transactions
// 15).
func (s *Services) describeTransactions(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.DescribeTransactionsRequest), response[*kmsg.DescribeTransactionsResponse](r)
	named := repeats[string]{}
	for _, id := range req.TransactionalIDs {
		if named.tooMany(id) {
			refused := kmsg.NewDescribeTransactionsResponseTransactionState()
			refused.TransactionalID, refused.ErrorCode = id, int16(wire.InvalidRequest)
			resp.TransactionStates = append(resp.TransactionStates, refused)
			continue
		}
		resp.TransactionStates = append(resp.TransactionStates, s.describeTransaction(id, r.Version))
	}
	return wire.Respond(resp)
}

func (s *Services) describeTransaction(id string, version int16) kmsg.DescribeTransactionsResponseTransactionState {
	t := kmsg.NewDescribeTransactionsResponseTransactionState()
	t.TransactionalID = id
	t.Topics = []kmsg.DescribeTransactionsResponseTransactionStateTopic{}
	d, err := s.Txns.Describe(id)
	if err != nil {
		t.ErrorCode = int16(codeFor(err, int16(kmsg.DescribeTransactions), version))
		return t
	}
	t.State, t.TimeoutMillis, t.StartTimestamp = d.State.String(), d.TimeoutMs, d.StartTimestampMs
	t.ProducerID, t.ProducerEpoch = d.ProducerID, d.ProducerEpoch
	for _, p := range d.Partitions { // sorted, so a topic's partitions stand together
		last := len(t.Topics) - 1
		if last < 0 || t.Topics[last].Topic != p.Topic {
			topic := kmsg.NewDescribeTransactionsResponseTransactionStateTopic()
			topic.Topic = p.Topic
			t.Topics = append(t.Topics, topic)
			last++
		}
		t.Topics[last].Partitions = append(t.Topics[last].Partitions, p.Partition)
	}
	return t
}

func failDescribeTransactions(r *wire.Request, code wire.Code, _ string) kmsg.Response {
	req, resp := r.Body.(*kmsg.DescribeTransactionsRequest), response[*kmsg.DescribeTransactionsResponse](r)
	for _, id := range req.TransactionalIDs {
		t := kmsg.NewDescribeTransactionsResponseTransactionState()
		t.TransactionalID, t.ErrorCode = id, int16(code)
		resp.TransactionStates = append(resp.TransactionStates, t)
	}
	return resp
}

func aboutDescribeTransactions(_ Catalogue, r *wire.Request) Subjects {
	req := r.Body.(*kmsg.DescribeTransactionsRequest)
	return Subjects{Transactions: eachOf(req.TransactionalIDs, func(id *string) TransactionSubject {
		return TransactionSubject{*id, noProducer}
	})}
}
