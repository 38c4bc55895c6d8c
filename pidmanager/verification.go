package pidmanager

import "fmt"

// Guard is a verification guard: the proof that a producer's transaction was verified for a partition. It is valid for
// one verification. An end marker in between makes it invalid, so that a late batch cannot open a transaction that
// would never end (KIP-890; spec: idempotence 7). Zero is no proof.
type Guard uint64

// verification is a running verification of a transaction's first append to this partition.
type verification struct {
	guard             Guard
	createdMs         int64
	lowestSequence    int32
	epoch             int16
	supportsEpochBump bool // the client of the first batch speaks transactions V2; a later epoch does not change it
}

// BeginVerification says whether the coordinator must verify a transactional batch before it is appended, and returns
// the guard to append it with. A batch of an open transaction needs no verification.
func (p *Producers) BeginVerification(producerID int64, producerEpoch int16, baseSequence int32, supportsEpochBump bool,
	nowMs int64) (guard Guard, needed bool, err error) {
	if e := p.byID[producerID]; e != nil {
		if e.ProducerEpoch > producerEpoch {
			return 0, false, fmt.Errorf("%w: producer %d has epoch %d, the request %d", ErrFencedEpoch, producerID,
				e.ProducerEpoch, producerEpoch)
		}
		if e.TxnFirstOffset >= 0 && e.ProducerEpoch == producerEpoch {
			return 0, false, nil
		}
	}
	v := p.verifications[producerID]
	switch {
	case v == nil:
		p.lastGuard++
		v = &verification{guard: p.lastGuard, createdMs: nowMs, lowestSequence: baseSequence, epoch: producerEpoch,
			supportsEpochBump: supportsEpochBump}
		if p.verifications == nil {
			p.verifications = make(map[int64]*verification, 1)
		}
		p.verifications[producerID] = v
	case producerEpoch > v.epoch:
		v.epoch, v.lowestSequence = producerEpoch, baseSequence
	case producerEpoch == v.epoch && baseSequence < v.lowestSequence:
		v.lowestSequence = baseSequence
	}
	return v.guard, true, nil
}
