package log

import "once/log/batch"

// Headers calls fn with the header of each batch of the slice, and with its position in the slice, until fn returns
// false. No record is read.
func (s Slice) Headers(fn func(h batch.Header, position int) bool) error {
	if s.sizeBytes == 0 {
		return nil
	}
	w := newWalker(s.segment, s.file, s.position, s.position+int64(s.sizeBytes))
	defer w.close()
	for w.next() {
		if !fn(w.header, int(w.at-s.position)) {
			return nil
		}
	}
	return w.err
}

// Part returns sizeBytes of the slice from a position in it on: whole batches. It takes the place of the slice, which
// must not be used any more.
func (s Slice) Part(position, sizeBytes int) Slice {
	s.position += int64(position)
	s.sizeBytes = sizeBytes
	return s
}
