package log

import (
	"errors"
	"fmt"
	"io/fs"
	"sort"
	"strings"
)

// epochEntry says at which offset the first batch of a leader epoch stands.
type epochEntry struct {
	leaderEpoch int32
	startOffset int64
}

// noteEpoch records the first batch of a new leader epoch. The checkpoint file is derived from the
// batches, so a failure to write it is only worth a warning.
func (l *Log) noteEpoch(leaderEpoch int32, baseOffset int64) {
	entries := l.epochs.view()
	if leaderEpoch < 0 || len(entries) > 0 && leaderEpoch <= entries[len(entries)-1].leaderEpoch {
		return
	}
	l.epochs.add(epochEntry{leaderEpoch, baseOffset})
	if err := l.writeEpochs(); err != nil {
		l.logger.Warn("leader epochs not written; the next start reads them from the batches", "dir", l.dir, "error", err)
	}
}

func (l *Log) writeEpochs() error {
	return replaceFile(l.fs, l.path(epochCheckpointFile), encodeEpochs(l.epochs.view()))
}

// lastLeaderEpoch is the leader epoch of the newest batch, -1 without one.
func (l *Log) lastLeaderEpoch() int32 {
	if e := l.epochs.view(); len(e) > 0 {
		return e[len(e)-1].leaderEpoch
	}
	return -1
}

// EndOffsetForEpoch answers OffsetForLeaderEpoch by the table of wire 14. current is the
// partition's leader epoch. (-1, -1) says that the epoch is not known here yet, or that none is asked for.
func (l *Log) EndOffsetForEpoch(leaderEpoch, current int32) (int32, int64) {
	end := l.EndOffset()
	if leaderEpoch == current {
		return current, end
	}
	if leaderEpoch > current || leaderEpoch == -1 {
		return -1, -1
	}
	entries := l.epochs.view()
	i := sort.Search(len(entries), func(i int) bool { return entries[i].leaderEpoch > leaderEpoch })
	if i < len(entries) {
		end = max(entries[i].startOffset, l.StartOffset())
	}
	if i == 0 {
		return leaderEpoch, end
	}
	return entries[i-1].leaderEpoch, end
}

// LeaderEpochAt returns the leader epoch that covers an offset, -1 without one.
func (l *Log) LeaderEpochAt(offset int64) int32 {
	entries := l.epochs.view()
	i := sort.Search(len(entries), func(i int) bool { return entries[i].startOffset > offset })
	if i == 0 {
		return -1
	}
	return entries[i-1].leaderEpoch
}

// encodeEpochs writes Kafka's leader-epoch-checkpoint: version, count, `epoch startOffset` lines.
func encodeEpochs(entries []epochEntry) []byte {
	b := fmt.Appendf(nil, "0\n%d\n", len(entries))
	for _, e := range entries {
		b = fmt.Appendf(b, "%d %d\n", e.leaderEpoch, e.startOffset)
	}
	return b
}

var errCheckpoint = errors.New("not a complete checkpoint")

func decodeEpochs(b []byte) ([]epochEntry, error) {
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
	entries := make([]epochEntry, 0, count)
	for i, line := range lines[2 : 2+count] {
		var e epochEntry
		if _, err := fmt.Sscanf(line, "%d %d", &e.leaderEpoch, &e.startOffset); err != nil {
			return nil, errCheckpoint
		}
		if e.leaderEpoch < 0 || e.startOffset < 0 ||
			i > 0 && (e.leaderEpoch <= entries[i-1].leaderEpoch || e.startOffset < entries[i-1].startOffset) {
			return nil, errCheckpoint
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// loadEpochs reads the checkpoint as far as it concerns offsets up to the end. A missing or damaged
// one gives none; recovery then finds out by the last batch.
func (l *Log) loadEpochs(end int64) ([]epochEntry, error) {
	b, err := readSmall(l.fs, l.path(epochCheckpointFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	entries, err := decodeEpochs(b)
	if err != nil {
		return nil, nil
	}
	i := sort.Search(len(entries), func(i int) bool { return entries[i].startOffset >= end })
	return entries[:i], nil
}
