package streamsgroup

import (
	"bytes"
	"reflect"
	"testing"
)

// FuzzDecodeRecord: whatever a record holds, it is read or refused, what is read can be written and read again, and a
// group takes it.
func FuzzDecodeRecord(f *testing.F) {
	text := "x"
	topology, err := NewTopology(0, []Subtopology{{ID: "0", SourceTopics: []string{"in"},
		RepartitionSinkTopics: []string{"r"}, ChangelogTopics: []InternalTopic{{Name: "c", Configs: []Config{{"a", "b"}}}}},
		{ID: "1", RepartitionSourceTopics: []InternalTopic{{Name: "r", Partitions: 2}},
			CopartitionGroups: []CopartitionGroup{{RepartitionSourceTopics: []int16{0}}}}})
	if err != nil {
		f.Fatal(err)
	}
	tasks := MemberTasks{Active: ActiveTasks{{"0", 1}: 2}, Standby: setOf(TaskID{"0", 2}), Warmup: TaskSet{}}
	for _, r := range []interface {
		AppendKey([]byte) []byte
		AppendValue([]byte) []byte
	}{
		&groupRecord{recordKey: groupKey(KeyTypeGroup, "g"), epoch: 3, hash: 4, validatedEpoch: 0,
			configs: []Config{{"num.standby.replicas", "0"}}},
		&memberRecord{recordKey: memberKey(KeyTypeMember, "g", "m"),
			metadata: &Member{InstanceID: &text, RackID: &text, ClientID: "c",
				ClientHost: "/127.0.0.1", ProcessID: "p", Endpoint: &Endpoint{"h", 1}, ClientTags: []Config{{"k", "v"}}}},
		&targetEpochRecord{recordKey: groupKey(KeyTypeTargetEpoch, "g"), epoch: 3, timeMs: 5},
		&targetRecord{recordKey: memberKey(KeyTypeTarget, "g", "m"), target: tasks.assignment()},
		&currentRecord{recordKey: memberKey(KeyTypeCurrent, "g", "m"), epoch: 3, previousEpoch: 2, state: UnrevokedTasks,
			assigned: tasks,
			pending:  tasks},
		&topologyRecord{recordKey: groupKey(KeyTypeTopology, "g"), topology: topology},
	} {
		f.Add(r.AppendKey(nil), r.AppendValue(nil))
	}
	f.Fuzz(func(t *testing.T, key, value []byte) {
		r, err := DecodeRecord(key, value)
		if err != nil {
			return
		}
		again, err := DecodeRecord(r.AppendKey(nil), r.AppendValue(nil))
		if err != nil || !reflect.DeepEqual(r, again) {
			t.Fatalf("read %+v, written and read again %+v, error %v", r, again, err)
		}
		if n := len(r.AppendKey(nil)) + len(r.AppendValue(nil)); n > r.MaxBytes() {
			t.Fatalf("%d bytes, at most %d", n, r.MaxBytes())
		}
		if !bytes.Equal(again.AppendValue(nil), r.AppendValue(nil)) {
			t.Fatal("the same record is written in two ways")
		}
		g := New(&Env{}, r.GroupID())
		g.Apply(&memberRecord{recordKey: memberKey(KeyTypeMember, r.GroupID(), "m"), metadata: &Member{ID: "m"}})
		g.Apply(r)
		g.State()
		g.Tombstones()
	})
}
