package wire

import (
	"math/bits"
	"sync"

	"once/internal/invariant"
)

// Buffers of frames and answers are pooled in powers of two from 512 bytes to 16 MiB: a producer to several
// partitions sends frames of megabytes, and a new buffer for each costs more than all else that is done with it
// in this process, because memory is cleared before it is used. The garbage collector takes what is not
// asked for again. Bigger ones are left to it at once.
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

// usedBuffer is getBuffer without allocating: nil when there is none that somebody has given back.
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
