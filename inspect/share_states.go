package inspect

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"

	"once/internal/vfs"
	"once/log/batch"
	"once/sharecoordinator"
	"once/sharepartition/window"
	"once/topics"
)

// DumpShareStates prints the records of __share_group_state, partition by partition, in log order.
func DumpShareStates(w io.Writer, under vfs.FS, dir string) error {
	return dump(w, under, dir, func(w *bufio.Writer, d *directory) error {
		return eachInternal(w, d, topics.ShareGroupState, func(at string, _ batch.Header, r batch.Record) {
			s, err := sharecoordinator.DecodeRecord(r.Key, r.Value)
			if err != nil {
				fmt.Fprintf(w, "damaged %s: %v\n", at, err)
				return
			}
			what := "update"
			if s.Snapshot {
				what = "snapshot"
			}
			key := fmt.Sprintf("%s group=%q topic_id=%s partition_of_topic=%d", at, s.Key.Group,
				base64.RawURLEncoding.EncodeToString(s.Key.TopicID[:]), s.Key.Partition)
			if s.Tombstone {
				fmt.Fprintf(w, "%s-tombstone %s\n", what, key)
				return
			}
			fmt.Fprintf(w, "%s %s snapshot_epoch=%d state_epoch=%d leader_epoch=%d start_offset=%d "+
				"delivery_complete_count=%d batches=%s\n",
				what, key, s.SnapshotEpoch, s.StateEpoch, s.LeaderEpoch, s.StartOffset, s.DeliveryCompleteCount,
				stateBatches(s.Batches))
		})
	})
}

func stateBatches(batches []window.Batch) string {
	text := "["
	for i, b := range batches {
		if i > 0 {
			text += " "
		}
		text += fmt.Sprintf("%d-%d:%s*%d", b.FirstOffset, b.LastOffset, b.State, b.DeliveryCount)
	}
	return text + "]"
}

// shareStates is the content of __share_group_state, as far as a check needs it.
type shareStates map[sharecoordinator.Key]*sharecoordinator.Record // the newest snapshot

// record checks one record of __share_group_state: it is readable, in the partition of its key, and its batches are
// states that can be loaded. Epochs do not go back.
func (x shareStates) record(p *partitionCheck, h batch.Header, r batch.Record, position int64) {
	offset := h.BaseOffset + int64(r.OffsetDelta)
	find := func(format string, args ...any) {
		p.find(Damage, p.segmentAt(offset), position, "offset %d: "+format, append([]any{offset}, args...)...)
	}
	s, err := sharecoordinator.DecodeRecord(r.Key, r.Value)
	if err != nil {
		find("%v", err)
		return
	}
	if p.stored != nil {
		if at := sharecoordinator.PartitionOf(s.Key, p.stored.Partitions); at != p.index {
			find("share partition %v belongs to partition %d", s.Key, at)
		}
	}
	old := x[s.Key]
	switch {
	case s.Tombstone && s.Snapshot:
		delete(x, s.Key)
		return
	case old != nil && (s.Snapshot && s.StateEpoch < old.StateEpoch || s.SnapshotEpoch < old.SnapshotEpoch):
		find("share partition %v goes back from state epoch %d, snapshot %d to %d, %d", s.Key, old.StateEpoch,
			old.SnapshotEpoch,
			s.StateEpoch, s.SnapshotEpoch)
	}
	for i, b := range s.Batches {
		switch {
		case b.LastOffset < b.FirstOffset, b.State < window.Available, b.State > window.Archived, b.State == window.Acquired:
			find("share partition %v: batch %d-%d has state %v", s.Key, b.FirstOffset, b.LastOffset, b.State)
		case s.Snapshot && i > 0 && b.FirstOffset <= s.Batches[i-1].LastOffset:
			find("share partition %v: batch %d-%d overlaps the one before", s.Key, b.FirstOffset, b.LastOffset)
		}
	}
	if s.Snapshot {
		x[s.Key] = &s
	}
}
