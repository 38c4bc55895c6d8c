package consumergroup

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"time"

	"once/groupcoordinator/assignment"
	"once/groupcoordinator/group"
)

// transition is a heartbeat, or a Join, in the making: the records so far, and what the member and the group will be
// like once they are applied. The group itself does not change.
type transition struct {
	g           *Group
	now         time.Time
	mayDescribe func(topic string) bool
	records     []group.Record

	id       string
	old      *member // before, nil for a new member until addMember
	replaced string  // the ID of the static member whose place it takes
	meta     MemberValue
	current  CurrentValue
	moved    bool // current is another one

	topicsChanged bool                  // the member subscribes to other topics
	regexChanged  bool                  // or with another regular expression
	regexes       map[string]RegexValue // of the group, when they change; nil: as before
	resolved      bool                  // regular expressions have been resolved
	bump          bool                  // the group epoch grows

	sawTopics       bool // the subscribed topics were compared with those of topicsVersion
	topicsVersion   uint64
	groupEpoch      int32
	assignmentEpoch int32
	target          assignment.Set
}

func (g *Group) newTransition(id string, now time.Time) *transition {
	t := &transition{g: g, now: now, id: id, old: g.members[id], groupEpoch: g.groupEpoch,
		topicsVersion: g.cfg.Topics.Version()}
	if t.old != nil {
		t.id = t.old.id
		t.current = t.old.current
	} else {
		t.id = strings.Clone(id)
	}
	return t
}

// addMember begins with a member that is new.
func (t *transition) addMember() {
	t.old = &member{id: t.id, meta: MemberValue{RebalanceTimeoutMs: -1}}
}

// replaceStatic puts the member into the place of a static member: it inherits subscription and assignments.
func (t *transition) replaceStatic(present *member) {
	t.replaced = present.id
	current := present.current
	current.MemberEpoch, current.PreviousMemberEpoch = 0, 0
	t.old = &member{id: t.id, meta: present.meta, current: current}
	t.current = current
	t.records = append(t.records, t.g.memberTombstones(present.id)...)
	t.write(keyMember, t.id, present.meta)
	t.write(keyTarget, t.id, TargetValue{t.g.targets[present.id]})
	t.write(keyCurrent, t.id, current)
}

func (t *transition) write(keyType int16, name string, value Value) {
	t.records = append(t.records, t.g.record(keyType, name, value))
}

// others calls fn for all members of the group but this one and the one that it replaces.
func (t *transition) others(fn func(m *member)) {
	for id, m := range t.g.members {
		if id != t.id && id != t.replaced {
			fn(m)
		}
	}
}

// setMember gives the member its subscription; its strings may be those of a request.
func (t *transition) setMember(meta MemberValue) error {
	old := &t.old.meta
	t.meta = *old
	if meta.equal(old) {
		return t.resolveRegexes()
	}
	t.meta = meta.clone()
	t.write(keyMember, t.id, t.meta)
	t.topicsChanged = !slices.Equal(old.SubscribedTopics, t.meta.SubscribedTopics)
	t.regexChanged = old.regex() != t.meta.regex()
	if t.g.preferredAssignor(nil) != t.g.preferredAssignor(t) {
		t.bump = true
	}
	t.bump = t.bump || t.topicsChanged
	return t.resolveRegexes()
}

// preferredAssignor is the assignor that most members ask for; of two with as many, the one whose name comes first.
func (g *Group) preferredAssignor(t *transition) string {
	votes := map[string]int{}
	vote := func(m *MemberValue) {
		if m.ServerAssignor != nil {
			votes[*m.ServerAssignor]++
		}
	}
	if t == nil {
		for _, m := range g.members {
			vote(&m.meta)
		}
	} else {
		t.others(func(m *member) { vote(&m.meta) })
		vote(&t.meta)
	}
	best := ""
	for name, n := range votes {
		if cmp.Or(cmp.Compare(votes[best], n), strings.Compare(name, best)) < 0 && slices.Contains(g.cfg.Assignors, name) {
			best = name
		}
	}
	return cmp.Or(best, g.cfg.Assignors[0])
}

// updateGroupEpoch raises the group epoch when members, subscriptions or subscribed topics have changed (spec: groups
// 17.2, row 2).
func (t *transition) updateGroupEpoch(always bool) {
	g := t.g
	t.bump = t.bump || always
	if !t.bump && g.checkedTopics && g.topicsVersion == t.topicsVersion {
		return
	}
	t.sawTopics = true
	hash := g.hashOf(t.subscribedTopics())
	if hash != g.metadataHash {
		t.bump = true
	}
	if t.bump {
		t.groupEpoch++
		t.write(keyGroup, "", GroupValue{GroupEpoch: t.groupEpoch, MetadataHash: hash})
	}
}

// subscribedTopics returns the names of all topics that members subscribe to.
func (t *transition) subscribedTopics() map[string]bool {
	topics := map[string]bool{}
	add := func(meta *MemberValue) {
		for _, name := range meta.SubscribedTopics {
			topics[name] = true
		}
	}
	t.others(func(m *member) { add(&m.meta) })
	add(&t.meta)
	for _, r := range t.resolvedRegexes() {
		for _, name := range r.Topics {
			topics[name] = true
		}
	}
	return topics
}

// hashOf is a hash of the identity and the number of partitions of those topics that exist; 0 for none.
func (g *Group) hashOf(names map[string]bool) int64 {
	h := fnv.New64a()
	found := false
	var n [4]byte
	for _, name := range slices.Sorted(maps.Keys(names)) {
		topic, ok := g.cfg.Topics.Lookup(name)
		if !ok {
			continue
		}
		found = true
		binary.BigEndian.PutUint32(n[:], uint32(topic.Partitions))
		_, _ = h.Write(topic.ID[:])
		_, _ = h.Write([]byte(topic.Name))
		_, _ = h.Write(n[:])
	}
	if !found {
		return 0
	}
	return int64(h.Sum64())
}

// assign computes the target assignment when the group epoch is ahead of it and the group's interval allows.
func (t *transition) assign() {
	g := t.g
	t.assignmentEpoch = g.assignmentEpoch
	if t.target = t.lastTarget(t.id); t.newInstance() {
		t.target = nil
	}
	if g.assignmentEpoch >= t.groupEpoch {
		return
	}
	interval := g.cfg.Settings(g.id).AssignmentInterval
	if g.assignedAtMs != 0 && t.now.Before(time.UnixMilli(g.assignedAtMs).Add(interval)) {
		return // the next heartbeat of a member tries again
	}
	topics := topicResolver{topics: g.cfg.Topics, partitions: map[assignment.TopicID]int32{}}
	var members []assignment.Member
	add := func(id string, meta *MemberValue) {
		members = append(members, assignment.Member{
			ID: id, InstanceID: meta.InstanceID, Topics: topics.idsOf(meta, t.resolvedRegexes()), Current: t.lastTarget(id),
		})
	}
	t.others(func(m *member) { add(m.id, &m.meta) })
	add(t.id, &t.meta)
	result := assignment.ByName[g.preferredAssignor(t)](members, topics.partitions)
	for _, id := range slices.Sorted(maps.Keys(result)) {
		last, has := t.g.targets[id]
		if id == t.id {
			last, has = t.lastTarget(id), has || t.replaced != ""
		}
		if !has || !last.Equal(result[id]) {
			t.write(keyTarget, id, TargetValue{result[id]})
		}
	}
	t.assignmentEpoch, t.target = t.groupEpoch, result[t.id]
	t.write(keyTargetEpoch, "", TargetEpochValue{AssignmentEpoch: t.groupEpoch, TimestampMs: t.now.UnixMilli()})
}

// newInstance says that no member had this group instance ID before. Kafka looks the target assignment of a static
// member up by it, and finds none for a dynamic member that becomes a static one.
func (t *transition) newInstance() bool {
	return t.meta.InstanceID != nil && t.g.static[*t.meta.InstanceID] == ""
}

func (t *transition) lastTarget(id string) assignment.Set {
	if id == t.id && t.replaced != "" {
		return t.g.targets[t.replaced]
	}
	return t.g.targets[id]
}

// topicResolver looks names of topics up. What it has seen is in partitions.
type topicResolver struct {
	topics     group.Topics
	byName     map[string]group.Topic
	partitions map[assignment.TopicID]int32
}

// idsOf returns the IDs of the topics that a member subscribes to and that exist.
func (r *topicResolver) idsOf(meta *MemberValue, regexes map[string]RegexValue) map[assignment.TopicID]bool {
	ids := map[assignment.TopicID]bool{}
	add := func(names []string) {
		for _, name := range names {
			topic, ok := r.byName[name]
			if !ok {
				if topic, ok = r.topics.Lookup(name); !ok {
					continue
				}
				if r.byName == nil {
					r.byName = map[string]group.Topic{}
				}
				r.byName[name] = topic
			}
			ids[topic.ID] = true
			if r.partitions != nil {
				r.partitions[topic.ID] = topic.Partitions
			}
		}
	}
	add(meta.SubscribedTopics)
	if regex := meta.regex(); regex != "" {
		add(regexes[regex].Topics)
	}
	return ids
}

// reconcile moves the member towards its target assignment (spec: groups 17.3); owned is nil when the member did not
// say what it owns.
func (t *transition) reconcile(owned assignment.Set) error {
	subscriptionChanged := t.topicsChanged || t.regexChanged
	if !subscriptionChanged && t.current.isAt(t.assignmentEpoch) {
		return nil
	}
	topics := topicResolver{topics: t.g.cfg.Topics}
	r := reconciler{
		current: t.current, target: t.target, targetEpoch: t.assignmentEpoch, owned: owned,
		subscribed: topics.idsOf(&t.meta, t.resolvedRegexes()), subscriptionChanged: subscriptionChanged,
		hasOtherOwner: func(at partition) bool {
			owner := t.g.owners[at]
			return owner != "" && owner != t.id && owner != t.replaced
		},
	}
	next, err := r.next()
	if err != nil {
		return fmt.Errorf("%w: member %q", err, t.id)
	}
	if !next.equal(&t.current) {
		t.current, t.moved = next, true
		t.write(keyCurrent, t.id, next)
	}
	return nil
}
