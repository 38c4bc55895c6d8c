package handlers

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/topics"
	"once/txncoordinator"
	"once/wire"
)

// AddOffsetsToTxn v0 to v4, from clients before transactions V2. v2 PRODUCER_FENCED, v3 flexible, v4
// TRANSACTION_ABORTABLE. It adds the partition that holds the group's offsets (spec: transactions 7).
func (s *Services) addOffsetsToTxn(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.AddOffsetsToTxnRequest), response[*kmsg.AddOffsetsToTxnResponse](r)
	err := s.Txns.AddPartitions(txncoordinator.AddRequest{
		TransactionalID: req.TransactionalID,
		ProducerID:      req.ProducerID,
		ProducerEpoch:   req.ProducerEpoch,
		Partitions: []txncoordinator.TopicPartition{{Topic: topics.ConsumerOffsets,
			Partition: s.Groups.PartitionFor(req.Group)}},
		ClientTransactionVersion: transactionV0,
		Source:                   sourceOf(r),
	})
	resp.ErrorCode = int16(codeFor(err, r.Key, r.Version))
	return wire.Respond(resp)
}

var failAddOffsetsToTxn = failAtTop(func(r *kmsg.AddOffsetsToTxnResponse) (*int16, **string) {
	return &r.ErrorCode, nil
})

func aboutAddOffsetsToTxn(_ Catalogue, r *wire.Request) Subjects {
	req := r.Body.(*kmsg.AddOffsetsToTxnRequest)
	return Subjects{
		Groups:       []string{req.Group},
		Transactions: transactionSubjects(&req.TransactionalID, identityOf(req.ProducerID, req.ProducerEpoch)),
	}
}
