package broker

import (
	"net"

	"once/cluster"
	"once/seed"
	"once/settings"
)

// Config is the configuration of a broker. The zero value is an ephemeral broker on a free port of the loopback
// interface without the admin endpoint.
type Config struct {
	// Listeners are the Kafka listeners. None means those in Settings, and if there are none either, one on a free port
	// of the loopback interface.
	Listeners []settings.Listener
	// Listener is the one Kafka listener, in place of Listeners. The broker closes it.
	Listener  net.Listener
	DataDir   string // created when missing; "" means Ephemeral
	Ephemeral bool   // a temporary data directory that Close removes
	InMemory  bool   // no data directory: everything is in memory, and gone after Close
	// Seed are topics that are made, with their records, before the first client is served. Those that exist are left as
	// they are.
	Seed []seed.Topic
	// Image is the image that the cluster is a fork of; the data directory must be empty. See cluster.OpenImage.
	Image *cluster.Image
	// Load is a file with the archive of a snapshot that the cluster begins with; the data directory must be empty. See
	// cluster.OpenArchive.
	Load  string
	Admin string // HTTP endpoint, HOST:PORT; "" switches it off
	// Env is the environment of the cluster. The broker sets Advertised and OnFailure.
	cluster.Env
}

func (c Config) withDefaults() (Config, error) {
	if c.InMemory {
		c.Env = cluster.InMemory(c.Env)
	} else if c.DataDir == "" {
		c.Ephemeral = true
	}
	var err error
	if c.Env, err = c.Env.WithDefaults(); err != nil {
		return c, err
	}
	switch {
	case len(c.Listeners) > 0:
	case c.Settings.ListenersAreSet() && c.Listener == nil:
		c.Listeners = c.Settings.Listeners
	default:
		c.Listeners = []settings.Listener{{Name: "PLAINTEXT", Protocol: "PLAINTEXT", Host: "127.0.0.1"}}
	}
	return c, nil
}
