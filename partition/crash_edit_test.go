package partition_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand"
	"path"
	"slices"
	"strings"
	"testing"

	"once/durability"
	"once/internal/files"
	"once/internal/vfs"
)

// Files that somebody changed while the broker was down (spec: reliability F12, F13, F15).

func readFile(f vfs.FS, name string) ([]byte, bool) {
	file, err := f.OpenRead(name)
	if err != nil {
		return nil, false
	}
	defer file.Close()
	size, _ := file.Size()
	b := make([]byte, size)
	_, _ = file.ReadAt(b, 0)
	return b, true
}

func writeFile(f vfs.FS, name string, b []byte) error {
	_ = f.Remove(name)
	file, err := f.Create(name)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = file.WriteAt(b, 0)
	return err
}

// filesOf lists the files of all partitions that have one of the suffixes.
func filesOf(f vfs.FS, suffixes ...string) (names []string) {
	for i := range partitions {
		dir := path.Join(dataDir, partitionID(i).String())
		files, _ := f.List(dir)
		for _, name := range files {
			if slices.ContainsFunc(suffixes, func(s string) bool { return strings.HasSuffix(name, s) }) {
				names = append(names, path.Join(dir, name))
			}
		}
	}
	return names
}

var derivedSuffixes = []string{".index", ".timeindex", ".txnindex", ".snapshot", "leader-epoch-checkpoint",
	"txnindex-checkpoint"}

// twoHalves tells a story and also returns what was on disk at half of it.
func twoHalves(mode durability.Mode, seed int64) (*storage, *vfs.Mem, *vfs.Mem, error) {
	mem := vfs.NewCrashable(seed)
	s := newStorage(mem, mode)
	s.large, s.keepsAll = seed%2 == 0, true
	dice := storyDice(seed)
	if err := s.start(); err != nil {
		return s, nil, nil, err
	}
	if err := s.story(dice, storySteps, false); err != nil {
		return s, nil, nil, err
	}
	half := mem.Clone()
	err := s.story(dice, storySteps, false)
	return s, half, mem, err
}

// Derived files cost time when they are gone, and nothing else, whatever is in their place (P10).
func TestDerivedFilesDecideNothing(t *testing.T) {
	seeds, _ := plan(t, 1)
	edits := map[string]func(dice *rand.Rand, b, older []byte) []byte{ // nil deletes
		"deleted":    func(*rand.Rand, []byte, []byte) []byte { return nil },
		"emptied":    func(*rand.Rand, []byte, []byte) []byte { return []byte{} },
		"cut":        func(dice *rand.Rand, b, _ []byte) []byte { return b[:dice.Intn(len(b)+1)] },
		"zeroed":     func(_ *rand.Rand, b, _ []byte) []byte { return make([]byte, len(b)) },
		"garbage":    func(dice *rand.Rand, b, _ []byte) []byte { dice.Read(b); return b },
		"older copy": func(_ *rand.Rand, _, older []byte) []byte { return older },
		"one bit": func(dice *rand.Rand, b, _ []byte) []byte {
			if len(b) > 0 {
				b[dice.Intn(len(b))] ^= 1 << dice.Intn(8)
			}
			return b
		},
	}
	edited := 0
	for _, seed := range slices.Concat(seeds, []int64{101, 102, 103, 104}) {
		for name, edit := range edits {
			s, half, mem, err := twoHalves(durability.Page, seed)
			left := mem.Clone()
			s.leave()
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			dice := storyDice(seed)
			for _, file := range filesOf(left, derivedSuffixes...) {
				if name != "deleted" && dice.Intn(3) == 0 {
					continue
				}
				edited++
				b, _ := readFile(left, file)
				older, _ := readFile(half, file)
				if b = edit(dice, b, older); b == nil {
					_ = left.Remove(file)
				} else if err := writeFile(left, file, b); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.goesOnAs(left, s.boot, s.now().ends); err != nil {
				t.Errorf("seed %d, derived files %s: %v", seed, name, err)
			}
		}
	}
	t.Logf("%d derived files edited", edited)
}

// goesOnAs starts on what is left, which must hold everything below the given ends.
func (s *storage) goesOnAs(left *vfs.Mem, boot string, least [partitions]int64) error {
	after := s.reopened(left, boot)
	after.keepsAll = true
	defer after.leave()
	if err := after.start(); err != nil {
		return err
	}
	for i := range after.parts {
		if err := after.adoptEnd(i, least[i]); err != nil {
			return err
		}
	}
	after.resume()
	return after.afterwards()
}

// lastLog is the newest segment of a partition.
func lastLog(f vfs.FS, i int) (string, []byte) {
	var last string
	for _, name := range filesOf(f, ".log") {
		if strings.HasPrefix(name, path.Join(dataDir, partitionID(i).String())+"/") {
			last = name
		}
	}
	b, _ := readFile(f, last)
	return last, b
}

// Above the last barrier, what is not a valid continuation is cut, and what is stays (P8, F15).
func TestTailsAreCutAtTheLastValidBatch(t *testing.T) {
	seeds, _ := plan(t, 1)
	type tail struct {
		edit func(dice *rand.Rand, b []byte) []byte
		cuts bool // the last batch goes, too
	}
	for _, seed := range slices.Concat(seeds, []int64{201, 202, 203, 204, 205, 206}) {
		for name, c := range map[string]tail{
			"zeros": {edit: func(dice *rand.Rand, b []byte) []byte { return append(b, make([]byte, 1+dice.Intn(9000))...) }},
			"garbage": {edit: func(dice *rand.Rand, b []byte) []byte {
				g := make([]byte, 1+dice.Intn(9000))
				dice.Read(g)
				return append(b, g...)
			}},
			"a copy":    {edit: func(_ *rand.Rand, b []byte) []byte { return append(b, b...) }},
			"a bit":     {cuts: true, edit: func(_ *rand.Rand, b []byte) []byte { b[len(b)-1] ^= 4; return b }},
			"half gone": {cuts: true, edit: func(_ *rand.Rand, b []byte) []byte { return b[:len(b)-7] }},
		} {
			s, _, mem, err := twoHalves(durability.Page, seed)
			left := mem.Clone()
			s.leave()
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			dice := storyDice(seed)
			least := s.now().ends
			for i := range partitions {
				file, b := lastLog(left, i)
				above := s.shadows[i].end() > s.synced.ends[i] && len(b) > 0
				if file == "" || c.cuts && !above {
					continue
				}
				if c.cuts {
					least[i] = s.shadows[i].stored[len(s.shadows[i].stored)-1].base
				}
				if err := writeFile(left, file, c.edit(dice, b)); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.goesOnAs(left, s.boot, least); err != nil {
				t.Errorf("seed %d, %s: %v", seed, name, err)
			}
		}
	}
}

// Below the last barrier nothing is ever cut: a partition whose bytes are damaged stays as long as it
// was, or goes offline, and its file stays as it is (P8).
func TestDamageBelowTheBarrierCutsNothing(t *testing.T) {
	seeds, _ := plan(t, 1)
	offline, online := 0, 0
	for seed := range int64(20 + 5*len(seeds)) {
		for _, power := range []bool{false, true} {
			s, _, mem, err := twoHalves(durability.Page, seed)
			if err == nil {
				err = s.sync(s.barrier.TicketFor(durability.RecordsDeleted))
			}
			left, boot := mem.Clone(), s.boot
			if power {
				left, boot = mem.CrashClone(), "boot-2"
			}
			s.leave()
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			dice := storyDice(seed)
			segments := filesOf(left, ".log")
			file := segments[dice.Intn(len(segments))]
			if dice.Intn(2) == 0 {
				file, _ = lastLog(left, dice.Intn(partitions))
			}
			b, _ := readFile(left, file)
			if len(b) == 0 {
				continue
			}
			b[dice.Intn(len(b))] ^= 1 << dice.Intn(8)
			if err := writeFile(left, file, b); err != nil {
				t.Fatal(err)
			}
			after := s.reopened(left, boot)
			err = after.start()
			switch {
			case err != nil && !errors.Is(err, files.ErrDamaged) && !strings.Contains(err.Error(), "control batch"):
				t.Errorf("seed %d: %v", seed, err)
			case err != nil:
				offline++
			default:
				online++ // the reader's own check of the batch finds it
				for i, p := range after.parts {
					if p.LogEndOffset() != s.shadows[i].end() {
						t.Errorf("seed %d: partition %d ends at %d, before at %d", seed, i, p.LogEndOffset(), s.shadows[i].end())
					}
				}
			}
			after.leave()
			if now, _ := readFile(left, file); !bytes.Equal(now, b) {
				t.Errorf("seed %d: %s was changed", seed, file)
			}
		}
	}
	if offline == 0 || online == 0 {
		t.Error("the flipped bits do not show both")
	}
	t.Logf("of one flipped bit each: %d partitions offline, %d whose batches say so themselves", offline, online)
}

// A barrier record that is damaged costs at most one barrier; without any the start is refused.
func TestOneBarrierRecordIsEnough(t *testing.T) {
	for seed := range int64(10) {
		for slot := range 2 {
			s, _, mem, err := twoHalves(durability.Page, seed)
			left := mem.Clone()
			s.leave()
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			names := []string{"data/barrier.0", "data/barrier.1"}
			if err := writeFile(left, names[slot], []byte("not a record")); err != nil {
				t.Fatal(err)
			}
			if err := s.goesOnAs(left.Clone(), s.boot, s.now().ends); err != nil {
				t.Errorf("seed %d, slot %d: %v", seed, slot, err)
			}
			if err := writeFile(left, names[1-slot], nil); err != nil {
				t.Fatal(err)
			}
			none := s.reopened(left, s.boot)
			if err := none.start(); !errors.Is(err, files.ErrDamaged) || !strings.Contains(fmt.Sprint(err), "barrier.") {
				t.Errorf("seed %d: without a record: %v", seed, err)
			}
			none.leave()
		}
	}
}
