package handlers

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"once/internal/apiname"
	"once/txncoordinator"
	"once/wire"
)

// Subjects is what a request is about: everything that it names. A request in a fetch session names only changes, and
// one for all offsets of a group may name the group alone.
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

// TransactionSubject is a transactional ID and its producer.
type TransactionSubject struct {
	TransactionalID string
	Producer        txncoordinator.Identity // noProducer where the request does not say
}

var noProducer = identityOf(txncoordinator.NoProducerID, txncoordinator.NoProducerEpoch)

// subjectsFunc returns the subjects of a request. Only steps of the chain that need them call it.
type subjectsFunc func(c Catalogue, r *wire.Request) Subjects

// subject is a topic that a request names by its name or, from some version on, by its ID.
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

// sourceOf says which request asks the transaction coordinator for a change.
func sourceOf(r *wire.Request) txncoordinator.Source {
	return txncoordinator.Source{API: apiname.Of(r.Key), Version: r.Version, ClientID: r.ClientID}
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

// aboutResources returns the subjects of requests about the configurations of resources.
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
