package meta

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// FormatVersion is the version of the layout inside of the file. Version 1, whose values are the bare content, is
// upgraded; a file of another version is refused. docs/log-format.md has the byte pictures.
const (
	FormatVersion  = 2
	formatVersion1 = 1
)

const (
	checksumBytes  = 4
	versionBytes   = 4
	summaryBytes   = 24
	versionKey     = "format version" // in the bucket Cluster, as is the next one
	summaryKey     = "summary"
	maxKeyBytes    = 1 << 15 // bbolt's limit
	maxValueBytes  = 4 << 20 // several times what a topic with all settings takes
	elementsBeyond = 5       // bbolt puts at most so many elements on a page that they do not fit on
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var errChecksum = errors.New("the checksum of the record is wrong")

// isOwn says whether a record is the store's own: users of the store do not see it.
func isOwn(b Bucket, key string) bool {
	return b == Cluster && (key == versionKey || key == summaryKey)
}

// prefix is what stands before the content in all that is summed up, so that neither the key nor the bucket of a
// record can change unseen.
func prefix(b Bucket, key string) []byte {
	p := make([]byte, 0, 2*2+len(b)+len(key))
	p = binary.BigEndian.AppendUint16(p, uint16(len(b)))
	p = append(p, b...)
	p = binary.BigEndian.AppendUint16(p, uint16(len(key)))
	return append(p, key...)
}

func checksum(b Bucket, key string, content []byte) uint32 {
	return crc32.Update(crc32.Checksum(prefix(b, key), castagnoli), castagnoli, content)
}

// seal returns the value that a content is stored as: the content and a checksum.
func seal(b Bucket, key string, content []byte) []byte {
	value := make([]byte, 0, len(content)+checksumBytes)
	return binary.BigEndian.AppendUint32(append(value, content...), checksum(b, key, content))
}

// unseal returns the content of a value, which points into it.
func unseal(b Bucket, key string, value []byte) ([]byte, error) {
	n := len(value) - checksumBytes
	if n < 0 || binary.BigEndian.Uint32(value[n:]) != checksum(b, key, value[:n]) {
		return nil, errChecksum
	}
	return value[:n:n], nil
}

// summary says what all records together must be: a record that was lost, or that came back with an older page, has
// a good checksum of its own. It is stored in the transaction of each change.
type summary struct {
	records uint64 // all but the summary itself
	sum     uint64 // of hash over all of them, wrapping
	change  uint64 // number of bbolt's transaction that wrote it
}

func (s *summary) add(b Bucket, key string, content []byte) {
	s.records++
	s.sum += hash(b, key, content)
}

func (s *summary) remove(b Bucket, key string, content []byte) {
	s.records--
	s.sum -= hash(b, key, content)
}

func hash(b Bucket, key string, content []byte) uint64 {
	sum := sha256.Sum256(append(prefix(b, key), content...))
	return binary.BigEndian.Uint64(sum[:])
}

func (s summary) encode() []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, summaryBytes), s.records)
	b = binary.BigEndian.AppendUint64(b, s.sum)
	return binary.BigEndian.AppendUint64(b, s.change)
}

func decodeSummary(content []byte) (s summary, err error) {
	if len(content) != summaryBytes {
		return s, errors.New("the summary of the records has another length")
	}
	s.records = binary.BigEndian.Uint64(content)
	s.sum = binary.BigEndian.Uint64(content[8:])
	s.change = binary.BigEndian.Uint64(content[16:])
	return s, nil
}

func encodeVersion(version uint32) []byte { return binary.BigEndian.AppendUint32(nil, version) }
