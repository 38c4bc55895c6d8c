package faults

import (
	"errors"
	"time"

	"once/internal/fault"
	"once/wire"
)

// CodeError is the error of a call of an inner point that a rule makes fail: the client is answered with its code.
type CodeError struct {
	Code wire.Code
}

func (e *CodeError) Error() string { return "a test makes it fail with " + e.Code.String() }

// ErrSyncFailed is the error of a sync that a rule makes fail.
var ErrSyncFailed = errors.New("a test makes the sync fail")

// consumerOffsets is the topic with the offsets of groups.
const consumerOffsets = "__consumer_offsets"

// pointRule translates a rule for an inner point.
func (r *Rules) pointRule(a *Armed) fault.Rule {
	m, do := &a.rule.Match, &a.rule.Do
	rule := fault.Rule{Point: innerPoints[m.Point].point}
	switch {
	case do.Error != "":
		rule.Do.Error = &CodeError{a.code}
	case do.Fail:
		rule.Do.Error = ErrSyncFailed
	default:
		rule.Do = fault.Action{Hold: do.Hold, Delay: time.Duration(do.Delay), Kill: do.Kill, Offline: do.Offline}
	}
	rule.Fires = func(at fault.Attributes) bool {
		if !r.matchesPoint(m, rule.Point, at) {
			return false
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		fires := a.firesLocked()
		if fires {
			if do.Kill {
				r.killed.Store(true)
			}
			f := Firing{At: time.Now(), TransactionalID: at.TransactionalID, Group: at.Group, Topic: at.Topic}
			if at.Topic != "" {
				partition := at.Partition // so that at is copied only when the rule fires
				f.Partition = &partition
			}
			a.firedLocked(f)
		}
		r.changedLocked()
		return fires
	}
	return rule
}

func (r *Rules) matchesPoint(m *Match, point fault.Point, at fault.Attributes) bool {
	if point == fault.TxnMarker && len(m.Group) > 0 {
		if at.Topic != consumerOffsets || at.Partition != r.o.OffsetsPartition(m.Group[0]) {
			return false
		}
	} else if !m.Group.Match(at.Group) {
		return false
	}
	return m.TransactionalID.Match(at.TransactionalID) && m.Topic.Match(at.Topic) &&
		(m.Partition == nil || *m.Partition == at.Partition)
}

// TakeKill says whether a rule has killed the cluster since the last call: then it is opened again.
func (r *Rules) TakeKill() bool { return r != nil && r.killed.Swap(false) }
