package meta

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"once/internal/vfs"
)

// eachStore runs a test of what every Store does; open opens the one store of the test, again when it is closed.
func eachStore(t *testing.T, run func(t *testing.T, open func() Store)) {
	t.Run("file", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "meta.db")
		run(t, func() Store {
			s, err := Open(path, Options{NoSync: true})
			if err != nil {
				t.Fatal(err)
			}
			return s
		})
	})
	t.Run("memory", func(t *testing.T) {
		under := vfs.NewMem()
		run(t, func() Store {
			s, err := OpenMemory(under, "meta", Options{})
			if err != nil {
				t.Fatal(err)
			}
			return s
		})
	})
}

// A random history of changes, some of which fail, with restarts between: every look shows what a map would.
func TestStoresKeepRecords(t *testing.T) {
	eachStore(t, func(t *testing.T, open func() Store) {
		seed := rand.Uint64()
		dice := rand.New(rand.NewPCG(seed, 0))
		want := map[Bucket]map[string]string{Cluster: {}, Topics: {}, GroupConfigs: {}, ClientMetricsConfigs: {},
			BrokerConfigs: {}, ClientQuotas: {}, Credentials: {}}
		s := open()
		for step := range 150 {
			next := map[Bucket]map[string]string{}
			for b, records := range want {
				next[b] = maps.Clone(records)
			}
			fails := errors.New("this change fails")
			if dice.IntN(4) > 0 {
				fails = nil
			}
			err := s.Update(func(tx Tx) error {
				for range dice.IntN(5) {
					b := buckets[dice.IntN(len(buckets))]
					key := fmt.Sprint("key", dice.IntN(8))
					if dice.IntN(3) == 0 {
						delete(next[b], key)
						if err := tx.Delete(b, key); err != nil {
							return err
						}
					} else {
						next[b][key] = string(bytes.Repeat([]byte{byte(step)}, dice.IntN(3)*dice.IntN(300)))
						if err := tx.Put(b, key, []byte(next[b][key])); err != nil {
							return err
						}
					}
					compare(t, next[b], func(f func(string, []byte) error) error { return tx.All(b, f) })
					if got, err := tx.Get(b, key); err != nil || (got != nil) != hasKey(next[b], key) || string(got) != next[b][key] {
						t.Fatalf("seed %d: within the change %q is %q, %v", seed, key, got, err)
					}
				}
				return fails
			})
			if !errors.Is(err, fails) {
				t.Fatal(err)
			}
			if err == nil {
				want = next
			}
			if dice.IntN(10) == 0 {
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				s = open()
			}
			all := map[string]string{}
			for b, records := range want {
				compare(t, records, func(f func(string, []byte) error) error { return s.All(b, f) })
				for key, value := range records {
					got, err := s.Get(b, key)
					if err != nil || got == nil || string(got) != value {
						t.Fatalf("seed %d: %q of %s is %q, %v, not %q", seed, key, b, got, err, value)
					}
					all[string(b)+" "+key] = value
				}
				if got, err := s.Get(b, "nothing"); got != nil || err != nil {
					t.Fatalf("a record that was never written is %q, %v", got, err)
				}
			}
			found := map[string]string{}
			err = s.Keys(func(b Bucket, key string, value []byte) error {
				found[string(b)+" "+key] = string(value)
				return nil
			})
			if err != nil || !maps.Equal(found, all) {
				t.Fatalf("seed %d: all records are %q, %v, not %q", seed, found, err, all)
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

func hasKey(m map[string]string, key string) bool { _, ok := m[key]; return ok }

func compare(t *testing.T, want map[string]string, all func(func(string, []byte) error) error) {
	t.Helper()
	got, order := map[string]string{}, []string{}
	err := all(func(key string, value []byte) error {
		got[key], order = string(value), append(order, key)
		return nil
	})
	if err != nil || !maps.Equal(got, want) || !slices.IsSorted(order) {
		t.Fatalf("records %q in the order %q, %v, want %q", got, order, err, want)
	}
}

func TestStoresRefuseOversizedAndReservedRecords(t *testing.T) {
	eachStore(t, func(t *testing.T, open func() Store) {
		s := open()
		for key, size := range map[string]int{versionKey: 1, summaryKey: 1, "large": maxValueBytes + 1} {
			if err := s.Update(func(tx Tx) error { return tx.Put(Cluster, key, make([]byte, size)) }); err == nil {
				t.Errorf("%q can be written with %d bytes", key, size)
			}
		}
		if err := s.Update(func(tx Tx) error { return tx.Put(Cluster, "largest", make([]byte, maxValueBytes)) }); err != nil {
			t.Error(err)
		}
		if err := s.Damaged(Topics, "t", errors.New("why")); !errors.Is(err, ErrDamaged) {
			t.Error(err)
		}
		stop := errors.New("stop")
		if err := s.All(Cluster, func(string, []byte) error { return stop }); !errors.Is(err, stop) {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// The store in memory dies at each operation of its file system: what was there before the change or after it is
// there afterwards, a failure is final unless the disk was full, and is told once.
func TestMemorySurvivesEveryFailure(t *testing.T) {
	for n, fired := 0, true; fired; n++ {
		for _, cause := range []error{vfs.ErrInjected, vfs.ErrNoSpace} {
			under := vfs.NewCrashable(int64(n))
			s, err := OpenMemory(under, "meta", Options{})
			if err != nil {
				t.Fatal(err)
			}
			put := func(s Store, value string) error {
				return s.Update(func(tx Tx) error { return tx.Put(Topics, "t", []byte(value)) })
			}
			if err := put(s, "before"); err != nil {
				t.Fatal(err)
			}
			failing := vfs.FailAt(n, under).With(cause)
			told := 0
			s, err = OpenMemory(failing, "meta", Options{OnFailure: func(error) { told++ }})
			if err != nil {
				t.Fatal(err)
			}
			err = put(s, "after")
			fired = failing.Fired()
			again := put(s, "again")
			// Where the name has changed already, it is not known what a power cut would leave.
			full := errors.Is(cause, vfs.ErrNoSpace) && n < 5
			switch {
			case !fired:
			case full && (!errors.Is(err, ErrNoSpace) || again != nil || told != 0):
				t.Errorf("operation %d finds no room: %v, then %v, told %d times", n, err, again, told)
			case !full && (!errors.Is(err, ErrFailed) || !errors.Is(again, ErrFailed) || told != 1):
				t.Errorf("operation %d fails: %v, then %v, told %d times", n, err, again, told)
			}
			if !fired {
				continue
			}
			for _, left := range []vfs.FS{under, under.CrashClone()} {
				s, err := OpenMemory(left, "meta", Options{})
				if err != nil {
					t.Fatal(err)
				}
				got, err := s.Get(Topics, "t")
				switch string(got) {
				case "before", "after":
					if again == nil {
						t.Errorf("operation %d: %q, what was stored last is lost", n, got)
					}
				case "again":
				default:
					t.Errorf("operation %d: %q, %v", n, got, err)
				}
			}
		}
	}
}
