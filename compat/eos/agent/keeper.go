package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"once/compat/eos/history"
)

const (
	keptBytes = 4000                  // of the metadata of an offset, and of a transactional id
	keepEvery = 25 * time.Millisecond // a group and as many transactional ids as it has partitions
	keepLimit = 30 * time.Second      // for the last look
)

// keeper makes the internal topics large: it commits offsets of many groups with long metadata, and initialises
// producers with long transactional ids, one round after the other, so that compaction has much to drop and much
// to keep. It reads everything back, and none of it may ever be older than what it was told.
type keeper struct {
	*agent
	client *kgo.Client
	admin  *kadm.Client
}

func (a *agent) fill(ctx context.Context) error {
	cl, err := kgo.NewClient(a.options()...)
	if err != nil {
		return err
	}
	defer cl.Close()
	k := &keeper{agent: a, client: cl, admin: kadm.NewClient(cl)}
	pace := time.NewTicker(keepEvery)
	defer pace.Stop()
	for n := int32(0); ; n++ {
		select {
		case <-ctx.Done():
			return k.lastLook()
		case <-pace.C:
		}
		k.commit(ctx, n%a.cfg.KeptGroups)
		k.initProducers(ctx, n*a.cfg.KeptParts%a.cfg.KeptIDs)
		_ = k.look(ctx, (n+1)%a.cfg.KeptGroups) // the one that was committed longest ago
	}
}

// metadata is what an offset of a group has with it.
func (k *keeper) metadata(group, partition int32, offset int64) string {
	unit := fmt.Sprintf("%d %d %d;", group, partition, offset)
	return strings.Repeat(unit, keptBytes/len(unit))
}

func (k *keeper) group(n int32) string { return fmt.Sprintf("%s-kept-%d", k.cfg.Group, n) }

// transactionalID is a long one: it stands in each record of its state.
func (k *keeper) transactionalID(n int32) string {
	unit := fmt.Sprintf("%s-kept-%d;", k.cfg.Group, n)
	return strings.Repeat(unit, keptBytes/len(unit))
}

// commit commits one offset for all partitions, the time: so the next incarnation goes on with higher ones.
func (k *keeper) commit(ctx context.Context, group int32) {
	e := history.Event{Kind: history.KindKeepCall, From: int64(group), To: time.Now().UnixMicro()}
	k.event(e)
	var offsets kadm.Offsets
	for p := range k.cfg.KeptParts {
		metadata := k.metadata(group, p, e.To)
		offsets.Add(kadm.Offset{Topic: k.cfg.KeptTopic, Partition: p, At: e.To, LeaderEpoch: -1, Metadata: metadata})
	}
	if err := k.admin.CommitAllOffsets(ctx, k.group(group), offsets); err != nil {
		return // whether it is committed is not known
	}
	e.Kind = history.KindKeepDone
	k.event(e)
}

// look reads the offsets of a group back.
func (k *keeper) look(ctx context.Context, group int32) error {
	e := history.Event{Kind: history.KindOffsets, From: int64(group), StartNs: history.Now()}
	fetched, err := k.admin.FetchOffsets(ctx, k.group(group))
	if err == nil && unresolved(fetched) {
		err = errors.New("topic names are not known")
	}
	if err != nil {
		return err
	}
	for p := range k.cfg.KeptParts {
		at, metadata := int64(-1), ""
		if o, ok := fetched.Lookup(k.cfg.KeptTopic, p); ok {
			if o.Err != nil {
				return o.Err
			}
			at, metadata = o.At, o.Metadata
		}
		if !slices.Contains(e.Offsets, at) {
			e.Offsets = append(e.Offsets, at)
		}
		if at >= 0 && metadata != k.metadata(group, p, at) {
			e.Count++
		}
	}
	k.event(e)
	return nil
}

// initProducers initialises as many transactional ids as a group has partitions, side by side.
func (k *keeper) initProducers(ctx context.Context, first int32) error {
	n := min(k.cfg.KeptParts, k.cfg.KeptIDs-first)
	e := history.Event{Kind: history.KindIDs, From: int64(first)}
	e.ProducerIDs, e.ProducerEpochs = make([]int64, n), make([]int16, n)
	failed := make([]error, n)
	var wait sync.WaitGroup
	for i := range n {
		wait.Go(func() {
			id := k.transactionalID(first + i)
			r := kmsg.NewPtrInitProducerIDRequest()
			r.TransactionalID, r.TransactionTimeoutMillis, r.ProducerID, r.ProducerEpoch = &id, int32(k.cfg.TimeoutMs), -1, -1
			answer, err := r.RequestWith(ctx, k.client)
			if err == nil {
				err = kerr.ErrorForCode(answer.ErrorCode)
			}
			if failed[i] = err; err != nil {
				e.ProducerIDs[i] = -1
				return
			}
			e.ProducerIDs[i], e.ProducerEpochs[i] = answer.ProducerID, answer.ProducerEpoch
		})
	}
	wait.Wait()
	k.event(e)
	return errors.Join(failed...)
}

// lastLook reads everything once more, when nobody kills the broker any more.
func (k *keeper) lastLook() error {
	ctx, cancel := context.WithTimeout(context.Background(), keepLimit)
	defer cancel()
	for group := range k.cfg.KeptGroups {
		if err := k.look(ctx, group); err != nil {
			return fmt.Errorf("offsets of %s: %w", k.group(group), err)
		}
	}
	for first := int32(0); first < k.cfg.KeptIDs; first += k.cfg.KeptParts {
		if err := k.initProducers(ctx, first); err != nil {
			return fmt.Errorf("transactional ids from %d on: %w", first, err)
		}
	}
	k.event(history.Event{Kind: history.KindKept})
	return nil
}
