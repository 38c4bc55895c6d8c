// Package broker is the process: it listens, serves the cluster behind each listener, offers the admin endpoint, and
// stops in order. Package cluster carries out the requests.
package broker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"once/admin"
	"once/cluster"
	"once/handlers"
	"once/lab"
	"once/quotas"
	"once/settings"
	"once/wire"
)

// Broker is a running broker. Safe for concurrent use.
type Broker struct {
	cfg      Config // immutable, as are the next two
	dir      string // data directory
	registry *prometheus.Registry

	cluster     *cluster.Cluster
	server      *wire.Server
	listeners   []listener // not empty
	advertiser  *advertiser
	watch       *returnWatch
	connections *quotas.Meter // for max.connection.creation.rate
	admin       *admin.Server

	clusters clusters // besides the default one
	serving  sync.WaitGroup
	started  chan struct{} // closed when Start has made what it could; Close waits for that
	// leaveContext makes the context of Start forget the broker.
	leaveContext func() bool
	closeOnce    sync.Once
	closeErr     error
	done         chan struct{}
	failure      struct {
		sync.Mutex
		err error
	}
}

// drainTimeout bounds how long Close waits for requests that are being answered.
const drainTimeout = 500 * time.Millisecond

// Start opens the data directory, recovers it, makes the seed, and serves. It returns when every listener is open and
// every coordinator is loaded. Errors wrap cluster.ErrConfig or cluster.ErrStorage where that is the cause. The broker
// runs until Close, or until ctx ends, which closes it.
func Start(ctx context.Context, cfg Config) (*Broker, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	b := &Broker{cfg: cfg, started: make(chan struct{}), done: make(chan struct{}), registry: prometheus.NewRegistry()}
	b.leaveContext = context.AfterFunc(ctx, func() { _ = b.Close() })
	if err := b.start(); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

func (b *Broker) start() error {
	defer close(b.started)
	for _, step := range []func() error{b.listen, b.openCluster, b.seed, b.serve} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (b *Broker) openCluster() error {
	var err error
	if b.dir, err = b.makeDirectory(); err != nil {
		return fmt.Errorf("%w: making the data directory: %w", cluster.ErrStorage, err)
	}
	b.advertiser = newAdvertiser(b.settings, b.listeners)
	env := b.cfg.Env
	env.NoSync = env.NoSync || b.cfg.Ephemeral
	env.Advertised, env.OnFailure, env.OnSettings = b.advertiser.of, b.fail, b.settingsChanged
	env.Disconnect = b.disconnectAll
	switch {
	case b.cfg.Image != nil:
		b.cluster, err = cluster.OpenImage(env, b.dir, b.cfg.Image)
	case b.cfg.Load != "":
		b.cluster, err = b.load(env)
	default:
		b.cluster, err = cluster.Open(env, b.dir)
	}
	return err
}

// load opens the cluster from an archive. An archive that cannot be used is an error in the configuration.
func (b *Broker) load(env cluster.Env) (*cluster.Cluster, error) {
	file, err := os.Open(b.cfg.Load)
	if err != nil {
		return nil, fmt.Errorf("%w: the archive to load: %w", cluster.ErrConfig, err)
	}
	defer file.Close()
	c, err := cluster.OpenArchive(env, b.dir, file, func(i *cluster.Image) error { return lab.CheckImage(i, env.BootID) })
	if errors.Is(err, cluster.ErrArchive) || errors.Is(err, cluster.ErrNotEmpty) {
		err = fmt.Errorf("%w: loading %s: %w", cluster.ErrConfig, b.cfg.Load, err)
	}
	return c, err
}

func (b *Broker) seed() error { return b.cluster.Seed(context.Background(), b.cfg.Seed) }

// settings are those in force.
func (b *Broker) settings() *settings.Broker {
	if b.cluster == nil { // it is being opened
		return b.cfg.Settings
	}
	return b.cluster.Settings()
}

// settingsChanged makes those settings hold that are not of the cluster but of its listeners.
func (b *Broker) settingsChanged(s *settings.Broker) {
	if server := b.server; server != nil {
		server.SetConnectionLimits(b.connectionLimits(s))
	}
}

// makeDirectory returns the data directory; it is new when the broker is ephemeral.
func (b *Broker) makeDirectory() (string, error) {
	switch {
	case b.cfg.InMemory: // forks share a file system
		return "data-" + rand.Text(), nil
	case b.cfg.Ephemeral:
		return os.MkdirTemp("", "once-")
	}
	return b.cfg.DataDir, os.MkdirAll(b.cfg.DataDir, 0o777) // less the umask
}

// closed is called when a connection has ended.
func (b *Broker) closed(c *wire.Conn) {
	b.watch.closed(c)
	b.clusterOf(c).Disconnected(c)
}

func (b *Broker) serve() (err error) {
	s := b.cfg.Settings
	windows := quotas.Config{Samples: s.QuotaWindowNum, Window: s.QuotaWindowSize}
	b.connections = quotas.NewMeter(windows)
	for i := range b.listeners {
		b.listeners[i].connections = quotas.NewMeter(windows)
	}
	b.watch = newReturnWatch(b.cfg.Logger, b.advertiser.inDoubt)
	registerer := prometheus.WrapRegistererWithPrefix("once_", b.registry)
	b.server, err = wire.NewServer(wire.Options{
		APIs: handlers.APIs(), Limits: b.cfg.limits(), Logger: b.cfg.Logger, Registerer: registerer, OnClose: b.closed,
		Pace: b.pace,
	})
	if err != nil {
		return err
	}
	b.settingsChanged(b.settings()) // they may have been changed before this start
	b.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if b.cfg.Admin != "" {
		all := prometheus.Gatherers{b.registry, b.cluster, &b.clusters}
		if err := b.serveAdmin(admin.Options{Gatherer: all, State: b.WriteState, Logger: b.cfg.Logger}); err != nil {
			return err
		}
	}
	for _, l := range b.listeners {
		b.serving.Go(func() {
			if err := b.server.Serve(l.socket, b.watch.handler(b.cluster.Handle)); err != nil {
				b.fail(err)
			}
		})
	}
	if b.admin != nil {
		b.admin.SetReady(true)
	}
	return nil
}

// Addr returns the address of the first Kafka listener, HOST:PORT where it is one of TCP.
func (b *Broker) Addr() string { return b.listeners[0].socket.Addr().String() }

// AdminAddr returns the address of the HTTP endpoint, or "" when it is off.
func (b *Broker) AdminAddr() string {
	if b.admin == nil {
		return ""
	}
	return b.admin.Addr()
}

// Cluster is the cluster behind the listeners.
func (b *Broker) Cluster() *cluster.Cluster { return b.cluster }

// Disconnect closes the connections of all clients without answering running requests. They may connect again.
func (b *Broker) Disconnect() { b.server.Disconnect() }

// WriteState prints the logical state of the cluster as text.
func (b *Broker) WriteState(w io.Writer) { b.cluster.WriteState(w) }

// Done is closed when the broker has stopped, by Close or by a failure.
func (b *Broker) Done() <-chan struct{} { return b.done }

// Err returns the error that stopped the broker; nil while it runs and after a clean Close.
func (b *Broker) Err() error {
	b.failure.Lock()
	defer b.failure.Unlock()
	return b.failure.err
}

// fail stops the broker for good. Only the first error is kept.
func (b *Broker) fail(err error) {
	b.failure.Lock()
	if b.failure.err == nil {
		b.failure.err = err
	}
	b.failure.Unlock()
	go func() { _ = b.Close() }()
}

// Close stops accepting, lets running requests finish, writes everything, and marks the data directory as cleanly
// stopped. It may be called more than once.
func (b *Broker) Close() error {
	b.closeOnce.Do(func() {
		<-b.started // a cluster may fail, and be closed for it, while the rest is being made
		b.leaveContext()
		b.closeErr = b.close()
		close(b.done)
	})
	return b.closeErr
}

// close closes the parts of the broker, top first.
func (b *Broker) close() error {
	var errs []error
	if b.admin != nil {
		b.admin.SetReady(false)
	}
	if b.server != nil {
		ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
		// Requests that are still parked after the timeout are dropped: their clients retry.
		_ = b.server.Shutdown(ctx)
		cancel()
	}
	for _, l := range b.listeners {
		_ = l.socket.Close() // again, where it has been served
	}
	b.serving.Wait()
	if b.watch != nil {
		b.watch.stop()
	}
	errs = append(errs, b.closeClusters())
	if b.cluster != nil {
		errs = append(errs, b.cluster.Close())
	}
	if b.admin != nil {
		errs = append(errs, b.admin.Close())
	}
	if b.cfg.Ephemeral && b.dir != "" {
		errs = append(errs, os.RemoveAll(b.dir))
	}
	if b.cfg.Image != nil && b.cfg.InMemory {
		errs = append(errs, b.cfg.Image.FS().RemoveAll(b.dir))
	}
	return errors.Join(errs...)
}
