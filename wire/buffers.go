package wire

import (
	"math/bits"
	"sync"

	"once/internal/invariant"
)

// Buffers of frames and answers are pooled in powers of two from 512 bytes to 1 MiB. Bigger ones are left
// to the garbage collector: pooled, a few large fetches would hold their memory for ever.
const (
	minPooledBits = 9
	maxPooledBits = 20
)

var bufferPools [maxPooledBits - minPooledBits + 1]sync.Pool

// getBuffer returns a buffer of length 0 with room for n bytes.
func getBuffer(n int) []byte {
	class := poolClass(n)
	if class < 0 {
		return make([]byte, 0, n)
	}
	if p, ok := bufferPools[class].Get().(*[]byte); ok {
		return (*p)[:0]
	}
	return make([]byte, 0, 1<<(class+minPooledBits))
}

// putBuffer gives back a buffer that nothing points into any more.
func putBuffer(b []byte) {
	if invariant.Enabled {
		// Whoever kept a string or slice of a request beyond its reply shall read nonsense in tests.
		b = b[:cap(b)]
		for i := range b {
			b[i] = 0xdb
		}
	}
	// A buffer that append has grown goes where its capacity is enough for everyone.
	class := bits.Len(uint(cap(b))) - 1 - minPooledBits
	if class >= 0 && class < len(bufferPools) {
		b = b[:0]
		bufferPools[class].Put(&b)
	}
}

// poolClass is the pool for buffers with room for n bytes, or -1.
func poolClass(n int) int {
	class := max(bits.Len(uint(max(n, 1)-1)), minPooledBits) - minPooledBits
	if class >= len(bufferPools) {
		return -1
	}
	return class
}
