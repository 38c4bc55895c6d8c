package inspect_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"once/broker/brokertest"
	"once/durability"
	"once/inspect"
	"once/inspect/inspecttest"
	"once/internal/clock"
	"once/internal/vfs"
	"once/log"
	"once/log/batch"
)

func TestDirectoryOfABrokerIsClean(t *testing.T) {
	for name, dir := range map[string]string{"clean stop": cleanDir(t), "killed": runningDir(t)} {
		if got := check(t, dir, inspect.Warning, inspect.Options{}); len(got) > 0 {
			t.Errorf("%s:\n%s", name, strings.Join(got, "\n"))
		}
		report, err := inspect.Check(vfs.OS, dir, inspect.Options{})
		if err != nil {
			t.Fatal(err)
		}
		c := report.Counters
		// Nine transactions ended and one is open; nobody else began one. x-0, x-1, zipped-0 and the internal ones.
		if c.Transactions != 10 || c.Producers != 5 || c.Groups != 3 || c.Segments < c.Partitions+2 ||
			c.Records <= c.Batches || c.Bytes == 0 {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

// After a power cut everything above the last barrier goes, in all logs. What is left belongs together.
func TestAPowerCutLeavesAConsistentCut(t *testing.T) {
	dir := runningDir(t)
	inspecttest.RequireCleanOn(t, vfs.OS, dir, inspect.Options{BootID: "another boot"})
	notes := strings.Join(check(t, dir, inspect.Note, inspect.Options{BootID: "another boot"}), "\n")
	for _, want := range []string{"same_boot=false", "partition=x-0: the next start cuts ",
		"partition=x-1: the next start cuts "} {
		if !strings.Contains(notes, want) {
			t.Errorf("no %q in\n%s", want, notes)
		}
	}
}

// Whatever is derived can go: the next start makes it anew (spec: reliability P10).
func TestDerivedFilesMayBeMissing(t *testing.T) {
	dir := cleanDir(t)
	for _, pattern := range []string{"*.index", "*.timeindex", "*.txnindex", "*.snapshot", "txnindex-checkpoint",
		"leader-epoch-checkpoint"} {
		names, _ := filepath.Glob(filepath.Join(dir, "*", pattern))
		if len(names) == 0 {
			t.Errorf("the fixture has no %s", pattern)
		}
		for _, name := range names {
			if err := os.Remove(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	inspecttest.RequireClean(t, dir)
}

// What retention or compaction have in hand when they are cut off is as good as done.
func TestUnfinishedTidyingIsNoDamage(t *testing.T) {
	base := func(t *testing.T, dir string, i int) (offset int64) {
		if _, err := fmt.Sscanf(filepath.Base(segments(t, dir, "x-0")[i]), "%d.log", &offset); err != nil {
			t.Fatal(err)
		}
		return offset
	}
	c := inspecttest.NewCopy(t, made.get(t).clean)
	for name, begin := range map[string]func(t *testing.T, dir string){
		"deletion, one of two files gone": func(t *testing.T, dir string) {
			raiseStart(t, dir, "x-0", base(t, dir, 2))
			write(t, nil, dir, "x-0", log.FileName(base(t, dir, 2), log.BelowSuffix))
			remove(t, segments(t, dir, "x-0")[1])
		},
		"deletion done": func(t *testing.T, dir string) {
			raiseStart(t, dir, "x-0", base(t, dir, 2)+1)
			for _, s := range segments(t, dir, "x-0")[:2] {
				remove(t, s)
			}
		},
		"replacement of two segments": func(t *testing.T, dir string) {
			s := segments(t, dir, "x-0")
			to := fmt.Sprintf("%s.swap-%020d", s[0], base(t, dir, 2))
			write(t, append(read(t, s[0]), read(t, s[1])...), to)
		},
		"replacement, old files gone": func(t *testing.T, dir string) {
			s := segments(t, dir, "x-0")
			write(t, append(read(t, s[0]), read(t, s[1])...), fmt.Sprintf("%s.swap-%020d", s[0], base(t, dir, 2)))
			remove(t, s[0])
			remove(t, s[1])
		},
		"replacement that does not count yet": func(t *testing.T, dir string) {
			write(t, []byte("half"), segments(t, dir, "x-0")[0]+".cleaned")
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := c.Restore()
			begin(t, dir)
			inspecttest.RequireClean(t, dir)
			// The broker agrees.
			if err := brokertest.Start(t, brokertest.WithDataDir(dir)).Close(); err != nil {
				t.Fatal(err)
			}
			inspecttest.RequireClean(t, dir)
		})
	}
}

// spoiling is one way to damage a directory, and what must be found.
type spoiling struct {
	name        string
	fromRunning bool // the directory is that of a running broker, not that of a clean stop
	spoil       func(t *testing.T, dir string)
	want        string // "severity file=… position=…", a prefix of the finding; %s is filled with what spoil says
	message     string // part of the message
	options     inspect.Options
}

func TestEachKindOfDamageIsFoundWhereItIs(t *testing.T) {
	clean, running := inspecttest.NewCopy(t, made.get(t).clean), inspecttest.NewCopy(t, made.get(t).running)
	for _, kinds := range [][]spoiling{batchSpoilings(), stateSpoilings(), derivedSpoilings(), directorySpoilings()} {
		for _, s := range kinds {
			t.Run(s.name, func(t *testing.T) {
				from := clean
				if s.fromRunning {
					from = running
				}
				dir := from.Restore()
				s.spoil(t, dir)
				got := check(t, dir, inspect.Note, s.options)
				for _, line := range got {
					if strings.HasPrefix(line, s.want) && strings.Contains(line, s.message) {
						return
					}
				}
				t.Errorf("want %q with %q, got\n%s", s.want, s.message, strings.Join(got, "\n"))
			})
		}
	}
}

// edit changes the batches of the first segment of x-0.
func edit(change func(t *testing.T, all []placed) []placed) func(*testing.T, string) {
	return editOf("x-0", change)
}

func editOf(partition string, change func(t *testing.T, all []placed) []placed) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		file := segments(t, dir, partition)[0]
		rewrite(t, file, change(t, batches(t, file)))
	}
}

const (
	x0 = "x-0/00000000000000000000.log"
	x1 = "x-1/00000000000000000000.log"
)

func batchSpoilings() []spoiling {
	last := func(t *testing.T, dir string) string { s := segments(t, dir, "x-0"); return s[len(s)-1] }
	return []spoiling{
		{name: "bit flip below the barrier", want: "damage file=" + x0 + " position=0 partition=x-0", message: "CRC",
			spoil: func(t *testing.T, dir string) { flip(t, 70, dir, x0) }},
		{name: "bit flip below the barrier after a kill", fromRunning: true,
			want: "damage file=" + x0 + " position=0 partition=x-0", message: "CRC",
			spoil: func(t *testing.T, dir string) { flip(t, 70, dir, x0) }},
		{name: "what a repair keeps", want: "note file=x-0 partition=x-0",
			message: `batches of damaged segments are whole; "broker repair `,
			spoil:   func(t *testing.T, dir string) { flip(t, 70, dir, x0) }},
		{name: "bit flip above the barrier", fromRunning: true, want: "warning file=x-0/", message: "the next start cuts",
			spoil: func(t *testing.T, dir string) { flip(t, -1, last(t, dir)) }},
		{name: "the same after a power cut", fromRunning: true, want: "note file=x-0/", message: "the next start cuts",
			spoil:   func(t *testing.T, dir string) { flip(t, -1, last(t, dir)) },
			options: inspect.Options{BootID: "another boot"}},
		{name: "torn tail", fromRunning: true, want: "note file=x-0/", message: "the next start cuts",
			spoil: func(t *testing.T, dir string) { b := read(t, last(t, dir)); write(t, b[:len(b)-7], last(t, dir)) }},
		{name: "tail of zeros", fromRunning: true, want: "note file=x-0/", message: "drops 4096 zero bytes",
			spoil: func(t *testing.T, dir string) {
				write(t, append(read(t, last(t, dir)), make([]byte, 4096)...), last(t, dir))
			}},
		{name: "file cut below the barrier", want: "damage file=x-0/", message: "was stored",
			spoil: func(t *testing.T, dir string) {
				all := batches(t, last(t, dir))
				rewrite(t, last(t, dir), all[:len(all)-1])
			}},
		{name: "bytes behind a clean stop", want: "damage file=x-0/", message: "is due",
			spoil: func(t *testing.T, dir string) {
				all := batches(t, last(t, dir))
				rewrite(t, last(t, dir), append(all, all[len(all)-1]))
			}},
		{name: "good batch behind a clean stop", want: "damage file=x-0/", message: "the clean stop left it ending here",
			spoil: func(t *testing.T, dir string) {
				all := batches(t, last(t, dir))
				more := placed{raw: bytes.Clone(all[len(all)-1].raw)}
				batch.SetOffsetAndEpoch(more.raw, all[len(all)-1].NextOffset(), all[len(all)-1].LeaderEpoch)
				rewrite(t, last(t, dir), append(all, more))
			}},
		{name: "swapped batches", want: "damage file=" + x0 + " position=0 partition=x-0",
			message: "offsets 0 to 1 are missing",
			spoil:   edit(func(_ *testing.T, all []placed) []placed { all[0], all[1] = all[1], all[0]; return all })},
		{name: "doubled batch", want: fmt.Sprintf("damage file=%s position=%d partition=x-0", x0, sizeOfFirst),
			message: "batch of offsets 0 to 1, 2 is due",
			spoil:   edit(func(_ *testing.T, all []placed) []placed { return append(all[:1:1], all...) })},
		{name: "missing batch", want: "damage file=" + x0, message: "offsets 2 to 2 are missing",
			spoil: edit(func(_ *testing.T, all []placed) []placed { return append(all[:1:1], all[2:]...) })},
		{name: "missing segment", want: "damage file=x-0/", message: "are missing before this segment",
			spoil: func(t *testing.T, dir string) { remove(t, segments(t, dir, "x-0")[1]) }},
		{name: "missing first segment", want: "damage file=x-0/", message: "first segment begins at offset",
			spoil: func(t *testing.T, dir string) { remove(t, segments(t, dir, "x-0")[0]) }},
		{name: "missing last segment", want: "damage file=x-0/", message: "was stored",
			spoil: func(t *testing.T, dir string) { remove(t, last(t, dir)) }},
		{name: "renamed segment", want: "damage file=x-0/", message: "but the one before it ends at",
			spoil: func(t *testing.T, dir string) {
				s := segments(t, dir, "x-0")[2]
				if err := os.Rename(s, filepath.Join(dir, "x-0", "00000000000000000012.log")); err != nil {
					t.Fatal(err)
				}
			}},
		{name: "record count", want: "damage file=" + x0 + " position=0", message: "batch at offset 0",
			spoil: edit(func(_ *testing.T, all []placed) []placed {
				binary.BigEndian.PutUint32(all[0].raw[57:], 1)
				return all
			})},
		{name: "compressed records", want: "damage file=zipped-0/00000000000000000000.log position=0",
			message: "batch at offset 0",
			spoil: editOf("zipped-0", func(t *testing.T, all []placed) []placed {
				if all[0].Codec() != batch.Gzip {
					t.Fatal(all[0].Codec())
				}
				all[0].raw[75] ^= 0xff
				return all
			})},
		{name: "compressed records beyond the limit", want: "warning file=zipped-0/00000000000000000000.log position=0",
			message: "inflates beyond 300 bytes",
			spoil:   func(*testing.T, string) {}, options: inspect.Options{MaxInflatedBytes: 300}},
		{name: "largest timestamp", want: "warning file=" + x0 + " position=0", message: "largest timestamp",
			spoil: edit(func(_ *testing.T, all []placed) []placed { all[0].raw[42]++; return all })},
		{name: "leader epoch goes down", want: "damage file=" + x0, message: "leader epoch",
			spoil: edit(func(_ *testing.T, all []placed) []placed {
				batch.SetOffsetAndEpoch(all[1].raw, all[1].BaseOffset, -1)
				return all
			})},
		{name: "leader epoch from the future", want: "damage file=" + x0, message: "metadata is older than the log",
			spoil: edit(func(_ *testing.T, all []placed) []placed {
				for _, p := range all[3:] {
					batch.SetOffsetAndEpoch(p.raw, p.BaseOffset, 99)
				}
				return all
			})},
	}
}

// sizeOfFirst is how large the first batch of x-0 is: "plain0" and "more" with their keys.
var sizeOfFirst = len(batch.Build(batch.BuildOptions{},
	batch.Record{Key: []byte("key-plain0"), Value: []byte("plain0")},
	batch.Record{OffsetDelta: 1, Key: []byte("key-more"), Value: []byte("more")}))

func remove(t *testing.T, name string) {
	t.Helper()
	if err := os.RemoveAll(name); err != nil {
		t.Fatal(err)
	}
}

func stateSpoilings() []spoiling {
	sequence := func(p placed, v uint32) { binary.BigEndian.PutUint32(p.raw[53:], v) }
	plainIdempotent := func(p placed) bool { return p.HasProducer() && !p.IsTransactional() }
	return []spoiling{
		{name: "sequence gap", want: "damage file=x-0/", message: "base sequence does not follow",
			spoil: func(t *testing.T, dir string) {
				file := segments(t, dir, "x-0")[1]
				all := batches(t, file)
				sequence(*pick(t, all, plainIdempotent), 7)
				rewrite(t, file, all)
			}},
		{name: "producer epoch goes down", want: "damage file=x-0/", message: "producer epoch is older",
			spoil: func(t *testing.T, dir string) {
				file := segments(t, dir, "x-0")[1]
				all := batches(t, file)
				p := pick(t, all, func(p placed) bool { return p.IsTransactional() && !p.IsControl() })
				binary.BigEndian.PutUint16(p.raw[51:], 0)
				rewrite(t, file, all)
			}},
		{name: "producer id never handed out", want: "warning file=" + x0, message: "was never handed out",
			spoil: edit(func(t *testing.T, all []placed) []placed {
				p := pick(t, all, plainIdempotent)
				binary.BigEndian.PutUint64(p.raw[43:], 123456789)
				return all
			})},
		{name: "marker of the opposite", want: "damage file=" + x0, message: "decided otherwise",
			spoil: edit(func(t *testing.T, all []placed) []placed {
				turn(pick(t, all, isMarker(batch.Commit)).raw)
				return all
			})},
		{name: "commit marker instead of an abort", want: "damage file=" + x0, message: "decided otherwise",
			spoil: edit(func(t *testing.T, all []placed) []placed {
				turn(pick(t, all, isMarker(batch.Abort)).raw)
				return all
			})},
		{name: "commit marker before transactions V2 instead of an abort", want: "damage file=x-1/",
			message: "decided otherwise",
			spoil: func(t *testing.T, dir string) {
				file := segments(t, dir, "x-1")[1]
				all := batches(t, file)
				turn(pick(t, all, isMarker(batch.Abort)).raw)
				rewrite(t, file, all)
			}},
		{name: "marker removed", fromRunning: true, want: "damage file=x-1/", message: "hanging transaction",
			spoil: removeMarker},
		{name: "transaction of an unknown producer", want: "damage file=x-1/", message: "hanging transaction",
			spoil: func(t *testing.T, dir string) {
				s := segments(t, dir, "x-1")
				file := s[len(s)-1]
				all := batches(t, file)
				binary.BigEndian.PutUint64(all[len(all)-1].raw[43:], 17)
				rewrite(t, file, all)
			}},
		{name: "transaction state altered", want: "damage file=__transaction_state-", message: "CompleteCommit (",
			spoil: func(t *testing.T, dir string) { // PrepareCommit becomes PrepareAbort: CompleteCommit cannot follow
				alterState(t, dir, "one", 4, 3)
			}},
		{name: "transaction log record unreadable", want: "damage file=__transaction_state-", message: "record value",
			spoil: func(t *testing.T, dir string) { alterState(t, dir, "one", 2, 99) }},
		{name: "transactional id in the wrong partition", want: "damage file=__transaction_state-",
			message: "belongs to partition",
			spoil: func(t *testing.T, dir string) {
				file := internalOf(t, dir, "__transaction_state", "two")
				all := batches(t, file)
				for _, p := range all {
					copy(p.raw[bytes.Index(p.raw, []byte("two")):], "twq")
				}
				rewrite(t, file, all)
			}},
		{name: "group in the wrong partition", want: "damage file=__consumer_offsets-", message: "belongs to partition",
			spoil: func(t *testing.T, dir string) {
				file := internalOf(t, dir, "__consumer_offsets", "members")
				all := batches(t, file)
				for _, p := range all {
					copy(p.raw[bytes.Index(p.raw, []byte("members")):], "sremmem")
				}
				rewrite(t, file, all)
			}},
		{name: "offset record unreadable", want: "damage file=__consumer_offsets-", message: "offset 0",
			spoil: func(t *testing.T, dir string) {
				file := internalOf(t, dir, "__consumer_offsets", "staged")
				all := batches(t, file)
				at := bytes.Index(all[0].raw, []byte("staged"))
				all[0].raw[at-1] = 200 // length of the group's name
				rewrite(t, file, all)
			}},
		{name: "decision that the transaction log lost", want: "damage file=x-0/", message: "which was never decided",
			spoil: func(t *testing.T, dir string) { // the records of another id, as if this one had never been
				file := internalOf(t, dir, "__transaction_state", "one")
				all := batches(t, file)
				for _, p := range all {
					at := bytes.Index(p.raw, []byte("one")) + 3
					binary.BigEndian.PutUint64(p.raw[at+3:], 900) // behind length and version of the value: producer id
				}
				rewrite(t, file, all)
			}},
	}
}

// turn makes the marker of a commit that of an abort, and back. The type is the last byte of the key.
func turn(raw []byte) { raw[69] ^= 1 }

// removeMarker takes the last marker out of x-1 and moves what follows up, as if it had never been
// written. It stands above the barrier, once that is made older.
func removeMarker(t *testing.T, dir string) {
	s := segments(t, dir, "x-1")
	remove(t, s[len(s)-1]) // all of it above the barrier
	file := s[len(s)-2]
	all := batches(t, file)
	var kept []placed
	removed := int64(0)
	for i, p := range all {
		if p.IsControl() && i == len(all)-1 {
			removed++
			continue
		}
		batch.SetOffsetAndEpoch(p.raw, p.BaseOffset-removed, p.LeaderEpoch)
		kept = append(kept, p)
	}
	if removed == 0 {
		t.Fatal("no marker")
	}
	rewrite(t, file, kept)
	lowerRecoveryPoint(t, dir, "x-1", all[0].BaseOffset)
}

// lowerRecoveryPoint makes both barrier records say that less of a log is known to be on disk.
func lowerRecoveryPoint(t *testing.T, dir, partition string, to int64) {
	t.Helper()
	changeBarrier(t, dir, partition, 16, to)
}

// raiseStart makes both barrier records say that a log begins later.
func raiseStart(t *testing.T, dir, partition string, to int64) {
	t.Helper()
	changeBarrier(t, dir, partition, 24, to)
}

// changeBarrier sets a number in the entry of a log, so many bytes behind its name.
func changeBarrier(t *testing.T, dir, partition string, behind int, to int64) {
	t.Helper()
	for _, name := range []string{durability.BarrierFile(0), durability.BarrierFile(1)} {
		b := read(t, dir, name)
		size := binary.BigEndian.Uint32(b[8:])
		at := bytes.Index(b[:size], append(binary.BigEndian.AppendUint16(nil, uint16(len(partition))), partition...))
		if at < 0 {
			continue
		}
		binary.BigEndian.PutUint64(b[at+2+len(partition)+behind:], uint64(to))
		table := crc32.MakeTable(crc32.Castagnoli)
		binary.BigEndian.PutUint32(b[12:], crc32.Update(crc32.Checksum(b[:12], table), table, b[16:size]))
		write(t, b, dir, name)
	}
}

// alterState changes the status in the n-th record of a transactional ID.
func alterState(t *testing.T, dir, id string, n int, status byte) {
	t.Helper()
	file := internalOf(t, dir, "__transaction_state", id)
	all := batches(t, file)
	raw := all[n].raw
	at := bytes.Index(raw, []byte(id)) + len(id)
	_, varint := binary.Varint(raw[at:])
	raw[at+varint+2+8+2+4] = status // behind version, producer id, epoch and timeout
	rewrite(t, file, all)
}

// The fixture has nothing that only a look at the clock could tell apart: it is checked twice alike.
func TestCheckChangesNothing(t *testing.T) {
	for name, dir := range map[string]string{"clean": cleanDir(t), "running": runningDir(t)} {
		t.Run(name, func(t *testing.T) {
			before := fingerprint(t, dir)
			everything(t, dir)
			if after := fingerprint(t, dir); after != before {
				t.Errorf("before\n%s\nafter\n%s", before, after)
			}
			readOnly(t, dir)
			before = fingerprint(t, dir)
			everything(t, dir)
			if after := fingerprint(t, dir); after != before {
				t.Errorf("before\n%s\nafter\n%s", before, after)
			}
		})
	}
}

// everything that reads a directory.
func everything(t *testing.T, dir string) {
	t.Helper()
	check(t, dir, inspect.Note, inspect.Options{})
	for what, out := range dumps(t, dir) {
		if out == "" {
			t.Errorf("nothing dumped of %s", what)
		}
	}
}

func readOnly(t *testing.T, dir string) {
	t.Helper()
	set := func(file, directory fs.FileMode) {
		_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, _ error) error {
			if d.IsDir() {
				return os.Chmod(path, directory)
			}
			return os.Chmod(path, file)
		})
	}
	set(0o444, 0o555)
	t.Cleanup(func() { set(0o644, 0o755) })
}

// fingerprint is every name with its time and the hash of its content.
func fingerprint(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%s %v %v", path, info.Mode(), info.ModTime().UnixNano())
		if !d.IsDir() {
			fmt.Fprintf(&b, " %x", sha256.Sum256(read(t, path)))
		}
		b.WriteByte('\n')
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestARunningBrokerIsNotInspected(t *testing.T) {
	dir := cleanDir(t)
	b := brokertest.Start(t, brokertest.WithDataDir(dir))
	if _, err := inspect.Check(vfs.OS, dir, inspect.Options{}); !errors.Is(err, inspect.ErrInUse) {
		t.Errorf("beside a broker: %v", err)
	}
	if err := inspect.DumpMeta(&bytes.Buffer{}, vfs.OS, dir); !errors.Is(err, inspect.ErrInUse) {
		t.Errorf("beside a broker: %v", err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	inspecttest.RequireClean(t, dir)
}

func TestDirectoryThatIsNoDataDirectory(t *testing.T) {
	empty := t.TempDir()
	for _, dir := range []string{empty, filepath.Join(empty, "missing")} {
		if _, err := inspect.Check(vfs.OS, dir, inspect.Options{}); !errors.Is(err, inspect.ErrUnreadable) {
			t.Errorf("%s: %v", dir, err)
		}
	}
	if names, _ := os.ReadDir(empty); len(names) > 0 {
		t.Errorf("an empty directory now has %v", names)
	}
}

// A report is bounded, and says how much it leaves out.
func TestFindingsAreBounded(t *testing.T) {
	dir := cleanDir(t)
	for i := range 5 {
		write(t, nil, dir, fmt.Sprint("stranger-file", i, ".txt"))
	}
	report, err := inspect.Check(vfs.OS, dir, inspect.Options{MaxFindings: 2})
	if err != nil || len(report.Findings) != 2 || report.Omitted < 3 || report.Counters.Notes < 5 {
		t.Errorf("%d findings, %d left out, %+v, %v", len(report.Findings), report.Omitted, report.Counters, err)
	}
}

// hasty is a clock by which every look takes five seconds.
type hasty struct {
	clock.Real
	now time.Time
}

func (h *hasty) Now() time.Time { h.now = h.now.Add(5 * time.Second); return h.now }

func TestLongChecksReportProgress(t *testing.T) {
	var out strings.Builder
	report, err := inspect.Check(vfs.OS, cleanDir(t), inspect.Options{Progress: &out, Clock: &hasty{now: time.Now()}})
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if want := fmt.Sprintf("bytes_done=%[1]d bytes_total=%[1]d",
		report.Counters.Bytes); !strings.Contains(lines[len(lines)-1], want) || len(lines) < 10 {
		t.Errorf("want %q at the end of\n%s", want, out.String())
	}
}
