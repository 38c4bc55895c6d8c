package batch

import (
	"fmt"
	"sync"
)

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

// rewriter collects records into a new batch. It is used for one batch after another, since an encoder
// takes longer to make than most batches take to compress.
type rewriter struct {
	codec   Codec
	level   int // of the encoder
	out     sealedBatch
	deflate deflater // writes to out
	record  []byte
	count   int32
}

// rewriters hold encoders between batches, by codec and encoder level; no data of a batch stays in them. Nearly all of
// their memory is the encoders' tables, whose size the libraries fix: about 1 MiB for gzip, zstd 1.4 to 5.2 MiB by
// level and 36 MiB from level 10 on. Even the last are pooled: made for every batch they would be as much garbage each
// time. Unused ones are freed by the second garbage collection, minutes later at most.
var rewriters [Zstd + 1][maxEncoderLevel + 1]sync.Pool

// newRewriter begins a batch of at most maxBytes, of about sizeHintBytes. It has to be released.
func newRewriter(codec Codec, level, maxBytes, sizeHintBytes int) (*rewriter, error) {
	if !codec.isKnown() {
		return nil, fmt.Errorf("%w: %v", ErrUnsupportedCompression, codec)
	}
	level = encoderLevel(codec, level)
	w, _ := rewriters[codec][level].Get().(*rewriter)
	if w == nil {
		d, err := newDeflater(codec, level)
		if err != nil {
			return nil, err
		}
		w = &rewriter{codec: codec, level: level, deflate: d}
	}
	w.out = sealedBatch{raw: make([]byte, HeaderSizeBytes, max(HeaderSizeBytes, sizeHintBytes)), max: maxBytes}
	w.count = 0
	w.deflate.Reset(&w.out)
	return w, nil
}

// release lets go of the batch, finished or not, and leaves the rewriter to the next one.
func (w *rewriter) release() {
	w.out = sealedBatch{}
	if cap(w.record) > windowBytes {
		w.record = nil
	}
	rewriters[w.codec][w.level].Put(w)
}

func (w *rewriter) add(rec *Record) error {
	w.record = appendRecord(w.record[:0], rec, rec.OffsetDelta)
	w.count++
	if _, err := w.deflate.Write(w.record); err != nil {
		return fmt.Errorf("record %d: %w", w.count-1, err)
	}
	return nil
}

// finish returns the batch under the header h, with the codec and record count of what was added.
func (w *rewriter) finish(h Header) ([]byte, error) {
	if err := w.deflate.Close(); err != nil {
		return nil, err
	}
	h.Attributes = h.Attributes&^attrCodec&0xFF | int16(w.codec)
	h.RecordCount = w.count
	raw := w.out.raw
	h.put(raw)
	seal(raw)
	return raw, nil
}
