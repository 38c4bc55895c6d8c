package meta

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
)

// Layout of a bbolt file, in the byte order of the machine. A page begins with
//
//	0        8       10      12         16
//	| number | flags | count | overflow |      overflow: how many more pages belong to it
//
// The first two pages are the heads; bbolt changes them in turn, and the valid one with the higher transaction counts:
//
//	16      20        24          28      32     40         48         56      64            72         80
//	| magic | version | page size | flags | root | sequence | freelist | pages | transaction | checksum |
//
// The checksum is FNV-1a of bytes 16 to 71. Of the pages below "pages", those that the root does not lead to are free.
// A branch has {int32 position, int32 key bytes, int64 page} for each child, a leaf {int32 flags, int32 position,
// int32 key bytes, int32 value bytes} for each record. Positions count from their own element; keys and values stand
// behind the elements, in order and without gaps.
//
// The value of a bucket is {int64 root page, int64 sequence}. Root page 0 says that the whole leaf follows there.
const (
	pageHeaderBytes   = 16
	headBytes         = 64
	headSumBytes      = headBytes - 8
	elementBytes      = 16
	bucketHeaderBytes = 16

	flagBranch   = 0x01
	flagLeaf     = 0x02
	flagHead     = 0x04
	flagFreelist = 0x10
	flagBucket   = 0x01 // of an element

	boltMagic    = 0xED0CDAED
	boltVersion  = 2
	noFreelist   = ^uint64(0)
	pageBytesMin = 1 << 10
	pageBytesMax = 1 << 16
	firstPage    = 2 // behind the heads
)

var order = binary.NativeEndian

// pageHeader is the beginning of every page.
type pageHeader struct {
	number       uint64
	flags, count uint16
	overflow     uint32
}

func decodePageHeader(b []byte) pageHeader {
	return pageHeader{
		number: order.Uint64(b), flags: order.Uint16(b[8:]), count: order.Uint16(b[10:]), overflow: order.Uint32(b[12:]),
	}
}

// head is one of the two heads of a file.
type head struct {
	pageBytes   int64
	root        uint64
	freelist    uint64
	pages       uint64 // the file has as many in use or free
	transaction uint64
}

// readHead reads the head on page n, which begins at a position.
func readHead(r io.ReaderAt, n uint64, position int64) (h head, err error) {
	var b [pageHeaderBytes + headBytes]byte
	if _, err := r.ReadAt(b[:], position); errors.Is(err, io.EOF) {
		return h, errors.New("the file ends before its second head does: it is cut short, or no metadata file")
	} else if err != nil {
		return h, fmt.Errorf("it cannot be read: %w", err)
	}
	m := b[pageHeaderBytes:]
	sum := fnv.New64a()
	sum.Write(m[:headSumBytes])
	switch {
	case order.Uint32(m) != boltMagic:
		return h, errors.New("one of the two heads of the file is none, or this is no metadata file")
	case order.Uint64(m[headSumBytes:]) != sum.Sum64():
		return h, errors.New("the checksum of one of the two heads of the file is wrong; the other one may be older")
	case decodePageHeader(b[:]) != pageHeader{number: n, flags: flagHead}:
		return h, errors.New("one of the two heads of the file is not marked as one")
	case order.Uint32(m[4:]) != boltVersion:
		return h, fmt.Errorf("version %d of bbolt's layout, this program knows %d", order.Uint32(m[4:]), boltVersion)
	}
	h.pageBytes = int64(order.Uint32(m[8:]))
	h.root, h.freelist = order.Uint64(m[16:]), order.Uint64(m[32:])
	h.pages, h.transaction = order.Uint64(m[40:]), order.Uint64(m[48:])
	if sequence := order.Uint64(m[24:]); order.Uint32(m[12:]) != 0 || sequence != 0 {
		return h, errors.New("one of the two heads of the file has flags or a sequence, which bbolt never sets")
	}
	if h.pageBytes < pageBytesMin || h.pageBytes > pageBytesMax || h.pageBytes&(h.pageBytes-1) != 0 {
		return h, fmt.Errorf("pages of %d bytes", h.pageBytes)
	}
	return h, nil
}

// readHeads returns both heads, the newer one first. page is that of the head with an error. A disk writes the 80 bytes
// of a head completely or not at all: so both are valid at any time, also after a power cut. If one is not, it may be
// the newer one, and the other lacks the last change: a topic, a start, a block of producer IDs. So the file is
// refused, although bbolt would open it.
func readHeads(r io.ReaderAt) (counts, older head, page int64, err error) {
	counts, err = readHead(r, 0, 0)
	if err != nil {
		return counts, older, 0, err
	}
	older, err = readHead(r, 1, counts.pageBytes)
	switch {
	case err != nil:
	case older.pageBytes != counts.pageBytes || older.transaction == counts.transaction:
		err = errors.New("the two heads of the file do not belong together")
	case older.transaction > counts.transaction:
		counts, older = older, counts
	}
	return counts, older, 1, err
}

// node is a branch or a leaf.
type node struct {
	header   pageHeader
	elements []element
	bytes    int // that are in use
}

// element is a child of a branch or a record of a leaf.
type element struct {
	flags      uint32
	child      uint64
	key, value []byte // point into the page
	position   int    // of the key in the page
}

func (n *node) isLeaf() bool { return n.header.flags == flagLeaf }

// decodeNode decodes a branch or leaf and checks that it is as bbolt writes it. position is where in b an error is.
func decodeNode(b []byte) (n node, position int, err error) {
	n.header = decodePageHeader(b)
	if n.header.flags != flagLeaf && n.header.flags != flagBranch {
		return n, 0, fmt.Errorf("neither branch nor leaf: flags %#x", n.header.flags)
	}
	next := pageHeaderBytes + int(n.header.count)*elementBytes
	if next > len(b) {
		return n, 0, fmt.Errorf("%d elements do not fit", n.header.count)
	}
	n.elements = make([]element, n.header.count)
	for i := range n.elements {
		at := pageHeaderBytes + i*elementBytes
		e, raw := &n.elements[i], b[at:at+elementBytes]
		var from, keyBytes, valueBytes uint32
		if n.isLeaf() {
			e.flags, from = order.Uint32(raw), order.Uint32(raw[4:])
			keyBytes, valueBytes = order.Uint32(raw[8:]), order.Uint32(raw[12:])
		} else {
			from, keyBytes, e.child = order.Uint32(raw), order.Uint32(raw[4:]), order.Uint64(raw[8:])
		}
		if uint64(at)+uint64(from) != uint64(next) {
			return n, at, fmt.Errorf("element %d points elsewhere than behind the one before", i)
		}
		if keyBytes == 0 || keyBytes > maxKeyBytes || uint64(next)+uint64(keyBytes)+uint64(valueBytes) > uint64(len(b)) {
			return n, at, fmt.Errorf("element %d with a key of %d bytes and a value of %d does not fit", i, keyBytes, valueBytes)
		}
		e.position = next
		e.key = b[next : next+int(keyBytes)]
		next += int(keyBytes)
		e.value = b[next : next+int(valueBytes)]
		next += int(valueBytes)
	}
	n.bytes = next
	return n, 0, nil
}
