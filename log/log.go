package log

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"path"
	"sync"
	"sync/atomic"

	"once/durability"
	"once/internal/clock"
	"once/internal/fault"
	"once/internal/vfs"
	"once/log/batch"
)

// Kafka's defaults of the topic configurations that Config holds.
const (
	DefaultSegmentBytes       = 1 << 30
	DefaultSegmentMs          = 7 * 24 * 3600 * 1000
	defaultIndexIntervalBytes = 4096
	defaultSegmentIndexBytes  = 10 << 20

	// DefaultInflatedBytes is for Options.InflatedBytes.
	DefaultInflatedBytes = 256 << 20
)

// Config holds the topic configurations of a log. Zero means Kafka's default.
type Config struct {
	SegmentBytes       int32 // segment.bytes: no segment grows beyond
	SegmentMs          int64 // segment.ms; for compacted topics at most max.compaction.lag.ms
	SegmentJitterMs    int64 // segment.jitter.ms: a segment's SegmentMs is less by a random time below this
	IndexIntervalBytes int32 // index.interval.bytes
	SegmentIndexBytes  int32 // segment.index.bytes: a full index rolls the segment
	FlushMessages      int64 // flush.messages: an append waits for a barrier when this many records are unsynced
	FlushMs            int64 // flush.ms: longest time until a barrier
}

func (c Config) withDefaults() Config {
	if c.SegmentBytes <= 0 {
		c.SegmentBytes = DefaultSegmentBytes
	}
	if c.SegmentMs <= 0 {
		c.SegmentMs = DefaultSegmentMs
	}
	if c.IndexIntervalBytes <= 0 {
		c.IndexIntervalBytes = defaultIndexIntervalBytes
	}
	if c.SegmentIndexBytes <= 0 {
		c.SegmentIndexBytes = defaultSegmentIndexBytes
	}
	if c.FlushMessages <= 0 {
		c.FlushMessages = math.MaxInt64
	}
	if c.FlushMs <= 0 {
		c.FlushMs = math.MaxInt64
	}
	return c
}

// Options are the options of Open. FS and Dir must be set.
type Options struct {
	FS      vfs.FS
	Dir     string   // of this partition: data/orders-0
	TopicID [16]byte // written beside the data and compared when it is opened again
	Config  Config
	Barrier *durability.Barrier // nil: nothing is ever synced
	Clock   clock.Clock         // the cluster's, for the age of segments; nil: the machine's
	Logger  *slog.Logger        // nil: silent
	Faults  *fault.Points       // nil: none
	// OnRoll, when set, returns the producer snapshot to write at a new segment's base offset. It runs
	// inside Append, on the goroutine that appends.
	OnRoll func(newBaseOffset int64) []byte
	// OnDurable, when set, is called by each barrier with the offset up to which it covered the log, before it
	// wakes its waiters. It runs on the barrier's goroutine and must not wait for a barrier.
	OnDurable func(endOffset int64)
	// InflatedBytes is the largest content of a compressed batch that is decompressed for its timestamps and by
	// the cleaner; 0 means DefaultInflatedBytes. Batches that are appended must keep to it.
	InflatedBytes int
	Sizes         *Sizes // nil: the defaults
}

// Log is one partition's log. See the package comment for who may call what.
type Log struct {
	fs            vfs.FS // these are immutable
	dir           string
	topicID       [16]byte
	member        *durability.Member // nil without a barrier
	clock         clock.Clock
	logger        *slog.Logger
	faults        *fault.Points
	onRoll        func(int64) []byte
	onDurable     func(int64)
	sizes         *Sizes
	inflatedBytes int // Options.InflatedBytes

	config   atomic.Pointer[Config]
	segments atomic.Pointer[[]*segment] // ascending; the last one is written to; the slice is immutable
	start    atomic.Int64
	end      atomic.Int64
	flushed  atomic.Int64 // a barrier has covered everything below this offset
	size     atomic.Int64
	epochs   growing[LeaderEpochStart] // see checkedEpochs
	aborted  atomic.Pointer[growing[AbortedTxn]]

	epochCheck    sync.Mutex  // held while epochs change
	epochsChecked atomic.Bool // epochs agree with the batches

	gaps              atomic.Bool             // the log has been compacted: offsets may be missing
	appended          atomic.Bool             // since Open: else Close has nothing to write
	snapshotsAtOpen   atomic.Pointer[[]int64] // newest first; nil once they may have changed
	unsyncedSnapshots struct {
		sync.Mutex
		offsets []int64
	}
	failed  atomic.Pointer[error]
	closed  atomic.Bool
	removed atomic.Bool
	// structure is held while segments are replaced, derived files written, the log closed; docs/architecture.md has
	// the order of all locks.
	structure sync.Mutex

	swaps       []swap // of Clean and FinishCleaning
	uncleanable error  // why Clean replaces no segment until the next start
	cleanedTo   struct {
		sync.Mutex
		known  bool
		offset int64
	}
}

func (l *Log) fill(o Options) {
	l.fs = o.FS
	l.dir = o.Dir
	l.topicID = o.TopicID
	l.clock = o.Clock
	l.logger = o.Logger
	l.onRoll = o.OnRoll
	l.onDurable = o.OnDurable
	l.faults = o.Faults
	l.member = o.Barrier.Join(durableLog{l}, o.Dir, l.base(), o.TopicID)
	l.sizes, l.inflatedBytes = &defaultSizes, o.InflatedBytes
	if o.Sizes != nil {
		sizes := o.Sizes.withDefaults()
		l.sizes = &sizes
	}
	orDefault(&l.inflatedBytes, DefaultInflatedBytes)
	if l.clock == nil {
		l.clock = clock.Real{}
	}
	if l.logger == nil {
		l.logger = slog.New(slog.DiscardHandler)
	}
	l.SetConfig(o.Config)
}

// SetConfig replaces the configuration, from the next append on.
func (l *Log) SetConfig(c Config) {
	c = c.withDefaults()
	l.config.Store(&c)
}

// StartOffset is the first offset still readable.
func (l *Log) StartOffset() int64 { return l.start.Load() }

// EndOffset is the offset the next record gets.
func (l *Log) EndOffset() int64 { return l.end.Load() }

// SizeBytes is the size of all segments.
func (l *Log) SizeBytes() int64 { return l.size.Load() }

// SetStartOffset moves the start forward, at most to the end; lower values change nothing. Segments
// below stay until DeleteSegments. It is durable with the next barrier.
func (l *Log) SetStartOffset(offset int64) {
	offset = min(offset, l.end.Load())
	if offset > l.start.Load() {
		l.start.Store(offset)
		l.member.Changed()
	}
}

// TicketFor returns the ticket that an answer of this kind waits for. It also covers appends that have reached the
// topic's flush.messages.
func (l *Log) TicketFor(a durability.Answer) durability.Ticket {
	if l.end.Load()-l.flushed.Load() >= l.config.Load().FlushMessages {
		a = durability.Flushed
	}
	return l.member.TicketFor(a)
}

func (l *Log) list() []*segment {
	if p := l.segments.Load(); p != nil {
		return *p
	}
	return nil
}

func (l *Log) nowMs() int64 { return l.clock.Now().UnixMilli() }

// writable returns the error of an append if the log takes none.
func (l *Log) writable() error {
	if l.closed.Load() {
		return ErrClosed
	}
	if err := l.failed.Load(); err != nil {
		return *err
	}
	if err := l.member.Failure(); err != nil {
		return fmt.Errorf("%w: %w", ErrFailed, err)
	}
	return nil
}

func (l *Log) fail(cause error) error {
	err := fmt.Errorf("%w: %w", ErrFailed, cause)
	l.failed.CompareAndSwap(nil, &err)
	return err
}

// Close writes the derived files and closes all files. No append may run beside it; readers with a Slice may finish.
// The barrier, which is closed later, makes the bytes durable.
func (l *Log) Close() error {
	if l.closed.Swap(true) {
		return nil
	}
	l.structure.Lock()
	defer l.structure.Unlock()
	var err error
	if l.appended.Load() && l.failed.Load() == nil && !l.removed.Load() {
		err = l.writeDerivedLocked()
	}
	if errors.Is(err, vfs.ErrNoSpace) { // the next start makes them anew
		l.logger.Warn("no room for the derived files", "dir", l.dir, "error", err)
		err = nil
	}
	for _, s := range l.list() {
		s.release()
	}
	return err
}

func (l *Log) writeDerivedLocked() error {
	segments := l.list()
	if len(segments) == 0 {
		return nil
	}
	last := segments[len(segments)-1]
	last.closeTimes()
	err := last.flushIndexes()
	if terr := l.writeAborted(l.end.Load()); err == nil {
		err = terr
	}
	if err != nil {
		return fmt.Errorf("write the indexes of %s: %w", l.dir, err)
	}
	return nil
}

// Remove closes the log and deletes its directory. It renames the directory first, so that a new log of the same name
// can be created at once. Readers may finish.
func (l *Log) Remove() error {
	l.removed.Store(true)
	if err := l.Close(); err != nil {
		return err
	}
	l.member.Remove()
	gone := path.Join(path.Dir(l.dir), RenamedDirectory(l.base(), l.topicID, DeleteSuffix))
	if err := l.fs.RemoveAll(gone); err != nil {
		return err
	}
	switch err := l.fs.Rename(l.dir, gone); {
	case err == nil:
		return l.fs.RemoveAll(gone)
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, vfs.ErrInUse): // a reader has a file open, and this is Windows: the files can be deleted
		return l.fs.RemoveAll(l.dir)
	default:
		return err
	}
}

// noBatches is the timestamp of a segment or log without batches.
const noBatches = batch.NoTimestampMs
