package inspect

import (
	"fmt"
	"slices"

	"once/groupcoordinator"
	"once/log/batch"
)

// groups is the content of all partitions of __consumer_offsets.
type groups struct {
	c          *checker
	members    map[string]*storedGroup
	committed  map[offsetKey]int64
	staged     map[stagedBy][]stagedOffset
	partitions map[string]string // group → its partition's name
	checked    groupcoordinator.StoredGroups
}

type storedGroup struct {
	generation int32
	recorded   bool // has a record of its own, not offsets alone
	offsets    int
}

type offsetKey struct {
	group, topic string
	partition    int32
}

// stagedBy is an open transaction in a partition of __consumer_offsets.
type stagedBy struct {
	partition  string
	producerID int64
}

type stagedOffset struct {
	offsetKey
	value int64
}

func newGroups(c *checker) *groups {
	return &groups{c: c, members: map[string]*storedGroup{}, committed: map[offsetKey]int64{},
		staged: map[stagedBy][]stagedOffset{}, partitions: map[string]string{}}
}

// record checks one record of __consumer_offsets and applies it.
func (g *groups) record(p *partitionCheck, h batch.Header, r batch.Record, position int64) {
	offset := h.BaseOffset + int64(r.OffsetDelta)
	s, err := groupcoordinator.DecodeRecord(r.Key, r.Value)
	if err != nil {
		p.find(Damage, p.segmentAt(offset), position, "offset %d: %v", offset, err)
		return
	}
	if s.Kind == groupcoordinator.StoredOther {
		return
	}
	if p.stored != nil {
		if at := groupcoordinator.PartitionOf(s.Group, p.stored.Partitions); at != p.index {
			p.find(Damage, p.segmentAt(offset), position, "offset %d: group %q belongs to partition %d", offset, s.Group, at)
		}
	}
	if h.IsTransactional() && (s.Kind != groupcoordinator.StoredOffset || s.Tombstone) {
		p.find(Damage, p.segmentAt(offset), position,
			"offset %d: group %q: a transaction holds something other than an offset", offset, s.Group)
		return
	}
	switch s.Kind {
	case groupcoordinator.StoredGroup:
		g.group(p, &s, offset, position)
		return
	case groupcoordinator.StoredTyped:
		g.typed(p, &s, offset, position)
		return
	}
	key := offsetKey{s.Group, s.Topic, s.Partition}
	switch {
	case s.Tombstone:
		g.erase(p, key)
	case h.IsTransactional():
		by := stagedBy{p.name, h.ProducerID}
		g.staged[by] = append(g.staged[by], stagedOffset{key, s.Offset})
		g.of(s.Group)
	default:
		g.commit(key, s.Offset)
	}
}

// group checks that no generation is used again (spec: reliability P25), and that each member appears once.
func (g *groups) group(p *partitionCheck, s *groupcoordinator.StoredRecord, offset, position int64) {
	if s.Tombstone {
		if of := g.members[s.Group]; of != nil {
			of.recorded, of.generation = false, 0
			g.drop(s.Group)
		}
		return
	}
	of := g.of(s.Group)
	if of.recorded && s.Generation < of.generation {
		p.find(Damage, p.segmentAt(offset), position, "offset %d: group %q goes back from generation %d to %d", offset,
			s.Group, of.generation, s.Generation)
	}
	of.recorded, of.generation = true, s.Generation
	seen := make(map[string]bool, len(s.Members))
	for _, m := range s.Members {
		if m.MemberID == "" || seen[m.MemberID] {
			p.find(Damage, p.segmentAt(offset), position, "offset %d: group %q has the member %q twice or without an id", offset,
				s.Group, m.MemberID)
		}
		seen[m.MemberID] = true
	}
}

// typed checks a record of a group of another protocol than the classic one.
func (g *groups) typed(p *partitionCheck, s *groupcoordinator.StoredRecord, offset, position int64) {
	if wrong := g.checked.Check(s); wrong != "" {
		p.find(Damage, p.segmentAt(offset), position, "offset %d: group %q %s", offset, s.Group, wrong)
	}
	if s.EndsGroup() {
		if of := g.members[s.Group]; of != nil {
			of.recorded = false
			g.drop(s.Group)
		}
	} else if !s.Tombstone {
		g.of(s.Group).recorded = true
	}
}

func (g *groups) of(group string) *storedGroup {
	of := g.members[group]
	if of == nil {
		of = &storedGroup{}
		g.members[group] = of
	}
	return of
}

// drop forgets a group without records.
func (g *groups) drop(group string) {
	if of := g.members[group]; of != nil && !of.recorded && of.offsets == 0 {
		delete(g.members, group)
	}
}

func (g *groups) commit(key offsetKey, value int64) {
	if _, ok := g.committed[key]; !ok {
		g.of(key.group).offsets++
	}
	g.committed[key] = value
}

func (g *groups) erase(p *partitionCheck, key offsetKey) {
	if _, ok := g.committed[key]; ok {
		delete(g.committed, key)
		g.of(key.group).offsets--
	}
	g.drop(key.group)
	for by, offsets := range g.staged {
		if by.partition == p.name {
			g.staged[by] = slices.DeleteFunc(offsets, func(o stagedOffset) bool { return o.offsetKey == key })
		}
	}
}

// marker ends a transaction and commits or drops its pending offsets.
func (g *groups) marker(p *partitionCheck, m batch.Marker) {
	by := stagedBy{p.name, m.ProducerID}
	for _, o := range g.staged[by] {
		if m.Type == batch.Commit {
			g.commit(o.offsetKey, o.value)
		}
	}
	delete(g.staged, by)
}

func (g *groups) count() int { return len(g.members) }

// finish compares committed offsets with the log end offsets of their partitions. A client may commit any offset, but
// after a power cut this would show lost data to which an offset still refers.
func (g *groups) finish() {
	beyond, example := 0, ""
	for key, value := range g.committed {
		end, ok := g.c.ends[partitionName(key.topic, key.partition)]
		if !ok || value <= end {
			continue
		}
		beyond++
		if line := fmt.Sprintf("group %q has offset %d of %s-%d, which ends at %d", key.group, value, key.topic,
			key.partition, end); example == "" || line < example {
			example = line
		}
	}
	if beyond > 0 {
		g.c.find(Note, "", -1, "", "%d committed offsets lie behind the end of their log: %s", beyond, example)
	}
}
