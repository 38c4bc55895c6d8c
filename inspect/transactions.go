package inspect

import (
	"fmt"
	"slices"
	"strings"

	"once/log/batch"
	"once/lso"
	"once/topics"
	"once/txncoordinator"
)

// runKey is one producer ID in one epoch, and how its transactions ended.
type runKey struct {
	producerID int64
	epoch      int16
	outcome    batch.MarkerType
}

// decision is what the transaction log says about the transactions of a producer ID in one epoch, which
// is that of the markers. With transactions V2 an epoch has one; but that of a fence may have another one, of a client
// from before.
type decision struct {
	commits, aborts int32
	epochPerTxn     bool                            // transactions V2
	partitions      []txncoordinator.TopicPartition // of the last one; nil when not known
	id              string                          // transactional ID
}

type producerEpoch struct {
	producerID int64
	epoch      int16
}

// transactions is the transaction log, against which all partitions are held.
type transactions struct {
	c          *checker
	images     map[string]*storedImage // by transactional ID, as the log stands
	owners     map[int64]string        // producer ID → transactional ID, also of the past
	decisions  map[producerEpoch]*decision
	byProducer map[int64]*storedImage
	hung       map[producerEpoch]*hungTransaction
	sets       map[string][]txncoordinator.TopicPartition // one copy of each set of partitions
	partial    bool                                       // the log is damaged: what is missing in it says nothing
	// a start has cut it, or will: a decision may be gone that partitions know of
	torn      bool
	compacted bool            // old records may be gone
	announced map[string]bool // unfinished transactions already noted
}

// hungTransaction is a transaction that the coordinator was told to forget while it was open.
type hungTransaction struct {
	id         string // transactional ID
	partitions []txncoordinator.TopicPartition
}

type storedImage struct {
	txncoordinator.Transaction
	partition string // of __transaction_state
}

func newTransactions(c *checker) *transactions {
	return &transactions{c: c, images: map[string]*storedImage{}, owners: map[int64]string{},
		decisions: map[producerEpoch]*decision{}, hung: map[producerEpoch]*hungTransaction{},
		byProducer: map[int64]*storedImage{}, sets: map[string][]txncoordinator.TopicPartition{},
		announced: map[string]bool{}}
}

// record checks one record of __transaction_state and applies it.
func (x *transactions) record(p *partitionCheck, h batch.Header, r batch.Record, position int64) {
	offset := h.BaseOffset + int64(r.OffsetDelta)
	file := p.segmentAt(offset)
	wrong := func(s Severity, format string, args ...any) {
		p.find(s, file, position, "offset %d: "+format, append([]any{offset}, args...)...)
	}
	s, err := txncoordinator.DecodeRecord(r)
	switch {
	case err != nil:
		wrong(Damage, "%v", err)
		return
	case s.Unknown:
		wrong(Warning, "transactional_id %q: record of an unknown version; it is passed over", s.TransactionalID)
		return
	case h.HasProducer() || h.IsTransactional():
		wrong(Damage, "transactional_id %q: record of producer %d, the coordinator has none", s.TransactionalID, h.ProducerID)
	}
	if p.stored != nil {
		if at := txncoordinator.PartitionOf(s.TransactionalID, p.stored.Partitions); at != p.index {
			wrong(Damage, "transactional_id %q belongs to partition %d", s.TransactionalID, at)
		}
	}
	x.compacted = x.compacted || p.gapAt >= 0 || p.segments[0].base > 0
	prev := x.images[s.TransactionalID]
	complete := p.gapAt < 0 && p.segments[0].base == 0 && !p.broken
	if s.Tombstone {
		if prev != nil && complete && !prev.State.Idle() && !isLeftOpen(s.Hung, prev) {
			wrong(Damage, "transactional_id %q is removed in state %v", s.TransactionalID, prev.State)
		}
		x.forget(s.Hung)
		delete(x.images, s.TransactionalID)
		return
	}
	t := &s.Transaction
	if complete {
		if why := illegal(prev, t); why != "" {
			wrong(Damage, "transactional_id %q: %s", s.TransactionalID, why)
		}
	}
	for _, id := range []int64{t.ProducerID, t.NextProducerID} {
		if id == txncoordinator.NoProducerID {
			continue
		}
		if owner, taken := x.owners[id]; taken && owner != s.TransactionalID {
			wrong(Damage, "producer id %d of transactional_id %q is that of %q", id, s.TransactionalID, owner)
		}
		x.owners[id] = s.TransactionalID
		if next := x.c.cluster.nextProducerID; x.c.topics != nil && id >= next {
			wrong(Damage, "producer id %d of transactional_id %q was never reserved: the next one is %d", id, s.TransactionalID,
				next)
		}
	}
	x.decide(prev, t)
	x.images[s.TransactionalID] = &storedImage{*t, p.name}
}

// isLeftOpen says whether a tombstone of a hung transaction leaves open what the log had last.
func isLeftOpen(hung *txncoordinator.Transaction, prev *storedImage) bool {
	return hung != nil && prev.State == txncoordinator.Ongoing && hung.ProducerID == prev.ProducerID &&
		hung.ProducerEpoch == prev.ProducerEpoch && slices.Equal(hung.Partitions, prev.Partitions)
}

// forget notes a transaction that was left open; nil is none.
func (x *transactions) forget(t *txncoordinator.Transaction) {
	if t == nil {
		return
	}
	x.owners[t.ProducerID] = t.TransactionalID
	x.hung[producerEpoch{t.ProducerID, t.ProducerEpoch}] = &hungTransaction{t.TransactionalID, x.intern(t.Partitions)}
}

// hungIn returns the transaction of a producer that was left open in a partition; nil for none.
func (x *transactions) hungIn(p *partitionCheck, producerID int64, epoch int16) *hungTransaction {
	h := x.hung[producerEpoch{producerID, epoch}]
	if h == nil || !slices.Contains(h.partitions, p.topicPartition()) {
		return nil
	}
	return h
}

// illegal says why an image must not follow another one, "" when it may (spec: transactions 4). prev is
// nil for none.
func illegal(prev *storedImage, t *txncoordinator.Transaction) string {
	if prev == nil {
		if t.State != txncoordinator.Empty {
			return fmt.Sprintf("first record is %v", t.State)
		}
		return ""
	}
	step := func(rule string) string { // a text only for a step that is wrong: most are right
		return fmt.Sprintf("%v (%d,%d) after %v (%d,%d)%s", t.State, t.ProducerID, t.ProducerEpoch,
			prev.State, prev.ProducerID, prev.ProducerEpoch, rule)
	}
	same := t.ProducerID == prev.ProducerID
	switch {
	case !txncoordinator.MayFollow(t.State, prev.State):
		return step("")
	case same && t.ProducerEpoch < prev.ProducerEpoch:
		return step(": the epoch goes down")
	case !same && t.ProducerEpoch != 0:
		return step(": a fresh producer id begins with epoch 0")
	case !same && t.State != txncoordinator.Empty && !(prev.State.Prepared() && t.ProducerID == prev.NextProducerID):
		return step(": the producer id changes within a transaction")
	case t.State == txncoordinator.Ongoing && t.ProducerEpoch != prev.ProducerEpoch:
		return step(": the epoch changes within a transaction")
	case t.State == txncoordinator.Ongoing && prev.State == txncoordinator.Ongoing && !subset(prev.Partitions, t):
		return step(fmt.Sprintf(": partitions %v become %v", prev.Partitions, t.Partitions))
	case t.State.Prepared() && prev.State == txncoordinator.Ongoing && !slices.Equal(prev.Partitions, t.Partitions):
		return step(fmt.Sprintf(": partitions %v become %v", prev.Partitions, t.Partitions))
	case t.State.Prepared() && t.ProducerEpoch > prev.ProducerEpoch+1:
		return step(": the epoch rises by more than one")
	case prev.State.Prepared() && same && t.ProducerEpoch != prev.ProducerEpoch:
		return step(": the epoch changes behind the decision")
	}
	return ""
}

func subset(parts []txncoordinator.TopicPartition, of *txncoordinator.Transaction) bool {
	return !slices.ContainsFunc(parts, func(p txncoordinator.TopicPartition) bool { return !of.Has(p) })
}

// decide notes the outcome that a record stands for.
func (x *transactions) decide(prev *storedImage, t *txncoordinator.Transaction) {
	fresh := t.State.Prepared()
	// What compaction left of a transaction is its end, which had the same epoch unless the producer ID
	// was exchanged.
	late := (t.State == txncoordinator.CompleteCommit || t.State == txncoordinator.CompleteAbort) &&
		(prev == nil || !prev.State.Prepared())
	if !fresh && !late {
		return
	}
	x.c.report.Counters.Transactions++
	key := producerEpoch{t.ProducerID, t.ProducerEpoch}
	d := x.decisions[key]
	if d == nil {
		d = &decision{id: t.TransactionalID, epochPerTxn: t.ClientTransactionVersion >= 2}
		x.decisions[key] = d
	}
	if t.ClientTransactionVersion < 2 {
		d.epochPerTxn = false
	}
	if fresh {
		d.partitions = x.intern(t.Partitions)
	}
	if t.State == txncoordinator.PrepareCommit || t.State == txncoordinator.CompleteCommit {
		d.commits++
	} else {
		d.aborts++
	}
}

func (x *transactions) intern(parts []txncoordinator.TopicPartition) []txncoordinator.TopicPartition {
	var b strings.Builder
	for _, p := range parts {
		fmt.Fprintf(&b, "%s-%d ", p.Topic, p.Partition)
	}
	if set, ok := x.sets[b.String()]; ok {
		return set
	}
	set := append([]txncoordinator.TopicPartition{}, parts...)
	x.sets[b.String()] = set
	return set
}

// loaded is called when all of the transaction log has been read.
func (x *transactions) loaded() {
	for _, id := range sortedKeys(x.images) {
		t := x.images[id]
		x.byProducer[t.ProducerID] = t
		if t.State == txncoordinator.Ongoing {
			x.c.report.Counters.Transactions++
		}
		if t.State.Prepared() {
			x.c.find(Note, t.partition, -1, t.partition,
				"transactional_id %q is decided, %v, and not completed; the next start does it", id, t.State)
		}
		for _, tp := range t.Partitions {
			if x.c.topics == nil {
				break
			}
			if s := x.c.topics[tp.Topic]; s == nil || tp.Partition >= s.Partitions {
				x.c.find(Note, t.partition, -1, t.partition,
					"transactional_id %q, %v, has partition %v, which does not exist any more", id, t.State, tp)
			}
		}
	}
}

// unknown is told that a partition could not be judged.
func (x *transactions) unknown(p *partitionCheck) {
	x.partial = x.partial || p.topic == topics.TransactionState
}

// contradiction is the severity of a partition that knows more than the transaction log.
func (x *transactions) contradiction() Severity {
	if x.torn {
		return Warning
	}
	return Damage
}

// ended checks a transaction with records in a partition that a marker has ended: the outcome is the one
// that the coordinator decided, and the partition is one that it knew of (spec: reliability P18).
func (x *transactions) ended(p *partitionCheck, s *segmentFile, position int64, m batch.Marker, first int64) {
	if x.partial {
		return
	}
	key := runKey{m.ProducerID, m.ProducerEpoch, m.Type}
	p.replay.runs[key]++
	n := p.replay.runs[key]
	d := x.decisions[producerEpoch{m.ProducerID, m.ProducerEpoch}]
	who := fmt.Sprintf("marker %v of producer %d epoch %d ends the transaction from offset %d", m.Type, m.ProducerID,
		m.ProducerEpoch, first)
	if d == nil {
		switch {
		case x.compacted:
		case m.Type == batch.Commit:
			p.find(x.contradiction(), s.name, position, "%s, which was never decided", who)
		default:
			p.find(Note, s.name, position, "%s, which the coordinator did not decide: an administrator's", who)
		}
		return
	}
	decided, other := d.commits, d.aborts
	byHand := false
	if m.Type == batch.Abort {
		decided, other = other, decided
		byHand = x.hungIn(p, m.ProducerID, m.ProducerEpoch) != nil
	}
	switch {
	case n <= decided:
	case byHand:
		p.find(Note, s.name, position, "%s, which the coordinator had forgotten: an administrator's", who)
	case d.epochPerTxn || m.Type == batch.Commit && !x.compacted:
		p.find(x.contradiction(), s.name, position,
			"%s, but transactional_id %q decided otherwise: %d times so, %d times the opposite", who, d.id, decided, other)
		return
	case !x.compacted:
		p.find(Warning, s.name, position, "%s, but transactional_id %q decided so %d times only: an administrator's", who,
			d.id, decided)
	}
	if !byHand && d.epochPerTxn && d.partitions != nil && !slices.Contains(d.partitions, p.topicPartition()) {
		p.find(x.contradiction(), s.name, position, "%s, but transactional_id %q did not have this partition: %v", who, d.id,
			d.partitions)
	}
}

// open checks a transaction that is open at the end of a partition. The coordinator must know that it has to be ended
// here, or else the last stable offset never moves again: the transaction hangs. It is no damage if the coordinator was
// told to forget it. If old records of the transaction log are gone, this may be so, and it is a warning.
func (x *transactions) open(p *partitionCheck, t lso.Transaction, epoch int16) {
	if x.partial {
		return
	}
	image := x.byProducer[t.ProducerID]
	severity, why := x.contradiction(), ""
	hung := x.hungIn(p, t.ProducerID, epoch)
	_, hadOwner := x.owners[t.ProducerID]
	switch {
	case hung != nil:
		severity = Note
		why = fmt.Sprintf("transactional_id %q was forgotten while it was open; kafka-transactions abort ends it", hung.id)
	case image == nil && x.compacted && !hadOwner:
		severity = Warning
		why = "no transactional id has this producer id, and old records of the transaction log are gone"
	case image == nil:
		why = "no transactional id has this producer id"
	case image.State.Idle():
		why = fmt.Sprintf("transactional_id %q is in state %v", image.TransactionalID, image.State)
	case !image.Has(p.topicPartition()):
		why = fmt.Sprintf("transactional_id %q, %v, does not have this partition: %v", image.TransactionalID, image.State,
			image.Partitions)
	case image.State == txncoordinator.Ongoing && image.ProducerEpoch != epoch,
		image.State.Prepared() && image.ProducerEpoch != epoch && image.ProducerEpoch != epoch+1:
		why = fmt.Sprintf("transactional_id %q, %v, has epoch %d", image.TransactionalID, image.State, image.ProducerEpoch)
	default:
		return
	}
	if image != nil { // txncoordinator.Reconcile
		why += "; the next start ends it"
	}
	x.c.report.Counters.Hanging++
	p.find(severity, p.segmentAt(t.FirstOffset), -1,
		"hanging transaction of producer %d epoch %d, open since offset %d: %s", t.ProducerID, epoch, t.FirstOffset, why)
}

func (p *partitionCheck) topicPartition() txncoordinator.TopicPartition {
	return txncoordinator.TopicPartition{Topic: p.topic, Partition: p.index}
}

// segmentAt names the file that an offset lies in.
func (p *partitionCheck) segmentAt(offset int64) string {
	name := p.segments[0].name
	for i := range p.segments {
		if p.segments[i].base <= offset {
			name = p.segments[i].name
		}
	}
	return name
}
