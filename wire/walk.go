package wire

import (
	"encoding/binary"
	"errors"
)

// What makes a request malformed. All of these close the connection without an answer (spec: wire 1, 2;
// reliability B6-B9, B11).
var (
	errShort        = errors.New("a field reaches beyond the end of the frame")
	errLength       = errors.New("a length is negative and not null, or too long")
	errNull         = errors.New("null where the field is not nullable")
	errVarint       = errors.New("a varint is longer than five bytes or overflows")
	errCount        = errors.New("an array has more elements than the frame has room for, or than are allowed")
	errTagOrder     = errors.New("tagged fields are not in increasing order")
	errTagSize      = errors.New("a tagged field does not fill its size")
	errTagCount     = errors.New("too many unknown tagged fields")
	errDecodeBudget = errors.New("decoding would take too much memory for the size of the frame")
)

// walker checks a request's body against a plan before anything is allocated for it: kmsg trusts counts
// as far as one byte an element, keeps unknown tags in maps and does not bound their number.
//
// The cost adds up what kmsg's decoder will allocate: arrays at their elements' size in memory, nullable
// strings and structs. Neither walk nor strip allocates.
type walker struct {
	b       []byte
	pos     int
	cost    int
	budget  int
	unknown bool // some unknown tagged field was seen outside of known ones
	nested  int  // depth of known tagged fields around pos
	// strip mode: bytes up to mark have been moved to their place; b[:out] is what will remain.
	strip     bool
	mark, out int
}

// check walks body and returns the length of the request in it: what follows is ignored, as Kafka does.
// Unknown tagged fields are cut out of body, in place, so that they are skipped and not kept (B8).
// frameBytes is the size that the decoding budget is measured by.
func check(p *plan, body []byte, frameBytes int) (int, error) {
	w := walker{b: body, budget: decodeFactor*frameBytes + decodeSlackBytes}
	if err := w.structure(p); err != nil {
		return 0, err
	}
	if !w.unknown {
		return w.pos, nil
	}
	s := walker{b: body[:w.pos], budget: w.budget, strip: true}
	if err := s.structure(p); err != nil {
		return 0, err
	}
	s.keep(s.pos)
	return s.out, nil
}

// keep moves the bytes from mark to end to where they will stay.
func (w *walker) keep(end int) {
	w.out += copy(w.b[w.out:], w.b[w.mark:end])
	w.mark = end
}

func (w *walker) structure(p *plan) error {
	for i := range p.ops {
		if err := w.field(&p.ops[i], p.flexible); err != nil {
			return err
		}
	}
	if p.flexible {
		return w.tagBuffer(p)
	}
	return nil
}

func (w *walker) field(o *op, flexible bool) error {
	switch o.kind {
	case opSkip:
		return w.skip(o.bytes)
	case opString:
		return w.string(o, flexible)
	case opBytes:
		n, err := w.length(flexible, 4)
		return w.span(n, o.nullable, err)
	case opArray:
		return w.array(o, flexible)
	case opPointer:
		if w.pos >= len(w.b) {
			return errShort
		}
		present := int8(w.b[w.pos])
		if present < 0 && !o.nullable {
			return errNull
		}
		if present < 0 {
			w.b[w.pos] = 0xff // kmsg knows this one only
		}
		w.pos++
		if present < 0 {
			return nil
		}
		if err := w.spend(o.goBytes); err != nil {
			return err
		}
	}
	return w.structure(o.elem)
}

func (w *walker) skip(n int) error {
	if len(w.b)-w.pos < n {
		return errShort
	}
	w.pos += n
	return nil
}

// span steps over n bytes. Every negative length of what may be null is null, as in Kafka.
func (w *walker) span(n int, nullable bool, err error) error {
	switch {
	case err != nil:
		return err
	case n < 0 && nullable:
		return nil
	case n == -1:
		return errNull
	case n < 0:
		return errLength
	}
	return w.skip(n)
}

// elementString is the layout of the strings in an array.
var elementString = &op{kind: opString}

func (w *walker) string(o *op, flexible bool) error {
	n, err := w.length(flexible, 2)
	if n > maxStringBytes {
		return errLength
	}
	if n >= 0 && o.pointer {
		if err := w.spend(16); err != nil {
			return err
		}
	}
	return w.span(n, o.nullable, err)
}

func (w *walker) array(o *op, flexible bool) error {
	n, err := w.length(flexible, 4)
	switch {
	case err != nil:
		return err
	case n < 0 && o.nullable, n == 0:
		return nil
	case n == -1:
		return errNull
	case n < 0:
		return errLength
	case n > (len(w.b)-w.pos)/max(o.minBytes, 1), n > maxArrayElements:
		return errCount
	}
	if err := w.spend(sizeClass(n * o.goBytes)); err != nil {
		return err
	}
	if o.bytes > 0 {
		return w.skip(n * o.bytes)
	}
	for range n {
		if o.elem == nil {
			err = w.string(elementString, flexible)
		} else {
			err = w.structure(o.elem)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// length reads the length of a string (classicBytes 2), or of bytes or an array (4); null is -1.
func (w *walker) length(flexible bool, classicBytes int) (int, error) {
	if flexible {
		u, err := w.uvarint()
		return int(u) - 1, err
	}
	if len(w.b)-w.pos < classicBytes {
		return 0, errShort
	}
	at := w.b[w.pos:]
	w.pos += classicBytes
	if classicBytes == 2 {
		return int(int16(binary.BigEndian.Uint16(at))), nil
	}
	return int(int32(binary.BigEndian.Uint32(at))), nil
}

func (w *walker) uvarint() (uint32, error) {
	var v uint32
	for shift := 0; shift < 35; shift += 7 {
		if w.pos >= len(w.b) {
			return 0, errShort
		}
		c := w.b[w.pos]
		w.pos++
		if shift == 28 && c > 0x0f {
			return 0, errVarint
		}
		v |= uint32(c&0x7f) << shift
		if c < 0x80 {
			return v, nil
		}
	}
	return 0, errVarint
}

// tagBuffer checks the tagged fields at the end of a struct (KIP-482).
func (w *walker) tagBuffer(p *plan) error {
	start := w.pos
	count, err := w.uvarint()
	if err != nil {
		return err
	}
	if count == 0 {
		return nil
	}
	stripping := w.strip && w.nested == 0
	if stripping {
		// The new count is not longer than the old, because it is not more and is written in the shortest
		// form; so the known fields can follow it in place.
		w.keep(start)
		w.out += binary.PutUvarint(w.b[w.out:], uint64(w.knownTags(p, count)))
		w.mark = w.pos
	}
	unknown, last := 0, int64(-1)
	for range count {
		begin := w.pos
		tag, size, err := w.tagHead(&last)
		if err != nil {
			return err
		}
		if o := p.tagged(tag); o != nil {
			if err := w.knownTag(o, size); err != nil {
				return err
			}
			continue
		}
		if unknown++; unknown > maxUnknownTags {
			return errTagCount
		}
		if stripping {
			w.keep(begin)
		}
		w.pos += size
		if stripping {
			w.mark = w.pos
		}
		if err := w.unknownTag(unknown); err != nil {
			return err
		}
	}
	return nil
}

// unknownTag accounts for the n-th unknown field of a struct.
func (w *walker) unknownTag(n int) error {
	if w.nested == 0 {
		w.unknown = true
		return nil
	}
	// Inside a known tagged field it cannot be cut out without changing the field's size: kmsg keeps it, in
	// a map of its own for each struct.
	cost := unknownTagCostBytes
	if n == 1 {
		cost += unknownTagsCostBytes
	}
	return w.spend(cost)
}

// What kmsg takes from the heap for each unknown tagged field, and for the first one of a struct.
const unknownTagCostBytes, unknownTagsCostBytes = 128, 400

// knownTag checks a tagged field that the plan knows; it must fill its size.
func (w *walker) knownTag(o *op, size int) error {
	w.nested++
	end, whole := w.pos+size, w.b
	w.b = w.b[:end]
	err := w.field(o, true)
	w.b = whole
	w.nested--
	switch {
	case errors.Is(err, errShort), err == nil && w.pos != end:
		return errTagSize
	}
	return err
}

// tagHead reads number and size of a tagged field, whose bytes are then known to be in the frame.
func (w *walker) tagHead(last *int64) (tag uint32, size int, err error) {
	if tag, err = w.uvarint(); err != nil {
		return 0, 0, err
	}
	if int64(tag) <= *last {
		return 0, 0, errTagOrder
	}
	*last = int64(tag)
	u, err := w.uvarint()
	if err != nil {
		return 0, 0, err
	}
	if int64(u) > int64(len(w.b)-w.pos) {
		return 0, 0, errTagSize
	}
	return tag, int(u), nil
}

// knownTags counts the known ones among the count tagged fields at pos, which have been checked before.
func (w *walker) knownTags(p *plan, count uint32) int {
	ahead, known, last := walker{b: w.b, pos: w.pos}, 0, int64(-1)
	for range count {
		tag, size, err := ahead.tagHead(&last)
		if err != nil {
			break
		}
		ahead.pos += size
		if p.tagged(tag) != nil {
			known++
		}
	}
	return known
}

func (p *plan) tagged(tag uint32) *op {
	for i := range p.tags {
		if p.tags[i].tag == tag {
			return &p.tags[i].op
		}
	}
	return nil
}

func (w *walker) spend(n int) error {
	w.cost += n
	if w.cost > w.budget {
		return errDecodeBudget
	}
	return nil
}

const (
	// largeObjectBytes is the size above which Go's allocator gives whole pages.
	largeObjectBytes = 32 << 10
	pageBytes        = 8 << 10
)

// sizeClass returns no less than what Go's allocator takes for n bytes: its classes are at most a quarter apart, and
// whole pages above largeObjectBytes.
func sizeClass(n int) int {
	if n > largeObjectBytes {
		return n + pageBytes
	}
	return (n+7)&^7 + n>>2
}
