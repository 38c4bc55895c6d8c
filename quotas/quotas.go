// Package quotas keeps the quotas of clients, and measures what clients do against them (spec: admin 17).
//
// A quota is kept for an entity and is durable when Alter returns. Throttle finds the quota that holds for a user and a
// client ID, adds to their rate, and returns for how long the client has to pause. Connect does it for the connections
// of an address. Without quotas that costs one load.
//
// handlers and cluster use it. It knows no requests and no connections.
package quotas

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"once/meta"
)

// maxEntities bounds the entities that have quotas: they are held in memory.
const maxEntities = 10_000

// ErrTooMany refuses one more entity above maxEntities.
var ErrTooMany = errors.New("too many entities have quotas")

// Values are the quotas of an entity, by name.
type Values map[string]float64

// Entry is an entity with its quotas.
type Entry struct {
	Entity Entity
	Values Values
}

// Config are the windows over which rates are measured.
type Config struct {
	Samples int           // quota.window.num
	Window  time.Duration // quota.window.size.seconds
}

// Quotas are the quotas of all entities. Safe for concurrent use.
//
// change is held over the write, and taken before mu.
type Quotas struct {
	store          meta.Store // immutable, as is the next one
	cfg, mutations Config     // of rates, and of controller_mutation_rate
	change         sync.Mutex
	kept           atomic.Pointer[map[string]Values] // by key of the entity; immutable; nil while there are none
	addresses      atomic.Pointer[addressLimits]     // of kept; nil while there are none
	mu             struct {
		sync.Mutex
		rates map[rateKey]*rate
	}
}

// Open reads the quotas. mutations are the windows of controller_mutation_rate (controller.quota.window.*). An
// unreadable record is meta.ErrDamaged.
func Open(store meta.Store, cfg, mutations Config) (*Quotas, error) {
	q := &Quotas{store: store, cfg: cfg, mutations: mutations}
	q.mu.rates = map[rateKey]*rate{}
	kept, err := readStored(store)
	if err != nil {
		return nil, err
	}
	q.publish(kept)
	return q, nil
}

func readStored(store meta.Store) (map[string]Values, error) {
	kept := map[string]Values{}
	err := store.All(meta.ClientQuotas, func(key string, value []byte) error {
		var v Values
		err := json.Unmarshal(value, &v)
		if err == nil {
			err = entityOf(key).check()
		}
		for name, x := range v {
			err = errors.Join(err, entityOf(key).checkValue(name, x))
		}
		if err != nil {
			return store.Damaged(meta.ClientQuotas, key, err)
		}
		kept[key] = v
		return nil
	})
	return kept, err
}

// Check reads the quotas, for a start that is to fail before it changes anything.
func Check(store meta.Store) error {
	_, err := readStored(store)
	return err
}

// Clear removes all quotas.
func Clear(tx meta.Tx) error {
	var keys []string
	err := tx.All(meta.ClientQuotas, func(key string, _ []byte) error {
		keys = append(keys, key)
		return nil
	})
	for _, key := range keys {
		if err == nil {
			err = tx.Delete(meta.ClientQuotas, key)
		}
	}
	return err
}

func (q *Quotas) publish(kept map[string]Values) {
	q.addresses.Store(addressLimitsOf(kept))
	if len(kept) == 0 {
		q.kept.Store(nil)
	} else {
		q.kept.Store(&kept)
	}
}

func (q *Quotas) all() map[string]Values {
	if kept := q.kept.Load(); kept != nil {
		return *kept
	}
	return nil
}

// Active says whether there are quotas at all.
func (q *Quotas) Active() bool { return q.kept.Load() != nil }

// Change is a change of one quota: a value above 0, or its removal.
type Change struct {
	Name   string
	Value  float64
	Remove bool
}

// Alter changes quotas of an entity, durably; with validateOnly it only checks.
func (q *Quotas) Alter(e Entity, changes []Change, validateOnly bool) error {
	if err := e.check(); err != nil {
		return err
	}
	q.change.Lock()
	defer q.change.Unlock()
	key := e.key()
	next := maps.Clone(q.all()[key])
	if next == nil {
		next = Values{}
	}
	seen := map[string]bool{}
	for _, c := range changes {
		if seen[c.Name] {
			return fmt.Errorf("%w: %s is changed twice", ErrInvalid, c.Name)
		}
		seen[c.Name] = true
		if c.Remove {
			delete(next, c.Name)
			continue
		}
		if err := e.checkValue(c.Name, c.Value); err != nil {
			return err
		}
		next[c.Name] = c.Value
	}
	if _, known := q.all()[key]; !known && len(next) > 0 && len(q.all()) >= maxEntities {
		return fmt.Errorf("%w: %d", ErrTooMany, maxEntities)
	}
	if validateOnly || maps.Equal(next, q.all()[key]) {
		return nil
	}
	return q.save(key, next)
}

func (q *Quotas) save(key string, next Values) error {
	value, err := json.Marshal(next)
	if err != nil {
		return err
	}
	err = q.store.Update(func(tx meta.Tx) error {
		if len(next) == 0 {
			return tx.Delete(meta.ClientQuotas, key)
		}
		return tx.Put(meta.ClientQuotas, key, value)
	})
	if err != nil {
		return fmt.Errorf("saving a quota: %w", err)
	}
	kept := maps.Clone(q.all())
	if kept == nil {
		kept = map[string]Values{}
	}
	if kept[key] = next; len(next) == 0 {
		delete(kept, key)
	}
	q.publish(kept)
	return nil
}

// Match is a condition on one type of an entity: that it has a name, the default, or any of both.
type Match struct {
	Type    Type
	Name    string
	Default bool
	Any     bool
}

// Find returns the entities that meet all conditions, ordered by key; with strict only those of no other type.
func (q *Quotas) Find(conditions []Match, strict bool) []Entry {
	kept := q.all()
	var found []Entry
	for _, key := range slices.Sorted(maps.Keys(kept)) {
		e := entityOf(key)
		if strict && len(e) != len(conditions) || slices.ContainsFunc(conditions, func(m Match) bool { return !m.holds(e) }) {
			continue
		}
		found = append(found, Entry{e, kept[key]})
	}
	return found
}

func (m Match) holds(e Entity) bool {
	name, ok := e[m.Type]
	switch {
	case !ok:
		return false
	case m.Any:
		return true
	case m.Default:
		return name == nil
	}
	return name != nil && *name == m.Name
}
