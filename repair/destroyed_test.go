package repair_test

import (
	"testing"

	"once/log/batch"
)

// destroyedByCleaner returns the file that the log cleaner of the versions from c59de1e to 5d94261 wrote where it kept
// all of these batches; those in the first unchangedBytes were as they had been before the pass. It is that code, but
// for the file: the size counted a batch before the full buffer was written, at the size less the buffer.
func destroyedByCleaner(t testing.TB, segment []byte, unchangedBytes int) []byte {
	t.Helper()
	const cleanBufferBytes = 1 << 20
	file := append([]byte{}, segment[:unchangedBytes]...)
	size, buf := unchangedBytes, []byte{}
	flush := func() {
		if len(file) < size {
			file = append(file, make([]byte, size-len(file))...)
		}
		copy(file[size-len(buf):], buf)
		buf = buf[:0]
	}
	for rest := segment[unchangedBytes:]; len(rest) > 0; {
		h, err := batch.ParseHeader(rest)
		if err != nil || h.SizeBytes() > len(rest) {
			t.Fatalf("no whole segment: %v", err)
		}
		left := rest[:h.SizeBytes()]
		rest = rest[h.SizeBytes():]
		size += len(left)
		if len(buf)+len(left) > cleanBufferBytes {
			flush()
		}
		buf = append(buf, left...)
	}
	flush()
	return file
}
