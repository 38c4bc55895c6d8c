package inspect_test

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"once/durability"
	"once/inspect"
	"once/internal/clock"
	"once/internal/vfs"
	"once/log"
	"once/log/batch"
	"once/log/directory"
	"once/partition"
)

// machine is a partition on a machine whose power can be cut.
type machine struct {
	t       *testing.T
	dir     string
	mode    durability.Mode
	barrier *durability.Barrier
	*partition.Partition
	nowMs int64
}

// boot starts the partition under a kernel of this name. What an earlier one had open is left as it is:
// with every byte in its file, though the barrier record does not vouch for all.
func (m *machine) boot(name string) {
	m.t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	var err error
	m.barrier, err = durability.Open(durability.Options{FS: vfs.OS, Dir: m.dir, FindLogs: directory.Logs, BootID: name,
		Mode: m.mode, Interval: time.Hour, Logger: quiet})
	if err != nil {
		m.t.Fatal(err)
	}
	m.Partition, err = partition.Open(partition.ID{Topic: "x", TopicID: [16]byte{1}}, partition.Options{
		FS: vfs.OS, Dir: m.dir, Barrier: m.barrier, Clock: clock.Real{}, Logger: quiet, Unverified: true,
		Config: partition.Config{Log: log.Config{SegmentMs: 1000}, Rules: batch.Rules{
			MaxMessageBytes: 1 << 20, SegmentBytes: 1 << 30, TimestampBeforeMaxMs: math.MaxInt64,
			TimestampAfterMaxMs: math.MaxInt64, MaxInflatedBytes: 1 << 20,
		}},
	})
	if err != nil {
		m.t.Fatal(err)
	}
}

// abort writes a transaction of some records and aborts it.
func (m *machine) abort(sequence int32, records int) {
	m.t.Helper()
	m.write(sequence, records, m.nowMs)
	if _, err := m.AppendMarker(batch.Marker{ProducerID: 1, Type: batch.Abort, TimestampMs: m.nowMs}, 0); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) write(sequence int32, records int, timestampMs int64) {
	m.t.Helper()
	list := make([]batch.Record, records)
	for i := range list {
		list[i] = batch.Record{OffsetDelta: int32(i), Key: []byte("k"), Value: []byte("v")}
	}
	raw := batch.Build(batch.BuildOptions{ProducerID: 1, BaseSequence: sequence, Transactional: true,
		TimestampMs: timestampMs, LeaderEpoch: -1}, list...)
	if _, err := m.AppendClient(raw, 0, 11); err != nil {
		m.t.Fatal(err)
	}
}

// The transaction index knew two aborted transactions when the power went, and one of them went with the
// cut. The one that comes in its place is another one: readers of committed data have to be told of it,
// and not of the one that is gone.
func TestTransactionLostInAPowerCutLeavesTheIndex(t *testing.T) {
	m := &machine{t: t, dir: t.TempDir(), nowMs: time.Now().UnixMilli()}
	m.boot("first")
	m.abort(0, 1)
	if err := m.barrier.Sync(context.Background()); err != nil {
		t.Fatal(err)
	}
	m.abort(1, 1)
	m.write(2, 1, m.nowMs+60_000) // a new segment: the index of the first one is written
	m.boot("second")
	m.abort(1, 5)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if err := m.barrier.Close(true); err != nil {
		t.Fatal(err)
	}
	for _, line := range check(t, m.dir, inspect.Warning, inspect.Options{BootID: "second"}) {
		if !strings.HasPrefix(line, "damage file=meta.db: metadata is missing") { // there is no broker here
			t.Error(line)
		}
	}
}

// What the journal has is judged as a part of the log, whatever a power cut has left of the log's own files: the
// next start appends it. After that start nothing has changed.
func TestCheckReadsOnInTheJournal(t *testing.T) {
	whole := t.TempDir()
	m := &machine{t: t, dir: whole, mode: durability.Fsync, nowMs: time.Now().UnixMilli()}
	m.boot("first")
	if err := m.barrier.Recovered(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i := range int32(4) {
		m.abort(i, 1)
	}
	if err := m.barrier.Sync(t.Context()); err != nil { // a group at least
		t.Fatal(err)
	}
	m.nowMs += 60_000 // a new segment
	m.abort(4, 1)
	if err := m.barrier.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	first := filepath.Join("x-0", log.FileName(0, log.LogSuffix))
	for name, lose := range map[string]func(dir string) error{
		"nothing":       func(string) error { return nil },
		"the directory": func(dir string) error { return os.RemoveAll(filepath.Join(dir, "x-0")) },
		"a tail":        func(dir string) error { return os.Truncate(filepath.Join(dir, first), 150) },
		"a segment":     func(dir string) error { return os.Remove(filepath.Join(dir, first)) },
		"bytes": func(dir string) error {
			b, err := os.ReadFile(filepath.Join(dir, first))
			if err == nil {
				b[100] ^= 1
				err = os.WriteFile(filepath.Join(dir, first), b, 0o644)
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			after := &machine{t: t, dir: filepath.Join(t.TempDir(), "data"), mode: durability.Page}
			if err := errors.Join(os.CopyFS(after.dir, os.DirFS(whole)), lose(after.dir)); err != nil {
				t.Fatal(err)
			}
			judged := func() inspect.Counters {
				report, err := inspect.Check(vfs.OS, after.dir, inspect.Options{BootID: "second"})
				if err != nil {
					t.Fatal(err)
				}
				for _, f := range report.Findings {
					if f.Severity >= inspect.Warning && f.File != "meta.db" { // there is no broker here
						t.Error(f)
					}
				}
				return report.Counters
			}
			before := judged()
			if before.Batches != 10 || before.Records != 10 {
				t.Errorf("%+v", before)
			}
			after.boot("second")
			if err := errors.Join(after.barrier.Recovered(t.Context()), after.Close(), after.barrier.Close(true)); err != nil {
				t.Fatal(err)
			}
			if now := judged(); now.Batches != 10 || now.Records != 10 {
				t.Errorf("after the start: %+v", now)
			}
		})
	}
	var dump strings.Builder
	if err := inspect.DumpBarrier(&dump, vfs.OS, whole); err != nil ||
		strings.Count(dump.String(), "\njournal position=") != 10 ||
		!strings.Contains(dump.String(),
			" partition=x-0 topic_id=AQAAAAAAAAAAAAAAAAAAAA base_offset=9 last_offset=9 size_bytes=78\n") {
		t.Error(err, dump.String())
	}
	flip(t, 4096+100, whole, durability.JournalFile) // in its first group, which no start needs while the machine is up
	for boot, want := range map[string]string{"first": "warning file=" + durability.JournalFile,
		"second": "damage file=" + durability.JournalFile} {
		if lines := strings.Join(check(t, whole, inspect.Warning, inspect.Options{BootID: boot}),
			"\n"); !strings.Contains(lines, want) {
			t.Errorf("no %q in %s", want, lines)
		}
	}
	for content, wrong := range map[string]bool{"": true, "discard\n": false} {
		if err := os.WriteFile(filepath.Join(whole, durability.JournalFile), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		lines := strings.Join(check(t, whole, inspect.Note, inspect.Options{BootID: "second"}), "\n")
		if strings.Contains(lines, durability.JournalFile) != wrong {
			t.Errorf("of a journal that is %q the check says %s", content, lines)
		}
	}
	if err := os.Remove(filepath.Join(whole, durability.JournalFile)); err != nil {
		t.Fatal(err)
	}
	lines := strings.Join(check(t, whole, inspect.Damage, inspect.Options{BootID: "second"}), "\n")
	if !strings.Contains(lines, "damage file="+durability.JournalFile) {
		t.Error("a missing journal is not found:", lines)
	}
}
