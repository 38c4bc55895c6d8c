package wire

import (
	"math/bits"
	"sync"

	"once/internal/invariant"
)

// Buffers of frames and answers are pooled in powers of two from 512 bytes to 16 MiB. A producer to several partitions
// sends frames of megabytes, and clearing a new buffer for each would cost more than all other work in this process.
// The garbage collector frees unused ones, and larger ones at once.
const (
	minPooledBits = 9
	maxPooledBits = 24
)

var bufferPools [maxPooledBits - minPooledBits + 1]sync.Pool

// getBuffer returns a buffer of length 0 with room for n bytes.
func getBuffer(n int) []byte {
	if b := usedBuffer(n); b != nil {
		return b
	}
	class := poolClass(n)
	if class < 0 {
		return make([]byte, 0, n)
	}
	return make([]byte, 0, 1<<(class+minPooledBits))
}

// usedBuffer is like getBuffer, but does not allocate: nil when the pool is empty.
func usedBuffer(n int) []byte {
	class := poolClass(n)
	if class < 0 {
		return nil
	}
	if p, ok := bufferPools[class].Get().(*[]byte); ok {
		return (*p)[:0]
	}
	return nil
}

// putBuffer puts a buffer, to which nothing refers any more, back into the pool.
func putBuffer(b []byte) {
	if invariant.Enabled {
		// In tests, code that kept a string or slice of a request beyond its reply must read nonsense.
		b = b[:cap(b)]
		for i := range b {
			b[i] = 0xdb
		}
	}
	// A buffer that append has grown goes into the largest class that it can serve.
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
