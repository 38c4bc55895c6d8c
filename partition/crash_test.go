package partition_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand"
	"os"
	"strconv"
	"testing"

	"once/durability"
	"once/internal/crashtest"
	"once/internal/invariant"
	"once/internal/shrink"
	"once/internal/vfs"
	"once/partition"
)

// The storage sweeps: a story runs on a file system on which operation n fails, for every n; see
// docs/fault-tests.md. ONCE_CRASH=N runs N stories instead of a sample, and ONCE_CRASH_SEED=S begins with another one.

var modes = []durability.Mode{durability.Page, durability.Txn, durability.Fsync}

type tally struct{ stories, operations, deaths, cuts, failures, recoveries int }

func (c *tally) report(t *testing.T) {
	t.Logf("%d stories, %d operations counted: %d deaths, %d power cuts, %d failed operations with the process living on, %d interrupted recoveries",
		c.stories, c.operations, c.deaths, c.cuts, c.failures, c.recoveries)
}

// plan says which seeds to run and how many operations to leave out between two that are tried. The
// sample tries every stride-th one, from an offset that the seed gives; go test tries a fifth of these.
func plan(t *testing.T, sampleStride int) (seeds []int64, stride int) {
	first := int64(1)
	if text := os.Getenv("ONCE_CRASH_SEED"); text != "" {
		var err error
		if first, err = strconv.ParseInt(text, 10, 64); err != nil {
			t.Fatalf("ONCE_CRASH_SEED: %v", err)
		}
	}
	count := crashtest.Seeds(t)
	if count == 0 {
		stride = crashtest.Stride(t, 5*sampleStride, sampleStride)
		if invariant.Enabled { // also with the race detector, which makes all of this ten times slower
			stride *= 6
		}
		return []int64{first, first + 1}, stride
	}
	for i := range count {
		seeds = append(seeds, first+i)
	}
	return seeds, 1
}

const storySteps = 70

// sweep runs one story for each operation that can fail. try returns whether the operation was reached.
func sweep(t *testing.T, sampleStride int, count *tally,
	try func(mode durability.Mode, seed int64, n int) (fired bool, operations int, err error)) {
	seeds, stride := plan(t, sampleStride)
	for _, seed := range seeds {
		for _, mode := range modes {
			count.stories++
			for n, fired := int(seed)%stride, true; fired; n += stride {
				var err error
				var operations int
				if fired, operations, err = try(mode, seed, n); err != nil {
					t.Fatalf("mode %v, seed %d, operation %d: %v", mode, seed, n, err)
				}
				if !fired {
					count.operations += operations
				}
			}
		}
	}
	count.report(t)
}

func storyDice(seed int64) *rand.Rand { return rand.New(rand.NewSource(seed)) }

// tell runs the story of a seed on a file system and returns what there is to know. What is wrong
// without any crash is an error.
// A stubborn one goes on after an error.
func tell(under vfs.FS, mode durability.Mode, seed int64, stubborn bool) (*storage, error) {
	s := newStorage(under, mode)
	s.large, s.fills, s.whole = seed%3 == 0, stubborn, seed%4 > 1
	if seed%2 == 0 { // full after a few barriers
		s.journalBytes = 3 * 4096
	} else {
		dice := storyDice(seed)
		shrink.Fields(&s.sizes, dice)
		shrink.Fields(&s.barrierSizes, dice)
	}
	if err := s.start(); err != nil {
		return s, nil
	}
	if err := s.story(storyDice(seed), storySteps, stubborn); isWrong(err) {
		return s, err
	}
	s.look()
	return s, nil
}

// reopened is the storage of another process on what the first one left.
func (s *storage) reopened(under vfs.FS, boot string) *storage {
	next := newStorage(under, s.mode)
	next.large, next.journalBytes, next.sizes, next.barrierSizes, next.whole, next.boot = s.large, s.journalBytes, s.sizes,
		s.barrierSizes, s.whole, boot
	next.clock, next.starts, next.bodies = s.clock, s.starts, s.bodies
	next.order = s.order
	next.shadows, next.synced, next.trying, next.acked, next.epochs = s.shadows, s.synced, s.trying, s.acked, s.epochs
	return next
}

// afterwards is what has to hold when adopt has said what the history is now: the logs hold it, its
// producers are known, and everything goes on, over a clean stop too.
func (s *storage) afterwards() error {
	if err := s.verify(); err != nil {
		return err
	}
	if err := s.retries(); err != nil {
		return fmt.Errorf("retries: %w", err)
	}
	if err := s.finish(); err != nil {
		return fmt.Errorf("ending the open transactions: %w", err)
	}
	if err := s.verify(); err != nil {
		return fmt.Errorf("after going on: %w", err)
	}
	if err := s.restart(); err != nil {
		return fmt.Errorf("clean stop: %w", err)
	}
	if err := s.verify(); err != nil {
		return fmt.Errorf("after a clean stop: %w", err)
	}
	return nil
}

// Process death in the middle of every operation: nothing acknowledged is lost in any mode, what was
// being written is there once or not at all (spec: reliability P2, P9, P14).
func TestStorageSurvivesDeathAtEveryOperation(t *testing.T) {
	var count tally
	sweep(t, 13, &count, func(mode durability.Mode, seed int64, n int) (bool, int, error) {
		return lives(mode, seed, n, &count, func(int) bool { return false })
	})
}

// A power cut in the middle of every operation, as the table of reliability 2.1 says for each mode.
func TestStorageSurvivesPowerCutAtEveryOperation(t *testing.T) {
	var count tally
	sweep(t, 13, &count, func(mode durability.Mode, seed int64, n int) (bool, int, error) {
		return lives(mode, seed, n, &count, func(int) bool { return true })
	})
}

// Deaths and power cuts in turn: what one start has repaired is what the next one finds.
func TestStorageSurvivesDeathsAndPowerCutsInTurn(t *testing.T) {
	var count tally
	sweep(t, 13, &count, func(mode durability.Mode, seed int64, n int) (bool, int, error) {
		return lives(mode, seed, n, &count, func(life int) bool { return (life+n)%2 == 0 })
	})
}

const livesEach = 3

// lives runs a story that ends in the middle of operation n, and goes on with others on what is left,
// which end somewhere, too.
func lives(mode durability.Mode, seed int64, n int, count *tally, power func(life int) bool) (fired bool,
	operations int, err error) {
	mem := vfs.NewCrashable(seed + int64(n)<<20)
	dying := vfs.DieAt(n, mem)
	s, err := tell(dying, mode, seed, false)
	fired, operations = dying.Fired(), dying.Operations()
	dice := storyDice(seed + int64(n)<<20)
	for life := 1; err == nil && life < livesEach; life++ {
		mem, s, err = s.crashed(mem, power(life), life, count)
		if err != nil {
			break
		}
		if life == livesEach-1 {
			err = s.afterwards()
			break
		}
		dying = vfs.DieAt(math.MaxInt, mem)
		s, err = s.again(dying, dice)
	}
	s.leave()
	if err != nil {
		err = fmt.Errorf("life with %d starts: %w", s.starts, err)
	}
	return fired, operations, err
}

// crashed ends a life and begins the next one, on a copy of what is left.
func (s *storage) crashed(mem *vfs.Mem, power bool, life int, count *tally) (*vfs.Mem, *storage, error) {
	s.look()
	left, boot := mem.Clone(), s.boot
	if power {
		left, boot = mem.CrashClone(), fmt.Sprintf("%s-%d", s.boot, life)
		count.cuts++
	} else {
		count.deaths++
	}
	s.leave()
	after := s.reopened(left, boot)
	if err := after.start(); err != nil {
		return left, after, err
	}
	adopt := after.adoptDeath
	if power {
		adopt = after.adoptCut
	}
	if err := adopt(); err != nil {
		return left, after, err
	}
	return left, after, after.verify()
}

// again stops in order, and begins one more story, which ends somewhere.
func (s *storage) again(dying *vfs.Failing, dice *rand.Rand) (*storage, error) {
	if dice.Intn(2) == 0 {
		if err := s.restart(); err != nil {
			return s, err
		}
	}
	s.leave()
	next := s.reopened(dying, s.boot)
	if err := next.start(); err != nil {
		return next, err
	}
	if err := next.adoptDeath(); err != nil {
		return next, err
	}
	dying.Arm(dice.Intn(400))
	if err := next.story(dice, storySteps, false); isWrong(err) {
		return next, err
	}
	return next, nil
}

// Recovery is itself interrupted, by deaths and by power cuts, again and again (spec: reliability F5,
// P9): it comes to the same end.
func TestRecoverySurvivesItsOwnDeath(t *testing.T) {
	var count tally
	sweep(t, 41, &count, func(mode durability.Mode, seed int64, n int) (bool, int, error) {
		for _, power := range []bool{false, true} {
			mem := vfs.NewCrashable(seed + int64(n)<<20)
			dying := vfs.DieAt(n, mem)
			s, err := tell(dying, mode, seed, false)
			s.look()
			left, boot := mem.Clone(), s.boot
			if power {
				left, boot = mem.CrashClone(), "boot-2"
			}
			s.leave()
			if err != nil {
				return false, 0, err
			}
			if err := s.interrupted(left, boot, power, &count); err != nil {
				return false, 0, err
			}
			if !dying.Fired() {
				return false, dying.Operations(), nil
			}
		}
		return true, 0, nil
	})
}

// interrupted recovers what is left, dying at operation 0, 1, 2 … of the recovery.
func (s *storage) interrupted(left *vfs.Mem, boot string, power bool, count *tally) error {
	for m := 0; ; m++ {
		dying := vfs.DieAt(m, left)
		after := s.reopened(dying, boot)
		after.starts += int32(m)
		err := after.start()
		if !dying.Fired() {
			after.leave()
			if err == nil {
				err = s.settled(left, boot, power)
			}
			if err != nil {
				return fmt.Errorf("recovery interrupted %d times: %w", m, err)
			}
			return nil
		}
		count.recoveries++
		if power {
			boot = fmt.Sprintf("boot-%d", m+3)
			left = left.CrashClone()
		} else {
			left = left.Clone()
		}
		after.leave()
	}
}

// settled opens what a recovery that came to its end has left.
func (s *storage) settled(left *vfs.Mem, boot string, power bool) error {
	after := s.reopened(left, boot)
	defer after.leave()
	after.starts += 1000
	if err := after.start(); err != nil {
		return err
	}
	adopt := after.adoptDeath
	if power {
		adopt = after.adoptCut
	}
	if err := adopt(); err != nil {
		return err
	}
	return after.afterwards()
}

var errDisk = map[string]error{"I/O error": errors.New("input/output error"), "no space": vfs.ErrNoSpace}

// One operation fails and the process lives on (spec: reliability F10, F11). What was refused is not in
// the log, or the partition says that it does not know. A failed sync is final although the next one
// would succeed, because the kernel has forgotten the bytes that it could not write.
func TestStorageSurvivesOneFailedOperation(t *testing.T) {
	var count tally
	sweep(t, 13, &count, func(mode durability.Mode, seed int64, n int) (fired bool, operations int, err error) {
		for name, cause := range errDisk {
			mem := vfs.NewCrashable(seed + int64(n)<<20)
			failing := vfs.FailAt(n, mem).With(cause)
			if err := failOnce(mem, failing, mode, seed, &count); err != nil {
				return false, 0, fmt.Errorf("%s: %w", name, err)
			}
			if !failing.Fired() {
				return false, failing.Operations(), nil
			}
		}
		return true, 0, nil
	})
}

func failOnce(mem *vfs.Mem, failing *vfs.Failing, mode durability.Mode, seed int64, count *tally) error {
	s, err := tell(failing, mode, seed, true)
	defer s.leave()
	if err != nil || s.barrier == nil {
		return err
	}
	count.failures++
	if !s.stopping {
		if err := s.goesOn(); err != nil {
			return err
		}
	}
	after := s.reopened(mem.Clone(), s.boot)
	defer after.leave()
	count.deaths++
	if err := after.start(); err != nil {
		return fmt.Errorf("start after it: %w", err)
	}
	if err := after.adoptDeath(); err != nil {
		return err
	}
	// What the start has kept is on the disk, although an earlier sync may have lost it unseen.
	cut := after.reopened(after.fs.(*vfs.Mem).CrashClone(), "boot-2")
	defer cut.leave()
	count.cuts++
	if err := cut.start(); err != nil {
		return fmt.Errorf("power cut after the start: %w", err)
	}
	if err := cut.adoptCut(); err != nil {
		return fmt.Errorf("power cut after the start: %w", err)
	}
	return after.afterwards()
}

// goesOn checks a process that met the failure and lives.
func (s *storage) goesOn() error {
	for i, p := range s.parts {
		if p == nil { // the start failed
			return nil
		}
		if err := s.confirm(i); err != nil {
			<-s.failed // the barrier says so
		}
	}
	s.look()
	if s.hasFailed() {
		return s.isOver()
	}
	return s.verifyOnline()
}

// isOver checks that nothing is promised after a failed barrier.
func (s *storage) isOver() error {
	if err := s.wait(s.barrier.Sync); err == nil && len(s.waiting) > 0 {
		return errors.New("a barrier completes after one that failed")
	}
	for i, p := range s.parts {
		before := p.HighWatermark()
		err := s.append(i, written{producerID: -1, epoch: -1, sequence: -1, records: 1})
		if !errors.Is(err, partition.ErrOffline) {
			return fmt.Errorf("partition %d: append after a failed barrier: %v", i, err)
		}
		if p.HighWatermark() != before {
			return fmt.Errorf("partition %d: high watermark moves after a failed barrier", i)
		}
	}
	return nil
}

// verifyOnline is verify for the partitions that are not offline.
func (s *storage) verifyOnline() error {
	for i, p := range s.parts {
		if _, err := p.Offsets(); err != nil {
			if s.shadows[i].maybe == nil {
				return fmt.Errorf("partition %d is offline without having refused anything: %w", i, err)
			}
			continue
		}
		if err := s.verifyPartition(i); err != nil {
			return fmt.Errorf("partition %d: %w", i, err)
		}
	}
	return nil
}
