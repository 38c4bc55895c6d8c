package durability

import "once/internal/vfs"

// StateOf is what the record of a copy of a data directory says of one log.
type StateOf struct {
	DirBase string
	TopicID [16]byte
	State
}

// AtOneInstant calls f while no append is published, in any log: what f sees of the ends of logs belongs together. f
// does not append and waits for nothing.
func (b *Barrier) AtOneInstant(f func()) {
	b.instant.Lock()
	defer b.instant.Unlock()
	f()
}

// WriteImageRecord writes the record of a copy of a data directory: that of a clean stop.
func WriteImageRecord(under vfs.FS, dir string, mode Mode, bootID string, logs []StateOf) error {
	r := record{sequence: 1, clean: true, mode: mode, bootID: bootID, entries: map[string]recordEntry{}}
	for _, l := range logs {
		r.entries[l.DirBase] = recordEntry{topicID: l.TopicID, recoveryPoint: l.EndOffset, startOffset: l.StartOffset, gaps: l.Gaps}
	}
	_, err := writeSlot(under, dir, r.sequence, r.encode())
	return err
}
