package inspect_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"once/durability"
	"once/meta"
)

// fileOf returns the last file of a partition that a pattern matches and that is not empty.
func fileOf(t *testing.T, dir, partition, pattern string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, partition, pattern))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Backward(names) {
		if len(read(t, name)) > 0 {
			return name
		}
	}
	t.Fatalf("%s has no %s", partition, pattern)
	return ""
}

// sealSnapshot makes a snapshot believable.
func sealSnapshot(b []byte) {
	binary.BigEndian.PutUint32(b[2:], crc32.Checksum(b[6:], crc32.MakeTable(crc32.Castagnoli)))
}

func derivedSpoilings() []spoiling {
	return []spoiling{
		{name: "snapshot damaged", want: "warning file=x-0/", message: "checksum does not match",
			spoil: func(t *testing.T, dir string) { flip(t, 20, fileOf(t, dir, "x-0", "*.snapshot")) }},
		{name: "snapshot altered", want: "damage file=x-0/", message: "producer snapshot is not what the log says",
			spoil: func(t *testing.T, dir string) {
				name := fileOf(t, dir, "x-0", "*.snapshot")
				b := read(t, name)
				b[10+13]++ // last sequence of the first producer
				sealSnapshot(b)
				write(t, b, name)
			}},
		{name: "snapshot of a producer that never wrote", want: "damage file=x-0/", message: "which never wrote",
			spoil: func(t *testing.T, dir string) {
				name := fileOf(t, dir, "x-0", "*.snapshot")
				b := read(t, name)
				b[10+7] += 100 // producer id
				sealSnapshot(b)
				write(t, b, name)
			}},
		{name: "snapshot without anything", want: "damage file=x-0/", message: "it lacks",
			spoil: func(t *testing.T, dir string) {
				b := make([]byte, 10)
				b[1] = 1
				sealSnapshot(b)
				write(t, b, fileOf(t, dir, "x-0", "*.snapshot"))
			}},
		{name: "snapshot of another offset", want: "damage file=x-0/", message: "producer snapshot is not what the log says",
			spoil: func(t *testing.T, dir string) {
				names, _ := filepath.Glob(filepath.Join(dir, "x-0", "*.snapshot"))
				write(t, read(t, names[0]), names[len(names)-1])
			}},
		{name: "snapshot within a batch", want: "warning file=x-0/00000000000000000001.snapshot",
			message: "lies within the batch of offsets 0 to 1",
			spoil: func(t *testing.T, dir string) {
				write(t, read(t, fileOf(t, dir, "x-0", "*.snapshot")), dir, "x-0", "00000000000000000001.snapshot")
			}},
		{name: "snapshot behind the end", want: "warning file=x-0/00000000000000009999.snapshot",
			message: "lies behind the end",
			spoil: func(t *testing.T, dir string) {
				write(t, read(t, fileOf(t, dir, "x-0", "*.snapshot")), dir, "x-0", "00000000000000009999.snapshot")
			}},
		{name: "txnindex damaged", want: "warning file=x-0/", message: "does not hold the",
			spoil: func(t *testing.T, dir string) { flip(t, 12, fileOf(t, dir, "x-0", "*.txnindex")) }},
		{name: "txnindex altered with its checkpoint", want: "damage file=x-0/", message: "entry {ProducerID:",
			spoil: func(t *testing.T, dir string) {
				name := fileOf(t, dir, "x-0", "*.txnindex")
				b := read(t, name)
				b[2+8+7]++ // first offset
				write(t, b, name)
				checkpointTxnIndex(t, dir, "x-0")
			}},
		{name: "txnindex emptied with its checkpoint", want: "damage file=x-0/", message: "no entry of the transaction",
			spoil: func(t *testing.T, dir string) {
				write(t, nil, fileOf(t, dir, "x-0", "*.txnindex"))
				checkpointTxnIndex(t, dir, "x-0")
			}},
		{name: "txnindex checkpoint damaged", want: "warning file=x-0/txnindex-checkpoint", message: "checkpoint",
			spoil: func(t *testing.T, dir string) { flip(t, 3, dir, "x-0", "txnindex-checkpoint") }},
		{name: "index altered", want: "warning file=x-0/", message: "no batch begins",
			spoil: func(t *testing.T, dir string) { flip(t, 7, dir, "x-0", "00000000000000000000.index") }},
		{name: "index with another offset", want: "warning file=x-0/", message: "entry of offset",
			spoil: func(t *testing.T, dir string) { flip(t, 3, fileOf(t, dir, "x-0", "*.index")) }},
		{name: "index behind the end", want: "warning file=x-0/", message: "point behind the end",
			spoil: func(t *testing.T, dir string) {
				name := fileOf(t, dir, "x-0", "*.index")
				write(t, append(read(t, name), 0, 0, 0, 99, 0, 1, 0, 0), name)
			}},
		{name: "time index altered", want: "warning file=x-0/", message: "has timestamp",
			spoil: func(t *testing.T, dir string) { flip(t, 7, fileOf(t, dir, "x-0", "*.timeindex")) }},
		{name: "leader epochs altered", want: "warning file=x-0/leader-epoch-checkpoint", message: "leader epochs",
			spoil: func(t *testing.T, dir string) { write(t, []byte("0\n1\n0 5\n"), dir, "x-0", "leader-epoch-checkpoint") }},
		{name: "leader epochs unreadable", want: "warning file=x-0/leader-epoch-checkpoint", message: "cannot be read",
			spoil: func(t *testing.T, dir string) { write(t, []byte("7\n"), dir, "x-0", "leader-epoch-checkpoint") }},
	}
}

// checkpointTxnIndex makes the checkpoint say what the files hold now.
func checkpointTxnIndex(t *testing.T, dir, partition string) {
	t.Helper()
	table := crc32.MakeTable(crc32.Castagnoli)
	all := segments(t, dir, partition)
	b := fmt.Appendf(nil, "0\n1000000 %d\n", len(all))
	for _, s := range all {
		var base int64
		_, _ = fmt.Sscanf(filepath.Base(s), "%d.log", &base)
		content, _ := os.ReadFile(s[:len(s)-len("log")] + "txnindex")
		b = fmt.Appendf(b, "%d %d %08x\n", base, len(content)/34, crc32.Checksum(content, table))
	}
	write(t, fmt.Appendf(b, "%08x\n", crc32.Checksum(b, table)), dir, partition, "txnindex-checkpoint")
}

func directorySpoilings() []spoiling {
	barrierByte := func(at int) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			flip(t, at, dir, durability.BarrierFile(0))
			flip(t, at, dir, durability.BarrierFile(1))
		}
	}
	return []spoiling{
		{name: "meta cut", want: "damage file=meta.db", message: "cut short",
			spoil: func(t *testing.T, dir string) { b := read(t, dir, "meta.db"); write(t, b[:len(b)/2], dir, "meta.db") }},
		{name: "meta emptied", want: "damage file=meta.db", message: "is empty",
			spoil: func(t *testing.T, dir string) { write(t, nil, dir, "meta.db") }},
		{name: "meta missing", want: "damage file=meta.db", message: "missing",
			spoil: func(t *testing.T, dir string) { remove(t, filepath.Join(dir, "meta.db")) }},
		{name: "meta pages damaged", want: "damage file=meta.db", message: "damaged",
			spoil: func(t *testing.T, dir string) { // behind the two meta pages
				b := read(t, dir, "meta.db")
				for i := 2 * os.Getpagesize(); i < len(b); i++ {
					b[i] = 0xa5
				}
				write(t, b, dir, "meta.db")
			}},
		{name: "setting with a flipped bit", want: "damage file=meta.db position=", message: `record "x": the checksum`,
			spoil: func(t *testing.T, dir string) {
				b := read(t, dir, "meta.db")
				write(t, bytes.ReplaceAll(b, []byte(`"segment.ms":"60000"`), []byte(`"segment.ms":"60001"`)), dir, "meta.db")
			}},
		{name: "setting not as it is stored", want: "damage file=meta.db", message: `retention.ms="-0"`,
			spoil: func(t *testing.T, dir string) {
				inMeta(t, dir, func(tx meta.Tx) error {
					v, err := tx.Get(meta.Topics, "zipped")
					if err != nil {
						return err
					}
					v = bytes.Replace(v, []byte(`"gzip"`), []byte(`"gzip","retention.ms":"-0"`), 1)
					return tx.Put(meta.Topics, "zipped", v)
				})
			}},
		{name: "cluster ID missing", want: "damage file=meta.db", message: "cluster ID",
			spoil: func(t *testing.T, dir string) {
				inMeta(t, dir, func(tx meta.Tx) error { return tx.Delete(meta.Cluster, "cluster id") })
			}},
		{name: "wrong topic id", want: "damage file=x-0/partition.metadata partition=x-0", message: "log belongs to topic id",
			spoil: func(t *testing.T, dir string) {
				write(t, read(t, dir, "zipped-0", "partition.metadata"), dir, "x-0", "partition.metadata")
			}},
		{name: "identity unreadable", want: "damage file=x-0/partition.metadata partition=x-0",
			message: "identity cannot be read",
			spoil:   func(t *testing.T, dir string) { write(t, []byte("version: 9\n"), dir, "x-0", "partition.metadata") }},
		{name: "directory missing", want: "damage file=x-0 partition=x-0", message: "directory is missing",
			spoil: func(t *testing.T, dir string) { remove(t, filepath.Join(dir, "x-0")) }},
		{name: "segment moved aside by a repair", want: "note file=x-0/00000000000000000000.damaged-0 partition=x-0",
			message: "3 bytes: a damaged segment",
			spoil:   func(t *testing.T, dir string) { write(t, []byte("bad"), dir, "x-0", "00000000000000000000.damaged-0") }},
		{name: "interrupted repair", want: "note file=x-0/00000000000000000000.log.repaired partition=x-0",
			message: "a repair that was interrupted",
			spoil: func(t *testing.T, dir string) {
				write(t, read(t, dir, x0), dir, x0+".repaired")
				write(t, []byte("bad"), dir, x0)
			}},
		{name: "orphan", want: "warning file=gone-0 partition=gone-0", message: "orphan",
			spoil: func(t *testing.T, dir string) { copyTree(t, filepath.Join(dir, "x-0"), filepath.Join(dir, "gone-0")) }},
		{name: "orphan after a kill", fromRunning: true, want: "note file=gone-0 partition=gone-0", message: "orphan",
			spoil: func(t *testing.T, dir string) { copyTree(t, filepath.Join(dir, "x-0"), filepath.Join(dir, "gone-0")) }},
		{name: "partition beyond the topic's", want: "damage file=x-2/partition.metadata",
			message: `topic "x" with 2 partitions`,
			spoil:   func(t *testing.T, dir string) { copyTree(t, filepath.Join(dir, "x-0"), filepath.Join(dir, "x-2")) }},
		{name: "partition beyond those of an earlier topic", want: "warning file=x-2 partition=x-2", message: "orphan",
			spoil: func(t *testing.T, dir string) {
				copyTree(t, filepath.Join(dir, "x-0"), filepath.Join(dir, "x-2"))
				flip(t, 25, dir, "x-2", "partition.metadata")
			}},
		{name: "topic of another name", want: "damage file=gone-0/partition.metadata", message: `that of topic "x"`,
			spoil: func(t *testing.T, dir string) {
				if err := os.Rename(filepath.Join(dir, "x-0"), filepath.Join(dir, "gone-0")); err != nil {
					t.Fatal(err)
				}
			}},
		{name: "both barrier records damaged", want: "damage file=barrier.0", message: "there is no other",
			spoil: barrierByte(17)},
		{name: "barrier records of another version", want: "damage file=barrier.0 position=4",
			message: "the next start refuses", spoil: barrierByte(4)},
		{name: "barrier records missing", want: "damage file=barrier.0", message: "no barrier record",
			spoil: func(t *testing.T, dir string) {
				remove(t, filepath.Join(dir, durability.BarrierFile(0)))
				remove(t, filepath.Join(dir, durability.BarrierFile(1)))
			}},
		{name: "one barrier record torn", fromRunning: true, want: "note file=barrier.", message: "the other one counts",
			spoil: func(t *testing.T, dir string) { flip(t, 20, dir, olderBarrier(t, dir)) }},
		{name: "deleted partition", want: "note file=x-9.00-delete", message: "remains of a deleted partition",
			spoil: func(t *testing.T, dir string) {
				copyTree(t, filepath.Join(dir, "x-0"), filepath.Join(dir, "x-9.00-delete"))
			}},
		{name: "interrupted write", want: "note file=x-0/partition.metadata.tmp", message: "the next start removes it",
			spoil: func(t *testing.T, dir string) { write(t, nil, dir, "x-0", "partition.metadata.tmp") }},
	}
}

// inMeta changes records of the metadata, with their checksums.
func inMeta(t *testing.T, dir string, change func(tx meta.Tx) error) {
	t.Helper()
	s, err := meta.Open(filepath.Join(dir, "meta.db"), meta.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Update(change), s.Close()); err != nil {
		t.Fatal(err)
	}
}

// olderBarrier names the record that does not count.
func olderBarrier(t *testing.T, dir string) string {
	t.Helper()
	if bytes.Compare(read(t, dir, durability.BarrierFile(0))[16:24], read(t, dir, durability.BarrierFile(1))[16:24]) < 0 {
		return durability.BarrierFile(0)
	}
	return durability.BarrierFile(1)
}
