// Package groupcoordinator keeps consumer groups: their members, their generations, and their committed and pending
// offsets.
//
// Its state is stored in the topic __consumer_offsets in Kafka's record schemas. A group belongs to one partition of
// that topic (PartitionFor), and all changes to the groups of one partition are made under one lock, its shard's. Every
// write has the same steps: decide from memory without changing it, append the records, apply them with the functions
// that replay uses, and answer once the append is durable; that wait is outside of the lock. A failed append leaves
// memory as it was and its error is the answer.
//
// Soft state is in no record: parked requests, session and rebalance timers, members of an unfinished phase. It is lost
// at a restart, and members join again by Kafka's own rules.
//
// A group is a state machine behind the interface group.Group: no lock, no clock, no I/O. The classic protocol (spec:
// groups 1-16) is classicGroup, the consumer protocol (spec: groups 17-20) package consumergroup. Package group has the
// contract for all types of groups.
//
// The package does not use wire codes; handlers call it, the transaction coordinator calls it through its own interface
// Participant.
package groupcoordinator

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf16"

	"github.com/prometheus/client_golang/prometheus"

	"once/groupcoordinator/assignment"
	"once/groupcoordinator/consumergroup"
	"once/groupcoordinator/group"
	"once/groupcoordinator/sharegroup"
	"once/groupcoordinator/streamsgroup"
	"once/internal/clock"
	"once/internal/fault"
)

// Config is the configuration of a Coordinator. Zero durations and sizes mean the default in the comment, except for
// InitialRebalanceDelay, whose zero means no delay.
type Config struct {
	// StateLogs gives the state log of a partition of __consumer_offsets; called once a partition, by Load.
	StateLogs  func(partition int32) StateLog
	Partitions int32        // of __consumer_offsets; 50, never to change while the data directory lives
	Topics     group.Topics // the topics that groups assign partitions from; nil means none
	// StreamsSettings returns the settings of a streams group; nil: all are zero, for tests without such groups.
	StreamsSettings func(groupID string) streamsgroup.Settings

	MinSessionTimeout      time.Duration // group.min.session.timeout.ms; 6 s
	MaxSessionTimeout      time.Duration // group.max.session.timeout.ms; 30 min
	InitialRebalanceDelay  time.Duration // group.initial.rebalance.delay.ms; none
	MaxSize                int           // group.max.size, members of a group; 2,147,483,647
	OffsetMetadataMaxBytes int           // offset.metadata.max.bytes, counted in UTF-16 units as Kafka does; 4096
	MaxInflatedBytes       int           // largest record batch, inflated, that Load reads; 256 MiB
	MaxBatchBytes          int           // largest record batch that is written; 8 MiB, Kafka's default is 1 MiB
	TombstonesPerBatch     int           // most tombstones in one batch; 1000

	ShareStates   ShareStates                              // nil: share groups get no state
	ShareMaxSize  int                                      // group.share.max.size; 200
	ShareSettings func(groupID string) sharegroup.Settings // of one share group; nil means the defaults
	// ConsumerProtocol says that the consumer protocol is served (KIP-848): group.version and
	// group.coordinator.rebalance.protocols.
	ConsumerProtocol func() bool // nil: it is
	// ConsumerGroupMaxSize is group.consumer.max.size; 2,147,483,647.
	ConsumerGroupMaxSize int
	// group.consumer.assignors, the default first; uniform and range
	ConsumerAssignors    []string
	MigrationPolicy      MigrationPolicy                     // group.consumer.migration.policy; both ways
	RegexRefreshInterval time.Duration                       // group.consumer.regex.refresh.interval.ms; 10 min
	ConsumerSettings     func(group string) ConsumerSettings // of one group; nil: Kafka's defaults

	OffsetsRetention       time.Duration // offsets.retention.minutes; 7 days
	RetentionCheckInterval time.Duration // offsets.retention.check.interval.ms; 10 min

	Clock clock.Clock // the cluster's: sessions, rebalances, retention; nil means the machine's
	// Members is the clock of sessions and rebalances, which a test may keep where it is while it moves Clock; nil means
	// Clock.
	Members    clock.Clock
	RealTime   clock.Clock           // nil means the machine's
	Logger     *slog.Logger          // nil discards
	Faults     *fault.Points         // nil: none
	Registerer prometheus.Registerer // nil keeps the metrics to itself
	// NewMemberID makes a member ID from the client ID, or from the group instance ID of a static
	// member. It must never return the same twice. Nil means the prefix, "-" and a random UUID.
	NewMemberID func(prefix string) string
}

// Defaults of Config, as in Kafka where it has them.
const (
	DefaultPartitions             = 50
	DefaultMinSessionTimeout      = 6 * time.Second
	DefaultMaxSessionTimeout      = 30 * time.Minute
	DefaultMaxSize                = 1<<31 - 1
	DefaultOffsetMetadataMaxBytes = 4096
	DefaultMaxInflatedBytes       = 256 << 20
	DefaultMaxBatchBytes          = 8 << 20
	DefaultTombstonesPerBatch     = 1000
	DefaultRegexRefreshInterval   = 10 * time.Minute
	DefaultOffsetsRetention       = 7 * 24 * time.Hour
	DefaultRetentionCheckInterval = 10 * time.Minute
)

// Defaults of DefaultConsumerSettings, as in Kafka.
const (
	defaultConsumerSession   = 45 * time.Second
	defaultConsumerHeartbeat = 5 * time.Second
)

// newMemberJoinTimeout bounds how long a new member's parked Join keeps it in the group: it does not
// know its member ID yet and cannot heartbeat, and its disconnect goes unnoticed (spec: groups 3.3).
const newMemberJoinTimeout = 5 * time.Minute

func (c Config) withDefaults() Config {
	orInt := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	orDuration := func(p *time.Duration, v time.Duration) {
		if *p == 0 {
			*p = v
		}
	}
	if c.Partitions == 0 {
		c.Partitions = DefaultPartitions
	}
	orInt(&c.MaxSize, DefaultMaxSize)
	orInt(&c.ConsumerGroupMaxSize, DefaultMaxSize)
	orDuration(&c.RegexRefreshInterval, DefaultRegexRefreshInterval)
	if len(c.ConsumerAssignors) == 0 {
		c.ConsumerAssignors = []string{"uniform", "range"}
	}
	if c.ConsumerSettings == nil {
		c.ConsumerSettings = func(string) ConsumerSettings { return DefaultConsumerSettings }
	}
	orInt(&c.OffsetMetadataMaxBytes, DefaultOffsetMetadataMaxBytes)
	orInt(&c.MaxInflatedBytes, DefaultMaxInflatedBytes)
	orInt(&c.MaxBatchBytes, DefaultMaxBatchBytes)
	orInt(&c.TombstonesPerBatch, DefaultTombstonesPerBatch)
	orDuration(&c.MinSessionTimeout, DefaultMinSessionTimeout)
	orDuration(&c.MaxSessionTimeout, DefaultMaxSessionTimeout)
	orDuration(&c.OffsetsRetention, DefaultOffsetsRetention)
	orDuration(&c.RetentionCheckInterval, DefaultRetentionCheckInterval)
	if c.Topics == nil {
		c.Topics = group.NoTopics{}
	}
	if c.ShareStates == nil {
		c.ShareStates = noShareStates{}
	}
	if c.StreamsSettings == nil {
		c.StreamsSettings = func(string) streamsgroup.Settings { return streamsgroup.Settings{} }
	}
	if c.Clock == nil {
		c.Clock = clock.Real{}
	}
	if c.Members == nil {
		c.Members = c.Clock
	}
	if c.RealTime == nil {
		c.RealTime = clock.Real{}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.NewMemberID == nil {
		c.NewMemberID = newMemberID
	}
	return c
}

// Validate reports all errors in c at once.
func (c Config) Validate() error {
	var errs []error
	check := func(ok bool, what string) {
		if !ok {
			errs = append(errs, errors.New(what))
		}
	}
	check(c.StateLogs != nil, "no state logs")
	check(c.Partitions >= 0, "negative number of partitions")
	check(c.MinSessionTimeout >= 0, "negative minimum session timeout")
	check(c.MaxSessionTimeout >= 0, "negative maximum session timeout")
	check(c.MaxSessionTimeout == 0 || c.MinSessionTimeout <= c.MaxSessionTimeout,
		"minimum session timeout above the maximum")
	check(c.InitialRebalanceDelay >= 0, "negative initial rebalance delay")
	check(c.MaxSize >= 0 && c.ConsumerGroupMaxSize >= 0, "negative group size")
	for _, name := range c.ConsumerAssignors {
		check(assignment.ByName[name] != nil, "unknown assignor "+name)
	}
	check(c.OffsetMetadataMaxBytes >= 0, "negative offset metadata size")
	check(c.MaxInflatedBytes >= 0 && c.MaxBatchBytes >= 0 && c.TombstonesPerBatch >= 0,
		"negative size of a record batch")
	check(c.OffsetsRetention >= 0, "negative offset retention")
	check(c.RetentionCheckInterval >= 0, "negative retention check interval")
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("group coordinator configuration: %w", err)
	}
	return nil
}

// Coordinator serves the groups of all partitions of __consumer_offsets. All methods may be called
// from any goroutine. Between New and the end of Load they answer ErrLoading (Heartbeat: success, as
// Kafka does), after Close ErrClosed.
type Coordinator struct {
	cfg     Config // immutable, with defaults
	share   *sharegroup.Config
	shards  []*shard
	metrics *metrics
	// consumer is what all consumer groups share; immutable.
	consumer consumergroup.Config
	closed   atomic.Bool
	running  sync.WaitGroup // timer functions that are under way
	// reloading is held for writing while groups are loaded again, and for reading by work that waits for that rather than
	// being refused: markers, and deletions of topics.
	reloading sync.RWMutex

	retention *clock.Check // set at the end of Load
}

// New makes a coordinator without state; Load gives it the state of the log.
func New(cfg Config) (*Coordinator, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	c := &Coordinator{cfg: cfg.withDefaults()}
	c.share = c.cfg.shareConfig()
	c.consumer = c.consumerConfig()
	c.shards = make([]*shard, c.cfg.Partitions)
	for i := range c.shards {
		c.shards[i] = &shard{c: c, partition: int32(i)}
	}
	m, err := newMetrics(c, cfg.Registerer)
	if err != nil {
		return nil, err
	}
	c.metrics = m
	return c, nil
}

// Partitions returns the number of partitions of __consumer_offsets that groups belong to. One that was added since the
// start has none.
func (c *Coordinator) Partitions() int32 { return c.cfg.Partitions }

// PartitionFor returns the partition of __consumer_offsets that a group belongs to: Java's
// String.hashCode over UTF-16 units, made non-negative, modulo the number of partitions.
func (c *Coordinator) PartitionFor(groupID string) int32 {
	var h int32
	for _, r := range groupID {
		if r >= 0x10000 {
			hi, lo := utf16.EncodeRune(r)
			h = 31*(31*h+hi) + lo
		} else {
			h = 31*h + r
		}
	}
	if h < 0 {
		h = -h
		if h < 0 { // the one value whose negation overflows
			h = 0
		}
	}
	return h % c.cfg.Partitions
}

func (c *Coordinator) shardOf(groupID string) *shard { return c.shards[c.PartitionFor(groupID)] }

// lockShard locks the shard of a group, and the caller unlocks it. With an error, ErrLoading or ErrClosed, nothing is
// locked.
func (c *Coordinator) lockShard(groupID string) (*shard, error) {
	s := c.shardOf(groupID)
	s.mu.Lock()
	if err := s.usableLocked(); err != nil {
		s.mu.Unlock()
		return nil, err
	}
	return s, nil
}

// lockShardOfNamedGroup is lockShard for operations that refuse an empty group ID with ErrInvalidGroupID.
func (c *Coordinator) lockShardOfNamedGroup(groupID string) (*shard, error) {
	if err := requireGroupID(groupID); err != nil {
		return nil, err
	}
	return c.lockShard(groupID)
}

func requireGroupID(groupID string) error {
	if groupID == "" {
		return ErrInvalidGroupID
	}
	return nil
}

// utf16Len counts a string the way Kafka counts the metadata of an offset.
func utf16Len(s string) int {
	n := 0
	for _, r := range s {
		n++
		if r >= 0x10000 {
			n++
		}
	}
	return n
}

func cloneOptional(s *string) *string {
	if s == nil {
		return nil
	}
	v := strings.Clone(*s)
	return &v
}

// Release answers all parked requests with ErrUnknownMember, so that clients join again, and parks none from now on.
// Everything else goes on until Close.
func (c *Coordinator) Release() {
	for _, s := range c.shards {
		s.mu.Lock()
		s.mu.released = true
		s.answerParkedLocked(ErrUnknownMember)
		s.mu.Unlock()
	}
}

// Close stops the timers and waits for their functions. Parked requests are answered with ErrClosed.
func (c *Coordinator) Close() {
	if c.closed.Swap(true) {
		return
	}
	if c.retention != nil {
		c.retention.Stop()
	}
	for _, s := range c.shards {
		s.close()
	}
	c.running.Wait()
}
