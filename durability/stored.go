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

// StoredBarrier is one of the two files of barrier records. Err says why it holds none: it wraps fs.ErrNotExist or
// files.ErrFormat, or is a *files.DamagedError.
type StoredBarrier struct {
	File string // base name
	Err  error
	Record
}

// ReadBarriers reads both barrier records of a data directory.
func ReadBarriers(f vfs.FS, dir string) (slots [2]StoredBarrier) {
	for i := range slots {
		s := &slots[i]
		s.File = slotName(uint64(i))
		name := path.Join(dir, s.File)
		b, err := files.ReadSmall(f, name)
		var r *Record
		if err == nil {
			r, err = decodeRecord(b)
		}
		switch {
		case err == nil:
			s.Record = *r
		case errors.Is(err, errRecord):
			err = &files.DamagedError{File: name, Cause: err}
		}
		s.Err = err
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

// ReadJournal returns the batches that the next start appends to the logs after this record, unless they are there: the
// content of the journal after an unclean stop. Errors: *files.DamagedError, files.ErrFormat, or that of a read.
func (s *StoredBarrier) ReadJournal(f vfs.FS, dir string) ([]Journaled, error) {
	if s.Clean || s.Generation == 0 {
		return nil, nil
	}
	found, err := readJournal(f, dir, &s.Record)
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
	b.mu.record.Entries = make(map[string]RecordEntry, 1)
	if e, ok := s.Entries[dirBase]; ok {
		b.mu.record.Entries[dirBase] = e
	}
	if !s.Clean {
		b.cutAfterPowerLoss([]string{dirBase})
	}
	b.mu.recovery = b.mu.record.Entries
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
		e, ok := record.Entries[dirBase]
		if !ok {
			return fmt.Errorf("there is none of %s", dirBase)
		}
		changed = changed || !e.Gaps
		e.Gaps = true
		record.Entries[dirBase] = e
	}
	if !changed {
		return nil
	}
	if err := hardenRecord(f, dir, record); err != nil {
		return err
	}
	record.Sequence++
	_, err = writeSlot(f, dir, record.Sequence, record.encode())
	return err
}
