package handlers

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/txncoordinator"
	"once/wire"
)

// InitProducerId v0 to v5. v2 flexible, v3 producer ID and epoch of an earlier answer (KIP-360), v4
// PRODUCER_FENCED where older versions get INVALID_PRODUCER_EPOCH, v5 TRANSACTION_ABORTABLE. v6, for
// two-phase commit, is not stable in Kafka and not served.
func (s *Services) initProducerID(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.InitProducerIDRequest), response[*kmsg.InitProducerIDResponse](r)
	id, code := s.initIdentity(req, r)
	resp.ErrorCode, resp.ProducerID, resp.ProducerEpoch = int16(code), id.ProducerID, id.ProducerEpoch
	return wire.Respond(resp)
}

func (s *Services) initIdentity(req *kmsg.InitProducerIDRequest, r *wire.Request) (txncoordinator.Identity, wire.Code) {
	none := txncoordinator.Identity{ProducerID: -1, ProducerEpoch: -1}
	if (req.ProducerID == -1) != (req.ProducerEpoch == -1) {
		return none, wire.InvalidRequest
	}
	if req.TransactionalID == nil {
		// A producer that is only idempotent gets a new ID whatever it had (spec: idempotence 2). If there is none, the
		// code is one that every client retries.
		id, err := s.ProducerIDs.Next()
		if err != nil {
			s.Logger.Warn("no producer ID can be handed out", "error", err)
			return none, wire.CoordinatorLoadInProgress
		}
		return txncoordinator.Identity{ProducerID: id}, wire.NoError
	}
	id, err := s.Txns.InitProducerID(txncoordinator.InitRequest{
		TransactionalID: *req.TransactionalID,
		ProducerID:      req.ProducerID,
		ProducerEpoch:   req.ProducerEpoch,
		TimeoutMs:       req.TransactionTimeoutMillis,
		Source:          sourceOf(r),
	})
	return id, codeFor(err, r.Key, r.Version)
}

func failInitProducerID(r *wire.Request, code wire.Code, _ string) kmsg.Response {
	resp := response[*kmsg.InitProducerIDResponse](r)
	resp.ErrorCode, resp.ProducerID, resp.ProducerEpoch = int16(code), -1, -1
	return resp
}

func aboutInitProducerID(_ Catalogue, r *wire.Request) Subjects {
	req := r.Body.(*kmsg.InitProducerIDRequest)
	by := identityOf(req.ProducerID, req.ProducerEpoch)
	return Subjects{Transactions: transactionSubjects(req.TransactionalID, by)}
}
