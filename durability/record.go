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

// Record is the content of a barrier record.
type Record struct {
	Sequence   uint64
	Generation uint64 // of the journal that continues this record; 0 for none
	key        uint64 // of the journal, see groupCRC; 0 in a record of version 2
	Clean      bool   // the process ended in order
	Restore    bool   // the machine went down, and not all logs have been opened since: the journal is needed
	Mode       Mode
	BootID     string                 // of the kernel that it ran under
	Entries    map[string]RecordEntry // by base name of the partition's directory
	raw        []byte                 // as it was read
}

// RecordEntry is the state of a log in a barrier record.
type RecordEntry struct {
	TopicID                    [16]byte
	RecoveryPoint, StartOffset int64
	Cut                        bool // everything above goes at the next Open, see Recovery.Cut
	Gaps                       bool // the log has been compacted: offsets may be missing in it
}

func (r *Record) encode() []byte {
	b := make([]byte, recordHeaderBytes, recordHeaderBytes+64+len(r.Entries)*56)
	binary.BigEndian.PutUint32(b[0:], recordMagic)
	binary.BigEndian.PutUint16(b[4:], recordVersion)
	flags := uint16(0)
	if r.Clean {
		flags |= flagClean
	}
	if r.Restore {
		flags |= flagRestore
	}
	binary.BigEndian.PutUint16(b[6:], flags)
	b = binary.BigEndian.AppendUint64(b, r.Sequence)
	b = binary.BigEndian.AppendUint64(b, r.Generation)
	b = binary.BigEndian.AppendUint64(b, r.key)
	b = append(b, byte(r.Mode), byte(len(r.BootID)))
	b = append(b, r.BootID...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(r.Entries)))
	names := make([]string, 0, len(r.Entries))
	for name := range r.Entries {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		e := r.Entries[name]
		b = binary.BigEndian.AppendUint16(b, uint16(len(name)))
		b = append(b, name...)
		b = append(b, e.TopicID[:]...)
		b = binary.BigEndian.AppendUint64(b, uint64(e.RecoveryPoint))
		b = binary.BigEndian.AppendUint64(b, uint64(e.StartOffset))
		flags := byte(0)
		if e.Cut {
			flags |= entryFlagCut
		}
		if e.Gaps {
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
func decodeRecord(b []byte) (*Record, error) {
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
	r := &Record{
		Clean:   flags&flagClean != 0,
		Restore: flags&flagRestore != 0,
		Entries: map[string]RecordEntry{},
		raw:     b[:size],
	}
	d := fields{b: b[recordHeaderBytes:size]}
	r.Sequence, r.Generation = d.uint64(), d.uint64()
	if version > recordVersion2 {
		r.key = d.uint64()
	}
	r.Mode = Mode(d.take(1)[0])
	r.BootID = string(d.take(int(d.take(1)[0])))
	count := d.uint32()
	for i := uint32(0); i < count && !d.short; i++ {
		n := binary.BigEndian.Uint16(d.take(2))
		name := string(d.take(int(n)))
		var e RecordEntry
		copy(e.TopicID[:], d.take(16))
		e.RecoveryPoint, e.StartOffset = int64(d.uint64()), int64(d.uint64())
		flags := d.take(1)[0]
		e.Cut, e.Gaps = flags&entryFlagCut != 0, flags&entryFlagGaps != 0
		if e.StartOffset < 0 || e.RecoveryPoint < e.StartOffset || e.RecoveryPoint > maxRecordOffset {
			return nil, errRecord
		}
		r.Entries[name] = e
	}
	if d.short || len(d.b) > 0 || !r.Mode.isKnown() {
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
func readRecord(f vfs.FS, dir string) (*Record, error) {
	slots := ReadBarriers(f, dir)
	var bad error
	for _, s := range slots {
		switch {
		case errors.Is(s.Err, fs.ErrNotExist):
		case errors.Is(s.Err, files.ErrDamaged):
			bad = s.Err
		case s.Err != nil:
			return nil, fmt.Errorf("%s: %w", path.Join(dir, s.File), s.Err)
		}
	}
	if newest := NewestBarrier(&slots); newest != nil {
		return &newest.Record, nil
	}
	return nil, bad
}
