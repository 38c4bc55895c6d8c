// Package brokertest runs a broker inside of a Go test.
package brokertest

import (
	"context"
	"testing"

	"once/broker"
	"once/cluster"
	"once/seed"
	"once/settings"
)

// Option changes how the broker is started.
type Option func(*broker.Config)

// WithSettings sets Kafka's broker settings by name. An invalid setting fails the test.
func WithSettings(t testing.TB, values map[string]string) Option {
	t.Helper()
	s, unknown, err := settings.Resolve(values)
	if err != nil {
		t.Fatal(err)
	}
	if len(unknown) > 0 {
		t.Fatalf("unknown settings: %v", unknown)
	}
	return func(c *broker.Config) { c.Settings = s }
}

// WithSeed makes topics and records before the broker is there; see seed.Parse for the text. A mistake in it fails the
// test.
func WithSeed(t testing.TB, text string) Option {
	t.Helper()
	topics, err := seed.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return func(c *broker.Config) { c.Seed = topics }
}

// WithArchive begins with the archive of a snapshot, of a cluster of any kind. See cluster.OpenArchive.
func WithArchive(file string) Option {
	return func(c *broker.Config) { c.Load = file }
}

// WithDataDir keeps the data in a directory that outlives the broker.
func WithDataDir(dir string) Option {
	return func(c *broker.Config) { c.DataDir, c.Ephemeral = dir, false }
}

// WithMemory keeps all data in memory.
func WithMemory(c *broker.Config) { c.InMemory = true }

// Broker is a broker of a test.
type Broker struct {
	*broker.Broker
	t      testing.TB
	config broker.Config
}

// Reset empties the broker in a few milliseconds: topics, records, groups and transactions are removed, and connected
// clients stay connected. See cluster.Reset.
func (b *Broker) Reset() {
	b.t.Helper()
	if err := b.Cluster().Reset(cluster.ResetOptions{}); err != nil {
		b.t.Fatal(err)
	}
}

// Fork starts another broker with the present state of this one: its topics, records, groups without members, and
// transactional IDs, whose open transactions are aborted in the fork. The two do not see each other's changes. The fork
// is stopped at the end of the test t. Options add to those of the original. See cluster.OpenImage.
func (b *Broker) Fork(t testing.TB, options ...Option) *Broker {
	t.Helper()
	image, err := b.Cluster().Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := image.Remove(); err != nil {
			t.Errorf("removing the image of a fork: %v", err)
		}
	}()
	original := func(c *broker.Config) {
		c.Image, c.InMemory = image, b.config.InMemory
		c.Settings, c.Durability, c.Logger = b.config.Settings, b.config.Durability, b.config.Logger
	}
	return Start(t, append([]Option{original}, options...)...)
}

// Start starts a broker for this test, ephemeral and on a free port of the loopback interface. It is stopped at the end
// of the test, which fails when the broker does not stop cleanly.
func Start(t testing.TB, options ...Option) *Broker {
	t.Helper()
	cfg := broker.Config{}
	for _, o := range options {
		o(&cfg)
	}
	started, err := broker.Start(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	b := &Broker{started, t, cfg}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("stopping the broker: %v", err)
		}
	})
	return b
}
