package cluster

import (
	"encoding/json"
	"fmt"
	"maps"

	"once/handlers"
	"once/meta"
)

// featuresKey is the record of the feature levels that were changed while a broker ran.
const featuresKey = "features"

// storedFeatures is the record. Levels are those of all features, nil after a reset. Settings are the levels that
// settings gave when it was written: a level counts as long as its setting is the same.
type storedFeatures struct {
	Levels   map[string]int16 `json:"levels,omitempty"`
	Settings map[string]int16 `json:"settings,omitempty"`
	Changes  int64            `json:"changes"` // so far, also before a reset: the epoch counts them
}

func readFeatures(from reader) (stored storedFeatures, err error) {
	value, err := from.Get(meta.Cluster, featuresKey)
	if err != nil || value == nil {
		return stored, err
	}
	if err := json.Unmarshal(value, &stored); err != nil || stored.Changes < 1 {
		return stored, from.Damaged(meta.Cluster, featuresKey, fmt.Errorf("%q are no features: %w", value, err))
	}
	return stored, nil
}

func putFeatures(tx meta.Tx, stored storedFeatures) error {
	value, err := json.Marshal(stored)
	if err != nil {
		return err
	}
	return tx.Put(meta.Cluster, featuresKey, value)
}

// forgetFeatures resets the levels.
func forgetFeatures(tx meta.Tx) error {
	stored, err := readFeatures(tx)
	if err != nil || stored.Changes == 0 {
		return err
	}
	return putFeatures(tx, storedFeatures{Changes: stored.Changes})
}

// openFeatures makes the features of what is stored and set.
func (e *engine) openFeatures() error {
	version, err := e.env.transactionVersion()
	if err != nil {
		return err
	}
	set := map[string]int16{"transaction.version": version, "group.version": e.env.Settings.GroupVersion}
	stored, err := readFeatures(e.store)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStorage, err)
	}
	levels := map[string]int16{}
	maps.Copy(levels, stored.Levels)
	for name, level := range set {
		if was, known := stored.Settings[name]; !known || was != level {
			levels[name] = level
		}
	}
	save := func(levels map[string]int16) error {
		stored.Levels, stored.Settings, stored.Changes = levels, set, stored.Changes+1
		return e.store.Update(func(tx meta.Tx) error { return putFeatures(tx, stored) })
	}
	e.features = handlers.NewFeatures(levels, int64(e.identity.starts)+stored.Changes, save)
	return nil
}
