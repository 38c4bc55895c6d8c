package batch

import (
	"fmt"
	"iter"
	"math"
)

// Record is one record of a batch. A nil Key or Value is null, an empty one is not.
type Record struct {
	OffsetDelta      int32 // its offset less the batch's BaseOffset
	TimestampDeltaMs int64 // see Header.TimestampMs
	Key              []byte
	Value            []byte
	Headers          []RecordHeader
}

// RecordHeader is a name and value that a producer attached to a record. A nil Value is null.
type RecordHeader struct {
	Key   string
	Value []byte
}

// MaxRecordHeaders bounds the headers of one record: each takes two bytes in the batch and twenty times
// that in memory. Kafka has no such limit and no known client comes near this one.
const MaxRecordHeaders = 1 << 16

// firstHeaders is how many headers a record has room for before it has shown more.
const firstHeaders = 16

var (
	errLength = fmt.Errorf("%w: record is not as long as it says", ErrInvalidRecord)
	errHeader = fmt.Errorf("%w: record header key or number of record headers", ErrInvalidRecord)
	errTrails = fmt.Errorf("%w: bytes follow the last record", ErrInvalidRecord)
	errCount  = fmt.Errorf("%w: negative number of records", ErrInvalidRecord)
)

// Records iterates over the records of one whole batch. Compressed ones are inflated, up to
// maxInflatedBytes. The batch's CRC is not checked. An error ends the iteration: ErrCorrupt when raw is
// no batch, ErrInvalidRecord when the records are not what the header says, ErrTooLarge at the limit,
// ErrUnsupportedCompression. Key, Value and header values point into raw or, if the batch is
// compressed, into a buffer that the next step overwrites.
func Records(raw []byte, maxInflatedBytes int) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		h, err := ParseHeader(raw)
		if err == nil && h.SizeBytes() != len(raw) {
			err = fmt.Errorf("%w: header says %d bytes, there are %d", ErrCorrupt, h.SizeBytes(), len(raw))
		}
		if err == nil && h.RecordCount < 0 {
			err = errCount
		}
		if err != nil {
			yield(Record{}, err)
			return
		}
		var c cursor
		defer c.close()
		if err := c.open(raw, h.Codec(), maxInflatedBytes); err != nil {
			yield(Record{}, err)
			return
		}
		for range h.RecordCount {
			r := c.readRecord()
			if c.err != nil {
				yield(Record{}, c.err)
				return
			}
			if !yield(r, nil) {
				return
			}
		}
		if h.RecordCount > 0 && !c.ended() {
			c.fail(errTrails)
			yield(Record{}, c.err)
		}
	}
}

// readRecord reads a whole record, its fields as slices of the buffer.
func (c *cursor) readRecord() Record {
	length := c.varint()
	if length < 0 || !c.fill(int(length)) {
		c.fail(errEnds)
		return Record{}
	}
	end := c.at() + int64(length)
	c.byte() // attributes, none defined
	r := Record{TimestampDeltaMs: c.varlong(), OffsetDelta: c.varint()}
	r.Key = c.take(c.varint())
	r.Value = c.take(c.varint())
	if n := c.headerCount(); n > 0 {
		r.Headers = make([]RecordHeader, 0, min(n, firstHeaders))
		for i := int32(0); i < n && c.err == nil; i++ {
			keyLength := c.varint()
			if keyLength < 0 {
				c.fail(errHeader)
				break
			}
			key := string(c.take(keyLength))
			r.Headers = append(r.Headers, RecordHeader{Key: key, Value: c.take(c.varint())})
		}
	}
	if c.at() != end {
		c.fail(errLength)
	}
	return r
}

// frame is what validation needs of a record.
type frame struct {
	offsetDelta      int32
	timestampDeltaMs int64
	hasKey           bool
	lengthBytes      int32 // without the length itself; only of a quick frame
}

// readFrame reads a record for its structure only. However long the record is, it takes no memory.
func (c *cursor) readFrame() frame {
	if f, end := quickFrame(c.buf, c.pos); end > 0 && (c.maxRecord == 0 || f.lengthBytes <= c.maxRecord) {
		c.pos = end
		return f
	}
	return c.slowFrame()
}

// quickFrame reads the frame of a common record, which is most of the cost of validation: numbers of one or two bytes,
// no headers, all of it in b. In any other case, also for a broken record, end is 0.
func quickFrame(b []byte, at int) (f frame, end int) {
	length, i := quickVarint(b, at)
	end = i + length
	if length < 0 || end > len(b) {
		return frame{}, 0
	}
	timestampDelta, i := quickVarint(b, i+1) // after the attributes
	offsetDelta, i := quickVarint(b, i)
	keyLength, i := quickVarint(b, i)
	valueLength, i := quickVarint(b, i+max(keyLength, 0))
	headers, i := quickVarint(b, i+max(valueLength, 0))
	if headers != 0 || i != end {
		return frame{}, 0
	}
	return frame{int32(offsetDelta), int64(timestampDelta), keyLength >= 0, int32(length)}, end
}

// quickVarint reads a zig-zag number of one or two bytes at i. If there is none, next is far beyond any
// buffer, and stays so when it is passed on.
func quickVarint(b []byte, i int) (v, next int) {
	if i < len(b)-1 {
		x := int(b[i])
		if x < 0x80 {
			return x>>1 ^ -(x & 1), i + 1
		}
		if y := int(b[i+1]); y < 0x80 {
			return (x&0x7f|y<<7)>>1 ^ -(x & 1), i + 2
		}
	}
	return 0, math.MaxInt / 2
}

func (c *cursor) slowFrame() frame {
	length := c.varint()
	if length < 0 {
		c.fail(errEnds)
		return frame{}
	}
	if c.maxRecord > 0 && length > c.maxRecord {
		c.fail(fmt.Errorf("%w: a record has %d bytes, max.decompressed.message.bytes is %d", ErrInvalidRecord, length,
			c.maxRecord))
		return frame{}
	}
	end := c.at() + int64(length)
	c.byte()
	f := frame{timestampDeltaMs: c.varlong(), offsetDelta: c.varint()}
	keyLength := c.varint()
	f.hasKey = keyLength >= 0
	c.skip(keyLength)
	c.skip(c.varint())
	n := c.headerCount()
	for i := int32(0); i < n && c.err == nil; i++ {
		keyLength := c.varint()
		if keyLength < 0 {
			c.fail(errHeader)
			break
		}
		c.skip(keyLength)
		c.skip(c.varint())
	}
	if c.at() != end {
		c.fail(errLength)
	}
	return f
}

func (c *cursor) headerCount() int32 {
	n := c.varint()
	if n < 0 || n > MaxRecordHeaders {
		c.fail(errHeader)
		return 0
	}
	return n
}
