package meta

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"
)

func open(t *testing.T, path string) *File {
	t.Helper()
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// filledBytes is the content of the file that filled has made. The 200 changes with their syncs are made once.
var filledBytes []byte

// filled returns a file with 200 records, each from a change of its own.
func filled(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "meta.db")
	if filledBytes != nil {
		if err := os.WriteFile(path, filledBytes, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	s := open(t, path)
	for i := range 200 {
		if err := s.Update(func(tx Tx) error { return tx.Put(Topics, string(rune('a'+i)), make([]byte, 500)) }); err != nil {
			t.Fatal(err)
		}
	}
	err := s.Close()
	if err == nil {
		filledBytes, err = os.ReadFile(path)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRecordsSurviveReopening(t *testing.T) {
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
	set(t, s, Topics, "empty", "")
	if v, err := s.Get(Topics, "empty"); v == nil || len(v) > 0 || err != nil {
		t.Fatalf("an empty record: %v %v", v, err)
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
	if _, err := Open(path, Options{}); !errors.Is(err, ErrLocked) {
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

// rawly changes a file as only bbolt would, without checksums and summary.
func rawly(t *testing.T, path string, f func(tx *bolt.Tx) error) {
	t.Helper()
	db, err := bolt.Open(path, 0o644, &bolt.Options{NoFreelistSync: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(f), db.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestAnUnknownFormatVersionIsRefused(t *testing.T) {
	for name, value := range map[string][]byte{
		"version 3":                    seal(Cluster, versionKey, encodeVersion(FormatVersion+1)),
		"version 2 without a checksum": encodeVersion(FormatVersion),
		"version 0 without a checksum": encodeVersion(0),
		"no version":                   nil,
	} {
		path := filled(t)
		rawly(t, path, func(tx *bolt.Tx) error {
			if value == nil {
				return tx.Bucket([]byte(Cluster)).Delete([]byte(versionKey))
			}
			return tx.Bucket([]byte(Cluster)).Put([]byte(versionKey), value)
		})
		for how, open := range map[string]func() (*File, error){
			"to write": func() (*File, error) { return Open(path, Options{}) },
			"to read":  func() (*File, error) { return OpenReadOnly(path) },
		} {
			if _, err := open(); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "format version") {
				t.Errorf("%s, %s: %v", name, how, err)
			}
		}
	}
}

// A record that is gone, one that came back and one that is the older one have good checksums of their own.
func TestSummaryKnowsAllRecords(t *testing.T) {
	put := func(key string, value []byte) func(*bolt.Tx) error {
		return func(tx *bolt.Tx) error { return tx.Bucket([]byte(Topics)).Put([]byte(key), value) }
	}
	remove := func(b Bucket, key string) func(*bolt.Tx) error {
		return func(tx *bolt.Tx) error { return tx.Bucket([]byte(b)).Delete([]byte(key)) }
	}
	for name, change := range map[string]struct {
		how  func(*bolt.Tx) error
		want string
	}{
		"lost":           {remove(Topics, "b"), "there are 4 records, and 5 were written"},
		"resurrected":    {put("d", seal(Topics, "d", []byte("1"))), "there are 6 records, and 5 were written"},
		"older":          {put("b", seal(Topics, "b", []byte("1"))), "a page is an older one"},
		"the same":       {put("b", seal(Topics, "b", []byte("2"))), "change"},
		"another key":    {put("b", seal(Topics, "c", []byte("2"))), "checksum"},
		"another bucket": {put("b", seal(Cluster, "b", []byte("2"))), "checksum"},
		"no summary":     {remove(Cluster, summaryKey), "summary"},
	} {
		path := filepath.Join(t.TempDir(), "meta.db")
		s := open(t, path)
		for _, kv := range []string{"a1", "b1", "c1", "d1", "b2"} {
			set(t, s, Topics, kv[:1], kv[1:])
		}
		if err := s.Update(func(tx Tx) error { return tx.Delete(Topics, "d") }); err != nil {
			t.Fatal(err)
		}
		set(t, s, Cluster, "e", "1")
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		rawly(t, path, change.how)
		if _, err := Open(path, Options{}); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), change.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func set(t *testing.T, s *File, b Bucket, key, value string) {
	t.Helper()
	if err := s.Update(func(tx Tx) error { return tx.Put(b, key, []byte(value)) }); err != nil {
		t.Fatal(err)
	}
}

func TestOwnRecordsAreKeptFromUsers(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "meta.db"))
	defer s.Close()
	for _, key := range []string{versionKey, summaryKey} {
		if err := s.Update(func(tx Tx) error { return tx.Put(Cluster, key, nil) }); err == nil {
			t.Errorf("%q can be written", key)
		}
	}
	if err := s.Update(func(tx Tx) error { return tx.Put(Topics, "x", make([]byte, maxValueBytes+1)) }); err == nil {
		t.Error("a record of any length can be written")
	}
	set(t, s, Topics, "x", "1")
	err := s.Keys(func(b Bucket, key string, value []byte) error {
		if b != Topics || key != "x" || string(value) != "1" {
			t.Errorf("record %q of %q is %q", key, b, value)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A file of a program that knew fewer buckets gets those that came later, and nothing else changes. For reading only
// they are as good as empty.
func TestMissingBucketsAreMade(t *testing.T) {
	path := filled(t)
	s := open(t, path)
	err := s.commit(func(tx *bolt.Tx) error {
		sum, err := s.summary(tx)
		return errors.Join(err, tx.DeleteBucket([]byte(GroupConfigs)), writeSummary(tx, sum))
	})
	if err != nil {
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
	set(t, s, GroupConfigs, "g", "x")
	s.Close()
	s = open(t, path)
	defer s.Close()
	if got, err := s.Get(GroupConfigs, "g"); err != nil || string(got) != "x" {
		t.Errorf("%q, %v", got, err)
	}
}
