package topics

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"once/meta"
	"once/settings"
)

// record is a topic in the store, as JSON under its name.
type record struct {
	ID             [16]byte          `json:"id"`
	Partitions     int32             `json:"partitions"`
	CreatedAtStart int32             `json:"created_at_start"`
	Overrides      map[string]string `json:"overrides,omitempty"` // as settings.CanonicalTopic returns them
}

func (r record) encode() ([]byte, error) { return json.Marshal(r) }

// decodeRecord reads a record. Any other encoding than that of encode is an error, because JSON allows names in any
// case and numbers in several forms.
func decodeRecord(name string, value []byte) (r record, err error) {
	if err := json.Unmarshal(value, &r); err != nil {
		return r, err
	}
	again, err := r.encode()
	switch {
	case err != nil:
		return r, err
	case !bytes.Equal(again, value):
		return r, errors.New("not as it was written")
	case CheckName(name) != nil:
		return r, CheckName(name)
	case r.ID[6]>>4 != 4 || r.ID[8]>>6 != 2:
		return r, fmt.Errorf("topic id %x is none that was ever given", r.ID)
	case r.Partitions < 1 || r.Partitions > maxPartitions || r.CreatedAtStart < 0:
		return r, fmt.Errorf("%d partitions, created at start %d", r.Partitions, r.CreatedAtStart)
	}
	return r, nil
}

// Stored is a topic in the metadata, for tools that read the data directory of a stopped broker.
type Stored struct {
	Name           string
	ID             [16]byte
	Partitions     int32
	CreatedAtStart int32 // how many starts the data directory had seen
	Overrides      settings.Values
}

// ReadStored returns all topics ordered by name. A record that no broker can have written is meta.ErrDamaged.
func ReadStored(store meta.Store) ([]Stored, error) {
	records, err := readRecords(store)
	if err != nil {
		return nil, err
	}
	all := make([]Stored, 0, len(records))
	for _, name := range slices.Sorted(maps.Keys(records)) {
		r := records[name]
		all = append(all, Stored{Name: name, ID: r.ID, Partitions: r.Partitions, CreatedAtStart: r.CreatedAtStart,
			Overrides: r.Overrides})
	}
	return all, nil
}

func readRecords(store meta.Store) (map[string]record, error) {
	check := settings.CheckStoredTopic
	if store.Version() < meta.FormatVersion {
		check = func(overrides settings.Values) error {
			_, err := settings.CanonicalOldTopic(overrides)
			return err
		}
	}
	return decodeRecords(store, func(r record) error { return check(r.Overrides) })
}

// reader is a meta.Store or a meta.Tx.
type reader interface {
	All(b meta.Bucket, f func(key string, value []byte) error) error
	Damaged(b meta.Bucket, key string, cause error) error
}

// decodeRecords reads the records of all topics.
func decodeRecords(from reader, check func(record) error) (map[string]record, error) {
	records, names := map[string]record{}, map[[16]byte]string{}
	err := from.All(meta.Topics, func(name string, value []byte) error {
		r, err := decodeRecord(name, value)
		if err == nil {
			err = check(r)
		}
		if other, twice := names[r.ID]; err == nil && twice {
			err = fmt.Errorf("topic %q has the same topic id", other)
		}
		if err != nil {
			return from.Damaged(meta.Topics, name, err)
		}
		records[name], names[r.ID] = r, name
		return nil
	})
	return records, err
}

// Renew removes all topics from the metadata. With keep, those that are not internal stay, with their settings and new
// topic IDs. The caller handles their logs.
func Renew(tx meta.Tx, keep bool, createdAtStart int32) error {
	records, err := decodeRecords(tx, func(record) error { return nil })
	if err != nil {
		return err
	}
	for name, r := range records {
		if !keep || IsInternal(name) {
			err = tx.Delete(meta.Topics, name)
		} else {
			r.ID, r.CreatedAtStart = NewID(), createdAtStart
			var value []byte
			if value, err = r.encode(); err == nil {
				err = tx.Put(meta.Topics, name, value)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Upgrade checks the topics of metadata without checksums as far as possible, before they get some: each record by
// itself, and against the directories of partitions, which have the topic ID, too. One flipped bit in a page number
// can make many topics disappear at once: so each directory must have its topic. Settings are converted to their
// canonical form.
func Upgrade(tx meta.Tx, o Options) error {
	records, err := decodeRecords(tx, func(r record) error {
		_, err := settings.CanonicalOldTopic(r.Overrides)
		return err
	})
	if err != nil {
		return err
	}
	directories, err := findDirectories(o)
	if err != nil {
		return err
	}
	if err := contradiction(tx, records, directories); err != nil {
		return err
	}
	for _, d := range directories {
		r, ok := records[d.Topic]
		switch {
		case !ok && d.IsLog:
			err = fmt.Errorf("there is no such topic, but directory %s holds a log of it; if it is left of a deletion, "+
				"let the version that wrote it start and stop first, or move it out of the data directory", d.Name)
		case ok && d.Partition < r.Partitions && d.TopicID != r.ID && d.TopicID != [16]byte{}:
			err = fmt.Errorf("topic id %x, but partition.metadata in directory %s says %x: one of them is wrong, and "+
				"neither has a checksum; after a power cut, let the version that wrote them start and stop first",
				r.ID, d.Name, d.TopicID)
		}
		if err != nil {
			return tx.Damaged(meta.Topics, d.Topic, err)
		}
	}
	for name, r := range records {
		canonical, err := settings.CanonicalTopic(r.Overrides)
		if err != nil {
			return err
		}
		if maps.Equal(canonical, r.Overrides) {
			continue
		}
		r.Overrides = canonical
		value, err := r.encode()
		if err == nil {
			err = tx.Put(meta.Topics, name, value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
