package log

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	"once/internal/files"
)

// File names of a partition's directory (spec: log 5). Other names are left alone.
const (
	// LogSuffix and the other suffixes stand behind the offset of a file's name.
	LogSuffix       = ".log"
	IndexSuffix     = ".index"
	TimeIndexSuffix = ".timeindex"
	TxnIndexSuffix  = ".txnindex"
	SnapshotSuffix  = ".snapshot"
	// TmpSuffix ends the name of a file that is being written.
	TmpSuffix = files.TmpSuffix
	// KeptSuffix is a copy of what recovery keeps, until it gets its final name.
	KeptSuffix = ".log.kept"
	// BelowSuffix is an empty file: segments below its offset are being deleted.
	BelowSuffix = ".below"
	// DeleteSuffix ends the name of a directory that is being removed.
	DeleteSuffix = "-delete"
	// StraySuffix ends the name of a directory whose topic is deleted, until it is removed.
	StraySuffix = "-stray"
	// TornInfix is in the names of files that hold what recovery has cut.
	TornInfix = ".torn-"
	// CleanedSuffix is a segment that the cleaner is writing; see clean_swap.go.
	CleanedSuffix = ".log.cleaned"
	suffixSwap    = ".log.swap-"
	// RepairedSuffix is a segment that counts in the place of the damaged one of the same base.
	RepairedSuffix = ".log.repaired"
	// DamagedInfix is in the name of a damaged segment that has been moved aside.
	DamagedInfix = ".damaged-"

	// MetadataFile and the others are files with a fixed name.
	MetadataFile        = "partition.metadata"
	EpochCheckpointFile = "leader-epoch-checkpoint"
	TxnCheckpointFile   = "txnindex-checkpoint"
	// CleanCheckpointFile holds the offset up to which a log is compacted: `0`, the offset, a CRC-32C of both lines. It
	// is derived: without it the next pass reads more.
	CleanCheckpointFile = "cleaner-checkpoint"

	stemDigits = 20
	// maxOffset leaves room to add to any offset; no log gets there.
	maxOffset = 1 << 62
)

// stem is the name of everything that belongs to an offset.
func stem(offset int64) string { return fmt.Sprintf("%0*d", stemDigits, offset) }

// FileName is the name of a file that belongs to an offset.
func FileName(offset int64, suffix string) string { return stem(offset) + suffix }

// ParseFileName splits `00000000000000000042.log` into 42 and `.log`.
func ParseFileName(name string) (offset int64, suffix string, ok bool) {
	if len(name) <= stemDigits || name[stemDigits] != '.' {
		return 0, "", false
	}
	for _, c := range name[:stemDigits] {
		if c < '0' || c > '9' {
			return 0, "", false
		}
	}
	offset, err := strconv.ParseInt(name[:stemDigits], 10, 64)
	return offset, name[stemDigits:], err == nil && offset <= maxOffset
}

func (l *Log) path(name string) string { return path.Join(l.dir, name) }

func (l *Log) fileOf(offset int64, suffix string) string { return l.path(FileName(offset, suffix)) }

// IsLogDirectory says whether a name in the data directory is that of a partition: `orders-0`.
func IsLogDirectory(name string) bool {
	i := strings.LastIndexByte(name, '-')
	if i <= 0 {
		return false
	}
	n, err := strconv.ParseInt(name[i+1:], 10, 32)
	return err == nil && n >= 0
}

// maxNameBytes is the longest name that file systems take.
const maxNameBytes = 255

// RenamedDirectory is the new name of a log's directory whose name is to be free: with the topic ID and a suffix. As in
// Kafka the end of a topic's name is left out if the result would be too long.
func RenamedDirectory(dirBase string, topicID [16]byte, suffix string) string {
	behind := fmt.Sprintf(".%x%s", topicID, suffix)
	topic, index := dirBase, ""
	if i := strings.LastIndexByte(dirBase, '-'); i >= 0 {
		topic, index = dirBase[:i], dirBase[i:]
	}
	return topic[:min(len(topic), maxNameBytes-len(index)-len(behind))] + index + behind
}
