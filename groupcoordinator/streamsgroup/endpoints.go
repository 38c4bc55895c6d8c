package streamsgroup

// endpoints lists the partitions behind each member's endpoint. It is not nil.
func (g *Group) endpoints() []EndpointPartitions {
	list := []EndpointPartitions{}
	for _, m := range sortedMembers(g.members) {
		if m.Endpoint == nil {
			continue
		}
		standby := keys(m.Assigned.Standby)
		for id := range m.Assigned.Warmup {
			standby[id] = struct{}{}
		}
		list = append(list, EndpointPartitions{Endpoint: *m.Endpoint, Active: g.partitionsOf(keys(m.Assigned.Active)),
			Standby: g.partitionsOf(standby)})
	}
	return list
}

// partitionsOf returns the partitions that tasks read.
func (g *Group) partitionsOf(tasks TaskSet) map[string][]int32 {
	partitions := map[string][]int32{}
	if g.topology == nil {
		return partitions
	}
	for _, id := range sorted(tasks) {
		sub := g.topology.subtopology(id.Subtopology)
		if sub == nil {
			continue
		}
		for _, topic := range sub.sources() {
			if t, ok := g.env.Topics.Lookup(topic); ok && id.Partition < t.Partitions {
				partitions[topic] = append(partitions[topic], id.Partition)
			}
		}
	}
	return partitions
}
