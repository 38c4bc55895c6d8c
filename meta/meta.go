// Package meta keeps the few things that no log can give back: cluster ID, topics with their IDs and
// configurations, those of groups and client metrics, producer ID blocks, the count of starts. It is a store of named bytes with atomic,
// durable writes; whoever owns a record owns its encoding. No request of the produce, fetch, commit or
// heartbeat kind writes here.
//
// The store is one bbolt file. bbolt maps the file into memory, where a file cut short would be a
// signal that Go cannot recover from; so Open checks the file before it hands it over.
package meta

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// FormatVersion is the version of the layout inside of the file. A file of another version is refused.
const FormatVersion = 1

var (
	// ErrLocked: another process has the file open.
	ErrLocked = errors.New("metadata is in use by another process")
	// ErrDamaged: the file is no metadata file, is cut short, or is of an unknown version.
	ErrDamaged = errors.New("metadata is damaged")
)

// Bucket names a set of records.
type Bucket string

// The buckets, each with its owner.
const (
	Cluster              Bucket = "cluster"                // broker, and meta itself for the format version
	Topics               Bucket = "topics"                 // topics
	GroupConfigs         Bucket = "group configs"          // configs
	ClientMetricsConfigs Bucket = "client metrics configs" // configs
)

// buckets are made when a file is opened that does not have them: a new one, or one of an older program.
var buckets = []Bucket{Cluster, Topics, GroupConfigs, ClientMetricsConfigs}

// Store is an open metadata file. Safe for concurrent use.
type Store struct{ db *bolt.DB }

// Options says how to open a store.
type Options struct {
	// NoSync leaves syncing to the operating system: for a data directory that is thrown away.
	NoSync bool
	// LockTimeout is how long to wait for another process that has the file open.
	LockTimeout time.Duration
}

// Open opens the file, or creates it. Errors wrap ErrLocked or ErrDamaged where that is the cause and
// name the file; a refused file is left as it is.
func Open(path string, o Options) (*Store, error) {
	if err := check(path); err != nil {
		return nil, err
	}
	db, err := bolt.Open(path, 0o644, &bolt.Options{Timeout: max(o.LockTimeout, time.Millisecond), NoSync: o.NoSync, NoGrowSync: o.NoSync, NoFreelistSync: true, FreelistType: bolt.FreelistMapType})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("%w: %s", ErrLocked, path)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrDamaged, path, err)
	}
	s := &Store{db: db}
	if err := s.prepare(path); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

var versionKey = []byte("format version")

func (s *Store) prepare(path string) error {
	missing := false
	err := s.db.View(func(tx *bolt.Tx) error {
		for _, b := range buckets {
			missing = missing || tx.Bucket([]byte(b)) == nil
		}
		cluster := tx.Bucket([]byte(Cluster))
		if cluster == nil {
			return nil
		}
		v := cluster.Get(versionKey)
		if len(v) != 4 || binary.BigEndian.Uint32(v) != FormatVersion {
			return fmt.Errorf("%w: %s: format version %x, this program knows %d", ErrDamaged, path, v, FormatVersion)
		}
		return nil
	})
	if err != nil || !missing {
		return err
	}
	return s.db.Update(func(tx *bolt.Tx) error {
		for _, b := range buckets {
			if _, err := tx.CreateBucketIfNotExists([]byte(b)); err != nil {
				return err
			}
		}
		return tx.Bucket([]byte(Cluster)).Put(versionKey, binary.BigEndian.AppendUint32(nil, FormatVersion))
	})
}

// Close closes the file.
func (s *Store) Close() error { return s.db.Close() }

// Get returns a copy of a record, or nil when there is none.
func (s *Store) Get(b Bucket, key string) (value []byte, err error) {
	err = s.db.View(func(tx *bolt.Tx) error {
		value = append(value, tx.Bucket([]byte(b)).Get([]byte(key))...)
		return nil
	})
	return value, err
}

// All calls f for every record of a bucket in the order of their keys. value is valid during the call. A file of an
// older program that was opened for reading only may lack the bucket: then there are no records.
func (s *Store) All(b Bucket, f func(key string, value []byte) error) error {
	return s.db.View(func(tx *bolt.Tx) error {
		bucket := tx.Bucket([]byte(b))
		if bucket == nil {
			return nil
		}
		return bucket.ForEach(func(k, v []byte) error { return f(string(k), v) })
	})
}

// Tx is one atomic change.
type Tx struct{ tx *bolt.Tx }

// Get returns a record as this change sees it, valid until the change ends; nil when there is none.
func (t Tx) Get(b Bucket, key string) []byte { return t.tx.Bucket([]byte(b)).Get([]byte(key)) }

// Put writes a record.
func (t Tx) Put(b Bucket, key string, value []byte) error {
	return t.tx.Bucket([]byte(b)).Put([]byte(key), value)
}

// Delete removes a record; one that is not there is no error.
func (t Tx) Delete(b Bucket, key string) error { return t.tx.Bucket([]byte(b)).Delete([]byte(key)) }

// Update makes one atomic change. It is durable when Update returns without an error; with one,
// nothing has changed.
func (s *Store) Update(f func(Tx) error) error {
	return s.db.Update(func(tx *bolt.Tx) error { return f(Tx{tx}) })
}

// Layout of a bbolt file, as far as the check needs it: two meta pages at the start, each a page
// header of 16 bytes and then magic 4, version 4, page size 4, flags 4, root 16, freelist 8, number of
// pages 8, transaction 8, checksum 8 (FNV-1a of what precedes it), little-endian.
const (
	boltMagic       = 0xED0CDAED
	boltMetaOffset  = 16
	boltMetaBytes   = 64
	boltPageSizeMax = 1 << 16
)

// check refuses a file that bbolt could not map safely. A missing or empty file is fine.
func check(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%w: %s is no file", ErrDamaged, path)
	}
	if info.Size() == 0 {
		return nil
	}
	var newest, pages, pageSize uint64
	valid := false
	try := func(at int64) {
		var b [boltMetaBytes]byte
		if _, err := io.ReadFull(io.NewSectionReader(f, at+boltMetaOffset, boltMetaBytes), b[:]); err != nil {
			return
		}
		sum := fnv.New64a()
		sum.Write(b[:boltMetaBytes-8])
		if binary.LittleEndian.Uint32(b[:]) != boltMagic || binary.LittleEndian.Uint64(b[boltMetaBytes-8:]) != sum.Sum64() {
			return
		}
		if tx := binary.LittleEndian.Uint64(b[48:]); !valid || tx > newest {
			valid, newest = true, tx
			pageSize, pages = uint64(binary.LittleEndian.Uint32(b[8:])), binary.LittleEndian.Uint64(b[40:])
		}
	}
	try(0)
	for at := int64(1 << 10); at <= boltPageSizeMax; at <<= 1 {
		try(at)
	}
	if !valid {
		return fmt.Errorf("%w: %s has no valid header", ErrDamaged, path)
	}
	if pageSize == 0 || pageSize > boltPageSizeMax || pages > uint64(info.Size())/pageSize {
		return fmt.Errorf("%w: %s is cut short: %d bytes, %d pages of %d bytes are in use", ErrDamaged, path, info.Size(), pages, pageSize)
	}
	return nil
}
