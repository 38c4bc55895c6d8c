package handlers

import (
	"cmp"
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/groupcoordinator"
	"once/topics"
	"once/txncoordinator"
	"once/wire"
)

// TxnOffsetCommit v0 to v6. v2 leader epoch, v3 member and generation (KIP-447) and flexible,
// v4 TRANSACTION_ABORTABLE, v5 adds the group's partition to the transaction (KIP-890), v6 topic IDs (KIP-1319).
//
// The transaction is checked first, the group second, so that the partition is in the transaction even if the group
// refuses (spec: transactions 9.1).
func (s *Services) txnOffsetCommit(ctx context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.TxnOffsetCommitRequest), response[*kmsg.TxnOffsetCommitResponse](r)
	commit := groupcoordinator.TxnCommitRequest{
		GroupID: req.Group, MemberID: req.MemberID, InstanceID: req.InstanceID, Generation: req.Generation,
		KnowsMemberEpochs: r.Version >= 6, ProducerID: req.ProducerID, ProducerEpoch: req.ProducerEpoch,
	}
	var asked askedOffsets
	resp.Topics = make([]kmsg.TxnOffsetCommitResponseTopic, 0, len(req.Topics))
	for i := range req.Topics {
		t := &req.Topics[i]
		topic, missing := s.offsetTopic(t.Topic, t.TopicID, r.Version >= 6)
		if missing == wire.NoError && len(t.Partitions) == 0 {
			continue // as in Kafka
		}
		resp.Topics = append(resp.Topics, kmsg.NewTxnOffsetCommitResponseTopic())
		out := &resp.Topics[len(resp.Topics)-1]
		out.Topic, out.TopicID = t.Topic, t.TopicID
		out.Partitions = make([]kmsg.TxnOffsetCommitResponseTopicPartition, len(t.Partitions))
		for j := range t.Partitions {
			p, answer := &t.Partitions[j], &out.Partitions[j]
			*answer = kmsg.NewTxnOffsetCommitResponseTopicPartition()
			answer.Partition = p.Partition
			asked.add(topic, missing, groupcoordinator.OffsetCommit{
				Partition: p.Partition, Offset: p.Offset, LeaderEpoch: p.LeaderEpoch, Metadata: orEmpty(p.Metadata),
			}, &answer.ErrorCode)
		}
	}
	finish := func() kmsg.Response {
		if asked.refused {
			resp.Topics = mergeBy(resp.Topics,
				func(t *kmsg.TxnOffsetCommitResponseTopic) topicKey { return topicKey{t.Topic, t.TopicID} },
				func(into, more *kmsg.TxnOffsetCommitResponseTopic) {
					into.Partitions = append(into.Partitions, more.Partitions...)
				})
		}
		return resp
	}
	if commit.Offsets = asked.offsets; len(commit.Offsets) == 0 {
		return wire.Respond(finish())
	}
	guard, err := s.enlistGroup(req, r)
	if err != nil {
		asked.fill(&groupcoordinator.CommitResult{Err: err}, r)
		return wire.Respond(finish())
	}
	return await(s.Groups.TxnCommitOffsets(&commit, guard), commitFailed,
		func(result groupcoordinator.CommitResult) kmsg.Response {
			asked.fill(&result, r)
			return finish()
		})
}

// enlistGroup makes sure that the group's partition is in the producer's transaction, and returns the verification
// guard.
func (s *Services) enlistGroup(req *kmsg.TxnOffsetCommitRequest, r *wire.Request) (groupcoordinator.Guard, error) {
	if req.Group == "" {
		return 0, groupcoordinator.ErrInvalidGroupID
	}
	index := s.Groups.PartitionFor(req.Group)
	p, ok := s.Catalogue.coordinatorPartition(topics.ConsumerOffsets, index)
	if !ok {
		return 0, groupcoordinator.ErrClosed
	}
	e := txncoordinator.Enlistment{
		TransactionalID: req.TransactionalID, ProducerID: req.ProducerID, ProducerEpoch: req.ProducerEpoch,
		ClientTransactionVersion: transactionV0, Source: sourceOf(r),
		Partitions: []txncoordinator.EnlistedPartition{{
			TopicPartition: txncoordinator.TopicPartition{Topic: topics.ConsumerOffsets, Partition: index},
			Verifier:       p, BaseSequence: -1,
		}},
	}
	if r.Version >= 5 {
		e.ClientTransactionVersion = transactionV2
	}
	s.Txns.Enlist(&e) // CONCURRENT_TRANSACTIONS is for the client, as in Kafka
	enlisted := &e.Partitions[0]
	return groupcoordinator.Guard(enlisted.Guard), cmp.Or(enlisted.PartitionErr, enlisted.CoordinatorErr)
}

func failTxnOffsetCommit(r *wire.Request, code wire.Code, _ string) kmsg.Response {
	req, resp := r.Body.(*kmsg.TxnOffsetCommitRequest), response[*kmsg.TxnOffsetCommitResponse](r)
	for i := range req.Topics {
		t := kmsg.NewTxnOffsetCommitResponseTopic()
		t.Topic, t.TopicID = req.Topics[i].Topic, req.Topics[i].TopicID
		for j := range req.Topics[i].Partitions {
			p := kmsg.NewTxnOffsetCommitResponseTopicPartition()
			p.Partition, p.ErrorCode = req.Topics[i].Partitions[j].Partition, int16(code)
			t.Partitions = append(t.Partitions, p)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

func aboutTxnOffsetCommit(c Catalogue, r *wire.Request) Subjects {
	req := r.Body.(*kmsg.TxnOffsetCommitRequest)
	return Subjects{
		Groups:       []string{req.Group},
		Transactions: transactionSubjects(&req.TransactionalID, identityOf(req.ProducerID, req.ProducerEpoch)),
		Topics: eachOf(req.Topics, func(t *kmsg.TxnOffsetCommitRequestTopic) TopicSubject {
			indexes := eachOf(t.Partitions,
				func(p *kmsg.TxnOffsetCommitRequestTopicPartition) int32 { return p.Partition })
			return c.subject(t.Topic, t.TopicID, r.Version >= 6, indexes)
		}),
	}
}
