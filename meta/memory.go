package meta

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"sync"

	"once/internal/vfs"
)

// Memory is a Store for file systems in memory: it has all records in a map, and each change writes all of them to one
// file. That file is JSON: bucket, key, value in Base64.
type Memory struct {
	fs        vfs.FS // immutable, as are the next two
	name      string
	onFailure func(error)
	mu        struct {
		sync.Mutex
		records map[Bucket]map[string][]byte // values are immutable
		failed  error
	}
}

// Read opens an existing store of either kind for reading. Errors are those of OpenReadOnly.
func Read(under vfs.FS, name string) (Store, error) {
	if f, err := under.OpenRead(name); err == nil {
		first := make([]byte, 1)
		_, err := f.ReadAt(first, 0)
		f.Close()
		if err == nil && first[0] == '{' {
			m, err := OpenMemory(under, name, Options{})
			if err != nil {
				return nil, err
			}
			return m, nil
		}
	}
	s, err := OpenReadOnly(name)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// OpenMemory opens the store in a file, or creates it. Of the options it uses OnFailure only.
func OpenMemory(under vfs.FS, name string, o Options) (*Memory, error) {
	m := &Memory{fs: under, name: name, onFailure: o.OnFailure}
	m.mu.records = map[Bucket]map[string][]byte{}
	f, err := under.OpenRead(name)
	if errors.Is(err, fs.ErrNotExist) {
		_, err = m.write(m.mu.records)
		return m, err
	}
	if err != nil {
		return nil, err
	}
	size, err := f.Size()
	content := make([]byte, size)
	if err == nil && size > 0 {
		_, err = f.ReadAt(content, 0)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(content, &m.mu.records); err != nil {
		return nil, damaged(name, "%v", err)
	}
	return m, nil
}

// write replaces the file, completely or not at all. replaced says that an error came after the replacement.
func (m *Memory) write(records map[Bucket]map[string][]byte) (replaced bool, err error) {
	content, err := json.Marshal(records)
	if err != nil {
		return false, err
	}
	next := m.name + ".next"
	if err := m.fs.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	f, err := m.fs.Create(next)
	if err != nil {
		return false, err
	}
	if _, err = f.WriteAt(content, 0); err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return false, err
	}
	if err := m.fs.Rename(next, m.name); err != nil {
		return false, err
	}
	return true, m.fs.SyncDir(path.Dir(m.name))
}

// Get implements Store.
func (m *Memory) Get(b Bucket, key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.mu.records[b][key]), m.mu.failed
}

// All implements Store.
func (m *Memory) All(b Bucket, f func(key string, value []byte) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.failed != nil {
		return m.mu.failed
	}
	return eachSorted(m.mu.records[b], f)
}

// Keys implements Store.
func (m *Memory) Keys(f func(b Bucket, key string, value []byte) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.failed != nil {
		return m.mu.failed
	}
	for _, b := range slices.Sorted(maps.Keys(m.mu.records)) {
		err := eachSorted(m.mu.records[b], func(key string, value []byte) error { return f(b, key, value) })
		if err != nil {
			return err
		}
	}
	return nil
}

func eachSorted(records map[string][]byte, f func(key string, value []byte) error) error {
	for _, key := range slices.Sorted(maps.Keys(records)) {
		if err := f(key, records[key]); err != nil {
			return err
		}
	}
	return nil
}

// Update implements Store.
func (m *Memory) Update(f func(Tx) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.failed != nil {
		return m.mu.failed
	}
	tx := memoryTx{store: m, records: maps.Clone(m.mu.records), changed: map[Bucket]bool{}}
	if err := f(tx); err != nil {
		return err
	}
	replaced, err := m.write(tx.records)
	switch {
	case err == nil:
		m.mu.records = tx.records
	case errors.Is(err, vfs.ErrNoSpace) && !replaced:
		return fmt.Errorf("%w: %s: %w", ErrNoSpace, m.name, err)
	default:
		err = fmt.Errorf("%w: %s: %w", ErrFailed, m.name, err)
		m.mu.failed = err
		if m.onFailure != nil {
			m.onFailure(err)
		}
	}
	return err
}

// Version implements Store.
func (m *Memory) Version() int { return FormatVersion }

// Damaged implements Store.
func (m *Memory) Damaged(b Bucket, key string, cause error) error {
	return &DamagedError{File: m.name, Page: noPage, Position: noPosition, Bucket: b, Key: key, Cause: cause}
}

// Close implements Store.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.failed == nil {
		m.mu.failed = fmt.Errorf("%w: %s is closed", ErrFailed, m.name)
	}
	return nil
}

// memoryTx is one atomic change. A bucket is copied before it is changed.
type memoryTx struct {
	store   *Memory
	records map[Bucket]map[string][]byte
	changed map[Bucket]bool
}

// Get implements Tx.
func (t memoryTx) Get(b Bucket, key string) ([]byte, error) { return t.records[b][key], nil }

// All implements Tx.
func (t memoryTx) All(b Bucket, f func(key string, value []byte) error) error {
	return eachSorted(t.records[b], f)
}

// Put implements Tx.
func (t memoryTx) Put(b Bucket, key string, value []byte) error {
	if isOwn(b, key) || len(value) > maxValueBytes {
		return errRecord(b, key, value)
	}
	t.bucket(b)[key] = append([]byte{}, value...)
	return nil
}

// Delete implements Tx.
func (t memoryTx) Delete(b Bucket, key string) error {
	delete(t.bucket(b), key)
	return nil
}

// Damaged implements Tx.
func (t memoryTx) Damaged(b Bucket, key string, cause error) error {
	return t.store.Damaged(b, key, cause)
}

func (t memoryTx) bucket(b Bucket) map[string][]byte {
	if !t.changed[b] {
		t.changed[b] = true
		t.records[b] = maps.Clone(t.records[b])
		if t.records[b] == nil {
			t.records[b] = map[string][]byte{}
		}
	}
	return t.records[b]
}
