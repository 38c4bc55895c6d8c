package durability

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"once/internal/files"
	"once/internal/vfs"
	"once/log/batch"
)

var testTopic = [16]byte{1, 2, 3}

// noLogs is Options.FindLogs of a directory without logs.
func noLogs(vfs.FS, string) ([]string, error) { return nil, nil }

func TestRecordSurvivesEncoding(t *testing.T) {
	r := Record{Sequence: 7, Generation: 1 << 63, Clean: true, Restore: true, Mode: Txn, BootID: "some boot",
		Entries: map[string]RecordEntry{
			"orders-0": {[16]byte{1}, 100, 20, true, false}, "orders-1": {[16]byte{2}, 0, 0, false, true}, "a": {}}}
	got, err := decodeRecord(r.encode())
	if err != nil || got.Sequence != 7 || got.Generation != 1<<63 || !got.Restore || !got.Clean || got.Mode != Txn ||
		got.BootID != "some boot" || len(got.Entries) != 3 {
		t.Fatal(got, err)
	}
	for name, e := range r.Entries {
		if got.Entries[name] != e {
			t.Error(name, got.Entries[name])
		}
	}
	raw := r.encode()
	for i := range raw {
		bad := bytes.Clone(raw)
		bad[i] ^= 0x40
		if _, err := decodeRecord(bad); err == nil {
			t.Errorf("flip in byte %d unnoticed", i)
		}
	}
}

// A start after a death makes the newest record durable before it writes over the other one: the process may have
// died before it had synced it, and then the power goes during the start.
func TestStartNeverLosesBothRecords(t *testing.T) {
	mem := vfs.NewCrashable(1)
	if err := mem.MkdirAll("data"); err != nil {
		t.Fatal(err)
	}
	newest := Record{BootID: "boot-1", Entries: map[string]RecordEntry{}}
	for i := range 40 { // more than a disk writes at once
		newest.Entries[fmt.Sprint("orders-", i)] = RecordEntry{TopicID: testTopic, RecoveryPoint: 1}
	}
	for newest.Sequence < 3 {
		mem.SyncAll() // not of the last one
		newest.Sequence++
		for name, e := range newest.Entries {
			e.RecoveryPoint++
			newest.Entries[name] = e
		}
		f, err := files.OpenOrCreate(mem, "data/"+slotName(newest.Sequence))
		if err == nil {
			_, err = f.WriteAt(newest.encode(), 0)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for n, fired := 0, true; fired; n++ {
		for seed := range int64(20) {
			left := mem.Clone()
			left.Reseed(seed)
			dying := vfs.DieAt(n, left)
			b, err := Open(Options{FS: dying, Dir: "data", FindLogs: noLogs, BootID: "boot-1", Mode: Page})
			if err == nil {
				b.Kill()
			}
			fired = dying.Fired()
			if _, err := readRecord(left.CrashClone(), "data"); err != nil {
				t.Fatalf("seed %d, died at operation %d: %v", seed, n, err)
			}
		}
	}
}

func FuzzBarrierRecord(f *testing.F) {
	r := Record{Sequence: 7, Mode: Txn, BootID: "boot",
		Entries: map[string]RecordEntry{"orders-0": {testTopic, 100, 20, true, true}}}
	f.Add(r.encode())
	f.Add((&Record{}).encode())
	f.Add(bytes.Repeat([]byte{0xff}, 64))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) >= recordHeaderBytes { // get past the checksum
			data = bytes.Clone(data)
			fixed := recordCRC(data)
			data[12], data[13], data[14], data[15] = byte(fixed>>24), byte(fixed>>16), byte(fixed>>8), byte(fixed)
		}
		r, err := decodeRecord(data)
		if err != nil {
			return
		}
		again, err := decodeRecord(r.encode())
		if err != nil || len(again.Entries) != len(r.Entries) || again.Sequence != r.Sequence {
			t.Fatal(again, err)
		}
	})
}

func FuzzJournal(f *testing.F) {
	mem := vfs.NewMem()
	j := newJournal(Options{FS: mem, Dir: "data", Sizes: Sizes{}.withDefaults()}, 77)
	if err := errors.Join(mem.MkdirAll("data"), j.create(), j.begin(5)); err != nil {
		f.Fatal(err)
	}
	for i := range int64(3) {
		j.restart()
		raw := batch.Build(batch.BuildOptions{BaseOffset: i, ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1,
			TimestampMs: 1000},
			batch.Record{Value: []byte("one")}, batch.Record{Value: []byte("two")})
		j.add("orders-0", testTopic, raw)
		group, _ := j.takeGroup(false)
		if _, err := j.write(group); err != nil {
			f.Fatal(err)
		}
	}
	whole, err := files.ReadSmall(mem, "data/"+JournalFile)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole, true)
	f.Add(whole[:journalPageBytes+100], false)
	f.Add(bytes.Repeat([]byte{0xff}, 64), true)
	f.Fuzz(func(t *testing.T, data []byte, fix bool) {
		// get past the checksums of the heads and the first group
		for _, at := range []int{0, journalHeadSpacing, journalPageBytes} {
			if !fix || len(data) < at+journalHeaderBytes {
				continue
			}
			data = bytes.Clone(data)
			if size := binary.BigEndian.Uint32(data[at+8:]); size >= journalHeaderBytes && int64(size) <= int64(len(data)-at) {
				binary.BigEndian.PutUint32(data[at+12:], groupCRC(data[at:at+int(size)], 77))
			}
		}
		mem := vfs.NewMem()
		file, err := mem.Create(JournalFile)
		if err == nil {
			_, err = file.WriteAt(data, 0)
		}
		if err != nil {
			t.Fatal(err)
		}
		found, err := readJournal(mem, ".", &Record{Generation: 5, key: 77})
		if err != nil && !errors.Is(err, files.ErrDamaged) && !errors.Is(err, files.ErrFormat) &&
			!errors.Is(err, errNewerRecord) {
			t.Fatal(err)
		}
		for _, e := range found {
			if e.Header.SizeBytes() != len(e.Raw) || e.Header.NextOffset() <= e.Header.BaseOffset {
				t.Fatalf("%+v", e.Header)
			}
		}
	})
}

// No version has written a group of the journal above the limit: one that says so is none, whatever its checksum.
func TestGroupOfTheJournalHasALimit(t *testing.T) {
	j := journal{generation: 7, key: 77}
	r := journalReader{generation: 7, key: 77}
	for _, size := range []int{journalHeaderBytes + 100, maxGroupBytes, maxGroupBytes + 1, 2 * maxGroupBytes} {
		b := make([]byte, size)
		j.seal(b, journalGroup, 0)
		if _, raw, err := r.header(b); err != nil || (raw != nil) != (size <= maxGroupBytes) {
			t.Errorf("%d bytes: %d believed, %v", size, len(raw), err)
		}
	}
}
