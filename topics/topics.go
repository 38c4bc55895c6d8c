// Package topics holds the topics: it creates, deletes and looks them up by name and by ID, holds their configurations,
// and opens their partitions. A changed topic record is durable before the call returns; readers see complete topics
// only, and never wait.
package topics

import (
	"errors"
	"log/slog"
	"runtime"
	"sort"
	"sync"
	"sync/atomic"

	"once/durability"
	"once/internal/clock"
	"once/internal/fault"
	"once/internal/vfs"
	"once/log"
	"once/log/batch"
	"once/meta"
	"once/partition"
	"once/settings"
)

// The internal topics, which hold the coordinators' state.
const (
	ConsumerOffsets  = "__consumer_offsets"
	TransactionState = "__transaction_state"
	ShareGroupState  = "__share_group_state"
)

// maxPartitions is the largest number of partitions of one broker.
const maxPartitions = 200_000

var (
	ErrExists            = errors.New("topic already exists")
	ErrUnknownTopic      = errors.New("topic does not exist")
	ErrInvalidName       = errors.New("invalid topic name")
	ErrInvalidPartitions = errors.New("invalid number of partitions")
	ErrTooManyPartitions = errors.New("too many partitions for one broker")
)

// Topic is one topic. Everything but its configuration and the number of its partitions is immutable.
type Topic struct {
	Name     string
	ID       [16]byte
	Internal bool

	createdAtStart int32 // how many starts the data directory had seen; the base of leader epochs
	state          atomic.Pointer[state]
}

type state struct {
	partitions []*partition.Partition
	overrides  settings.Values // what was set for this topic
	config     settings.Topic  // what is in force
}

// Partitions returns the partitions by index. The slice is not to be changed.
func (t *Topic) Partitions() []*partition.Partition { return t.state.Load().partitions }

// Config returns the configuration in force.
func (t *Topic) Config() settings.Topic { return t.state.Load().config }

// Overrides returns what was set for this topic alone. The map is not to be changed.
func (t *Topic) Overrides() settings.Values { return t.state.Load().overrides }

// Options are the options of Open.
type Options struct {
	Store    meta.Store
	FS       vfs.FS
	Dir      string // data directory
	Barrier  *durability.Barrier
	Settings *settings.Broker
	// Starts counts the starts of this data directory, this one included. A partition's leader epoch
	// is the number of starts since its topic was created: it grows with every start (spec: wire 14).
	Starts int32
	Clock  clock.Clock
	Logger *slog.Logger
	Faults *fault.Points // nil: none
	// MaxInflatedBytes bounds what the validation of one compressed batch may inflate.
	MaxInflatedBytes int
	// OnDelete is called for a deleted topic before its files are removed; nil is allowed.
	OnDelete func(*Topic)
}

// Topics is the set of all topics. Safe for concurrent use.
type Topics struct {
	opts      Options                         // immutable, as is the next one
	settings  atomic.Pointer[settings.Broker] // in force: those of opts, until Reconfigure
	foldsCase bool                            // the file system takes names that differ in case only for the same
	index     atomic.Pointer[index]
	mu        sync.Mutex // orders changes; docs/architecture.md has the order of all locks
	removed   unsynced   // under mu
}

// index is an immutable snapshot of all topics, replaced under mu.
type index struct {
	byName map[string]*Topic
	byID   map[[16]byte]*Topic
	count  int // partitions
	// version grows with each topic that is created or deleted or gets partitions.
	version uint64
}

// Open loads all topics and opens their partitions. A partition that cannot be opened is offline and logged; an
// unreadable topic record is an error.
func Open(o Options) (*Topics, error) {
	ts := &Topics{opts: o, foldsCase: vfs.FoldsCase(o.FS, o.Dir)}
	ts.settings.Store(o.Settings)
	ts.removed.all = o.Starts > 1 // what sweep moves aside is not synced
	next := &index{byName: map[string]*Topic{}, byID: map[[16]byte]*Topic{}}
	records, err := readRecords(o.Store)
	if err == nil && !o.Barrier.Clean() {
		err = sweep(o, records)
	}
	if err != nil {
		return nil, err
	}
	for name, r := range records {
		if err := o.Faults.Hit(fault.TopicOpen, fault.Attributes{Topic: name}); err != nil {
			return nil, err
		}
		config, err := o.Settings.Topic(r.Overrides)
		if err != nil { // it may not go with a setting of the broker that was changed since
			config, err = o.Settings.Static().Topic(r.Overrides)
		}
		if err != nil {
			return nil, o.Store.Damaged(meta.Topics, name, err)
		}
		t := ts.newTopic(name, r.ID, r.CreatedAtStart)
		ps, _ := ts.openPartitions(t, config, 0, r.Partitions) // one that cannot be opened is offline
		t.state.Store(&state{partitions: ps, overrides: r.Overrides, config: config})
		next.byName[name], next.byID[r.ID] = t, t
		next.count += int(r.Partitions)
	}
	ts.index.Store(next)
	return ts, nil
}

func (ts *Topics) newTopic(name string, id [16]byte, createdAtStart int32) *Topic {
	return &Topic{Name: name, ID: id, Internal: IsInternal(name), createdAtStart: createdAtStart}
}

// IsInternal says whether a name is that of an internal topic.
func IsInternal(name string) bool {
	return name == ConsumerOffsets || name == TransactionState || name == ShareGroupState
}

// openPartitions opens the partitions from one index up to another, several at a time, because each waits for the disk
// in a handful of system calls. It returns all of them, and the errors of those that are offline.
func (ts *Topics) openPartitions(t *Topic, config settings.Topic, from, to int32) ([]*partition.Partition, error) {
	ps, errs := make([]*partition.Partition, to-from), make([]error, to-from)
	inParallel(len(ps), func(i int) {
		p, err := partition.Open(partition.ID{Topic: t.Name, TopicID: t.ID, Index: from + int32(i)}, partition.Options{
			FS: ts.opts.FS, Dir: ts.opts.Dir, Config: ts.partitionConfig(config), Barrier: ts.opts.Barrier,
			LeaderEpoch:   ts.opts.Starts - t.createdAtStart,
			Unverified:    !ts.settings.Load().TransactionPartitionVerificationEnable,
			InflatedBytes: max(log.DefaultInflatedBytes, ts.opts.MaxInflatedBytes), Clock: ts.opts.Clock, Logger: ts.opts.Logger,
			Faults: ts.opts.Faults,
		})
		if err != nil {
			ts.opts.Logger.Error("partition is offline", "partition", p.ID().String(), "error", err)
		}
		ps[i], errs[i] = p, err
	})
	return ps, errors.Join(errs...)
}

// makePartitionsLocked opens new partitions. On an error none stays open.
func (ts *Topics) makePartitionsLocked(t *Topic, config settings.Topic, from,
	to int32) ([]*partition.Partition, error) {
	if err := ts.checkDirectoriesLocked(t.Name, from, to); err != nil {
		return nil, err
	}
	ps, err := ts.openPartitions(t, config, from, to)
	if err != nil {
		closeAll(ps)
	}
	return ps, err
}

// closeAll closes new partitions.
func closeAll(ps []*partition.Partition) {
	for _, p := range ps {
		_ = p.Close()
	}
}

// inParallel calls f for 0 to n-1 from a few goroutines, and returns when all calls have.
func inParallel(n int, f func(i int)) {
	workers := min(n/16, 4*runtime.GOMAXPROCS(0))
	if workers < 2 {
		for i := range n {
			f(i)
		}
		return
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				f(i)
			}
		})
	}
	wg.Wait()
}

// codecs are the values of compression.type with which the broker compresses, each with its codec and level; "producer"
// keeps batches as they are.
var codecs = map[string]func(settings.Topic) (batch.Codec, int32){
	"uncompressed": func(settings.Topic) (batch.Codec, int32) { return batch.None, 0 },
	"gzip":         func(c settings.Topic) (batch.Codec, int32) { return batch.Gzip, c.CompressionGzipLevel },
	"snappy":       func(settings.Topic) (batch.Codec, int32) { return batch.Snappy, 0 },
	"lz4":          func(c settings.Topic) (batch.Codec, int32) { return batch.LZ4, c.CompressionLz4Level },
	"zstd":         func(c settings.Topic) (batch.Codec, int32) { return batch.Zstd, c.CompressionZstdLevel },
}

func (ts *Topics) partitionConfig(c settings.Topic) partition.Config {
	rules := batch.Rules{
		MaxMessageBytes: c.MaxMessageBytes, MaxRecordBytes: c.MaxDecompressedMessageBytes, SegmentBytes: c.SegmentBytes,
		Compacted: c.CleanupCompact, LogAppendTime: c.LogAppendTime,
		TimestampBeforeMaxMs: c.TimestampBeforeMaxMs, TimestampAfterMaxMs: c.TimestampAfterMaxMs,
		MaxInflatedBytes: ts.opts.MaxInflatedBytes,
	}
	if codec, ok := codecs[c.CompressionType]; ok {
		kind, level := codec(c)
		rules.Recompress, rules.Codec, rules.Level = true, kind, int(level)
	}
	segmentMs := c.SegmentMs
	if c.CleanupCompact { // what is being written to is never compacted
		segmentMs = min(segmentMs, c.MaxCompactionLagMs)
	}
	return partition.Config{
		Log: log.Config{SegmentBytes: c.SegmentBytes, SegmentMs: segmentMs,
			SegmentJitterMs:    min(c.SegmentJitterMs, segmentMs),
			IndexIntervalBytes: c.IndexIntervalBytes, SegmentIndexBytes: c.SegmentIndexBytes,
			FlushMessages: c.FlushMessages, FlushMs: max(c.FlushMs, 1)},
		Rules:     rules,
		Retention: partition.Retention{Delete: c.CleanupDelete, RetentionMs: c.RetentionMs, RetentionBytes: c.RetentionBytes},
		Compaction: partition.Compaction{
			Compact: c.CleanupCompact, MinLagMs: c.MinCompactionLagMs, MaxLagMs: c.MaxCompactionLagMs,
			DeleteRetentionMs: c.DeleteRetentionMs, MinDirtyRatio: c.MinCleanableDirtyRatio,
		},
	}
}

// Lookup returns the topic of a name.
func (ts *Topics) Lookup(name string) (*Topic, bool) {
	t, ok := ts.index.Load().byName[name]
	return t, ok
}

// Version grows with each topic that is created or deleted or gets partitions; it begins anew with a restart. What a
// lookup after it shows is at least as new.
func (ts *Topics) Version() uint64 { return ts.index.Load().version }

// LookupID returns the topic of a topic ID.
func (ts *Topics) LookupID(id [16]byte) (*Topic, bool) {
	t, ok := ts.index.Load().byID[id]
	return t, ok
}

// Partition returns a partition by its topic's name and its index.
func (ts *Topics) Partition(topic string, i int32) (*partition.Partition, bool) {
	t, ok := ts.Lookup(topic)
	if !ok {
		return nil, false
	}
	return t.Partition(i)
}

// Partition returns a partition by its index.
func (t *Topic) Partition(i int32) (*partition.Partition, bool) {
	ps := t.Partitions()
	if i < 0 || int(i) >= len(ps) {
		return nil, false
	}
	return ps[i], true
}

// All returns all topics, ordered by name.
func (ts *Topics) All() []*Topic {
	byName := ts.index.Load().byName
	all := make([]*Topic, 0, len(byName))
	for _, t := range byName {
		all = append(all, t)
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Name < all[j].Name })
	return all
}

// Close closes all partitions.
func (ts *Topics) Close() error {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	var all []*partition.Partition
	for _, t := range ts.index.Load().byName {
		all = append(all, t.Partitions()...)
	}
	errs := make([]error, len(all))
	inParallel(len(all), func(i int) { errs[i] = all[i].Close() })
	return errors.Join(errs...)
}
