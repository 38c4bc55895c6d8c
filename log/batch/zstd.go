package batch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
)

// zstdMaxWindowBytes is the largest window a frame may ask for: what Kafka's decoder accepts, and what
// the highest compression level uses.
const zstdMaxWindowBytes = 1 << 27

const (
	zstdMagic         = 0xFD2FB528
	zstdSkippable     = 0x184D2A50 // the lowest of sixteen
	zstdMaxBlockBytes = 128 << 10
	zstdMinWindow     = 1 << 10
)

var errZstd = errors.New("zstd: broken frame")

// zstdFrames hands compressed bytes to a decoder and corrects the window that each frame announces.
//
// A decoder allocates a frame's window before it has seen any data, and the window says nothing about
// the data: a Java producer announces 2 MiB for every small batch, an attacker 128 MiB. So each frame is
// walked block by block first, which costs a few bytes a block. No block holds more than 128 KiB, and
// nothing beyond the limit is ever read, so the window is lowered to what those two leave possible:
//
//	magic:4 descriptor:1 [window:1] [dictionaryID] [contentSize] { blockHeader:3 block }* [checksum:4]
type zstdFrames struct {
	in            []byte
	limit         int64 // bytes that will be read in all
	pos           int
	frameEnd      int
	patchAt       int // position of the window byte to replace, if it is in the present frame
	patch         byte
	largestWindow int64
}

func (z *zstdFrames) Read(p []byte) (int, error) {
	if z.pos == len(z.in) {
		return 0, io.EOF
	}
	if z.pos == z.frameEnd {
		if err := z.nextFrame(); err != nil {
			return 0, err
		}
	}
	n := copy(p, z.in[z.pos:z.frameEnd])
	if z.patchAt >= z.pos && z.patchAt < z.pos+n {
		p[z.patchAt-z.pos] = z.patch
	}
	z.pos += n
	return n, nil
}

// nextFrame finds the end of the frame at pos, and the window it needs.
func (z *zstdFrames) nextFrame() error {
	f := z.in[z.pos:]
	z.patchAt = -1
	if len(f) < 8 {
		return errZstd
	}
	magic := binary.LittleEndian.Uint32(f)
	if magic&^0xF == zstdSkippable {
		size := int64(binary.LittleEndian.Uint32(f[4:]))
		if size > int64(len(f)-8) {
			return errZstd
		}
		z.frameEnd = z.pos + 8 + int(size)
		return nil
	}
	if magic != zstdMagic {
		return errors.New("zstd: no frame where one should start")
	}
	descriptor := f[4]
	single := descriptor&0x20 != 0
	at := 5
	var window int64
	if !single {
		exponent, mantissa := f[at]>>3, f[at]&7
		window = int64(1) << (10 + exponent)
		window += window / 8 * int64(mantissa)
		at++
	}
	at += [4]int{0, 1, 2, 4}[descriptor&3]
	contentBytes := [4]int{0, 2, 4, 8}[descriptor>>6]
	if single && contentBytes == 0 {
		contentBytes = 1
	}
	if len(f) < at+contentBytes {
		return errZstd
	}
	if single {
		window = zstdContentSize(f[at : at+contentBytes])
	}
	at += contentBytes
	end, most, err := zstdBlocks(f, at, descriptor&4 != 0)
	if err != nil {
		return err
	}
	z.frameEnd = z.pos + end
	return z.setWindow(single, window, most)
}

func (z *zstdFrames) setWindow(single bool, window, most int64) error {
	if window < 0 || window > zstdMaxWindowBytes {
		return fmt.Errorf("zstd: window of more than %d bytes", zstdMaxWindowBytes)
	}
	if single && window > most {
		return errors.New("zstd: content size is more than the blocks can hold")
	}
	if single && window > z.limit {
		return fmt.Errorf("%w: records inflate to %d bytes, the limit is %d", ErrTooLarge, window, z.limit)
	}
	// One block more than the limit, so that the limit is met before a reference beyond the window is.
	if need := max(min(most, z.limit+zstdMaxBlockBytes), zstdMinWindow); !single && window > need {
		log := max(bits.Len64(uint64(need-1)), 10) // the next power of two
		if lower := int64(1) << log; lower < window {
			z.patchAt, z.patch, window = z.pos+5, byte(log-10)<<3, lower
		}
	}
	z.largestWindow = max(z.largestWindow, window)
	return nil
}

// zstdContentSize reads the size a frame announces; it is negative when it is absurd.
func zstdContentSize(b []byte) int64 {
	switch len(b) {
	case 1:
		return int64(b[0])
	case 2:
		return int64(binary.LittleEndian.Uint16(b)) + 256
	case 4:
		return int64(binary.LittleEndian.Uint32(b))
	}
	return int64(binary.LittleEndian.Uint64(b))
}

// zstdBlocks walks over the blocks from at on. It returns where the frame ends and the most bytes that
// its blocks can inflate to.
func zstdBlocks(f []byte, at int, checksummed bool) (end int, most int64, err error) {
	for last := false; !last; {
		if len(f)-at < 3 {
			return 0, 0, errZstd
		}
		header := uint32(f[at]) | uint32(f[at+1])<<8 | uint32(f[at+2])<<16
		at += 3
		last = header&1 != 0
		size := int(header >> 3)
		if size > zstdMaxBlockBytes {
			return 0, 0, errZstd
		}
		switch header >> 1 & 3 {
		case 0: // raw
			most += int64(size)
		case 1: // one byte, repeated
			most += int64(size)
			size = 1
		case 2: // compressed
			most += zstdMaxBlockBytes
		default:
			return 0, 0, errZstd
		}
		if size > len(f)-at {
			return 0, 0, errZstd
		}
		at += size
	}
	if checksummed {
		at += 4
	}
	if at > len(f) {
		return 0, 0, errZstd
	}
	return at, most, nil
}
