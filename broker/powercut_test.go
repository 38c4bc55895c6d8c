package broker_test

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"once/broker"
	"once/cluster"
	"once/internal/crashtest"
	"once/internal/invariant"
	"once/internal/kafkatest"
	"once/internal/vfs"
)

// The power is cut at each write and each sync while transactions run (spec: reliability 3, rows F7 and F9):
// of what was not synced, any part may be there afterwards, also of one log and not of another. Whatever that
// is, every transaction is there or not with all its records and offsets, what was acknowledged is there, and
// nothing is left open that nobody will end.
//
// It runs beside the barriers, so that the cuts of a seed are not the same each time. ONCE_CRASH=N throws
// N times as many dice.

// disk is a disk that photographs what a power cut would leave, before each of its changes.
type disk struct {
	*vfs.Mem
	seed    int64
	mu      sync.Mutex
	watch   func() heard // nil while nobody looks
	changes int
	stride  int // between two changes that a photo is taken of
	photos  []photo
}

// heard is what the clients have been told.
type heard struct {
	committed  map[string]bool // transactions
	identities map[producerIdentity]bool
	offset     int64 // committed by a group outside of transactions; 0 for none
	records    int64 // of a producer without transactions, in z-0
}

// audience is the clients' memory of it.
type audience struct {
	mu sync.Mutex
	heard
}

func (a *audience) hear(news func(*heard)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	news(&a.heard)
}

func (a *audience) now() heard {
	a.mu.Lock()
	defer a.mu.Unlock()
	h := a.heard
	h.committed, h.identities = maps.Clone(h.committed), maps.Clone(h.identities)
	return h
}

// producerIdentity is what a transactional producer writes as.
type producerIdentity struct {
	producerID    int64
	producerEpoch int16
}

// photo is what is left of the disk, and what the clients had been told before the power went.
type photo struct {
	change string
	left   *vfs.Mem
	heard
}

// watchedBy has photos taken from now on, with what the clients have heard; nil ends it.
func (d *disk) watchedBy(watch func() heard) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.watch = watch
}

func (d *disk) changing(what, name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.watch == nil {
		return
	}
	if d.changes++; d.changes%d.stride != 0 {
		return
	}
	d.Reseed(d.seed<<32 + int64(d.changes))
	heard := d.watch() // before the photo: what is told meanwhile may be on it or not
	d.photos = append(d.photos, photo{fmt.Sprintf("before change %d, %s %s", d.changes, what,
		filepath.Base(filepath.Dir(name))), d.CrashClone(), heard})
}

// OpenFileSystem is refused: file by file there is more that a cut can come between.
func (d *disk) OpenFileSystem(string) (vfs.FileSystem, error) { return nil, errors.ErrUnsupported }

func (d *disk) Create(name string) (vfs.File, error) { return d.file(name)(d.Mem.Create(name)) }

func (d *disk) OpenRead(name string) (vfs.File, error) { return d.file(name)(d.Mem.OpenRead(name)) }

func (d *disk) OpenReadWrite(name string) (vfs.File, error) {
	return d.file(name)(d.Mem.OpenReadWrite(name))
}

func (d *disk) file(name string) func(vfs.File, error) (vfs.File, error) {
	return func(f vfs.File, err error) (vfs.File, error) { return diskFile{f, d, name}, err }
}

type diskFile struct {
	vfs.File
	disk *disk
	name string
}

func (f diskFile) WriteAt(b []byte, at int64) (int, error) {
	f.disk.changing("write to", f.name)
	return f.File.WriteAt(b, at)
}

func (f diskFile) Sync() error {
	f.disk.changing("sync of", f.name)
	return f.File.Sync()
}

func TestPowerCutAtEveryChange(t *testing.T) {
	seeds := max(1, crashtest.Seeds(t))
	for _, mode := range []string{"page", "txn", "fsync"} {
		for _, v2 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s v2=%v", mode, v2), func(t *testing.T) {
				for seed := range seeds {
					cutPower(t, mode, v2, seed)
				}
			})
		}
	}
}

// powered is a client of a broker whose logs are on a disk.
type powered struct {
	*killClient
	broker *broker.Broker
	mode   string
}

func (p *powered) boot(fs vfs.FS, bootID string) {
	p.t.Helper()
	cfg := p.config()
	cfg.FS, cfg.Metadata, cfg.BootID, cfg.Durability = fs, cluster.MetadataOn(fs), bootID, p.mode
	b, err := broker.Start(p.t.Context(), cfg)
	if err != nil {
		p.t.Fatal(err)
	}
	p.broker, p.p = b, &process{addr: b.Addr(), Launched: &kafkatest.Launched{Exited: make(chan struct{})}}
}

func (p *powered) stop() {
	p.t.Helper()
	p.hangUp()
	if err := p.broker.Close(); err != nil {
		p.t.Error(err)
	}
}

// cutStartsOneIn: of the start that follows each so many-th power cut, the power is cut at each change, too.
const cutStartsOneIn = 50

const poweredTransactions = 6 // of each of these

var poweredIDs = []string{"left", "right"}

// barriersOften makes barriers come while the transactions run, also where nobody waits for one.
var barriersOften = append([]string{"--set", "flush.interval.ms=2"}, killArgs...)

func cutPower(t *testing.T, mode string, v2 bool, seed int64) {
	c := &powered{killClient: newKillClient(t, barriersOften), mode: mode}
	d := &disk{Mem: vfs.NewCrashable(seed), seed: seed, stride: crashtest.Stride(t, 20, 1)}
	if invariant.Enabled { // also with the race detector, which makes all of this ten times slower
		d.stride *= 5
	}
	if err := d.MkdirAll(c.dir); err != nil {
		t.Fatal(err)
	}
	d.SyncAll()
	c.boot(d, "before")
	c.createTopic("x", 2, nil)
	c.createTopic("y", 1, nil)
	c.createTopic("z", 1, nil)
	ears := audience{heard: heard{committed: map[string]bool{}, identities: map[producerIdentity]bool{}}}
	producers := []*killProducer{c.producer("", false)}
	for _, id := range poweredIDs {
		p := c.producer(id, v2)
		producers = append(producers, p)
		ears.identities[producerIdentity{p.ProducerID, p.ProducerEpoch}] = true
	}
	d.watchedBy(ears.now)
	for i := range poweredTransactions {
		c.transact(i, producers[0], producers[1:], &ears)
	}
	d.watchedBy(nil)
	c.stop()
	cuts := d.photos
	for n := int(seed) % cutStartsOneIn; n < len(d.photos); n += cutStartsOneIn {
		first := d.photos[n]
		starting := &disk{Mem: first.left.Clone(), seed: ^seed, stride: d.stride}
		starting.watchedBy(func() heard { return first.heard })
		c.boot(starting, "between")
		starting.watchedBy(nil)
		c.stop()
		for _, second := range starting.photos {
			second.change = first.change + ", and of the start after it " + second.change
			cuts = append(cuts, second)
		}
	}
	t.Logf("%d power cuts, and %d of the start that followed", len(d.photos), len(cuts)-len(d.photos))
	for _, photo := range cuts {
		c.boot(photo.left, "after")
		wrong := c.wrong(photo, v2)
		c.stop()
		if len(wrong) > 0 {
			t.Fatalf("seed %d, %s, with %v acknowledged:\n%s", seed, photo.change, slices.Sorted(maps.Keys(photo.committed)),
				strings.Join(wrong, "\n"))
		}
	}
}

// transact is the i-th round of the work: a record and an offset outside of transactions, then a transaction of
// each producer, side by side.
func (p *powered) transact(i int, plain *killProducer, producers []*killProducer, ears *audience) {
	p.t.Helper()
	plain.produce(fmt.Sprint(i), "z", 0)
	ears.hear(func(h *heard) { h.records++ })
	p.commit("plain", nil, 0, int64(i+1))
	ears.hear(func(h *heard) { h.offset = int64(i + 1) })
	commit := i%3 < 2
	for step := range 5 {
		for k, one := range producers {
			transaction := fmt.Sprintf("%s%d", one.TransactionalID, i)
			switch step {
			case 0:
				one.produce(transaction+" first", "x", int32(k))
			case 1:
				one.produce(transaction+" second", "y", 0)
			case 2:
				one.offsets(one.TransactionalID, nil, 0, int64(i+1))
			case 3:
				one.produce(transaction+" third", "x", int32(1-k))
			case 4:
				fenced := i == poweredTransactions-1
				if fenced { // by the producer's next life, which aborts the transaction
					*one = *p.producer(one.TransactionalID, !one.V1)
				} else {
					one.end(commit)
				}
				ears.hear(func(h *heard) {
					if commit {
						h.committed[transaction] = true
					}
					if fenced || p.mode != "page" { // there, a power cut may take back what EndTxn gives (docs/gaps.md)
						h.identities[producerIdentity{one.ProducerID, one.ProducerEpoch}] = true
					}
				})
			}
		}
	}
}

// wrong says what must not be after a power cut.
func (p *powered) wrong(cut photo, v2 bool) (wrong []string) {
	for _, id := range poweredIDs {
		now := p.producer(id, v2) // ends what was open
		for range 2 {
			if cut.identities[producerIdentity{now.ProducerID, now.ProducerEpoch}] {
				wrong = append(wrong, fmt.Sprintf("%s: producer %d epoch %d is handed out once more", id, now.ProducerID,
					now.ProducerEpoch))
			}
			now.offsets("afterwards", nil, 0, 1)
			now.end(true)
		}
	}
	seen := map[string]int{}
	for _, at := range []kafkatest.Place{{Topic: "x"}, {Topic: "x", Partition: 1}, {Topic: "y"},
		{Topic: "__consumer_offsets"}} {
		if end, stable, _ := p.Ends(at.Topic, at.Partition); stable != end {
			wrong = append(wrong, fmt.Sprintf("%s-%d: the last stable offset stands at %d, the high watermark at %d", at.Topic,
				at.Partition, stable, end))
			continue
		}
		if at.Topic == "__consumer_offsets" {
			continue
		}
		for _, r := range p.read(at.Topic, at.Partition) {
			if r.visible {
				transaction, _, _ := strings.Cut(r.value, " ")
				seen[transaction]++
			}
		}
	}
	for transaction, records := range seen {
		if records != 3 {
			wrong = append(wrong, fmt.Sprintf("%s: %d of 3 records", transaction, records))
		}
	}
	if end, _, _ := p.Ends("z", 0); p.mode == "fsync" && end < cut.records {
		wrong = append(wrong, fmt.Sprintf("%d of %d records were acknowledged and are there", end, cut.records))
	}
	if p.mode != "page" {
		if got := p.offset("plain", 0); cut.offset > 0 && got < cut.offset {
			wrong = append(wrong, fmt.Sprintf("offset %d where %d was committed", got, cut.offset))
		}
		for transaction := range cut.committed {
			if seen[transaction] == 0 {
				wrong = append(wrong, transaction+" was acknowledged and is not there")
			}
		}
	}
	if len(wrong) > 0 {
		return wrong
	}
	for _, id := range poweredIDs {
		last := int64(-1)
		for i := range poweredTransactions {
			if seen[fmt.Sprintf("%s%d", id, i)] > 0 {
				last = int64(i + 1)
			}
		}
		if got := p.offset(id, 0); got != last {
			wrong = append(wrong, fmt.Sprintf("%s: committed offset %d where that of the last transaction is %d", id, got, last))
		}
	}
	return wrong
}
