package partition_test

import (
	"bytes"
	"fmt"
	"math/rand"
	"time"

	"once/durability"
	"once/log/batch"
)

// producers of the story: the first are idempotent, the others transactional.
const (
	idempotentProducers    = 2
	transactionalProducers = 2
)

// story does random things until steps are over, or until the disk refuses something and stubborn is
// not set. The dice fix what is done; in the mode fsync, barriers run beside it at times of their own.
func (s *storage) story(dice *rand.Rand, steps int, stubborn bool) error {
	for range steps {
		s.clock.Advance(time.Millisecond)
		if err := s.step(dice); err != nil {
			if isWrong(err) || !stubborn || s.stopping {
				return err
			}
		}
		s.look()
	}
	return nil
}

// wrong is an answer that no failure of the disk explains.
type wrong struct{ error }

func isWrong(err error) bool { _, ok := err.(wrong); return ok }

func (s *storage) step(dice *rand.Rand) error {
	i := dice.Intn(stateLog)
	switch n := dice.Intn(100); {
	case n < 20:
		return s.append(i, written{producerID: -1, epoch: -1, sequence: -1, records: 1 + dice.Intn(3)})
	case n < 42:
		return s.produce(i, int64(1+dice.Intn(idempotentProducers)), false, dice)
	case n < 66:
		return s.produce(i, int64(1+idempotentProducers+dice.Intn(transactionalProducers)), true, dice)
	case n < 78:
		return s.endTransaction(int64(1+idempotentProducers+dice.Intn(transactionalProducers)), dice)
	case n < 82:
		return s.retry(i, dice)
	case n < 85:
		return s.deleteRecords(i, dice)
	case n < 90:
		return s.sync(s.barrier.TicketFor(durability.RecordsDeleted))
	case n < 92:
		return s.restart()
	default:
		return s.confirm(i)
	}
}

// produce sends the next batch of a producer.
func (s *storage) produce(i int, id int64, txn bool, dice *rand.Rand) error {
	if s.next[id] == nil {
		s.next[id] = map[int]int32{}
	}
	w := written{producerID: id, epoch: s.epochs[id], sequence: s.next[id][i], records: 1 + dice.Intn(3), txn: txn}
	if txn {
		// The coordinator knows of the partition before the batch is written.
		if s.open[id] == nil {
			s.open[id] = map[int]bool{}
		}
	}
	if err := s.append(i, w); err != nil {
		return err
	}
	s.next[id][i] += int32(w.records)
	if txn {
		s.open[id][i] = true
	}
	return nil
}

// endTransaction does what a coordinator does: a record that decides, which is waited for from the
// mode txn on, and then the markers.
func (s *storage) endTransaction(id int64, dice *rand.Rand) error {
	if len(s.open[id]) == 0 {
		return nil
	}
	kind := batch.Commit
	if dice.Intn(3) == 0 {
		kind = batch.Abort
	}
	if err := s.append(stateLog, written{producerID: -1, epoch: -1, sequence: -1, records: 1}); err != nil {
		return err
	}
	if t := s.barrier.TicketFor(durability.GroupChanged); t.Pending() {
		if err := s.sync(t); err != nil {
			return err
		}
	}
	for i := range partitions {
		if s.open[id][i] {
			if err := s.mark(i, id, kind); err != nil {
				return err
			}
			delete(s.open[id], i)
		}
	}
	return nil
}

// retry sends one of the last batches of a producer again.
func (s *storage) retry(i int, dice *rand.Rand) error {
	recent := lastBatches(s.shadows[i].stored, int64(1+dice.Intn(idempotentProducers)))
	if len(recent) == 0 {
		return nil
	}
	return s.mustBeDuplicate(i, recent[dice.Intn(len(recent))])
}

func (s *storage) mustBeDuplicate(i int, w written) error {
	a, err := s.parts[i].AppendClient(bytes.Clone(w.raw), 0, 12)
	if err != nil {
		return err
	}
	if !a.Duplicate || a.BaseOffset != w.base || a.LastOffset+1 != w.next {
		return wrong{fmt.Errorf("partition %d: retry of offset %d gave %+v", i, w.base, a)}
	}
	return nil
}

// lastBatches returns what a producer's retries are recognised of: the last five batches.
func lastBatches(all []written, id int64) []written {
	var found []written
	for _, w := range all {
		if w.producerID == id && w.end == "" {
			found = append(found, w)
		}
	}
	return found[max(0, len(found)-5):]
}

func (s *storage) deleteRecords(i int, dice *rand.Rand) error {
	if s.keepsAll {
		return nil
	}
	lastStable := s.parts[i].LastStableOffset()
	start := s.shadows[i].start
	if lastStable <= start {
		return nil
	}
	to := start + 1 + dice.Int63n(lastStable-start)
	if _, err := s.parts[i].DeleteRecords(to); err != nil {
		return err
	}
	s.shadows[i].start = to
	return nil
}

// restart is a clean stop and a start.
func (s *storage) restart() error {
	s.stopping = true
	for _, p := range s.parts {
		if err := p.Close(); err != nil {
			return err
		}
	}
	clear(s.waiting) // Close has waited for what was hidden
	at := s.now()
	s.trying = &at
	if err := s.barrier.Close(true); err != nil {
		return err
	}
	s.synced, s.trying = at, nil
	s.acked = at.ends
	if err := s.start(); err != nil {
		return err
	}
	s.stopping = false
	for i, p := range s.parts {
		if p.LogEndOffset() != at.ends[i] {
			return wrong{fmt.Errorf("partition %d ends at %d after a clean stop, before at %d", i, p.LogEndOffset(), at.ends[i])}
		}
	}
	return nil
}
