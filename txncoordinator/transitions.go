package txncoordinator

import "time"

// Transition is a change of the state of a transactional ID.
type Transition struct {
	At            time.Time // on the cluster's clock
	State         State     // after it
	ProducerID    int64
	ProducerEpoch int16
	Reason        string
}

// endReasons are the reasons of a Prepare record.
var endReasons = [...]string{
	outcomeCommit: "EndTxn", outcomeAbort: "EndTxn", outcomeTimeout: "timeout", outcomeFenced: "fenced by InitProducerId",
}

// noteLocked remembers the last twenty transitions of an ID, if the coordinator is to.
func (e *entry) noteLocked(now time.Time, reason string) {
	if !e.shard.keepsTransitions {
		return
	}
	t := &e.mu.txn
	all := e.mu.transitions
	if len(all) == 20 {
		all = append(all[:0], all[1:]...)
	}
	e.mu.transitions = append(all, Transition{now, t.State, t.ProducerID, t.ProducerEpoch, reason})
}

// reasonFor is the reason for a state that is written; as is how the last end was decided.
func reasonFor(before, after State, as outcome) string {
	switch {
	case after.prepared():
		return endReasons[as]
	case after == Ongoing && before == Ongoing:
		return "partitions added"
	case after == Ongoing:
		return "first partitions added"
	}
	return "InitProducerId"
}

// Transitions returns the last transitions of an ID, oldest first.
func (c *Coordinator) Transitions(transactionalID string) []Transition {
	s, err := c.locate(transactionalID)
	if err != nil {
		return nil
	}
	e := s.find(transactionalID)
	if e == nil {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]Transition(nil), e.mu.transitions...)
}
