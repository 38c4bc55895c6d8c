package inspect

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"once/internal/vfs"
	"once/log/batch"
	"once/log/salvage"
	"once/topics"
	"once/txncoordinator"
)

// RepairPlan is the plan for the damage in a data directory.
type RepairPlan struct {
	Partitions []PartitionRepair // those that need it, by name
	// Beyond is damage that a repair leaves as it is: of the metadata, the barrier records, directories, and of logs
	// whose segments contradict each other. Nothing is planned if it is about the directory as a whole.
	Beyond []Finding
}

// PartitionRepair is the repair of one partition's log, and the loss of its topic.
type PartitionRepair struct {
	*salvage.Repair
	// Groups are the groups with records left in a partition of __consumer_offsets, and the number of their committed
	// offsets.
	Groups map[string]int
	// TransactionalIDs are the IDs left in a partition of __transaction_state, with their state.
	TransactionalIDs map[string]txncoordinator.State
	// InDoubt are transactions whose marker may be lost.
	InDoubt []TransactionInDoubt
}

// TransactionInDoubt is a transaction that was open before lost offsets: its marker may have been among them.
type TransactionInDoubt struct {
	ProducerID  int64
	FirstOffset int64 // of its first batch that is left
	// Ended says that the producer has a marker after the lost offsets, at MarkerOffset. It may belong to this
	// transaction or to a later one; readers apply it to this one. Else the transaction is open.
	Ended        bool
	Marker       batch.MarkerType
	MarkerOffset int64
}

// PlanRepair plans the repair of a data directory without changing it. partitions are the names of the partitions to
// check, none means all. The caller holds the directory's lock, see Lock. The error is ErrInUse or ErrUnreadable.
func PlanRepair(under vfs.FS, dir string, partitions []string, o Options) (plan RepairPlan, err error) {
	d, err := read(under, dir)
	if err != nil {
		return plan, err
	}
	defer d.close()
	c := newChecker(d, o.withDefaults())
	c.metadata()
	c.barrierRecords()
	logs := c.directories()
	for _, name := range partitions {
		if !slices.Contains(logs, name) {
			return plan, fmt.Errorf("%w: %s has no log of a partition %q", ErrUnreadable, dir, name)
		}
	}
	if len(partitions) > 0 {
		logs = partitions
	}
	if c.topics == nil || c.barrier == nil { // nobody can tell whose the logs are, or which bytes to trust
		logs = nil
	}
	for _, name := range logs {
		p := newPartitionCheck(c, name)
		r, err := p.plan()
		if errors.Is(err, fs.ErrPermission) {
			return plan, fmt.Errorf("%w: %w", ErrUnreadable, err)
		}
		if err != nil {
			p.find(Damage, "", -1, "cannot be read: %v", err)
			continue
		}
		if r != nil {
			plan.Partitions = append(plan.Partitions, *r)
		}
	}
	for _, f := range c.report.Findings {
		if f.Severity == Damage {
			plan.Beyond = append(plan.Beyond, f)
		}
	}
	return plan, nil
}

// plan plans the repair of one partition; nil when there is nothing to do.
func (p *partitionCheck) plan() (*PartitionRepair, error) {
	var err error
	if p.names, err = p.c.fs.List(p.c.path(p.name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if p.segments, err = listSegments(p.c.fs, p.c.path(p.name), p.names); err != nil {
		return nil, err
	}
	r, err := p.logRepair()
	if err != nil {
		return nil, err
	}
	for _, d := range r.Beyond {
		p.find(Damage, path.Base(d.File), d.Position, "%v", d.Cause)
	}
	if !r.Needed() {
		return nil, nil
	}
	left := &PartitionRepair{Repair: r}
	return left, p.readLeft(left)
}

// logRepair returns the plan for the log.
func (p *partitionCheck) logRepair() (*salvage.Repair, error) {
	if p.repair != nil {
		return p.repair, nil
	}
	var stored []salvage.StoredSegment
	for _, s := range p.segments {
		if !s.journal {
			stored = append(stored, salvage.StoredSegment{Name: s.name, BaseOffset: s.base, SizeBytes: s.sizeBytes})
		}
	}
	r, err := salvage.Plan(p.c.fs, p.c.path(p.name), stored, p.recovery)
	if err == nil {
		p.repair = r
	}
	return r, err
}

// repairOf returns the repair of a segment, nil for none.
func (p *partitionCheck) repairOf(name string) *salvage.SegmentRepair {
	r, err := p.logRepair()
	if err != nil {
		return nil // who walks the segment comes to the same error
	}
	for i := range r.Segments {
		if r.Segments[i].Name == name {
			return &r.Segments[i]
		}
	}
	return nil
}

// adviseRepair reports the next step after damage.
func (p *partitionCheck) adviseRepair() {
	r, err := p.logRepair()
	if err != nil || !r.Needed() {
		return
	}
	var batches int64
	for i := range r.Segments {
		batches += r.Segments[i].Batches()
	}
	p.find(Note, "", -1, "%d batches of damaged segments are whole; %q keeps them", batches, p.c.repairCommand())
}

func (c *checker) repairCommand() string { return "broker repair " + c.dir }

// readLeft reads the batches that the log has after the repair.
func (p *partitionCheck) readLeft(left *PartitionRepair) error {
	scratch := newChecker(p.c.directory, p.c.o) // what it finds is not this plan's affair
	scratch.topics, scratch.cluster = p.c.topics, p.c.cluster
	q := newPartitionCheck(scratch, p.name)
	q.segments = p.segments
	t := doubtTracker{lost: left.Lost(), open: map[int64]*TransactionInDoubt{}}
	err := left.EachBatch(p.c.fs, p.c.path(p.name), func(h batch.Header, raw []byte) error {
		m, isMarker, err := batch.ParseMarker(raw)
		isMarker = isMarker && err == nil
		t.batch(h, m, isMarker)
		if h.IsControl() {
			if isMarker && p.topic == topics.ConsumerOffsets {
				scratch.groups.marker(q, m)
			}
			return nil
		}
		if q.visit == nil {
			return nil
		}
		for rec, err := range batch.Records(raw, p.c.o.MaxInflatedBytes) {
			if err != nil {
				return nil // a batch that cannot be read is the check's affair
			}
			q.visit(q, h, rec, -1)
		}
		return nil
	})
	left.InDoubt = t.end()
	switch p.topic {
	case topics.ConsumerOffsets:
		left.Groups = map[string]int{}
		for group, of := range scratch.groups.members {
			left.Groups[group] = of.offsets
		}
	case topics.TransactionState:
		left.TransactionalIDs = map[string]txncoordinator.State{}
		for id, image := range scratch.txns.images {
			left.TransactionalIDs[id] = image.State
		}
	}
	return err
}

// doubtTracker finds the transactions that were open at lost offsets.
type doubtTracker struct {
	lost  []salvage.OffsetRange // not passed yet
	open  map[int64]*TransactionInDoubt
	doubt []*TransactionInDoubt // in the order in which they came into doubt
}

func (t *doubtTracker) batch(h batch.Header, m batch.Marker, isMarker bool) {
	for len(t.lost) > 0 && t.lost[0].To <= h.BaseOffset {
		t.pass()
	}
	switch x := t.open[h.ProducerID]; {
	case isMarker && x != nil:
		x.Ended, x.Marker, x.MarkerOffset = true, m.Type, h.BaseOffset
		delete(t.open, h.ProducerID)
	case !h.IsControl() && h.IsTransactional() && x == nil:
		t.open[h.ProducerID] = &TransactionInDoubt{ProducerID: h.ProducerID, FirstOffset: h.BaseOffset}
	}
}

// pass handles a range of lost offsets.
func (t *doubtTracker) pass() {
	t.lost = t.lost[1:]
	for _, id := range sortedKeys(t.open) {
		if x := t.open[id]; !slices.Contains(t.doubt, x) {
			t.doubt = append(t.doubt, x)
		}
	}
}

func (t *doubtTracker) end() (all []TransactionInDoubt) {
	for len(t.lost) > 0 {
		t.pass()
	}
	for _, x := range t.doubt {
		all = append(all, *x)
	}
	return all
}
