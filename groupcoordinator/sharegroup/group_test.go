package sharegroup

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"once/groupcoordinator/group"
)

// TestAssignmentSizes: every partition is given to the same number of members, and members differ by one at most
// (share-groups SG-71).
func TestAssignmentSizes(t *testing.T) {
	for _, c := range []struct {
		members, partitions int
		want                []int
	}{
		{3, 2, []int{2, 1, 1}}, {4, 2, []int{1, 1, 1, 1}}, {5, 2, []int{2, 1, 1, 1, 1}}, {2, 5, []int{3, 2}},
		{1, 3, []int{3}}, {3, 1, []int{1, 1, 1}},
	} {
		members, partitions := world(c.members, c.partitions)
		if got := sizes(assign(members, partitions, nil)); !slices.Equal(got, c.want) {
			t.Errorf("%d members on %d partitions: %v, want %v", c.members, c.partitions, got, c.want)
		}
	}
}

func world(members, partitions int) (map[string][][16]byte, map[[16]byte][]int32) {
	topic := [16]byte{1}
	m := map[string][][16]byte{}
	for i := range members {
		m[fmt.Sprint("m", i)] = [][16]byte{topic}
	}
	p := map[[16]byte][]int32{}
	for i := range partitions {
		p[topic] = append(p[topic], int32(i))
	}
	return m, p
}

func sizes(target map[string]Assignment) (all []int) {
	for _, a := range target {
		all = append(all, len(a.slots()))
	}
	slices.Sort(all)
	slices.Reverse(all)
	return all
}

// Members come and go and partitions are added: nobody is left out, nothing is given twice to one member, and a member
// that stays keeps what it had as long as its share allows it.
func TestAssignmentIsStickyAndComplete(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		var target map[string]Assignment
		n := 1
		for range 20 {
			count := 1 + r.IntN(8)
			n += r.IntN(2)
			members, partitions := world(count, n)
			old := target
			target = assign(members, partitions, old)
			owners := map[slot]int{}
			for id, a := range target {
				seen := map[slot]bool{}
				for _, s := range a.slots() {
					if seen[s] {
						t.Fatalf("seed %d: %s has %v twice", seed, id, s)
					}
					seen[s] = true
					owners[s]++
				}
			}
			if len(owners) != n {
				t.Fatalf("seed %d: %d of %d partitions are given out", seed, len(owners), n)
			}
			if got := sizes(target); got[0]-got[len(got)-1] > 1 {
				t.Fatalf("seed %d: %v", seed, got)
			}
			if again := assign(members, partitions, target); !reflect.DeepEqual(again, target) {
				t.Fatalf("seed %d: assigned again it changes: %v, %v", seed, target, again)
			}
		}
	}
}

// Any bytes are a record that reads back the same, or an error; a group applies what it is given.
func FuzzDecodeRecord(f *testing.F) {
	rack := "r"
	for _, r := range []*Record{
		{Key: KeyMember, Group: "g", MemberID: "m", RackID: &rack, ClientID: "c", ClientHost: "/h",
			Subscribed: []string{"x"}},
		{Key: KeyGroup, Group: "g", GroupEpoch: 3, MetadataHash: 4},
		{Key: KeyTargetMetadata, Group: "g", AssignmentEpoch: 3, AssignmentTimestamp: 5},
		{Key: KeyTargetMember, Group: "g", MemberID: "m", Partitions: Assignment{{1}: {0, 1}}},
		{Key: KeyCurrentAssignment, Group: "g", MemberID: "m", MemberEpoch: 3, Partitions: Assignment{{1}: {0, 1}}},
		{Key: KeyStatePartitions, Group: "g", Initialized: []StateTopic{{ID: [16]byte{1}, Name: "x", Partitions: []int32{0}}},
			Deleting: []StateTopic{{Name: "y"}}},
		{Key: KeyGroup, Group: "g", Tombstone: true},
	} {
		var value []byte
		if !r.Tombstone {
			value = r.AppendValue(nil)
		}
		f.Add(r.AppendKey(nil), value, r.Tombstone)
		f.Add(append(r.AppendKey(nil), 0), value, r.Tombstone) // refused: a byte behind the key
	}
	f.Fuzz(func(t *testing.T, key, value []byte, tombstone bool) {
		if tombstone {
			value = nil
		} else if value == nil {
			value = []byte{}
		}
		r, err := DecodeRecord(key, value)
		if err != nil {
			return
		}
		if !bytes.Equal(r.AppendKey(nil), key) {
			t.Fatalf("key %x of %+v", key, r)
		}
		if !r.Tombstone {
			again, err := DecodeRecord(key, r.AppendValue(nil))
			if err != nil || !reflect.DeepEqual(r, again) {
				t.Fatalf("%+v reads back as %+v, %v", r, again, err)
			}
			if len(r.AppendValue(nil))+len(key) > r.MaxBytes() {
				t.Fatalf("%+v takes more than %d bytes", r, r.MaxBytes())
			}
		}
		g := New(&Config{Topics: group.NoTopics{}}, r.Group)
		g.Apply(r)
		g.Describe()
	})
}
