package meta

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// OpenReadOnly opens an existing file for reading. It changes nothing, not even a file of an older
// layout, and reads the whole of it once, so that what All and Get return afterwards cannot fail half
// way. Errors wrap fs.ErrNotExist, ErrLocked or ErrDamaged where that is the cause.
func OpenReadOnly(path string) (*Store, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() == 0 {
		return nil, fmt.Errorf("%w: %s is empty", ErrDamaged, path)
	}
	if err := check(path); err != nil {
		return nil, err
	}
	db, err := bolt.Open(path, 0, &bolt.Options{ReadOnly: true, Timeout: time.Millisecond, NoFreelistSync: true, FreelistType: bolt.FreelistMapType})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, fmt.Errorf("%w: %s", ErrLocked, path)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, fs.ErrNotExist):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%w: %s: %w", ErrDamaged, path, err)
	}
	s := &Store{db: db}
	err = s.readAll()
	if err == nil {
		err = s.verify()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %s: %w", ErrDamaged, path, err), db.Close())
	}
	return s, nil
}

// readAll touches every page in use. A page number that points out of the file is a fault of memory,
// which is turned into a panic here and that into an error.
func (s *Store) readAll() (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("unreadable page: %v", r)
		}
	}()
	return s.db.View(func(tx *bolt.Tx) error {
		for _, b := range []Bucket{Cluster, Topics} {
			if tx.Bucket([]byte(b)) == nil {
				return fmt.Errorf("there is no bucket %q", b)
			}
		}
		if v := tx.Bucket([]byte(Cluster)).Get(versionKey); len(v) != 4 || binary.BigEndian.Uint32(v) != FormatVersion {
			return fmt.Errorf("format version %x, this program knows %d", v, FormatVersion)
		}
		return tx.ForEach(func(_ []byte, b *bolt.Bucket) error { return readBucket(b) })
	})
}

func readBucket(b *bolt.Bucket) error {
	return b.ForEach(func(k, v []byte) error {
		if v == nil {
			if inner := b.Bucket(k); inner != nil {
				return readBucket(inner)
			}
		}
		touch(k)
		touch(v)
		return nil
	})
}

// touch reads every byte.
func touch(b []byte) {
	var sum byte
	for _, c := range b {
		sum ^= c
	}
	runtime.KeepAlive(sum) // or the reading would be optimized away
}

// verify lets bbolt check its structure: order of keys, pages used twice or not at all. Only after
// readAll, because it would not survive a page outside of the file.
func (s *Store) verify() error {
	return s.db.View(func(tx *bolt.Tx) error {
		var first error
		for err := range tx.Check() {
			if first == nil {
				first = err
			}
		}
		return first
	})
}

// Keys calls f for every record of every bucket, also of those that this program does not know.
func (s *Store) Keys(f func(b Bucket, key string, value []byte) error) error {
	return s.db.View(func(tx *bolt.Tx) error {
		return tx.ForEach(func(name []byte, b *bolt.Bucket) error {
			return b.ForEach(func(k, v []byte) error { return f(Bucket(name), string(k), v) })
		})
	})
}
