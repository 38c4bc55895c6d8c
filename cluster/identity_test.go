package cluster

import (
	"math"
	"path/filepath"
	"testing"

	"once/meta"
)

// The last block of producer IDs is handed out whole; behind it there is none, and nothing is reserved.
func TestLastBlockOfProducerIDs(t *testing.T) {
	const count = 1000
	for next, want := range map[int64]bool{0: true, math.MaxInt64 - count: true, math.MaxInt64 - count + 1: false,
		math.MaxInt64: false} {
		store, err := meta.Open(filepath.Join(t.TempDir(), "meta.db"), meta.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := store.Update(func(tx meta.Tx) error { return putCounter(tx, nextProducerIDKey, next) }); err != nil {
			t.Fatal(err)
		}
		first, err := blockStore{store}.ReserveProducerIDs(count, -1)
		if (err == nil) != want || err == nil && first != next {
			t.Errorf("behind %d: %d, %v", next, first, err)
		}
		left := int64(-1)
		if err := store.Update(func(tx meta.Tx) (err error) {
			left, err = counter(tx, nextProducerIDKey)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if wantLeft := next + count; want && left != wantLeft || !want && left != next {
			t.Errorf("behind %d: the next block begins at %d", next, left)
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
