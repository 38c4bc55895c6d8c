package clock

import (
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func always(d time.Duration) func() time.Duration { return func() time.Duration { return d } }

// A move runs every deadline on its way in the order of time, each with the clock standing at its own time, those
// too that others make, and then each check once.
func TestAdvanceRunsDeadlinesInOrder(t *testing.T) {
	start := time.Unix(1000, 0)
	c := NewManual(start)
	var ran []string
	at := func(name string) func() {
		return func() { ran = append(ran, name+" "+c.Now().Sub(start).String()) }
	}
	c.Every(time.Second, always(time.Second), at("check"))
	c.AfterFunc(3*time.Second, at("third"))
	c.AfterFunc(time.Second, func() {
		at("first")()
		c.AfterFunc(time.Second, at("second"))
		c.AfterFunc(0, at("at once"))
	})
	c.AfterFunc(time.Second, at("made later"))
	c.AfterFunc(5*time.Second+1, at("never"))
	stopped := c.AfterFunc(time.Second, at("stopped"))
	if !stopped.Stop() || stopped.Stop() {
		t.Error("a deadline can be stopped once")
	}
	c.Advance(5 * time.Second)
	want := []string{"first 1s", "made later 1s", "at once 1s", "second 2s", "third 3s", "check 5s"}
	if !slices.Equal(ran, want) {
		t.Errorf("ran %q\nwant %q", ran, want)
	}
	if got := c.Now(); !got.Equal(start.Add(5 * time.Second)) {
		t.Errorf("the clock stands at %v", got)
	}
	ran = nil
	c.Advance(0) // checks run at the end of every move, whether they are due or not
	if want := []string{"check 5s"}; !slices.Equal(ran, want) {
		t.Errorf("ran %q, want %q", ran, want)
	}
}

// What a move says that it did is what was told meanwhile, and nothing from before.
func TestAdvanceReturnsItsEvents(t *testing.T) {
	start := time.Unix(1000, 0)
	c := NewManual(start)
	c.Did("before the move")
	c.AfterFunc(time.Second, func() { c.Did("aborted transaction", slog.String("transactionalId", "a")) })
	did := c.Advance(2 * time.Second)
	if len(did) != 1 || did[0].What != "aborted transaction" || !did[0].At.Equal(start.Add(time.Second)) ||
		did[0].Attributes[0].String() != "transactionalId=a" {
		t.Errorf("did %v", did)
	}
	if did := c.Advance(time.Second); len(did) != 0 {
		t.Errorf("told again: %v", did)
	}
}

// The clock follows the machine's, stands while it is frozen, goes on from there, and keeps the distance of a move.
func TestClockIsFrozenMovedAndResumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, start := NewMovable(), time.Now()
		passed := func(want time.Duration) {
			t.Helper()
			if got := c.Now().Sub(start); got != want {
				t.Errorf("%v have passed on the clock, want %v", got, want)
			}
		}
		var ran atomic.Int32
		c.AfterFunc(10*time.Second, func() { ran.Add(1) })
		time.Sleep(4 * time.Second)
		passed(4 * time.Second)
		c.Freeze()
		time.Sleep(time.Hour)
		passed(4 * time.Second)
		if ran.Load() != 0 {
			t.Error("a frozen clock has run what is not due")
		}
		c.Advance(time.Second)
		passed(5 * time.Second)
		c.Resume()
		if want := -time.Hour + time.Second; c.Offset() != want {
			t.Errorf("offset %v, want %v", c.Offset(), want)
		}
		time.Sleep(5*time.Second - 1)
		synctest.Wait()
		if ran.Load() != 0 {
			t.Error("run too early after the clock had been resumed")
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if ran.Load() != 1 {
			t.Error("not run when it was due on the clock")
		}
		passed(10 * time.Second)
		c.AdvanceTo(start.Add(time.Minute))
		passed(time.Minute)
		c.AdvanceTo(start) // never back
		passed(time.Minute)
		time.Sleep(time.Second) // a move does not freeze
		passed(61 * time.Second)
		c.Freeze()
		c.AfterFunc(0, func() { ran.Add(1) }) // due where the clock stands
		synctest.Wait()
		if ran.Load() != 2 {
			t.Error("a frozen clock has not run what is due")
		}
	})
}

// Checks run an interval after their last run, never twice at a time, and at the end of each move.
func TestChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []Clock{Real{}, NewMovable()} {
			var runs, running atomic.Int32
			check := c.Every(time.Second, always(10*time.Second), func() {
				if running.Add(1) != 1 {
					t.Error("two runs at a time")
				}
				time.Sleep(3 * time.Second)
				running.Add(-1)
				runs.Add(1)
			})
			expect := func(after time.Duration, want int32) {
				t.Helper()
				time.Sleep(after)
				synctest.Wait()
				if got := runs.Load(); got != want {
					t.Errorf("%T: %d runs, want %d", c, got, want)
				}
			}
			expect(4*time.Second-1, 0)
			expect(1, 1)
			expect(13*time.Second-1, 1)
			expect(1, 2)
			expect(11*time.Second, 2) // the third run is under way
			check.Run()               // and this is the fourth
			expect(0, 4)
			var moved time.Duration
			if m, ok := c.(*Movable); ok {
				moved = 3 * time.Second // what the run in the move takes passes on the clock as well
				m.Advance(time.Second)
				expect(0, 5)
				m.Freeze()
				expect(time.Hour, 5)
				m.Resume()
			}
			n := runs.Load()
			expect(11*time.Second-moved, n) // under way
			check.Stop()                    // waits for it
			if runs.Load() != n+1 {
				t.Errorf("%T: Stop has not waited", c)
			}
			check.Run()
			expect(time.Hour, n+1)
		}
	})
}

// A move waits for what the machine's clock has started, and nothing is lost or run twice when many things happen
// at the same time.
func TestMovesAndTimersAtOnce(t *testing.T) {
	c := NewMovable()
	const goroutines, each = 8, 200
	var ran atomic.Int32
	var stopped atomic.Int32
	var all sync.WaitGroup
	for g := range goroutines {
		all.Go(func() {
			for i := range each {
				timer := c.AfterFunc(time.Duration(i%7)*time.Millisecond, func() { ran.Add(1) })
				if i%5 == g%5 && timer.Stop() {
					stopped.Add(1)
				}
				switch i % 50 {
				case 3:
					c.Advance(2 * time.Millisecond)
				case 13:
					c.Freeze()
				case 23:
					c.Resume()
				}
			}
		})
	}
	before := c.Now()
	all.Wait()
	c.Advance(time.Second)
	if got, want := ran.Load(), goroutines*each-stopped.Load(); got != want {
		t.Errorf("%d of %d ran", got, want)
	}
	if c.Now().Before(before) {
		t.Error("the clock went back")
	}
}
