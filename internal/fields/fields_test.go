package fields

import (
	"bytes"
	"errors"
	"testing"
)

func TestFieldsAreReadAsWritten(t *testing.T) {
	text := "überall"
	b := AppendInt16(nil, -3)
	b = AppendInt32(b, 1<<30)
	b = AppendInt64(b, -1)
	b = AppendString(b, text)
	b = AppendCompactString(b, text)
	b = AppendCompactNullableString(b, nil)
	b = AppendCompactNullableString(b, &text)
	b = AppendCompactLen(b, 2)
	b = append(b, 5, 6)
	b = AppendUvarint(b, 1)
	b = AppendTag(b, 4, AppendInt32(nil, 9))
	r := NewReader(b)
	if r.Int16() != -3 || r.Int32() != 1<<30 || r.Int64() != -1 || r.String() != text || r.CompactString() != text {
		t.Error("plain fields differ")
	}
	if r.CompactNullableString() != nil || *r.CompactNullableString() != text || r.ArrayLen(1) != 2 ||
		!bytes.Equal(r.Bytes(2), []byte{5, 6}) {
		t.Error("compact fields differ")
	}
	tagged := int32(0)
	r.Tags(func(number int, value *Reader) {
		if number == 4 {
			tagged = value.Int32()
		}
	})
	if err := r.Finish(); err != nil || tagged != 9 {
		t.Errorf("tag %d, error %v", tagged, err)
	}
	for n := range b {
		r := NewReader(b[:n])
		r.Int16()
		r.Int32()
		r.Int64()
		_, _, _, _ = r.String(), r.CompactString(), r.CompactNullableString(), r.CompactNullableString()
		r.Bytes(r.ArrayLen(1))
		r.Tags(nil)
		if !errors.Is(r.Finish(), ErrDamaged) {
			t.Errorf("%d of %d bytes are taken for all", n, len(b))
		}
	}
}

// An array cannot be longer than its bytes, so that a length alone makes no room.
func TestArrayOfMoreElementsThanBytesIsDamaged(t *testing.T) {
	r := NewReader(append(AppendCompactLen(nil, 1<<30), 1, 2, 3))
	if n := r.ArrayLen(1); n != -1 || !errors.Is(r.Err(), ErrDamaged) {
		t.Errorf("length %d, error %v", n, r.Err())
	}
}

func TestTagsHaveToRise(t *testing.T) {
	b := AppendTag(AppendTag(AppendUvarint(nil, 2), 1, nil), 1, nil)
	r := NewReader(b)
	r.Tags(nil)
	if !errors.Is(r.Err(), ErrDamaged) {
		t.Error("a tagged field may be there twice")
	}
}
