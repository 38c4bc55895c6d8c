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
	r := record{sequence: 1, clean: true, mode: mode, bootID: bootID, entries: map[string]recordEntry{}}
	for _, l := range logs {
		r.entries[l.DirBase] = recordEntry{topicID: l.TopicID, recoveryPoint: l.EndOffset, startOffset: l.StartOffset, gaps: l.Gaps}
	}
	_, err := writeSlot(under, dir, r.sequence, r.encode())
	return err
}
