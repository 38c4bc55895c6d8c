package batch

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// Levels in Kafka's numbers; a level out of range becomes the nearest one (spec: log 2).
const (
	gzipMinLevel, gzipMaxLevel = 1, 9
	lz4DefaultLevel            = 9
	zstdDefaultLevel           = 3
	maxEncoderLevel            = 9
)

// zstdWindowBytes is less than the 2 MiB of Java's encoder. Batches of a megabyte or more get up to 0.5 %
// larger by it, and an encoder that is kept for the next batch is 1.5 MiB smaller.
const zstdWindowBytes = 512 << 10

// lz4Levels are 1 to 9; Kafka's go on to 17, which the library does not have.
var lz4Levels = [...]lz4.CompressionLevel{lz4.Level1, lz4.Level2, lz4.Level3, lz4.Level4, lz4.Level5,
	lz4.Level6, lz4.Level7, lz4.Level8, lz4.Level9}

// deflater compresses one payload after another, each framed as Kafka's clients expect. Reset starts the next one, in
// any state; the output depends on the payload only. Write copies its argument. Close writes the rest and leaves w
// open; until then w may have received nothing.
type deflater interface {
	io.WriteCloser
	Reset(w io.Writer)
}

// encoderLevel maps a level in Kafka's numbers to those that the codec's encoder distinguishes, 0 to maxEncoderLevel.
// Level 0 is the codec's default.
func encoderLevel(codec Codec, level int) int {
	switch codec {
	case Gzip:
		if level == 0 || level == gzip.DefaultCompression {
			return 0
		}
		return min(max(level, gzipMinLevel), gzipMaxLevel)
	case LZ4:
		if level == 0 {
			level = lz4DefaultLevel
		}
		return min(max(level, 1), len(lz4Levels))
	case Zstd:
		if level == 0 {
			level = zstdDefaultLevel
		}
		return int(zstd.EncoderLevelFromZstd(level))
	}
	return 0
}

// newDeflater returns a deflater that has to be Reset before it is used. The level is an encoderLevel.
func newDeflater(codec Codec, level int) (deflater, error) {
	switch codec {
	case None:
		return &plainWriter{}, nil
	case Gzip:
		if level == 0 {
			level = gzip.DefaultCompression
		}
		return gzip.NewWriterLevel(nil, level)
	case Snappy:
		return newXerialDeflater(), nil
	case LZ4:
		return newLZ4Deflater(level), nil
	case Zstd:
		// Of one goroutine: it starts none of its own, and needs no closing.
		return zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true),
			zstd.WithWindowSize(zstdWindowBytes), zstd.WithEncoderLevel(zstd.EncoderLevel(level)))
	}
	return nil, fmt.Errorf("%w: %v", ErrUnsupportedCompression, codec)
}

type plainWriter struct{ io.Writer }

func (p *plainWriter) Reset(w io.Writer) { p.Writer = w }

func (p *plainWriter) Close() error { return nil }

// blockDeflater cuts its input into blocks and compresses each by itself.
type blockDeflater struct {
	w               io.Writer
	size            int
	header, trailer []byte
	begun           bool // the header is written
	plain           []byte
	out             []byte
	compress        func(dst, plain []byte) ([]byte, error) // appends the block with its length
}

// Reset keeps the buffers, which are those of one block.
func (d *blockDeflater) Reset(w io.Writer) {
	d.w, d.begun, d.plain = w, false, d.plain[:0]
}

func (d *blockDeflater) Write(p []byte) (int, error) {
	written := len(p)
	for len(p) > 0 {
		n := min(len(p), d.size-len(d.plain))
		d.plain = append(d.plain, p[:n]...)
		p = p[n:]
		if len(d.plain) == d.size {
			if err := d.flush(); err != nil {
				return 0, err
			}
		}
	}
	return written, nil
}

// flush writes the buffered bytes as a block, and the header before the first block.
func (d *blockDeflater) flush() error {
	if !d.begun {
		d.begun = true
		if err := d.write(d.header); err != nil {
			return err
		}
	}
	if len(d.plain) == 0 {
		return nil
	}
	var err error
	if d.out, err = d.compress(d.out[:0], d.plain); err != nil {
		return err
	}
	d.plain = d.plain[:0]
	return d.write(d.out)
}

func (d *blockDeflater) write(b []byte) error {
	_, err := d.w.Write(b)
	return err
}

func (d *blockDeflater) Close() error {
	if err := d.flush(); err != nil {
		return err
	}
	return d.write(d.trailer)
}

func newXerialDeflater() *blockDeflater {
	buf := make([]byte, snappy.MaxEncodedLen(xerialBlockBytes))
	return &blockDeflater{size: xerialBlockBytes, header: xerialHeader, compress: func(dst, plain []byte) ([]byte, error) {
		block := snappy.Encode(buf, plain)
		return append(binary.BigEndian.AppendUint32(dst, uint32(len(block))), block...), nil
	}}
}

// newLZ4Deflater writes a frame of independent 64 KiB blocks without any checksum but the header's.
func newLZ4Deflater(level int) *blockDeflater {
	compressor := lz4.CompressorHC{Level: lz4Levels[level-1]}
	buf := make([]byte, lz4.CompressBlockBound(lz4BlockBytes))
	header := binary.LittleEndian.AppendUint32(nil, lz4Magic)
	header = append(header, 0x40|lz4FlagIndependent, lz4Block64KiB)
	header = append(header, byte(xxh32(header[4:])>>8))
	return &blockDeflater{size: lz4BlockBytes, header: header, trailer: []byte{0, 0, 0, 0},
		compress: func(dst, plain []byte) ([]byte, error) {
			n, err := compressor.CompressBlock(plain, buf)
			if err != nil {
				return nil, err
			}
			if n == 0 || n >= len(plain) { // not compressible
				dst = binary.LittleEndian.AppendUint32(dst, uint32(len(plain))|lz4Stored)
				return append(dst, plain...), nil
			}
			return append(binary.LittleEndian.AppendUint32(dst, uint32(n)), buf[:n]...), nil
		}}
}
