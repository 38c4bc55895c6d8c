package partition_test

import (
	"fmt"
	"math"
	"math/rand"
	"slices"
	"testing"

	"once/durability"
	"once/internal/crashtest"
	"once/internal/invariant"
	"once/internal/vfs"
)

// The durability mode is another one at the next start (spec: reliability 2.1). What was acknowledged
// has the promises of the mode in which it was: the barrier's record tells the start which one that was.

// stops are the ways in which the first life ends.
var stops = []string{"clean stop", "process death", "power cut"}

// eachChange tries every ordered pair of modes.
func eachChange(t *testing.T, seeds int, try func(from, to durability.Mode, seed int64) error) {
	all, _ := plan(t, 1)
	if n := crashtest.Seeds(t); n > 0 {
		seeds = int(n) * 20
	} else if invariant.Enabled || !crashtest.Sampled() {
		seeds = 1 + seeds/6
	}
	for seed := all[0]; seed < all[0]+int64(seeds); seed++ {
		for _, from := range modes {
			for _, to := range modes {
				if from == to {
					continue
				}
				if err := try(from, to, seed); err != nil {
					t.Fatalf("from %v to %v, seed %d: %v", from, to, seed, err)
				}
			}
		}
	}
}

// A life in one mode, one in another, and a third in any: after each the promises of the mode in which
// it was lived are kept, and in the end everything goes on.
func TestModeCanChangeBetweenStarts(t *testing.T) {
	lives, ended := 0, map[string]int{}
	eachChange(t, 8, func(from, to durability.Mode, seed int64) error {
		for _, stop := range stops {
			dice := storyDice(seed*31 + int64(from)*7 + int64(to))
			modesInTurn := []durability.Mode{from, to, modes[dice.Intn(len(modes))]}
			if err := livesInModes(modesInTurn, stop, seed, dice, ended); err != nil {
				return fmt.Errorf("%s, then %v: %w", stop, modesInTurn[2], err)
			}
			lives += 2
		}
		return nil
	})
	t.Logf("%d lives that ended before a start in another mode: %v", lives, ended)
}

func livesInModes(in []durability.Mode, stop string, seed int64, dice *rand.Rand, ended map[string]int) error {
	at := math.MaxInt
	if stop != "clean stop" {
		at = 30 + dice.Intn(270)
	}
	mem := vfs.NewCrashable(dice.Int63())
	s, err := tell(vfs.DieAt(at, mem), in[0], seed, false)
	for life := 1; err == nil; life++ {
		if stop == "clean stop" {
			if err = s.stop(); err != nil {
				break
			}
		}
		ended[stop]++
		if mem, s, err = s.startedIn(in[life], mem, stop, life, dice); err != nil || life == len(in)-1 {
			break
		}
		dying := s.fs.(*vfs.Failing)
		stop = stops[dice.Intn(len(stops))]
		steps := 1 + dice.Intn(storySteps)
		if stop != "clean stop" {
			dying.Arm(dice.Intn(150))
		}
		if serr := s.story(dice, steps, false); isWrong(serr) || serr != nil && !dying.Fired() {
			err = fmt.Errorf("life %d: %w", life, serr)
		}
	}
	if err == nil {
		err = s.afterwards()
	}
	s.leave()
	return err
}

// stop ends a life in order.
func (s *storage) stop() error {
	for _, p := range s.parts {
		if err := p.Close(); err != nil {
			return err
		}
	}
	clear(s.waiting)
	if err := s.barrier.Close(true); err != nil {
		return err
	}
	s.synced, s.trying, s.acked = s.now(), nil, s.now().ends
	return nil
}

// startedIn begins the next life on what the last one left, in another mode, and holds what it finds
// against the mode of the last one. After a clean stop everything is there, even if the power goes.
func (s *storage) startedIn(mode durability.Mode, mem *vfs.Mem, stop string, life int, dice *rand.Rand) (*vfs.Mem,
	*storage, error) {
	if stop != "clean stop" {
		s.look()
	}
	left, boot := mem.Clone(), s.boot
	power := stop == "power cut" || stop == "clean stop" && dice.Intn(2) == 0
	if power {
		left, boot = mem.CrashClone(), fmt.Sprintf("%s-%d", s.boot, life)
	}
	s.leave()
	after := s.reopened(vfs.DieAt(math.MaxInt, left), boot)
	after.mode = mode
	if err := after.start(); err != nil {
		return left, after, fmt.Errorf("start %d: %w", life, err)
	}
	if stop == "clean stop" {
		if found := after.found(); found != s.now() {
			return left, after, fmt.Errorf("start %d finds %v after a clean stop at %v", life, found, s.now())
		}
	}
	if err := after.adoptAs(s.mode, power); err != nil {
		return left, after, fmt.Errorf("start %d: %w", life, err)
	}
	return left, after, after.verify()
}

// adoptAs takes over what the start found, by the promises of the mode of the life before.
func (s *storage) adoptAs(mode durability.Mode, power bool) error {
	now := s.mode
	s.mode = mode
	defer func() { s.mode = now }()
	if power {
		return s.adoptCut()
	}
	return s.adoptDeath()
}

// found is where the logs stand after a start.
func (s *storage) found() (at instant) {
	for i, p := range s.parts {
		at.ends[i], at.starts[i] = p.LogEndOffset(), p.LogStartOffset()
	}
	return at
}

// The process dies or the power goes, the start in another mode is cut off in the same ways, and one in
// a third mode finds what is left. Until a start has come to its end, what lies above the last barrier
// is what the first mode made of it.
func TestModeCanChangeWhileRecoveryIsInterrupted(t *testing.T) {
	interrupted, cuts := 0, 0
	eachChange(t, 7, func(from, to durability.Mode, seed int64) error {
		dice := storyDice(seed*37 + int64(from)*7 + int64(to))
		mem := vfs.NewCrashable(dice.Int63())
		s, err := tell(vfs.DieAt(30+dice.Intn(270), mem), from, seed, false)
		s.look()
		left, cut := mem.Clone(), dice.Intn(2) == 0
		if cut {
			left, s.boot = mem.CrashClone(), "boot-2"
		}
		s.leave()
		if err != nil {
			return err
		}
		whole, err := s.undisturbed(left)
		if err != nil {
			return err
		}
		for m := dice.Intn(3); ; m += 1 + dice.Intn(4) {
			here := left.Clone()
			dying := vfs.DieAt(m, here)
			second := s.reopened(dying, s.boot)
			second.mode = to
			err := second.start()
			second.leave()
			if !dying.Fired() {
				return err
			}
			interrupted++
			third := modes[dice.Intn(len(modes))]
			power := dice.Intn(3) > 0
			boot := s.boot
			if power {
				cuts++
				here, boot = here.CrashClone(), "boot-3"
			}
			if err := s.keepsItsMode(here, boot, from, third, whole, cut || power); err != nil {
				return fmt.Errorf("power cut %v, start interrupted at %d, power cut %v, then %v: %w", cut, m, power, third, err)
			}
		}
	})
	t.Logf("%d interrupted starts, %d of them by a power cut", interrupted, cuts)
}

// undisturbed is where the logs stand when nothing disturbs the start.
func (s *storage) undisturbed(left *vfs.Mem) (instant, error) {
	after := s.reopened(left.Clone(), s.boot)
	defer after.leave()
	if err := after.start(); err != nil {
		return instant{}, err
	}
	return after.found(), nil
}

// keepsItsMode starts in the mode third. After a power cut the logs stand at the last barrier of the
// first life or at that of the interrupted start, whose instant is whole, unless the first life was in
// fsync.
func (s *storage) keepsItsMode(left *vfs.Mem, boot string, first, third durability.Mode, whole instant,
	power bool) error {
	after := s.reopened(left, boot)
	defer after.leave()
	after.mode = third
	for i := range after.shadows { // several starts go on from the same history
		after.shadows[i].stored = slices.Clone(s.shadows[i].stored)
	}
	if err := after.start(); err != nil {
		return err
	}
	if power && first != durability.Fsync {
		if found := after.found(); found == whole {
			after.synced, after.trying = whole, nil
		}
	}
	if err := after.adoptAs(first, power); err != nil {
		return err
	}
	return after.afterwards()
}
