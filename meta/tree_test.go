package meta

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A key of a branch is the first key of its child. bbolt finds records with another one, too, as long as the order is
// kept, and then writes nonsense.
func TestKeyOfABranchIsTheFirstOfItsChild(t *testing.T) {
	path := filepath.Join(t.TempDir(), "meta.db")
	s := open(t, path)
	err := s.Update(func(tx Tx) (err error) {
		for i := range 200 { // every tenth number: there is room below each key
			err = errors.Join(err, tx.Put(Topics, fmt.Sprintf("%04d", 10*i), make([]byte, 100)))
		}
		return err
	})
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	page, keys := os.Getpagesize(), 0
	for _, at := range branches(t, good) {
		n, _, err := decodeNode(good[at : at+page])
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range n.elements[1:] {
			last := &good[at+e.position+len(e.key)-1]
			*last--
			overwrite(t, path, good)
			if _, err := OpenReadOnly(path); !errors.Is(err, ErrDamaged) {
				t.Errorf("key %q: %v", e.key, err)
			}
			*last++
			keys++
		}
	}
	if keys == 0 {
		t.Error("there is no branch")
	}
}

// branches returns where the branches in use begin.
func branches(t *testing.T, file []byte) (positions []int) {
	t.Helper()
	head, _, _, err := readHeads(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	all := &tree{file: bytes.NewReader(file), head: head, record: func(place, []byte) error { return nil },
		bucket: func(Bucket) {}}
	if err := all.walk(int64(len(file))); err != nil {
		t.Fatal(err)
	}
	for n := uint64(firstPage); n < head.pages; n++ {
		at := int(all.position(n))
		if all.seen[n/64]&(1<<(n%64)) != 0 && decodePageHeader(file[at:]) == (pageHeader{
			number: n, flags: flagBranch, count: order.Uint16(file[at+10:]),
		}) {
			positions = append(positions, at)
		}
	}
	return positions
}

// Each head is needed, whichever is the newer one.
func TestBothHeadsAreNeeded(t *testing.T) {
	path := filled(t)
	for range 2 {
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for page := range 2 {
			bad := bytes.Clone(good)
			bad[page*os.Getpagesize()+70] ^= 1
			overwrite(t, path, bad)
			_, err := Open(path, Options{})
			if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), fmt.Sprintf("page %d, byte", page)) {
				t.Errorf("head %d: %v", page, err)
			}
		}
		overwrite(t, path, good)
		s := open(t, path)
		set(t, s, Topics, "x", "1") // the other head is the newer one now
		s.Close()
	}
}

// Whatever bbolt writes is taken: records of all sizes come and go, in trees of several levels, and after each few
// changes the file is opened again.
func TestEveryFileThatBboltWritesIsAccepted(t *testing.T) {
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
