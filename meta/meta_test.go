package meta

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
)

func open(t *testing.T, path string) *Store {
	t.Helper()
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func filled(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "meta.db")
	s := open(t, path)
	for i := range 200 {
		if err := s.Update(func(tx Tx) error { return tx.Put(Topics, string(rune('a'+i)), make([]byte, 500)) }); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestWhatWasWrittenIsThereAfterReopening(t *testing.T) {
	path := filled(t)
	s := open(t, path)
	defer s.Close()
	n := 0
	if err := s.All(Topics, func(string, []byte) error { n++; return nil }); err != nil || n != 200 {
		t.Fatalf("%d records, %v", n, err)
	}
	if v, err := s.Get(Topics, "nothing"); v != nil || err != nil {
		t.Fatalf("a missing record: %v %v", v, err)
	}
}

func TestAFailedUpdateChangesNothing(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "meta.db"))
	defer s.Close()
	stop := errors.New("stop")
	if err := s.Update(func(tx Tx) error { _ = tx.Put(Cluster, "k", []byte("v")); return stop }); !errors.Is(err, stop) {
		t.Fatal(err)
	}
	if v, _ := s.Get(Cluster, "k"); v != nil {
		t.Fatalf("%q was written", v)
	}
}

func TestASecondProcessIsRefused(t *testing.T) {
	path := filled(t)
	s := open(t, path)
	defer s.Close()
	if _, err := Open(path, Options{LockTimeout: 10 * time.Millisecond}); !errors.Is(err, ErrLocked) {
		t.Fatalf("got %v", err)
	}
}

// TestADamagedFileIsRefusedAndLeftAsItIs covers what bbolt by itself would crash on.
func TestADamagedFileIsRefusedAndLeftAsItIs(t *testing.T) {
	for name, damage := range map[string]func([]byte) []byte{
		"cut to one page":  func(b []byte) []byte { return b[:4096] },
		"cut in half":      func(b []byte) []byte { return b[:len(b)/2/4096*4096] },
		"both metas wiped": func(b []byte) []byte { clear(b[:8192]); return b },
		"not a database":   func([]byte) []byte { return []byte("hello") },
	} {
		t.Run(name, func(t *testing.T) {
			path := filled(t)
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			b = damage(b)
			if err := os.WriteFile(path, b, 0o644); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(path, Options{}); !errors.Is(err, ErrDamaged) {
				t.Fatalf("got %v", err)
			}
			after, _ := os.ReadFile(path)
			if string(after) != string(b) {
				t.Fatal("the file was changed")
			}
		})
	}
}

func TestAnUnknownFormatVersionIsRefused(t *testing.T) {
	path := filled(t)
	s := open(t, path)
	if err := s.Update(func(tx Tx) error { return tx.Put(Cluster, string(versionKey), []byte{0, 0, 0, FormatVersion + 1}) }); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if _, err := Open(path, Options{}); !errors.Is(err, ErrDamaged) {
		t.Fatalf("got %v", err)
	}
}

// A file of an older program lacks the buckets that came later: they are made, and nothing else changes. Of another
// version it is refused all the same.
func TestMissingBucketsAreMade(t *testing.T) {
	path := filled(t)
	s := open(t, path)
	if err := s.db.Update(func(tx *bolt.Tx) error { return tx.DeleteBucket([]byte(GroupConfigs)) }); err != nil {
		t.Fatal(err)
	}
	s.Close()
	older, err := OpenReadOnly(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := older.All(GroupConfigs, func(string, []byte) error { return errors.New("a record") }); err != nil {
		t.Fatal(err)
	}
	older.Close()
	s = open(t, path)
	err = s.Update(func(tx Tx) error {
		if err := tx.Put(GroupConfigs, "g", []byte("x")); err != nil {
			return err
		}
		return tx.Put(Cluster, string(versionKey), []byte{0, 0, 0, FormatVersion + 1})
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.db.Update(func(tx *bolt.Tx) error { return tx.DeleteBucket([]byte(GroupConfigs)) }); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if _, err := Open(path, Options{}); !errors.Is(err, ErrDamaged) {
		t.Fatalf("got %v", err)
	}
}
