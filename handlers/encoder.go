package handlers

import "encoding/binary"

// encoder appends fields in the classic or in the compact form, for the two responses that this package encodes itself.
type encoder struct {
	b        []byte
	flexible bool
}

func (e *encoder) int16(v int16) { e.b = binary.BigEndian.AppendUint16(e.b, uint16(v)) }
func (e *encoder) int32(v int32) { e.b = binary.BigEndian.AppendUint32(e.b, uint32(v)) }
func (e *encoder) int64(v int64) { e.b = binary.BigEndian.AppendUint64(e.b, uint64(v)) }

// length appends the length of an array or of bytes; -1 is null.
func (e *encoder) length(n int) {
	if e.flexible {
		e.b = binary.AppendUvarint(e.b, uint64(n+1))
		return
	}
	e.int32(int32(n))
}

func (e *encoder) string(s string) {
	if e.flexible {
		e.b = binary.AppendUvarint(e.b, uint64(len(s)+1))
	} else {
		e.int16(int16(len(s)))
	}
	e.b = append(e.b, s...)
}

func (e *encoder) nullableString(s *string) {
	switch {
	case s != nil:
		e.string(*s)
	case e.flexible:
		e.b = append(e.b, 0)
	default:
		e.int16(-1)
	}
}

// topic appends the topic's name; in Produce and Fetch from v13 on its ID (KIP-516).
func (e *encoder) topic(version int16, name string, topicID [16]byte) {
	if version >= 13 {
		e.b = append(e.b, topicID[:]...)
		return
	}
	e.string(name)
}

// noTags ends a struct that has no tagged fields.
func (e *encoder) noTags() {
	if e.flexible {
		e.b = append(e.b, 0)
	}
}
