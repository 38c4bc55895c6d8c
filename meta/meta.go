// Package meta keeps the few things that no log can give back: cluster ID, topics with their IDs and
// configurations, those of groups and client metrics, producer ID blocks, the count of starts. It is a store of named bytes with atomic,
// durable writes; whoever owns a record owns its encoding. No request of the produce, fetch, commit or
// heartbeat kind writes here.
//
// The store is one bbolt file. Damage to it is named and never served: each record has a checksum, all
// of them together have a summary that changes with each of them, and the structure of the file is checked
// before bbolt gets it, because bbolt would crash on what is wrong with it.
//
// A write or sync that fails ends the store: nothing that it says about the disk could be believed any
// more. Where the disk had no room and nothing was damaged by that, the store goes on.
package meta

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"

	bolt "go.etcd.io/bbolt"
)

// Bucket names a set of records.
type Bucket string

// The buckets, each with its owner.
const (
	Cluster              Bucket = "cluster"                // broker, and meta itself for the format version and the summary
	Topics               Bucket = "topics"                 // topics
	GroupConfigs         Bucket = "group configs"          // configs
	ClientMetricsConfigs Bucket = "client metrics configs" // configs
)

// buckets are made when a file is opened that does not have them: a new one, or one of an older program.
var buckets = []Bucket{Cluster, Topics, GroupConfigs, ClientMetricsConfigs}

// Store is an open metadata file. Safe for concurrent use.
//
// Locking: mu is held during each call, so that nobody is inside of bbolt when a panic ends it there. A function that
// is passed to a method does not call the store.
type Store struct {
	path      string   // immutable, as are the next four
	file      *os.File // bbolt's, which closes it
	version   int      // of the format: 1 in an old file that is open for reading only
	onFailure func(error)
	db        *bolt.DB
	mu        struct {
		sync.Mutex
		failed   error // why the store answers nothing any more; nil while it does
		panicked bool  // inside of bbolt, which may hold its locks for ever
	}
}

// Options says how to open a store.
type Options struct {
	// NoSync leaves syncing to the operating system: for a data directory that is thrown away.
	NoSync bool
	// Upgrade is called with the records of a file of version 1, which has no checksums, inside of the change that
	// makes a file of this version of it. It may change records. After an error the file stays as it is.
	Upgrade func(Tx) error
	// OnFailure is called once, when a write or sync has failed or damage was found in use. It must not wait for
	// the store. nil is fine.
	OnFailure func(error)
}

// Open opens the file, or creates it. Errors wrap ErrLocked, ErrDamaged, ErrFailed or ErrNoSpace where that is the
// cause and name the file; a refused file is left as it is.
func Open(path string, o Options) (*Store, error) {
	if err := create(path, o.NoSync); err != nil {
		return nil, err
	}
	s, err := openFile(path, false, o.NoSync)
	if err != nil {
		return nil, err
	}
	s.onFailure = o.OnFailure
	switch s.version {
	case emptyFile:
		s.version = FormatVersion
		err = s.commit(initialize)
	case formatVersion1:
		err = s.upgrade(o.Upgrade)
	default:
		err = s.addBuckets()
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// addBuckets makes the buckets that a program had no use for which knew this version of the format.
func (s *Store) addBuckets() error {
	missing := false
	err := s.read(func(tx *bolt.Tx) error {
		for _, b := range buckets {
			missing = missing || tx.Bucket([]byte(b)) == nil
		}
		return nil
	})
	if err != nil || !missing {
		return err
	}
	return s.commit(func(tx *bolt.Tx) error {
		sum, err := s.summary(tx)
		if err != nil {
			return err
		}
		return s.guard(func() error { return errors.Join(makeBuckets(tx), writeSummary(tx, sum)) })
	})
}

// OpenReadOnly opens an existing file for reading. It changes nothing and reads a file of version 1 as it is. Errors
// wrap fs.ErrNotExist, ErrLocked or ErrDamaged where that is the cause.
func OpenReadOnly(path string) (*Store, error) {
	s, err := openFile(path, true, false)
	if err == nil && s.version == emptyFile {
		return nil, errors.Join(damaged(path, "it has no records"), s.Close())
	}
	return s, err
}

// Version is the format version of the file: FormatVersion, or an older one where it is open for reading only.
func (s *Store) Version() int { return s.version }

// Close closes the file.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.panicked {
		return s.file.Close()
	}
	return s.db.Close()
}

// failLocked ends the store.
func (s *Store) failLocked(err error) error {
	if !errors.Is(err, ErrDamaged) {
		err = fmt.Errorf("%w: %s: %w", ErrFailed, s.path, err)
	}
	s.mu.failed = err
	if s.onFailure != nil {
		s.onFailure(err)
	}
	return err
}

// failIfDamagedLocked ends the store when an error in using it says that it is damaged.
func (s *Store) failIfDamagedLocked(err error) error {
	if errors.Is(err, ErrDamaged) {
		return s.failLocked(err)
	}
	return err
}

// guard calls into bbolt; the caller holds mu. The file was whole when it was opened; a page that the disk does not
// give back later is a fault of memory, and one that is another than before may be a panic. Both become damage.
func (s *Store) guard(call func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			s.mu.panicked = true
			err = damaged(s.path, "it has changed since it was opened, or cannot be read any more: %v", r)
		}
	}()
	return call()
}

// read calls f with the records as they are now.
func (s *Store) read(f func(tx *bolt.Tx) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.failed != nil {
		return s.mu.failed
	}
	return s.failIfDamagedLocked(s.guard(func() error { return s.db.View(f) }))
}

// Damaged returns what an owner says of a record that it cannot have written.
func (s *Store) Damaged(b Bucket, key string, cause error) error {
	return &DamagedError{File: s.path, Page: noPage, Position: noPosition, Bucket: b, Key: key, Cause: cause}
}

// content returns the content of a stored value, which points into it.
func (s *Store) content(b Bucket, key string, value []byte) ([]byte, error) {
	if value == nil || s.version == formatVersion1 {
		return value, nil
	}
	content, err := unseal(b, key, value)
	if err != nil {
		return nil, s.Damaged(b, key, err)
	}
	return content, nil
}

// Get returns a copy of a record, or nil when there is none.
func (s *Store) Get(b Bucket, key string) (value []byte, err error) {
	err = s.read(func(tx *bolt.Tx) error {
		content, err := s.content(b, key, tx.Bucket([]byte(b)).Get([]byte(key)))
		value = bytes.Clone(content) // nil when that is, and only then
		return err
	})
	return value, err
}

// All calls f for every record of a bucket in the order of their keys. value is valid during the call. A file of an
// older program that was opened for reading only may lack the bucket: then there are no records.
func (s *Store) All(b Bucket, f func(key string, value []byte) error) error {
	return s.read(func(tx *bolt.Tx) error { return s.each(b, tx.Bucket([]byte(b)), f) })
}

// Keys calls f for every record of every bucket, also of those that this program does not know.
func (s *Store) Keys(f func(b Bucket, key string, value []byte) error) error {
	return s.read(func(tx *bolt.Tx) error {
		return tx.ForEach(func(name []byte, bucket *bolt.Bucket) error {
			b := Bucket(name)
			return s.each(b, bucket, func(key string, value []byte) error { return f(b, key, value) })
		})
	})
}

func (s *Store) each(b Bucket, bucket *bolt.Bucket, f func(key string, value []byte) error) error {
	if bucket == nil {
		return nil
	}
	return bucket.ForEach(func(k, v []byte) error {
		key := string(k)
		if isOwn(b, key) {
			return nil
		}
		content, err := s.content(b, key, v)
		if err != nil {
			return err
		}
		return f(key, content)
	})
}

// Update makes one atomic change. It is durable when Update returns without an error; with one, nothing has changed,
// unless the error is an ErrFailed: then it is not known.
func (s *Store) Update(f func(Tx) error) error {
	return s.commit(func(tx *bolt.Tx) error {
		sum, err := s.summary(tx)
		if err != nil {
			return err
		}
		if err := f(Tx{store: s, tx: tx, sum: &sum}); err != nil {
			return err
		}
		return s.guard(func() error { return writeSummary(tx, sum) })
	})
}

// summary reads the summary of the records that a change begins with.
func (s *Store) summary(tx *bolt.Tx) (sum summary, err error) {
	err = s.guard(func() error {
		content, err := unseal(Cluster, summaryKey, tx.Bucket([]byte(Cluster)).Get([]byte(summaryKey)))
		if err == nil {
			sum, err = decodeSummary(content)
		}
		if last := uint64(tx.ID()) - 1; err == nil && sum.change != last {
			err = fmt.Errorf("the records are those of change %d, the last one was %d", sum.change, last)
		}
		if err != nil {
			return s.Damaged(Cluster, summaryKey, err)
		}
		return nil
	})
	return sum, err
}

// commit carries out one transaction of bbolt's. bbolt itself would go on after a write or a sync that failed, and
// show the change or not, as it finds it in memory.
func (s *Store) commit(f func(tx *bolt.Tx) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.failed != nil {
		return s.mu.failed
	}
	var tx *bolt.Tx
	err := s.guard(func() (err error) {
		tx, err = s.db.Begin(true)
		return err
	})
	if err != nil {
		return s.failIfDamagedLocked(err)
	}
	defer func() {
		if !s.mu.panicked {
			_ = tx.Rollback() // nothing when it was committed
		}
	}()
	before, older, _, err := readHeads(s.file)
	if err != nil {
		return s.failLocked(err)
	}
	if err := f(tx); err != nil {
		return s.failIfDamagedLocked(err)
	}
	err = s.guard(tx.Commit)
	if err == nil {
		return nil
	}
	if isNoSpace(err) {
		// What was written stands on pages that are free, as long as no head points at them.
		if now, then, _, herr := readHeads(s.file); herr == nil && now == before && then == older {
			return fmt.Errorf("%w: %s: %w", ErrNoSpace, s.path, err)
		}
	}
	return s.failLocked(err)
}

// isNoSpace says whether a write found no room, as opposed to a sync: what a failed sync was about may be lost. bbolt
// tells of a file that it cannot make longer in words only.
func isNoSpace(err error) bool {
	var failed *fs.PathError
	for _, full := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT} {
		if errors.As(err, &failed) && failed.Op == "write" && errors.Is(failed.Err, full) ||
			strings.HasPrefix(err.Error(), "file resize error: ") && strings.HasSuffix(err.Error(), full.Error()) {
			return true
		}
	}
	return false
}

// Tx is one atomic change.
type Tx struct {
	store *Store
	tx    *bolt.Tx
	sum   *summary
}

// Damaged returns what an owner says of a record that it cannot have written.
func (t Tx) Damaged(b Bucket, key string, cause error) error { return t.store.Damaged(b, key, cause) }

// Get returns a record as this change sees it, valid until the change ends; nil when there is none.
func (t Tx) Get(b Bucket, key string) (value []byte, err error) {
	err = t.store.guard(func() error {
		value, err = t.store.content(b, key, t.tx.Bucket([]byte(b)).Get([]byte(key)))
		return err
	})
	return value, err
}

// All calls f for every record of a bucket in the order of their keys. f changes nothing, and value is valid during
// the call.
func (t Tx) All(b Bucket, f func(key string, value []byte) error) error {
	return t.store.guard(func() error { return t.store.each(b, t.tx.Bucket([]byte(b)), f) })
}

// Put writes a record.
func (t Tx) Put(b Bucket, key string, value []byte) error {
	if isOwn(b, key) || len(value) > maxValueBytes {
		return fmt.Errorf("record %q of bucket %q with %d bytes cannot be written", key, string(b), len(value))
	}
	return t.change(b, key, func(bucket *bolt.Bucket) error {
		t.sum.add(b, key, value)
		return bucket.Put([]byte(key), seal(b, key, value))
	})
}

// Delete removes a record; one that is not there is no error.
func (t Tx) Delete(b Bucket, key string) error {
	return t.change(b, key, func(bucket *bolt.Bucket) error { return bucket.Delete([]byte(key)) })
}

// change takes the record of a key out of the summary, before it is replaced or removed.
func (t Tx) change(b Bucket, key string, f func(*bolt.Bucket) error) error {
	return t.store.guard(func() error {
		bucket := t.tx.Bucket([]byte(b))
		if stored := bucket.Get([]byte(key)); stored != nil {
			content, err := t.store.content(b, key, stored)
			if err != nil {
				return err
			}
			t.sum.remove(b, key, content)
		}
		return f(bucket)
	})
}
