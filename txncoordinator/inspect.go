package txncoordinator

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Description is one transactional ID as DescribeTransactions shows it (spec: transactions 15).
type Description struct {
	State            State
	TimeoutMs        int32
	StartTimestampMs int64 // -1 when there was no transaction yet
	ProducerID       int64
	ProducerEpoch    int16
	Partitions       []TopicPartition // sorted; of a prepared transaction only those that still lack their marker
}

// Describe returns one ID, or ErrTransactionalIDNotFound, also while the ID expires.
func (c *Coordinator) Describe(transactionalID string) (Description, error) {
	s, err := c.locate(transactionalID)
	if err != nil {
		return Description{}, err
	}
	e := s.find(transactionalID)
	if e == nil {
		return Description{}, ErrTransactionalIDNotFound
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	t := &e.mu.txn
	if t.Pending == Dead {
		return Description{}, ErrTransactionalIDNotFound
	}
	d := Description{
		State:            t.State,
		TimeoutMs:        t.TimeoutMs,
		StartTimestampMs: t.StartTimestampMs,
		ProducerID:       t.ProducerID,
		ProducerEpoch:    t.ProducerEpoch,
		Partitions:       t.Partitions,
	}
	if t.State.prepared() {
		d.Partitions = slices.Concat(e.mu.failed, e.mu.owed, e.mu.holds.partitions())
		slices.SortFunc(d.Partitions, TopicPartition.compare)
	}
	return d, nil
}

// ListFilter limits a listing; empty fields do not.
type ListFilter struct {
	States      []string // Kafka's names; unknown ones are given back
	ProducerIDs []int64
	// DurationMs keeps transactions that began longer ago. IDs without a start count as begun in 1970,
	// and ended ones keep their start, so both match; so it is in Kafka. Negative: no limit.
	DurationMs int64
	// Pattern is a regular expression for the whole transactional ID.
	Pattern string
}

// Listing is one line of ListTransactions.
type Listing struct {
	TransactionalID  string
	ProducerID       int64
	State            State
	StartTimestampMs int64 // of the last transaction; -1 when there was none yet
}

// List returns the IDs that match a filter, sorted, and the unknown state names. A filter of only unknown names matches
// nothing.
func (c *Coordinator) List(f ListFilter) (found []Listing, unknownStates []string, err error) {
	if err := c.serving(); err != nil {
		return nil, nil, err
	}
	var states uint16
	for _, name := range f.States {
		if s, ok := parseState(name); ok {
			states |= setOf(s)
		} else {
			unknownStates = append(unknownStates, name)
		}
	}
	if len(f.States) > 0 && states == 0 {
		return nil, unknownStates, nil
	}
	var pattern *regexp.Regexp
	if f.Pattern != "" {
		if pattern, err = regexp.Compile(`^(?:` + f.Pattern + `)$`); err != nil {
			return nil, nil, fmt.Errorf("%w: %v", ErrInvalidPattern, err)
		}
	}
	nowMs := c.cfg.Clock.Now().UnixMilli()
	c.each(func(e *entry) {
		e.mu.Lock()
		defer e.mu.Unlock()
		t := &e.mu.txn
		switch {
		case t.Pending == Dead,
			states != 0 && states&setOf(t.State) == 0,
			len(f.ProducerIDs) > 0 && !slices.Contains(f.ProducerIDs, t.ProducerID),
			f.DurationMs >= 0 && nowMs-t.StartTimestampMs <= f.DurationMs,
			pattern != nil && !pattern.MatchString(t.TransactionalID):
			return
		}
		found = append(found, Listing{
			TransactionalID: t.TransactionalID, ProducerID: t.ProducerID, State: t.State,
			StartTimestampMs: t.StartTimestampMs,
		})
	})
	slices.SortFunc(found, func(a, b Listing) int { return strings.Compare(a.TransactionalID, b.TransactionalID) })
	return found, unknownStates, nil
}
