package txncoordinator

import (
	"fmt"
	"time"
)

// Source is the request that asks for a change; zero for a change that no request has asked for.
type Source struct {
	API      string // Kafka's name
	Version  int16
	ClientID string
}

// String returns "EndTxn v5 from client X".
func (s Source) String() string {
	if s.API == "" {
		return ""
	}
	if s.ClientID == "" {
		return fmt.Sprintf("%s v%d", s.API, s.Version)
	}
	return fmt.Sprintf("%s v%d from client %s", s.API, s.Version, s.ClientID)
}

// Transition is a change of the state of a transactional ID.
type Transition struct {
	At            time.Time // on the cluster's clock
	State         State     // after it
	ProducerID    int64
	ProducerEpoch int16
	cause         string
	source        Source
}

// Reason is what changed the state, with the request if there was one: "EndTxn v5 from client X".
func (t *Transition) Reason() string {
	source := t.source.String()
	switch {
	case source == "":
		return t.cause
	case t.cause == causeEnd || t.cause == causeInit:
		return source
	}
	return t.cause + " by " + source
}

// Causes of changes.
const (
	causeInit = "InitProducerId"
	causeEnd  = "EndTxn"
)

// endCauses are the causes of a Prepare record.
var endCauses = [...]string{
	outcomeCommit: causeEnd, outcomeAbort: causeEnd, outcomeTimeout: "timeout", outcomeFenced: "fenced",
}

// noteLocked remembers the last twenty transitions of an ID, if the coordinator is to.
func (e *entry) noteLocked(now time.Time, cause string, by Source) {
	if !e.shard.keepsTransitions {
		return
	}
	t := &e.mu.txn
	all := e.mu.transitions
	if len(all) == 20 {
		all = append(all[:0], all[1:]...)
	}
	e.mu.transitions = append(all, Transition{now, t.State, t.ProducerID, t.ProducerEpoch, cause, by})
}

// causeOf is the cause of a state that is written; as is how the last end was decided.
func causeOf(before, after State, as outcome) string {
	switch {
	case after.prepared():
		return endCauses[as]
	case after == Ongoing && before == Ongoing:
		return "partitions added"
	case after == Ongoing:
		return "first partitions added"
	}
	return causeInit
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
