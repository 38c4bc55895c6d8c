// Package configs keeps what was set for groups and for subscriptions to client metrics: resources that are
// configured by name and need not exist. A change is durable when the call that makes it returns; who reads sees
// the whole of a resource's settings and never waits for the disk.
//
// Configurations of topics are part of the topics; see package topics.
package configs

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"once/meta"
	"once/settings"
)

// Kind is a kind of resource.
type Kind uint8

// The kinds.
const (
	Group Kind = iota
	ClientMetrics
	kindCount
)

// String returns the kind as logs and dumps have it.
func (k Kind) String() string { return [...]string{"group", "client_metrics"}[k] }

// kinds says where the records of a kind are, and what checks all that is set for one resource.
var kinds = [kindCount]struct {
	bucket   meta.Bucket
	validate func(*settings.Broker, settings.Values) error
}{
	Group:         {meta.GroupConfigs, (*settings.Broker).CheckGroup},
	ClientMetrics: {meta.ClientMetricsConfigs, checkClientMetrics},
}

func checkClientMetrics(_ *settings.Broker, v settings.Values) error {
	return settings.CheckClientMetrics(v)
}

// maxResources is how many resources of a kind may have settings: they are held in memory.
const maxResources = 10_000

// ErrTooMany refuses one more resource above maxResources.
var ErrTooMany = errors.New("too many resources of this kind have settings")

// Configs is what is set for all resources. Safe for concurrent use.
type Configs struct {
	store    meta.Store // immutable, as is the next one
	settings *settings.Broker
	change   sync.Mutex // orders changes; held across the write
	mu       struct {
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

// Open reads what is set. Values are not checked against the broker's bounds, which may have changed since: that
// must not keep a broker from starting.
func Open(store meta.Store, s *settings.Broker) (*Configs, error) {
	c := &Configs{store: store, settings: s}
	for k := range c.mu.set {
		c.mu.set[k] = map[string]settings.Values{}
	}
	stored, err := ReadStored(store)
	for _, r := range stored {
		c.mu.set[r.Kind][r.Name] = r.Values
	}
	return c, err
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

// Alter replaces what is set for one resource by what change makes of it; with validateOnly it only checks. change
// gets a copy, and runs while no other change does; its error is returned as it is.
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
	if err := kinds[k].validate(c.settings, next); err != nil {
		return err
	}
	if len(old) == 0 && len(next) > 0 && c.count(k) >= maxResources {
		return fmt.Errorf("%w: %d", ErrTooMany, maxResources)
	}
	if validateOnly || maps.Equal(old, next) {
		return nil
	}
	if err := c.save(k, name, next); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(next) == 0 {
		delete(c.mu.set[k], name)
	} else {
		c.mu.set[k][name] = next
	}
	return nil
}

func (c *Configs) count(k Kind) int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return len(c.mu.set[k])
}

func (c *Configs) save(k Kind, name string, set settings.Values) error {
	value, err := json.Marshal(set)
	if err != nil {
		return err
	}
	err = c.store.Update(func(tx meta.Tx) error {
		if len(set) == 0 {
			return tx.Delete(kinds[k].bucket, name)
		}
		return tx.Put(kinds[k].bucket, name, value)
	})
	if err != nil {
		return fmt.Errorf("saving the settings of %q: %w", name, err)
	}
	return nil
}
