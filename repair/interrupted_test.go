package repair_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"once/broker"
	"once/broker/brokertest"
	"once/durability"
	"once/inspect"
	"once/internal/kafkatest"
	"once/internal/vfs"
	"once/repair"
)

// small makes a data directory with a topic x of three segments, a topic y of one, and a transaction in it, as a clean
// stop leaves it.
func small(t *testing.T) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "data")
	b := start(t, dir)
	c := dial(t, b)
	c.CreateTopic("x", 1, map[string]string{"segment.ms": "60000"})
	c.CreateTopic("y", 1, nil)
	for i := range 3 {
		for j := range 5 {
			c.Produce(nil, "x", 0, kafkatest.KeyValue("key", fmt.Sprint("value ", i, " ", j)))
			c.Produce(nil, "y", 0, kafkatest.KeyValue("key", fmt.Sprint("value ", i, " ", j)))
		}
		c.TimestampMs += 100_000 // a new segment
	}
	transaction(c, "y", "paid", true)
	c.Commit("group", "x", 0, 3, "")
	stop(t, b)
	if n := len(segments(t, dir, "x-0")); n != 3 {
		t.Fatalf("%d segments", n)
	}
	return dir
}

// spoil damages three segments: a batch in the middle of the log, the middle of the last segment, the end of one.
func spoil(t *testing.T, dir string) (spoiled map[string][][]byte) {
	t.Helper()
	x, y := segments(t, dir, "x-0"), segments(t, dir, "y-0")
	edit := func(name string, f func(b []byte) []byte) []byte {
		b := f(read(t, name))
		write(t, name, b)
		return b
	}
	return map[string][][]byte{
		"x-0": {
			edit(x[1], func(b []byte) []byte { b[100] ^= 1; return b }),
			edit(x[2], func(b []byte) []byte { clear(b[100:300]); return b }),
		},
		"y-0": {edit(y[0], func(b []byte) []byte { return b[:len(b)-100] })},
	}
}

// A repair is interrupted at each of its operations, by a death, by an error of the disk, or by a power cut. What it
// leaves can be repaired again, with or without a start in between, and comes to the same end.
func TestRepairCanBeInterruptedAnywhere(t *testing.T) {
	dir := small(t)
	spoiled := spoil(t, dir)
	undisturbed := vfs.NewMem()
	inMemory(t, undisturbed, dir)
	if out, err := run(t, undisturbed, dir, repair.Options{Yes: true}); err != nil {
		t.Fatal(err, out)
	}
	whole := vfs.NewCrashable(0)
	inMemory(t, whole, dir)
	metadata := read(t, filepath.Join(dir, "meta.db"))
	startOn := func(t *testing.T, fs vfs.FS) {
		t.Helper()
		stop(t, start(t, dir, func(c *broker.Config) { c.FS = fs }))
		write(t, filepath.Join(dir, "meta.db"), metadata)
	}
	for name, way := range map[string]struct {
		interrupt func(n int, under vfs.FS) *vfs.Failing
		left      func(m *vfs.Mem) *vfs.Mem
		between   func(t *testing.T, fs vfs.FS)
	}{
		"death":                  {vfs.DieAt, (*vfs.Mem).Clone, nil},
		"death, and a start":     {vfs.DieAt, (*vfs.Mem).Clone, startOn},
		"error":                  {vfs.FailAt, (*vfs.Mem).Clone, nil},
		"power cut":              {vfs.DieAt, (*vfs.Mem).CrashClone, nil},
		"power cut, and a start": {vfs.DieAt, (*vfs.Mem).CrashClone, startOn},
	} {
		t.Run(name, func(t *testing.T) {
			seeds := 1
			if strings.Contains(name, "power") {
				seeds = 4 // what is left is a matter of dice
			}
			for i := 0; ; i++ {
				n := i / seeds
				mem := whole.Clone()
				mem.Reseed(int64(i))
				failing := way.interrupt(n, mem)
				_, err := run(t, failing, dir, repair.Options{Yes: true})
				if failing.Fired() && err == nil {
					t.Fatalf("operation %d failed and nobody noticed", n)
				}
				left := way.left(mem)
				if way.between != nil {
					way.between(t, left)
				}
				if out, err := run(t, left, dir, repair.Options{Yes: true}); err != nil {
					t.Fatalf("operation %d: %v\n%s", n, err, out)
				}
				slots := durability.ReadBarriers(left, dir)
				for partition, damaged := range spoiled {
					if e := durability.NewestBarrier(&slots).Entries[partition]; e.StartOffset != 0 {
						t.Fatalf("operation %d: %s begins at offset %d", n, partition, e.StartOffset)
					}
					want, _ := filesIn(t, undisturbed, dir, partition)
					got, aside := filesIn(t, left, dir, partition)
					mustEqualFiles(t, got, want)
					for _, b := range damaged {
						mustContainBytes(t, aside, b)
					}
				}
				if !failing.Fired() {
					if n < 20 {
						t.Errorf("only %d operations", n)
					}
					break
				}
			}
		})
	}
}

// A full disk: the repair ends, and the directory is as it was but for what is derived.
func TestRepairOnAFullDiskChangesNoSegment(t *testing.T) {
	dir := small(t)
	spoil(t, dir)
	spoiled := vfs.NewMem()
	inMemory(t, spoiled, dir)
	for n := 0; ; n++ {
		mem := spoiled.Clone()
		full := vfs.FailAt(n, mem).With(vfs.ErrNoSpace)
		_, err := run(t, full, dir, repair.Options{Yes: true})
		if !full.Fired() {
			break
		}
		if !errors.Is(err, vfs.ErrNoSpace) {
			t.Fatalf("operation %d: %v", n, err)
		}
		if out, err := run(t, mem, dir, repair.Options{Yes: true}); err != nil {
			t.Fatalf("operation %d: %v\n%s", n, err, out)
		}
	}
}

// Beside a broker nothing is said or done, and a directory without damage has nothing to repair.
func TestRepairIsForAStoppedBroker(t *testing.T) {
	dir := small(t)
	b := brokertest.Start(t, brokertest.WithDataDir(dir))
	for _, yes := range []bool{false, true} {
		if out, err := run(t, vfs.OS, dir, repair.Options{Yes: yes}); !errors.Is(err, inspect.ErrInUse) || out != "" {
			t.Errorf("beside a broker: %v, %q", err, out)
		}
	}
	stop(t, b)
	for _, yes := range []bool{false, true} {
		if out, err := run(t, vfs.OS, dir, repair.Options{Yes: yes}); err != nil || out != "nothing to repair\n" {
			t.Errorf("of a whole directory: %v, %q", err, out)
		}
	}
	if _, err := run(t, vfs.OS, dir, repair.Options{Partitions: []string{"x-7"}}); !errors.Is(err, inspect.ErrUnreadable) {
		t.Errorf("a partition that there is not: %v", err)
	}
	if _, err := run(t, vfs.OS, t.TempDir(), repair.Options{Yes: true}); !errors.Is(err, inspect.ErrUnreadable) {
		t.Errorf("no data directory: %v", err)
	}
}

// What a repair would do it says without changing a byte or a name, also on a disk that cannot be written.
func TestRepairAsksFirst(t *testing.T) {
	dir := small(t)
	spoil(t, dir)
	if err := os.Remove(filepath.Join(dir, ".lock")); err != nil {
		t.Fatal(err)
	}
	before := fingerprint(t, dir)
	for range 2 {
		if out, err := run(t, vfs.OS, dir, repair.Options{}); !errors.Is(err, inspect.ErrDamaged) || len(out) < 100 {
			t.Errorf("%v, %q", err, out)
		}
	}
	if after := fingerprint(t, dir); after != before {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}
	// Only the partition that was asked for.
	if out, err := run(t, vfs.OS, dir, repair.Options{Yes: true, Partitions: []string{"y-0"}}); err != nil {
		t.Error(err, out)
	}
	if _, aside := filesIn(t, vfs.OS, dir, "x-0"); len(aside) > 0 {
		t.Error("another partition was repaired")
	}
	if _, aside := filesIn(t, vfs.OS, dir, "y-0"); len(aside) != 1 {
		t.Error("the partition was not repaired")
	}
}

// Damage of what concerns the directory as a whole is named and left.
func TestRepairLeavesDamageThatItCannotRepair(t *testing.T) {
	for name, spoilMore := range map[string]func(t *testing.T, dir string) (file string){
		"metadata": func(t *testing.T, dir string) string {
			write(t, filepath.Join(dir, "meta.db"), []byte("no database"))
			return "meta.db"
		},
		"barrier records": func(t *testing.T, dir string) string {
			for slot := range 2 {
				write(t, filepath.Join(dir, durability.BarrierFile(slot)), []byte("no record"))
			}
			return durability.BarrierFile(0)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := small(t)
			spoil(t, dir)
			file := spoilMore(t, dir)
			before := fingerprint(t, dir)
			for _, yes := range []bool{false, true} {
				out, err := run(t, vfs.OS, dir, repair.Options{Yes: yes})
				if !errors.Is(err, inspect.ErrDamaged) || !containsLine(out, "not repaired: damage file="+file) {
					t.Errorf("%v\n%s", err, out)
				}
			}
			if after := fingerprint(t, dir); after != before {
				t.Errorf("before\n%s\nafter\n%s", before, after)
			}
		})
	}
}
