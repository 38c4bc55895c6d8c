package repair_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"once/inspect"
	"once/inspect/inspecttest"
	"once/internal/kafkatest"
	"once/internal/vfs"
	"once/log"
	"once/log/batch"
	"once/repair"
)

// lastSegment returns the newest segment of a partition that has batches.
func lastSegment(t *testing.T, dir, partition string) string {
	t.Helper()
	all := segments(t, dir, partition)
	for i := len(all) - 1; i >= 0; i-- {
		if len(read(t, all[i])) > 0 {
			return all[i]
		}
	}
	t.Fatalf("%s is empty", partition)
	return ""
}

// flipIn flips a bit in the records of the first batch that pick takes, and returns its header.
func flipIn(t *testing.T, name string, pick func(h batch.Header, raw []byte) bool) (flipped batch.Header) {
	t.Helper()
	b := read(t, name)
	found := false
	eachBatch(t, append([]byte{}, b...), func(h batch.Header, raw []byte) {
		if at := strings.Index(string(b), string(raw)); !found && pick(h, raw) {
			b[at+batch.HeaderSizeBytes+2] ^= 1
			flipped, found = h, true
		}
	})
	if !found {
		t.Fatal("no such batch")
	}
	write(t, name, b)
	return flipped
}

func mustSay(t *testing.T, said string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(said, p) {
			t.Errorf("no %q in\n%s", p, said)
		}
	}
}

// The segment that was written to last is damaged in the middle and at its end: no offset is given twice, and the
// group whose record is whole keeps its offset.
func TestRepairOfTheLastSegmentOfConsumerOffsets(t *testing.T) {
	for name, spoil := range map[string]func(b []byte) []byte{
		"flipped": func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
		"zeroed":  func(b []byte) []byte { clear(b[len(b)/2:]); return b },
		"cut off": func(b []byte) []byte { return b[:len(b)/2] },
		"gone":    func([]byte) []byte { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			b := start(t, dir)
			c := dial(t, b)
			c.CreateTopic("x", 1, nil)
			for i := range 20 {
				c.Commit(fmt.Sprint("group", i), "x", 0, int64(i), "metadata")
			}
			stop(t, b)
			file := lastSegment(t, dir, "__consumer_offsets-0")
			want := committedIn(t, []string{file}, nil)
			good := read(t, file)
			write(t, file, spoil(read(t, file)))
			lost := map[int64]bool{}
			end := int64(0)
			eachBatch(t, good, func(h batch.Header, raw []byte) {
				if !strings.Contains(string(read(t, file)), string(raw)) {
					lost[h.BaseOffset] = true
				}
				end = h.NextOffset()
			})
			for group, offset := range want {
				if lost[offset] { // the n-th group's record has the offset n
					want[group] = -1
				}
			}
			mustSay(t, startFails(t, dir), file, `"broker repair `+dir+`"`)
			out, err := run(t, vfs.OS, dir, repair.Options{Yes: true})
			if err != nil {
				t.Fatal(err, out)
			}
			mustSay(t, out, fmt.Sprintf("groups whose offsets can still be read: %d\n", 20-len(lost)),
				"repaired partitions=1 segments=1\n")
			inspecttest.RequireClean(t, dir)
			b = start(t, dir)
			c = dial(t, b)
			for group, offset := range want {
				if got, _ := c.Committed(group, "x", 0); got != offset {
					t.Errorf("%s has offset %d, want %d", group, got, offset)
				}
			}
			c.Commit("group0", "x", 0, 100, "")
			if got, _ := c.Committed("group0", "x", 0); got != 100 {
				t.Errorf("committed 100, fetched %d", got)
			}
			stop(t, b)
			eachBatch(t, read(t, lastSegment(t, dir, "__consumer_offsets-0")), func(h batch.Header, _ []byte) {
				if h.BaseOffset < end {
					t.Errorf("offset %d is given a second time", h.BaseOffset)
				}
			})
			inspecttest.RequireClean(t, dir)
		})
	}
}

// The transaction log: the plan names the IDs that remain, and transactions go on.
func TestRepairOfTransactionState(t *testing.T) {
	dir := small(t)
	file := lastSegment(t, dir, "__transaction_state-0")
	batches := 0
	eachBatch(t, read(t, file), func(batch.Header, []byte) { batches++ })
	n := 0
	flipIn(t, file, func(batch.Header, []byte) bool { n++; return n == batches }) // the record that says it is complete
	mustSay(t, startFails(t, dir), file, `"broker repair `+dir+`"`)
	out, err := run(t, vfs.OS, dir, repair.Options{Yes: true})
	if err != nil {
		t.Fatal(err, out)
	}
	mustSay(t, out, "transactional IDs that remain: 1\n", `transactional_id="payer" state=PrepareCommit`)
	inspecttest.RequireClean(t, dir)
	b := start(t, dir)
	transaction(dial(t, b), "y", "paid again", true)
	stop(t, b)
	inspecttest.RequireClean(t, dir)
}

// All of the transaction log is lost: its IDs are forgotten and begin anew, with producer IDs of their own.
func TestRepairOfATransactionStateWithNothingLeft(t *testing.T) {
	dir := small(t)
	write(t, lastSegment(t, dir, "__transaction_state-0"), nil)
	out, err := run(t, vfs.OS, dir, repair.Options{Yes: true})
	if err != nil {
		t.Fatal(err, out)
	}
	mustSay(t, out, "transactional IDs that remain: 0\n")
	inspecttest.RequireClean(t, dir)
	b := start(t, dir)
	transaction(dial(t, b), "y", "paid by another producer ID", true)
	stop(t, b)
	inspecttest.RequireClean(t, dir)
}

// The marker of a transaction is lost. The plan says so, with the producer and where its records begin, and which
// marker ends the transaction now.
func TestRepairNamesTransactionsInDoubt(t *testing.T) {
	for _, later := range []bool{false, true} {
		dir := small(t)
		if later {
			b := start(t, dir)
			transaction(dial(t, b), "y", "paid again", true)
			stop(t, b)
		}
		file := lastSegment(t, dir, "y-0")
		isMarker := func(h batch.Header, _ []byte) bool { return h.IsControl() }
		marker := flipIn(t, file, isMarker)
		out, err := run(t, vfs.OS, dir, repair.Options{})
		if err == nil {
			t.Fatal(out)
		}
		mustSay(t, out, fmt.Sprintf("lost: offsets %d\n", marker.BaseOffset),
			fmt.Sprintf("the marker of a transaction may be lost: producer %d, from offset %d on",
				marker.ProducerID, marker.BaseOffset-1))
		if later {
			mustSay(t, out, fmt.Sprintf("COMMIT at offset %d, ends it now", marker.BaseOffset+2))
		} else {
			mustSay(t, out, "It is open", "until the next start ends it")
		}
		if done, err := run(t, vfs.OS, dir, repair.Options{Yes: true}); err != nil {
			t.Fatal(err, done)
		}
		open := strings.Join(damage(t, dir), "\n")
		if hanging := strings.Contains(open, "hanging transaction of producer"); hanging == later {
			t.Errorf("later transaction: %v, check: %s", later, open)
		}
		stop(t, start(t, dir))
		inspecttest.RequireClean(t, dir)
	}
}

// damage returns what a check says that is not a note.
func damage(t *testing.T, dir string) (lines []string) {
	t.Helper()
	report, err := inspect.Check(vfs.OS, dir, inspect.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range report.Findings {
		if f.Severity != inspect.Note {
			lines = append(lines, f.String())
		}
	}
	return lines
}

// A broker was killed, and then a file was damaged below the last barrier: what was appended behind it is there after
// the repair and the next start.
func TestRepairAfterAKill(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	b := start(t, dir)
	c := dial(t, b)
	c.CreateTopic("x", 1, nil)
	for i := range 10 {
		c.Produce(nil, "x", 0, kafkatest.KeyValue("key", fmt.Sprint("value ", i)))
	}
	stop(t, b)
	b = start(t, dir)
	c = dial(t, b)
	c.Produce(nil, "x", 0, kafkatest.KeyValue("key", "after the last stop"))
	killed := filepath.Join(t.TempDir(), "killed")
	if err := os.CopyFS(killed, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	stop(t, b)
	flipIn(t, lastSegment(t, killed, "x-0"), func(h batch.Header, _ []byte) bool { return h.BaseOffset == 4 })
	if out, err := run(t, vfs.OS, killed, repair.Options{Yes: true}); err != nil {
		t.Fatal(err, out)
	}
	inspecttest.RequireClean(t, killed)
	b = start(t, killed)
	c = dial(t, b)
	got, code := values(t, c, "x")
	if code != 0 || len(got) != 10 || got[3] != "value 3" || got[4] != "" || got[10] != "after the last stop" {
		t.Errorf("code %d, %v", code, got)
	}
	stop(t, b)
	inspecttest.RequireClean(t, killed)
}

// Compaction was interrupted when what it wrote counted already: the segments that it was to replace are whole, and
// nothing is lost.
func TestRepairWithdrawsADestroyedReplacement(t *testing.T) {
	dir := compacted(t)
	all := segments(t, dir, "__consumer_offsets-0")
	good := read(t, all[0])
	destroy(t, dir, "__consumer_offsets-0", 0)
	next, _, _ := log.ParseFileName(filepath.Base(all[1]))
	if err := os.Rename(all[0], fmt.Sprintf("%s.swap-%020d", all[0], next)); err != nil {
		t.Fatal(err)
	}
	write(t, all[0], good)
	out, err := run(t, vfs.OS, dir, repair.Options{Yes: true})
	if err != nil {
		t.Fatal(err, out)
	}
	mustSay(t, out, "lost: nothing\n", "kept as __consumer_offsets-0/00000000000000000000.damaged-0\n")
	if got := segments(t, dir, "__consumer_offsets-0"); len(got) != len(all) || string(read(t, got[0])) != string(good) {
		t.Error("the segment that was whole is another one now")
	}
	inspecttest.RequireClean(t, dir)
}
