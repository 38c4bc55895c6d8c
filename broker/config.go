package broker

import (
	"net"

	"once/cluster"
)

// Config says how to start a broker. The zero value is an ephemeral broker on a free port of the loopback interface
// without the admin endpoint.
type Config struct {
	Listen string // Kafka listener, HOST:PORT; "" means 127.0.0.1:0
	// Listener is the Kafka listener in place of one on Listen. The broker closes it.
	Listener  net.Listener
	DataDir   string // created when missing; "" means Ephemeral
	Ephemeral bool   // a temporary data directory that Close removes
	InMemory  bool   // no data directory: everything is in memory, and gone after Close
	// Image is what the cluster goes on from, as a fork; the data directory has to be empty. See cluster.OpenImage.
	Image *cluster.Image
	Admin string // HTTP endpoint, HOST:PORT; "" switches it off
	// Env is what the cluster is made of. Advertised and OnFailure are the broker's own.
	cluster.Env
}

func (c Config) withDefaults() (Config, error) {
	if c.Listen == "" {
		c.Listen = "127.0.0.1:0"
	}
	if c.InMemory {
		c.Env = cluster.InMemory(c.Env)
	} else if c.DataDir == "" {
		c.Ephemeral = true
	}
	var err error
	c.Env, err = c.Env.WithDefaults()
	return c, err
}
