package log

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math/rand/v2"
	"path"
	"sync"

	"once/internal/vfs"
	"once/log/batch"
)

// Layout of the journal; the byte picture is in docs/log-format.md.
const (
	journalFile        = "barrier.journal"
	journalMagic       = 0x4f4e434a // "ONCJ"
	journalVersion     = 1
	journalHeaderBytes = 32
	// journalPageBytes is what a group begins at a multiple of, and is filled up to: so no group is written into
	// a block that holds another one, which a power cut could take along.
	journalPageBytes = 4096
	// maxGroupBytes is the largest group that a start believes: no version has written a larger one.
	maxGroupBytes = 1 << 20
	// DefaultJournalBytes is how large the file may grow before a barrier over the files themselves lets it
	// begin anew.
	DefaultJournalBytes = 16 << 20
)

// journal makes a barrier that covers little cheap, and lets it cover many logs at the price of one. What has
// been appended to all of them since the last barrier is also written to one file, in the order in which it was
// appended, and that file is synced instead of theirs. It is written over and over, so that the sync touches
// nothing but its blocks: no size changes, and the file system has nothing to commit.
//
// The journal goes on from a barrier record, which names its generation: groups of another one are of the past.
// Generations are random numbers, because the file is full of bytes that clients chose.
// A start takes all logs back to the record and appends what the groups hold, up to the first one that is not
// whole, which nobody was told of. So the logs agree with each other as of one instant, as everywhere.
type journal struct {
	fs         vfs.FS // immutable, as are the next three
	name       string
	maxBytes   int64
	groupBytes int // Sizes.JournalGroupBytes

	mu struct {
		sync.Mutex
		collecting bool   // appends are copied into group
		group      []byte // room for the header, then what has been appended since the last barrier's instant
	}

	// Of the goroutine that runs barriers.
	file               vfs.File // nil until a record is to speak of it
	spare              []byte   // becomes the next group
	at, sizeBytes      int64    // where the next group goes; of the file
	generation, number uint64
}

func newJournal(f vfs.FS, dir string, maxBytes int64, groupBytes int) *journal {
	if maxBytes <= 0 {
		maxBytes = DefaultJournalBytes
	}
	return &journal{fs: f, name: path.Join(dir, journalFile), maxBytes: maxBytes, groupBytes: min(groupBytes, maxGroupBytes)}
}

// add copies a batch that has been appended. The caller holds the barrier's cut for reading, and whatever else
// orders the appends of its log.
func (j *journal) add(dirBase string, topicID [16]byte, raw []byte) {
	if j == nil {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.mu.collecting {
		return
	}
	g := j.mu.group
	if len(g)+2+len(dirBase)+len(topicID)+len(raw) > j.groupBytes {
		j.mu.collecting = false
		return
	}
	if len(g) == 0 {
		g = append(g, zeros[:journalHeaderBytes]...)
	}
	g = binary.BigEndian.AppendUint16(g, uint16(len(dirBase)))
	g = append(g, dirBase...)
	g = append(g, topicID[:]...)
	j.mu.group = append(g, raw...)
}

// take returns what the barrier whose instant this is can write instead of syncing files; false when it has to
// sync them. On a full disk the file does not grow: what is left there is reserved for what has no other place. The
// caller holds cut for writing.
func (j *journal) take(diskIsFull bool) (group []byte, ok bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	end := j.at + pages(len(j.mu.group))
	if j.file == nil || !j.mu.collecting || end > j.maxBytes || diskIsFull && end > j.sizeBytes {
		return nil, false
	}
	group, j.mu.group, j.spare = j.mu.group, j.spare[:0], nil
	return group, true
}

// restart forgets what was collected, because a barrier over all files begins, and collects for the generation
// that its record will name.
func (j *journal) restart() {
	if j == nil {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.mu.group, j.mu.collecting = j.mu.group[:0], true
}

// nextGeneration is what the next record names.
func nextGeneration() uint64 { return rand.Uint64() | 1 }

// begin starts over behind a record that names this generation.
func (j *journal) begin(generation uint64) { j.at, j.number, j.generation = 0, 0, generation }

// create makes the file, so that a record can speak of it.
func (j *journal) create() error {
	if j.file != nil {
		return nil
	}
	file, err := openOrCreate(j.fs, j.name)
	if err != nil {
		return err
	}
	if j.sizeBytes, err = file.Size(); err == nil {
		err = j.fs.SyncDir(path.Dir(j.name))
	}
	if err != nil {
		return errors.Join(err, file.Close())
	}
	j.file = file
	return nil
}

// write makes a group durable. An error that is not final says that the disk has no room: nothing was synced, and
// what counts in the file is as it was.
func (j *journal) write(group []byte) (final bool, err error) {
	defer func() { j.spare = group }()
	if len(group) == 0 {
		return false, nil
	}
	size := len(group)
	group = append(group, zeros[:pages(size)-int64(size)]...)
	binary.BigEndian.PutUint32(group[0:], journalMagic)
	binary.BigEndian.PutUint16(group[4:], journalVersion)
	binary.BigEndian.PutUint32(group[8:], uint32(size))
	binary.BigEndian.PutUint64(group[16:], j.generation)
	binary.BigEndian.PutUint64(group[24:], j.number)
	binary.BigEndian.PutUint32(group[12:], groupCRC(group[:size]))
	if _, err := j.file.WriteAt(group, j.at); err != nil {
		return !errors.Is(err, vfs.ErrNoSpace), err
	}
	if err := j.file.Sync(); err != nil {
		return true, err
	}
	j.at += int64(len(group))
	j.sizeBytes = max(j.sizeBytes, j.at)
	j.number++
	return false, nil
}

func (j *journal) close() error {
	if j == nil || j.file == nil {
		return nil
	}
	return j.file.Close()
}

// pages is a size filled up to whole pages.
func pages(sizeBytes int) int64 {
	return (int64(sizeBytes) + journalPageBytes - 1) / journalPageBytes * journalPageBytes
}

// groupCRC covers everything but itself.
func groupCRC(b []byte) uint32 {
	return crc32.Update(crc32.Checksum(b[:12], castagnoli), castagnoli, b[16:])
}

// Journaled is a batch in the journal.
type Journaled struct {
	Position int64 // of its group in the file
	DirBase  string
	TopicID  [16]byte
	Raw      []byte
	Header   batch.Header
}

// readJournal returns what the journal holds of a generation, in the order in which it was appended. A group
// that is not whole ends it, unless a later one of the same generation follows: then something that was
// acknowledged is damaged. An empty file holds nothing.
func readJournal(f vfs.FS, dir string, generation uint64) ([]Journaled, error) {
	name := path.Join(dir, journalFile)
	damaged := func(position int64, cause error) error {
		return &DamagedError{File: name, Position: position, Cause: fmt.Errorf(
			"%w; it holds what was acknowledged since the last barrier record: restore it, or put an empty file in its place to go back to that record", cause)}
	}
	b, err := readSmall(f, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, damaged(0, err)
	}
	if err != nil {
		return nil, err
	}
	var found []Journaled
	at, number := 0, uint64(0)
	for ; at < len(b); number++ {
		n, raw, err := readGroup(b[at:], generation)
		if err != nil {
			return nil, fmt.Errorf("%s, byte %d: %w", name, at, err)
		}
		if raw == nil || n != number {
			break
		}
		entries, err := decodeGroup(raw, int64(at))
		if err != nil {
			return nil, damaged(int64(at), err)
		}
		found = append(found, entries...)
		at += int(pages(len(raw)))
	}
	for later := at + journalPageBytes; later < len(b); later += journalPageBytes {
		n, raw, err := readGroup(b[later:], generation)
		if err != nil {
			return nil, fmt.Errorf("%s, byte %d: %w", name, later, err)
		}
		if raw != nil && n > number {
			return nil, damaged(int64(at), fmt.Errorf("group %d is damaged, and group %d behind it is not", number, n))
		}
	}
	return found, nil
}

// readGroup returns the number and the bytes of the group at the beginning of b, nil when there is none of the
// generation that is whole. The error is ErrFormat.
func readGroup(b []byte, generation uint64) (number uint64, raw []byte, err error) {
	if len(b) < journalHeaderBytes || binary.BigEndian.Uint32(b) != journalMagic || binary.BigEndian.Uint64(b[16:]) != generation {
		return 0, nil, nil
	}
	if v := binary.BigEndian.Uint16(b[4:]); v != journalVersion {
		return 0, nil, fmt.Errorf("%w %d of a journal", ErrFormat, v)
	}
	size := int64(binary.BigEndian.Uint32(b[8:]))
	if size < journalHeaderBytes || size > maxGroupBytes || size > int64(len(b)) || groupCRC(b[:size]) != binary.BigEndian.Uint32(b[12:]) {
		return 0, nil, nil
	}
	return binary.BigEndian.Uint64(b[24:]), b[:size], nil
}

var errGroup = errors.New("group whose content is no batches")

// decodeGroup splits a group whose CRC is right.
func decodeGroup(raw []byte, position int64) ([]Journaled, error) {
	var entries []Journaled
	d := fields{b: raw[journalHeaderBytes:]}
	for len(d.b) > 0 {
		e := Journaled{Position: position}
		e.DirBase = string(d.take(int(binary.BigEndian.Uint16(d.take(2)))))
		copy(e.TopicID[:], d.take(16))
		var err error
		if e.Header, err = batch.ParseHeader(d.b); err != nil || d.short || e.Header.SizeBytes() > len(d.b) {
			return nil, errGroup
		}
		if e.Raw = d.take(e.Header.SizeBytes()); e.Header.LastOffsetDelta < 0 {
			return nil, errGroup
		}
		entries = append(entries, e)
	}
	return entries, nil
}
