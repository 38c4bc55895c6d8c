package meta

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand"
	"path/filepath"
	"testing"
	"time"
)

// Whatever bbolt writes is taken: records of all sizes come and go, in trees of several levels, and after each few
// changes the file is opened again.
func TestWhateverBboltWritesIsTaken(t *testing.T) {
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	dice := rand.New(rand.NewSource(seed))
	rounds := 12
	if fullSweep() {
		rounds = 500
	}
	for round := range rounds {
		path := filepath.Join(t.TempDir(), "meta.db")
		want := map[string]string{}
		keys := 1 + dice.Intn(1<<dice.Intn(12))
		largest := 1 << dice.Intn(15)
		for generation := range 12 {
			s, err := Open(path, Options{NoSync: true})
			if err != nil {
				t.Fatalf("round %d, generation %d: %v", round, generation, err)
			}
			if got, err := dump(s); err != nil || !maps.Equal(got, want) {
				t.Fatalf("round %d, generation %d: %d records, not %d: %v", round, generation, len(got), len(want), err)
			}
			for range dice.Intn(8) {
				deletes := dice.Intn(100)
				err := s.Update(func(tx Tx) error {
					for range 1 + dice.Intn(1<<dice.Intn(10)) {
						b := []Bucket{Cluster, Topics}[min(1, dice.Intn(4))]
						key := fmt.Sprintf("%0*d", 1+dice.Intn(3)*dice.Intn(80), dice.Intn(keys))
						if dice.Intn(100) < deletes {
							delete(want, string(b)+"/"+key)
							if err := tx.Delete(b, key); err != nil {
								return err
							}
							continue
						}
						value := bytes.Repeat([]byte{byte(dice.Intn(256))}, dice.Intn(largest))
						want[string(b)+"/"+key] = string(value)
						if err := tx.Put(b, key, value); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}
