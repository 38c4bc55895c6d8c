// Package broker assembles the program: it opens the data directory, recovers, loads the coordinators,
// listens, and closes everything in order. It is the only package that knows everyone, and it decides
// nothing about records, transactions or groups.
package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"once/admin"
	"once/configs"
	"once/groupcoordinator"
	"once/handlers"
	"once/log"
	"once/meta"
	"once/pidmanager"
	"once/topics"
	"once/txncoordinator"
	"once/wire"
)

// Broker is a running broker. Safe for concurrent use.
type Broker struct {
	cfg      Config
	dir      string // data directory
	identity identity
	registry *prometheus.Registry

	lock        io.Closer
	store       meta.Store
	barrier     *log.Barrier
	topics      *topics.Topics
	configs     *configs.Configs
	producerIDs *pidmanager.Manager
	groups      *groupcoordinator.Coordinator
	txns        *txncoordinator.Coordinator
	features    *handlers.Features
	services    *handlers.Services
	server      *wire.Server
	listener    net.Listener
	admin       *admin.Server
	upkeep      *upkeep
	cleaner     *cleaner // nil when log.cleaner.enable is off

	serving   sync.WaitGroup
	closeOnce sync.Once
	closeErr  error
	done      chan struct{}
	failure   struct {
		sync.Mutex
		err     error
		started bool // Close may be called
	}
}

// drainTimeout bounds how long Close waits for requests that are being answered.
const drainTimeout = 500 * time.Millisecond

// Start opens the data directory, recovers what it holds, and serves. It returns when every listener is
// open and every coordinator is loaded. Errors wrap ErrConfig or ErrStorage where that is the cause.
// The broker runs until Close, or until ctx ends, which closes it.
func Start(ctx context.Context, cfg Config) (*Broker, error) {
	cfg, mode, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	b := &Broker{cfg: cfg, done: make(chan struct{}), registry: prometheus.NewRegistry()}
	err = b.open(mode)
	if failure := b.endStart(); failure != nil {
		err = failure // the rest follows from it
	}
	if err != nil {
		return nil, errors.Join(err, b.close(false))
	}
	context.AfterFunc(ctx, func() { _ = b.Close() })
	return b, nil
}

// open brings the broker up, bottom first.
func (b *Broker) open(mode log.Mode) error {
	for _, step := range []func() error{
		b.listen,
		b.openDirectory,
		b.openMeta,
		func() error { return b.openBarrier(mode) },
		b.begin,
		b.openTopics,
		b.openCoordinators,
		b.serve,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// listen claims the address first: it is the likeliest thing to be wrong, and clients that come early
// wait in the backlog.
func (b *Broker) listen() error {
	if b.listener = b.cfg.Listener; b.listener != nil {
		return nil
	}
	l, err := net.Listen("tcp", b.cfg.Listen)
	if err != nil {
		return fmt.Errorf("%w: listening on %s: %w", ErrConfig, b.cfg.Listen, err)
	}
	b.listener = l
	return nil
}

func (b *Broker) openDirectory() error {
	b.dir = b.cfg.DataDir
	if b.cfg.Ephemeral {
		dir, err := os.MkdirTemp("", "once-")
		if err != nil {
			return fmt.Errorf("%w: making a temporary data directory: %w", ErrStorage, err)
		}
		b.dir = dir
	}
	if err := os.MkdirAll(b.dir, 0o755); err != nil {
		return fmt.Errorf("%w: making the data directory: %w", ErrStorage, err)
	}
	err := b.cfg.FS.MkdirAll(b.dir)
	if err == nil && !b.cfg.Ephemeral { // what the barriers sync is of no use without the name above it
		err = b.cfg.FS.SyncDir(filepath.Dir(b.dir))
	}
	if err != nil {
		return fmt.Errorf("%w: making the data directory: %w", ErrStorage, err)
	}
	lock, err := b.cfg.FS.Lock(filepath.Join(b.dir, ".lock"))
	if err != nil {
		return fmt.Errorf("%w: data directory %s is in use by another broker: %w", ErrStorage, b.dir, err)
	}
	b.lock = lock
	return nil
}

func (b *Broker) openMeta() error {
	path := filepath.Join(b.dir, metaFile)
	if err := refuseOrphans(path, b.dir); err != nil {
		return err
	}
	store, err := meta.Open(path, meta.Options{NoSync: b.cfg.Ephemeral, OnFailure: b.fail, Upgrade: b.upgradeMeta})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStorage, err)
	}
	b.store = store
	if err := checkMeta(store, b.cfg.Settings); err != nil {
		return fmt.Errorf("%w: %w", ErrStorage, err)
	}
	return nil
}

// upgradeMeta validates metadata that has no checksums, before it gets some.
func (b *Broker) upgradeMeta(tx meta.Tx) error {
	if err := checkOldCluster(tx); err != nil {
		return err
	}
	return topics.Upgrade(tx, topics.Options{FS: b.cfg.FS, Dir: b.dir})
}

// begin counts this start. Until here nothing has been written into a directory that is refused.
func (b *Broker) begin() (err error) {
	b.identity, err = begin(b.store)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStorage, err)
	}
	return nil
}

// syncWorkers is how many files one barrier syncs side by side.
const syncWorkers = 16

const metaFile = "meta.db"

// refuseOrphans refuses to start empty over existing logs: when the metadata is gone but partitions are
// there, somebody lost a file, and a new cluster on top would make it worse.
func refuseOrphans(path, dir string) error {
	if info, err := os.Stat(path); err == nil && info.Size() > 0 {
		return nil
	}
	found, err := filepath.Glob(filepath.Join(dir, "*", "partition.metadata"))
	if err != nil || len(found) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s is missing, but %s holds logs (%s and others); restore the file or use another data directory",
		ErrStorage, path, dir, filepath.Base(filepath.Dir(found[0])))
}

func (b *Broker) openBarrier(mode log.Mode) error {
	barrier, err := log.OpenBarrier(log.BarrierOptions{
		FS: b.cfg.FS, Dir: b.dir, BootID: cmp.Or(b.cfg.BootID, bootID()), Mode: mode, Interval: b.cfg.Settings.Milliseconds("flush.interval.ms"),
		ReserveBytes: b.reserveBytes(), JournalBytes: b.journalBytes(), Logger: b.cfg.Logger, OnFailure: b.fail, SyncWorkers: syncWorkers,
		InflatedBytes: max(log.DefaultInflatedBytes, b.cfg.Settings.Int("max.decompressed.message.bytes")),
		Registerer:    prometheus.WrapRegistererWithPrefix("once_", b.registry),
	})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStorage, err)
	}
	b.barrier = barrier
	b.cfg.Logger.Info("data directory is open", "dir", b.dir, "durability", mode.String(), "stopped_cleanly", barrier.Clean(), "same_boot", barrier.SameBoot())
	return nil
}

func (b *Broker) openTopics() error {
	ts, err := topics.Open(topics.Options{
		Store: b.store, FS: b.cfg.FS, Dir: b.dir, Barrier: b.barrier, Settings: b.cfg.Settings, Starts: b.identity.starts,
		Clock: b.cfg.Clock, Logger: b.cfg.Logger, MaxInflatedBytes: b.cfg.Settings.Int("max.decompressed.message.bytes"), OnDelete: b.topicDeleted,
	})
	if ts != nil {
		b.topics = ts
	}
	if err == nil {
		b.configs, err = configs.Open(b.store, b.cfg.Settings)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStorage, err)
	}
	for _, internal := range []struct{ name, partitions, segmentBytes, extra string }{
		{topics.ConsumerOffsets, "offsets.topic.num.partitions", "offsets.topic.segment.bytes", "producer"},
		{topics.TransactionState, "transaction.state.log.num.partitions", "transaction.state.log.segment.bytes", "uncompressed"},
	} {
		if _, ok := ts.Lookup(internal.name); ok {
			continue
		}
		_, err := ts.Create(topics.Spec{
			Name: internal.name, Partitions: int32(b.cfg.Settings.Int(internal.partitions)),
			Overrides: map[string]string{"cleanup.policy": "compact", "compression.type": internal.extra, "segment.bytes": b.cfg.Settings.String(internal.segmentBytes)},
		})
		if err != nil {
			return fmt.Errorf("%w: creating %s: %w", ErrStorage, internal.name, err)
		}
	}
	highest := int64(-1)
	for _, t := range ts.All() {
		for _, p := range t.Partitions() {
			highest = max(highest, p.HighestProducerID())
			if _, err := p.Offsets(); err != nil && t.Internal {
				return b.stateError(err)
			}
		}
	}
	b.producerIDs = pidmanager.NewManager(blockStore{b.store}, highest)
	return nil
}

// stateError says why the broker's own state cannot be loaded; of damage in one sentence, with what to do about it.
func (b *Broker) stateError(err error) error {
	var damaged *log.DamagedError
	if !errors.As(err, &damaged) {
		return fmt.Errorf("%w: %w", ErrStorage, err)
	}
	return fmt.Errorf("%w: the broker's own state is damaged in %s at byte %d (%w); to see what can be saved, run %q",
		ErrStorage, damaged.File, damaged.Position, damaged.Cause, "broker repair "+b.dir)
}

func (b *Broker) topicDeleted(t *topics.Topic) {
	if b.groups != nil {
		b.groups.OnTopicDeleted(t.Name, t.ID)
	}
}

func (b *Broker) openCoordinators() error {
	transactionVersion, err := b.cfg.transactionVersion()
	if err != nil {
		return err
	}
	b.features = handlers.NewFeatures(transactionVersion, int64(b.identity.starts))
	registerer := prometheus.WrapRegistererWithPrefix("once_", b.registry)
	if b.groups, err = b.openGroups(registerer); err != nil {
		return err
	}
	if err := b.groups.Load(context.Background()); err != nil {
		return b.stateError(err)
	}
	if b.txns, err = b.openTxns(registerer); err != nil {
		return err
	}
	if err := b.txns.Load(); err != nil {
		return b.stateError(err)
	}
	if err := b.txns.Reconcile(openTransactions(b.topics)); err != nil {
		return fmt.Errorf("%w: %w", ErrStorage, err)
	}
	b.producerIDs.Raise(b.txns.HighestProducerID())
	// What recovery kept or repaired is on the disk before anybody reads it.
	if err := b.barrier.Recovered(context.Background()); err != nil {
		return fmt.Errorf("%w: %w", ErrStorage, err)
	}
	b.txns.Start()
	return nil
}

func (b *Broker) serve() error {
	advertise, err := newAdvertiser(b.cfg.Settings, gatewayOfContainer())
	if err != nil {
		return err
	}
	b.services = &handlers.Services{
		Topics: b.topics, Configs: b.configs, Txns: b.txns, Groups: b.groups, ProducerIDs: b.producerIDs, Settings: b.cfg.Settings, Features: b.features,
		NodeID: int32(b.cfg.Settings.Int("node.id")), ClusterID: b.identity.clusterID, Advertised: advertise.of, Sync: b.barrier.Sync,
		Settle: b.settle(), Clock: b.cfg.Clock, Logger: b.cfg.Logger,
	}
	b.services.Open()
	registerer := prometheus.WrapRegistererWithPrefix("once_", b.registry)
	b.server, err = wire.NewServer(wire.Options{APIs: handlers.APIs(), Limits: b.cfg.limits(), Logger: b.cfg.Logger, Registerer: registerer})
	if err != nil {
		return err
	}
	registerer.MustRegister(newStateCollector(b))
	b.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if b.cfg.Admin != "" {
		b.admin, err = admin.Start(b.cfg.Admin, admin.Options{Gatherer: b.registry, State: b.WriteState, Logger: b.cfg.Logger})
		if err != nil {
			return fmt.Errorf("%w: admin endpoint: %w", ErrConfig, err)
		}
	}
	b.upkeep = startUpkeep(b)
	if b.cfg.Settings.Bool("log.cleaner.enable") {
		b.cleaner = startCleaner(b)
	}
	b.serving.Go(func() {
		if err := b.server.Serve(b.listener, b.services.Handle); err != nil {
			b.fail(err)
		}
	})
	if b.admin != nil {
		b.admin.SetReady(true)
	}
	return nil
}

// Addr returns the address of the Kafka listener, HOST:PORT where it is one of TCP.
func (b *Broker) Addr() string { return b.listener.Addr().String() }

// AdminAddr returns the address of the HTTP endpoint, or "" when it is off.
func (b *Broker) AdminAddr() string {
	if b.admin == nil {
		return ""
	}
	return b.admin.Addr()
}

// Done is closed when the broker has stopped, by Close or by a failure.
func (b *Broker) Done() <-chan struct{} { return b.done }

// Err returns why the broker stopped by itself; nil while it runs and after a clean Close.
func (b *Broker) Err() error {
	b.failure.Lock()
	defer b.failure.Unlock()
	return b.failure.err
}

// endStart notes that the start is over, and returns what has failed meanwhile.
func (b *Broker) endStart() error {
	b.failure.Lock()
	defer b.failure.Unlock()
	b.failure.started = true
	return b.failure.err
}

// fail stops the broker for good: after a failed sync nothing that it says about the disk could be
// believed any more. While it starts, Start does so at its end.
func (b *Broker) fail(err error) {
	b.failure.Lock()
	first, started := b.failure.err == nil, b.failure.started
	if first {
		b.failure.err = fmt.Errorf("%w: %w", ErrStorage, err)
	}
	b.failure.Unlock()
	if !first {
		return
	}
	b.cfg.Logger.Error("the broker stops", "error", err)
	if started {
		go func() { _ = b.Close() }()
	}
}

// Close stops accepting, lets the requests that are being answered finish, writes everything, and marks
// the data directory as cleanly stopped. It may be called more than once.
func (b *Broker) Close() error {
	b.closeOnce.Do(func() {
		b.closeErr = b.close(b.Err() == nil)
		close(b.done)
	})
	return b.closeErr
}

// close takes down what is up, top first.
func (b *Broker) close(clean bool) error {
	var errs []error
	if b.admin != nil {
		b.admin.SetReady(false)
	}
	if b.server != nil {
		ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
		// What is still parked when the time is over is cut off: its client tries again elsewhere.
		_ = b.server.Shutdown(ctx)
		cancel()
	} else if b.listener != nil {
		_ = b.listener.Close()
	}
	b.serving.Wait()
	if b.services != nil {
		b.services.Close()
	}
	if b.upkeep != nil {
		b.upkeep.stop()
	}
	if b.cleaner != nil {
		b.cleaner.stop()
	}
	if b.txns != nil {
		b.txns.Close()
	}
	if b.groups != nil {
		b.groups.Close()
	}
	if b.topics != nil {
		err := b.topics.Close()
		clean = clean && err == nil
		errs = append(errs, err)
	}
	if b.barrier != nil {
		errs = append(errs, b.barrier.Close(clean))
	}
	if b.store != nil {
		errs = append(errs, b.store.Close())
	}
	if b.lock != nil {
		errs = append(errs, b.lock.Close())
	}
	if b.admin != nil {
		errs = append(errs, b.admin.Close())
	}
	if b.cfg.Ephemeral && b.dir != "" {
		errs = append(errs, os.RemoveAll(b.dir))
	}
	return errors.Join(errs...)
}
