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

	bolt "go.etcd.io/bbolt"

	"once/internal/vfs"
)

// File is a Store in a file of bbolt's. Locking: mu is held during each call, so that no other goroutine is inside of
// bbolt when a panic ends a call. A function that is passed to a method must not call the store.
type File struct {
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

// Options are the options of Open.
type Options struct {
	// NoSync leaves syncing to the operating system: for a temporary data directory.
	NoSync bool
	// Upgrade is called with the records of a file of version 1, which has no checksums, inside of the change that
	// makes a file of this version of it. It may change records. After an error the file stays as it is.
	Upgrade func(Tx) error
	// OnFailure is called once, when a write or sync has failed or a read has found damage. It must not wait for the
	// store. nil is allowed.
	OnFailure func(error)
}

// Open opens the file, or creates it. Errors wrap ErrLocked, ErrDamaged, ErrFailed or ErrNoSpace where that is the
// cause and name the file; a refused file is unchanged.
func Open(path string, o Options) (*File, error) {
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

// addBuckets creates the buckets that an older program with this version of the format did not use.
func (s *File) addBuckets() error {
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
func OpenReadOnly(path string) (*File, error) {
	s, err := openFile(path, true, false)
	if err == nil && s.version == emptyFile {
		return nil, errors.Join(damaged(path, "it has no records"), s.Close())
	}
	return s, err
}

// Version implements Store.
func (s *File) Version() int { return s.version }

// Close implements Store.
func (s *File) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.panicked {
		return errors.Join(vfs.UnlockFile(s.file), s.file.Close())
	}
	if s.db.IsReadOnly() { // bbolt ends the lock of a file that it has for writing, and leaves this one to the close
		return errors.Join(vfs.UnlockFile(s.file), s.db.Close())
	}
	return s.db.Close()
}

// failLocked makes all later calls of the store fail.
func (s *File) failLocked(err error) error {
	if !errors.Is(err, ErrDamaged) {
		err = fmt.Errorf("%w: %s: %w", ErrFailed, s.path, err)
	}
	s.mu.failed = err
	if s.onFailure != nil {
		s.onFailure(err)
	}
	return err
}

// failIfDamagedLocked makes the store fail if an error reports damage.
func (s *File) failIfDamagedLocked(err error) error {
	if errors.Is(err, ErrDamaged) {
		return s.failLocked(err)
	}
	return err
}

// guard calls bbolt; the caller holds mu. The file was valid when it was opened. A page that the disk does not return
// later is a memory fault, and a changed page may be a panic. Both become damage.
func (s *File) guard(call func() error) (err error) {
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
func (s *File) read(f func(tx *bolt.Tx) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.failed != nil {
		return s.mu.failed
	}
	return s.failIfDamagedLocked(s.guard(func() error { return s.db.View(f) }))
}

// Damaged implements Store.
func (s *File) Damaged(b Bucket, key string, cause error) error {
	return &DamagedError{File: s.path, Page: noPage, Position: noPosition, Bucket: b, Key: key, Cause: cause}
}

// content returns the content of a stored value, which points into it.
func (s *File) content(b Bucket, key string, value []byte) ([]byte, error) {
	if value == nil || s.version == formatVersion1 {
		return value, nil
	}
	content, err := unseal(b, key, value)
	if err != nil {
		return nil, s.Damaged(b, key, err)
	}
	return content, nil
}

// Get implements Store.
func (s *File) Get(b Bucket, key string) (value []byte, err error) {
	err = s.read(func(tx *bolt.Tx) error {
		content, err := s.content(b, key, tx.Bucket([]byte(b)).Get([]byte(key)))
		value = bytes.Clone(content) // nil when that is, and only then
		return err
	})
	return value, err
}

// All implements Store.
func (s *File) All(b Bucket, f func(key string, value []byte) error) error {
	return s.read(func(tx *bolt.Tx) error { return s.each(b, tx.Bucket([]byte(b)), f) })
}

// Keys implements Store.
func (s *File) Keys(f func(b Bucket, key string, value []byte) error) error {
	return s.read(func(tx *bolt.Tx) error {
		return tx.ForEach(func(name []byte, bucket *bolt.Bucket) error {
			b := Bucket(name)
			return s.each(b, bucket, func(key string, value []byte) error { return f(b, key, value) })
		})
	})
}

func (s *File) each(b Bucket, bucket *bolt.Bucket, f func(key string, value []byte) error) error {
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

// Update implements Store.
func (s *File) Update(f func(Tx) error) error {
	return s.commit(func(tx *bolt.Tx) error {
		sum, err := s.summary(tx)
		if err != nil {
			return err
		}
		if err := f(fileTx{store: s, tx: tx, sum: &sum}); err != nil {
			return err
		}
		return s.guard(func() error { return writeSummary(tx, sum) })
	})
}

// summary reads the summary of the records that a change begins with.
func (s *File) summary(tx *bolt.Tx) (sum summary, err error) {
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

// commit carries out one transaction of bbolt. bbolt itself would continue after a failed write or sync, and show the
// change or not, depending on its memory.
func (s *File) commit(f func(tx *bolt.Tx) error) error {
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
		// The new pages are free pages, as long as no head points at them.
		if now, then, _, herr := readHeads(s.file); herr == nil && now == before && then == older {
			return fmt.Errorf("%w: %s: %w", ErrNoSpace, s.path, err)
		}
	}
	return s.failLocked(err)
}

// isNoSpace says whether a write found no room, as opposed to a sync, which may have lost data. If bbolt cannot grow
// the file, it says so in the text of the error only.
func isNoSpace(err error) bool {
	var failed *fs.PathError
	for _, full := range vfs.NoSpaceErrnos() {
		if errors.As(err, &failed) && failed.Op == "write" && errors.Is(failed.Err, full) ||
			strings.HasPrefix(err.Error(), "file resize error: ") && strings.HasSuffix(err.Error(), full.Error()) {
			return true
		}
	}
	return false
}

// fileTx is one atomic change of a file.
type fileTx struct {
	store *File
	tx    *bolt.Tx
	sum   *summary
}

// Damaged implements Tx.
func (t fileTx) Damaged(b Bucket, key string, cause error) error {
	return t.store.Damaged(b, key, cause)
}

// Get implements Tx.
func (t fileTx) Get(b Bucket, key string) (value []byte, err error) {
	err = t.store.guard(func() error {
		value, err = t.store.content(b, key, t.tx.Bucket([]byte(b)).Get([]byte(key)))
		return err
	})
	return value, err
}

// All implements Tx.
func (t fileTx) All(b Bucket, f func(key string, value []byte) error) error {
	return t.store.guard(func() error { return t.store.each(b, t.tx.Bucket([]byte(b)), f) })
}

// Put implements Tx.
func (t fileTx) Put(b Bucket, key string, value []byte) error {
	if isOwn(b, key) || len(value) > maxValueBytes {
		return errRecord(b, key, value)
	}
	return t.change(b, key, func(bucket *bolt.Bucket) error {
		t.sum.add(b, key, value)
		return bucket.Put([]byte(key), seal(b, key, value))
	})
}

// Delete implements Tx.
func (t fileTx) Delete(b Bucket, key string) error {
	return t.change(b, key, func(bucket *bolt.Bucket) error { return bucket.Delete([]byte(key)) })
}

// change removes the record of a key from the summary, before it is replaced or deleted.
func (t fileTx) change(b Bucket, key string, f func(*bolt.Bucket) error) error {
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

func errRecord(b Bucket, key string, value []byte) error {
	return fmt.Errorf("record %q of bucket %q with %d bytes cannot be written", key, string(b), len(value))
}
