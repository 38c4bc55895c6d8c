package cluster

import (
	"errors"
	"fmt"
	"log/slog"
	"net"

	"once/durability"
	"once/handlers"
	"once/internal/clock"
	"once/internal/fault"
	"once/internal/vfs"
	"once/meta"
	"once/settings"
	"once/wire"
)

// Env is the environment of a cluster. Everything else is the cluster's own: two clusters in one process share nothing.
type Env struct {
	Settings *settings.Broker // Kafka's broker settings; nil means the defaults
	// Durability is page, txn or fsync; "" means page.
	Durability string
	// Clock is the clock of Kafka's timeouts, ages and timestamps; nil means one that follows the machine's. Waits for
	// the network or the disk always use the machine's.
	Clock *clock.Movable
	// FS is the file system of the data directory; nil means the machine's.
	FS vfs.FS
	// Metadata opens the store of the metadata in a file; nil means a file of bbolt's on the machine's file system.
	Metadata func(name string, o meta.Options) (meta.Store, error)
	// NoSync leaves syncing to the operating system where no answer waits for it, in the mode page and for the
	// metadata: for temporary directories.
	NoSync bool
	// BootID names the run of the operating system; "" means the machine's. Another ID in the data directory means a
	// power cut.
	BootID string
	// Advertised returns the address at which the client of a connection reaches the cluster; nil means that of the
	// connection.
	Advertised func(*wire.Conn) (host string, port int32)
	// Disconnect closes the connections of all clients of the cluster, when it is restarted; nil is allowed.
	Disconnect func()
	Logger     *slog.Logger   // nil discards
	LogLevel   *slog.LevelVar // of Logger, for clients to change; nil where it cannot be changed
	// OnSettings is called when settings of the broker have been changed while it runs, with those in force; nil is
	// allowed.
	OnSettings func(*settings.Broker)
	// Faults are the points for faults by tests; nil means new ones, with nothing armed.
	Faults *fault.Points
	// OnFailure is called once, in its own goroutine, when the cluster fails for good: it acknowledges nothing any
	// more. nil is allowed.
	OnFailure func(error)
}

var (
	// ErrStorage: the data directory is in use, damaged or of an unknown version, or a disk error leaves its content
	// unknown.
	ErrStorage = errors.New("storage")
	// ErrConfig: a setting is invalid.
	ErrConfig = errors.New("configuration")
	// ErrClosed: the cluster has been closed or killed.
	ErrClosed = errors.New("the cluster is closed")
)

// WithDefaults returns the environment with all defaults filled in.
func (env Env) WithDefaults() (Env, error) {
	if env.Settings == nil {
		s, _, err := settings.Resolve()
		if err != nil {
			return env, err
		}
		env.Settings = s
	}
	if env.Logger == nil {
		env.Logger, env.LogLevel = slog.New(slog.DiscardHandler), &slog.LevelVar{}
	}
	if env.Faults == nil {
		env.Faults = fault.NewPoints()
	}
	if env.Clock == nil {
		env.Clock = clock.NewMovable()
	}
	if env.FS == nil {
		env.FS = vfs.OS
	}
	if env.Metadata == nil {
		env.Metadata = openFile
	}
	if env.Advertised == nil {
		env.Advertised = func(c *wire.Conn) (string, int32) { return LocalAddress(c.LocalAddr()) }
	}
	if env.BootID == "" {
		env.BootID = vfs.BootID()
	}
	return env, nil
}

func (env *Env) mode() (durability.Mode, error) {
	mode, err := durability.ParseMode(env.Durability)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	return mode, nil
}

func openFile(name string, o meta.Options) (meta.Store, error) {
	f, err := meta.Open(name, o)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// LocalAddress is the address that a client connected to.
func LocalAddress(local net.Addr) (host string, port int32) {
	if at, ok := local.(*net.TCPAddr); ok {
		return at.IP.String(), int32(at.Port)
	}
	return "localhost", 0
}

// InMemory returns an environment with an empty file system in memory.
func InMemory(env Env) Env {
	env.FS = vfs.NewMem()
	env.Metadata = MetadataOn(env.FS)
	return env
}

// MetadataOn is for Env.Metadata: the store is kept on a file system in memory.
func MetadataOn(under vfs.FS) func(name string, o meta.Options) (meta.Store, error) {
	return func(name string, o meta.Options) (meta.Store, error) {
		m, err := meta.OpenMemory(under, name, o)
		if err != nil {
			return nil, err
		}
		return m, nil
	}
}

// transactionVersion returns the level that the feature transaction.version is finalized at.
func (env *Env) transactionVersion() (int16, error) {
	v := env.Settings.TransactionVersion
	if v < 0 || v > handlers.TransactionVersionMax {
		return 0, fmt.Errorf("%w: transaction.version is %d, it can be 0 to %d", ErrConfig, v, handlers.TransactionVersionMax)
	}
	return v, nil
}
