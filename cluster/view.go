package cluster

import (
	"errors"

	"once/groupcoordinator"
	"once/handlers"
	"once/log/batch"
	"once/partition"
	"once/topics"
	"once/txncoordinator"
)

// View is an open cluster for code that looks into it, such as the lab. It may be used until End. The end of the
// cluster waits for that, as for a request.
type View struct {
	Topics   *topics.Topics
	Txns     *txncoordinator.Coordinator
	Groups   *groupcoordinator.Coordinator
	Services *handlers.Services
	engine   *engine
}

// View returns a view; false while the cluster is down.
func (c *Cluster) View() (View, bool) {
	e := c.enter()
	if e == nil {
		return View{}, false
	}
	return View{Topics: e.topics, Txns: e.txns, Groups: e.groups, Services: e.services, engine: e}, true
}

// End ends the view.
func (v View) End() { v.engine.requests.Done() }

// Fate says what has become of a batch.
type Fate string

// The fates. A batch of a transaction is open until the transaction's marker follows.
const (
	FatePlain     Fate = "plain"
	FateOpen      Fate = "open"
	FateCommitted Fate = "committed"
	FateAborted   Fate = "aborted"
	FateMarker    Fate = "marker"
)

// Batch is a batch of a partition and its fate.
type Batch struct {
	batch.Header
	Fate   Fate
	Marker batch.Marker // of FateMarker
	Raw    []byte       // a copy; nil unless the caller wanted it
}

var errEnough = errors.New("enough")

// Batches returns the batches from an offset on, until they have limit records or end at the offset to; the fate of
// each is looked up as far behind them as need be. raw says whether the bytes are wanted.
func Batches(p *partition.Partition, from, to int64, limit int, raw bool) (found []Batch, err error) {
	waiting := map[int64][]int{} // of each producer ID, the places in found that wait for a marker
	open := map[int64]int64{}    // first offsets of open transactions, which have no marker to wait for
	for _, t := range p.OldestTransactions(p.OpenTransactions()) {
		open[t.ProducerID] = t.FirstOffset
	}
	records := 0
	err = p.Scan(max(from, p.LogStartOffset()), p.LogEndOffset(), func(h batch.Header, bytes []byte) error {
		enough := records >= limit || h.BaseOffset >= to
		if enough && len(waiting) == 0 {
			return errEnough
		}
		b := Batch{Header: h, Fate: FatePlain}
		if m, isMarker, err := batch.ParseMarker(bytes); err != nil {
			return err
		} else if isMarker {
			fate := FateAborted
			if m.Type == batch.Commit {
				fate = FateCommitted
			}
			for _, i := range waiting[h.ProducerID] {
				found[i].Fate = fate
			}
			delete(waiting, h.ProducerID)
			b.Fate, b.Marker = FateMarker, m
		}
		if enough {
			return nil
		}
		if h.IsTransactional() && b.Fate != FateMarker {
			b.Fate = FateOpen
			if first, ok := open[h.ProducerID]; !ok || h.BaseOffset < first {
				waiting[h.ProducerID] = append(waiting[h.ProducerID], len(found))
			}
		}
		if raw {
			b.Raw = append([]byte(nil), bytes...)
		}
		records += int(h.RecordCount)
		found = append(found, b)
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return found, err
}

// CommittedRecords counts the records that a read_committed reader gets from an offset up to another.
func CommittedRecords(p *partition.Partition, from, to int64) (n int64, err error) {
	if from >= to {
		return 0, nil
	}
	batches, err := Batches(p, from, to, int(^uint(0)>>1), false)
	for _, b := range batches {
		if b.Fate == FatePlain && !b.IsControl() || b.Fate == FateCommitted {
			before := max(0, from-b.BaseOffset) // a reader begins within the batch
			n += max(0, int64(b.RecordCount)-before)
		}
	}
	return n, err
}

// MaxDecompressedBytes is the most that the batches of one request may inflate to.
func (c *Cluster) MaxDecompressedBytes() int { return c.env.Settings.MaxDecompressedBatchBytes }

// ID is the cluster ID; "" while the cluster is down.
func (c *Cluster) ID() string {
	if e := c.engine(); e != nil {
		return e.identity.clusterID
	}
	return ""
}

// BootID is the run of the operating system that the cluster takes itself to be in.
func (c *Cluster) BootID() string { return c.env.BootID }
