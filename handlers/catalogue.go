package handlers

import (
	"strings"

	"once/partition"
	"once/settings"
	"once/topics"
	"once/wire"
)

// Catalogue is where handlers look up the topics of requests, by name, by ID or all of them. It is the one place that
// decides the error for a topic that a client cannot get.
type Catalogue struct {
	topics *topics.Topics
}

// NewCatalogue returns the catalogue of all topics.
func NewCatalogue(ts *topics.Topics) Catalogue { return Catalogue{ts} }

// Topic returns the topic of a name, or the code for the answer.
func (c Catalogue) Topic(name string) (*topics.Topic, wire.Code) {
	if c.topics == nil { // of none
		return nil, wire.UnknownTopicOrPartition
	}
	if t, ok := c.topics.Lookup(name); ok {
		return t, wire.NoError
	}
	return nil, wire.UnknownTopicOrPartition
}

// TopicByID returns the topic of an ID, or the code for the answer.
func (c Catalogue) TopicByID(id [16]byte) (*topics.Topic, wire.Code) {
	if c.topics == nil {
		return nil, wire.UnknownTopicID
	}
	if t, ok := c.topics.LookupID(id); ok {
		return t, wire.NoError
	}
	return nil, wire.UnknownTopicID
}

// lastingName returns the name of a topic that a request names, or its ID, as a string that may be kept: that of the
// topic itself where there is one. It is "" for an ID that no topic has.
func (c Catalogue) lastingName(name string, id [16]byte, byID bool) string {
	switch {
	case byID:
		if t, code := c.TopicByID(id); code == wire.NoError {
			return t.Name
		}
		return ""
	case c.topics != nil:
		if t, ok := c.topics.Lookup(name); ok {
			return t.Name
		}
	}
	return strings.Clone(name)
}

// Partition returns a partition by the name of its topic and its index, or the code for the answer.
func (c Catalogue) Partition(topic string, index int32) (*partition.Partition, wire.Code) {
	t, code := c.Topic(topic)
	if code != wire.NoError {
		return nil, code
	}
	return partitionOf(t, index)
}

// partitionOf returns a partition of a topic that was found, or the code for the answer.
func partitionOf(t *topics.Topic, index int32) (*partition.Partition, wire.Code) {
	if p, ok := t.Partition(index); ok {
		return p, wire.NoError
	}
	return nil, wire.UnknownTopicOrPartition
}

// All returns the topics, ordered by name.
func (c Catalogue) All() []*topics.Topic { return c.topics.All() }

// coordinatorPartition returns a partition of an internal topic, for the broker itself: the request names a group or a
// transactional ID.
func (c Catalogue) coordinatorPartition(topic string, index int32) (*partition.Partition, bool) {
	return c.topics.Partition(topic, index)
}

// TopicChanges changes topics. Lookups use the Catalogue.
type TopicChanges interface {
	Validate(topics.Spec) error
	Create(topics.Spec) (*topics.Topic, error)
	AddPartitions(name string, count int32, validateOnly bool) error
	Alter(name string, change func(overrides settings.Values) (settings.Values, error), validateOnly bool) error
	Delete(name string) error
}
