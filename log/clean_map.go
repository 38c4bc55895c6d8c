package log

import (
	"hash/maphash"
	"math/bits"
)

// keySlotBytes is the size of a slot of a keyMap.
const keySlotBytes = 24

// keyMap maps a key to its last offset. It stores 128-bit hashes instead of keys, with a new seed for each pass, so
// that nobody can choose keys that collide. Open addressing, linear probing; nothing is deleted.
type keyMap struct {
	seeds [2]maphash.Seed
	slots []keySlot
	used  int
	limit int // keys; the pass ends where the next batch might go beyond
}

// keySlot is free when next is 0.
type keySlot struct {
	hash [2]uint64
	next int64 // offset + 1
}

// newKeyMap makes room for that many records if maxBytes allow it, but always for at least least of them.
func newKeyMap(records, least, maxBytes int64) *keyMap {
	slots := min(records*4/3+1, maxBytes/keySlotBytes)
	slots = max(slots, least*10/9+1)
	m := &keyMap{slots: make([]keySlot, slots), limit: int(slots * 9 / 10)}
	m.seeds[0], m.seeds[1] = maphash.MakeSeed(), maphash.MakeSeed()
	return m
}

// hasRoom says whether n more keys fit.
func (m *keyMap) hasRoom(n int32) bool { return m.used+int(n) <= m.limit }

// slot returns the slot of the key, or the free one where it belongs.
func (m *keyMap) slot(key []byte) (*keySlot, [2]uint64) {
	hash := [2]uint64{maphash.Bytes(m.seeds[0], key), maphash.Bytes(m.seeds[1], key)}
	at, _ := bits.Mul64(hash[0], uint64(len(m.slots)))
	for i := int(at); ; i++ {
		if i == len(m.slots) {
			i = 0
		}
		if s := &m.slots[i]; s.next == 0 || s.hash == hash {
			return s, hash
		}
	}
}

// put sets the offset of a key. Offsets only grow.
func (m *keyMap) put(key []byte, offset int64) {
	s, hash := m.slot(key)
	if s.next == 0 {
		s.hash = hash
		m.used++
	}
	s.next = offset + 1
}

// last returns the last offset of the key, or -1.
func (m *keyMap) last(key []byte) int64 {
	s, _ := m.slot(key)
	return s.next - 1
}
