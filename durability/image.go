package durability

import "once/internal/vfs"

// StateOf is the state of one log in the record of a copy of a data directory.
type StateOf struct {
	DirBase string
	TopicID [16]byte
	State
}

// AtOneInstant calls f while no append is published in any log, so that the ends of all logs belong together. f must
// not append or wait.
func (b *Barrier) AtOneInstant(f func()) {
	b.instant.Lock()
	defer b.instant.Unlock()
	f()
}

// WriteImageRecord writes the record of a copy of a data directory, as after a clean stop.
func WriteImageRecord(under vfs.FS, dir string, mode Mode, bootID string, logs []StateOf) error {
	r := Record{Sequence: 1, Clean: true, Mode: mode, BootID: bootID, Entries: map[string]RecordEntry{}}
	for _, l := range logs {
		r.Entries[l.DirBase] = RecordEntry{TopicID: l.TopicID, RecoveryPoint: l.EndOffset, StartOffset: l.StartOffset,
			Gaps: l.Gaps}
	}
	_, err := writeSlot(under, dir, r.Sequence, r.encode())
	return err
}
