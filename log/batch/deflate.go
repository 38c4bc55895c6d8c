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

// Levels in Kafka's numbers; what is outside goes to the nearest one (spec: log 2).
const (
	gzipMinLevel, gzipMaxLevel = 1, 9
	lz4DefaultLevel            = 9
	zstdDefaultLevel           = 3
	zstdWindowBytes            = 2 << 20 // what Java's encoder announces at its default level
)

// lz4Levels are 1 to 9; Kafka's go on to 17, for which the library has nothing.
var lz4Levels = [...]lz4.CompressionLevel{lz4.Level1, lz4.Level2, lz4.Level3, lz4.Level4, lz4.Level5,
	lz4.Level6, lz4.Level7, lz4.Level8, lz4.Level9}

// sealedBatch collects a batch's bytes up to a limit, so that inflated records cannot grow beyond what
// could be stored.
type sealedBatch struct {
	raw []byte
	max int
}

var errOverMax = fmt.Errorf("%w: the rebuilt batch is over max.message.bytes", ErrTooLarge)

func (s *sealedBatch) Write(p []byte) (int, error) {
	if len(p) > s.max-len(s.raw) {
		return 0, errOverMax
	}
	s.raw = append(s.raw, p...)
	return len(p), nil
}

// newDeflater compresses what is written to it into w, framed as Kafka's clients expect. Closing it
// writes the rest and leaves w open. Level 0 is the codec's default.
func newDeflater(w io.Writer, codec Codec, level int) (io.WriteCloser, error) {
	switch codec {
	case None:
		return plainWriter{w}, nil
	case Gzip:
		if level == 0 || level == gzip.DefaultCompression {
			return gzip.NewWriterLevel(w, gzip.DefaultCompression)
		}
		return gzip.NewWriterLevel(w, min(max(level, gzipMinLevel), gzipMaxLevel))
	case Snappy:
		d := &blockDeflater{w: w, size: xerialBlockBytes, compress: xerialBlock}
		return d, d.write(xerialHeader)
	case LZ4:
		return newLZ4Deflater(w, level)
	case Zstd:
		if level == 0 {
			level = zstdDefaultLevel
		}
		return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true),
			zstd.WithWindowSize(zstdWindowBytes), zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(level)))
	}
	return nil, fmt.Errorf("%w: %v", ErrUnsupportedCompression, codec)
}

type plainWriter struct{ io.Writer }

func (plainWriter) Close() error { return nil }

// blockDeflater cuts what is written to it into blocks and compresses each by itself.
type blockDeflater struct {
	w        io.Writer
	size     int
	plain    []byte
	out      []byte
	compress func(dst, plain []byte) ([]byte, error) // appends the block with its length
	trailer  []byte
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

func (d *blockDeflater) flush() error {
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

func xerialBlock(dst, plain []byte) ([]byte, error) {
	block := snappy.Encode(nil, plain)
	return append(binary.BigEndian.AppendUint32(dst, uint32(len(block))), block...), nil
}

// newLZ4Deflater writes a frame of independent 64 KiB blocks without any checksum but the header's.
func newLZ4Deflater(w io.Writer, level int) (io.WriteCloser, error) {
	if level == 0 {
		level = lz4DefaultLevel
	}
	compressor := lz4.CompressorHC{Level: lz4Levels[min(max(level, 1), len(lz4Levels))-1]}
	buf := make([]byte, lz4.CompressBlockBound(lz4BlockBytes))
	d := &blockDeflater{w: w, size: lz4BlockBytes, trailer: []byte{0, 0, 0, 0}}
	d.compress = func(dst, plain []byte) ([]byte, error) {
		n, err := compressor.CompressBlock(plain, buf)
		if err != nil {
			return nil, err
		}
		if n == 0 || n >= len(plain) { // not compressible
			dst = binary.LittleEndian.AppendUint32(dst, uint32(len(plain))|lz4Stored)
			return append(dst, plain...), nil
		}
		return append(binary.LittleEndian.AppendUint32(dst, uint32(n)), buf[:n]...), nil
	}
	header := binary.LittleEndian.AppendUint32(nil, lz4Magic)
	header = append(header, 0x40|lz4FlagIndependent, 4<<4)
	header = append(header, byte(xxh32(header[4:])>>8))
	return d, d.write(header)
}
