package handlers

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/durability"
	"once/txncoordinator"
	"once/wire"
)

// EndTxn v0 to v5. v2 PRODUCER_FENCED, v3 flexible, v4 TRANSACTION_ABORTABLE, v5 the rules of
// transactions V2: the epoch rises with every end and the answer carries the next identity (KIP-890).
//
// The answer is sent when the markers are in the logs and readers can see them. The context is ignored: a decided
// transaction ends even if the client has gone.
func (s *Services) endTxn(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.EndTxnRequest), response[*kmsg.EndTxnResponse](r)
	version := transactionV0
	if r.Version >= 5 {
		version = transactionV2
	}
	id, err := s.Txns.EndTxn(txncoordinator.EndRequest{
		TransactionalID:          req.TransactionalID,
		ProducerID:               req.ProducerID,
		ProducerEpoch:            req.ProducerEpoch,
		Commit:                   req.Commit,
		ClientTransactionVersion: version,
		Source:                   sourceOf(r),
	})
	resp.ErrorCode = int16(codeFor(err, r.Key, r.Version))
	resp.ProducerID, resp.ProducerEpoch = id.ProducerID, id.ProducerEpoch
	if err != nil {
		return wire.Respond(resp)
	}
	return s.respondAs(durability.TransactionEnded, resp)
}

var failEndTxn = failAtTop(func(r *kmsg.EndTxnResponse) (*int16, **string) { return &r.ErrorCode, nil })

func aboutEndTxn(_ Catalogue, r *wire.Request) Subjects {
	req := r.Body.(*kmsg.EndTxnRequest)
	by := identityOf(req.ProducerID, req.ProducerEpoch)
	return Subjects{Transactions: transactionSubjects(&req.TransactionalID, by)}
}
