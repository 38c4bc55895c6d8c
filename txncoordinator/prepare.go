package txncoordinator

// Identity is a producer ID with its epoch.
type Identity struct {
	ProducerID    int64
	ProducerEpoch int16
}

// noIdentity is the answer without an identity.
var noIdentity = Identity{NoProducerID, NoProducerEpoch}

// InitRequest asks for the right to use a transactional ID (spec: transactions 5). ProducerID and
// ProducerEpoch are -1 when the producer has none yet.
type InitRequest struct {
	TransactionalID string
	ProducerID      int64
	ProducerEpoch   int16
	TimeoutMs       int32
	Source          Source
}

// AddRequest names partitions to add to a transaction, or to verify (spec: transactions 6). ClientTransactionVersion is
// 2 for Produce 12, TxnOffsetCommit 5, AddPartitionsToTxn 4 and above, else 0.
type AddRequest struct {
	TransactionalID          string
	ProducerID               int64
	ProducerEpoch            int16
	Partitions               []TopicPartition // read only; not kept
	ClientTransactionVersion int16
	Source                   Source
}

// EndRequest commits or aborts (spec: transactions 10). ClientTransactionVersion is 2 for EndTxn 5 and
// above, else 0.
type EndRequest struct {
	TransactionalID          string
	ProducerID               int64
	ProducerEpoch            int16
	Commit                   bool
	ClientTransactionVersion int16
	Source                   Source
}

// plan is a decision: the image to append, and the answer after that.
type plan struct {
	next   Transaction
	answer Identity
	// done: nothing is written, the answer is sent at once.
	done bool
	// raiseFirst: the image takes next's epoch before the append, so that it stays fenced when that fails.
	raiseFirst bool
}

// prepareInit decides transactions 5 rows 7 to 11. freshID is a producer ID for a rotation, or
// NoProducerID; errNeedProducerID asks for one.
func prepareInit(t *Transaction, r *InitRequest, freshID int64, clusterVersion int16, nowMs int64) (plan, error) {
	given := r.ProducerID != NoProducerID
	if t.Pending != NoState {
		return plan{}, ErrConcurrentTransactions
	}
	if given && t.ProducerEpoch != NoProducerEpoch && r.ProducerID != t.ProducerID &&
		(r.ProducerID != t.PreviousProducerID || r.ProducerEpoch < lastUsableEpoch) {
		return plan{}, ErrFenced
	}
	if t.State.prepared() {
		return plan{}, ErrConcurrentTransactions
	}
	if t.State == Ongoing {
		// The epoch in the request is not checked: a stale producer with the right ID aborts the open transaction
		// all the same and is refused when it retries, as in Kafka.
		return prepareFence(t, freshID, clusterVersion, nowMs)
	}

	next := t.transition(Empty, nowMs)
	next.Partitions, next.StartTimestampMs, next.TimeoutMs = nil, noTimestampMs, r.TimeoutMs
	next.NextProducerID = NoProducerID
	last := NoProducerEpoch
	if given && t.ProducerEpoch != NoProducerEpoch {
		switch r.ProducerEpoch {
		case t.ProducerEpoch:
			last = t.ProducerEpoch
		case t.LastProducerEpoch: // retry of the bump that led here. Kafka fails internally when exhausted.
			return plan{next: next, answer: Identity{next.ProducerID, next.ProducerEpoch}}, nil
		default:
			return plan{}, ErrFenced
		}
	}
	if t.exhausted() {
		if freshID == NoProducerID {
			return plan{}, errNeedProducerID
		}
		next.ProducerID, next.ProducerEpoch = freshID, 0
	} else {
		next.ProducerEpoch++
	}
	next.LastProducerEpoch = last
	return plan{next: next, answer: Identity{next.ProducerID, next.ProducerEpoch}}, nil
}

// prepareFence aborts an open transaction for a new incarnation or a timeout (spec: transactions 5 row 10; 12). One
// record raises the epoch and ends the transaction. Under transactions V2 the end raises the epoch anyway. Before V2
// the epoch is raised in memory first, and stays raised for the next fence if the record could not be written.
func prepareFence(t *Transaction, freshID int64, clusterVersion int16, nowMs int64) (plan, error) {
	if clusterVersion >= epochBumpVersion {
		return prepareBumpingEnd(t, PrepareAbort, freshID, nowMs)
	}
	next := t.transition(PrepareAbort, nowMs)
	if !t.FailedFence && t.ProducerEpoch < reservedEpoch {
		next.ProducerEpoch++
	}
	next.LastProducerEpoch = NoProducerEpoch
	next.NextProducerID, next.ClientTransactionVersion = NoProducerID, clusterVersion
	return plan{next: next, raiseFirst: true}, nil
}

// raise gives the image the epoch of a fence whose record is about to be written.
func (t *Transaction) raise(next *Transaction) {
	t.ProducerEpoch, t.LastProducerEpoch, t.FailedFence = next.ProducerEpoch, NoProducerEpoch, true
}

// prepareBumpingEnd is the end of a transaction under transactions V2: the Prepare record, and so the
// markers, carry the next epoch. With the last usable epoch spent, the marker takes the reserved one
// and the Complete record moves to a fresh producer ID.
func prepareBumpingEnd(t *Transaction, to State, freshID int64, nowMs int64) (plan, error) {
	next := t.transition(to, nowMs)
	next.ClientTransactionVersion, next.NextProducerID = epochBumpVersion, NoProducerID
	if t.exhausted() {
		if freshID == NoProducerID {
			return plan{}, errNeedProducerID
		}
		next.NextProducerID = freshID
	}
	// An image at 32767 comes from a bug in an old broker; only an abort is allowed.
	if t.ProducerEpoch < reservedEpoch {
		next.ProducerEpoch, next.LastProducerEpoch = t.ProducerEpoch+1, t.ProducerEpoch
	} else if to == PrepareCommit {
		return plan{}, ErrFenced
	}
	if t.State != Ongoing { // an empty abort has no start of its own
		next.StartTimestampMs = nowMs
	}
	answer := Identity{next.ProducerID, next.ProducerEpoch}
	if next.NextProducerID != NoProducerID {
		answer = Identity{next.NextProducerID, 0}
	}
	return plan{next: next, answer: answer}, nil
}

// prepareAdd decides the rows "Add" of transactions 6. The test for a pending operation comes before
// the producer ID, because during a rotation the client may already use the new one.
func prepareAdd(t *Transaction, r *AddRequest, nowMs int64) (plan, error) {
	switch {
	case t.Pending != NoState:
		return plan{}, ErrConcurrentTransactions
	case t.ProducerID != r.ProducerID || t.ProducerEpoch == NoProducerEpoch:
		return plan{}, ErrInvalidProducerIDMapping
	case t.ProducerEpoch != r.ProducerEpoch:
		return plan{}, ErrFenced
	case t.State.prepared():
		return plan{}, ErrConcurrentTransactions
	case t.State == Ongoing && t.contains(r.Partitions):
		return plan{done: true}, nil
	}
	next := t.transition(Ongoing, nowMs)
	next.Partitions = union(t.Partitions, r.Partitions)
	next.ClientTransactionVersion, next.NextProducerID = r.ClientTransactionVersion, NoProducerID
	if t.State != Ongoing {
		next.StartTimestampMs = nowMs
	}
	return plan{next: next}, nil
}

// checkVerify decides the row "VerifyOnly" of transactions 6, for all partitions together. It ignores a pending
// operation.
func checkVerify(t *Transaction, r *AddRequest) error {
	switch {
	case t.ProducerID != r.ProducerID:
		return ErrInvalidProducerIDMapping
	case t.ProducerEpoch != r.ProducerEpoch:
		return ErrFenced
	case t.State.prepared():
		return ErrConcurrentTransactions
	}
	return nil
}

// prepareEnd decides EndTxn by the rules of the version that the client speaks.
func prepareEnd(t *Transaction, r *EndRequest, freshID int64, nowMs int64) (plan, error) {
	if r.ClientTransactionVersion >= epochBumpVersion {
		return prepareEndV2(t, r, freshID, nowMs)
	}
	return prepareEndV1(t, r, nowMs)
}

// prepareEndV1 is the table of transactions 10.1.
func prepareEndV1(t *Transaction, r *EndRequest, nowMs int64) (plan, error) {
	switch {
	case t.ProducerID != r.ProducerID || t.ProducerEpoch == NoProducerEpoch:
		return plan{}, ErrInvalidProducerIDMapping
	case t.ProducerEpoch != r.ProducerEpoch:
		return plan{}, ErrFenced
	case t.Pending != NoState:
		return plan{}, ErrConcurrentTransactions
	}
	to := r.prepares()
	switch t.State {
	case Ongoing:
		next := t.transition(to, nowMs)
		next.ClientTransactionVersion, next.NextProducerID = r.ClientTransactionVersion, NoProducerID
		return plan{next: next, answer: noIdentity}, nil
	case to:
		return plan{}, ErrConcurrentTransactions
	case to.outcome():
		return plan{done: true, answer: noIdentity}, nil
	}
	return plan{}, ErrInvalidTxnState
}

// prepares returns the state that the request asks for.
func (r *EndRequest) prepares() State {
	if r.Commit {
		return PrepareCommit
	}
	return PrepareAbort
}

// prepareEndV2 is the tables of transactions 10.2.
func prepareEndV2(t *Transaction, r *EndRequest, freshID int64, nowMs int64) (plan, error) {
	bumpRetry := int(t.ProducerEpoch) == int(r.ProducerEpoch)+1
	rotateRetry := t.PreviousProducerID == r.ProducerID && r.ProducerEpoch == lastUsableEpoch && t.ProducerEpoch == 0
	retry := bumpRetry || rotateRetry
	current := r.ProducerEpoch == t.ProducerEpoch
	switch {
	case t.Pending != NoState:
		return plan{}, ErrConcurrentTransactions
	case t.ProducerEpoch == NoProducerEpoch, t.ProducerID != r.ProducerID && !rotateRetry:
		return plan{}, ErrInvalidProducerIDMapping
	}
	to := r.prepares()
	switch t.State {
	case Ongoing:
		if !current {
			return plan{}, ErrFenced
		}
		return prepareBumpingEnd(t, to, freshID, nowMs)
	case Empty:
		if !current {
			return plan{}, ErrFenced
		}
	case PrepareCommit, PrepareAbort: // also pending, so these are seen only if that were lost
		switch {
		case !bumpRetry:
			return plan{}, ErrFenced
		case t.State == to:
			return plan{}, ErrConcurrentTransactions
		}
		return plan{}, ErrInvalidTxnState
	case CompleteCommit, CompleteAbort:
		switch {
		case !current && !retry:
			return plan{}, ErrFenced
		case retry && t.State == to.outcome():
			return plan{done: true, answer: Identity{t.ProducerID, t.ProducerEpoch}}, nil
		case retry:
			return plan{}, ErrInvalidTxnState
		}
	}
	if r.Commit {
		return plan{}, ErrInvalidTxnState
	}
	// The client cannot know whether its first add succeeded, so it may abort a transaction that never began.
	return prepareBumpingEnd(t, PrepareAbort, freshID, nowMs)
}

// prepareComplete returns the image after the last marker. The start timestamp stays, and so does the last epoch, so
// that InitProducerId with the epoch before the end is recognised as its retry.
func prepareComplete(t *Transaction, nowMs int64) Transaction {
	next := t.transition(t.State.outcome(), nowMs)
	next.Partitions = nil
	if t.NextProducerID != NoProducerID {
		next.ProducerID, next.ProducerEpoch, next.NextProducerID = t.NextProducerID, 0, NoProducerID
	}
	return next
}

// expirable says whether an unused transactional ID may be forgotten (spec: transactions 12).
func expirable(t *Transaction, expirationMs, nowMs int64) bool {
	return t.Pending == NoState && t.State.idle() && t.LastUpdateTimestampMs <= nowMs-expirationMs
}
