package lab

import (
	"errors"
	"net/http"
	"slices"
	"strconv"

	"once/cluster"
	"once/log/batch"
	"once/partition"
	"once/topics"
	"once/txncoordinator"
)

// Limits on the search for what hangs.
const (
	defaultHanging       = 20
	maxHangingPartitions = 1000 // of a transaction that are looked at, and open transactions of a partition
)

// Hanging is what readers and producers wait for. Of each list it has the first ones, and the length of the whole.
type Hanging struct {
	OpenCount    int            `json:"openCount"`
	Open         []Open         `json:"open"` // transactions that coordinators know, the oldest first
	HangingCount int            `json:"hangingCount"`
	Hanging      []HangingPlace `json:"hanging"` // transactions in a partition that no coordinator knows
	OfflineCount int            `json:"offlineCount"`
	Offline      []OfflinePlace `json:"offline"`
}

// Open is an open transaction, without its partitions and transitions, and the partition in which it holds back most.
type Open struct {
	Transaction
	Holds *Held `json:"holds,omitempty"`
}

// Held is a partition whose last stable offset does not move.
type Held struct {
	TopicPartition
	LastStableOffset int64 `json:"lastStableOffset"`
	HighWatermark    int64 `json:"highWatermark"`
}

func (h *Held) isMoreThan(o *Held) bool {
	if own, other := topics.IsInternal(h.Topic), topics.IsInternal(o.Topic); own != other {
		return other
	}
	return h.HighWatermark-h.LastStableOffset > o.HighWatermark-o.LastStableOffset
}

// HangingPlace is a transaction in a partition that no coordinator knows.
type HangingPlace struct {
	Held
	Holder
}

// OfflinePlace is a partition that is offline, and why.
type OfflinePlace struct {
	TopicPartition
	Offline string `json:"offline"`
}

func hangingCalls() []call {
	return []call{
		on(http.MethodGet, "/hanging", "What hangs: open transactions, those that no coordinator knows, offline partitions",
			viewing(hangingIn)).takes("limit"),
		on(http.MethodPost, "/producers/{id}/abort", "Abort a producer's transaction in a partition that no coordinator "+
			"knows, as kafka-transactions abort does", abortHanging),
	}
}

func hangingIn(x *exchange, v cluster.View) (Hanging, error) {
	limit, err := x.number("limit", defaultHanging, 1, maxPage)
	if err != nil {
		return Hanging{}, err
	}
	h := Hanging{Open: []Open{}, Hanging: []HangingPlace{}, Offline: []OfflinePlace{}}
	var places []openPartition
	for _, t := range v.Topics.All() {
		for i, p := range t.Partitions() {
			at := TopicPartition{t.Name, int32(i)}
			if _, err := p.Offsets(); err != nil {
				if h.OfflineCount++; len(h.Offline) < int(limit) {
					h.Offline = append(h.Offline, OfflinePlace{at, err.Error()})
				}
			} else if open := p.OldestTransactions(maxHangingPartitions); len(open) > 0 {
				places = append(places, openPartition{at, p, open})
			}
		}
	}
	holdersOf(x.cluster, v, places, func(at openPartition, holder Holder) {
		if !holder.Hanging {
			return
		}
		if h.HangingCount++; len(h.Hanging) < int(limit) {
			h.Hanging = append(h.Hanging, HangingPlace{heldIn(at.TopicPartition, at.partition), holder})
		}
	})
	return h, h.addOpen(x, v, int(limit))
}

// addOpen adds the open transactions.
func (h *Hanging) addOpen(x *exchange, v cluster.View, limit int) error {
	listed, _, err := v.Txns.List(txncoordinator.ListFilter{DurationMs: -1})
	if err != nil {
		return err
	}
	listed = openOnly(listed)
	h.OpenCount = len(listed)
	for _, l := range listed[:min(limit, len(listed))] {
		t, err := transactionIn(x.cluster, v, l.TransactionalID)
		if err != nil || t.Age == nil {
			continue // it has just ended
		}
		open := Open{Transaction: t, Holds: mostHeld(v, t)}
		open.Partitions, open.Transitions = []TopicPartition{}, []Transition{}
		h.Open = append(h.Open, open)
	}
	return nil
}

// mostHeld returns the partition in which a transaction holds back most offsets, of an internal topic only if there is
// no other; nil if it holds back none.
func mostHeld(v cluster.View, t Transaction) (most *Held) {
	for _, at := range t.Partitions[:min(len(t.Partitions), maxHangingPartitions)] {
		p, ok := v.Topics.Partition(at.Topic, at.Partition)
		if !ok {
			continue
		}
		first := p.OldestTransactions(1)
		if len(first) == 0 || first[0].ProducerID != t.ProducerID {
			continue
		}
		if held := heldIn(at, p); most == nil || held.isMoreThan(most) {
			most = &held
		}
	}
	return most
}

func heldIn(at TopicPartition, p *partition.Partition) Held {
	return Held{at, p.LastStableOffset(), p.HighWatermark()}
}

// abortHanging writes the marker that ends a transaction which no coordinator knows, and answers with the partition.
func abortHanging(x *exchange, in *TopicPartition) (Partition, error) {
	id, err := strconv.ParseInt(x.request.PathValue("id"), 10, 64)
	if err != nil {
		return Partition{}, fails(http.StatusNotFound, "there is no producer %q: a producer ID is a number",
			x.request.PathValue("id"))
	}
	if err := required("topic", in.Topic); err != nil {
		return Partition{}, err
	}
	v, ok := x.cluster.View()
	if !ok {
		return Partition{}, errDown
	}
	defer v.End()
	p, ok := v.Topics.Partition(in.Topic, in.Partition)
	if !ok {
		return Partition{}, fails(http.StatusNotFound, "there is no partition %d of a topic %q", in.Partition, in.Topic)
	}
	open := p.OldestTransactions(p.OpenTransactions())
	i := slices.IndexFunc(open, func(o partition.OpenTransaction) bool { return o.ProducerID == id })
	if i < 0 {
		return Partition{}, fails(http.StatusConflict, "producer %d has no transaction open in partition %d of %q", id,
			in.Partition, in.Topic)
	}
	var known Holder
	holdersOf(x.cluster, v, []openPartition{{*in, p, open[i : i+1]}}, func(_ openPartition, h Holder) { known = h })
	if known.TransactionalID != "" {
		return Partition{}, fails(http.StatusConflict, "the transaction is open in its coordinator, too; "+
			"POST /v1/transactions/%s/abort ends it", known.TransactionalID)
	}
	err = v.Txns.ApplyMarker(txncoordinator.TopicPartition(*in), batch.Marker{
		ProducerID: id, ProducerEpoch: open[i].ProducerEpoch, Type: batch.Abort,
		CoordinatorEpoch: max(open[i].CoordinatorEpoch, 0), TimestampMs: x.cluster.Clock().Now().UnixMilli(),
	}, 0)
	if errors.Is(err, partition.ErrOffline) {
		return Partition{}, fails(http.StatusConflict, "%v", err)
	}
	return partitionOf(in.Partition, p), err
}
