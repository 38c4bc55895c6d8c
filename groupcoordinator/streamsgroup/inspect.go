package streamsgroup

import (
	"fmt"

	"once/groupcoordinator/group"
)

// What follows is for tools that read the records of a stopped broker.

// Contradiction says what is wrong with a record as the next one of the group, "" for nothing. A log keeps the last
// record of each key at least, so this holds for a compacted log as well.
func (g *Group) Contradiction(record group.Record) string {
	switch r := record.(type) {
	case *groupRecord:
		if !r.tombstone && r.epoch < g.epoch {
			return fmt.Sprintf("goes back from epoch %d to %d", g.epoch, r.epoch)
		}
	case *currentRecord:
		for _, id := range sorted(keys(r.assigned.Active)) {
			for _, m := range sortedMembers(g.members) {
				if m.ID != r.member && (has(m.Assigned.Active, id) || has(m.Pending.Active, id)) {
					return fmt.Sprintf("task %s_%d is active in two members, %q and %q", id.Subtopology, id.Partition, m.ID,
						r.member)
				}
			}
		}
	}
	return ""
}

// Text describes the record in words and key=value pairs, as do those of the other records.
func (r *groupRecord) Text() string {
	if r.tombstone {
		return fmt.Sprintf("streams-group-tombstone group=%q", r.group)
	}
	return fmt.Sprintf("streams-group group=%q group_epoch=%d validated_topology_epoch=%d metadata_hash=%x", r.group,
		r.epoch,
		r.validatedEpoch, uint64(r.hash))
}

// Text describes the record.
func (r *memberRecord) Text() string {
	if r.tombstone {
		return fmt.Sprintf("streams-group-member-tombstone group=%q member_id=%q", r.group, r.member)
	}
	m := r.metadata
	instance := ""
	if m.InstanceID != nil {
		instance = *m.InstanceID
	}
	return fmt.Sprintf("streams-group-member group=%q member_id=%q group_instance_id=%q client_id=%q client_host=%q "+
		"process_id=%q topology_epoch=%d rebalance_timeout_ms=%d", r.group, r.member, instance, m.ClientID, m.ClientHost,
		m.ProcessID, m.TopologyEpoch, m.RebalanceTimeoutMs)
}

// Text describes the record.
func (r *targetEpochRecord) Text() string {
	if r.tombstone {
		return fmt.Sprintf("streams-group-target-epoch-tombstone group=%q", r.group)
	}
	return fmt.Sprintf("streams-group-target-epoch group=%q assignment_epoch=%d assignment_timestamp_ms=%d", r.group,
		r.epoch,
		r.timeMs)
}

// Text describes the record.
func (r *targetRecord) Text() string {
	if r.tombstone {
		return fmt.Sprintf("streams-group-target-tombstone group=%q member_id=%q", r.group, r.member)
	}
	return fmt.Sprintf("streams-group-target group=%q member_id=%q active=%v standby=%v", r.group, r.member,
		sorted(r.target.Active), sorted(r.target.Standby))
}

// Text describes the record.
func (r *currentRecord) Text() string {
	if r.tombstone {
		return fmt.Sprintf("streams-group-current-tombstone group=%q member_id=%q", r.group, r.member)
	}
	return fmt.Sprintf("streams-group-current group=%q member_id=%q member_epoch=%d previous_member_epoch=%d state=%d "+
		"active=%v "+
		"standby=%v pending_active=%v", r.group, r.member, r.epoch, r.previousEpoch, r.state, sorted(r.assigned.Active),
		sorted(r.assigned.Standby), sorted(r.pending.Active))
}

// Text describes the record.
func (r *topologyRecord) Text() string {
	if r.tombstone {
		return fmt.Sprintf("streams-group-topology-tombstone group=%q", r.group)
	}
	return fmt.Sprintf("streams-group-topology group=%q topology_epoch=%d subtopologies=%d topics=%q", r.group,
		r.topology.Epoch,
		len(r.topology.Subtopologies), r.topology.Topics())
}
