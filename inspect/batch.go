package inspect

import (
	"errors"
	"slices"

	"io/fs"

	"once/internal/files"
	"once/log"
	"once/log/batch"
)

// batch checks one batch that continues the log.
func (p *partitionCheck) batch(s *segmentFile, r *batchReader) {
	h := r.header
	c := &p.c.report.Counters
	c.Batches++
	c.Records += int64(h.RecordCount)
	p.leaderEpochOf(s, r)
	p.records(s, r)
	if h.HasProducer() {
		p.c.producers[h.ProducerID] = struct{}{}
		p.producerID(s, r)
	}
	p.replay.batch(s, r)
}

// leaderEpochOf checks that leader epochs never decrease, and never exceed the number of starts since the topic was
// created (spec: wire 14).
func (p *partitionCheck) leaderEpochOf(s *segmentFile, r *batchReader) {
	e := r.header.LeaderEpoch
	switch {
	case e < p.leaderEpoch:
		p.find(Damage, s.name, r.position, "leader epoch goes down from %d to %d at offset %d", p.leaderEpoch, e,
			r.header.BaseOffset)
		return
	case e == p.leaderEpoch:
		return
	}
	p.leaderEpoch = e
	p.epochs = append(p.epochs, log.LeaderEpochStart{LeaderEpoch: e, StartOffset: r.header.BaseOffset})
	if p.stored != nil && int64(e) > p.c.cluster.starts-int64(p.stored.CreatedAtStart) {
		p.find(Damage, s.name, r.position, "leader epoch %d at offset %d is from the future: starts=%d "+
			"created_at_start=%d; the metadata is older than the log",
			e, r.header.BaseOffset, p.c.cluster.starts, p.stored.CreatedAtStart)
	}
}

// records reads every record and checks the framing, the header, and the content of internal topics.
func (p *partitionCheck) records(s *segmentFile, r *batchReader) {
	h := r.header
	if h.RecordCount < 0 || int64(h.RecordCount) > int64(h.LastOffsetDelta)+1 {
		p.find(Damage, s.name, r.position, "batch of offsets %d to %d has %d records", h.BaseOffset, h.LastOffset(),
			h.RecordCount)
	}
	if h.RecordCount == 0 {
		return // compaction keeps the header where it stands for something
	}
	last, largest, ordered := int32(-1), int64(batch.NoTimestampMs), true
	for rec, err := range batch.Records(r.raw, p.c.o.MaxInflatedBytes) {
		if errors.Is(err, batch.ErrTooLarge) {
			p.find(Warning, s.name, r.position, "batch at offset %d inflates beyond %d bytes; its records are not checked",
				h.BaseOffset, p.c.o.MaxInflatedBytes)
			return
		}
		if err != nil {
			p.find(Damage, s.name, r.position, "batch at offset %d: %v", h.BaseOffset, err)
			return
		}
		ordered = ordered && rec.OffsetDelta > last && rec.OffsetDelta <= h.LastOffsetDelta
		last, largest = rec.OffsetDelta, max(largest, h.TimestampMs(rec))
		if p.visit != nil && !h.IsControl() {
			p.visit(p, h, rec, r.position)
		}
	}
	if !ordered { // Kafka lets an uncompressed batch in with any, so we do
		p.find(Note, s.name, r.position, "batch at offset %d has records whose offsets do not grow within its range",
			h.BaseOffset)
	}
	if largest != h.MaxTimestampMs {
		p.find(Warning, s.name, r.position, "batch at offset %d says that its largest timestamp is %d, it is %d",
			h.BaseOffset, h.MaxTimestampMs, largest)
	}
}

// producerID checks that a producer ID was given out (spec: reliability P17). Clients may make one up, so this alone is
// no proof of damage.
func (p *partitionCheck) producerID(s *segmentFile, r *batchReader) {
	if next := p.c.cluster.nextProducerID; p.c.topics != nil && !p.broken && r.header.ProducerID >= next &&
		p.replay.isNew(r.header.ProducerID) {
		p.find(Warning, s.name, r.position, "producer %d at offset %d was never handed out: the next producer id is %d",
			r.header.ProducerID, r.header.BaseOffset, next)
	}
}

// leaderEpochs compares the checkpoint with the batches. It is derived: the next start makes it anew if it does not
// agree with the newest batch.
func (p *partitionCheck) leaderEpochs() {
	b, err := files.ReadSmall(p.c.fs, p.c.path(p.name, log.EpochCheckpointFile))
	if errors.Is(err, fs.ErrNotExist) || p.broken {
		return
	}
	entries, derr := log.DecodeEpochs(b)
	if err != nil || derr != nil {
		p.find(p.derived(), log.EpochCheckpointFile, -1, "leader epochs cannot be read: %v; the file can be deleted",
			errors.Join(err, derr))
		return
	}
	entries = slices.DeleteFunc(entries, func(e log.LeaderEpochStart) bool { return e.StartOffset >= p.next })
	want := p.epochs
	first := p.segments[0].base
	if first > 0 && len(want) == 0 {
		return // retention has deleted all batches
	}
	if first > 0 { // the log began earlier
		entries = slices.DeleteFunc(entries, func(e log.LeaderEpochStart) bool { return e.LeaderEpoch < want[0].LeaderEpoch })
		if len(entries) > 0 && entries[0].LeaderEpoch == want[0].LeaderEpoch && entries[0].StartOffset <= first {
			entries, want = entries[1:], want[1:]
		}
	}
	if p.gapAt >= 0 || slices.Equal(entries, want) {
		return
	}
	p.find(p.derived(), log.EpochCheckpointFile, -1, "leader epochs %v, the batches have %v; the file can be deleted",
		entries, want)
}
