// Package configs holds the settings that are changed while the broker runs: of groups and of subscriptions to client
// metrics, which need not exist, and of the broker itself, whose settings in force it makes. A change is durable when
// its call returns. Readers see all settings of a resource as of one change, and never wait for the disk.
//
// Configurations of topics are part of the topics; see package topics.
package configs

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"once/meta"
	"once/settings"
)

// Kind is a kind of resource.
type Kind uint8

// The kinds.
const (
	Group Kind = iota
	ClientMetrics
	// Broker are the dynamic settings of the broker, under its number, and those of all brokers, under ClusterDefault.
	Broker
	kindCount
)

// String returns the kind as logs and dumps have it.
func (k Kind) String() string { return [...]string{"group", "client_metrics", "broker"}[k] }

// kinds has the bucket of each kind's records, and the check of all settings of one resource.
var kinds = [kindCount]struct {
	bucket   meta.Bucket
	validate func(*Configs, string, settings.Values) error
}{
	Group:         {meta.GroupConfigs, checkGroup},
	ClientMetrics: {meta.ClientMetricsConfigs, checkClientMetrics},
	Broker:        {meta.BrokerConfigs, (*Configs).checkBroker},
}

// ClusterDefault is the name under which the defaults of all brokers are kept. Kafka's resource of type BROKER has no
// name.
const ClusterDefault = "<default>"

// ErrBroker refuses settings of the broker in a way that Kafka calls a bad request, not a bad value.
var ErrBroker = errors.New("invalid broker settings")

// maxBrokerSettings is how many settings may be set for one broker, or for all: unknown names are kept, too.
const maxBrokerSettings = 1000

func (c *Configs) checkBroker(name string, v settings.Values) error {
	if len(v) > maxBrokerSettings {
		return fmt.Errorf("%w: %d settings", ErrTooMany, len(v))
	}
	if err := c.Settings().ValidateDynamic(v, name == ClusterDefault); err != nil {
		return fmt.Errorf("%w: %w", ErrBroker, err)
	}
	const insync = "min.insync.replicas"
	if _, set := v[insync]; set && name != ClusterDefault { // as Kafka with eligible leader replicas
		return &settings.InvalidError{Name: insync, Value: v[insync], Reason: "can be set for the cluster only"}
	}
	return nil
}

func checkGroup(c *Configs, _ string, v settings.Values) error { return c.Settings().CheckGroup(v) }

func checkClientMetrics(_ *Configs, _ string, v settings.Values) error {
	return settings.CheckClientMetrics(v)
}

// How many resources of a kind may have settings: they are held in memory, and each client is compared with all
// subscriptions to client metrics.
const (
	maxResources     = 10_000
	maxSubscriptions = 100
)

func most(k Kind) int {
	if k == ClientMetrics {
		return maxSubscriptions
	}
	return maxResources
}

// ErrTooMany refuses one more resource above the most of its kind.
var ErrTooMany = errors.New("too many resources of this kind have settings")

// Configs is what is set for all resources. Safe for concurrent use.
type Configs struct {
	store  meta.Store       // immutable, as is the next one
	static *settings.Broker // as the broker was started with
	// OnSettings is called with new settings in force, one change after the other. It is set before the first change.
	OnSettings func(*settings.Broker)
	// OnClientMetrics is called in the same way with the settings of a subscription, none for one that is gone.
	OnClientMetrics func(name string, set settings.Values)
	inForce         atomic.Pointer[settings.Broker]
	change          sync.Mutex // orders changes; held across the write
	mu              struct {
		sync.RWMutex
		set [kindCount]map[string]settings.Values // only resources that have settings; the values are immutable
	}
}

// Stored is one resource as the metadata has it, for tools that read the data directory of a broker that does not
// run.
type Stored struct {
	Kind   Kind
	Name   string
	Values settings.Values
}

// ReadStored returns all resources that have settings, by kind and name. An unreadable record is meta.ErrDamaged.
func ReadStored(store meta.Store) ([]Stored, error) {
	var all []Stored
	for k := range kindCount {
		err := store.All(kinds[k].bucket, func(name string, value []byte) error {
			r := Stored{Kind: k, Name: name}
			if err := json.Unmarshal(value, &r.Values); err != nil {
				return store.Damaged(kinds[k].bucket, name, err)
			}
			all = append(all, r)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// Open reads what is set. Values are not checked against the broker's bounds, which may have changed since: that must
// not keep a broker from starting. Settings of the broker that contradict those of this start are logged.
func Open(store meta.Store, s *settings.Broker, logger *slog.Logger) (*Configs, error) {
	c := &Configs{store: store, static: s}
	for k := range c.mu.set {
		c.mu.set[k] = map[string]settings.Values{}
	}
	stored, err := ReadStored(store)
	for _, r := range stored {
		c.mu.set[r.Kind][r.Name] = r.Values
	}
	if err != nil {
		return nil, err
	}
	if problems := c.resolve(); problems != nil {
		logger.Warn("settings that were changed while the broker ran do not go with those that it was started with",
			"error", problems)
	}
	return c, nil
}

// Settings are the broker's settings in force: those that it was started with, under those that were changed since.
func (c *Configs) Settings() *settings.Broker { return c.inForce.Load() }

// resolve makes the settings in force from those of the start and what is set.
func (c *Configs) resolve() error {
	own := c.Get(Broker, strconv.Itoa(int(c.static.NodeID)))
	all := c.static.ClusterDefaults()
	if set := c.Get(Broker, ClusterDefault); len(set) > 0 {
		all = maps.Clone(all)
		if all == nil {
			all = settings.Values{}
		}
		maps.Copy(all, set)
	}
	next, err := c.static.WithDynamic(own, all)
	c.inForce.Store(next)
	return err
}

// ForgetAddresses removes advertised.listeners of all brokers: another broker that continues from the same state has
// other addresses.
func ForgetAddresses(tx meta.Tx) error {
	changed := map[string]settings.Values{}
	err := tx.All(meta.BrokerConfigs, func(name string, value []byte) error {
		var set settings.Values
		if err := json.Unmarshal(value, &set); err != nil {
			return tx.Damaged(meta.BrokerConfigs, name, err)
		}
		if _, ok := set["advertised.listeners"]; ok {
			delete(set, "advertised.listeners")
			changed[name] = set
		}
		return nil
	})
	for name, set := range changed {
		if err == nil {
			err = put(tx, Broker, name, set)
		}
	}
	return err
}

// Clear removes everything that is set.
func Clear(tx meta.Tx) error {
	for k := range kindCount {
		var names []string
		err := tx.All(kinds[k].bucket, func(name string, _ []byte) error {
			names = append(names, name)
			return nil
		})
		for _, name := range names {
			if err == nil {
				err = tx.Delete(kinds[k].bucket, name)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Get returns what is set for a resource, nil for nothing. The map is not to be changed.
func (c *Configs) Get(k Kind, name string) settings.Values {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.mu.set[k][name]
}

// Names returns the resources of a kind for which something is set, sorted.
func (c *Configs) Names(k Kind) []string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return slices.Sorted(maps.Keys(c.mu.set[k]))
}

// Alter replaces the settings of one resource by the result of change; with validateOnly it only checks. change gets a
// copy, and runs while no other change does; its error is returned unchanged.
func (c *Configs) Alter(
	k Kind, name string, change func(settings.Values) (settings.Values, error), validateOnly bool,
) error {
	c.change.Lock()
	defer c.change.Unlock()
	old := c.Get(k, name)
	next, err := change(maps.Clone(old))
	if err != nil {
		return err
	}
	if err := kinds[k].validate(c, name, next); err != nil {
		return err
	}
	if len(old) == 0 && len(next) > 0 && c.count(k) >= most(k) {
		return fmt.Errorf("%w: %d", ErrTooMany, most(k))
	}
	if validateOnly || maps.Equal(old, next) {
		return nil
	}
	if err := c.save(k, name, next); err != nil {
		return err
	}
	c.publish(k, name, next)
	switch {
	case k == ClientMetrics && c.OnClientMetrics != nil:
		c.OnClientMetrics(name, next)
		return nil
	case k != Broker:
		return nil
	}
	err = c.resolve()
	if c.OnSettings != nil {
		c.OnSettings(c.Settings())
	}
	return err
}

func (c *Configs) publish(k Kind, name string, set settings.Values) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(set) == 0 {
		delete(c.mu.set[k], name)
	} else {
		c.mu.set[k][name] = set
	}
}

func (c *Configs) count(k Kind) int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return len(c.mu.set[k])
}

func (c *Configs) save(k Kind, name string, set settings.Values) error {
	err := c.store.Update(func(tx meta.Tx) error { return put(tx, k, name, set) })
	if err != nil {
		return fmt.Errorf("saving the settings of %q: %w", name, err)
	}
	return nil
}

func put(tx meta.Tx, k Kind, name string, set settings.Values) error {
	if len(set) == 0 {
		return tx.Delete(kinds[k].bucket, name)
	}
	value, err := json.Marshal(set)
	if err != nil {
		return err
	}
	return tx.Put(kinds[k].bucket, name, value)
}
