package cluster

import (
	"once/groupcoordinator/group"
	"once/topics"
)

// topicImage shows the group coordinator the topics.
type topicImage struct{ *topics.Topics }

func imageOf(t *topics.Topic, ok bool) (group.Topic, bool) {
	if !ok {
		return group.Topic{}, false
	}
	return group.Topic{Name: t.Name, ID: t.ID, Partitions: int32(len(t.Partitions()))}, true
}

// Lookup implements group.Topics.
func (i topicImage) Lookup(name string) (group.Topic, bool) { return imageOf(i.Topics.Lookup(name)) }

// LookupID implements group.Topics.
func (i topicImage) LookupID(id [16]byte) (group.Topic, bool) { return imageOf(i.Topics.LookupID(id)) }

// All implements group.Topics.
func (i topicImage) All() []group.Topic {
	all := i.Topics.All()
	list := make([]group.Topic, len(all))
	for k, t := range all {
		list[k], _ = imageOf(t, true)
	}
	return list
}
