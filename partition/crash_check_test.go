package partition_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"once/durability"
	"once/log/batch"
)

// opened is what a batch looks like that is read back.
type opened struct {
	batch.Header
	body   string
	marker string
}

func decode(h batch.Header, raw []byte) (opened, error) {
	o := opened{Header: h}
	if _, err := batch.Verify(raw); err != nil {
		return o, err
	}
	if m, ok, err := batch.ParseMarker(raw); err != nil {
		return o, err
	} else if ok {
		o.marker = map[batch.MarkerType]string{batch.Commit: "commit", batch.Abort: "abort"}[m.Type]
		return o, nil
	}
	for r, err := range batch.Records(raw, 1<<20) {
		if err != nil {
			return o, err
		}
		o.body, _, _ = strings.Cut(string(r.Value), "/")
		break
	}
	return o, nil
}

func (o opened) is(w written) bool {
	return o.ProducerID == w.producerID && o.ProducerEpoch == w.epoch && o.marker == w.end &&
		o.NextOffset()-o.BaseOffset == int64(w.records) &&
		(w.end != "" || o.body == w.body && o.BaseSequence == w.sequence)
}

// verify compares every partition with its history. ends says where each log has to end.
func (s *storage) verify() error {
	for i := range s.parts {
		if err := s.verifyPartition(i); err != nil {
			return fmt.Errorf("partition %d: %w", i, err)
		}
	}
	return nil
}

func (s *storage) verifyPartition(i int) error {
	p, sh := s.parts[i], &s.shadows[i]
	o, err := p.Offsets()
	if err != nil {
		return err
	}
	if o.LogStartOffset != sh.start || o.LogEndOffset != sh.end() || o.HighWatermark != o.LogEndOffset {
		return fmt.Errorf("offsets are %+v, the history goes from %d to %d", o, sh.start, sh.end())
	}
	want := sh.stored
	for len(want) > 0 && want[0].next <= sh.start {
		want = want[1:]
	}
	next := 0
	err = p.Scan(o.LogStartOffset, o.LogEndOffset, func(h batch.Header, raw []byte) error {
		got, err := decode(h, raw)
		if err != nil {
			return err
		}
		if next >= len(want) || got.BaseOffset != want[next].base || !got.is(want[next]) {
			return fmt.Errorf("batch %d at offset %d is not what was written there: %+v", next, h.BaseOffset, got)
		}
		next++
		return nil
	})
	if err != nil {
		return err
	}
	if next != len(want) {
		return fmt.Errorf("%d batches, want %d", next, len(want))
	}
	if err := s.verifyProducers(i); err != nil {
		return err
	}
	return s.verifyCommitted(i)
}

// verifyProducers compares what is known of each producer with a replay of the history.
func (s *storage) verifyProducers(i int) error {
	type state struct {
		epoch    int16
		sequence int32
		open     int64
	}
	want := map[int64]state{}
	for _, w := range s.shadows[i].stored {
		if w.producerID < 0 {
			continue
		}
		now, ok := want[w.producerID]
		if !ok {
			now = state{open: -1, sequence: -1}
		}
		now.epoch = w.epoch
		switch {
		case w.end != "":
			now.open = -1
		default:
			now.sequence = w.sequence + int32(w.records) - 1
			if w.txn && now.open < 0 {
				now.open = w.base
			}
		}
		want[w.producerID] = now
	}
	active, err := s.parts[i].ActiveProducers()
	if err != nil {
		return err
	}
	got := map[int64]state{}
	for _, a := range active {
		got[a.ProducerID] = state{a.ProducerEpoch, a.LastSequence, a.TxnStartOffset}
	}
	for id, w := range want {
		if got[id] != w {
			return fmt.Errorf("producer %d is %+v, want %+v", id, got[id], w)
		}
	}
	if len(got) != len(want) {
		return fmt.Errorf("producers %v, want %v", got, want)
	}
	lastStable := s.shadows[i].end()
	for _, w := range want {
		if w.open >= 0 {
			lastStable = min(lastStable, w.open)
		}
	}
	if lso := s.parts[i].LastStableOffset(); lso != max(lastStable, s.shadows[i].start) {
		return fmt.Errorf("last stable offset %d, want %d", lso, lastStable)
	}
	return nil
}

// verifyCommitted reads as a read_committed client does and compares with what committed.
func (s *storage) verifyCommitted(i int) error {
	sh, p := &s.shadows[i], s.parts[i]
	ended := map[int64]string{} // from the end: how the transaction of a batch ended
	outcome := make([]string, len(sh.stored))
	for n, w := range slices.Backward(sh.stored) {
		if w.end != "" {
			ended[w.producerID] = w.end
		} else if w.txn {
			outcome[n] = cmp.Or(ended[w.producerID], "open")
		}
	}
	lastStable := p.LastStableOffset()
	var want []string
	for n, w := range sh.stored {
		if w.end == "" && w.next > sh.start && w.base < lastStable && (outcome[n] == "" || outcome[n] == "commit") {
			want = append(want, w.body)
		}
	}
	got, err := readCommitted(p, sh.start)
	if err != nil {
		return err
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("read_committed shows %d batches, want %d (of %d, from %d to %d)\n%v\n%v", len(got), len(want),
			len(sh.stored), sh.start, lastStable, got, want)
	}
	return nil
}

// retries sends the last batches of every idempotent producer again: each must be known. Then a new
// one, which must be taken.
func (s *storage) retries() error {
	for i := range stateLog {
		for id := int64(1); id <= idempotentProducers; id++ {
			recent := lastBatches(s.shadows[i].stored, id)
			for _, w := range recent {
				if err := s.mustBeDuplicate(i, w); err != nil {
					return err
				}
			}
			if len(recent) == 0 {
				continue
			}
			last := recent[len(recent)-1]
			if err := s.append(i, written{producerID: id, epoch: last.epoch, sequence: last.sequence + int32(last.records),
				records: 1}); err != nil {
				return err
			}
		}
	}
	return nil
}

// finish ends every transaction that the logs have open, and checks that nothing hangs.
func (s *storage) finish() error {
	for i := range stateLog {
		active, err := s.parts[i].ActiveProducers()
		if err != nil {
			return err
		}
		slices.SortFunc(active, byProducerID)
		for _, a := range active {
			if a.TxnStartOffset < 0 {
				continue
			}
			if err := s.mark(i, a.ProducerID, batch.Abort); err != nil {
				return err
			}
		}
	}
	if err := s.sync(s.barrier.TicketFor(durability.RecordsDeleted)); err != nil {
		return err
	}
	for i, p := range s.parts {
		if err := s.confirm(i); err != nil {
			return err
		}
		if p.LastStableOffset() != p.LogEndOffset() {
			return fmt.Errorf("partition %d: last stable offset %d hangs below %d", i, p.LastStableOffset(), p.LogEndOffset())
		}
	}
	return s.wait(s.barrier.Sync)
}
