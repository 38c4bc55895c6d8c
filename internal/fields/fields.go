// Package fields reads and writes the fields of Kafka's record schemas: keys in the plain encoding, values in the
// flexible one, with compact lengths and tagged fields (spec: wire 2). It is for records of internal topics that kmsg
// does not have.
//
// Writing is a set of functions that append; reading is a Reader, which never reads past its bytes and never makes more
// room than they justify.
package fields

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrDamaged marks bytes that do not hold the fields that they should.
var ErrDamaged = errors.New("record is damaged")

// AppendInt16 appends a 16-bit integer.
func AppendInt16(dst []byte, v int16) []byte { return binary.BigEndian.AppendUint16(dst, uint16(v)) }

// AppendInt32 appends a 32-bit integer.
func AppendInt32(dst []byte, v int32) []byte { return binary.BigEndian.AppendUint32(dst, uint32(v)) }

// AppendInt64 appends a 64-bit integer.
func AppendInt64(dst []byte, v int64) []byte { return binary.BigEndian.AppendUint64(dst, uint64(v)) }

// AppendString appends a string with a length of two bytes, as keys have it.
func AppendString(dst []byte, s string) []byte { return append(AppendInt16(dst, int16(len(s))), s...) }

// AppendCompactString appends a string with a compact length.
func AppendCompactString(dst []byte, s string) []byte {
	return append(AppendCompactLen(dst, len(s)), s...)
}

// AppendCompactNullableString appends a string that may be null.
func AppendCompactNullableString(dst []byte, s *string) []byte {
	if s == nil {
		return append(dst, 0)
	}
	return AppendCompactString(dst, *s)
}

// AppendCompactLen appends the length of an array or string that is not null.
func AppendCompactLen(dst []byte, n int) []byte { return binary.AppendUvarint(dst, uint64(n)+1) }

// AppendInt32s appends an array of 32-bit integers.
func AppendInt32s(dst []byte, list []int32) []byte {
	dst = AppendCompactLen(dst, len(list))
	for _, v := range list {
		dst = AppendInt32(dst, v)
	}
	return dst
}

// AppendCompactStrings appends an array of strings.
func AppendCompactStrings(dst []byte, list []string) []byte {
	dst = AppendCompactLen(dst, len(list))
	for _, s := range list {
		dst = AppendCompactString(dst, s)
	}
	return dst
}

// AppendUvarint appends an unsigned integer of variable size.
func AppendUvarint(dst []byte, v uint64) []byte { return binary.AppendUvarint(dst, v) }

// AppendTag appends a tagged field. The number of tagged fields stands before the first one, and their numbers rise.
func AppendTag(dst []byte, number int, value []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(number))
	return append(binary.AppendUvarint(dst, uint64(len(value))), value...)
}

// Reader reads fields in order. After its first error all values are zero. Strings share no memory with the bytes.
type Reader struct {
	b   []byte
	err error
}

// NewReader reads from b.
func NewReader(b []byte) *Reader { return &Reader{b: b} }

// Err is the first error: ErrDamaged.
func (r *Reader) Err() error { return r.err }

// Fail makes an error out of a value that is not allowed.
func (r *Reader) Fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrDamaged, fmt.Sprintf(format, args...))
	}
}

// Finish fails unless all bytes have been read, and returns Err.
func (r *Reader) Finish() error {
	if len(r.b) > 0 {
		r.Fail("%d bytes behind the last field", len(r.b))
	}
	return r.err
}

// Bytes takes n bytes; they belong to the bytes that are read from. It returns nil after an error.
func (r *Reader) Bytes(n int) []byte {
	if r.err == nil && (n < 0 || n > len(r.b)) {
		r.Fail("%d bytes wanted, %d left", n, len(r.b))
	}
	if r.err != nil {
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

// Int8 reads an 8-bit integer.
func (r *Reader) Int8() int8 {
	if b := r.Bytes(1); b != nil {
		return int8(b[0])
	}
	return 0
}

// Int16 reads a 16-bit integer.
func (r *Reader) Int16() int16 {
	if b := r.Bytes(2); b != nil {
		return int16(binary.BigEndian.Uint16(b))
	}
	return 0
}

// Int32 reads a 32-bit integer.
func (r *Reader) Int32() int32 {
	if b := r.Bytes(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

// Int64 reads a 64-bit integer.
func (r *Reader) Int64() int64 {
	if b := r.Bytes(8); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

// UUID reads 16 bytes.
func (r *Reader) UUID() (id [16]byte) {
	copy(id[:], r.Bytes(16))
	return id
}

// Uvarint reads an unsigned integer of variable size that fits 31 bits.
func (r *Reader) Uvarint() int {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > 1<<31-1 {
		r.Fail("unreadable length")
	}
	if r.err != nil {
		return 0
	}
	r.b = r.b[n:]
	return int(v)
}

// String reads a string with a length of two bytes.
func (r *Reader) String() string { return string(r.Bytes(int(r.Int16()))) }

// CompactString reads a string that is not null.
func (r *Reader) CompactString() string {
	if s := r.CompactNullableString(); s != nil {
		return *s
	}
	r.Fail("null in place of a string")
	return ""
}

// CompactNullableString reads a string; nil is null.
func (r *Reader) CompactNullableString() *string {
	n := r.Uvarint()
	if n == 0 || r.err != nil {
		return nil
	}
	s := string(r.Bytes(n - 1))
	return &s
}

// ArrayLen reads the length of an array, -1 for null. minBytes is the smallest size of an element: a longer array than
// the bytes left can hold is an error.
func (r *Reader) ArrayLen(minBytes int) int {
	n := r.Uvarint() - 1
	if r.err == nil && n > 0 && n > len(r.b)/max(minBytes, 1) {
		r.Fail("%d elements in %d bytes", n, len(r.b))
	}
	if r.err != nil {
		return -1
	}
	return n
}

// CompactBytes reads bytes with a compact length, a copy; nil is null.
func (r *Reader) CompactBytes() []byte {
	n := r.Uvarint()
	if n == 0 || r.err != nil {
		return nil
	}
	return append([]byte{}, r.Bytes(n-1)...)
}

// Int32s reads an array of 32-bit integers; nil is null.
func (r *Reader) Int32s() []int32 {
	n := r.ArrayLen(4)
	if n < 0 {
		return nil
	}
	list := make([]int32, n)
	for i := range list {
		list[i] = r.Int32()
	}
	return list
}

// CompactStrings reads an array of strings; nil is null.
func (r *Reader) CompactStrings() []string {
	n := r.ArrayLen(1)
	if n < 0 {
		return nil
	}
	list := make([]string, n)
	for i := range list {
		list[i] = r.CompactString()
	}
	return list
}

// Tags reads the tagged fields of a struct and calls field with each; nil skips them. Numbers have to rise.
func (r *Reader) Tags(field func(number int, value *Reader)) {
	last := -1
	for n := r.Uvarint(); n > 0 && r.err == nil; n-- {
		number := r.Uvarint()
		value := NewReader(r.Bytes(r.Uvarint()))
		if r.err == nil && number <= last {
			r.Fail("tagged field %d after %d", number, last)
		}
		last = number
		if r.err == nil && field != nil {
			if field(number, value); value.err != nil {
				r.err = value.err
			}
		}
	}
}
