package broker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"once/cluster"
	"once/internal/vfs"
	"once/lab"
	"once/wire"
)

// clusters are the clusters that were made while the broker runs. They end with it.
type clusters struct {
	sync.Mutex
	byName map[string]*extraCluster // nil while it is being made
	closed bool
}

// extraCluster is a cluster on a port of its own.
type extraCluster struct {
	name    string // immutable, as are all
	cluster *cluster.Cluster
	socket  net.Listener
	fs      vfs.FS
	dir     string
	outside outsideAddress
	serving sync.WaitGroup
}

// AddCluster makes a cluster with its own cluster ID, clock, faults and data, on a port of its own. Its files are
// temporary, or in memory as those of the broker are.
func (b *Broker) AddCluster(c lab.NewCluster) (lab.Cluster, error) {
	if !cluster.IsName(c.Name) {
		return lab.Cluster{}, fmt.Errorf("%w: its name must have 1 to 64 letters, digits, dots, dashes and underscores, "+
			"and no dot in front", lab.ErrInvalidCluster)
	}
	x := &extraCluster{name: c.Name}
	if err := x.outside.set(c.Advertised); err != nil {
		return lab.Cluster{}, fmt.Errorf("%w: advertised: %w", lab.ErrInvalidCluster, err)
	}
	if err := b.clusters.reserve(c.Name, b.settings().ClustersMax); err != nil {
		return lab.Cluster{}, err
	}
	err := b.openExtra(x, c)
	serve := func() { _ = b.server.Serve(x.socket, x.cluster.Handle) }
	if !b.clusters.settle(x, err == nil, serve) && err == nil {
		err = cluster.ErrClosed
	}
	if err != nil {
		return lab.Cluster{}, errors.Join(err, x.close())
	}
	return b.describe(x), nil
}

// reserve takes a place for a cluster that is made without the lock.
func (cs *clusters) reserve(name string, most int) error {
	cs.Lock()
	defer cs.Unlock()
	switch _, exists := cs.byName[name]; {
	case exists || name == lab.DefaultCluster:
		return lab.ErrClusterExists
	case len(cs.byName) >= most:
		return lab.ErrTooMany
	}
	if cs.byName == nil {
		cs.byName = map[string]*extraCluster{}
	}
	cs.byName[name] = nil
	return nil
}

// settle ends a reservation, and begins to serve a cluster that was made: under the lock, so that whoever finds the
// cluster and ends it waits for that. It returns false when the broker has been closed meanwhile.
func (cs *clusters) settle(x *extraCluster, made bool, serve func()) bool {
	cs.Lock()
	defer cs.Unlock()
	if !made || cs.closed {
		delete(cs.byName, x.name)
		return false
	}
	cs.byName[x.name] = x
	x.serving.Go(serve)
	return true
}

func (b *Broker) openExtra(x *extraCluster, c lab.NewCluster) (err error) {
	if x.socket, err = b.listenExtra(c.Port); err != nil {
		return err
	}
	env := cluster.Env{
		Settings: b.cfg.Settings, Durability: b.cfg.Durability, BootID: b.cfg.BootID, NoSync: true,
		Logger: b.cfg.Logger.With("cluster", c.Name),
	}
	env.Advertised = func(conn *wire.Conn) (string, int32) {
		host, port, _ := b.advertiser.address(advertised{}, &x.outside, conn.LocalAddr(), conn.RemoteAddr())
		return host, port
	}
	env.Disconnect = func() {
		b.server.DisconnectIf(func(conn *wire.Conn) bool { return conn.Listener() == x.socket })
	}
	switch {
	case c.From != "":
		image, _, err := b.cluster.KeptImage(c.From)
		if err != nil {
			return err
		}
		x.fs = image.FS()
		if x.dir, err = b.extraDirectory(); err != nil {
			return err
		}
		x.cluster, err = cluster.OpenImage(env, x.dir, image)
		return err
	case b.cfg.InMemory:
		env = cluster.InMemory(env)
		x.fs, x.dir = env.FS, "data"
	default:
		x.fs = vfs.OS
		if x.dir, err = b.extraDirectory(); err != nil {
			return err
		}
	}
	x.cluster, err = cluster.Open(env, x.dir)
	return err
}

// extraDirectory is a new directory for a cluster.
func (b *Broker) extraDirectory() (string, error) {
	if b.cfg.InMemory {
		return "data-" + rand.Text(), nil
	}
	return os.MkdirTemp("", "once-cluster-")
}

// listenExtra opens a port, a free one of clusters.ports for 0, on the host of the first listener.
func (b *Broker) listenExtra(port int) (net.Listener, error) {
	host := "127.0.0.1"
	if l := b.listeners[0].settings; b.cfg.Listener == nil {
		host = l.Host
	}
	s := b.settings()
	first, last := port, port
	if port == 0 && s.ClustersFirstPort > 0 {
		first, last = s.ClustersFirstPort, s.ClustersLastPort
	}
	var errs error
	for p := first; p <= last; p++ {
		socket, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(p)))
		if err == nil {
			return socket, nil
		}
		errs = err
	}
	return nil, fmt.Errorf("%w: %w", lab.ErrNoPort, errs)
}

// RemoveCluster ends a cluster that AddCluster has made.
func (b *Broker) RemoveCluster(name string) error {
	if name == lab.DefaultCluster {
		return lab.ErrDefaultCluster
	}
	b.clusters.Lock()
	x := b.clusters.byName[name]
	if x != nil {
		delete(b.clusters.byName, name)
	}
	b.clusters.Unlock()
	if x == nil {
		return lab.ErrNoCluster
	}
	return b.endExtra(x)
}

func (b *Broker) endExtra(x *extraCluster) error {
	b.server.StopServing(x.socket)
	return x.close()
}

// close ends what has been opened of a cluster.
func (x *extraCluster) close() error {
	var errs []error
	if x.socket != nil {
		_ = x.socket.Close()
	}
	x.serving.Wait()
	if x.cluster != nil {
		errs = append(errs, x.cluster.Close())
	}
	if x.fs != nil {
		errs = append(errs, x.fs.RemoveAll(x.dir))
	}
	return errors.Join(errs...)
}

// closeClusters ends all clusters that were made, and lets no other be made.
func (b *Broker) closeClusters() error {
	b.clusters.Lock()
	b.clusters.closed = true
	all := b.clusters.byName
	b.clusters.byName = nil
	b.clusters.Unlock()
	var errs []error
	for _, x := range all {
		if x != nil {
			errs = append(errs, x.close())
		}
	}
	return errors.Join(errs...)
}

func (b *Broker) describe(x *extraCluster) lab.Cluster {
	address := x.socket.Addr().String()
	if to := x.outside.Load(); to != nil {
		address = net.JoinHostPort(to.host, strconv.Itoa(int(to.port)))
	} else if host, port, err := net.SplitHostPort(address); err == nil {
		if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
			address = net.JoinHostPort("localhost", port)
		}
	}
	return lab.Cluster{Name: x.name, Bootstrap: address, ClusterID: x.cluster.ID()}
}

// extra returns the cluster of a name, nil for none.
func (b *Broker) extra(name string) *extraCluster {
	b.clusters.Lock()
	defer b.clusters.Unlock()
	return b.clusters.byName[name]
}

// clusterOf returns the cluster of a connection.
func (b *Broker) clusterOf(c *wire.Conn) *cluster.Cluster { return b.clusterAt(c.Listener()) }

// clusterAt returns the cluster behind a listener.
func (b *Broker) clusterAt(l net.Listener) *cluster.Cluster {
	b.clusters.Lock()
	defer b.clusters.Unlock()
	for _, x := range b.clusters.byName {
		if x != nil && x.socket == l {
			return x.cluster
		}
	}
	return b.cluster
}

// isDefault says whether a connection is one of the default cluster's.
func (b *Broker) isDefault(c *wire.Conn) bool {
	return slices.ContainsFunc(b.listeners, func(l listener) bool { return l.socket == c.Listener() })
}

func (p process) Clusters() []lab.Cluster {
	all := []lab.Cluster{{Name: lab.DefaultCluster, Bootstrap: p.b.Addr(), ClusterID: p.b.cluster.ID()}}
	p.b.clusters.Lock()
	defer p.b.clusters.Unlock()
	for _, x := range p.b.clusters.byName {
		if x != nil {
			all = append(all, p.b.describe(x))
		}
	}
	slices.SortFunc(all[1:], func(a, b lab.Cluster) int { return strings.Compare(a.Name, b.Name) })
	return all
}

func (p process) AddCluster(_ context.Context, c lab.NewCluster) (lab.Cluster, error) {
	return p.b.AddCluster(c)
}

func (p process) RemoveCluster(name string) error { return p.b.RemoveCluster(name) }
