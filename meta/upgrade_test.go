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

	bolt "go.etcd.io/bbolt"
)

// oldFile makes a file as version 1 of the format has it: values are their bare content, and there is no summary.
func oldFile(t *testing.T) (path string, records map[string]string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "meta.db")
	records = map[string]string{"cluster/starts": "\x00\x00\x00\x00\x00\x00\x00\x07"}
	for i := range 30 {
		records[fmt.Sprint("topics/topic-", i)] = strings.Repeat(fmt.Sprint(i), 200)
	}
	rawly(t, path, func(tx *bolt.Tx) error {
		for _, b := range []Bucket{Cluster, Topics} {
			if _, err := tx.CreateBucket([]byte(b)); err != nil {
				return err
			}
		}
		err := tx.Bucket([]byte(Cluster)).Put([]byte(versionKey), []byte{0, 0, 0, 1})
		for name, value := range records {
			bucket, key, _ := strings.Cut(name, "/")
			err = errors.Join(err, tx.Bucket([]byte(bucket)).Put([]byte(key), []byte(value)))
		}
		return err
	})
	return path, records
}

func mustHold(t *testing.T, s *File, version int, records map[string]string) {
	t.Helper()
	got, err := dump(s)
	if err != nil || s.Version() != version || !maps.Equal(got, records) {
		t.Errorf("version %d with %d records, want %d with %d: %v", s.Version(), len(got), version, len(records), err)
	}
}

func TestOldFileIsUpgraded(t *testing.T) {
	path, records := oldFile(t)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := OpenReadOnly(path)
	if err != nil {
		t.Fatal(err)
	}
	mustHold(t, r, 1, records)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	refusal := errors.New("refused")
	if _, err := Open(path, Options{Upgrade: func(Tx) error { return refusal }}); !errors.Is(err, refusal) {
		t.Errorf("an upgrade that is refused: %v", err)
	}
	if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, before) {
		t.Errorf("a refused upgrade or a reader has changed the file, %v", err)
	}
	s, err := Open(path, Options{Upgrade: func(tx Tx) error {
		if err := tx.Put(Topics, "topic-3", []byte("three")); err != nil {
			return err
		}
		return tx.Delete(Topics, "topic-4")
	}})
	if err != nil {
		t.Fatal(err)
	}
	records["topics/topic-3"] = "three"
	delete(records, "topics/topic-4")
	for range 2 {
		mustHold(t, s, 2, records)
		set(t, s, Topics, "topic-5", "five")
		records["topics/topic-5"] = "five"
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, path)
	}
	mustHold(t, s, 2, records)
	s.Close()
}

// A file that bbolt has made, and that nobody has written into: a start of an older version that went no further.
func TestEmptyFileIsWrittenInto(t *testing.T) {
	path := filepath.Join(t.TempDir(), "meta.db")
	db, err := bolt.Open(path, 0o644, nil)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenReadOnly(path); !errors.Is(err, ErrDamaged) {
		t.Errorf("opened for reading: %v", err)
	}
	for range 2 {
		s := open(t, path)
		mustHold(t, s, 2, map[string]string{})
		s.Close()
	}
}

// Flipped bits of an old file may change what a record says, and one in a page number which records there are: their
// owner has to notice. They crash nothing.
func TestFlippedBitOfAnOldFileCrashesNothing(t *testing.T) {
	path, records := oldFile(t)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	step := 499
	if fullSweep() {
		step = 1
	}
	for bit := rand.Intn(step); bit < 8*len(good); bit += step {
		bad := bytes.Clone(good)
		bad[bit/8] ^= 1 << (bit % 8)
		overwrite(t, path, bad)
		s, err := Open(path, Options{NoSync: true})
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Errorf("bit %d: %v", bit, err)
			}
			continue
		}
		if got, err := dump(s); err != nil || len(got) > len(records) {
			t.Errorf("bit %d: %d records, %v", bit, len(got), err)
		}
		if err := s.Update(func(tx Tx) error { return tx.Put(Topics, "x", make([]byte, 5000)) }); err != nil {
			t.Errorf("bit %d: %v", bit, err)
		}
		s.Close()
	}
}
