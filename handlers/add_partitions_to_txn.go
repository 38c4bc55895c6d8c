package handlers

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/topics"
	"once/txncoordinator"
	"once/wire"
)

// AddPartitionsToTxn v0 to v5. Up to v3 clients send it, for one transaction: v2 knows PRODUCER_FENCED,
// v3 is flexible. From v4 on brokers do, for several, to add or to verify only (KIP-890); v5 knows
// TRANSACTION_ABORTABLE.
func (s *Services) addPartitionsToTxn(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.AddPartitionsToTxnRequest), response[*kmsg.AddPartitionsToTxnResponse](r)
	if r.Version < 4 {
		add := txncoordinator.AddRequest{
			TransactionalID: req.TransactionalID, ProducerID: req.ProducerID, ProducerEpoch: req.ProducerEpoch,
			ClientTransactionVersion: transactionV0, Source: sourceOf(r),
		}
		for i := range req.Topics {
			add.Partitions = appendPartitions(add.Partitions, req.Topics[i].Topic, req.Topics[i].Partitions)
		}
		codes, notAttempted := s.addToTransaction(&add, false, r.Version)
		for i := range req.Topics {
			t := kmsg.NewAddPartitionsToTxnResponseTopic()
			t.Topic = req.Topics[i].Topic
			for _, p := range req.Topics[i].Partitions {
				t.Partitions = append(t.Partitions, kmsg.AddPartitionsToTxnResponseTopicPartition{Partition: p,
					ErrorCode: int16(codes[0])})
				codes = codes[1:]
			}
			resp.Topics = append(resp.Topics, t)
		}
		if notAttempted {
			resp.Topics = mergeRefused(resp.Topics)
		}
		return wire.Respond(resp)
	}
	for i := range req.Transactions {
		resp.Transactions = append(resp.Transactions, s.addTransaction(&req.Transactions[i], r))
	}
	return wire.Respond(resp)
}

// mergeRefused keeps one answer for each partition, as Kafka does when a partition cannot be in a transaction. What the
// coordinator refuses is answered as it was asked.
func mergeRefused(answers []kmsg.AddPartitionsToTxnResponseTopic) []kmsg.AddPartitionsToTxnResponseTopic {
	answers = mergeBy(answers,
		func(t *kmsg.AddPartitionsToTxnResponseTopic) string { return t.Topic },
		func(into, more *kmsg.AddPartitionsToTxnResponseTopic) {
			into.Partitions = append(into.Partitions, more.Partitions...)
		})
	for i := range answers {
		answers[i].Partitions = lastOfEach(answers[i].Partitions,
			func(p *kmsg.AddPartitionsToTxnResponseTopicPartition) int32 { return p.Partition })
	}
	return answers
}

func (s *Services) addTransaction(asked *kmsg.AddPartitionsToTxnRequestTransaction,
	r *wire.Request) kmsg.AddPartitionsToTxnResponseTransaction {
	add := txncoordinator.AddRequest{
		TransactionalID: asked.TransactionalID, ProducerID: asked.ProducerID, ProducerEpoch: asked.ProducerEpoch,
		ClientTransactionVersion: transactionV2, Source: sourceOf(r),
	}
	for i := range asked.Topics {
		add.Partitions = appendPartitions(add.Partitions, asked.Topics[i].Topic, asked.Topics[i].Partitions)
	}
	codes, _ := s.addToTransaction(&add, asked.VerifyOnly, r.Version)
	answer := kmsg.NewAddPartitionsToTxnResponseTransaction()
	answer.TransactionalID = asked.TransactionalID
	for i := range asked.Topics {
		t := kmsg.NewAddPartitionsToTxnResponseTransactionTopic()
		t.Topic = asked.Topics[i].Topic
		for _, p := range asked.Topics[i].Partitions {
			t.Partitions = append(t.Partitions, kmsg.AddPartitionsToTxnResponseTransactionTopicPartition{Partition: p,
				ErrorCode: int16(codes[0])})
			codes = codes[1:]
		}
		answer.Topics = append(answer.Topics, t)
	}
	return answer
}

func appendPartitions(to []txncoordinator.TopicPartition, topic string,
	partitions []int32) []txncoordinator.TopicPartition {
	for _, p := range partitions {
		to = append(to, txncoordinator.TopicPartition{Topic: topic, Partition: p})
	}
	return to
}

// addToTransaction adds or verifies and returns a code for each partition, in order. All or nothing:
// when one partition cannot be in a transaction, the others are not attempted (spec: transactions 6).
func (s *Services) addToTransaction(add *txncoordinator.AddRequest, verifyOnly bool,
	version int16) (codes []wire.Code, notAttempted bool) {
	codes = make([]wire.Code, len(add.Partitions))
	if s.checkAddable(add.Partitions, version, codes) {
		return codes, true
	}
	var each []error
	var err error
	if verifyOnly {
		each, err = s.Txns.VerifyPartitions(*add)
	} else {
		err = s.Txns.AddPartitions(*add)
	}
	all := codeFor(err, int16(kmsg.AddPartitionsToTxn), version)
	for i := range codes {
		codes[i] = all
		if each != nil {
			codes[i] = codeFor(each[i], int16(kmsg.AddPartitionsToTxn), version)
		}
	}
	return codes, false
}

// checkAddable says whether a partition may not be added, and then fills in the codes. Clients, whose versions are
// below 4, cannot add partitions of internal topics.
func (s *Services) checkAddable(partitions []txncoordinator.TopicPartition, version int16,
	codes []wire.Code) (refused bool) {
	for i, p := range partitions {
		codes[i] = wire.OperationNotAttempted
		if version < 4 && topics.IsInternal(p.Topic) {
			codes[i], refused = wire.TopicAuthorizationFailed, true
		} else if _, code := s.Catalogue.Partition(p.Topic, p.Partition); code != wire.NoError {
			codes[i], refused = code, true
		}
	}
	return refused
}

// failAddPartitionsToTxn has the code with each partition, and from v4 on at the top alone.
func failAddPartitionsToTxn(r *wire.Request, code wire.Code, _ string) kmsg.Response {
	req, resp := r.Body.(*kmsg.AddPartitionsToTxnRequest), response[*kmsg.AddPartitionsToTxnResponse](r)
	if r.Version >= 4 {
		resp.ErrorCode = int16(code)
		return resp
	}
	for i := range req.Topics {
		t := kmsg.NewAddPartitionsToTxnResponseTopic()
		t.Topic = req.Topics[i].Topic
		for _, index := range req.Topics[i].Partitions {
			p := kmsg.NewAddPartitionsToTxnResponseTopicPartition()
			p.Partition, p.ErrorCode = index, int16(code)
			t.Partitions = append(t.Partitions, p)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

func aboutAddPartitionsToTxn(_ Catalogue, r *wire.Request) (s Subjects) {
	req := r.Body.(*kmsg.AddPartitionsToTxnRequest)
	if r.Version < 4 {
		return Subjects{
			Transactions: transactionSubjects(&req.TransactionalID, identityOf(req.ProducerID, req.ProducerEpoch)),
			Topics: eachOf(req.Topics, func(t *kmsg.AddPartitionsToTxnRequestTopic) TopicSubject {
				return TopicSubject{Name: t.Topic, Partitions: t.Partitions}
			}),
		}
	}
	for i := range req.Transactions {
		x := &req.Transactions[i]
		s.Transactions = append(s.Transactions,
			TransactionSubject{x.TransactionalID, identityOf(x.ProducerID, x.ProducerEpoch)})
		for j := range x.Topics {
			s.Topics = append(s.Topics, TopicSubject{Name: x.Topics[j].Topic, Partitions: x.Topics[j].Partitions})
		}
	}
	return s
}
