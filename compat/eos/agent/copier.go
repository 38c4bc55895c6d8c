package agent

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"once/compat/eos/history"
)

const (
	endLimit  = 2 * time.Minute  // an end that takes longer is of unknown outcome
	sendLimit = 45 * time.Second // a record that is neither acknowledged nor refused by then never will be
	probeEach = 3                // probe after every third commit
)

// errLeft ends a copier that did what its dice said; the driver starts the next incarnation.
var errLeft = errors.New("left by dice")

// copier is one incarnation of a consume-transform-produce loop.
type copier struct {
	*agent
	session *kgo.GroupTransactSession
	admin   *kadm.Client
	trip    *tripwire
	dice    *rand.Rand
	index   map[history.Log]int32
	txn     uint32
	seq     uint32
}

// batch is one transaction's work: the inputs and the records made of them.
type batch struct {
	inputs  int
	offsets map[int32]int64 // next input offset by partition
	records []*kgo.Record

	mu     sync.Mutex
	acks   history.Event
	failed error
	wait   sync.WaitGroup
}

func (a *agent) copy(ctx context.Context) error {
	c := &copier{agent: a, trip: &tripwire{}, index: a.cfg.LogIndex(),
		dice: rand.New(rand.NewSource(int64(history.Mix(a.cfg.Seed, int64(a.Incarnation)))))}
	opts := a.options(
		kgo.TransactionalID(a.TransactionalID),
		kgo.TransactionTimeout(time.Duration(a.cfg.TimeoutMs)*time.Millisecond),
		kgo.ConsumerGroup(a.cfg.Group),
		kgo.ConsumeTopics(a.cfg.Logs[0].Topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxWait(200*time.Millisecond),
		kgo.HeartbeatInterval(300*time.Millisecond),
		kgo.RebalanceTimeout(30*time.Second),
		kgo.ProducerBatchMaxBytes(2<<10), // several batches in each transaction
		kgo.ProducerLinger(0),
		kgo.WithHooks(c.trip),
	)
	if a.InstanceID != "" {
		opts = append(opts, kgo.InstanceID(a.InstanceID), kgo.SessionTimeout(30*time.Second))
	} else {
		opts = append(opts, kgo.SessionTimeout(time.Duration(a.cfg.SessionMs)*time.Millisecond))
	}
	if a.Cooperative {
		opts = append(opts, kgo.Balancers(kgo.CooperativeStickyBalancer()))
	} else {
		opts = append(opts, kgo.Balancers(kgo.StickyBalancer()))
	}
	session, err := kgo.NewGroupTransactSession(opts...)
	if err != nil {
		return err
	}
	c.session, c.admin = session, kadm.NewClient(session.Client())
	defer session.Close()
	if err := c.initProducer(ctx); err != nil {
		return err
	}
	for ctx.Err() == nil {
		if err := c.step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (c *copier) initProducer(ctx context.Context) error {
	c.event(history.Event{Kind: history.KindInitCall, TransactionalID: c.TransactionalID})
	ctx, cancel := context.WithTimeout(ctx, endLimit)
	defer cancel()
	id, epoch, err := c.session.Client().ProducerID(ctx)
	if err != nil {
		return fmt.Errorf("InitProducerId: %w", err)
	}
	c.event(history.Event{Kind: history.KindInitDone, TransactionalID: c.TransactionalID, ProducerID: id,
		ProducerEpoch: epoch})
	return nil
}

// step polls once and runs one transaction over what came.
func (c *copier) step(ctx context.Context) error {
	limit := 1 + c.dice.Intn(c.MaxPoll)
	if c.dice.Intn(10) == 0 {
		limit = 1 + c.dice.Intn(3) // some have few records, or none at all but their offsets
	}
	fate := c.drawFate()
	pollCtx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	fetches := c.session.PollRecords(pollCtx, limit)
	cancel()
	for _, e := range fetches.Errors() {
		// no topic: the group waits for the broker
		if e.Topic != "" && !errors.Is(e.Err, context.DeadlineExceeded) && !errors.Is(e.Err, context.Canceled) {
			c.event(history.Event{Kind: history.KindNote, Text: fmt.Sprintf("poll %s-%d: %v", e.Topic, e.Partition, e.Err)})
		}
	}
	if fetches.NumRecords() == 0 {
		return nil
	}
	if fate == fateEmpty {
		if err := c.emptyTransaction(ctx); err != nil {
			return err
		}
		fate = fateCommit
	}
	b, err := c.begin(fetches)
	if err != nil {
		return err
	}
	return c.run(ctx, b, fate)
}

// begin writes the transaction's plan to the history and opens it.
func (c *copier) begin(fetches kgo.Fetches) (*batch, error) {
	c.txn++
	b := &batch{inputs: fetches.NumRecords(), offsets: map[int32]int64{}}
	var values []history.Provenance
	var damaged error
	fetches.EachRecord(func(r *kgo.Record) {
		in, err := history.Decode(r.Value)
		if err != nil || in.RunID != c.cfg.RunID {
			damaged = fmt.Errorf("input %s-%d offset %d: %w", r.Topic, r.Partition, r.Offset, history.ErrProvenance)
			return
		}
		b.offsets[r.Partition] = r.Offset + 1
		for _, k := range c.outputs(in.ID) {
			to := c.cfg.Logs[c.cfg.OutputLog(in.ID, k)]
			values = append(values, history.Provenance{RunID: c.cfg.RunID, Incarnation: c.Incarnation, Txn: c.txn, Seq: c.seq,
				Index: uint32(len(values)), InPartition: r.Partition, InOffset: r.Offset, ID: 2*in.ID + int64(k)})
			b.records = append(b.records, &kgo.Record{Topic: to.Topic, Partition: to.Partition,
				Headers: idHeaders(in.ID, history.OutputNames[k])})
			c.seq++
		}
	})
	if damaged != nil {
		return nil, damaged
	}
	for i, v := range values {
		v.Count = uint32(len(values))
		b.records[i].Value = v.Encode()
	}
	e := history.Event{Kind: history.KindTxn, Txn: c.txn, Count: len(b.records)}
	for p, next := range b.offsets {
		e.InParts, e.InNeed = append(e.InParts, p), append(e.InNeed, next)
	}
	c.event(e)
	if err := c.session.Begin(); err != nil {
		return nil, fmt.Errorf("begin: %w", err)
	}
	if c.Mutant == Outside {
		c.commitOutside(b)
	}
	return b, nil
}

// produce sends the batch's first n records.
func (c *copier) produce(b *batch, n int) {
	first := c.seq - uint32(len(b.records))
	for i, r := range b.records[:n] {
		log := c.index[history.Log{Topic: r.Topic, Partition: r.Partition}]
		b.wait.Add(1)
		c.session.Produce(context.Background(), r, func(r *kgo.Record, err error) {
			defer b.wait.Done()
			b.mu.Lock()
			defer b.mu.Unlock()
			if err != nil {
				b.failed = err
				return
			}
			b.acks.Log = append(b.acks.Log, log)
			b.acks.Offsets = append(b.acks.Offsets, r.Offset)
			b.acks.Seq = append(b.acks.Seq, first+uint32(i))
		})
	}
}

// settle waits for all produce results and writes them down.
func (c *copier) settle(b *batch) error {
	done := make(chan struct{})
	go func() { // ends with the results, or with the process
		b.wait.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(sendLimit):
		return c.stuck("no result for some records")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.acks.Kind, b.acks.Txn, b.acks.Count = history.KindAcks, c.txn, len(b.acks.Offsets)
	c.event(b.acks)
	if b.failed != nil {
		c.event(history.Event{Kind: history.KindFail, Txn: c.txn, Text: b.failed.Error()})
	}
	return b.failed
}

// stuck reports a call that does not come back; what the client was doing goes to stderr.
func (c *copier) stuck(what string) error {
	c.event(history.Event{Kind: history.KindStuck, Txn: c.txn, Text: what})
	c.dump()
	die() // Close would wait for the same thing
	return nil
}

// end asks for the end of the transaction and writes down what is known of the outcome.
func (c *copier) end(b *batch, commit bool) (outcome string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), endLimit)
	defer cancel()
	c.event(history.Event{Kind: history.KindEndCall, Txn: c.txn, Commit: commit})
	committed, err := c.session.End(ctx, kgo.TransactionEndTry(commit))
	e := history.Event{Kind: history.KindEndDone, Txn: c.txn, Commit: commit, Outcome: history.Aborted}
	switch {
	case err != nil:
		e.Outcome, e.Text = history.Unknown, err.Error()
	case committed:
		e.Outcome = history.Committed
	}
	c.event(e)
	inputs := 0
	if committed {
		inputs = b.inputs
	}
	c.report(Report{Outcome: e.Outcome, Inputs: inputs, Text: e.Text})
	return e.Outcome, err
}

// unresolved reports an answer that the client could not read: it names topics by ID, and the request for
// their names failed.
func unresolved(r kadm.OffsetResponses) bool {
	_, ok := r[""]
	return ok
}

// probe asks, after a commit was answered, whether it can be seen.
func (c *copier) probe(ctx context.Context, b *batch) {
	e := history.Event{Kind: history.KindProbe, Txn: c.txn, StartNs: history.Now()}
	topics := map[string]bool{}
	need := map[int32]int64{}
	for i, log := range b.acks.Log {
		need[log] = max(need[log], b.acks.Offsets[i]+1)
		topics[c.cfg.Logs[log].Topic] = true
	}
	var names []string
	for t := range topics {
		names = append(names, t)
	}
	committed, err := c.admin.FetchOffsets(ctx, c.cfg.Group)
	if err != nil {
		return
	}
	if unresolved(committed) {
		return
	}
	for p, next := range b.offsets {
		at := int64(-1)
		if o, ok := committed.Lookup(c.cfg.Logs[0].Topic, p); ok && o.Err == nil {
			at = o.At
		} else if ok {
			continue
		}
		e.InParts, e.InOffsets, e.InNeed = append(e.InParts, p), append(e.InOffsets, at), append(e.InNeed, next)
	}
	if len(names) > 0 {
		stable, err := c.admin.ListCommittedOffsets(ctx, names...)
		if err != nil {
			return
		}
		for log, next := range need {
			if o, ok := stable.Lookup(c.cfg.Logs[log].Topic, c.cfg.Logs[log].Partition); ok && o.Err == nil {
				e.Log, e.Offsets, e.Need = append(e.Log, log), append(e.Offsets, o.Offset), append(e.Need, next)
			}
		}
	}
	c.event(e)
}
