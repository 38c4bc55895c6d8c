package groupcoordinator

import "strings"

// offsetStore holds the offsets of a shard's groups: committed ones, and per producer the pending ones of its open
// transaction (spec: groups 12, transactions 9.2). It is pure; every change comes from a record or a marker, in the
// order of the log.
type offsetStore struct {
	committed map[string]topicOffsets           // by group
	pending   map[int64]map[string]topicOffsets // by producer ID, then group
	open      map[string]map[int64]bool         // group → producer IDs that have offsets of it in pending
}

type topicOffsets map[string]map[int32]committed

// put stores an offset. The topic is copied when it becomes a key; the metadata must be the caller's to give.
func (t topicOffsets) put(topic string, partition int32, c committed) {
	partitions := t[topic]
	if partitions == nil {
		partitions = make(map[int32]committed, 1)
		t[strings.Clone(topic)] = partitions
	}
	partitions[partition] = c
}

func (t topicOffsets) remove(topic string, partition int32) {
	partitions := t[topic]
	delete(partitions, partition)
	if len(partitions) == 0 {
		delete(t, topic)
	}
}

func (o *offsetStore) get(group, topic string, partition int32) (committed, bool) {
	c, ok := o.committed[group][topic][partition]
	return c, ok
}

func (o *offsetStore) commit(group, topic string, partition int32, c committed) {
	topics := o.committed[group]
	if topics == nil {
		if o.committed == nil {
			o.committed = make(map[string]topicOffsets)
		}
		topics = make(topicOffsets, 1)
		o.committed[strings.Clone(group)] = topics
	}
	topics.put(topic, partition, c)
}

func (o *offsetStore) stage(producerID int64, group, topic string, partition int32, c committed) {
	groups := o.pending[producerID]
	if groups == nil {
		if o.pending == nil {
			o.pending = make(map[int64]map[string]topicOffsets)
			o.open = make(map[string]map[int64]bool)
		}
		groups = make(map[string]topicOffsets, 1)
		o.pending[producerID] = groups
	}
	topics := groups[group]
	if topics == nil {
		group = strings.Clone(group)
		topics = make(topicOffsets, 1)
		groups[group] = topics
		if o.open[group] == nil {
			o.open[group] = make(map[int64]bool, 1)
		}
		o.open[group][producerID] = true
	}
	topics.put(topic, partition, c)
}

// erase applies a tombstone: it removes the committed and the pending offset, so that no marker can bring it back.
func (o *offsetStore) erase(group, topic string, partition int32) {
	if topics := o.committed[group]; topics != nil {
		topics.remove(topic, partition)
		if len(topics) == 0 {
			delete(o.committed, group)
		}
	}
	for producerID := range o.open[group] {
		topics := o.pending[producerID][group]
		topics.remove(topic, partition)
		if len(topics) == 0 {
			o.forget(producerID, group)
		}
	}
}

// forget drops a producer's pending offsets for a group.
func (o *offsetStore) forget(producerID int64, group string) {
	delete(o.pending[producerID], group)
	if len(o.pending[producerID]) == 0 {
		delete(o.pending, producerID)
	}
	delete(o.open[group], producerID)
	if len(o.open[group]) == 0 {
		delete(o.open, group)
	}
}

// finish ends a producer's transaction. A pending offset becomes the committed one only if its record comes after that
// of the present one in the log: a later plain commit wins. It returns the groups with new offsets.
func (o *offsetStore) finish(producerID int64, commit bool) []string {
	var groups []string
	for group, topics := range o.pending[producerID] {
		if commit {
			groups = append(groups, group)
			for topic, partitions := range topics {
				for partition, c := range partitions {
					if present, ok := o.get(group, topic, partition); !ok || c.recordOffset > present.recordOffset {
						o.commit(group, topic, partition, c)
					}
				}
			}
		}
		o.forget(producerID, group)
	}
	return groups
}

// staged says whether an open transaction has a pending offset of the partition.
func (o *offsetStore) staged(group, topic string, partition int32) bool {
	for producerID := range o.open[group] {
		if _, ok := o.pending[producerID][group][topic][partition]; ok {
			return true
		}
	}
	return false
}

// each calls fn once for every partition of which the group has a committed or pending offset.
func (o *offsetStore) each(group string, fn func(topic string, partition int32)) {
	for topic, partitions := range o.committed[group] {
		for partition := range partitions {
			fn(topic, partition)
		}
	}
	seen := make(topicOffsets)
	for producerID := range o.open[group] {
		for topic, partitions := range o.pending[producerID][group] {
			for partition := range partitions {
				_, done := o.get(group, topic, partition)
				if _, again := seen[topic][partition]; !done && !again {
					seen.put(topic, partition, committed{})
					fn(topic, partition)
				}
			}
		}
	}
}
