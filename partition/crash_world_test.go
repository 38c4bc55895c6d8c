package partition_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"once/durability"
	"once/internal/clock"
	"once/internal/vfs"
	"once/log"
	"once/log/batch"
	"once/log/directory"
	"once/partition"
)

// This is the model behind the storage tests: a few partitions over one barrier, and beside each what
// was asked of it and what it answered. What a partition holds after a crash is compared with what a
// naive reading of that history says, never with what the partition said of itself.

const (
	dataDir    = "data"
	partitions = 4
	// stateLog is the partition that decisions about transactions are written to, as a coordinator does.
	stateLog = partitions - 1
)

// written is one batch that was asked to be appended.
type written struct {
	base, next int64 // offsets; base is -1 while it is not known whether it was stored
	producerID int64 // -1 for none
	epoch      int16
	sequence   int32
	records    int
	txn        bool
	end        string // "commit" or "abort" for a marker
	body       string // first record's value, different for every batch
	raw        []byte // as sent, for a retry
	order      int    // among all batches of all partitions
}

// shadow is what is known of one partition.
type shadow struct {
	stored []written
	maybe  *written // the last append, when it failed in a way that leaves open whether it is stored
	start  int64
	seen   int64 // highest high watermark that a reader was shown
}

func (s *shadow) end() int64 {
	if n := len(s.stored); n > 0 {
		return s.stored[n-1].next
	}
	return 0
}

// upTo returns the batches below an offset, in order.
func (s *shadow) upTo(end int64) []written {
	for i, w := range s.stored {
		if w.next > end {
			return s.stored[:i]
		}
	}
	return s.stored
}

// instant is where all logs stood at one moment.
type instant struct{ ends, starts [partitions]int64 }

// storage is the broker's lower half on a file system, with its history.
type storage struct {
	fs           vfs.FS
	mode         durability.Mode
	large        bool
	fills        bool  // the disk may be full for a moment
	journalBytes int64 // 0 for the default
	sizes        log.Sizes
	barrierSizes durability.Sizes
	whole        bool // the file system can be synced as a whole
	// keepsAll: no records are deleted, so that snapshots are derived from what is there.
	keepsAll bool
	boot     string
	clock    *clock.Movable
	barrier  *durability.Barrier
	parts    [partitions]*partition.Partition
	starts   int32
	failed   chan struct{} // closed when the barrier has told its owner that it failed
	// stopping: a clean stop and start is under way, or has failed; there is nobody to ask then.
	stopping bool

	shadows [partitions]shadow
	synced  instant                   // as of the last barrier that is known to have completed
	trying  *instant                  // as of a barrier that was asked for and did not answer well
	acked   [partitions]int64         // fsync: everything below was confirmed as durable
	next    map[int64]map[int]int32   // producer → partition → next sequence
	open    map[int64]map[int]bool    // producer → partitions with its open transaction
	epochs  map[int64]int16           // producer → epoch
	waiting map[int]durability.Ticket // partition → newest promise not waited for
	bodies  int
	order   int // of the last batch
}

func newStorage(fs vfs.FS, mode durability.Mode) *storage {
	return &storage{
		fs: fs, mode: mode, boot: "boot-1", clock: clock.NewManual(time.UnixMilli(1_700_000_000_000)),
		next: map[int64]map[int]int32{}, open: map[int64]map[int]bool{}, epochs: map[int64]int16{},
		waiting: map[int]durability.Ticket{},
	}
}

func partitionID(i int) partition.ID {
	return partition.ID{Topic: "orders", TopicID: [16]byte{7, 7, 7}, Index: int32(i)}
}

// crashConfig has segments of a few batches, so that everything rolls; with large set, batches and
// segments are so large that offset indexes are used.
func crashConfig(large bool) partition.Config {
	c := partition.Config{
		Log: log.Config{SegmentBytes: 700, IndexIntervalBytes: 200},
		Rules: batch.Rules{MaxMessageBytes: 1 << 17, SegmentBytes: 1 << 18, TimestampBeforeMaxMs: math.MaxInt64,
			TimestampAfterMaxMs: math.MaxInt64, MaxInflatedBytes: 1 << 16},
	}
	if large {
		c.Log = log.Config{SegmentBytes: 200_000, IndexIntervalBytes: 4096}
	}
	return c
}

// start opens everything as a broker does: barrier, partitions, one barrier, and only then work.
func (s *storage) start() error {
	if err := s.fs.MkdirAll(dataDir); err != nil {
		return err
	}
	if err := s.fs.SyncDir("."); err != nil {
		return err
	}
	failed := make(chan struct{})
	s.failed = failed
	under := s.fs
	if !s.whole {
		under = vfs.FileByFile(under)
	}
	b, err := durability.Open(durability.Options{FS: under, Dir: dataDir, FindLogs: directory.Logs, BootID: s.boot,
		Mode: s.mode, RealTime: s.clock, JournalBytes: s.journalBytes, Sizes: s.barrierSizes,
		OnFailure: func(error) { close(failed) }})
	if err != nil {
		return err
	}
	s.barrier = b
	s.starts++
	for i := range s.parts {
		p, err := partition.Open(partitionID(i), partition.Options{FS: s.fs, Dir: dataDir, Config: crashConfig(s.large),
			Barrier: b, LeaderEpoch: s.starts, LogSizes: &s.sizes, Clock: s.clock, Logger: quiet})
		if err != nil {
			return err
		}
		s.parts[i] = p
	}
	return s.wait(b.Recovered)
}

// wait waits for the barrier. On a disk that may be full it moves the clock, because the barrier tries
// again from time to time; otherwise barriers run only when somebody asks.
func (s *storage) wait(on func(context.Context) error) error {
	if !s.fills {
		return on(context.Background())
	}
	answer := make(chan error, 1)
	go func() { answer <- on(context.Background()) }()
	for {
		select {
		case err := <-answer:
			return err
		case <-time.After(time.Millisecond):
			s.clock.Advance(durability.DefaultInterval)
		}
	}
}

// leave ends the goroutines of a process whose file system is dead or whose remains have been copied.
func (s *storage) leave() {
	if s.barrier != nil {
		_ = s.barrier.Close(false)
		s.barrier = nil
	}
	clear(s.waiting)
}

// hasFailed says whether the barrier is over.
func (s *storage) hasFailed() bool {
	select {
	case <-s.failed:
		return true
	default:
		return false
	}
}

func (s *storage) now() (at instant) {
	for i := range s.shadows {
		at.ends[i], at.starts[i] = s.shadows[i].end(), s.shadows[i].start
	}
	return at
}

// sync runs a barrier, as a commit does in the mode txn.
func (s *storage) sync(ticket durability.Ticket) error {
	at := s.now()
	s.trying = &at
	if err := s.wait(ticket.Wait); err != nil {
		return err
	}
	s.synced, s.trying = at, nil
	return nil
}

// look notes what readers are shown.
func (s *storage) look() {
	for i, p := range s.parts {
		if p != nil {
			s.shadows[i].seen = max(s.shadows[i].seen, p.HighWatermark())
		}
	}
}

func (s *storage) build(w *written) []byte {
	records := make([]batch.Record, w.records)
	for i := range records {
		records[i] = batch.Record{OffsetDelta: int32(i), Key: []byte("k"), Value: fmt.Appendf(nil, "%s/%d", w.body, i)}
	}
	return batch.Build(batch.BuildOptions{ProducerID: w.producerID, ProducerEpoch: w.epoch, BaseSequence: w.sequence,
		Transactional: w.txn,
		TimestampMs:   s.clock.Now().UnixMilli(), LeaderEpoch: -1}, records...)
}

// append sends one batch and notes the answer. A refusal of the disk is returned.
func (s *storage) append(i int, w written) error {
	sh, p := &s.shadows[i], s.parts[i]
	if w.raw == nil {
		s.bodies++
		size := 1 + s.bodies*37%90
		if s.large {
			size = 1 + s.bodies*3701%17_000
		}
		w.body = fmt.Sprint(s.bodies, "-") + strings.Repeat("0", size)
		w.raw = s.build(&w)
	}
	var guard partition.Guard
	if w.txn {
		var err error
		if guard, _, err = p.BeginVerification(w.producerID, w.epoch, w.sequence, true); err != nil {
			return err
		}
	}
	a, err := p.AppendClient(bytes.Clone(w.raw), guard, 12)
	if err == nil && a.Duplicate {
		return fmt.Errorf("partition %d: batch %s is new and was taken for a duplicate of offset %d", i, w.body, a.BaseOffset)
	}
	return s.noted(i, w, a, err, sh)
}

// mark ends a transaction in one partition.
func (s *storage) mark(i int, producerID int64, kind batch.MarkerType) error {
	w := written{producerID: producerID, epoch: s.epochs[producerID], records: 1, sequence: -1, txn: true, end: "commit"}
	if kind == batch.Abort {
		w.end = "abort"
	}
	a, err := s.parts[i].AppendMarker(batch.Marker{ProducerID: producerID, ProducerEpoch: w.epoch, Type: kind,
		TimestampMs: s.clock.Now().UnixMilli()}, 0)
	return s.noted(i, w, a, err, &s.shadows[i])
}

func (s *storage) noted(i int, w written, a partition.Appended, err error, sh *shadow) error {
	if err != nil {
		// Known not to be stored, unless the partition says that it does not know.
		if errors.Is(err, partition.ErrOffline) && sh.maybe == nil {
			w.base = -1
			sh.maybe = &w
		}
		return err
	}
	if sh.maybe != nil {
		return fmt.Errorf("partition %d takes appends after one that it knows nothing of", i)
	}
	w.base, w.next = a.BaseOffset, a.LastOffset+1
	if w.base != sh.end() {
		return fmt.Errorf("partition %d: appended at %d, the log ended at %d", i, w.base, sh.end())
	}
	s.order++
	w.order = s.order
	sh.stored = append(sh.stored, w)
	if a.Durable.Pending() {
		s.waiting[i] = a.Durable
	}
	s.look()
	return nil
}

// confirm waits until everything that was appended to a partition is durable (fsync).
func (s *storage) confirm(i int) error {
	d, ok := s.waiting[i]
	if !ok {
		return nil
	}
	end := s.shadows[i].end()
	if err := s.wait(d.Wait); err != nil {
		return err
	}
	delete(s.waiting, i)
	s.acked[i] = end
	if hw := s.parts[i].HighWatermark(); hw < end {
		return fmt.Errorf("partition %d: confirmed up to %d, readers see %d", i, end, hw)
	}
	s.look()
	return nil
}
