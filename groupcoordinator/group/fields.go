package group

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kbin"
)

// Fields reads the fields of a key or value of a coordinator's record in the order of its schema. After the first field
// that is not there all others are zero; Err reports it. It allocates no more than the record is long.
type Fields struct{ r kbin.Reader }

// ReadFields reads b, which it does not keep.
func ReadFields(b []byte) *Fields { return &Fields{kbin.Reader{Src: b}} }

// Int8 reads one field, as do the other methods with the names of types.
func (f *Fields) Int8() int8 { return f.r.Int8() }

// Int16 reads an int16.
func (f *Fields) Int16() int16 { return f.r.Int16() }

// Int32 reads an int32.
func (f *Fields) Int32() int32 { return f.r.Int32() }

// Int64 reads an int64.
func (f *Fields) Int64() int64 { return f.r.Int64() }

// UUID reads a topic ID.
func (f *Fields) UUID() [16]byte { return f.r.Uuid() }

// String reads a string of a schema that is not flexible.
func (f *Fields) String() string { return f.r.String() }

// CompactString reads a string of a flexible schema.
func (f *Fields) CompactString() string { return f.r.CompactString() }

// CompactNullableString reads a string that may be null.
func (f *Fields) CompactNullableString() *string { return f.r.CompactNullableString() }

// CompactBytes reads bytes of a flexible schema, a copy.
func (f *Fields) CompactBytes() []byte { return append([]byte(nil), f.r.CompactBytes()...) }

// Count reads the length of an array of a flexible schema whose elements take at least minBytes each; -1: null.
func (f *Fields) Count(minBytes int) int {
	n := int(f.r.CompactArrayLen())
	if n > 0 && n > len(f.r.Src)/minBytes {
		f.r.Span(len(f.r.Src) + 1) // makes Err report it
		return 0
	}
	return n
}

// Int32s reads an array of int32, nil when it is null.
func (f *Fields) Int32s() []int32 {
	n := f.Count(4)
	if n < 0 {
		return nil
	}
	list := make([]int32, n)
	for i := range list {
		list[i] = f.Int32()
	}
	return list
}

// CompactStrings reads an array of strings.
func (f *Fields) CompactStrings() []string {
	n := f.Count(1)
	if n < 0 {
		return nil
	}
	list := make([]string, n)
	for i := range list {
		list[i] = f.CompactString()
	}
	return list
}

// Tags reads tagged fields. known reads the value of those it knows and reports whether it did; others are skipped.
func (f *Fields) Tags(known func(tag uint32, value *Fields) bool) {
	for n := f.r.Uvarint(); n > 0 && f.r.Ok(); n-- {
		tag, size := f.r.Uvarint(), f.r.Uvarint()
		value := ReadFields(f.r.Span(int(size)))
		if f.r.Ok() && known != nil && known(tag, value) && value.Err() != nil {
			f.r.Span(len(f.r.Src) + 1)
		}
	}
}

// Err is an error, which wraps ErrDamaged, unless all fields were there and nothing is left.
func (f *Fields) Err() error {
	if err := f.r.Complete(); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if len(f.r.Src) > 0 {
		return fmt.Errorf("%w: %d bytes too many", ErrDamaged, len(f.r.Src))
	}
	return nil
}

// AppendTag appends one tagged field.
func AppendTag(dst []byte, tag uint32, value []byte) []byte {
	dst = kbin.AppendUvarint(dst, tag)
	dst = kbin.AppendUvarint(dst, uint32(len(value)))
	return append(dst, value...)
}
