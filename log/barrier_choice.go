package log

import (
	"math/bits"
	"slices"
	"time"
)

// Bounds of the files for which it is measured what is cheaper. A single one is synced by itself. Above, the
// whole file system is: file by file would hold up those who wait for very long.
const (
	measureFrom = 2
	syncFSAbove = 32
)

// The way that lost is tried again when so many times its cost has passed: soon at first, because a disk
// stalls now and then, and later so seldom that trying costs less than two per cent.
const retryFirst, retryLast = 4, 64

// syncChoice decides, for a barrier that somebody waits for, whether its files are synced one by one or with
// their whole file system. On a disk that is the broker's alone the whole is two to three times faster, because
// the journal is committed once; on one where others write much, their bytes would be waited for. So both are
// measured.
type syncChoice struct {
	each  [8]syncCost // by the magnitude of the number of files: 2, to 4, to 8, to 16, to 32
	whole syncCost
}

func (c *syncChoice) eachOf(files int) *syncCost {
	return &c.each[min(bits.Len(uint(files-1)), len(c.each)-1)]
}

func (c *syncChoice) wholeIsCheaper(files int, now time.Time) bool {
	switch each := c.eachOf(files); {
	case files > syncFSAbove:
		return true
	case files < measureFrom || each.unknown(now):
		return false
	default:
		return c.whole.unknown(now) || c.whole.median() < each.median()
	}
}

// observe takes in what a barrier over so many files has cost.
func (c *syncChoice) observe(whole bool, files int, took time.Duration, now time.Time) {
	if whole {
		c.whole.observe(took, now)
	} else {
		c.eachOf(files).observe(took, now)
	}
}

// syncCost is what one way has cost of late: the median of three, because a disk stalls now and then.
type syncCost struct {
	last  [3]time.Duration
	next  int       // the one to be replaced
	until time.Time // known so long, unless it is used again
	retry int       // see retryFirst
}

func (c *syncCost) unknown(now time.Time) bool { return !now.Before(c.until) }

func (c *syncCost) observe(took time.Duration, now time.Time) {
	if c.unknown(now) {
		c.last = [3]time.Duration{took, took, took}
		c.retry = min(max(retryFirst, 2*c.retry), retryLast)
	} else {
		c.retry = retryFirst
	}
	c.last[c.next] = took
	c.next = (c.next + 1) % len(c.last)
	c.until = now.Add(time.Duration(c.retry) * c.median())
}

func (c *syncCost) median() time.Duration {
	sorted := c.last
	slices.Sort(sorted[:])
	return sorted[len(sorted)/2]
}
