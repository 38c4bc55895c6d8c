package durability

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path"
	"strings"
	"sync"

	"once/internal/files"
	"once/internal/vfs"
	"once/log/batch"
)

// Layout of the journal; the byte picture is in docs/log-format.md.
const (
	// JournalFile is the name of the journal in the data directory.
	JournalFile        = "barrier.journal"
	journalMagic       = 0x4f4e434a // "ONCJ"
	journalVersion     = 2
	journalHeaderBytes = 32
	journalHead        = 1 // kind of what a header begins: a head, which is a header alone
	journalGroup       = 0 // or a group, whose entries follow
	// journalHeadSpacing lies between the two heads in the first page: a disk writes 512 bytes whole or not at all, so
	// that one head stays while the other one is written.
	journalHeadSpacing = 2048
	// A group begins at a multiple of journalPageBytes and is filled up to one: so no group shares a block with
	// another one, which a power cut during the write could destroy.
	journalPageBytes = 4096
	// maxGroupBytes is the largest group that a start accepts: no version has written a larger one.
	maxGroupBytes = 1 << 20
	// DefaultJournalBytes is the size at which a barrier syncs the files of the logs, and the journal begins anew.
	DefaultJournalBytes = 16 << 20
	// journalDiscarded is what a person writes into the file to go back to the barrier record. No damage makes it.
	journalDiscarded = "discard"
)

// journal makes barriers cheap that cover few bytes of many logs. The batches appended to all logs since the last
// barrier are written to one file, in the order of their appends, and that file is synced instead of the logs'
// files. The file is overwritten in place, so that a sync changes no size and the file system has no metadata to
// commit.
//
// The journal continues a barrier record, which holds its generation. Groups of an earlier generation are old. A group
// of a later generation means that the record is not the newest. Each group is written with a head that holds the
// number of complete groups before it, so a start notices lost groups. The record also holds a key, a random number
// with which all checksums of the journal begin: clients chose most bytes of the file, and must not be able to forge
// a group.
//
// A start after a power cut takes all logs back to the record and appends the batches of the groups, up to the
// first incomplete group, which was never acknowledged. So all logs end at one instant.
type journal struct {
	fs         vfs.FS // immutable, as are the next four
	name       string
	maxBytes   int64
	groupBytes int // Sizes.JournalGroupBytes
	key        uint64

	mu struct {
		sync.Mutex
		collecting bool   // appends are copied into group
		group      []byte // room for the header, then what has been appended since the last barrier's instant
	}

	// Used by the goroutine that runs barriers.
	file               vfs.File // nil until a record is to speak of it
	spare              []byte   // becomes the next group
	at, sizeBytes      int64    // where the next group goes; of the file
	generation, number uint64
	heads              uint64 // written so far
}

func newJournal(o Options, key uint64) *journal {
	j := &journal{
		fs:         o.FS,
		name:       path.Join(o.Dir, JournalFile),
		maxBytes:   o.JournalBytes,
		groupBytes: min(o.Sizes.JournalGroupBytes, maxGroupBytes),
		key:        key,
	}
	orDefault(&j.maxBytes, DefaultJournalBytes)
	return j
}

// add copies a batch that has been appended. The caller holds the barrier's instant for reading, and the lock that
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

// takeGroup returns the group that the barrier can write instead of syncing files; false when it must sync them. On a
// full disk the file does not grow: the rest of the disk is reserved for records that have no other place. The caller
// holds instant for writing.
func (j *journal) takeGroup(diskIsFull bool) (group []byte, ok bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	end := j.at + pages(len(j.mu.group))
	if j.file == nil || !j.mu.collecting || end > j.maxBytes || diskIsFull && end > j.sizeBytes {
		return nil, false
	}
	group, j.mu.group, j.spare = j.mu.group, j.spare[:0], nil
	return group, true
}

// restart drops the collected batches, because a barrier over all files begins, and collects for the generation of the
// record that this barrier writes.
func (j *journal) restart() {
	if j == nil {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.mu.group, j.mu.collecting = j.mu.group[:0], true
}

// begin starts at the beginning of the file, after a record with this generation. The first head is synced with the
// first group.
func (j *journal) begin(generation uint64) error {
	j.at, j.number, j.generation = journalPageBytes, 0, generation
	return j.writeHead()
}

// writeHead writes the number of complete groups over the older of the two heads.
func (j *journal) writeHead() error {
	b := make([]byte, journalHeaderBytes)
	j.seal(b, journalHead, j.number)
	_, err := j.file.WriteAt(b, int64(j.heads%2)*journalHeadSpacing)
	j.heads++
	return err
}

// seal fills in the header of a head or a group.
func (j *journal) seal(b []byte, kind uint16, number uint64) {
	binary.BigEndian.PutUint32(b[0:], journalMagic)
	binary.BigEndian.PutUint16(b[4:], journalVersion)
	binary.BigEndian.PutUint16(b[6:], kind)
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)))
	binary.BigEndian.PutUint64(b[16:], j.generation)
	binary.BigEndian.PutUint64(b[24:], number)
	binary.BigEndian.PutUint32(b[12:], groupCRC(b, j.key))
}

// create makes the file with room for the heads, before a record refers to it. A shorter one was truncated later.
func (j *journal) create() error {
	if j.file != nil {
		return nil
	}
	file, err := files.OpenOrCreate(j.fs, j.name)
	if err != nil {
		return err
	}
	if j.sizeBytes, err = file.Size(); err == nil && j.sizeBytes < journalPageBytes {
		if _, err = file.WriteAt(zeros[:journalPageBytes], 0); err == nil {
			err = file.Sync()
		}
		j.sizeBytes = journalPageBytes
	}
	if err == nil {
		err = j.fs.SyncDir(path.Dir(j.name))
	}
	if err != nil {
		return errors.Join(err, file.Close())
	}
	j.file = file
	return nil
}

// write makes a group durable. An error that is not final means that the disk is full: nothing was synced, and the
// valid groups in the file are unchanged.
func (j *journal) write(group []byte) (final bool, err error) {
	defer func() { j.spare = group }()
	if len(group) == 0 {
		return false, nil
	}
	size := len(group)
	group = append(group, zeros[:pages(size)-int64(size)]...)
	j.seal(group[:size], journalGroup, j.number)
	if _, err := j.file.WriteAt(group, j.at); err != nil {
		return !errors.Is(err, vfs.ErrNoSpace), err
	}
	if err := j.writeHead(); err != nil {
		return true, err
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

// pages rounds a size up to whole pages.
func pages(sizeBytes int) int64 {
	return (int64(sizeBytes) + journalPageBytes - 1) / journalPageBytes * journalPageBytes
}

// groupCRC covers the key of the journal and everything but the CRC itself.
func groupCRC(b []byte, key uint64) uint32 {
	sum := crc32.Checksum(binary.BigEndian.AppendUint64(nil, key), castagnoli)
	return crc32.Update(crc32.Update(sum, castagnoli, b[:12]), castagnoli, b[16:])
}

// Journaled is a batch in the journal.
type Journaled struct {
	Position int64 // of its group in the file
	DirBase  string
	TopicID  [16]byte
	Raw      []byte
	Header   batch.Header
}

// errNewerRecord: the journal continues a record that is newer than the newest valid one, and was complete.
var errNewerRecord = errors.New("the journal goes on from a newer record")

// journalReader reads the journal of a record.
type journalReader struct {
	name            string
	b               []byte
	generation, key uint64
}

// readJournal returns the batches of the journal that continues a record, in the order of their appends. It ends at the
// first incomplete group. If a later group of the same generation follows, or a head says that more groups were
// complete, acknowledged data is damaged and that is the error. errNewerRecord: a later generation has begun. A
// file with journalDiscarded holds nothing.
func readJournal(f vfs.FS, dir string, of *Record) ([]Journaled, error) {
	r := journalReader{name: path.Join(dir, JournalFile), generation: of.Generation, key: of.key}
	if r.key == 0 {
		return nil, fmt.Errorf("%s: %w of a journal after a power cut: let the version of this broker that wrote it "+
			"start and stop first", r.name, files.ErrFormat)
	}
	var err error
	if r.b, err = files.ReadSmall(f, r.name); errors.Is(err, fs.ErrNotExist) {
		return nil, r.damaged(0, err)
	} else if err != nil {
		return nil, err
	}
	if strings.TrimSpace(string(r.b[:min(len(r.b), journalPageBytes)])) == journalDiscarded {
		return nil, nil
	}
	if n := len(r.b); n < journalPageBytes {
		return nil, r.damaged(int64(n), errors.New("it is cut off in its first page"))
	}
	complete, err := r.completeGroups()
	if err != nil {
		return nil, err
	}
	found, at, number, err := r.groups()
	if err != nil {
		return nil, err
	}
	if number < complete {
		return nil, r.damaged(int64(at), fmt.Errorf("%d groups were complete, and %d are left", complete, number))
	}
	return found, r.checkNothingLater(at, number)
}

func (r *journalReader) damaged(position int64, cause error) error {
	return &files.DamagedError{File: r.name, Position: position, Cause: fmt.Errorf(
		"%w; it holds what was acknowledged since the last barrier record: restore it, or put a file with the word %s in "+
			"its place "+
			"to go back to that record", cause, journalDiscarded)}
}

// completeGroups returns the number of groups that were complete according to the completeGroups.
func (r *journalReader) completeGroups() (complete uint64, err error) {
	for _, at := range []int{0, journalHeadSpacing} {
		b := r.b[min(at, len(r.b)):]
		h, raw, err := r.header(b[:min(journalHeaderBytes, len(b))])
		switch {
		case err != nil:
			return 0, fmt.Errorf("%s, byte %d: %w", r.name, at, err)
		case raw == nil || h.kind != journalHead:
		case h.generation > r.generation:
			return 0, errNewerRecord
		case h.generation == r.generation:
			complete = max(complete, h.number)
		}
	}
	return complete, nil
}

// groups returns the entries of all groups before the first one that is incomplete or out of order, its position, and
// the number of groups before it.
func (r *journalReader) groups() (found []Journaled, at int, number uint64, err error) {
	for at = journalPageBytes; at < len(r.b); number++ {
		h, raw, err := r.header(r.b[at:])
		if err != nil {
			return nil, at, number, fmt.Errorf("%s, byte %d: %w", r.name, at, err)
		}
		if raw == nil || h.kind != journalGroup || h.generation != r.generation || h.number != number {
			break
		}
		entries, err := decodeGroup(raw, int64(at))
		if err != nil {
			return nil, at, number, r.damaged(int64(at), err)
		}
		found = append(found, entries...)
		at += int(pages(len(raw)))
	}
	return found, at, number, nil
}

// checkNothingLater looks for complete groups behind the end of the journal. One of the same generation means that a
// group before it is damaged.
func (r *journalReader) checkNothingLater(at int, number uint64) error {
	for ; at < len(r.b); at += journalPageBytes {
		h, raw, err := r.header(r.b[at:])
		switch {
		case err != nil:
			return fmt.Errorf("%s, byte %d: %w", r.name, at, err)
		case raw == nil || h.kind != journalGroup:
		case h.generation > r.generation:
			return errNewerRecord
		case h.generation == r.generation && h.number > number:
			return r.damaged(int64(at), fmt.Errorf("group %d is damaged, and group %d behind it is not", number, h.number))
		}
	}
	return nil
}

// groupHeader is the decoded header of a head or a group.
type groupHeader struct {
	kind               uint16
	generation, number uint64
}

// header decodes the header at the beginning of b and returns it with the bytes that it covers; none when there is no
// complete head or group with the right checksum. The error is files.ErrFormat.
func (r *journalReader) header(b []byte) (h groupHeader, raw []byte, err error) {
	if len(b) < journalHeaderBytes || binary.BigEndian.Uint32(b) != journalMagic {
		return h, nil, nil
	}
	size := int64(binary.BigEndian.Uint32(b[8:]))
	if size < journalHeaderBytes || size > maxGroupBytes || size > int64(len(b)) ||
		groupCRC(b[:size], r.key) != binary.BigEndian.Uint32(b[12:]) {
		return h, nil, nil
	}
	if v := binary.BigEndian.Uint16(b[4:]); v != journalVersion {
		return h, nil, fmt.Errorf("%w %d of a journal", files.ErrFormat, v)
	}
	h = groupHeader{
		kind:       binary.BigEndian.Uint16(b[6:]),
		generation: binary.BigEndian.Uint64(b[16:]),
		number:     binary.BigEndian.Uint64(b[24:]),
	}
	return h, b[:size], nil
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
