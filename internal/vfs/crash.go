package vfs

import (
	"bytes"
	"io/fs"
	"maps"
	"math/rand"
	"sort"
)

// tornUnitBytes is the size that a disk writes completely or not at all.
const tornUnitBytes = 512

// SyncDir implements FS.
func (m *Mem) SyncDir(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.findLocked(dir)
	if n == nil || n.entries == nil {
		return pathErr("syncdir", dir, fs.ErrNotExist)
	}
	rest := m.mu.pending[:0]
	for _, op := range m.mu.pending {
		if op.from == n || op.to == n {
			op.harden()
		} else {
			rest = append(rest, op)
		}
	}
	m.mu.pending = rest
	return nil
}

// OpenFileSystem implements FS.
func (m *Mem) OpenFileSystem(string) (FileSystem, error) { return wholeMem{m}, nil }

type wholeMem struct{ m *Mem }

func (w wholeMem) Close() error { return nil }

func (w wholeMem) Sync() error {
	w.m.SyncAll()
	return nil
}

// SyncAll makes everything durable.
func (m *Mem) SyncAll() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, op := range m.mu.pending {
		op.harden()
	}
	m.mu.pending = nil
	var walk func(n *node)
	walk = func(n *node) {
		for _, c := range n.entries {
			walk(c)
		}
		if n.entries == nil {
			m.syncNodeLocked(n)
		}
	}
	walk(m.mu.root)
}

// harden makes the change durable.
func (op nameOp) harden() {
	if op.from != nil && op.from.durable[op.oldName] == op.node {
		delete(op.from.durable, op.oldName)
	}
	if op.to != nil {
		op.to.durable[op.newName] = op.node
	}
}

// Clone returns a copy of everything as it is now: the files that a new process finds after this one died. Open files
// of m keep writing to m, not to the clone.
func (m *Mem) Clone() *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := NewMem()
	c.seed, c.track = m.seed, m.track
	made := map[*node]*node{}
	var copyNode func(n *node) *node
	copyNode = func(n *node) *node {
		if n == nil {
			return nil
		}
		if k, ok := made[n]; ok {
			return k
		}
		k := &node{data: n.share(), synced: n.synced, lost: maps.Clone(n.lost), modTime: n.modTime}
		k.shared = len(k.data)
		made[n] = k
		if n.entries != nil {
			k.entries, k.durable = map[string]*node{}, map[string]*node{}
			for name, child := range n.entries {
				k.entries[name] = copyNode(child)
			}
			for name, child := range n.durable {
				k.durable[name] = copyNode(child)
			}
		}
		return k
	}
	c.mu.root = copyNode(m.mu.root)
	for _, op := range m.mu.pending {
		op.node, op.from, op.to = copyNode(op.node), copyNode(op.from), copyNode(op.to)
		c.mu.pending = append(c.mu.pending, op)
	}
	return c
}

// CrashClone returns the files after a power cut: everything synced, and a random part of the rest, with each change of
// a name and each 512 bytes of a file by themselves. Everything in the clone counts as synced. Equal seeds and
// histories give equal clones.
func (m *Mem) CrashClone() *Mem {
	c := m.Clone()
	dice := rand.New(rand.NewSource(c.seed))
	c.seed = dice.Int63()
	for _, op := range c.mu.pending {
		if dice.Intn(2) == 0 {
			op.harden()
		}
	}
	c.mu.pending = nil
	seen := map[*node]bool{}
	var settle func(n *node)
	settle = func(n *node) {
		if seen[n] {
			return
		}
		seen[n] = true
		if n.entries == nil {
			n.data = tear(dice, n.synced, n.written())
			n.synced, n.lost = n.share(), nil
			return
		}
		clear(n.entries)
		names := make([]string, 0, len(n.durable))
		for name := range n.durable {
			names = append(names, name)
		}
		sort.Strings(names) // the order of the dice must not depend on that of the map
		for _, name := range names {
			n.entries[name] = n.durable[name]
			settle(n.durable[name])
		}
	}
	settle(c.mu.root)
	return c
}

// Reseed sets the random seed of the next CrashClone.
func (m *Mem) Reseed(seed int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seed = seed
}

// lose carries out a failed sync of a file: its dirty units count as clean from now on, so that no later sync writes
// them.
func (n *node) lose() {
	for at := int64(0); at < int64(len(n.data)); at += tornUnitBytes {
		end := min(at+tornUnitBytes, int64(len(n.data)))
		if end > int64(len(n.synced)) || !bytes.Equal(n.data[at:end], n.synced[at:end]) {
			if n.lost == nil {
				n.lost = map[int64]bool{}
			}
			n.lost[at/tornUnitBytes] = true
		}
	}
}

// touched makes units dirty again.
func (n *node) touched(from, to int64) {
	for unit := from / tornUnitBytes; len(n.lost) > 0 && unit*tornUnitBytes < to; unit++ {
		delete(n.lost, unit)
	}
}

// written returns the file's bytes on disk after a sync of all units that still count as dirty. They are never written
// in place.
func (n *node) written() []byte {
	if len(n.lost) == 0 {
		return n.share()
	}
	out := bytes.Clone(n.data)
	for unit := range n.lost {
		from := min(unit*tornUnitBytes, int64(len(out)))
		to := min(from+tornUnitBytes, int64(len(out)))
		clear(out[from:to])
		copy(out[from:to], n.synced[min(from, int64(len(n.synced))):])
	}
	return out
}

func (f *memFile) lose() {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if f.m.track {
		f.n.lose()
	}
}

func (m *Mem) loseAll() {
	m.mu.Lock()
	defer m.mu.Unlock()
	var walk func(n *node)
	walk = func(n *node) {
		for _, c := range n.entries {
			walk(c)
		}
		if n.entries == nil && m.track {
			n.lose()
		}
	}
	walk(m.mu.root)
}

// tear mixes the synced and the current bytes of a file. A length that grew may have reached the disk
// without its bytes, which then read as zeros.
func tear(dice *rand.Rand, synced, current []byte) []byte {
	if bytes.Equal(synced, current) {
		return synced
	}
	low, high := min(len(synced), len(current)), max(len(synced), len(current))
	size := low + dice.Intn(high-low+1)
	if dice.Intn(4) == 0 {
		size = len(current)
	}
	out := make([]byte, size)
	copy(out, synced)
	for at := 0; at < size; at += tornUnitBytes {
		if end := min(at+tornUnitBytes, size, len(current)); at < end && dice.Intn(2) == 0 {
			copy(out[at:end], current[at:end])
		}
	}
	return out
}
