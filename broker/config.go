package broker

import (
	"errors"
	"fmt"
	"log/slog"
	"net"

	"once/internal/clock"
	"once/internal/vfs"
	"once/log"
	"once/settings"
)

// Config says how to start a broker. The zero value is an ephemeral broker on free ports of the
// loopback interface without the admin endpoint.
type Config struct {
	Listen string // Kafka listener, HOST:PORT; "" means 127.0.0.1:0
	// Listener is the Kafka listener in place of one on Listen. The broker closes it.
	Listener  net.Listener
	DataDir   string // created when missing; "" means Ephemeral
	Ephemeral bool   // a temporary data directory that Close removes
	Admin     string // HTTP endpoint, HOST:PORT; "" switches it off
	// Settings are Kafka's broker settings; nil means the defaults.
	Settings *settings.Broker
	// Durability is page, txn or fsync; "" means page.
	Durability string
	Logger     *slog.Logger // nil discards
	// Clock is what Kafka's own timeouts, ages and timestamps go by; nil means one that follows the machine's. What waits
	// for the network or the disk always goes by the machine's.
	Clock *clock.Movable
	// FS is what the logs are kept on; nil means the machine's. Metadata is kept in DataDir all the same.
	FS vfs.FS
	// BootID names the run of the operating system that the broker is started in; "" means the machine's. What
	// was written in another one has been through a power cut.
	BootID string
}

var (
	// ErrStorage: the data directory is in use, damaged or of an unknown version, or the disk failed
	// in a way that leaves in doubt what is on it.
	ErrStorage = errors.New("storage")
	// ErrConfig: a setting or an address cannot be used.
	ErrConfig = errors.New("configuration")
)

func (c Config) withDefaults() (Config, log.Mode, error) {
	if c.Listen == "" {
		c.Listen = "127.0.0.1:0"
	}
	if c.DataDir == "" {
		c.Ephemeral = true
	}
	if c.Settings == nil {
		s, _, err := settings.Resolve()
		if err != nil {
			return c, 0, err
		}
		c.Settings = s
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Clock == nil {
		c.Clock = clock.NewMovable()
	}
	if c.FS == nil {
		c.FS = vfs.OS
	}
	switch c.Durability {
	case "", "page":
		return c, log.Page, nil
	case "txn":
		return c, log.Txn, nil
	case "fsync":
		return c, log.Fsync, nil
	}
	return c, 0, fmt.Errorf("%w: durability %q, it can be page, txn or fsync", ErrConfig, c.Durability)
}
