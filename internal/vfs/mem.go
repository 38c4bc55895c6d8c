package vfs

import (
	"bytes"
	"io"
	"io/fs"
	"path"
	"sort"
	"strings"
	"sync"
	"time"
)

// Mem is a file system in memory. One made by NewCrashable also keeps the synced state, for CrashClone. A File stays
// usable after its name is gone, as on Unix.
type Mem struct {
	seed  int64
	track bool
	mu    struct {
		sync.Mutex
		root    *node
		locked  map[string]bool
		pending []nameOp // changes of names not yet synced, oldest first
	}
}

// node is a file or, when entries is set, a directory. Guarded by the Mem's mutex.
type node struct {
	entries map[string]*node // current names
	durable map[string]*node // names as of the last sync, kept by crashable ones only
	data    []byte
	shared  int            // data[:shared] is not written in place: synced or a clone may have the same memory
	synced  []byte         // bytes as of the last sync, never written in place
	lost    map[int64]bool // units that a failed sync gave up, until they are written again
	modTime time.Time
}

// nameOp is one atomic change of names: a node appears under a name, disappears, or both.
type nameOp struct {
	node    *node
	from    *node // directory it leaves, or nil
	oldName string
	to      *node // directory it enters, or nil
	newName string
}

func newDir() *node { return &node{entries: map[string]*node{}, durable: map[string]*node{}} }

// NewMem returns an empty file system without memory of syncs.
func NewMem() *Mem {
	m := &Mem{}
	m.mu.root = newDir()
	m.mu.locked = map[string]bool{}
	return m
}

// NewCrashable returns an empty file system for CrashClone, whose dice follow seed.
func NewCrashable(seed int64) *Mem {
	m := NewMem()
	m.seed, m.track = seed, true
	return m
}

func pathErr(op, name string, err error) error { return &fs.PathError{Op: op, Path: name, Err: err} }

// cleaned returns name from the root, without slashes at its ends. The root is "".
func cleaned(name string) string { return strings.Trim(path.Clean("/"+name), "/") }

// findLocked returns the node called name, or nil.
func (m *Mem) findLocked(name string) *node { return m.mu.root.find(cleaned(name)) }

// find returns the node with a cleaned name below a directory, or nil.
func (n *node) find(name string) *node {
	for n != nil && name != "" {
		var part string
		part, name, _ = strings.Cut(name, "/")
		n = n.entries[part]
	}
	return n
}

// parentLocked returns the directory that holds or would hold name.
func (m *Mem) parentLocked(op, name string) (*node, string, error) {
	dirName, base := path.Split(cleaned(name))
	if base == "" {
		return nil, "", pathErr(op, name, fs.ErrInvalid)
	}
	dir := m.mu.root.find(strings.TrimSuffix(dirName, "/"))
	if dir == nil || dir.entries == nil {
		return nil, "", pathErr(op, name, fs.ErrNotExist)
	}
	return dir, base, nil
}

func (m *Mem) applyLocked(op nameOp) {
	if op.from != nil {
		delete(op.from.entries, op.oldName)
	}
	if op.to != nil {
		op.to.entries[op.newName] = op.node
	}
	if m.track {
		m.mu.pending = append(m.mu.pending, op)
	}
}

// Create implements FS.
func (m *Mem) Create(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, base, err := m.parentLocked("create", name)
	if err != nil {
		return nil, err
	}
	if dir.entries[base] != nil {
		return nil, pathErr("create", name, fs.ErrExist)
	}
	n := &node{modTime: time.Now()}
	m.applyLocked(nameOp{node: n, to: dir, newName: base})
	return &memFile{m: m, n: n, name: name, writable: true}, nil
}

func (m *Mem) open(name string, writable bool) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.findLocked(name)
	if n == nil {
		return nil, pathErr("open", name, fs.ErrNotExist)
	}
	if n.entries != nil {
		return nil, pathErr("open", name, fs.ErrInvalid)
	}
	return &memFile{m: m, n: n, name: name, writable: writable}, nil
}

// OpenRead implements FS.
func (m *Mem) OpenRead(name string) (File, error) { return m.open(name, false) }

// OpenReadWrite implements FS.
func (m *Mem) OpenReadWrite(name string) (File, error) { return m.open(name, true) }

// Rename implements FS.
func (m *Mem) Rename(oldName, newName string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	from, oldBase, err := m.parentLocked("rename", oldName)
	if err != nil {
		return err
	}
	to, newBase, err := m.parentLocked("rename", newName)
	if err != nil {
		return err
	}
	n := from.entries[oldBase]
	if n == nil {
		return pathErr("rename", oldName, fs.ErrNotExist)
	}
	if old := to.entries[newBase]; old != nil && (old.entries != nil || n.entries != nil) {
		return pathErr("rename", newName, fs.ErrExist)
	}
	m.applyLocked(nameOp{node: n, from: from, oldName: oldBase, to: to, newName: newBase})
	return nil
}

// Link implements FS.
func (m *Mem) Link(oldName, newName string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.findLocked(oldName)
	if n == nil {
		return pathErr("link", oldName, fs.ErrNotExist)
	}
	to, base, err := m.parentLocked("link", newName)
	switch {
	case err != nil:
		return err
	case n.entries != nil:
		return pathErr("link", oldName, fs.ErrInvalid)
	case to.entries[base] != nil:
		return pathErr("link", newName, fs.ErrExist)
	}
	m.applyLocked(nameOp{node: n, to: to, newName: base})
	return nil
}

// LinkCount implements FS.
func (m *Mem) LinkCount(name string) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.findLocked(name)
	if n == nil {
		return 0, pathErr("stat", name, fs.ErrNotExist)
	}
	return m.mu.root.count(n), nil
}

// count returns how many names below a directory a node has.
func (n *node) count(of *node) (names int) {
	for _, entry := range n.entries {
		if entry == of {
			names++
		}
		names += entry.count(of)
	}
	return names
}

// Remove implements FS.
func (m *Mem) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, base, err := m.parentLocked("remove", name)
	if err != nil {
		return err
	}
	n := dir.entries[base]
	if n == nil {
		return pathErr("remove", name, fs.ErrNotExist)
	}
	if len(n.entries) > 0 {
		return pathErr("remove", name, fs.ErrExist)
	}
	m.applyLocked(nameOp{node: n, from: dir, oldName: base})
	return nil
}

// RemoveAll implements FS.
func (m *Mem) RemoveAll(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, base, err := m.parentLocked("removeall", name)
	if err != nil || dir.entries[base] == nil {
		return nil
	}
	m.applyLocked(nameOp{node: dir.entries[base], from: dir, oldName: base})
	return nil
}

// List implements FS.
func (m *Mem) List(dir string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.findLocked(dir)
	if n == nil || n.entries == nil {
		return nil, pathErr("list", dir, fs.ErrNotExist)
	}
	names := make([]string, 0, len(n.entries))
	for name := range n.entries {
		names = append(names, name)
	}
	sort.Strings(names)
	return names, nil
}

// MkdirAll implements FS.
func (m *Mem) MkdirAll(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.mu.root
	for rest := cleaned(dir); rest != ""; {
		var part string
		part, rest, _ = strings.Cut(rest, "/")
		if n.entries[part] == nil {
			m.applyLocked(nameOp{node: newDir(), to: n, newName: part})
		}
		n = n.entries[part]
		if n.entries == nil {
			return pathErr("mkdir", dir, fs.ErrExist)
		}
	}
	return nil
}

// Stat implements FS.
func (m *Mem) Stat(name string) (Info, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.findLocked(name)
	if n == nil {
		return Info{}, pathErr("stat", name, fs.ErrNotExist)
	}
	return Info{SizeBytes: int64(len(n.data)), IsDir: n.entries != nil, ModTime: n.modTime}, nil
}

// FreeBytes implements FS.
func (m *Mem) FreeBytes(string) (int64, error) { return 1 << 40, nil }

// Lock implements FS. A clone starts without locks, as a new process would.
func (m *Mem) Lock(name string) (io.Closer, error) {
	if f, err := m.Create(name); err == nil {
		f.Close()
	} else if _, serr := m.Stat(name); serr != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	key := path.Clean("/" + name)
	if m.mu.locked[key] {
		return nil, ErrLocked
	}
	m.mu.locked[key] = true
	return memLock{m, key}, nil
}

type memLock struct {
	m   *Mem
	key string
}

func (l memLock) Close() error {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	delete(l.m.mu.locked, l.key)
	return nil
}

type memFile struct {
	m        *Mem
	n        *node
	name     string
	writable bool
	closed   bool
}

func (f *memFile) check(op string, write bool) error {
	if f.closed {
		return pathErr(op, f.name, fs.ErrClosed)
	}
	if write && !f.writable {
		return pathErr(op, f.name, fs.ErrPermission)
	}
	return nil
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.check("read", false); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, pathErr("read", f.name, fs.ErrInvalid)
	}
	if off >= int64(len(f.n.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.n.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.check("write", true); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, pathErr("write", f.name, fs.ErrInvalid)
	}
	f.n.own(off)
	f.n.resize(max(int64(len(f.n.data)), off+int64(len(p))))
	f.n.modTime = time.Now()
	f.n.touched(off, off+int64(len(p)))
	return copy(f.n.data[off:], p), nil
}

// share returns the data for another owner. Both may write behind it: the capacity stays here.
func (n *node) share() []byte {
	n.shared = max(n.shared, len(n.data))
	return n.data[:len(n.data):len(n.data)]
}

// own makes the bytes of data from an offset on writable.
func (n *node) own(from int64) {
	if from < int64(n.shared) {
		n.data, n.shared = bytes.Clone(n.data), 0
	}
}

func (n *node) resize(sizeBytes int64) {
	if grow := sizeBytes - int64(len(n.data)); grow > 0 {
		n.own(int64(len(n.data)))
		n.data = append(n.data, make([]byte, grow)...)
	} else {
		n.data = n.data[:sizeBytes]
	}
}

func (f *memFile) Truncate(sizeBytes int64) error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.check("truncate", true); err != nil {
		return err
	}
	f.n.resize(sizeBytes)
	f.n.modTime = time.Now()
	return nil
}

func (f *memFile) Sync() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.check("sync", true); err != nil {
		return err
	}
	f.m.syncNodeLocked(f.n)
	return nil
}

func (m *Mem) syncNodeLocked(n *node) {
	if m.track {
		n.synced = n.written()
	}
}

func (f *memFile) Size() (int64, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	return int64(len(f.n.data)), f.check("size", false)
}

func (f *memFile) ModTime() (time.Time, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	return f.n.modTime, f.check("stat", false)
}

func (f *memFile) Close() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	err := f.check("close", false)
	f.closed = true
	return err
}

func (f *memFile) Descriptor() (uintptr, bool) { return 0, false }
