package batch

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// windowBytes is the initial room for inflated bytes of a cursor, and the largest that is kept for the next one.
const windowBytes = 64 << 10

// maxPooledBytes is the largest buffer a decoder may keep for its next batch. Larger ones are rare and
// left to the garbage collector.
const maxPooledBytes = 4 << 20

// inflater is a decoder that is used for one batch after another. It allocates no more than limit bytes,
// nor more than the payload's structure can fill, whatever sizes the payload announces.
type inflater interface {
	io.Reader
	// reset starts on the compressed bytes of one batch.
	reset(payload []byte, limit int64) error
	// release lets go of the payload. It is false when the decoder holds too much memory to be kept.
	release() bool
}

// The pools hold decoders and windows between batches, nothing that could influence a result.
var (
	inflaters = [...]sync.Pool{
		Gzip:   {New: func() any { return new(gzipInflater) }},
		Snappy: {New: func() any { return new(snappyInflater) }},
		LZ4:    {New: func() any { return new(lz4Inflater) }},
		Zstd:   {New: func() any { return new(zstdInflater) }},
	}
	windows = sync.Pool{New: func() any { return new([windowBytes]byte) }}
)

// open positions the cursor on the records of a whole batch. Close it after use, also after an error.
func (c *cursor) open(raw []byte, codec Codec, maxInflatedBytes int) error {
	payload := raw[HeaderSizeBytes:]
	if codec == None {
		c.buf = payload
		return nil
	}
	if !codec.isKnown() {
		return fmt.Errorf("%w: %v", ErrUnsupportedCompression, codec)
	}
	c.codec = codec
	c.src = inflaters[codec].Get().(inflater)
	c.window = windows.Get().(*[windowBytes]byte)
	c.buf = c.window[:0]
	c.limit = int64(maxInflatedBytes)
	return inflateError(c.src.reset(payload, c.limit))
}

// close returns decoder and window to their pools. What the cursor gave out is invalid afterwards.
func (c *cursor) close() {
	if c.src == nil {
		return
	}
	if c.src.release() {
		inflaters[c.codec].Put(c.src)
	}
	windows.Put(c.window)
	*c = cursor{}
}

// inflateError turns any error of a decoder into one that blames the batch.
func inflateError(err error) error {
	if err == nil || err == io.EOF || errors.Is(err, ErrTooLarge) {
		return err
	}
	return fmt.Errorf("%w: compressed records cannot be read: %v", ErrInvalidRecord, err)
}

// gzipInflater reads an RFC 1952 stream of one or more members. What follows the last one is ignored, as
// Java's reader does.
type gzipInflater struct {
	in bytes.Reader
	gz gzip.Reader
}

func (g *gzipInflater) reset(payload []byte, _ int64) error {
	g.in.Reset(payload)
	err := g.gz.Reset(&g.in)
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	g.gz.Multistream(false)
	return err
}

func (g *gzipInflater) Read(p []byte) (int, error) {
	for {
		n, err := g.gz.Read(p)
		if n > 0 && err == io.EOF {
			return n, nil
		}
		if err != io.EOF {
			return n, err
		}
		if g.in.Len() == 0 || g.gz.Reset(&g.in) != nil {
			g.in.Reset(nil)
			return 0, io.EOF
		}
		g.gz.Multistream(false)
	}
}

func (g *gzipInflater) release() bool {
	g.in.Reset(nil)
	return true
}

// zstdInflater reads zstd frames through a zstdFrames, which lowers exaggerated windows.
type zstdInflater struct {
	in      zstdFrames
	decoder *zstd.Decoder
}

func (z *zstdInflater) reset(payload []byte, limit int64) error {
	if z.decoder == nil {
		// One goroutine's decoder: it starts none of its own, and needs no closing.
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(zstdMaxWindowBytes))
		if err != nil {
			return err
		}
		z.decoder = d
	}
	z.in = zstdFrames{in: payload, limit: limit}
	return z.decoder.Reset(&z.in)
}

func (z *zstdInflater) Read(p []byte) (int, error) { return z.decoder.Read(p) }

func (z *zstdInflater) release() bool {
	kept := z.in.largestWindow <= maxPooledBytes
	z.in = zstdFrames{}
	return z.decoder.Reset(nil) == nil && kept
}

// Inflate returns what was compressed as the records of a batch are, but is no batch, such as the metrics that a client
// pushes. More than maxBytes are ErrTooLarge, and what cannot be read is ErrInvalidRecord. Without compression it
// returns payload itself.
func Inflate(payload []byte, codec Codec, maxBytes int) ([]byte, error) {
	if codec == None {
		return payload, nil
	}
	if !codec.isKnown() {
		return nil, fmt.Errorf("%w: %v", ErrUnsupportedCompression, codec)
	}
	src := inflaters[codec].Get().(inflater)
	defer func() {
		if src.release() {
			inflaters[codec].Put(src)
		}
	}()
	if err := src.reset(payload, int64(maxBytes)); err != nil {
		return nil, inflateError(err)
	}
	var inflated bytes.Buffer
	if _, err := inflated.ReadFrom(io.LimitReader(src, int64(maxBytes)+1)); err != nil {
		return nil, inflateError(err)
	}
	if inflated.Len() > maxBytes {
		return nil, fmt.Errorf("%w: more than %d bytes when it is inflated", ErrTooLarge, maxBytes)
	}
	return inflated.Bytes(), nil
}
