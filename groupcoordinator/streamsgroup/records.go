package streamsgroup

import (
	"fmt"

	"once/groupcoordinator/group"
	"once/internal/fields"
)

// Key types of the records of streams groups in __consumer_offsets (spec: streams-groups 17). 18 is not used.
const (
	KeyTypeGroup       = 17
	KeyTypeMember      = 19
	KeyTypeTargetEpoch = 20
	KeyTypeTarget      = 21
	KeyTypeCurrent     = 22
	KeyTypeTopology    = 23

	valueVersion = 0
	fixedBytes   = 128 // more than the fields of fixed size of a record, with its framing in a batch
)

// groupRecord is the group epoch and what it stands for.
type groupRecord struct {
	group          string
	tombstone      bool
	epoch          int32
	hash           int64
	validatedEpoch int32
	configs        []Config // nil: none
}

// memberRecord is a member's metadata; its tasks are not in it.
type memberRecord struct {
	group, member string
	tombstone     bool
	metadata      *Member
}

// targetEpochRecord is the assignment epoch.
type targetEpochRecord struct {
	group     string
	tombstone bool
	epoch     int32
	timeMs    int64
}

// targetRecord is the target assignment of a member.
type targetRecord struct {
	group, member string
	tombstone     bool
	target        Assignment
}

// currentRecord is what a member runs, and what it has still to give up.
type currentRecord struct {
	group, member        string
	tombstone            bool
	epoch, previousEpoch int32
	state                MemberState
	assigned, pending    MemberTasks
}

// topologyRecord is the topology as it was sent.
type topologyRecord struct {
	group     string
	tombstone bool
	topology  *Topology
}

// Apply implements group.Group.
func (g *Group) Apply(r group.Record) {
	switch r := r.(type) {
	case *groupRecord:
		g.epoch, g.metadataHash, g.validatedEpoch, g.assignmentConfigs = r.epoch, r.hash, r.validatedEpoch, r.configs
	case *memberRecord:
		g.applyMember(r)
	case *targetEpochRecord:
		if !r.tombstone {
			g.assignmentEpoch, g.assignmentTimeMs = r.epoch, r.timeMs
		}
	case *targetRecord:
		if delete(g.targets, r.member); !r.tombstone {
			g.targets[r.member] = r.target
		}
	case *currentRecord:
		g.applyCurrent(r)
	case *topologyRecord:
		if g.topology = r.topology; r.tombstone {
			g.topology = nil
		}
	}
}

func (g *Group) applyMember(r *memberRecord) {
	if r.tombstone {
		delete(g.members, r.member)
		delete(g.volatile, r.member)
		if len(g.members) == 0 {
			g.shutdownBy = ""
		}
		return
	}
	m := r.metadata.clone()
	m.State = Stable
	if old := g.members[r.member]; old != nil {
		m.Epoch, m.PreviousEpoch, m.State = old.Epoch, old.PreviousEpoch, old.State
		m.Assigned, m.Pending = old.Assigned, old.Pending
	} else {
		m.Epoch, m.PreviousEpoch, m.Assigned, m.Pending = 0, 0, MemberTasks{}, MemberTasks{}
	}
	g.members[r.member] = m
}

func (g *Group) applyCurrent(r *currentRecord) {
	old := g.members[r.member]
	if old == nil {
		return // compaction has taken the member's metadata away
	}
	m := old.clone()
	m.Epoch, m.PreviousEpoch, m.State, m.Assigned, m.Pending = r.epoch, r.previousEpoch, r.state, r.assigned, r.pending
	if r.tombstone {
		m.Epoch, m.PreviousEpoch, m.State, m.Assigned, m.Pending = 0, 0, Stable, MemberTasks{}, MemberTasks{}
	}
	g.members[r.member] = m
}

// Tombstones implements group.Group, in Kafka's order.
func (g *Group) Tombstones() []group.Record {
	var records []group.Record
	for _, m := range sortedMembers(g.members) {
		records = append(records, &currentRecord{group: g.id, member: m.ID, tombstone: true},
			&targetRecord{group: g.id, member: m.ID, tombstone: true},
			&memberRecord{group: g.id, member: m.ID, tombstone: true})
	}
	return append(records, &targetEpochRecord{group: g.id, tombstone: true},
		&groupRecord{group: g.id, tombstone: true}, &topologyRecord{group: g.id, tombstone: true})
}

// The methods of group.Record.

func (r *groupRecord) KeyType() int16       { return KeyTypeGroup }
func (r *memberRecord) KeyType() int16      { return KeyTypeMember }
func (r *targetEpochRecord) KeyType() int16 { return KeyTypeTargetEpoch }
func (r *targetRecord) KeyType() int16      { return KeyTypeTarget }
func (r *currentRecord) KeyType() int16     { return KeyTypeCurrent }
func (r *topologyRecord) KeyType() int16    { return KeyTypeTopology }

func (r *groupRecord) GroupID() string       { return r.group }
func (r *memberRecord) GroupID() string      { return r.group }
func (r *targetEpochRecord) GroupID() string { return r.group }
func (r *targetRecord) GroupID() string      { return r.group }
func (r *currentRecord) GroupID() string     { return r.group }
func (r *topologyRecord) GroupID() string    { return r.group }

func (r *groupRecord) GroupType() group.Type       { return group.Streams }
func (r *memberRecord) GroupType() group.Type      { return group.Streams }
func (r *targetEpochRecord) GroupType() group.Type { return group.Streams }
func (r *targetRecord) GroupType() group.Type      { return group.Streams }
func (r *currentRecord) GroupType() group.Type     { return group.Streams }
func (r *topologyRecord) GroupType() group.Type    { return group.Streams }

func (r *groupRecord) IsTombstone() bool       { return r.tombstone }
func (r *memberRecord) IsTombstone() bool      { return r.tombstone }
func (r *targetEpochRecord) IsTombstone() bool { return r.tombstone }
func (r *targetRecord) IsTombstone() bool      { return r.tombstone }
func (r *currentRecord) IsTombstone() bool     { return r.tombstone }
func (r *topologyRecord) IsTombstone() bool    { return r.tombstone }

func (r *groupRecord) EndsGroup() bool       { return true }
func (r *memberRecord) EndsGroup() bool      { return false }
func (r *targetEpochRecord) EndsGroup() bool { return false }
func (r *targetRecord) EndsGroup() bool      { return false }
func (r *currentRecord) EndsGroup() bool     { return false }
func (r *topologyRecord) EndsGroup() bool    { return false }

func appendGroupKey(dst []byte, keyType int16, group string) []byte {
	return fields.AppendString(fields.AppendInt16(dst, keyType), group)
}

func (r *groupRecord) AppendKey(dst []byte) []byte { return appendGroupKey(dst, KeyTypeGroup, r.group) }
func (r *memberRecord) AppendKey(dst []byte) []byte {
	return fields.AppendString(appendGroupKey(dst, KeyTypeMember, r.group), r.member)
}
func (r *targetEpochRecord) AppendKey(dst []byte) []byte {
	return appendGroupKey(dst, KeyTypeTargetEpoch, r.group)
}
func (r *targetRecord) AppendKey(dst []byte) []byte {
	return fields.AppendString(appendGroupKey(dst, KeyTypeTarget, r.group), r.member)
}
func (r *currentRecord) AppendKey(dst []byte) []byte {
	return fields.AppendString(appendGroupKey(dst, KeyTypeCurrent, r.group), r.member)
}
func (r *topologyRecord) AppendKey(dst []byte) []byte {
	return appendGroupKey(dst, KeyTypeTopology, r.group)
}

// MaxBytes of a record is what it takes: streams groups are small, and change seldom.
func maxBytes(r group.Record) int {
	n := fixedBytes + len(r.AppendKey(nil))
	if !r.IsTombstone() {
		n += len(r.AppendValue(nil))
	}
	return n
}

func (r *groupRecord) MaxBytes() int       { return maxBytes(r) }
func (r *memberRecord) MaxBytes() int      { return maxBytes(r) }
func (r *targetEpochRecord) MaxBytes() int { return maxBytes(r) }
func (r *targetRecord) MaxBytes() int      { return maxBytes(r) }
func (r *currentRecord) MaxBytes() int     { return maxBytes(r) }
func (r *topologyRecord) MaxBytes() int    { return maxBytes(r) }

// DecodeRecord reads a record; value nil is a tombstone. The error is group.ErrDamaged.
func DecodeRecord(key, value []byte) (group.Record, error) {
	r, err := decodeRecord(fields.NewReader(key), value)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", group.ErrDamaged, err)
	}
	return r, nil
}

func decodeRecord(k *fields.Reader, value []byte) (group.Record, error) {
	keyType, id, member := k.Int16(), k.String(), ""
	switch keyType {
	case KeyTypeMember, KeyTypeTarget, KeyTypeCurrent:
		member = k.String()
	}
	if err := k.Finish(); err != nil {
		return nil, err
	}
	tombstone := value == nil
	v := fields.NewReader(value)
	if !tombstone {
		if version := v.Int16(); version != valueVersion {
			v.Fail("version %d of key type %d, known is %d", version, keyType, valueVersion)
		}
	}
	var r group.Record
	switch keyType {
	case KeyTypeGroup:
		own := &groupRecord{group: id, tombstone: tombstone, validatedEpoch: -1}
		r = own
		if !tombstone {
			own.decode(v)
		}
	case KeyTypeMember:
		own := &memberRecord{group: id, member: member, tombstone: tombstone}
		r = own
		if !tombstone {
			own.decode(v)
		}
	case KeyTypeTargetEpoch:
		own := &targetEpochRecord{group: id, tombstone: tombstone}
		r = own
		if !tombstone {
			own.decode(v)
		}
	case KeyTypeTarget:
		own := &targetRecord{group: id, member: member, tombstone: tombstone}
		r = own
		if !tombstone {
			own.target = Assignment{Active: readTasks(v), Standby: readTasks(v), Warmup: readTasks(v)}
			v.Tags(nil)
		}
	case KeyTypeCurrent:
		own := &currentRecord{group: id, member: member, tombstone: tombstone}
		r = own
		if !tombstone {
			own.decode(v)
		}
	case KeyTypeTopology:
		own := &topologyRecord{group: id, tombstone: tombstone}
		r = own
		if !tombstone {
			own.topology = readTopology(v)
		}
	default:
		return nil, fmt.Errorf("%w: key type %d", fields.ErrDamaged, keyType)
	}
	if !tombstone {
		if err := v.Finish(); err != nil {
			return nil, err
		}
	}
	return r, nil
}
