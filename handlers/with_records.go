package handlers

import (
	"once/log"
	"once/wire"
)

// withRecords is an answer with records, encoded but for these: slices are the ranges of files that hold them. The
// bytes in between are encoded once, with a cut at each range.
type withRecords struct {
	slices []log.Slice // one for each partition, in order
	head   []byte      // everything but the records
	cuts   []int       // where in head the records of each slice belong
}

// The usual size of the encoded bytes, and of each partition in them; they grow when topic names are long or aborted
// transactions many.
const (
	fetchHeadBytes      = 64
	fetchPartitionBytes = 128
)

// newHead returns an encoder with room for the usual size.
func (r *withRecords) newHead(flexible bool) *encoder {
	return &encoder{flexible: flexible, b: make([]byte, 0, fetchHeadBytes+fetchPartitionBytes*len(r.slices))}
}

// cut encodes the length of the next records, and makes the cut for them.
func (r *withRecords) cut(e *encoder, recordBytes int) {
	e.length(recordBytes)
	r.cuts = append(r.cuts, len(e.b))
}

// forget makes the answer be encoded again.
func (r *withRecords) forget() { r.head, r.cuts = nil, nil }

func (r *withRecords) sizeBytes() int {
	size := len(r.head)
	for i := range r.slices {
		size += r.slices[i].SizeBytes()
	}
	return size
}

// WriteBody implements wire.Streamed.
func (r *withRecords) WriteBody(w *wire.BodyWriter) error {
	at := 0
	for i, cut := range r.cuts {
		s := &r.slices[i]
		if s.SizeBytes() == 0 {
			continue
		}
		if _, err := w.Write(r.head[at:cut]); err != nil {
			return err
		}
		if err := w.SendFile(s.File(), s.Position(), int64(s.SizeBytes())); err != nil {
			return err
		}
		at = cut
	}
	_, err := w.Write(r.head[at:])
	return err
}

// Release implements wire.Streamed.
func (r *withRecords) Release() {
	for i := range r.slices {
		r.slices[i].Release()
	}
}
