package durability

import "context"

// Recovery is what Open of package log needs from the barrier; see Barrier.Recovery.
type Recovery struct {
	Clean         bool  // the log was closed, and every byte was synced after
	RecoveryPoint int64 // offset; everything below is on disk
	StartOffset   int64 // log start offset as of the record
	// Cut says that the machine went down in a mode that promises a consistent cut over all logs: everything above
	// the recovery point is truncated, valid or not.
	Cut bool
	// Gaps: the log has been compacted. In any other log a missing offset is damage.
	Gaps bool
	// Journaled is the journal's content for this log, in order. Batches above the end of the log are appended. In a
	// log that is cut, stored batches that equal those of the journal stay.
	Journaled []Journaled
}

// Recovery says how to open the log of a directory. An entry of another topic ID, of a deleted topic, does not count.
func (b *Barrier) Recovery(dirBase string, topicID [16]byte) Recovery {
	b.mu.Lock()
	defer b.mu.Unlock()
	e, ok := b.mu.recovery[dirBase]
	if ok && e.TopicID != topicID && e.TopicID != [16]byte{} {
		e = RecordEntry{}
	}
	r := Recovery{
		Clean:         ok && b.cleanShutdown && !e.Cut,
		RecoveryPoint: e.RecoveryPoint,
		StartOffset:   e.StartOffset,
		Cut:           e.Cut,
		Gaps:          e.Gaps,
	}
	for _, j := range b.mu.restore[dirBase] {
		if j.TopicID == topicID {
			r.Journaled = append(r.Journaled, j)
		}
	}
	b.mu.opening[dirBase] = len(r.Journaled) > 0
	return r
}

// Recovered ends a start: every log has been opened. It makes the recovered bytes durable. From then on barriers may
// write to the journal, unless it holds batches of a log that could not be opened: then it stays for a later start, and
// all barriers sync files.
func (b *Barrier) Recovered(ctx context.Context) error {
	b.mu.Lock()
	if b.mu.restored.logs > 0 {
		b.o.Logger.Warn("what logs had lost came back from the journal", "same_boot", b.SameBoot(),
			"size_bytes", b.mu.restored.sizeBytes, "logs", b.mu.restored.logs)
	}
	b.mu.restore, b.mu.recovered = nil, true
	for dirBase, needed := range b.mu.opening {
		if needed {
			b.mu.recovered = false
			b.o.Logger.Error("a log could not be opened, and the journal holds records of it: it is kept for a later start, "+
				"and until then what waits for the disk waits longer", "dir", dirBase)
		}
	}
	b.mu.Unlock()
	return b.Checkpoint(ctx)
}
