// Package grouptest has a topic image for tests of groups.
package grouptest

import (
	"maps"
	"slices"

	"once/groupcoordinator/group"
)

// Topics is a topic image that changes. It begins empty. The ID of a topic follows from its name and from how many were
// deleted before.
type Topics struct {
	version uint64
	deleted byte
	topics  map[string]group.Topic
}

// Version implements group.Topics.
func (t *Topics) Version() uint64 { return t.version }

// Lookup implements group.Topics.
func (t *Topics) Lookup(name string) (group.Topic, bool) {
	topic, ok := t.topics[name]
	return topic, ok
}

// LookupID implements group.Topics.
func (t *Topics) LookupID(id [16]byte) (group.Topic, bool) {
	for _, topic := range t.topics {
		if topic.ID == id {
			return topic, true
		}
	}
	return group.Topic{}, false
}

// All implements group.Topics.
func (t *Topics) All() []group.Topic { return slices.Collect(maps.Values(t.topics)) }

// Set makes a topic, or gives it another number of partitions.
func (t *Topics) Set(name string, partitions int32) {
	topic, ok := t.topics[name]
	if !ok {
		topic = group.Topic{Name: name, ID: [16]byte{0: 1, 15: t.deleted}}
		copy(topic.ID[1:15], name)
	}
	if t.topics == nil {
		t.topics = map[string]group.Topic{}
	}
	topic.Partitions = partitions
	t.topics[name] = topic
	t.version++
}

// Delete deletes a topic.
func (t *Topics) Delete(name string) {
	delete(t.topics, name)
	t.deleted++
	t.version++
}
