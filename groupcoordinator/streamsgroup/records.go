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

// recordKey is the key of a record, and what group.Record asks of all of them.
type recordKey struct {
	keyType   int16
	group     string
	member    string // "" in the keys of the group
	tombstone bool
}

func groupKey(keyType int16, group string) recordKey {
	return recordKey{keyType: keyType, group: group}
}

func memberKey(keyType int16, group, member string) recordKey {
	return recordKey{keyType: keyType, group: group, member: member}
}

// removed is the key of the tombstone.
func (k recordKey) removed() recordKey {
	k.tombstone = true
	return k
}

// KeyType implements group.Record, as do the next ones.
func (k *recordKey) KeyType() int16 { return k.keyType }

// GroupID implements group.Record.
func (k *recordKey) GroupID() string { return k.group }

// GroupType implements group.Record.
func (k *recordKey) GroupType() group.Type { return group.Streams }

// IsTombstone implements group.Record.
func (k *recordKey) IsTombstone() bool { return k.tombstone }

// EndsGroup implements group.Record.
func (k *recordKey) EndsGroup() bool { return k.keyType == KeyTypeGroup }

// AppendKey implements group.Record.
func (k *recordKey) AppendKey(dst []byte) []byte {
	dst = fields.AppendString(fields.AppendInt16(dst, k.keyType), k.group)
	if k.isOfMember() {
		dst = fields.AppendString(dst, k.member)
	}
	return dst
}

func (k *recordKey) isOfMember() bool {
	return k.keyType == KeyTypeMember || k.keyType == KeyTypeTarget || k.keyType == KeyTypeCurrent
}

// groupRecord is the group epoch and what it stands for.
type groupRecord struct {
	recordKey
	epoch          int32
	hash           int64
	validatedEpoch int32
	configs        []Config // nil: none
}

// memberRecord is a member's metadata; its tasks are not in it.
type memberRecord struct {
	recordKey
	metadata *Member
}

// targetEpochRecord is the assignment epoch.
type targetEpochRecord struct {
	recordKey
	epoch  int32
	timeMs int64
}

// targetRecord is the target assignment of a member.
type targetRecord struct {
	recordKey
	target Assignment
}

// currentRecord is what a member runs, and what it has still to give up.
type currentRecord struct {
	recordKey
	epoch, previousEpoch int32
	state                MemberState
	assigned, pending    MemberTasks
}

// topologyRecord is the topology as it was sent.
type topologyRecord struct {
	recordKey
	topology *Topology
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
		records = append(records, &currentRecord{recordKey: memberKey(KeyTypeCurrent, g.id, m.ID).removed()},
			&targetRecord{recordKey: memberKey(KeyTypeTarget, g.id, m.ID).removed()},
			&memberRecord{recordKey: memberKey(KeyTypeMember, g.id, m.ID).removed()})
	}
	return append(records, &targetEpochRecord{recordKey: groupKey(KeyTypeTargetEpoch, g.id).removed()},
		&groupRecord{recordKey: groupKey(KeyTypeGroup, g.id).removed()},
		&topologyRecord{recordKey: groupKey(KeyTypeTopology, g.id).removed()})
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
	key := recordKey{keyType: k.Int16(), group: k.String(), tombstone: value == nil}
	if key.isOfMember() {
		key.member = k.String()
	}
	if err := k.Finish(); err != nil {
		return nil, err
	}
	r := newRecord(key)
	if r == nil {
		return nil, fmt.Errorf("%w: key type %d", fields.ErrDamaged, key.keyType)
	}
	if key.tombstone {
		return r, nil
	}
	v := fields.NewReader(value)
	if version := v.Int16(); version != valueVersion {
		v.Fail("version %d of key type %d, known is %d", version, key.keyType, valueVersion)
	}
	r.decode(v)
	return r, v.Finish()
}

// record is a record with a decoder of what its value has behind the version.
type record interface {
	group.Record
	decode(v *fields.Reader)
}

// newRecord returns the record of a key, without its value, or nil for an unknown key type.
func newRecord(key recordKey) record {
	switch key.keyType {
	case KeyTypeGroup:
		return &groupRecord{recordKey: key, validatedEpoch: -1}
	case KeyTypeMember:
		return &memberRecord{recordKey: key}
	case KeyTypeTargetEpoch:
		return &targetEpochRecord{recordKey: key}
	case KeyTypeTarget:
		return &targetRecord{recordKey: key}
	case KeyTypeCurrent:
		return &currentRecord{recordKey: key}
	case KeyTypeTopology:
		return &topologyRecord{recordKey: key}
	}
	return nil
}
