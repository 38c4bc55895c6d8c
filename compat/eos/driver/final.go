package driver

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"once/compat/eos/history"
	"once/compat/eos/verify"
)

// Files of the final logs in the run's directory.
const (
	rawFile       = "raw.log"
	committedFile = "committed.log"
)

const (
	askLimit  = 5 * time.Second // for one question of the driver
	idleLimit = time.Minute     // without a record, then a final read is over
)

// groupOffsets returns the group's committed offset of each input partition; 0 where there is none.
func (r *run) groupOffsets(ctx context.Context) ([]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	fetched, err := r.admin.FetchOffsets(ctx, r.cfg.Group)
	if err != nil {
		return nil, err
	}
	if _, unresolved := fetched[""]; unresolved { // the answer names topics by ID, the request for their names failed
		return nil, errors.New("topic names are not known")
	}
	offsets := make([]int64, r.cfg.InParts)
	for p := range offsets {
		if o, ok := fetched.Lookup(r.cfg.Logs[0].Topic, int32(p)); ok {
			if o.Err != nil {
				return nil, o.Err
			}
			offsets[p] = max(0, o.At)
		}
	}
	return offsets, nil
}

// settle waits until no transaction is open, then reads everything and writes the final state down.
func (r *run) settle(ctx context.Context) error {
	final := &history.Final{Finished: r.fedDone && r.fed == r.Records && r.copied == r.Records}
	if !final.Finished {
		final.Text = fmt.Sprintf("fed %d, copied %d of %d; agents left with %q", r.fed, r.copied, r.Records,
			lastOf(r.failures, 5))
	}
	for deadline := time.Now().Add(r.Timeout + r.Expiry + 15*time.Second); ; time.Sleep(tick) {
		open, err := r.look(ctx, final)
		if err == nil && !open || time.Now().After(deadline) {
			if err != nil {
				return fmt.Errorf("final state: %w", err)
			}
			break
		}
	}
	if err := errors.Join(r.observeFindings(ctx), r.askVerdicts(ctx, final)); err != nil {
		return err
	}
	r.events.Write(history.Event{Kind: history.KindFinal, Final: final})
	raw, err := r.readAll(ctx, kgo.ReadUncommitted(), final.HighWatermarks)
	if err != nil {
		return fmt.Errorf("final read_uncommitted read: %w", err)
	}
	committed, err := r.readAll(ctx, kgo.ReadCommitted(), final.LastStableOffsets)
	if err != nil {
		return fmt.Errorf("final read_committed read: %w", err)
	}
	return errors.Join(
		history.WriteLog(filepath.Join(r.Dir, rawFile), raw),
		history.WriteLog(filepath.Join(r.Dir, committedFile), committed))
}

// look fills final with what the broker says now and reports whether anything is still open.
func (r *run) look(ctx context.Context, final *history.Final) (open bool, err error) {
	if final.GroupOffsets, err = r.groupOffsets(ctx); err != nil {
		return false, err
	}
	topics := map[string]bool{}
	var names []string
	for _, l := range r.cfg.Logs {
		if !topics[l.Topic] {
			topics[l.Topic] = true
			names = append(names, l.Topic)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	high, err := r.admin.ListEndOffsets(ctx, names...)
	if err != nil {
		return false, err
	}
	stable, err := r.admin.ListCommittedOffsets(ctx, names...)
	if err != nil {
		return false, err
	}
	final.HighWatermarks, final.LastStableOffsets, final.OpenTransactions = nil, nil, nil
	for _, l := range r.cfg.Logs {
		h, _ := high.Lookup(l.Topic, l.Partition)
		s, _ := stable.Lookup(l.Topic, l.Partition)
		if err := errors.Join(h.Err, s.Err); err != nil {
			return false, fmt.Errorf("%s: %w", l, err)
		}
		open = open || h.Offset != s.Offset
		final.HighWatermarks = append(final.HighWatermarks, h.Offset)
		final.LastStableOffsets = append(final.LastStableOffsets, s.Offset)
	}
	txns, err := r.admin.ListTransactions(ctx, nil, []string{"Ongoing", "PrepareCommit", "PrepareAbort"})
	if err != nil {
		return false, err
	}
	var mine []kadm.ListedTransaction
	for _, t := range txns.Sorted() {
		for _, s := range r.crew.slots {
			if s.options.TransactionalID == t.TxnID {
				mine = append(mine, t)
			}
		}
	}
	for _, t := range mine {
		final.OpenTransactions = append(final.OpenTransactions,
			fmt.Sprintf("%s %s producer id %d", t.TxnID, t.State, t.ProducerID))
	}
	return open || len(mine) > 0, nil
}

// readAll reads every log from its start to the given end, control records included. It also ends when nothing
// comes any more: below a hanging transaction the last record may be one that this isolation level hides,
// and a record that is really missing is for the invariants to notice.
func (r *run) readAll(ctx context.Context, isolation kgo.IsolationLevel, ends []int64) ([]history.LogRecord, error) {
	offsets := map[string]map[int32]kgo.Offset{}
	left := 0
	for i, l := range r.cfg.Logs {
		if ends[i] == 0 {
			continue
		}
		if offsets[l.Topic] == nil {
			offsets[l.Topic] = map[int32]kgo.Offset{}
		}
		offsets[l.Topic][l.Partition] = kgo.NewOffset().At(0)
		left++
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(r.cfg.Bootstrap), kgo.ClientID("eos-final"), kgo.ConsumePartitions(offsets),
		kgo.FetchIsolationLevel(isolation), kgo.KeepControlRecords(), kgo.FetchMaxPartitionBytes(8<<20))
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	index := r.cfg.LogIndex()
	logs := make([][]history.LogRecord, len(r.cfg.Logs))
	for left > 0 {
		pollCtx, cancel := context.WithTimeout(ctx, idleLimit)
		fetches := cl.PollFetches(pollCtx)
		idle := pollCtx.Err() != nil && ctx.Err() == nil
		cancel()
		if fetches.NumRecords() == 0 && idle {
			break
		}
		for _, e := range fetches.Errors() {
			return nil, fmt.Errorf("%s-%d: %w (%d logs not read to their end)", e.Topic, e.Partition, e.Err, left)
		}
		fetches.EachRecord(func(rec *kgo.Record) {
			log := index[history.Log{Topic: rec.Topic, Partition: rec.Partition}]
			if rec.Offset < ends[log] {
				logs[log] = append(logs[log], r.logRecord(log, rec))
			}
			if rec.Offset == ends[log]-1 {
				left--
			}
		})
	}
	var all []history.LogRecord
	for _, l := range logs {
		all = append(all, l...)
	}
	return all, nil
}

func (r *run) logRecord(log int32, rec *kgo.Record) history.LogRecord {
	out := history.LogRecord{Log: log, Offset: rec.Offset, ProducerID: rec.ProducerID,
		ProducerEpoch: int32(rec.ProducerEpoch)}
	if rec.Attrs.IsTransactional() {
		out.Flags |= history.Transactional
	}
	if rec.Attrs.IsControl() {
		out.Flags |= history.Control
		if len(rec.Key) >= 4 && rec.Key[3] == 1 { // int16 version, int16 type: 0 abort, 1 commit
			out.Flags |= history.CommitMarker
		}
		return out
	}
	v, err := history.Decode(rec.Value)
	if err != nil || v.RunID != r.cfg.RunID {
		out.Flags |= history.Damaged
		return out
	}
	out.Provenance = v
	return out
}

// Load reads a run's directory for the verdict.
func Load(dir string) (*verify.Input, error) {
	events, err := history.ReadDir(filepath.Join(dir, "history"))
	if err != nil {
		return nil, err
	}
	in := &verify.Input{Events: events}
	for i := range events {
		switch e := &events[i]; e.Kind {
		case history.KindRun:
			in.Config = e.Config
		case history.KindFinal:
			in.Final = e.Final
		}
	}
	if in.Config == nil || in.Final == nil {
		return nil, fmt.Errorf("%s: the run was not finished", dir)
	}
	if in.Raw, err = history.ReadLog(filepath.Join(dir, rawFile)); err != nil {
		return nil, err
	}
	in.Committed, err = history.ReadLog(filepath.Join(dir, committedFile))
	return in, err
}
