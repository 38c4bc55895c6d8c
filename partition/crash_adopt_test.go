package partition_test

import (
	"fmt"
)

// After a crash the model takes over what may have been lost, and refuses what may not.

// adoptDeath: everything that was appended is there; the last append of a partition may be, when it
// did not answer. A move of the log start offset counts from the barrier after it.
func (s *storage) adoptDeath() error {
	for i, p := range s.parts {
		sh := &s.shadows[i]
		if err := s.adoptEnd(i, sh.end()); err != nil {
			return err
		}
		if start := p.LogStartOffset(); start < s.synced.starts[i] || start > sh.start {
			return fmt.Errorf("partition %d begins at %d, asked for %d, of which %d is synced", i, start, sh.start,
				s.synced.starts[i])
		}
		sh.start = p.LogStartOffset()
	}
	s.resume()
	return nil
}

// adoptCut is the table of reliability 2.1.
func (s *storage) adoptCut() error {
	var found instant
	for i, p := range s.parts {
		found.ends[i], found.starts[i] = p.LogEndOffset(), p.LogStartOffset()
	}
	if s.mode.String() != "fsync" {
		// All logs together go back to one barrier: the last one, or one that was under way.
		if found != s.synced && (s.trying == nil || found != *s.trying) {
			return fmt.Errorf("the logs are at %v, the last barrier was at %v, one under way at %v", found, s.synced, s.trying)
		}
	}
	if err := s.atOneInstant(found); err != nil {
		return err
	}
	for i := range s.parts {
		sh := &s.shadows[i]
		least := max(s.acked[i], s.synced.ends[i])
		if s.mode.String() == "fsync" {
			least = max(least, sh.seen)
		}
		if err := s.adoptEnd(i, least); err != nil {
			return err
		}
		if found.starts[i] < s.synced.starts[i] || found.starts[i] > sh.start {
			return fmt.Errorf("partition %d begins at %d, asked for %d, of which %d is synced", i, found.starts[i], sh.start,
				s.synced.starts[i])
		}
		sh.start = found.starts[i]
	}
	s.resume()
	return nil
}

// atOneInstant: what is lost was appended after all that is left, whatever the mode.
func (s *storage) atOneInstant(found instant) error {
	var left, lost written
	for i := range s.shadows {
		for _, w := range s.shadows[i].stored {
			if w.next <= found.ends[i] && w.order > left.order {
				left = w
			}
			if w.next > found.ends[i] && (lost.order == 0 || w.order < lost.order) {
				lost = w
			}
		}
	}
	if lost.order > 0 && lost.order < left.order {
		return fmt.Errorf("the logs are at %v: a batch at offset %d is lost, and one at offset %d is left that was appended later", found, lost.base, left.base)
	}
	return nil
}

// adoptEnd takes the end of the log if it is one that the history allows and at least the given one.
func (s *storage) adoptEnd(i int, least int64) error {
	sh, end := &s.shadows[i], s.parts[i].LogEndOffset()
	if end < least {
		return fmt.Errorf("partition %d ends at %d, below %d", i, end, least)
	}
	if m := sh.maybe; m != nil && end == sh.end()+int64(m.records) {
		stored := *m
		stored.base, stored.next = sh.end(), end
		sh.stored = append(sh.stored[:len(sh.stored):len(sh.stored)], stored)
	}
	sh.maybe = nil
	sh.stored = sh.upTo(end)
	if sh.end() != end {
		return fmt.Errorf("partition %d ends at %d, in the middle of a batch or behind all of them, %d", i, end, sh.end())
	}
	return nil
}

// resume brings what producers remember in line with what is stored. All of that is on the disk now:
// a start ends with a barrier.
func (s *storage) resume() {
	s.synced, s.trying, s.acked = s.now(), nil, s.now().ends
	clear(s.next)
	clear(s.open)
	for i := range s.shadows {
		for _, w := range s.shadows[i].stored {
			if w.producerID < 0 {
				continue
			}
			if s.next[w.producerID] == nil {
				s.next[w.producerID], s.open[w.producerID] = map[int]int32{}, map[int]bool{}
			}
			switch {
			case w.end != "":
				delete(s.open[w.producerID], i)
			default:
				s.next[w.producerID][i] = w.sequence + int32(w.records)
				if w.txn {
					s.open[w.producerID][i] = true
				}
			}
		}
		s.shadows[i].seen = 0
	}
}
