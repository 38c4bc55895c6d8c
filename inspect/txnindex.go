package inspect

import (
	"cmp"
	"errors"
	"io/fs"
	"slices"
	"sort"

	"once/internal/files"
	"once/log"
)

// txnIndex is what the .txnindex files of a partition hold.
type txnIndex struct {
	entries []indexedTxn // all that can be read, in the order of segments
}

type indexedTxn struct {
	log.AbortedTxn
	file     string
	position int64
}

// abortedEntryBytes is the size of an entry (spec: log 5.4).
const abortedEntryBytes = 34

// readTxnIndex reads the files, and finds out how far the next start will take them for complete.
func (y *replay) readTxnIndex() {
	p := y.p
	y.believeTxnIndex()
	for i := range p.segments {
		base := p.segments[i].base
		b := y.txnIndexFile(base)
		entries, err := log.DecodeTxnIndex(b, base)
		name := log.FileName(base, log.TxnIndexSuffix)
		if err != nil {
			p.find(p.derived(), name, int64(len(entries))*abortedEntryBytes, "%v; derived, the file can be deleted", err)
		}
		for n, e := range entries {
			y.index.entries = append(y.index.entries, indexedTxn{e, name, int64(n) * abortedEntryBytes})
		}
	}
}

// believeTxnIndex sets indexTo: the offset of the checkpoint, or where the first segment begins whose file
// is not what that says.
func (y *replay) believeTxnIndex() {
	p := y.p
	first := p.segments[0].base
	y.indexTo = first
	c, found, err := log.ReadTxnCheckpoint(p.c.fs, p.c.path(p.name))
	if err != nil {
		p.find(p.derived(), log.TxnCheckpointFile, -1, "%v; derived, the file can be deleted", err)
	}
	if err != nil || !found {
		return
	}
	y.indexTo = max(first, c.CompleteTo)
	for i, s := range c.Segments {
		if i+1 < len(c.Segments) && c.Segments[i+1].BaseOffset <= first || s.Holds(y.txnIndexFile(s.BaseOffset)) {
			continue // deleted since, or as it should be
		}
		y.indexTo = max(first, min(y.indexTo, s.BaseOffset))
		severity := p.derived()
		if !slices.ContainsFunc(p.segments, func(f segmentFile) bool { return f.base == s.BaseOffset && !f.swap }) {
			severity = Note // compaction has put another segment in its place
		}
		p.find(severity, log.FileName(s.BaseOffset, log.TxnIndexSuffix), -1,
			"does not hold the %d entries that %s says; the next start makes it anew", s.Entries, log.TxnCheckpointFile)
		return
	}
}

// txnIndexFile reads the file of a segment; nil when there is none, or none that counts.
func (y *replay) txnIndexFile(base int64) []byte {
	p := y.p
	if slices.ContainsFunc(p.segments, func(f segmentFile) bool { return f.base == base && f.swap }) {
		return nil // that of the segment which compaction has replaced
	}
	name := log.FileName(base, log.TxnIndexSuffix)
	b, err := files.ReadSmall(p.c.fs, p.c.path(p.name, name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		p.find(Warning, name, -1, "cannot be read: %v; derived, the file can be deleted", err)
	}
	return b
}

// compareTxnIndex holds the files against the aborted transactions found (spec: reliability P20): a
// reader of committed data is shown an aborted record when its entry is missing.
func (y *replay) compareTxnIndex() {
	p := y.p
	for _, e := range y.index.entries {
		if e.LastOffset >= p.next {
			p.find(p.derived(), e.file, e.position, "entry of a marker at offset %d, behind the end of the log; derived, the "+
				"file can be deleted", e.LastOffset)
			continue
		}
		i, found := slices.BinarySearchFunc(y.aborted, e.LastOffset,
			func(a log.AbortedTxn, offset int64) int { return cmp.Compare(a.LastOffset, offset) })
		switch producerID, marker := y.aborts[e.LastOffset]; {
		case found && y.aborted[i] == e.AbortedTxn:
		case !found && marker && producerID == e.ProducerID && (p.gapAt >= 0 || e.FirstOffset < p.segments[0].base):
			// The records are gone: compacted, or deleted with the beginning of the log.
		case found && (y.headless || p.gapAt >= 0) && y.aborted[i].ProducerID == e.ProducerID:
		case found:
			p.find(y.believed(e.LastOffset), e.file, e.position, "entry %+v, the log has %+v; the file can be deleted",
				e.AbortedTxn, y.aborted[i])
		default:
			p.find(y.believed(e.LastOffset), e.file, e.position,
				"entry %+v, but no transaction was aborted there; the file can be deleted", e.AbortedTxn)
		}
	}
	y.missingEntries()
}

func (y *replay) missingEntries() {
	p := y.p
	there := make(map[int64]bool, len(y.index.entries))
	for _, e := range y.index.entries {
		there[e.LastOffset] = true
	}
	for _, a := range y.aborted {
		if a.LastOffset >= y.indexTo || there[a.LastOffset] {
			continue
		}
		i := sort.Search(len(p.segments), func(i int) bool { return p.segments[i].base > a.LastOffset }) - 1
		p.find(y.believed(a.LastOffset), log.FileName(p.segments[i].base, log.TxnIndexSuffix), -1,
			"no entry of the transaction that producer %d aborted: records from offset %d, marker at %d; the file can be "+
				"deleted", a.ProducerID, a.FirstOffset, a.LastOffset)
	}
}

// believed is how bad a wrong entry is: only below indexTo does the next start take it for true.
func (y *replay) believed(markerOffset int64) Severity {
	if markerOffset < y.indexTo {
		return Damage
	}
	return y.p.derived()
}
