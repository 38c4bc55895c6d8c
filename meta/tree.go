package meta

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

const (
	// maxNodeBytes is the largest branch or leaf: as many elements as bbolt puts on a page that they do not fit on.
	maxNodeBytes = elementsBeyond * (maxValueBytes + maxKeyBytes)
	// maxDepth is deeper than a tree can get in any file: each branch has two children at least.
	maxDepth = 64
)

// tree walks all pages in use of a bbolt file before bbolt opens it. bbolt trusts what it reads: a wrong page number is
// a memory fault, a wrong flag a panic, and it reads in a goroutine of its own, where nobody can recover. Everything
// that it relies on is checked here. Memory is bounded: one page for each level of the tree, and one bit for each
// page of the file.
type tree struct {
	file    io.ReaderAt
	path    string
	head    head
	seen    []uint64 // bit set of pages
	buffers [][]byte // by depth
	// record is called with each record, in the order of buckets and keys. The bytes are valid during the call.
	record func(at place, value []byte) error
	// bucket is called with the name of each bucket, before its records.
	bucket func(name Bucket)
}

// place is where a record stands.
type place struct {
	page     uint64
	position int64
	bucket   Bucket
	key      string
}

// damaged says what is wrong at a place.
func (t *tree) damaged(at place, cause error) error {
	return &DamagedError{
		File: t.path, Page: int64(at.page), Position: at.position, Bucket: at.bucket, Key: at.key, Cause: cause,
	}
}

// walk goes through the tree of a file with so many bytes.
func (t *tree) walk(sizeBytes int64) error {
	h := t.head
	if h.pages > uint64(sizeBytes/h.pageBytes) {
		return damaged(t.path, "it is cut short: %d bytes, but %d pages of %d bytes are in use",
			sizeBytes, h.pages, h.pageBytes)
	}
	t.seen = make([]uint64, h.pages/64+1)
	if err := t.freelist(); err != nil {
		return err
	}
	return t.page(place{page: h.root, position: t.position(h.root)}, nil, nil, 0)
}

func (t *tree) position(page uint64) int64 { return int64(page) * t.head.pageBytes }

// freelist checks the list of free pages. This program stores none; that of a file that was just made is empty.
func (t *tree) freelist() error {
	if t.head.freelist == noFreelist {
		return nil
	}
	at := place{page: t.head.freelist, position: t.position(t.head.freelist)}
	b, err := t.read(at, 0)
	if err != nil {
		return err
	}
	if decodePageHeader(b) != (pageHeader{number: at.page, flags: flagFreelist}) {
		return t.damaged(at, errors.New("the list of free pages is not the empty one of a new file"))
	}
	return nil
}

// read returns a page with its overflow pages, and marks them as used.
func (t *tree) read(at place, depth int) ([]byte, error) {
	if at.page < firstPage || at.page >= t.head.pages {
		at.position = noPosition
		err := fmt.Errorf("something points at this page, and the last one is page %d", int64(t.head.pages)-1)
		return nil, t.damaged(at, err)
	}
	for len(t.buffers) <= depth {
		t.buffers = append(t.buffers, make([]byte, t.head.pageBytes))
	}
	b := t.buffers[depth][:t.head.pageBytes]
	if _, err := t.file.ReadAt(b, at.position); err != nil {
		return nil, t.damaged(at, fmt.Errorf("it cannot be read: %w", err))
	}
	h := decodePageHeader(b)
	size := (int64(h.overflow) + 1) * t.head.pageBytes
	switch {
	case h.number != at.page:
		return nil, t.damaged(at, fmt.Errorf("the page says that it is page %d", int64(h.number)))
	case uint64(h.overflow) >= t.head.pages-at.page || size > max(maxNodeBytes, t.head.pageBytes):
		return nil, t.damaged(at, fmt.Errorf("%d more pages are said to belong to it", h.overflow))
	}
	for n := at.page; n <= at.page+uint64(h.overflow); n++ {
		if t.seen[n/64]&(1<<(n%64)) != 0 {
			return nil, t.damaged(at, fmt.Errorf("page %d is used twice", n))
		}
		t.seen[n/64] |= 1 << (n % 64)
	}
	if h.overflow > 0 {
		b = make([]byte, size) // rare; not kept
		if _, err := t.file.ReadAt(b, at.position); err != nil {
			return nil, t.damaged(at, fmt.Errorf("it cannot be read: %w", err))
		}
	}
	return b, nil
}

// page checks a page and all pages below it. Its first key must be first, and all keys must be below limit; either may
// be nil. at.bucket is "" in the tree of the buckets.
func (t *tree) page(at place, first, limit []byte, depth int) error {
	if depth == maxDepth {
		return t.damaged(at, errors.New("the tree is deeper than any can be"))
	}
	b, err := t.read(at, depth)
	if err != nil {
		return err
	}
	n, position, err := decodeNode(b)
	if err == nil {
		err = t.checkSize(&n, b)
	}
	if err != nil {
		at.position += int64(position)
		return t.damaged(at, err)
	}
	if len(n.elements) == 0 && at.page == t.head.root && t.head.transaction < firstPage {
		return nil // bbolt has made the file, and nothing has been written since
	}
	if len(n.elements) == 0 || !n.isLeaf() && len(n.elements) < 2 {
		return t.damaged(at, fmt.Errorf("%d elements, which is too few", len(n.elements)))
	}
	if err := t.checkOrder(at, &n, first, limit); err != nil {
		return err
	}
	if n.isLeaf() {
		return t.leaf(at, &n, depth)
	}
	for i, e := range n.elements {
		below := limit
		if i+1 < len(n.elements) {
			below = n.elements[i+1].key
		}
		child := place{page: e.child, position: t.position(e.child), bucket: at.bucket}
		if err := t.page(child, e.key, below, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// checkSize checks that a node takes as many pages as it needs, and that only zeros follow it.
func (t *tree) checkSize(n *node, b []byte) error {
	if need := (int64(n.bytes) + t.head.pageBytes - 1) / t.head.pageBytes; need != int64(n.header.overflow)+1 {
		return fmt.Errorf("%d bytes on %d pages", n.bytes, int64(n.header.overflow)+1)
	}
	for _, c := range b[n.bytes:] {
		if c != 0 {
			return errors.New("there are bytes behind the last element")
		}
	}
	return nil
}

// checkOrder checks that keys ascend from first and stay below limit.
func (t *tree) checkOrder(at place, n *node, first, limit []byte) error {
	for i := range n.elements {
		e := &n.elements[i]
		ok := i == 0 || bytes.Compare(n.elements[i-1].key, e.key) < 0
		ok = ok && (i > 0 || first == nil || bytes.Equal(first, e.key))
		if !ok || limit != nil && bytes.Compare(e.key, limit) >= 0 {
			at.position += int64(e.position)
			return t.damaged(at, fmt.Errorf("key %q is out of order", e.key))
		}
	}
	return nil
}

// leaf checks the elements of a leaf: buckets in the tree of the buckets, records in the tree of a bucket.
func (t *tree) leaf(at place, n *node, depth int) error {
	for i := range n.elements {
		e := &n.elements[i]
		here := place{page: at.page, position: at.position + int64(e.position), bucket: at.bucket, key: string(e.key)}
		var err error
		switch {
		case at.bucket == "" && e.flags == flagBucket:
			here.bucket, here.key = Bucket(e.key), ""
			err = t.inBucket(here, e, depth)
		case at.bucket != "" && e.flags == 0:
			err = t.record(here, e.value)
		default:
			err = t.damaged(here, fmt.Errorf("flags %#x of an element", e.flags))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// inBucket checks a bucket. Its tree begins on a page of its own, or is a leaf inside of the element.
func (t *tree) inBucket(at place, e *element, depth int) error {
	t.bucket(at.bucket)
	if len(e.value) < bucketHeaderBytes {
		return t.damaged(at, fmt.Errorf("the head of a bucket has %d bytes", len(e.value)))
	}
	root, sequence, inline := order.Uint64(e.value), order.Uint64(e.value[8:]), e.value[bucketHeaderBytes:]
	switch {
	case sequence != 0:
		return t.damaged(at, fmt.Errorf("the bucket has the sequence %d, which this program never sets", sequence))
	case root != 0 && len(inline) > 0:
		return t.damaged(at, fmt.Errorf("%d bytes behind the head of a bucket on page %d", len(inline), root))
	case root != 0:
		return t.page(place{page: root, position: t.position(root), bucket: at.bucket}, nil, nil, depth+1)
	case len(inline) < pageHeaderBytes:
		return t.damaged(at, fmt.Errorf("a bucket of %d bytes", len(inline)))
	}
	at.position += int64(len(e.key)) + bucketHeaderBytes
	n, position, err := decodeNode(inline)
	if err == nil && (n.header != pageHeader{flags: flagLeaf, count: n.header.count} || n.bytes != len(inline)) {
		err = errors.New("a bucket that is not the leaf that it should be")
	}
	if err != nil {
		at.position += int64(position)
		return t.damaged(at, err)
	}
	if err := t.checkOrder(at, &n, nil, nil); err != nil {
		return err
	}
	return t.leaf(at, &n, depth)
}
