package partition

import (
	"errors"
	"fmt"

	"once/log"
	"once/log/batch"
)

// ReadRequest asks for whole batches from an offset on.
type ReadRequest struct {
	Offset             int64
	Committed          bool  // read_committed: nothing at or above the last stable offset
	MaxBytes           int   // of records
	AtLeastOne         bool  // give the first batch even when it is larger than MaxBytes
	CurrentLeaderEpoch int32 // what the client believes; -1 for no check
	LastFetchedEpoch   int32 // of the record before Offset, to find out about a cut log; -1 for no check
}

// ReadResult is the result of a read. The caller releases Slice.
type ReadResult struct {
	Offsets
	Slice   log.Slice
	Aborted []log.AbortedTxn // for Committed: the aborted transactions that reach into Slice
	// Diverging is set when the log was truncated below Offset: its last epoch and the end of that. There are no
	// records then.
	Diverging *EpochEnd
}

// EpochEnd is where a leader epoch ends in the log. LeaderEpoch is -1 when nothing is known.
type EpochEnd struct {
	LeaderEpoch int32
	EndOffset   int64
}

// Read returns the records from an offset on. Between the readable bound and the log end offset the result is empty,
// without an error (spec: log 7.2).
func (p *Partition) Read(r ReadRequest) (ReadResult, error) {
	if err := p.checkLeaderEpoch(r.CurrentLeaderEpoch); err != nil {
		return ReadResult{}, err
	}
	offsets, err := p.Offsets()
	if err != nil {
		return ReadResult{}, err
	}
	result := ReadResult{Offsets: offsets}
	outOfRange := func() (ReadResult, error) {
		return result, fmt.Errorf("%w: %d, log start offset %d, log end offset %d", ErrOffsetOutOfRange, r.Offset,
			offsets.LogStartOffset, offsets.LogEndOffset)
	}
	if r.Offset < offsets.LogStartOffset {
		return outOfRange()
	}
	if r.LastFetchedEpoch >= 0 { // looked at before the end is: where the log was cut, the offset lies behind it
		end, err := p.EndOffsetForEpoch(r.LastFetchedEpoch)
		if err != nil {
			return result, err
		}
		if end.LeaderEpoch < 0 {
			return result, fmt.Errorf("%w: nothing is known of leader epoch %d", ErrOffsetOutOfRange, r.LastFetchedEpoch)
		}
		if end.LeaderEpoch < r.LastFetchedEpoch || end.EndOffset < r.Offset {
			result.Diverging = &end
			return result, nil
		}
	}
	if r.Offset > offsets.LogEndOffset {
		return outOfRange()
	}
	limit := offsets.HighWatermark
	if r.Committed {
		limit = offsets.LastStableOffset
	}
	if r.Offset >= limit {
		return result, nil
	}
	result.Slice, err = p.log.Locate(r.Offset, limit, log.Budget{MaxBytes: r.MaxBytes, AtLeastOne: r.AtLeastOne})
	switch {
	case errors.Is(err, log.ErrOutOfRange):
		return result, fmt.Errorf("%w: %d", ErrOffsetOutOfRange, r.Offset)
	case err != nil:
		return result, fmt.Errorf("reading %s: %w", p.id, p.offlineIfDamaged(err))
	}
	if r.Committed && result.Slice.SizeBytes() > 0 {
		result.Aborted = p.log.AbortedBetween(r.Offset, result.Slice.NextOffset())
	}
	return result, nil
}

func (p *Partition) checkLeaderEpoch(current int32) error {
	switch {
	case current < 0 || current == p.opts.LeaderEpoch:
		return nil
	case current < p.opts.LeaderEpoch:
		return fmt.Errorf("%w: %d, current %d", ErrFencedLeaderEpoch, current, p.opts.LeaderEpoch)
	default:
		return fmt.Errorf("%w: %d, current %d", ErrUnknownLeaderEpoch, current, p.opts.LeaderEpoch)
	}
}

// EndOffsetForEpoch returns the largest known leader epoch up to the requested one, and the offset at which it ends
// (spec: wire 14).
func (p *Partition) EndOffsetForEpoch(leaderEpoch int32) (EpochEnd, error) {
	if p.view.Load().offline {
		return EpochEnd{LeaderEpoch: -1, EndOffset: -1}, p.offlineError()
	}
	epoch, end := p.log.EndOffsetForEpoch(leaderEpoch, p.opts.LeaderEpoch)
	return EpochEnd{LeaderEpoch: epoch, EndOffset: end}, nil
}

// EpochAt returns the leader epoch in which the record at an offset was written; the current one if there is no record
// yet.
func (p *Partition) EpochAt(offset int64) int32 {
	if epoch := p.log.LeaderEpochAt(offset); epoch >= 0 {
		return epoch
	}
	return p.opts.LeaderEpoch
}

// CheckLeaderEpoch refuses a client whose leader epoch is not the partition's; -1 is never refused.
func (p *Partition) CheckLeaderEpoch(current int32) error { return p.checkLeaderEpoch(current) }

// TimestampOffset is the timestamp and the offset of a record.
type TimestampOffset = log.TimestampOffset

var notFound = TimestampOffset{TimestampMs: -1, Offset: -1, LeaderEpoch: -1}

func (p *Partition) readable(committed bool) (int64, error) {
	offsets, err := p.Offsets()
	if err != nil {
		return 0, err
	}
	if committed {
		return offsets.LastStableOffset, nil
	}
	return offsets.HighWatermark, nil
}

// OffsetForTimestamp returns the first record at or after a time that the reader may see; all fields
// are -1 when there is none (spec: log 5.5).
func (p *Partition) OffsetForTimestamp(timestampMs int64, committed bool) (TimestampOffset, error) {
	limit, err := p.readable(committed)
	if err != nil {
		return notFound, err
	}
	at, found, err := p.log.OffsetForTimestamp(timestampMs, limit)
	if err != nil || !found {
		return notFound, p.offlineIfDamaged(err)
	}
	return at, nil
}

// MaxTimestamp returns the first record with the highest timestamp; all fields are -1 when there is none, or when the
// reader may not see it yet (KIP-734). If no record has a timestamp it is the first record.
func (p *Partition) MaxTimestamp(committed bool) (TimestampOffset, error) {
	limit, err := p.readable(committed)
	if err != nil {
		return notFound, err
	}
	at, found, err := p.log.MaxTimestamp()
	if start := p.LogStartOffset(); err == nil && !found && start < limit {
		return TimestampOffset{TimestampMs: -1, Offset: start, LeaderEpoch: p.EpochAt(start)}, nil
	}
	if err != nil || !found || at.Offset >= limit {
		return notFound, p.offlineIfDamaged(err)
	}
	return at, nil
}

// Scan calls fn with every whole batch from one offset up to another, in order. raw is valid during
// the call. Coordinators rebuild their state with it.
func (p *Partition) Scan(from, to int64, fn func(h batch.Header, raw []byte) error) error {
	if p.view.Load().offline {
		return p.offlineError()
	}
	return p.offlineIfDamaged(p.log.Scan(from, to, fn))
}
