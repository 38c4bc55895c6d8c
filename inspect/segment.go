package inspect

import (
	"errors"
	"fmt"
	"io"
	"path"
	"slices"

	"once/internal/vfs"
	"once/log"
	"once/log/batch"
)

// readBytes is the size of one read of a segment; a larger batch needs more.
const readBytes = 1 << 20

// segmentFile is a .log file.
type segmentFile struct {
	name      string // base name
	base      int64
	sizeBytes int64
	modTimeMs int64
	journal   bool // not a file: what the journal has, where there is none yet
	// compaction or a repair has put it in the place of others; what is derived is still that of the old ones
	swap bool
}

// listSegments returns the segments in a partition's directory, ascending, as the next start uses them: without those
// that are being deleted, and with the replacements of the cleaner or of a repair.
func listSegments(f vfs.FS, dir string, names []string) ([]segmentFile, error) {
	below := int64(-1)
	type swap struct{ base, end int64 }
	var swaps []swap
	for _, name := range names {
		if offset, suffix, ok := log.ParseFileName(name); ok && suffix == log.BelowSuffix {
			below = max(below, offset)
		}
		if base, end, ok := log.ParseSwapName(name); ok {
			swaps = append(swaps, swap{base, end})
		}
		if base, suffix, ok := log.ParseFileName(name); ok && suffix == log.RepairedSuffix {
			swaps = append(swaps, swap{base, base + 1})
		}
	}
	var segments []segmentFile
	for _, name := range names { // sorted, and bases have all their digits
		base, suffix, ok := log.ParseFileName(name)
		_, _, isSwap := log.ParseSwapName(name)
		isSwap = isSwap || suffix == log.RepairedSuffix
		replaced := slices.ContainsFunc(swaps, func(s swap) bool { return s.base <= base && base < s.end })
		if !ok || base < below || !isSwap && (suffix != log.LogSuffix || replaced) {
			continue
		}
		st, err := f.Stat(path.Join(dir, name))
		if err != nil {
			return nil, err
		}
		segments = append(segments, segmentFile{name, base, st.SizeBytes, st.ModTime.UnixMilli(), false, isSwap})
	}
	return segments, nil
}

// badBatch describes bytes at which a batch was due.
type badBatch struct {
	position int64
	cause    error
	torn     bool // the file ends inside of it: a write that was cut off
}

// Error implements error.
func (e *badBatch) Error() string { return e.cause.Error() }

// batchReader reads a segment batch by batch and checks each one's size and CRC.
type batchReader struct {
	file vfs.File
	size int64
	at   int64 // of the next batch
	buf  []byte
	from int64 // position of buf

	header   batch.Header
	raw      []byte // the whole batch, valid until the next call
	position int64  // of the batch
}

func newBatchReader(f vfs.File, size int64) *batchReader {
	return &batchReader{file: f, size: size, buf: make([]byte, 0, min(size, readBytes))}
}

// next reads the next batch. io.EOF at the end; a *badBatch when there is no valid one: then skip may be able to
// continue after it.
func (r *batchReader) next() error {
	if r.at >= r.size {
		return io.EOF
	}
	r.position = r.at
	head, err := r.bytes(batch.HeaderSizeBytes)
	if err != nil {
		return err
	}
	if r.header, err = batch.ParseHeader(head); err != nil {
		return &badBatch{position: r.at, cause: err, torn: len(head) < batch.HeaderSizeBytes}
	}
	n := int64(r.header.SizeBytes())
	if r.at+n > r.size {
		return &badBatch{position: r.at, cause: fmt.Errorf("batch of %d bytes reaches beyond the end of the file at byte %d",
			n, r.size), torn: true}
	}
	if r.raw, err = r.bytes(int(n)); err != nil {
		return err
	}
	if _, err := batch.Verify(r.raw); err != nil {
		return &badBatch{position: r.at, cause: err}
	}
	r.at += n
	return nil
}

// bytes returns n bytes at the present position, fewer only at the end of the file.
func (r *batchReader) bytes(n int) ([]byte, error) {
	n = int(min(int64(n), r.size-r.at))
	if r.at < r.from || r.at+int64(n) > r.from+int64(len(r.buf)) {
		want := int(min(max(int64(n), readBytes), r.size-r.at))
		if cap(r.buf) < want {
			r.buf = make([]byte, want)
		}
		r.buf, r.from = r.buf[:want], r.at
		if got, err := r.file.ReadAt(r.buf, r.at); got < want {
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, fmt.Errorf("read at byte %d: %w", r.at+int64(got), err)
		}
	}
	at := r.at - r.from
	return r.buf[at : at+int64(n) : at+int64(n)], nil
}

// skip moves past a bad batch, if its header leads to another one whose offset is in the given range. Else it returns
// false and does not move.
func (r *batchReader) skip(after, before int64) bool {
	head, err := r.bytes(batch.HeaderSizeBytes)
	if err != nil {
		return false
	}
	h, err := batch.ParseHeader(head)
	if err != nil || r.at+int64(h.SizeBytes()) >= r.size {
		return false
	}
	was := r.at
	r.at += int64(h.SizeBytes())
	head, err = r.bytes(batch.HeaderSizeBytes)
	if err == nil {
		h, err = batch.ParseHeader(head)
	}
	if err != nil || h.BaseOffset <= after || h.BaseOffset >= before {
		r.at = was
		return false
	}
	return true
}
