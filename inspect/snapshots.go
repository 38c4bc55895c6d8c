package inspect

import (
	"fmt"
	"reflect"
	"slices"

	"once/internal/files"
	"once/log"
	"once/pidmanager"
)

// snapshotAside reports a snapshot at an impossible offset.
func (y *replay) snapshotAside(offset int64, format string, args ...any) {
	if !y.p.broken {
		y.p.find(y.p.derived(), log.FileName(offset, log.SnapshotSuffix), -1,
			"producer snapshot %s; derived, the file can be deleted", fmt.Sprintf(format, args...))
	}
}

// snapshot compares a producer state snapshot with the replay up to its offset. A wrong one that the next start would
// refuse is a warning. A wrong one that it would use is damage: duplicates and open transactions would be wrong (spec:
// idempotence 8).
func (y *replay) snapshot(offset int64) {
	p := y.p
	name := log.FileName(offset, log.SnapshotSuffix)
	b, err := files.ReadSmall(p.c.fs, p.c.path(p.name, name))
	var stored []pidmanager.StoredProducer
	if err == nil {
		stored, err = pidmanager.DecodeSnapshot(b)
	}
	if err != nil {
		p.find(p.derived(), name, -1, "%v; derived, the file can be deleted", err)
		return
	}
	if p.broken || y.headless && offset == p.segments[0].base {
		return
	}
	wrong := y.differences(stored, offset)
	if wrong == "" {
		return
	}
	severity := p.derived()
	if offset >= p.segments[0].base && offset <= y.indexTo {
		severity = Damage
	}
	p.find(severity, name, -1, "producer snapshot is not what the log says up to offset %d: %s; the file can be deleted",
		offset, wrong)
}

// differences describes the first producer in which a snapshot differs from the replay, "" for none. A producer missing
// in the snapshot may have expired; one missing in the replay may have written only deleted batches.
func (y *replay) differences(stored []pidmanager.StoredProducer, offset int64) string {
	now, err := pidmanager.DecodeSnapshot(y.producers.Snapshot())
	if err != nil {
		return err.Error()
	}
	replayed := make(map[int64]pidmanager.StoredProducer, len(now))
	newestMs := int64(-1)
	for _, r := range now {
		replayed[r.ProducerID] = r
		newestMs = max(newestMs, r.LastTimestampMs)
	}
	for _, s := range stored {
		r, ok := replayed[s.ProducerID]
		delete(replayed, s.ProducerID)
		switch {
		case ok && y.same(s, r):
		case ok:
			return fmt.Sprintf("it has %+v, the log %+v", s, r)
		case s.LastOffset >= y.p.segments[0].base && y.p.gapAt < 0, s.TxnFirstOffset >= y.p.segments[0].base:
			return fmt.Sprintf("it has %+v, which never wrote", s)
		case y.p.segments[0].base == 0 && y.p.gapAt < 0 && y.p.recovery.StartOffset == 0:
			return fmt.Sprintf("it has %+v, which never wrote", s)
		}
	}
	for _, id := range sortedKeys(replayed) {
		r := replayed[id]
		silentMs := max(newestMs, y.modTimeMs(offset)) - r.LastTimestampMs
		switch {
		case r.TxnFirstOffset >= y.p.logStart:
			return fmt.Sprintf("it lacks %+v, which has a transaction open", r)
		case r.LastOffset < y.p.logStart, silentMs >= y.p.c.o.ProducerIDExpiration.Milliseconds():
		default:
			return fmt.Sprintf("it lacks %+v", r)
		}
	}
	return ""
}

// same compares two states of a producer, as far as both have the data.
func (y *replay) same(s, r pidmanager.StoredProducer) bool {
	if y.headless { // what stood below the first segment is not known
		base := y.p.segments[0].base
		s.Older = slices.DeleteFunc(slices.Clone(s.Older), func(b pidmanager.Batch) bool { return b.LastOffset < base })
	}
	// An older program, or one that began with its snapshot, has fewer batches. Their timestamps are not compared: the
	// newest batch of a snapshot has that of the marker after it.
	alike := func(a, b pidmanager.Batch) bool { a.TimestampMs = b.TimestampMs; return a == b }
	if n := len(r.Older) - len(s.Older); n >= 0 && slices.EqualFunc(s.Older, r.Older[n:], alike) || y.p.gapAt >= 0 {
		s.Older = r.Older
	}
	if reflect.DeepEqual(s, r) {
		return true
	}
	if y.p.gapAt >= 0 && (s.LastOffset != r.LastOffset || s.TxnFirstOffset != r.TxnFirstOffset) {
		return true // compaction took the batch that would tell
	}
	if y.headless {
		// The marker with the coordinator's epoch, or the transaction's first batch, was removed.
		s.CoordinatorEpoch, s.TxnFirstOffset = r.CoordinatorEpoch, r.TxnFirstOffset
	}
	if s.CoordinatorEpoch == -1 { // forgotten for its silence, and back again
		s.CoordinatorEpoch = r.CoordinatorEpoch
	}
	return reflect.DeepEqual(s, r)
}

// modTimeMs is when a snapshot was written.
func (y *replay) modTimeMs(offset int64) int64 {
	st, err := y.p.c.fs.Stat(y.p.c.path(y.p.name, log.FileName(offset, log.SnapshotSuffix)))
	if err != nil {
		return -1
	}
	return st.ModTime.UnixMilli()
}
