package partition

import (
	"errors"
	"fmt"

	"once/durability"
	"once/internal/fault"
	"once/log"
	"once/log/batch"
	"once/pidmanager"
)

// Appended is the result for a batch that is in the log.
type Appended struct {
	BaseOffset, LastOffset int64
	LogAppendTimeMs        int64 // -1 unless the topic stamps its own time, or for a duplicate
	LogStartOffset         int64
	Duplicate              bool // the batch was stored before; the offsets are those of then
	SequencesBegan         bool // the producer, which has no transactions, raised its epoch: its sequences began again
	// Durable is the ticket that the answer waits for. After it, readers can see the batch.
	Durable durability.Ticket
}

// AppendClient appends the batch of a Produce request. It patches the batch in place (offsets, leader epoch,
// timestamps), or rebuilds it when the topic wants another codec. The checks are Kafka's, in Kafka's order (spec: log
// 4.2 rows 13 to 22). Besides the errors of this package it returns those of batch.Prepare. The Appended of an error
// has the LogStartOffset.
func (p *Partition) AppendClient(raw []byte, guard Guard, produceVersion int16) (Appended, error) {
	config := p.config.Load()
	rules := config.Rules
	rules.ProduceVersion = produceVersion
	nowMs := p.opts.Clock.Now().UnixMilli()
	refused := Appended{BaseOffset: -1, LastOffset: -1, LogAppendTimeMs: -1, LogStartOffset: p.LogStartOffset()}
	raw, h, err := batch.Prepare(raw, &rules, nowMs)
	if err != nil {
		return refused, err
	}
	p.mu.Lock()
	appended, wake, err := p.appendLocked(raw, &h, pidmanager.Client, guard, durability.Produced)
	p.mu.Unlock()
	if err != nil {
		return refused, err
	}
	p.waiters.wake(wake)
	if h.IsLogAppendTime() && !appended.Duplicate {
		appended.LogAppendTimeMs = h.MaxTimestampMs
	}
	return appended, nil
}

// AppendCoordinator appends a plain batch that a coordinator built. A batch larger than the topic allows is refused, as
// for a client. answer is the kind of answer that depends on the batch.
func (p *Partition) AppendCoordinator(raw []byte, answer durability.Answer) (Appended, error) {
	return p.appendCoordinator(raw, 0, answer)
}

// AppendTransactionalOffsets appends a batch of offsets that the group coordinator built, as part of
// the transaction that guard was given for. Epochs are checked; there are no sequences.
func (p *Partition) AppendTransactionalOffsets(raw []byte, guard Guard) (Appended, error) {
	return p.appendCoordinator(raw, guard, durability.GroupChanged)
}

func (p *Partition) appendCoordinator(raw []byte, guard Guard, answer durability.Answer) (Appended, error) {
	if err := p.config.Load().Rules.CheckSize(len(raw)); err != nil {
		return Appended{}, fmt.Errorf("%s: %w", p.id, err)
	}
	h, err := batch.ParseHeader(raw)
	if err != nil {
		return Appended{}, err
	}
	p.mu.Lock()
	appended, wake, err := p.appendLocked(raw, &h, pidmanager.Coordinator, guard, answer)
	p.mu.Unlock()
	p.waiters.wake(wake)
	return appended, err
}

// appendLocked gives a checked batch its offset and writes it. h is updated to what is written.
func (p *Partition) appendLocked(raw []byte, h *batch.Header, origin pidmanager.Origin, guard Guard,
	answer durability.Answer) (Appended, wakeUp, error) {
	if p.mu.offline != nil {
		return Appended{}, wakeUp{}, p.offlineErrorLocked()
	}
	if h.HasProducer() {
		if origin == pidmanager.Client {
			if b, ok := p.mu.producers.Duplicate(h); ok {
				return p.duplicateLocked(b), wakeUp{}, nil
			}
		}
		if err := p.mu.producers.Check(h, origin, guard, !p.unverified.Load()); err != nil {
			return Appended{}, wakeUp{}, fmt.Errorf("%s: %w", p.id, err)
		}
	}
	if origin == pidmanager.Client { // behind the duplicates, which are stored although the disk is full now
		if err := p.opts.Barrier.Admit(len(raw)); err != nil {
			return Appended{}, wakeUp{}, fmt.Errorf("%s: %w", p.id, err)
		}
	}
	if err := p.writeLocked(raw, h); err != nil {
		return Appended{}, wakeUp{}, err
	}
	restarted := p.applyLocked(h)
	appended, wake, err := p.appendedLocked(h, answer)
	appended.SequencesBegan = restarted
	return appended, wake, err
}

// duplicateLocked returns the offsets of the first time for a retry. Its ticket covers everything written so far.
func (p *Partition) duplicateLocked(b pidmanager.Batch) Appended {
	return Appended{
		BaseOffset: b.FirstOffset(), LastOffset: b.LastOffset, LogAppendTimeMs: b.TimestampMs,
		LogStartOffset: p.log.StartOffset(), Duplicate: true,
		Durable: p.durableLocked(durability.Produced),
	}
}

// AppendMarker appends the marker that ends a producer's transaction here, and moves the last stable
// offset. transactionVersion is that of the transaction: from 2 on a marker's epoch is above that of
// the records (KIP-890).
func (p *Partition) AppendMarker(m batch.Marker, transactionVersion int16) (Appended, error) {
	if m.TimestampMs == 0 {
		m.TimestampMs = p.opts.Clock.Now().UnixMilli()
	}
	raw := batch.BuildMarker(m)
	h, err := batch.ParseHeader(raw)
	if err != nil {
		return Appended{}, err
	}
	p.mu.Lock()
	appended, wake, err := p.appendMarkerLocked(raw, &h, m, transactionVersion)
	p.mu.Unlock()
	p.waiters.wake(wake)
	if err == nil {
		err = p.opts.Faults.Hit(fault.PartitionMarked, p.attributes())
	}
	return appended, err
}

func (p *Partition) appendMarkerLocked(raw []byte, h *batch.Header, m batch.Marker,
	transactionVersion int16) (Appended, wakeUp, error) {
	if p.mu.offline != nil {
		return Appended{}, wakeUp{}, p.offlineErrorLocked()
	}
	if err := p.mu.producers.CheckMarker(m, transactionVersion); err != nil {
		return Appended{}, wakeUp{}, fmt.Errorf("%s: %w", p.id, err)
	}
	if err := p.writeLocked(raw, h); err != nil {
		return Appended{}, wakeUp{}, err
	}
	if err := p.applyMarkerLocked(m, h.BaseOffset); err != nil {
		return Appended{}, wakeUp{}, p.failLocked(err)
	}
	return p.appendedLocked(h, durability.MarkersWritten)
}

// writeLocked stamps offset and leader epoch into the batch and writes it.
func (p *Partition) writeLocked(raw []byte, h *batch.Header) error {
	h.BaseOffset, h.LeaderEpoch = p.log.EndOffset(), p.opts.LeaderEpoch
	batch.SetOffsetAndEpoch(raw, h.BaseOffset, h.LeaderEpoch)
	if err := p.opts.Faults.Hit(fault.PartitionAppend, p.attributes()); errors.Is(err, fault.ErrOffline) {
		p.goOfflineLocked(err)
		return p.offlineErrorLocked()
	} else if err != nil {
		return fmt.Errorf("appending to %s: %w: %w", p.id, log.ErrNotWritten, err)
	}
	if err := p.log.Append(raw, *h); err != nil {
		return p.failLocked(fmt.Errorf("appending to %s: %w", p.id, err))
	}
	return p.opts.Faults.Hit(fault.PartitionAppended, p.attributes())
}

func (p *Partition) attributes() fault.Attributes {
	return fault.Attributes{Topic: p.id.Topic, Partition: p.id.Index}
}

// appendedLocked publishes an append, unless readers have to wait until it is durable.
func (p *Partition) appendedLocked(h *batch.Header, answer durability.Answer) (Appended, wakeUp, error) {
	appended := Appended{BaseOffset: h.BaseOffset, LastOffset: h.LastOffset(), LogAppendTimeMs: -1,
		LogStartOffset: p.log.StartOffset(), Durable: p.durableLocked(answer)}
	highWatermark := h.NextOffset()
	if p.opts.Barrier.Waits(durability.RecordsShown) { // the barrier will show it to readers, see Open
		highWatermark = p.view.Load().highWatermark
	}
	return appended, p.publishLocked(highWatermark), nil
}

// durableLocked returns the ticket of an answer. It also requests the barrier when the answer does not wait but the
// readers do.
func (p *Partition) durableLocked(answer durability.Answer) durability.Ticket {
	ticket := p.log.TicketFor(answer)
	if ticket.Pending() {
		ticket.Want()
	} else {
		p.log.TicketFor(durability.RecordsShown).Want()
	}
	return ticket
}

// applyLocked updates the state for a data batch that is in the log, and says whether its producer's sequences began
// again. Replay calls it too.
func (p *Partition) applyLocked(h *batch.Header) (restarted bool) {
	if !h.HasProducer() {
		return false
	}
	opened, restarted := p.mu.producers.Apply(h)
	if opened {
		p.mu.open.Begin(h.ProducerID, h.BaseOffset)
	}
	return restarted
}

// applyMarkerLocked updates the state for a marker that is in the log. The entry of an aborted transaction is added for
// readers before the last stable offset moves past it.
func (p *Partition) applyMarkerLocked(m batch.Marker, offset int64) error {
	first := p.mu.producers.ApplyMarker(m)
	if first < 0 {
		return nil
	}
	lastStable, _ := p.mu.open.End(m.ProducerID, offset)
	if m.Type != batch.Abort {
		return nil
	}
	return p.log.AppendAborted(log.AbortedTxn{ProducerID: m.ProducerID, FirstOffset: first, LastOffset: offset,
		LastStableOffset: lastStable})
}

// BeginVerification says whether the coordinator must verify the transactional batch of a producer before it is
// appended, and returns the verification guard to append it with (spec: idempotence 7).
func (p *Partition) BeginVerification(producerID int64, producerEpoch int16, baseSequence int32,
	supportsEpochBump bool) (Guard, bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.offline != nil {
		return 0, false, p.offlineErrorLocked()
	}
	if !supportsEpochBump && p.unverified.Load() {
		return 0, false, nil
	}
	return p.mu.producers.BeginVerification(producerID, producerEpoch, baseSequence, supportsEpochBump,
		p.opts.Clock.Now().UnixMilli())
}
