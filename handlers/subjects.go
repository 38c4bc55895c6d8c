package handlers

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"once/txncoordinator"
	"once/wire"
)

// Subjects is what a request is about. It has what the request itself names: within a fetch session that is what
// changes, and of a group whose offsets are fetched the group alone may stand there.
type Subjects struct {
	Topics       []TopicSubject
	AllTopics    bool // the request is about each topic that there is
	Groups       []string
	Transactions []TransactionSubject
}

// TopicSubject is a topic, or partitions of it.
type TopicSubject struct {
	Name       string   // "" when no topic has the ID
	ID         [16]byte // zero where the request gives the name
	Partitions []int32  // nil: the topic as a whole
}

// TransactionSubject is a transactional ID and who speaks for it.
type TransactionSubject struct {
	TransactionalID string
	Producer        txncoordinator.Identity // noProducer where the request does not say
}

var noProducer = identityOf(txncoordinator.NoProducerID, txncoordinator.NoProducerEpoch)

// subjectsFunc finds out what a request is about. A step of the chain calls it that has to know, and no other.
type subjectsFunc func(c Catalogue, r *wire.Request) Subjects

// subject is a topic that stands in a request with its name, or from a version on with its ID alone.
func (c Catalogue) subject(name string, id [16]byte, byID bool, partitions []int32) TopicSubject {
	if !byID {
		return TopicSubject{Name: name, Partitions: partitions}
	}
	t := TopicSubject{ID: id, Partitions: partitions}
	if found, code := c.TopicByID(id); code == wire.NoError {
		t.Name = found.Name
	}
	return t
}

// eachOf converts each entry of a list.
func eachOf[T, U any](list []T, convert func(*T) U) []U {
	all := make([]U, len(list))
	for i := range list {
		all[i] = convert(&list[i])
	}
	return all
}

// aboutGroup makes the subjectsFunc of an API that is about one group.
func aboutGroup[R kmsg.Request](group func(R) string) subjectsFunc {
	return func(_ Catalogue, r *wire.Request) Subjects {
		return Subjects{Groups: []string{group(r.Body.(R))}}
	}
}

func transactionSubjects(transactionalID *string, by txncoordinator.Identity) []TransactionSubject {
	if transactionalID == nil {
		return nil
	}
	return []TransactionSubject{{*transactionalID, by}}
}

func identityOf(producerID int64, producerEpoch int16) txncoordinator.Identity {
	return txncoordinator.Identity{ProducerID: producerID, ProducerEpoch: producerEpoch}
}

// aboutResources is what requests about the configurations of resources are about.
func aboutResources[R any](list []R, of func(*R) (kmsg.ConfigResourceType, string)) (s Subjects) {
	for i := range list {
		switch kind, name := of(&list[i]); kind {
		case kmsg.ConfigResourceTypeTopic:
			s.Topics = append(s.Topics, TopicSubject{Name: name})
		case kmsg.ConfigResourceTypeGroupConfig:
			s.Groups = append(s.Groups, name)
		}
	}
	return s
}
