package cluster

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"once/configs"
	"once/credentials"
	"once/durability"
	"once/groupcoordinator"
	"once/handlers"
	"once/internal/clock"
	"once/internal/files"
	"once/internal/vfs"
	"once/log/directory"
	"once/meta"
	"once/pidmanager"
	"once/quotas"
	"once/settings"
	"once/sharecoordinator"
	"once/sharepartition"
	"once/telemetry"
	"once/topics"
	"once/txncoordinator"
)

// engine is a cluster from one opening of its files to the next. Parts that are not open are nil.
type engine struct {
	env      *Env // immutable, as are the next five
	cluster  *Cluster
	dir      string
	mode     durability.Mode
	registry *prometheus.Registry
	fence    *vfs.Fence // all files of the engine, but for those of the metadata

	identity    identity // these are set while it is opened
	store       meta.Store
	barrier     *durability.Barrier
	topics      *topics.Topics
	configs     *configs.Configs
	quotas      *quotas.Quotas
	credentials *credentials.Credentials
	producerIDs *pidmanager.Manager
	shareStates *sharecoordinator.Coordinator
	groups      *groupcoordinator.Coordinator
	shares      *sharepartition.Manager
	txns        *txncoordinator.Coordinator
	features    *handlers.Features
	telemetry   *telemetry.Telemetry
	services    *handlers.Services
	upkeep      *upkeep
	cleaner     *cleaner // nil when log.cleaner.enable is off

	members  *clock.Kept    // of the sessions of group members
	locks    *clock.Kept    // of the record locks of share groups
	requests sync.WaitGroup // that are in it
	stopped  chan struct{}  // closed when it stops serving
	endOnce  sync.Once
	killed   atomic.Bool // no answer is to be given
	prepared []string    // transactional IDs that the opening found prepared
}

// openEngine opens an engine, bottom first. With an error it returns the parts that are open.
func (c *Cluster) openEngine() (*engine, error) {
	files := c.env.FS
	if c.env.NoSync && c.mode == durability.Page {
		files = vfs.Unsynced(files)
	}
	e := &engine{
		env: &c.env, cluster: c, dir: c.dir, mode: c.mode, registry: prometheus.NewRegistry(), fence: vfs.NewFence(files),
		stopped: make(chan struct{}), members: clock.NewKept(c.env.Clock),
		locks: clock.NewKept(c.env.Clock),
	}
	e.env.Faults.Suspend()
	c.rules.Suspend()
	e.env.Faults.OnKill(e.die)
	for _, step := range []func() error{
		e.openMeta,
		e.finishReset,
		e.openBarrier,
		e.begin,
		e.openTopics,
		e.openCoordinators,
		e.openServices,
	} {
		if err := step(); err != nil {
			return e, err
		}
	}
	return e, nil
}

// registerer registers the metrics of the engine's parts.
func (e *engine) registerer() prometheus.Registerer {
	return prometheus.WrapRegistererWithPrefix("once_", e.registry)
}

func (e *engine) fail(err error) { e.cluster.fail(e, err) }

func (e *engine) ended() bool {
	select {
	case <-e.stopped:
		return true
	default:
		return false
	}
}

// end ends the waits in the engine: of Fetches, of group members, and at faults.
func (e *engine) end() {
	e.endOnce.Do(func() {
		close(e.stopped)
		e.env.Faults.Suspend()
		e.cluster.rules.Suspend()
	})
	if e.groups != nil {
		e.groups.Release()
	}
}

// die carries out a kill at a fault: nothing is written to the files any more, and no request is answered. Another
// goroutine closes the engine, because the one at the fault may hold any lock.
func (e *engine) die() {
	e.cluster.dying.Go(func() { e.cluster.bury(e) }) // first: who sees killed may wait for it
	e.killed.Store(true)
	e.fence.Close()
}

func (e *engine) openMeta() error {
	name := path.Join(e.dir, metaFile)
	if err := e.refuseOrphans(name); err != nil {
		return err
	}
	store, err := e.env.Metadata(name, meta.Options{NoSync: e.env.NoSync, OnFailure: e.fail, Upgrade: e.upgradeMeta})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStorage, err)
	}
	e.store = store
	if err := checkMeta(store, e.env.Settings); err != nil {
		return fmt.Errorf("%w: %w", ErrStorage, err)
	}
	return nil
}

// upgradeMeta validates metadata without checksums, before it gets some.
func (e *engine) upgradeMeta(tx meta.Tx) error {
	if err := checkOldCluster(tx); err != nil {
		return err
	}
	return topics.Upgrade(tx, topics.Options{FS: e.fence, Dir: e.dir})
}

// begin counts this start. Nothing is written before it, so that a refused directory stays unchanged.
func (e *engine) begin() (err error) {
	e.identity, err = begin(e.store)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStorage, err)
	}
	return nil
}

// syncWorkers is the number of files that one barrier syncs side by side.
const syncWorkers = 16

// The files of a data directory that belong to no log.
const (
	metaFile = "meta.db"
	lockFile = ".lock"
)

// refuseOrphans refuses to start with empty metadata over existing logs: the metadata was lost, and a new cluster in
// the directory would make that worse.
func (e *engine) refuseOrphans(name string) error {
	if info, err := e.fence.Stat(name); err == nil && info.SizeBytes > 0 {
		return nil
	}
	entries, err := e.fence.List(e.dir)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStorage, err)
	}
	for _, entry := range entries {
		if _, err := e.fence.Stat(path.Join(e.dir, entry, "partition.metadata")); err == nil {
			return fmt.Errorf("%w: %s is missing, but %s holds logs (%s and others); restore the file or use another data "+
				"directory",
				ErrStorage, name, e.dir, entry)
		}
	}
	return nil
}

func (e *engine) openBarrier() error {
	barrier, err := durability.Open(durability.Options{
		FS: e.fence, Dir: e.dir, FindLogs: directory.Logs, BootID: e.env.BootID,
		PowerCut: e.cluster.powerCut, Mode: e.mode,
		Interval:     e.env.Settings.FlushInterval,
		ReserveBytes: e.reserveBytes(), JournalBytes: e.journalBytes(), Logger: e.env.Logger, OnFailure: e.fail,
		SyncWorkers: syncWorkers,
		Registerer:  e.registerer(), Faults: e.env.Faults,
	})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStorage, err)
	}
	e.barrier = barrier
	e.env.Logger.Info("data directory is open", "dir", e.dir, "durability", e.mode.String(),
		"stopped_cleanly", barrier.Clean(), "same_boot", barrier.SameBoot())
	return nil
}

func (e *engine) openTopics() error {
	var err error
	if e.configs, err = configs.Open(e.store, e.env.Settings, e.env.Logger); err != nil {
		return fmt.Errorf("%w: %w", ErrStorage, err)
	}
	window := quotas.Config{Samples: e.env.Settings.QuotaWindowNum, Window: e.env.Settings.QuotaWindowSize}
	changes := quotas.Config{Samples: e.env.Settings.ControllerQuotaWindowNum,
		Window: e.env.Settings.ControllerQuotaWindowSize}
	if e.quotas, err = quotas.Open(e.store, window, changes); err != nil {
		return fmt.Errorf("%w: %w", ErrStorage, err)
	}
	if e.credentials, err = credentials.Open(e.store); err != nil {
		return fmt.Errorf("%w: %w", ErrStorage, err)
	}
	ts, err := topics.Open(topics.Options{
		Store: e.store, FS: e.fence, Dir: e.dir, Barrier: e.barrier, Settings: e.configs.Settings(),
		Starts: e.identity.starts,
		Clock:  e.env.Clock, Logger: e.env.Logger, MaxInflatedBytes: e.env.Settings.MaxDecompressedBatchBytes,
		OnDelete: e.topicDeleted,
		Faults:   e.env.Faults,
	})
	if ts != nil {
		e.topics = ts
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStorage, err)
	}
	e.configs.OnSettings = e.settingsChanged
	if err := e.createInternalTopics(); err != nil {
		return err
	}
	highest := int64(-1)
	for _, t := range ts.All() {
		for _, p := range t.Partitions() {
			highest = max(highest, p.HighestProducerID())
			if _, err := p.Offsets(); err != nil && t.Internal {
				return e.stateError(err)
			}
		}
	}
	e.producerIDs = pidmanager.NewManager(blockStore{e.store}, highest+e.identity.forkDistance)
	return nil
}

// settingsChanged makes new settings of the broker hold.
func (e *engine) settingsChanged(b *settings.Broker) {
	e.topics.Reconfigure(b)
	if e.env.OnSettings != nil {
		e.env.OnSettings(b)
	}
}

// createInternalTopics creates the coordinators' topics where they do not exist.
func (e *engine) createInternalTopics() error {
	s := e.env.Settings
	for _, internal := range []struct {
		name         string
		partitions   int32
		segmentBytes int32
		compression  string
	}{
		{topics.ConsumerOffsets, s.OffsetsTopicNumPartitions, s.OffsetsTopicSegmentBytes, "producer"},
		{topics.TransactionState, s.TransactionStateLogNumPartitions, s.TransactionStateLogSegmentBytes, "uncompressed"},
	} {
		if _, ok := e.topics.Lookup(internal.name); ok {
			continue
		}
		_, err := e.topics.Create(topics.Spec{Name: internal.name, Partitions: internal.partitions,
			Overrides: settings.Values{
				"cleanup.policy":   "compact",
				"compression.type": internal.compression,
				"segment.bytes":    strconv.Itoa(int(internal.segmentBytes)),
			}})
		if err != nil {
			return fmt.Errorf("%w: creating %s: %w", ErrStorage, internal.name, err)
		}
	}
	return nil
}

// stateError returns the error for broker state that cannot be loaded; for damage, one sentence with the next step.
func (e *engine) stateError(err error) error {
	var damaged *files.DamagedError
	if !errors.As(err, &damaged) {
		return fmt.Errorf("%w: %w", ErrStorage, err)
	}
	return fmt.Errorf("%w: the broker's own state is damaged in %s at byte %d (%w); to see what can be saved, run %q",
		ErrStorage, damaged.File, damaged.Position, damaged.Cause, "broker repair "+e.dir)
}

func (e *engine) topicDeleted(t *topics.Topic) {
	if e.groups == nil {
		return
	}
	if err := e.groups.OnTopicDeleted(t.Name, t.ID); err != nil { // as in Kafka
		e.env.Logger.Error("committed offsets of a deleted topic stay", "topic", t.Name, "error", err)
	}
	if e.txns != nil {
		e.txns.TopicDeleted(t.Name)
	}
}

// topicID returns the ID of a topic that exists.
func (e *engine) topicID(name string) (id [16]byte, exists bool) {
	t, exists := e.topics.Lookup(name)
	if exists {
		id = t.ID
	}
	return id, exists
}

func (e *engine) openCoordinators() error {
	if err := e.openFeatures(); err != nil {
		return err
	}
	var err error
	registerer := e.registerer()
	if err := e.openShareStates(); err != nil {
		return err
	}
	if e.groups, err = e.openGroups(registerer); err != nil {
		return err
	}
	if err := e.groups.Load(context.Background()); err != nil {
		return e.stateError(err)
	}
	if err := e.groups.ForgetDeletedTopics(e.topicID); err != nil {
		e.env.Logger.Error("committed offsets of deleted topics stay", "error", err)
	}
	if err := e.openShares(registerer); err != nil {
		return err
	}
	if e.txns, err = e.openTxns(registerer); err != nil {
		return err
	}
	if err := e.txns.Load(); err != nil {
		return e.stateError(err)
	}
	e.prepared = e.txns.Resumed()
	if err := e.txns.Reconcile(openTransactions(e.topics)); err != nil {
		return fmt.Errorf("%w: %w", ErrStorage, err)
	}
	e.producerIDs.Raise(e.txns.HighestProducerID() + e.identity.forkDistance)
	// The result of recovery is on the disk before any client reads it.
	if err := e.barrier.Recovered(context.Background()); err != nil {
		return fmt.Errorf("%w: %w", ErrStorage, err)
	}
	if err := e.finishFork(); err != nil {
		return err
	}
	e.txns.Start()
	return nil
}

// openTelemetry makes the subscriptions to client metrics hold, those of now and those that change later.
func (e *engine) openTelemetry() (err error) {
	e.telemetry, err = telemetry.New(telemetry.Options{Clock: e.env.Clock, MaxBytes: e.env.Settings.TelemetryMaxBytes,
		Registerer: e.registerer()})
	if err != nil {
		return err
	}
	for _, name := range e.configs.Names(configs.ClientMetrics) {
		e.telemetry.SetSubscription(name, e.configs.Get(configs.ClientMetrics, name))
	}
	e.configs.OnClientMetrics = e.telemetry.SetSubscription
	return nil
}

func (e *engine) openServices() error {
	if err := e.openTelemetry(); err != nil {
		return err
	}
	e.services = &handlers.Services{
		Topics: e.topics, Catalogue: handlers.NewCatalogue(e.topics), Configs: e.configs, Txns: e.txns, Groups: e.groups,
		Shares: e.shares, ShareStates: e.shareStates,
		ProducerIDs: e.producerIDs, Settings: e.env.Settings, Features: e.features, NodeID: e.env.Settings.NodeID,
		ClusterID: e.identity.clusterID, Advertised: e.env.Advertised, Disk: e.disk, Quotas: e.quotas,
		Credentials: e.credentials, Barrier: e.barrier,
		Ended: e.stopped, Clock: e.env.Clock, Logger: e.env.Logger, LogLevel: e.env.LogLevel,
		Faults: e.cluster.rules, Requests: e.cluster.remember, Findings: e.cluster.noticed,
		Telemetry: e.telemetry,
	}
	e.services.Open()
	e.registerer().MustRegister(newStateCollector(e))
	e.upkeep = startUpkeep(e)
	if e.env.Settings.LogCleanerEnable {
		e.cleaner = startCleaner(e)
	}
	return nil
}

// drop makes all writes fail from now on, and ends the waits for barriers.
func (e *engine) drop() {
	e.fence.Close()
	e.env.Faults.Suspend() // a barrier may be held up by one
	if e.barrier != nil {
		e.barrier.Kill()
	}
}

// close closes the open parts, top first.
func (e *engine) close(clean bool) error {
	e.end()
	var errs []error
	if e.services != nil {
		e.services.Close()
	}
	if e.upkeep != nil {
		e.upkeep.stop()
	}
	if e.cleaner != nil {
		e.cleaner.stop()
	}
	if e.telemetry != nil {
		e.telemetry.Close()
	}
	if e.txns != nil {
		e.txns.Close()
	}
	e.env.Faults.Wait()
	if e.shares != nil {
		e.shares.Close()
	}
	e.cluster.rules.Wait()
	if e.groups != nil {
		e.groups.Close()
	}
	if e.shareStates != nil {
		e.shareStates.Close()
	}
	if e.topics != nil {
		err := e.topics.Close()
		clean = clean && err == nil
		errs = append(errs, err)
	}
	if e.barrier != nil {
		errs = append(errs, e.barrier.Close(clean))
	}
	if e.store != nil {
		errs = append(errs, e.store.Close())
	}
	e.fence.Close() // to those who come late
	return errors.Join(errs...)
}
