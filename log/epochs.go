package log

import (
	"errors"
	"fmt"
	"io/fs"
	"sort"
	"strings"

	"once/internal/files"
	"once/log/batch"
)

// LeaderEpochStart is a leader epoch and the offset of its first batch.
type LeaderEpochStart struct {
	LeaderEpoch int32
	StartOffset int64
}

// noteEpoch records the first batch of a new leader epoch. The checkpoint file is derived from the batches, so an
// error in writing it is only a warning.
func (l *Log) noteEpoch(leaderEpoch int32, baseOffset int64) {
	entries := l.epochs.view()
	if leaderEpoch < 0 || len(entries) > 0 && leaderEpoch <= entries[len(entries)-1].LeaderEpoch {
		return
	}
	l.epochCheck.Lock()
	l.epochs.add(LeaderEpochStart{leaderEpoch, baseOffset})
	l.epochCheck.Unlock()
	if err := l.writeEpochs(); err != nil {
		l.logger.Warn("leader epochs not written; the next start reads them from the batches", "dir", l.dir, "error", err)
	}
}

func (l *Log) writeEpochs() error {
	return files.Replace(l.fs, l.path(EpochCheckpointFile), encodeEpochs(l.epochs.view()))
}

// lastLeaderEpoch is the leader epoch of the newest batch, -1 without one.
func (l *Log) lastLeaderEpoch() int32 {
	if e := l.epochs.view(); len(e) > 0 {
		return e[len(e)-1].LeaderEpoch
	}
	return -1
}

// EndOffsetForEpoch answers OffsetForLeaderEpoch (spec: wire 14). current is the partition's leader epoch. (-1, -1)
// means that the epoch is not known here yet, or that the request has none.
func (l *Log) EndOffsetForEpoch(leaderEpoch, current int32) (int32, int64) {
	end := l.EndOffset()
	if leaderEpoch == current {
		return current, end
	}
	if leaderEpoch > current || leaderEpoch == -1 {
		return -1, -1
	}
	entries := l.checkedEpochs()
	i := sort.Search(len(entries), func(i int) bool { return entries[i].LeaderEpoch > leaderEpoch })
	if i < len(entries) {
		end = max(entries[i].StartOffset, l.StartOffset())
	}
	if i == 0 {
		return leaderEpoch, end
	}
	return entries[i-1].LeaderEpoch, end
}

// LeaderEpochAt returns the leader epoch that covers an offset, -1 without one.
func (l *Log) LeaderEpochAt(offset int64) int32 {
	entries := l.checkedEpochs()
	i := sort.Search(len(entries), func(i int) bool { return entries[i].StartOffset > offset })
	if i == 0 {
		return -1
	}
	return entries[i-1].LeaderEpoch
}

// checkedEpochs returns the epochs. The checkpoint has no checksum, so the first call after a start compares its
// entries with the batches. Damaged batches are left to their readers.
func (l *Log) checkedEpochs() []LeaderEpochStart {
	if l.epochsChecked.Load() {
		return l.epochs.view()
	}
	l.epochCheck.Lock()
	defer l.epochCheck.Unlock()
	if l.epochsChecked.Load() {
		return l.epochs.view()
	}
	entries := l.epochs.view()
	fit, err := l.epochsFit(entries)
	if err == nil && !fit {
		var all []LeaderEpochStart
		all, err = l.scanEpochs()
		for _, e := range entries { // an epoch is noted before its first batch can be read
			if n := len(all); err == nil && e.StartOffset >= l.EndOffset() && (n == 0 || e.LeaderEpoch > all[n-1].LeaderEpoch) {
				all = append(all, e)
			}
		}
		if err == nil {
			l.logger.Warn("leader epochs are not those of the batches; they are read anew", "dir", l.dir)
			l.epochs.reset(all)
		}
	}
	l.epochsChecked.Store(err == nil)
	return l.epochs.view()
}

// epochsFit says whether each entry lies between a batch of an older epoch and one of its own.
func (l *Log) epochsFit(entries []LeaderEpochStart) (bool, error) {
	first, end := l.ReplayOffset(), l.EndOffset()
	for _, e := range entries {
		if e.StartOffset <= first && len(entries) == 1 || e.StartOffset >= end {
			continue // the last one is that of the last batch
		}
		before, at := int32(-1), e.LeaderEpoch
		err := l.ReplayHeaders(e.StartOffset-1, end, func(h batch.Header, _ func() ([]byte, error)) error {
			if h.BaseOffset < e.StartOffset {
				before = h.LeaderEpoch
				return nil
			}
			at = h.LeaderEpoch
			return errStop
		})
		if err != nil && !errors.Is(err, errStop) {
			return false, err
		}
		if before >= e.LeaderEpoch || at < e.LeaderEpoch {
			return false, nil
		}
	}
	return true, nil
}

// scanEpochs collects the epochs from the batches. No checksum covers a batch's leader epoch, but epochs never
// decrease. A single batch's epoch is damaged if it is higher than the next batch's, and a batch's epoch is damaged if
// it is lower than that of many batches before it.
func (l *Log) scanEpochs() ([]LeaderEpochStart, error) {
	var all []LeaderEpochStart
	batches := 0 // of the last entry
	err := l.scanHeaders(0, l.EndOffset(), func(h batch.Header, _ func() ([]byte, error)) error {
		n := len(all)
		if n > 0 && h.LeaderEpoch < all[n-1].LeaderEpoch && batches == 1 {
			n--
		}
		switch {
		case n > 0 && h.LeaderEpoch == all[n-1].LeaderEpoch:
			all = all[:n]
			batches++
		case h.LeaderEpoch >= 0 && (n == 0 || h.LeaderEpoch > all[n-1].LeaderEpoch):
			all = append(all[:n], LeaderEpochStart{h.LeaderEpoch, h.BaseOffset})
			batches = 1
		}
		return nil
	})
	return all, err
}

// encodeEpochs writes Kafka's leader-epoch-checkpoint: version, count, `epoch startOffset` lines.
func encodeEpochs(entries []LeaderEpochStart) []byte {
	b := fmt.Appendf(nil, "0\n%d\n", len(entries))
	for _, e := range entries {
		b = fmt.Appendf(b, "%d %d\n", e.LeaderEpoch, e.StartOffset)
	}
	return b
}

var errCheckpoint = errors.New("not a complete checkpoint")

// DecodeEpochs reads leader-epoch-checkpoint.
func DecodeEpochs(b []byte) ([]LeaderEpochStart, error) {
	lines := strings.Split(string(b), "\n")
	var version, count int
	if len(lines) < 2 {
		return nil, errCheckpoint
	}
	if _, err := fmt.Sscanf(lines[0]+" "+lines[1], "%d %d", &version, &count); err != nil || version != 0 {
		return nil, errCheckpoint
	}
	if count < 0 || count != len(lines)-3 || lines[len(lines)-1] != "" {
		return nil, errCheckpoint
	}
	entries := make([]LeaderEpochStart, 0, count)
	for i, line := range lines[2 : 2+count] {
		var e LeaderEpochStart
		if _, err := fmt.Sscanf(line, "%d %d", &e.LeaderEpoch, &e.StartOffset); err != nil {
			return nil, errCheckpoint
		}
		if e.LeaderEpoch < 0 || e.StartOffset < 0 ||
			i > 0 && (e.LeaderEpoch <= entries[i-1].LeaderEpoch || e.StartOffset < entries[i-1].StartOffset) {
			return nil, errCheckpoint
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// loadEpochs reads the entries of the checkpoint for offsets up to the end. A missing or damaged checkpoint gives
// none, and recovery then reads the batches.
func (l *Log) loadEpochs(end int64) ([]LeaderEpochStart, error) {
	b, err := files.ReadSmall(l.fs, l.path(EpochCheckpointFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	entries, err := DecodeEpochs(b)
	if err != nil {
		return nil, nil
	}
	i := sort.Search(len(entries), func(i int) bool { return entries[i].StartOffset >= end })
	return entries[:i], nil
}
