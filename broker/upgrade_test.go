package broker_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"once/broker"
	"once/cluster"
	"once/inspect"
	"once/inspect/inspecttest"
	"once/internal/vfs"
	"once/meta"
)

// downgrade makes metadata as older versions have written it, without checksums, and lets change change it.
func downgrade(t *testing.T, dir string, change func(cluster, topics *bolt.Bucket) error) {
	t.Helper()
	path := filepath.Join(dir, "meta.db")
	s, err := meta.OpenReadOnly(path)
	if err != nil {
		t.Fatal(err)
	}
	db, err := bolt.Open(path+".old", 0o644, &bolt.Options{NoFreelistSync: true, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		for _, b := range []meta.Bucket{meta.Cluster, meta.Topics} {
			if _, err := tx.CreateBucket([]byte(b)); err != nil {
				return err
			}
		}
		cluster, topics := tx.Bucket([]byte(meta.Cluster)), tx.Bucket([]byte(meta.Topics))
		err := s.Keys(func(b meta.Bucket, key string, value []byte) error {
			return tx.Bucket([]byte(b)).Put([]byte(key), bytes.Clone(value))
		})
		err = errors.Join(err, cluster.Put([]byte("format version"), binary.BigEndian.AppendUint32(nil, 1)))
		if change != nil {
			err = errors.Join(err, change(cluster, topics))
		}
		return err
	})
	if err := errors.Join(err, s.Close(), db.Close(), os.Rename(path+".old", path)); err != nil {
		t.Fatal(err)
	}
}

// inTopic replaces a piece of the record of a topic.
func inTopic(name, old, text string) func(_, topics *bolt.Bucket) error {
	return func(_, topics *bolt.Bucket) error {
		record := topics.Get([]byte(name))
		if !bytes.Contains(record, []byte(old)) {
			return errors.New("no " + old + " in " + string(record))
		}
		return topics.Put([]byte(name), bytes.Replace(record, []byte(old), []byte(text), 1))
	}
}

// rename moves a record to another key.
func rename(bucket *bolt.Bucket, from, to string) error {
	value := bytes.Clone(bucket.Get([]byte(from)))
	return errors.Join(bucket.Delete([]byte(from)), bucket.Put([]byte(to), value))
}

func TestMetadataOfOlderVersionsIsUpgraded(t *testing.T) {
	for _, s := range leftBehind(t) {
		for name, change := range map[string]func(cluster, topics *bolt.Bucket) error{
			"as it was": nil,
			"settings as clients wrote them": func(_, topics *bolt.Bucket) error {
				return errors.Join(inTopic("x", `"cleanup.policy":"delete"`, `"cleanup.policy":" delete"`)(nil, topics))
			},
		} {
			dir := s.copied.Restore()
			downgrade(t, dir, change)
			if s.bootID == "" {
				inspecttest.RequireClean(t, dir)
			}
			for range 2 {
				answer, err := s.ask(t, dir, nil)
				if err != nil || !mapsEqual(answer, s.answer) {
					t.Errorf("%s, %s: %v, %v; not %v", s.name, name, answer, err, s.answer)
				}
			}
			m, err := meta.OpenReadOnly(filepath.Join(dir, "meta.db"))
			if err != nil {
				t.Fatal(err)
			}
			if m.Version() != meta.FormatVersion {
				t.Errorf("%s, %s: the format version is %d", s.name, name, m.Version())
			}
			m.Close()
		}
	}
}

// What can be known to be wrong in metadata without checksums is refused before it gets some, by check as well.
func TestDamagedMetadataOfOlderVersionsIsNotUpgraded(t *testing.T) {
	left := leftBehind(t)
	clusterRecord := func(from, to string) func(cluster, _ *bolt.Bucket) error {
		return func(cluster, _ *bolt.Bucket) error { return rename(cluster, from, to) }
	}
	for _, c := range []struct {
		name   string
		change func(cluster, topics *bolt.Bucket) error
		wants  string
		unseen bool // by check, which has another word for it, see below
	}{
		{"a setting that nobody writes so", inTopic("x", `"-1"`, `"-0"`), `retention.ms="-0"`, false},
		{"a setting of another name", inTopic("x", `"retention.ms"`, `"retentIon.ms"`), "retentIon.ms", false},
		{"a topic ID that was never given", inTopic("x", `"id":[`, `"id":[0,`), "topics", false},
		{"a name in another case", inTopic("x", `"partitions"`, `"Partitions"`), "not as it was written", false},
		{"fewer partitions than directories", inTopic("x", `"partitions":2`, `"partitions":1`), "x-1", true},
		{"another topic ID than the directories", func(_, topics *bolt.Bucket) error {
			record := bytes.Clone(topics.Get([]byte("x")))
			record[bytes.IndexByte(record, ',')-1] ^= 1 // the last digit of the first number
			return topics.Put([]byte("x"), record)
		}, "x-0", true},
		{"a topic that is missing", func(_, topics *bolt.Bucket) error { return topics.Delete([]byte("x")) }, "x-0", true},
		{"a topic of another name", func(_, topics *bolt.Bucket) error { return rename(topics, "x", "z1") }, "x-0", true},
		{"no cluster ID", clusterRecord("cluster id", "cluster ie"), "cluster ie", false},
		{"no producer IDs", clusterRecord("next producer id", "next producer ie"), "next producer ie", false},
		{"no starts", clusterRecord("starts", "startr"), "startr", false},
	} {
		for _, s := range left {
			dir := s.copied.Restore()
			downgrade(t, dir, c.change)
			before := hashes(t, dir)
			b, err := broker.Start(context.Background(), broker.Config{DataDir: dir, Env: cluster.Env{BootID: s.bootID}})
			if err == nil {
				_ = b.Close()
				t.Errorf("%s, %s: it was taken", s.name, c.name)
				continue
			}
			for _, part := range []string{filepath.Join(dir, "meta.db"), c.wants} {
				if !errors.Is(err, cluster.ErrStorage) || !strings.Contains(err.Error(), part) {
					t.Errorf("%s, %s: the error is %q", s.name, c.name, err)
				}
			}
			if changed := changes(before, hashes(t, dir)); len(changed) > 0 {
				t.Errorf("%s, %s: changed:\n%s", s.name, c.name, strings.Join(changed, "\n"))
			}
			report, err := inspect.Check(vfs.OS, dir, inspect.Options{BootID: s.bootID})
			if err != nil || report.Err() == nil || !c.unseen && !strings.Contains(report.Findings[0].Message, c.wants) {
				t.Errorf("%s, %s: check finds %v, %v", s.name, c.name, report.Findings, err)
			}
		}
	}
}
