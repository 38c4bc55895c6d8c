package partition_test

import (
	"cmp"
	"errors"
	"io"
	"log/slog"
	"slices"

	"once/log"
	"once/log/batch"
	"once/partition"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func byProducerID(a, b partition.ActiveProducer) int { return cmp.Compare(a.ProducerID, b.ProducerID) }

// readCommitted returns the bodies of the batches that a read_committed client hands out: it leaves out
// what the aborted transactions of the answer cover, up to their markers (spec: log 5.4).
func readCommitted(p *partition.Partition, from int64) (bodies []string, err error) {
	lastStable := p.LastStableOffset()
	for from < lastStable {
		r, err := p.Read(partition.ReadRequest{Offset: from, Committed: true, MaxBytes: 500, AtLeastOne: true,
			CurrentLeaderEpoch: -1, LastFetchedEpoch: -1})
		if err != nil {
			return nil, err
		}
		raw, err := r.Slice.ReadInto(nil)
		next := r.Slice.NextOffset()
		r.Slice.Release()
		if err != nil {
			return nil, err
		}
		if next <= from {
			return nil, errors.New("a read below the last stable offset gives nothing")
		}
		more, err := committedOf(raw, r)
		if err != nil {
			return nil, err
		}
		bodies, from = append(bodies, more...), next
	}
	return bodies, nil
}

func committedOf(raw []byte, r partition.ReadResult) (bodies []string, err error) {
	aborted := slices.Clone(r.Aborted)
	slices.SortFunc(aborted, func(a, b log.AbortedTxn) int { return cmp.Compare(a.FirstOffset, b.FirstOffset) })
	skip := map[int64]bool{}
	for len(raw) > 0 {
		h, err := batch.ParseHeader(raw)
		if err != nil {
			return nil, err
		}
		o, err := decode(h, raw[:h.SizeBytes()])
		if err != nil {
			return nil, err
		}
		raw = raw[h.SizeBytes():]
		for len(aborted) > 0 && aborted[0].FirstOffset <= h.LastOffset() {
			skip[aborted[0].ProducerID] = true
			aborted = aborted[1:]
		}
		switch {
		case o.marker == "abort":
			delete(skip, h.ProducerID)
		case o.marker == "" && !(h.IsTransactional() && skip[h.ProducerID]):
			bodies = append(bodies, o.body)
		}
	}
	return bodies, nil
}
