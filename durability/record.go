package durability

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path"
	"sort"

	"once/internal/files"
	"once/internal/vfs"
)

// Layout of a barrier record; the byte picture is in docs/log-format.md.
const (
	recordMagic       = 0x4f4e4342 // "ONCB"
	recordVersion     = 3
	recordHeaderBytes = 16
	flagClean         = 1
	flagRestore       = 2
	entryFlagCut      = 1
	entryFlagGaps     = 4
	maxRecordOffset   = 1 << 62 // room to add to any offset; no log gets there
	zeroBytes         = 1 << 16 // more than any field has, and than a page of the journal lacks
	// recordVersion2 had no key of the journal, whose groups had another layout: they are not read.
	recordVersion2 = 2
)

// record is the content of a barrier record.
type record struct {
	sequence   uint64
	generation uint64 // of the journal that continues this record; 0 for none
	key        uint64 // of the journal, see groupCRC; 0 in a record of version 2
	clean      bool
	restore    bool // the machine went down, and not all logs have been opened since: the journal is needed
	mode       Mode
	bootID     string
	entries    map[string]recordEntry // by base name of the partition's directory
	raw        []byte                 // as it was read
}

type recordEntry struct {
	topicID                    [16]byte
	recoveryPoint, startOffset int64
	cut                        bool // everything above goes at the next Open, see Recovery.Cut
	gaps                       bool // the log has been compacted: offsets may be missing in it
}

func (r *record) encode() []byte {
	b := make([]byte, recordHeaderBytes, recordHeaderBytes+64+len(r.entries)*56)
	binary.BigEndian.PutUint32(b[0:], recordMagic)
	binary.BigEndian.PutUint16(b[4:], recordVersion)
	flags := uint16(0)
	if r.clean {
		flags |= flagClean
	}
	if r.restore {
		flags |= flagRestore
	}
	binary.BigEndian.PutUint16(b[6:], flags)
	b = binary.BigEndian.AppendUint64(b, r.sequence)
	b = binary.BigEndian.AppendUint64(b, r.generation)
	b = binary.BigEndian.AppendUint64(b, r.key)
	b = append(b, byte(r.mode), byte(len(r.bootID)))
	b = append(b, r.bootID...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(r.entries)))
	names := make([]string, 0, len(r.entries))
	for name := range r.entries {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		e := r.entries[name]
		b = binary.BigEndian.AppendUint16(b, uint16(len(name)))
		b = append(b, name...)
		b = append(b, e.topicID[:]...)
		b = binary.BigEndian.AppendUint64(b, uint64(e.recoveryPoint))
		b = binary.BigEndian.AppendUint64(b, uint64(e.startOffset))
		flags := byte(0)
		if e.cut {
			flags |= entryFlagCut
		}
		if e.gaps {
			flags |= entryFlagGaps
		}
		b = append(b, flags)
	}
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)))
	binary.BigEndian.PutUint32(b[12:], recordCRC(b))
	return b
}

// recordCRC covers everything but the CRC itself.
func recordCRC(b []byte) uint32 {
	return crc32.Update(crc32.Checksum(b[:12], castagnoli), castagnoli, b[recordHeaderBytes:])
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var errRecord = errors.New("not a complete barrier record")

// decodeRecord returns files.ErrFormat for an unknown version, errRecord for anything torn.
func decodeRecord(b []byte) (*record, error) {
	if len(b) < recordHeaderBytes || binary.BigEndian.Uint32(b) != recordMagic {
		return nil, errRecord
	}
	version := binary.BigEndian.Uint16(b[4:])
	if version != recordVersion && version != recordVersion2 {
		return nil, fmt.Errorf("%w %d of a barrier record", files.ErrFormat, version)
	}
	size := binary.BigEndian.Uint32(b[8:])
	if size < recordHeaderBytes || int64(size) > int64(len(b)) || binary.BigEndian.Uint32(b[12:]) != recordCRC(b[:size]) {
		return nil, errRecord
	}
	flags := binary.BigEndian.Uint16(b[6:])
	r := &record{
		clean:   flags&flagClean != 0,
		restore: flags&flagRestore != 0,
		entries: map[string]recordEntry{},
		raw:     b[:size],
	}
	d := fields{b: b[recordHeaderBytes:size]}
	r.sequence, r.generation = d.uint64(), d.uint64()
	if version > recordVersion2 {
		r.key = d.uint64()
	}
	r.mode = Mode(d.take(1)[0])
	r.bootID = string(d.take(int(d.take(1)[0])))
	count := d.uint32()
	for i := uint32(0); i < count && !d.short; i++ {
		n := binary.BigEndian.Uint16(d.take(2))
		name := string(d.take(int(n)))
		var e recordEntry
		copy(e.topicID[:], d.take(16))
		e.recoveryPoint, e.startOffset = int64(d.uint64()), int64(d.uint64())
		flags := d.take(1)[0]
		e.cut, e.gaps = flags&entryFlagCut != 0, flags&entryFlagGaps != 0
		if e.startOffset < 0 || e.recoveryPoint < e.startOffset || e.recoveryPoint > maxRecordOffset {
			return nil, errRecord
		}
		r.entries[name] = e
	}
	if d.short || len(d.b) > 0 || !r.mode.isKnown() {
		return nil, errRecord
	}
	return r, nil
}

// fields reads fixed-size fields from a buffer; beyond its end it returns zeros and remembers that.
type fields struct {
	b     []byte
	short bool
}

var zeros [zeroBytes]byte

func (d *fields) take(n int) []byte {
	if n > len(d.b) {
		d.short, d.b = true, nil
		return zeros[:n]
	}
	b := d.b[:n]
	d.b = d.b[n:]
	return b
}

func (d *fields) uint64() uint64 { return binary.BigEndian.Uint64(d.take(8)) }
func (d *fields) uint32() uint32 { return binary.BigEndian.Uint32(d.take(4)) }

// slotName is the file of a record: the two alternate, so that one is valid at any time. The dot distinguishes it from
// every directory of a log, whose name ends in a dash and a number.
func slotName(sequence uint64) string { return fmt.Sprintf("barrier.%d", sequence%2) }

// readRecord returns the newest valid record, nil when neither file exists. If files exist and none is valid, the
// error is damage.
func readRecord(f vfs.FS, dir string) (*record, error) {
	var newest *record
	var bad error
	for _, slot := range []uint64{0, 1} {
		name := path.Join(dir, slotName(slot))
		b, err := files.ReadSmall(f, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		r, err := decodeRecord(b)
		if errors.Is(err, files.ErrFormat) {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if err != nil {
			bad = &files.DamagedError{File: name, Cause: err}
			continue
		}
		if newest == nil || r.sequence > newest.sequence {
			newest = r
		}
	}
	if newest == nil {
		return nil, bad
	}
	return newest, nil
}
