package consumergroup

import (
	"once/groupcoordinator/assignment"
	"once/groupcoordinator/group"
)

// reconciler computes the next state of a member (spec: groups 17.3).
type reconciler struct {
	current             CurrentValue
	target              assignment.Set
	targetEpoch         int32
	owned               assignment.Set // nil: the member did not say
	subscribed          map[assignment.TopicID]bool
	subscriptionChanged bool
	hasOtherOwner       func(at partition) bool
}

func (r *reconciler) next() (CurrentValue, error) {
	switch r.current.State {
	case Stable:
		switch {
		case r.current.MemberEpoch != r.targetEpoch:
			return r.advance(), nil
		case r.subscriptionChanged:
			return r.dropUnsubscribed(), nil
		}
		return r.current, nil
	case UnrevokedPartitions:
		switch {
		case !r.mayOwn(r.current.PendingRevocation):
			return r.advance(), nil
		case r.subscriptionChanged:
			return r.dropUnsubscribed(), nil
		}
		return r.current, nil
	case UnreleasedPartitions:
		return r.advance(), nil
	}
	if r.owned == nil || len(r.owned) > 0 {
		return CurrentValue{}, group.ErrFencedMemberEpoch // a state of a later Kafka
	}
	return r.advance(), nil
}

// mayOwn says whether the member still owns one of the partitions, as far as it has said.
func (r *reconciler) mayOwn(o Owned) bool {
	return r.owned == nil && len(o.Set) > 0 || r.owned.Intersects(o.Set)
}

// dropUnsubscribed takes the partitions of topics that the member does not subscribe to any more, without waiting for
// the next target assignment.
func (r *reconciler) dropUnsubscribed() CurrentValue {
	keep, dropped := r.current.Assigned.split(func(topic assignment.TopicID, _ int32) bool { return r.subscribed[topic] })
	if len(dropped.Set) == 0 {
		return r.current
	}
	next := r.current
	next.PreviousMemberEpoch, next.Assigned = next.MemberEpoch, keep
	if pending := r.current.PendingRevocation.union(dropped); r.mayOwn(pending) {
		next.State, next.PendingRevocation = UnrevokedPartitions, pending
	}
	return next
}

// advance gives the member what it may have of its target: first it gives up what is not in it.
func (r *reconciler) advance() CurrentValue {
	wanted := func(topic assignment.TopicID, index int32) bool {
		return r.subscribed[topic] && r.target.Has(topic, index)
	}
	keep, revoke := r.current.Assigned.split(wanted)
	next := CurrentValue{PreviousMemberEpoch: r.current.MemberEpoch, Assigned: keep}
	if len(revoke.Set) > 0 && r.mayOwn(revoke) {
		next.MemberEpoch, next.State, next.PendingRevocation = r.current.MemberEpoch, UnrevokedPartitions, revoke
		return next
	}
	next.MemberEpoch, next.State = r.targetEpoch, Stable
	var free Owned
	for topic, partitions := range r.target {
		if !r.subscribed[topic] {
			continue
		}
		for _, index := range partitions {
			at := partition{topic, index}
			switch {
			case keep.Has(topic, index):
			case r.hasOtherOwner(at):
				next.State = UnreleasedPartitions
			default:
				free.add(topic, index, r.targetEpoch)
			}
		}
	}
	if len(free.Set) > 0 {
		next.Assigned = keep.union(free)
	}
	return next
}

func (v *CurrentValue) equal(other *CurrentValue) bool {
	return v.MemberEpoch == other.MemberEpoch && v.PreviousMemberEpoch == other.PreviousMemberEpoch &&
		v.State == other.State && v.Assigned.equal(other.Assigned) && v.PendingRevocation.equal(other.PendingRevocation)
}
