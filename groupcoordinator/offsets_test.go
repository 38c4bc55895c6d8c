package groupcoordinator

import (
	"errors"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/log/batch"
)

// Groups scenario 34.
func TestTooMuchMetadataIsRefusedForItsPartitionOnly(t *testing.T) {
	w := newWorld(t)
	r := now(t, w.c.CommitOffsets(&CommitRequest{GroupID: "g", Generation: -1, Retention: -1, Offsets: []OffsetCommit{
		{Topic: "t", Partition: 0, Offset: 1, Metadata: strings.Repeat("m", 4097)},
		{Topic: "t", Partition: 1, Offset: 1, Metadata: strings.Repeat("é", 4096)},
	}}))
	isErr(t, "request", r.Err, nil)
	isErr(t, "4097 characters", r.Offsets[0], ErrMetadataTooLarge)
	isErr(t, "4096 characters", r.Offsets[1], nil)
	w.wantOffset("g", "t", 0, false, -1)
	w.wantOffset("g", "t", 1, false, 1)
}

// Groups scenario 40, transactions scenario 97; the same for the group and for the topic (P27).
func TestDeletionTakesStagedOffsetsAlong(t *testing.T) {
	for name, erase := range map[string]func(w *world) error{
		"offset": func(w *world) error {
			r := now(t, w.c.DeleteOffsets(&DeleteOffsetsRequest{GroupID: "g", Offsets: []TopicPartition{{"t", 0}}}))
			return errors.Join(r.Err, r.Offsets[0])
		},
		"group": func(w *world) error { return now(t, w.c.DeleteGroup("g")).Err },
		"topic": func(w *world) error { return w.c.OnTopicDeleted("t", [16]byte{9}) },
	} {
		for _, committed := range []bool{false, true} {
			w := newWorld(t)
			if committed {
				w.commit("g", "t", 0, 1)
			}
			w.stage(1000, "g", "t", 0, 10, "", -1)
			isErr(t, name, erase(w), nil)
			w.wantOffset("g", "t", 0, true, -1)
			w.end(1000, "g", batch.Commit)
			w.wantOffset("g", "t", 0, true, -1)
			live := dump(w.c)
			w.restart()
			if got := dump(w.c); got != live {
				t.Errorf("%s: replayed\n%s\nlive\n%s", name, got, live)
			}
		}
	}
}

// A group with more offsets than one batch of tombstones holds.
// A group goes in one batch, the offsets of a topic in three.
func TestDeleteGroupWithManyOffsets(t *testing.T) {
	w := newWorld(t)
	r := CommitRequest{GroupID: "g", Generation: -1, Retention: -1}
	for p := range int32(2*DefaultTombstonesPerBatch + 1) {
		r.Offsets = append(r.Offsets, OffsetCommit{Topic: "t", Partition: p, Offset: 1})
	}
	now(t, w.c.CommitOffsets(&r))
	isErr(t, "delete", now(t, w.c.DeleteGroup("g")).Err, nil)
	if got := dump(w.c); got != "" {
		t.Errorf("left: %.200s", got)
	}
	now(t, w.c.CommitOffsets(&r))
	isErr(t, "delete topic", w.c.OnTopicDeleted("t", [16]byte{}), nil)
	isErr(t, "delete the empty group", now(t, w.c.DeleteGroup("g")).Err, nil)
	if got := dump(w.c); got != "" {
		t.Errorf("left: %.200s", got)
	}
	w.restart()
	if got := dump(w.c); got != "" {
		t.Errorf("left after a restart: %.200s", got)
	}
}

// Groups scenario 48.
func TestTopicDeletionErasesItsOffsets(t *testing.T) {
	w := newWorld(t)
	for _, g := range []string{"a", "b", "c", "d"} {
		w.commit(g, "t", 0, 1)
		w.commit(g, "u", 0, 2)
	}
	w.stage(1, "a", "t", 1, 5, "", -1)
	isErr(t, "hook", w.c.OnTopicDeleted("t", [16]byte{1}), nil)
	w.end(1, "a", batch.Commit)
	for range 2 {
		for _, g := range []string{"a", "b", "c", "d"} {
			w.wantOffset(g, "t", 0, true, -1)
			w.wantOffset(g, "u", 0, true, 2)
		}
		w.wantOffset("a", "t", 1, true, -1)
		w.restart()
	}
}

// A start finds offsets of a topic that was deleted, and perhaps created again, right before the process died.
func TestOffsetsOfTopicsDeletedBeforeAStart(t *testing.T) {
	w := newWorld(t)
	known, other := [16]byte{1}, [16]byte{2}
	r := CommitRequest{GroupID: "g", Generation: -1, Retention: -1}
	for topic, id := range map[string][16]byte{"same": known, "again": other, "gone": known, "without": {}} {
		r.Offsets = append(r.Offsets, OffsetCommit{Topic: topic, TopicID: id, Offset: 5})
	}
	isErr(t, "commit", now(t, w.c.CommitOffsets(&r)).Err, nil)
	w.stage(1000, "g", "gone", 1, 10, "", -1)
	w.restart()
	isErr(t, "forget", w.c.ForgetDeletedTopics(func(name string) ([16]byte, bool) { return known, name != "gone" }), nil)
	w.end(1000, "g", batch.Commit)
	for range 2 {
		w.wantOffset("g", "same", 0, true, 5)
		w.wantOffset("g", "without", 0, true, 5)
		w.wantOffset("g", "again", 0, true, -1)
		w.wantOffset("g", "gone", 0, true, -1)
		w.wantOffset("g", "gone", 1, true, -1)
		w.restart()
	}
}

// Offsets that were stored before records had topic IDs belong to the topic of their name, and so do those of a record
// with an empty topic ID (kafka-4.4 K44-21).
func TestOffsetsStoredWithoutTopicIDs(t *testing.T) {
	w := newWorld(t)
	key := kmsg.OffsetCommitKey{Version: 1, Group: "g", Topic: "t"}
	for partition, version := range []int16{0, 1, 2, 3, 4} {
		key.Partition = int32(partition)
		v := kmsg.OffsetCommitValue{Version: version, Offset: 5 + int64(partition), LeaderEpoch: -1, Metadata: "m",
			ExpireTimestamp: -1}
		raw := batch.Build(batch.BuildOptions{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1},
			batch.Record{Key: key.AppendTo(nil), Value: v.AppendTo(nil)})
		if _, err := w.stateLog("g").append(raw); err != nil {
			t.Fatal(err)
		}
	}
	w.restart()
	for _, topicID := range [][16]byte{{}, {1, 2, 3}} {
		r := now(t, w.c.FetchOffsets(&FetchRequest{GroupID: "g",
			Topics: []FetchTopic{{Topic: "t", TopicID: topicID, Partitions: []int32{0, 1, 2, 3, 4}}}}))
		for i, o := range r.Topics[0].Partitions {
			if o.Offset != 5+int64(i) || o.Metadata != "m" {
				t.Errorf("topic ID %x: the value of version %d gives %+v", topicID, i, o)
			}
		}
	}
}
