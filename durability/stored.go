package durability

import (
	"errors"
	"fmt"
	"path"

	"once/internal/files"
	"once/internal/vfs"
)

// What follows is for tools that read the data directory of a stopped broker.

// BarrierFile is the name of one of the two files of barrier records, 0 or 1.
func BarrierFile(slot int) string { return slotName(uint64(slot)) }

// StoredBarrier is one of the two files of barrier records. Err says why it holds none: it wraps
// fs.ErrNotExist or files.ErrFormat, or is a *DamagedError.
type StoredBarrier struct {
	File     string // base name
	Err      error
	Sequence uint64
	// Generation is that of the journal that continues this record, 0 for none.
	Generation uint64
	key        uint64
	Clean      bool // the process ended in order
	Restore    bool // the machine went down since, and not all logs have been opened again
	Mode       Mode
	BootID     string // of the kernel that it ran under
	Entries    map[string]StoredBarrierEntry
}

// StoredBarrierEntry is the state of a log in a barrier record.
type StoredBarrierEntry struct {
	TopicID                    [16]byte
	RecoveryPoint, StartOffset int64
	Cut, Gaps                  bool // see docs/log-format.md
}

// ReadBarriers reads both barrier records of a data directory.
func ReadBarriers(f vfs.FS, dir string) (slots [2]StoredBarrier) {
	for i := range slots {
		s := &slots[i]
		s.File = slotName(uint64(i))
		name := path.Join(dir, s.File)
		b, err := files.ReadSmall(f, name)
		var r *record
		if err == nil {
			if r, err = decodeRecord(b); err != nil && !errors.Is(err, files.ErrFormat) {
				err = &files.DamagedError{File: name, Cause: err}
			}
		}
		if s.Err = err; err != nil {
			continue
		}
		s.key = r.key
		s.Sequence = r.sequence
		s.Generation = r.generation
		s.Clean = r.clean
		s.Restore = r.restore
		s.Mode = r.mode
		s.BootID = r.bootID
		s.Entries = make(map[string]StoredBarrierEntry, len(r.entries))
		for name, e := range r.entries {
			s.Entries[name] = StoredBarrierEntry{e.topicID, e.recoveryPoint, e.startOffset, e.cut, e.gaps}
		}
	}
	return slots
}

// NewestBarrier returns the valid record with the highest number, nil when there is none. A record of an unknown
// version makes the other one worthless, too.
func NewestBarrier(slots *[2]StoredBarrier) *StoredBarrier {
	var newest *StoredBarrier
	for i := range slots {
		s := &slots[i]
		if errors.Is(s.Err, files.ErrFormat) {
			return nil
		}
		if s.Err == nil && (newest == nil || s.Sequence > newest.Sequence) {
			newest = s
		}
	}
	return newest
}

// JournalFile is the name of the journal in the data directory.
const JournalFile = journalFile

// ReadJournal returns the batches that the next start appends to the logs after this record, unless they are there: the
// content of the journal after an unclean stop. Errors: *DamagedError, files.ErrFormat, or that of a read.
func (s *StoredBarrier) ReadJournal(f vfs.FS, dir string) ([]Journaled, error) {
	if s.Clean || s.Generation == 0 {
		return nil, nil
	}
	found, err := readJournal(f, dir, &record{generation: s.Generation, key: s.key})
	if errors.Is(err, errNewerRecord) {
		err = newerRecordError(dir, s.Sequence)
	}
	return found, err
}

// Recovery says how the next start on a machine of this boot ID will open a log, like Open and Barrier.Recovery.
// journaled is the result of ReadJournal.
func (s *StoredBarrier) Recovery(dirBase string, topicID [16]byte, bootID string, journaled []Journaled) Recovery {
	b := Barrier{o: Options{BootID: bootID}, sameBoot: s.BootID == bootID, cleanShutdown: s.Clean}
	b.setJournaled(journaled)
	b.mu.opening = map[string]bool{}
	b.mu.record.entries = make(map[string]recordEntry, 1)
	if e, ok := s.Entries[dirBase]; ok {
		b.mu.record.entries[dirBase] = recordEntry{e.TopicID, e.RecoveryPoint, e.StartOffset, e.Cut, e.Gaps}
	}
	if !s.Clean {
		b.cutAfterPowerLoss([]string{dirBase})
	}
	b.mu.recovery = b.mu.record.entries
	return b.Recovery(dirBase, topicID)
}

// AllowGaps sets the flag "gaps" of these logs in the barrier record of a stopped broker: offsets are missing.
func AllowGaps(f vfs.FS, dir string, dirBases []string) error {
	record, err := readRecord(f, dir)
	if err != nil {
		return err
	}
	changed := false
	for _, dirBase := range dirBases {
		e, ok := record.entries[dirBase]
		if !ok {
			return fmt.Errorf("there is none of %s", dirBase)
		}
		changed = changed || !e.gaps
		e.gaps = true
		record.entries[dirBase] = e
	}
	if !changed {
		return nil
	}
	if err := hardenRecord(f, dir, record); err != nil {
		return err
	}
	record.sequence++
	_, err = writeSlot(f, dir, record.sequence, record.encode())
	return err
}
