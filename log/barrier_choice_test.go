package log

import (
	"context"
	"sync"
	"testing"
	"time"

	"once/internal/vfs"
)

// A disk on which each way has a cost, and the choice over so many barriers: how often it took the whole.
func chooseAlong(c *syncChoice, now *time.Time, barriers, files int, each, whole func(i int) time.Duration) (wholes int) {
	for i := range barriers {
		took := each(i)
		isWhole := c.wholeIsCheaper(files, *now)
		if isWhole {
			took = whole(i)
			wholes++
		}
		*now = now.Add(took)
		c.observe(isWhole, files, took, *now)
	}
	return wholes
}

func TestTheCheaperWayToSyncIsFound(t *testing.T) {
	always := func(d time.Duration) func(int) time.Duration { return func(int) time.Duration { return d } }
	stalling := func(d time.Duration) func(int) time.Duration {
		return func(i int) time.Duration {
			if i%50 == 0 {
				return 200 * d
			}
			return d
		}
	}
	const ms = time.Millisecond
	for name, c := range map[string]struct {
		files       int
		each, whole func(int) time.Duration
		least, most int // of 10,000 barriers
	}{
		"one file":                      {1, always(ms), always(ms / 10), 0, 0},
		"the disk is the broker's":      {16, always(3 * ms), always(ms), 9_700, 9_990},
		"others write much":             {16, always(ms), always(100 * ms), 1, 10},
		"the disk stalls now and then":  {16, stalling(3 * ms), stalling(ms), 9_000, 9_990},
		"more files than are measured":  {33, always(ms), always(100 * ms), 10_000, 10_000},
		"both cost the same and little": {4, always(0), always(0), 0, 0},
	} {
		now := time.Unix(1_700_000_000, 0)
		if n := chooseAlong(&syncChoice{}, &now, 10_000, c.files, c.each, c.whole); n < c.least || n > c.most {
			t.Errorf("%s: the whole file system %d times, want %d to %d", name, n, c.least, c.most)
		}
	}
}

// When the disk changes, the choice follows.
func TestTheChoiceFollowsTheDisk(t *testing.T) {
	c, now := &syncChoice{}, time.Unix(1_700_000_000, 0)
	quick, slow := func(int) time.Duration { return time.Millisecond }, func(int) time.Duration { return 20 * time.Millisecond }
	chooseAlong(c, &now, 1000, 8, quick, slow)
	if n := chooseAlong(c, &now, 5000, 8, slow, quick); n < 4900 {
		t.Errorf("the whole file system %d times of 5000 after it had become the quicker one", n)
	}
}

// A barrier is held back for those who are on their way, and not for ever for those who do not come.
func TestBarrierWaitsForItsCrowdAMoment(t *testing.T) {
	fs := vfs.NewMem()
	w := newWorld(t, fs, Fsync)
	b, err := OpenBarrier(BarrierOptions{FS: fs, Dir: "data", BootID: "boot-1", Mode: Fsync, SyncWorkers: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close(false)
	w.barrier = b
	const crowd, rounds = 8, 50
	for alone := range 2 { // all of them, then one of whom the last crowd was
		var wg sync.WaitGroup
		for i := range crowd {
			if alone == 1 && i > 0 {
				break
			}
			wg.Go(func() {
				for range rounds {
					b.needRecord()
					if err := b.Sync(context.Background()); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.crowd.expected > 2 {
		t.Errorf("a barrier for one still expects %d", b.crowd.expected)
	}
}

// A crowd is complete when as many wait as waited for the last barrier and came during it.
func TestCrowdIsWhoWaitedAndWhoCameMeanwhile(t *testing.T) {
	c := crowd{enabled: true}
	for range 3 {
		c.arriveLocked(true)
	}
	c.beginLocked()
	c.arriveLocked(false)
	c.arriveLocked(true)
	c.arriveLocked(true)
	c.endLocked()
	if c.expected != 6 || c.next != 2 {
		t.Fatalf("%d expected, %d there", c.expected, c.next)
	}
	for i := c.next; i < 6; i++ {
		if c.holding = true; c.completeLocked() {
			t.Fatalf("complete with %d", i)
		}
		c.arriveLocked(true)
	}
	if !c.completeLocked() {
		t.Error("not complete with all")
	}
}
