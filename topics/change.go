package topics

import (
	"fmt"
	"maps"
	"slices"

	"once/meta"
	"once/settings"
)

// save makes the record of a topic durable.
func (ts *Topics) save(t *Topic, s *state) error {
	value, err := record{ID: t.ID, Partitions: int32(len(s.partitions)), CreatedAtStart: t.createdAtStart,
		Overrides: s.overrides}.encode()
	if err != nil {
		return err
	}
	if err := ts.opts.Store.Update(func(tx meta.Tx) error { return tx.Put(meta.Topics, t.Name, value) }); err != nil {
		return fmt.Errorf("saving topic %q: %w", t.Name, err)
	}
	return nil
}

// publish replaces the index by a changed copy.
func (ts *Topics) publish(change func(*index)) {
	old := ts.index.Load()
	next := &index{byName: maps.Clone(old.byName), byID: maps.Clone(old.byID), count: old.count, version: old.version + 1}
	change(next)
	ts.index.Store(next)
}

// AddPartitions raises the number of a topic's partitions to count.
func (ts *Topics) AddPartitions(name string, count int32, validateOnly bool) error {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	ix := ts.index.Load()
	t := ix.byName[name]
	if t == nil {
		return fmt.Errorf("%w: %q", ErrUnknownTopic, name)
	}
	old := t.state.Load()
	now := int32(len(old.partitions))
	if count <= now {
		return fmt.Errorf("%w: topic %q has %d partitions, %d is not more", ErrInvalidPartitions, name, now, count)
	}
	if ix.count+int(count-now) > maxPartitions {
		return fmt.Errorf("%w: %d exist, %d more asked, %d allowed", ErrTooManyPartitions, ix.count, count-now, maxPartitions)
	}
	if validateOnly {
		return nil
	}
	added, err := ts.makePartitionsLocked(t, old.config, now, count)
	if err != nil {
		return err
	}
	next := *old
	next.partitions = append(slices.Clone(old.partitions), added...)
	if err := ts.save(t, &next); err != nil {
		closeAll(added)
		return err
	}
	t.state.Store(&next)
	ts.publish(func(ix *index) { ix.count += int(count - now) })
	return nil
}

// Alter replaces the overrides of one topic by the result of change; with validateOnly it only checks. The new
// configuration is durable and applies at once, to the partitions, too. No other change runs beside change; its error
// is returned as it is.
func (ts *Topics) Alter(name string, change func(overrides settings.Values) (settings.Values, error),
	validateOnly bool) error {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	t := ts.index.Load().byName[name]
	var next state
	if t != nil {
		next = *t.state.Load()
	}
	overrides, err := change(maps.Clone(next.overrides))
	if err != nil {
		return err
	}
	if err := CheckName(name); t == nil && err != nil {
		return err
	}
	config, err := ts.settings.Load().Topic(overrides)
	if err == nil && t == nil { // Kafka says that a setting is wrong before it says this
		err = fmt.Errorf("%w: %q", ErrUnknownTopic, name)
	}
	if err != nil || validateOnly {
		return err
	}
	if next.overrides, err = settings.CanonicalTopic(overrides); err != nil {
		return err
	}
	next.config = config
	if err := ts.save(t, &next); err != nil {
		return err
	}
	t.state.Store(&next)
	for _, p := range next.partitions {
		p.SetConfig(ts.partitionConfig(config))
	}
	return nil
}

// Reconfigure makes these the settings of the broker behind those of topics, at once and for all partitions. A topic
// whose own settings contradict them keeps what it has.
func (ts *Topics) Reconfigure(b *settings.Broker) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	ts.settings.Store(b)
	for _, t := range ts.index.Load().byName {
		next := *t.state.Load()
		config, err := b.Topic(next.overrides)
		if err != nil {
			ts.opts.Logger.Warn("a setting of the broker does not go with those of a topic, which keeps its own",
				"topic", t.Name, "error", err)
			config = next.config
		}
		next.config = config
		t.state.Store(&next)
		for _, p := range next.partitions {
			p.SetConfig(ts.partitionConfig(config))
			p.SetUnverified(!b.TransactionPartitionVerificationEnable)
		}
	}
}

// Delete removes a topic, durably and for all readers when it returns.
func (ts *Topics) Delete(name string) error {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	t := ts.index.Load().byName[name]
	if t == nil {
		return fmt.Errorf("%w: %q", ErrUnknownTopic, name)
	}
	if err := ts.opts.Store.Update(func(tx meta.Tx) error { return tx.Delete(meta.Topics, name) }); err != nil {
		return fmt.Errorf("deleting topic %q: %w", name, err)
	}
	ts.publish(func(ix *index) {
		delete(ix.byName, name)
		delete(ix.byID, t.ID)
		ix.count -= len(t.Partitions())
	})
	if ts.opts.OnDelete != nil {
		ts.opts.OnDelete(t)
	}
	ts.removed.add(name)
	// The record is removed: the next start removes files that cannot be removed now.
	for _, p := range t.Partitions() {
		if err := p.Delete(); err != nil {
			ts.opts.Logger.Warn("files of a deleted partition stay until the next start", "partition", p.ID().String(),
				"error", err)
		}
	}
	return nil
}

// Exclusively calls f while no topic is created, changed or deleted.
func (ts *Topics) Exclusively(f func() error) error {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	return f()
}
