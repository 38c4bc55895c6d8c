package meta

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// ErrNotExported: the bytes are not those of Export, or have what this program does not know.
var ErrNotExported = errors.New("not the records of a metadata store")

// Export returns all records of a store in the form in which Memory keeps them, whatever the store is: JSON, bucket,
// key, value in Base64, each sorted.
func Export(from Store) ([]byte, error) {
	all := map[Bucket]map[string][]byte{}
	err := from.Keys(func(b Bucket, key string, value []byte) error {
		if all[b] == nil {
			all[b] = map[string][]byte{}
		}
		all[b][key] = append([]byte{}, value...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return json.Marshal(all)
}

// Import puts the records of Export into a store that has none, in one change. Errors: ErrNotExported, and those of
// Update.
func Import(exported []byte, to Store) error {
	var all map[Bucket]map[string][]byte
	if err := json.Unmarshal(exported, &all); err != nil {
		return fmt.Errorf("%w: %w", ErrNotExported, err)
	}
	for b, records := range all {
		if !slices.Contains(buckets, b) {
			return fmt.Errorf("%w: there is no bucket %q", ErrNotExported, string(b))
		}
		for key, value := range records {
			if isOwn(b, key) || key == "" || len(key) > maxKeyBytes || len(value) > maxValueBytes {
				return fmt.Errorf("%w: %w", ErrNotExported, errRecord(b, key, value))
			}
		}
	}
	return to.Update(func(tx Tx) error {
		for b, records := range all {
			for key, value := range records {
				if err := tx.Put(b, key, value); err != nil {
					return err
				}
			}
		}
		return nil
	})
}
