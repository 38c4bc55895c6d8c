package batch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"

	"github.com/pierrec/lz4/v4"
)

// An LZ4 frame as Kafka's clients write and read it (spec: log 2), little-endian:
//
//	magic:4 FLG:1 BD:1 [contentSize:8] headerChecksum:1
//	{ blockSize:4 (top bit: stored) block [blockChecksum:4] }*
//	0:4 [contentChecksum:4]
//
// The library's own frame reader is not used: it takes frames that Kafka's clients cannot read (blocks
// that depend on each other, legacy frames) and refuses a wrong content checksum, which they ignore.
const (
	lz4Magic = 0x184D2204

	lz4FlagVersion         = 0xC0 // must be 01
	lz4FlagIndependent     = 0x20 // must be set
	lz4FlagBlockChecksum   = 0x10
	lz4FlagContentSize     = 0x08
	lz4FlagContentChecksum = 0x04
	lz4FlagReserved        = 0x03 // must be zero

	lz4Stored      = 1 << 31
	lz4BlockBytes  = 64 << 10 // of the blocks we write
	lz4Block64KiB  = 0x40     // which the frame announces like this
	lz4MaxRatio    = 255      // no block inflates to more than this multiple of itself
	lz4HeaderBytes = 7        // of the frames we write
)

var errLZ4 = errors.New("lz4: broken frame")

// lz4Inflater reads one frame; what follows it is ignored, as in Kafka. A block is inflated whole, at
// most 4 MiB.
type lz4Inflater struct {
	in            []byte
	limit         int64
	blockChecksum bool
	maxBlock      int
	buf           []byte
	unread        []byte // of buf or in
	ended         bool
}

func (l *lz4Inflater) reset(payload []byte, limit int64) error {
	l.in, l.limit, l.unread, l.ended = payload, limit, nil, false
	if len(payload) < lz4HeaderBytes {
		return errLZ4
	}
	if binary.LittleEndian.Uint32(payload) != lz4Magic {
		return errors.New("lz4: no frame")
	}
	flags, blockSize := payload[4], payload[5]
	if flags&lz4FlagVersion != 0x40 || flags&lz4FlagIndependent == 0 || flags&lz4FlagReserved != 0 {
		return fmt.Errorf("lz4: frame flags %02x", flags)
	}
	if blockSize&0x8F != 0 || blockSize>>4 < 4 {
		return fmt.Errorf("lz4: block size code %02x", blockSize)
	}
	l.blockChecksum = flags&lz4FlagBlockChecksum != 0
	l.maxBlock = 1 << (8 + 2*(blockSize>>4))
	end := 6
	if flags&lz4FlagContentSize != 0 {
		end += 8
	}
	if len(payload) <= end {
		return errLZ4
	}
	if byte(xxh32(payload[4:end])>>8) != payload[end] {
		return errors.New("lz4: header checksum is wrong")
	}
	l.in = payload[end+1:]
	return nil
}

func (l *lz4Inflater) Read(p []byte) (int, error) {
	for len(l.unread) == 0 {
		if l.ended {
			return 0, io.EOF
		}
		if err := l.nextBlock(); err != nil {
			return 0, err
		}
	}
	n := copy(p, l.unread)
	l.unread = l.unread[n:]
	return n, nil
}

func (l *lz4Inflater) nextBlock() error {
	if len(l.in) < 4 {
		return errLZ4
	}
	word := binary.LittleEndian.Uint32(l.in)
	l.in = l.in[4:]
	size := int(word &^ lz4Stored)
	if size == 0 {
		l.ended = true
		return nil
	}
	if size > l.maxBlock || size > len(l.in) {
		return errLZ4
	}
	block := l.in[:size]
	l.in = l.in[size:]
	if l.blockChecksum {
		if len(l.in) < 4 || binary.LittleEndian.Uint32(l.in) != xxh32(block) {
			return errors.New("lz4: block checksum is wrong")
		}
		l.in = l.in[4:]
	}
	if word&lz4Stored != 0 {
		l.unread = block
		return nil
	}
	room := min(l.maxBlock, lz4MaxRatio*size)
	if cap(l.buf) < room {
		l.buf = make([]byte, room)
	}
	n, err := lz4.UncompressBlock(block, l.buf[:room])
	if err != nil {
		return err
	}
	l.unread = l.buf[:n]
	return nil
}

func (l *lz4Inflater) release() bool {
	l.in, l.unread = nil, nil
	return cap(l.buf) <= maxPooledBytes
}

// xxh32 is the XXH32 hash with seed 0, which LZ4 frames are checked with.
func xxh32(b []byte) uint32 {
	const (
		prime1 = 2654435761
		prime2 = 2246822519
		prime3 = 3266489917
		prime4 = 668265263
		prime5 = 374761393
	)
	le := binary.LittleEndian
	length := uint32(len(b))
	var h uint32 = prime5
	if len(b) >= 16 {
		seed := uint32(prime1) // a variable, so that the sums below may wrap
		v := [4]uint32{seed + prime2, prime2, 0, -seed}
		for ; len(b) >= 16; b = b[16:] {
			for i := range v {
				v[i] = bits.RotateLeft32(v[i]+le.Uint32(b[4*i:])*prime2, 13) * prime1
			}
		}
		h = bits.RotateLeft32(v[0], 1) + bits.RotateLeft32(v[1], 7) + bits.RotateLeft32(v[2], 12) +
			bits.RotateLeft32(v[3], 18)
	}
	h += length
	for ; len(b) >= 4; b = b[4:] {
		h = bits.RotateLeft32(h+le.Uint32(b)*prime3, 17) * prime4
	}
	for _, x := range b {
		h = bits.RotateLeft32(h+uint32(x)*prime5, 11) * prime1
	}
	h = (h ^ h>>15) * prime2
	h = (h ^ h>>13) * prime3
	return h ^ h>>16
}
