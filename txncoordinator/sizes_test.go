package txncoordinator

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"once/durability"
	"once/log/batch"
)

// producer is a client of transactional ID t that does what one does: on a fence it begins anew, and what it asks it
// may ask twice.
type producer struct {
	t       *testing.T
	seed    uint64
	w       *world
	c       *Coordinator
	random  *rand.Rand
	version int16
	id      Identity
	given   map[Identity]bool
}

// age writes into the log that the producer has come to an epoch.
func (p *producer) age(epoch int16) {
	p.t.Helper()
	e := newTransaction("t", max(p.id.ProducerID, 1000), 60_000, p.w.clock.Now().UnixMilli())
	e.ProducerEpoch, e.PreviousProducerID = epoch, e.ProducerID
	p.w.mu.nextPID = max(p.w.mu.nextPID, e.ProducerID+1)
	if _, err := p.w.stateLog(0).AppendCoordinator(encodeTransaction(&e, 2, 0),
		durability.TransactionChanged); err != nil {
		p.t.Fatal(err)
	}
	p.id = Identity{e.ProducerID, epoch}
	p.given[p.id] = true
}

// begin takes an identity that was never given before.
func (p *producer) begin() {
	p.t.Helper()
	r := InitRequest{TransactionalID: "t", ProducerID: -1, ProducerEpoch: -1, TimeoutMs: 60_000}
	if p.random.IntN(2) == 0 && p.id != noIdentity {
		r.ProducerID, r.ProducerEpoch = p.id.ProducerID, p.id.ProducerEpoch
	}
	id, err := p.c.InitProducerID(r)
	for tries := 0; errors.Is(err, ErrConcurrentTransactions) && tries < 3; tries++ { // over an open transaction
		id, err = p.c.InitProducerID(r)
	}
	if errors.Is(err, ErrFenced) { // its epoch was raised by the abort of that
		r.ProducerID, r.ProducerEpoch = -1, -1
		id, err = p.c.InitProducerID(r)
	}
	p.take("init", id, err)
}

func (p *producer) take(what string, id Identity, err error) {
	p.t.Helper()
	switch {
	case err != nil:
		p.t.Fatalf("seed %d, version %d: %s: %v", p.seed, p.version, what, err)
	case id.ProducerEpoch < 0 || id.ProducerEpoch > lastUsableEpoch:
		p.t.Fatalf("seed %d, version %d: %s gives epoch %d", p.seed, p.version, what, id.ProducerEpoch)
	case p.given[id]:
		p.t.Fatalf("seed %d, version %d: %s gives %v again", p.seed, p.version, what, id)
	}
	p.given[id], p.id = true, id
}

// transaction adds partitions and ends, perhaps twice; perhaps it is left open.
func (p *producer) transaction() {
	p.t.Helper()
	for range 1 + p.random.IntN(3) {
		add := AddRequest{TransactionalID: "t", ProducerID: p.id.ProducerID, ProducerEpoch: p.id.ProducerEpoch,
			Partitions: []TopicPartition{{"x", p.random.Int32N(3)}}, ClientTransactionVersion: p.version}
		if err := p.c.AddPartitions(add); err != nil {
			p.t.Fatalf("seed %d, version %d: add with %v: %v", p.seed, p.version, p.id, err)
		}
	}
	if p.random.IntN(5) == 0 {
		p.begin()
		return
	}
	end := EndRequest{TransactionalID: "t", ProducerID: p.id.ProducerID, ProducerEpoch: p.id.ProducerEpoch,
		Commit: p.random.IntN(2) == 0, ClientTransactionVersion: p.version}
	id, err := p.c.EndTxn(end)
	if err != nil {
		p.t.Fatalf("seed %d, version %d: end with %v: %v", p.seed, p.version, p.id, err)
	}
	if p.random.IntN(2) == 0 {
		if again, err := p.c.EndTxn(end); err != nil || again != id {
			p.t.Fatalf("seed %d, version %d: end with %v gives %v, again %v, %v", p.seed, p.version, p.id, id, again,
				err)
		}
	}
	if p.version >= epochBumpVersion {
		p.take("end", id, nil)
	}
}

// From a few epochs before the last usable one on, through several producer IDs: no identity is given twice, none has
// an epoch above the last usable one, what is asked again is answered again, and every marker of a producer has an
// epoch that fits.
func TestProducersGoOnBehindTheLastEpoch(t *testing.T) {
	const seeds = 30
	for _, version := range []int16{0, 1, 2} {
		producerIDs := 0
		for seed := range uint64(seeds) {
			w := newWorld()
			w.mu.version = version
			random := rand.New(rand.NewPCG(seed, uint64(version)))
			p := &producer{t: t, seed: seed, w: w, random: random, version: version / 2 * 2, id: noIdentity,
				given: map[Identity]bool{}}
			for range 3 { // what the log holds of an earlier life
				if p.id.ProducerEpoch < lastUsableEpoch/2 {
					p.age(lastUsableEpoch - int16(random.IntN(4)))
				}
				p.c = loaded(t, w, nil)
				p.begin()
				for range 8 {
					switch random.IntN(6) {
					case 0:
						p.c = loaded(t, w, nil)
					case 1:
						p.begin()
					default:
						p.transaction()
					}
				}
			}
			different := map[int64]bool{}
			for id := range p.given {
				different[id.ProducerID] = true
			}
			producerIDs += len(different)
			for at, markers := range w.mu.markers {
				last := map[int64]int16{}
				for _, m := range markers {
					if m.ProducerEpoch < 0 || m.ProducerEpoch < last[m.ProducerID] {
						t.Errorf("seed %d, version %d: %v has a marker of epoch %d behind %d", seed, version, at,
							m.ProducerEpoch, last[m.ProducerID])
					}
					last[m.ProducerID] = m.ProducerEpoch
				}
			}
		}
		if producerIDs < 2*seeds {
			t.Errorf("version %d: %d producers had %d producer IDs only", version, seeds, producerIDs)
		}
	}
}

// A transaction of any number of partitions comes back from its record, whatever was encoded before in the same
// buffers.
func TestImagesOfAnySizeComeBack(t *testing.T) {
	counts := []int{0, 1, usualTopics - 1, usualTopics, usualTopics + 1, 3*usualTopics + 1, 100}
	var all sync.WaitGroup
	for worker := range uint64(4) { // buffers go from one to the other
		all.Go(func() {
			random := rand.New(rand.NewPCG(worker, 3))
			for range 50 {
				txn := image(Ongoing, int16(random.IntN(math.MaxInt16)))
				txn.TransactionalID = strings.Repeat("i", random.IntN(300))
				var more []TopicPartition
				for topic := range counts[random.IntN(len(counts))] {
					name := fmt.Sprintf("%0*d", 1+random.IntN(249), topic)
					for range 1 + random.IntN(20) {
						more = append(more, TopicPartition{name, random.Int32N(1 << 30)})
					}
				}
				txn.Partitions = union(txn.Partitions, more)
				for _, level := range []int16{0, 2} {
					r := recordOf(t, encodeTransaction(&txn, level, 1))
					id, err := decodeKey(r.Key)
					if err != nil || id != txn.TransactionalID {
						t.Errorf("key of %d bytes: %v", len(id), err)
						return
					}
					got, err := decodeValue(id, r.Value)
					if level == 0 { // has no room for it
						got.PreviousProducerID = txn.PreviousProducerID
					}
					if err != nil || fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", txn) {
						t.Errorf("%d partitions, level %d: %d came back, %v", len(txn.Partitions), level,
							len(got.Partitions), err)
						return
					}
				}
			}
		})
	}
	all.Wait()
}

// The longest transactional ID is served and stored; one more byte is refused.
func TestLongestTransactionalID(t *testing.T) {
	w := newWorld()
	c := loaded(t, w, nil)
	longest := strings.Repeat("t", maxTransactionalIDBytes)
	id := mustInit(t, c, longest)
	c = loaded(t, w, nil)
	if d, err := c.Describe(longest); err != nil || d.ProducerID != id.ProducerID {
		t.Errorf("after a start: %d, %v", d.ProducerID, err)
	}
	if _, err := c.InitProducerID(InitRequest{TransactionalID: longest + "t", ProducerID: -1, ProducerEpoch: -1,
		TimeoutMs: 1}); !errors.Is(err, ErrInvalidRequest) {
		t.Error(err)
	}
}

// As many transactional IDs as are allowed, whatever the number: a further one is refused, also behind a start, and
// taken as soon as one has expired.
func TestTransactionalIDsUpToTheLimit(t *testing.T) {
	for _, most := range []int64{1, 2, 7} {
		w := newWorld()
		limit := func(cfg *Config) {
			cfg.MaxTransactionalIDs, cfg.IDExpiration, cfg.RemoveInterval = most, time.Hour, time.Minute
		}
		c := loaded(t, w, limit)
		further := func(c *Coordinator) error {
			_, err := c.InitProducerID(InitRequest{TransactionalID: "further", ProducerID: -1, ProducerEpoch: -1,
				TimeoutMs: 1})
			return err
		}
		for n := range most {
			mustInit(t, c, fmt.Sprint("t", n))
		}
		for range 2 {
			if err := further(c); !errors.Is(err, ErrTooManyTransactionalIDs) {
				t.Errorf("%d allowed: one more: %v", most, err)
			}
			for n := range most {
				mustInit(t, c, fmt.Sprint("t", n))
			}
			c = loaded(t, w, limit)
		}
		w.clock.Advance(30 * time.Minute)
		for n := range most - 1 {
			mustInit(t, c, fmt.Sprint("t", n)) // the last one is not used any more
		}
		w.clock.Advance(31 * time.Minute)
		w.due(c)
		if err := further(c); err != nil {
			t.Errorf("%d allowed: when one has expired: %v", most, err)
		}
		if err := further(loaded(t, w, limit)); err != nil {
			t.Errorf("%d allowed: after a start: %v", most, err)
		}
	}
}

// Markers that fail are tried again and again, ever later and no later than maxRetry, however often that was.
func TestMarkersAreTriedAgainForEver(t *testing.T) {
	w := newWorld()
	c := loaded(t, w, nil)
	id := mustInit(t, c, "t")
	at := TopicPartition{"x", 0}
	w.mu.failing[at] = errMarker
	add := AddRequest{TransactionalID: "t", ProducerID: id.ProducerID, Partitions: []TopicPartition{at},
		ClientTransactionVersion: 2}
	if err := c.AddPartitions(add); err != nil {
		t.Fatal(err)
	}
	if _, err := c.EndTxn(EndRequest{TransactionalID: "t", ProducerID: id.ProducerID, Commit: true,
		ClientTransactionVersion: 2}); !errors.Is(err, ErrConcurrentTransactions) {
		t.Fatal(err)
	}
	delay := firstRetry
	for attempt := range 200 {
		now := w.clock.Now()
		if attempt > 0 {
			delay = min(2*delay, maxRetry)
		}
		c.schedule.mu.Lock()
		retries := c.schedule.mu.retries
		c.schedule.mu.Unlock()
		if len(retries) != 1 || retries[0].at.Sub(now) != delay {
			t.Fatalf("attempt %d: %d retries, the first in %v, want %v", attempt, len(retries),
				retries[0].at.Sub(now), delay)
		}
		w.clock.Advance(delay)
		w.due(c)
	}
	clear(w.mu.failing)
	w.clock.Advance(maxRetry)
	w.due(c)
	if d, err := c.Describe("t"); err != nil || d.State != CompleteCommit {
		t.Error(d, err)
	}
}

// What a batch may inflate to ends Load: what it decided is not known.
func TestLoadRefusesABatchThatInflatesTooFar(t *testing.T) {
	txn := image(Empty, 5)
	for n := range int32(500) {
		txn.Partitions = append(txn.Partitions, TopicPartition{"x", n})
	}
	txn.State = Ongoing
	plain := encodeTransaction(&txn, 2, 1)
	inflated := len(plain) - batch.HeaderSizeBytes
	rules := batch.DefaultRules()
	rules.Recompress, rules.Codec = true, batch.Gzip
	raw, _, err := batch.Prepare(bytes.Clone(plain), &rules, 0)
	if err != nil || len(raw) >= len(plain) {
		t.Fatalf("%d bytes of %d, %v", len(raw), len(plain), err)
	}
	for _, tc := range []struct {
		most int
		ok   bool
	}{{1, false}, {inflated - 1, false}, {inflated, true}, {inflated + 1, true}, {defaultMaxInflatedBytes, true}} {
		w := newWorld()
		l := w.stateLog(0).(*memStateLog)
		l.batches = append(l.batches, bytes.Clone(raw))
		c := w.coordinator(t, func(cfg *Config) { cfg.MaxInflatedBytes = tc.most })
		if err := c.Load(); (err == nil) != tc.ok {
			t.Errorf("a batch that inflates to %d, %d allowed: %v", inflated, tc.most, err)
		}
		if d, err := c.Describe("t"); tc.ok && (err != nil || len(d.Partitions) != 500) {
			t.Error(len(d.Partitions), err)
		}
	}
}

// IDs are spread over any number of partitions of the log, and found again behind a start.
func TestTransactionalIDsInAnyNumberOfPartitions(t *testing.T) {
	for _, partitions := range []int32{1, 2, 7, defaultPartitions} {
		w := newWorld()
		spread := func(cfg *Config) { cfg.Partitions = partitions }
		c := loaded(t, w, spread)
		used := map[int32]bool{}
		for n := range 100 {
			id := fmt.Sprint("producer ", n)
			mustInit(t, c, id)
			used[c.PartitionFor(id)] = true
		}
		if len(used) < int(partitions)/2 || len(used) > int(partitions) {
			t.Errorf("%d of %d partitions are used", len(used), partitions)
		}
		c = loaded(t, w, spread)
		for n := range 100 {
			if d, err := c.Describe(fmt.Sprint("producer ", n)); err != nil || d.ProducerID != 1000+int64(n) {
				t.Errorf("%d partitions: %d, %v", partitions, d.ProducerID, err)
			}
		}
	}
}

// The union of the partitions of a transaction and of a request, in any order and with doubles, is sorted and has each
// of them once; a string of the request is not kept.
func TestUnionIsSortedWithoutDoubles(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	some := func() (list []TopicPartition) {
		for range random.IntN(20) {
			list = append(list, TopicPartition{string([]byte{'a' + byte(random.IntN(3))}), random.Int32N(5)})
		}
		return list
	}
	for range 1000 {
		have, more := union(nil, some()), some()
		want := map[TopicPartition]bool{}
		for _, p := range slices.Concat(have, more) {
			want[p] = true
		}
		got := union(have, more)
		if len(got) != len(want) || !slices.IsSortedFunc(got, TopicPartition.compare) {
			t.Fatalf("%v and %v: %v", have, more, got)
		}
		for _, p := range got {
			if !want[p] || slices.ContainsFunc(more, func(m TopicPartition) bool {
				return unsafe.StringData(m.Topic) == unsafe.StringData(p.Topic)
			}) {
				t.Fatalf("%v and %v: %v of %v", have, more, p, got)
			}
		}
	}
}
