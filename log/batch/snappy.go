package batch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/snappy"
)

// xerialHeader starts the stream that Java clients write (spec: log 2): a name, the version and the
// oldest compatible version. Blocks follow, each after its length:
//
//	{ length:4 snappyBlock }*
//
// The header may come again where a length is expected, when streams were concatenated.
var xerialHeader = []byte{0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1}

// xerialName is the part of the header that tells a stream from a bare block.
var xerialName = xerialHeader[:8]

// xerialBlockBytes is the plain size of the blocks we write, as in Java clients.
const xerialBlockBytes = 32 << 10

var errSnappy = errors.New("snappy: broken block")

// snappyInflater reads a xerial stream or one bare block. A block is inflated whole.
type snappyInflater struct {
	in     []byte
	limit  int64
	bare   bool
	buf    []byte
	unread []byte // of buf
}

func (s *snappyInflater) reset(payload []byte, limit int64) error {
	s.in, s.limit, s.unread = payload, limit, nil
	s.bare = !bytes.HasPrefix(payload, xerialName)
	if s.bare {
		return nil
	}
	return s.skipHeader()
}

func (s *snappyInflater) skipHeader() error {
	if len(s.in) < len(xerialHeader) {
		return errSnappy
	}
	if v := int32(binary.BigEndian.Uint32(s.in[8:])); v < 1 {
		return fmt.Errorf("snappy: stream version %d", v)
	}
	s.in = s.in[len(xerialHeader):]
	return nil
}

func (s *snappyInflater) Read(p []byte) (int, error) {
	for len(s.unread) == 0 {
		block, err := s.nextBlock()
		if err != nil {
			return 0, err
		}
		size, err := snappySize(block)
		if err != nil {
			return 0, err
		}
		if size > s.limit {
			return 0, fmt.Errorf("%w: snappy block of %d bytes, the limit is %d", ErrTooLarge, size, s.limit)
		}
		if int64(cap(s.buf)) < size {
			s.buf = make([]byte, size)
		}
		if s.unread, err = snappy.Decode(s.buf[:size], block); err != nil {
			return 0, err
		}
	}
	n := copy(p, s.unread)
	s.unread = s.unread[n:]
	return n, nil
}

func (s *snappyInflater) nextBlock() ([]byte, error) {
	if len(s.in) == 0 {
		return nil, io.EOF
	}
	if s.bare {
		block := s.in
		s.in = nil
		return block, nil
	}
	for bytes.HasPrefix(s.in, xerialName) {
		if err := s.skipHeader(); err != nil {
			return nil, err
		}
	}
	if len(s.in) < 4 { // ignored, as in Java's reader
		return nil, io.EOF
	}
	length := int64(binary.BigEndian.Uint32(s.in))
	if length > int64(len(s.in)-4) {
		return nil, errSnappy
	}
	block := s.in[4 : 4+length]
	s.in = s.in[4+length:]
	return block, nil
}

func (s *snappyInflater) release() bool {
	s.in, s.unread = nil, nil
	return cap(s.buf) <= maxPooledBytes
}

// snappySize walks over a block's elements and returns the size they inflate to. The block must announce
// the same size; it is not believed, since a decoder would allocate it. The walk also refuses copies at
// distance 0, which the decoder takes for an extension that Kafka's clients cannot read.
func snappySize(block []byte) (int64, error) {
	announced, at := binary.Uvarint(block)
	if at <= 0 {
		return 0, errSnappy
	}
	var size int64
	for at < len(block) {
		tag := block[at]
		length := int64(tag>>2) + 1
		var extra int // bytes of the element after its tag
		switch tag & 3 {
		case 0: // literal; 60 to 63 say how many bytes its length takes
			if n := int(tag>>2) - 59; n > 0 {
				if len(block)-at <= n {
					return 0, errSnappy
				}
				length = 1
				for i := range n {
					length += int64(block[at+1+i]) << (8 * i)
				}
				at += n
			}
			if length > int64(len(block)-at-1) {
				return 0, errSnappy
			}
			extra = int(length)
		case 1:
			length = 4 + int64(tag>>2&7)
			extra = 1
		case 2:
			extra = 2
		case 3:
			extra = 4
		}
		if len(block)-at-1 < extra {
			return 0, errSnappy
		}
		if tag&3 == 1 && tag>>5 == 0 && block[at+1] == 0 {
			return 0, errSnappy
		}
		size += length
		at += 1 + extra
	}
	if uint64(size) != announced {
		return 0, errSnappy
	}
	return size, nil
}
