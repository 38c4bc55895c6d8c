package partition

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"once/internal/vfs"
	"once/log/batch"
)

// A marker goes in the pass that merges its segment into the one before it. When the power is cut while the merged
// segment's files are removed, any of them may come back; the entry of its list of aborted transactions must not:
// clients would skip what the producer committed later.
func TestAbortedEntryOfAMergedSegmentDoesNotComeBack(t *testing.T) {
	story := func(s *shelf, lastPass func()) error {
		if err := s.open(); err != nil {
			return err
		}
		_, err := s.send(rec{"first", "1"}) // in the segment that the others are merged into
		err = errors.Join(err, s.p.log.Roll())
		_, err1 := s.sendAs(7, 0, 0, true, rec{"k", "1"})
		err2 := s.end(7, 0, batch.Abort)
		_, err3 := s.sendAs(7, 0, 1, true, rec{"k", "committed"})
		err = errors.Join(err, err1, err2, err3, s.end(7, 0, batch.Commit))
		for pass := range 3 {
			if err == nil {
				_, err = s.send(rec{fmt.Sprint(pass), "x"})
			}
			if err == nil {
				err = errors.Join(s.p.log.Roll(), s.barrier.Sync(context.Background()))
			}
			if pass == 2 {
				lastPass()
				s.config.Log.SegmentBytes = 2000
				s.p.SetConfig(s.config)
			}
			if err == nil {
				_, err = s.p.Compact(context.Background(), s.nowMs(), 1<<20)
			}
			s.clock.Advance(time.Minute)
		}
		return err
	}
	prepare := func(mem *vfs.Mem, fs vfs.FS) *shelf {
		s := newShelf(t, mem)
		s.fs = fs
		s.config.Log.SegmentBytes = 100
		s.config.Compaction = Compaction{Compact: true, DeleteRetentionMs: 10_000}
		return s
	}
	mem := vfs.NewMem()
	counted := vfs.FailAt(1<<30, mem)
	s, from := prepare(mem, counted), 0
	if err := story(s, func() { from = counted.Operations() }); err != nil || strings.Contains(s.layout(), "ABORT") {
		t.Fatalf("%v\n%s", err, s.layout())
	}
	s.shut()
	for n, fired := from, true; fired; n++ {
		mem := vfs.NewCrashable(int64(n))
		dying := vfs.DieAt(n, mem)
		s := prepare(mem, dying)
		_ = story(s, func() {})
		for seed := range int64(20) {
			mem.Reseed(seed<<32 + int64(n))
			again := newShelf(t, mem.CrashClone())
			again.config, again.clock, again.starts, again.boot = s.config, s.clock, s.starts+1, "boot-2"
			again.mustOpen()
			got := must1(consume(again.p, 0, true, 1<<20))
			if !slices.ContainsFunc(got, func(x seen) bool { return x.value == "committed" }) {
				t.Fatalf("operation %d, seed %d: %v\n%s%v", n, seed, got, again.layout(), again.p.log.AbortedBetween(0, 100))
			}
			again.shut()
		}
		_ = s.barrier.Close(false)
		fired = dying.Fired()
	}
}

// What a pass has written is read back from memory. A start after a power cut reads it from the disk before the
// originals go; when it is not what was written, it is named and everything stays.
func TestDamagedReplacementIsNotFinishedByAStart(t *testing.T) {
	for n := 0; ; n++ {
		mem := vfs.NewCrashable(1)
		dying := vfs.DieAt(n, mem)
		s := newShelf(t, mem)
		s.fs = dying
		s.config.Log.SegmentBytes = 300
		s.config.Compaction = Compaction{Compact: true}
		err := s.open()
		for i := range 12 {
			if err == nil {
				_, err = s.send(rec{"a", fmt.Sprint(i)}, rec{fmt.Sprint("key", i), "x"})
			}
		}
		if err == nil {
			err = errors.Join(s.p.log.Roll(), s.barrier.Sync(context.Background()))
		}
		if err == nil {
			_, err = s.p.Compact(context.Background(), s.nowMs(), 1<<20)
		}
		if !dying.Fired() {
			t.Fatal("no death left a replacement")
		}
		if s.barrier != nil {
			_ = s.barrier.Close(false)
		}
		names, _ := mem.List("data/x-0")
		i := slices.IndexFunc(names, func(name string) bool { return strings.Contains(name, ".log.swap-") })
		if i < 0 || err == nil {
			continue
		}
		f := must1(mem.OpenReadWrite("data/x-0/" + names[i]))
		var b [1]byte
		must1(f.ReadAt(b[:], 65))
		flip := func() { b[0] ^= 4; must1(f.WriteAt(b[:], 65)) }
		flip()
		again := newShelf(t, mem.Clone())
		again.config, again.boot = s.config, "boot-2"
		if err := again.open(); err == nil || !strings.Contains(err.Error(), names[i]+" is damaged at byte 0") {
			t.Fatalf("operation %d: %v", n, err)
		}
		left, _ := again.fs.List("data/x-0")
		for _, name := range names {
			if strings.HasSuffix(name, ".log") && !slices.Contains(left, name) {
				t.Errorf("%s is gone", name)
			}
		}
		_ = again.barrier.Close(false)
		flip()
		again = newShelf(t, mem.Clone())
		again.config = s.config
		again.mustOpen()
		if got := must1(consume(again.p, 0, true, 1<<20)); len(got) < 13 {
			t.Errorf("repaired, there are %v", got)
		}
		again.shut()
		return
	}
}
