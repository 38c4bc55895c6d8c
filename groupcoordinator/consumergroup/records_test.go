package consumergroup

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"once/groupcoordinator/assignment"
	"once/groupcoordinator/group"
	"once/groupcoordinator/group/grouptest"
)

func text(s string) *string { return &s }

// recordsForTest has a record of each schema, with all of its fields, and a tombstone of each.
func recordsForTest() []Record {
	g := New(configForTest(group.NoTopics{}), "g")
	id := assignment.TopicID{1, 2}
	values := []struct {
		keyType int16
		name    string
		value   Value
	}{
		{keyGroup, "", GroupValue{GroupEpoch: 7, MetadataHash: -3}},
		{keyGroup, "", GroupValue{GroupEpoch: 1}},
		{keyLegacyTopics, "", LegacyTopicsValue{raw: []byte{1, 0}}},
		{keyMember, "m", MemberValue{
			InstanceID: text("i"), RackID: text("r"), ClientID: "c", ClientHost: "/h", SubscribedTopics: []string{"a", "b"},
			SubscribedRegex: text("a.*"), RebalanceTimeoutMs: 5, ServerAssignor: text("range"),
			Classic: &ClassicValue{SessionTimeoutMs: 6, Protocols: []group.Protocol{{Name: "p", Metadata: []byte{1, 2}}}},
		}},
		{keyMember, "m", MemberValue{ClientID: "c", SubscribedTopics: []string{}, RebalanceTimeoutMs: -1}},
		{keyTargetEpoch, "", TargetEpochValue{AssignmentEpoch: 7, TimestampMs: 1234}},
		{keyTarget, "m", TargetValue{assignment.Of(id, 1, 2)}},
		{keyCurrent, "m", CurrentValue{
			MemberEpoch: 7, PreviousMemberEpoch: 6, State: UnrevokedPartitions, Assigned: withEpoch(assignment.Of(id, 3), 5),
			PendingRevocation: withEpoch(assignment.Of(id, 4), 6),
		}},
		{keyRegex, "a.*", RegexValue{Topics: []string{"a", "ab"}, Version: 3, TimestampMs: 4}},
	}
	var all []Record
	for _, v := range values {
		all = append(all, g.record(v.keyType, v.name, v.value).(Record))
		all = append(all, g.record(v.keyType, v.name, nil).(Record))
	}
	return all
}

func encoded(r Record) (key, value []byte) {
	key = r.AppendKey(nil)
	if !r.IsTombstone() {
		value = r.AppendValue(nil)
	}
	return key, value
}

func TestRecordsReadBack(t *testing.T) {
	for _, r := range recordsForTest() {
		key, value := encoded(r)
		got, err := DecodeRecord(key, value)
		if err != nil {
			t.Fatalf("%s: %v", r.Text(), err)
		}
		if got.(Record).Text() != r.Text() || got.(Record).keyType != r.keyType {
			t.Errorf("%s became %s", r.Text(), got.(Record).Text())
		}
		againKey, againValue := encoded(got.(Record))
		if !bytes.Equal(key, againKey) || !bytes.Equal(value, againValue) {
			t.Errorf("%s is written differently", r.Text())
		}
		if len(value) > 0 {
			if _, err := DecodeRecord(key, append([]byte{0, 1}, value[2:]...)); !errors.Is(err, group.ErrDamaged) {
				t.Errorf("the next version of %s: %v", r.Text(), err)
			}
		}
	}
}

// Partitions of a record from before Kafka 4.3 have no epochs of their own: that of the member holds.
func TestCurrentAssignmentWithoutEpochs(t *testing.T) {
	id := assignment.TopicID{1, 2}
	value := []byte{0, 0, 0, 0, 0, 7, 0, 0, 0, 6, 0, 2}
	value = append(append(value, id[:]...), 2, 0, 0, 0, 3, 0, 1, 0)
	r, err := DecodeRecord([]byte{0, keyCurrent, 0, 1, 'g', 0, 1, 'm'}, value)
	if err != nil {
		t.Fatal(err)
	}
	v := r.(Record).Value().(CurrentValue)
	if !v.Assigned.Has(id, 3) || v.Assigned.Epoch(id, 3) != 7 || v.MemberEpoch != 7 {
		t.Errorf("%+v", v)
	}
}

// FuzzDecodeRecord feeds keys and values to the decoder; what it takes is applied, and survives being written again.
func FuzzDecodeRecord(f *testing.F) {
	for _, r := range recordsForTest() {
		key, value := encoded(r)
		f.Add(key, value)
	}
	f.Fuzz(func(t *testing.T, key, value []byte) {
		got, err := DecodeRecord(key, value)
		if err != nil {
			if !errors.Is(err, group.ErrDamaged) {
				t.Errorf("unexpected kind of error: %v", err)
			}
			return
		}
		r := got.(Record)
		if len(r.groupID) > 1<<14 || len(r.name) > 1<<14 {
			return
		}
		g := New(configForTest(group.NoTopics{}), r.groupID)
		g.Apply(r)
		_ = g.Describe()
		_ = r.Text()
		againKey, againValue := encoded(r)
		if len(againKey)+len(againValue) > r.MaxBytes() {
			t.Fatalf("%d bytes, more than %d", len(againKey)+len(againValue), r.MaxBytes())
		}
		again, err := DecodeRecord(againKey, againValue)
		if err != nil {
			t.Fatalf("own record %s: %v", r.Text(), err)
		}
		if k, v := encoded(again.(Record)); !bytes.Equal(k, againKey) || !bytes.Equal(v, againValue) {
			t.Errorf("%s became %s", r.Text(), again.(Record).Text())
		}
	})
}

func TestTombstonesEndAGroupWithItsEpoch(t *testing.T) {
	topics := &grouptest.Topics{}
	topics.Set("x", 2)
	g := New(configForTest(topics), "g")
	for _, r := range recordsForTest() {
		if !r.IsTombstone() {
			g.Apply(r)
		}
	}
	var types []int16
	ends := 0
	for _, r := range g.Tombstones() {
		types = append(types, r.KeyType())
		if !r.IsTombstone() {
			t.Errorf("%v is none", r)
		}
		if r.EndsGroup() {
			ends++
		} else {
			g.Apply(r)
		}
	}
	if want := []int16{keyCurrent, keyTarget, keyTargetEpoch, keyMember, keyRegex, keyGroup}; !slices.Equal(types, want) ||
		ends != 1 {
		t.Errorf("tombstones of %v, want %v", types, want)
	}
	if !g.IsEmpty() || len(g.owners)+len(g.static)+len(g.targets)+len(g.regexes) > 0 {
		t.Errorf("left: %+v", g)
	}
}
