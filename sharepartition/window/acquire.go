package window

import (
	"slices"
	"time"
)

// LogBatch is a record batch of the log that a fetch has read. Aborted: read_committed hides its records.
type LogBatch struct {
	FirstOffset, LastOffset int64
	Aborted                 bool
}

// Fetch asks for records.
type Fetch struct {
	MemberID   string
	Offset     int64 // that was read from: NextFetchOffset
	MaxRecords int64
	BatchSize  int64 // a range ends at the first border of log batches at which it holds so many offsets
	// RecordLimit: never more than MaxRecords, and no range ends for BatchSize; else the last log batch is acquired whole.
	RecordLimit bool
}

// AcquiredRange is a run of offsets that a fetch has acquired.
type AcquiredRange struct {
	FirstOffset, LastOffset int64
	DeliveryCount           int16
}

// acquisition is one call of Acquire.
type acquisition struct {
	w        *Window
	fetch    *Fetch
	log      []LogBatch
	limits   Limits
	owned    cell // of new records
	max      int64
	last     int64 // no offset above it is acquired
	acquired int64
	ranges   []AcquiredRange
}

// Acquire gives a member records that the log batches hold, and locks them (spec: share-groups 9, 11). The batches are
// those from f.Offset on. Ranges are in order; they may be empty although the window has changed, because all that was
// read is archived.
func (w *Window) Acquire(f Fetch, log []LogBatch, l Limits, now time.Time) []AcquiredRange {
	if len(log) == 0 {
		return nil
	}
	w.archive(f.Offset, log[0].FirstOffset)
	a := &acquisition{
		w: w, fetch: &f, log: log, limits: l, last: log[len(log)-1].LastOffset,
		owned: cell{state: Acquired, count: 1, member: f.MemberID, deadline: now.Add(l.LockDuration)},
	}
	a.max = min(f.MaxRecords, l.RecordLocks-w.InFlight())
	if a.max <= 0 && f.Offset < w.next { // the window is full, with Available records inside
		a.max, a.last = min(f.MaxRecords, w.next-f.Offset), min(a.last, w.next-1)
	}
	if a.max > 0 {
		a.walk()
	}
	if len(a.ranges) > 0 && (w.wake.IsZero() || a.owned.deadline.Before(w.wake)) {
		w.wake = a.owned.deadline
	}
	a.cutAborted()
	w.advance()
	return a.ranges
}

// walk goes over window and log upward until there are enough records.
func (a *acquisition) walk() {
	w := a.w
	cursor := max(a.log[0].FirstOffset, w.start)
	for i := w.overlapping(cursor); i < len(w.entries) && w.entries[i].first <= a.last && a.acquired < a.max; i++ {
		e := w.entries[i]
		if cursor < e.first && w.isHole(cursor) {
			i += a.acquireNew(i, cursor, e.first-1)
			if a.acquired >= a.max {
				break
			}
		}
		cursor = max(cursor, e.last+1)
		if a.acquireFrom(e) {
			return // travels without others
		}
	}
	if a.acquired < a.max && cursor <= a.last && (cursor >= w.next || w.isHole(cursor)) {
		a.acquireNew(w.overlapping(cursor), cursor, a.last)
	}
	if n := len(a.ranges); n > 0 {
		w.holesFrom = max(w.holesFrom, a.ranges[n-1].LastOffset+1)
		w.holesTo = max(w.holesTo, w.holesFrom)
	}
}

func (w *Window) isHole(offset int64) bool { return offset >= w.holesFrom && offset < w.holesTo }

// acquireFrom acquires Available offsets of an entry. It reports whether nothing else may be acquired in this fetch.
func (a *acquisition) acquireFrom(e *entry) (alone bool) {
	first, last := max(e.first, a.log[0].FirstOffset, a.w.start), min(e.last, a.last)
	piece, throttled := a.piece(e)
	if throttled && a.acquired > 0 {
		return true
	}
	if a.fetch.RecordLimit {
		piece = min(piece, a.max-a.acquired)
	}
	whole := first == max(e.first, a.w.start) && last == e.last
	if whole && e.each == nil && !throttled && e.size() <= piece {
		if e.all.state == Available {
			e.all = a.acquire(e.all)
			a.add(first, last, e.all.count)
		}
		return false
	}
	if e.each == nil {
		if e.all.state != Available {
			return false
		}
		e.split()
	}
	before := a.acquired
	for offset := first; offset <= last && a.acquired-before < piece; offset++ {
		c := &e.each[offset-e.first]
		if c.state != Available {
			continue
		}
		single := throttled && a.isLastDelivery(c)
		if single && a.acquired > before {
			break
		}
		*c = a.acquire(*c)
		a.join(offset, c.count, offset > first && a.acquired > before)
		if single {
			break
		}
	}
	return throttled && a.acquired > before
}

// acquire is the state after an acquisition.
func (a *acquisition) acquire(c cell) cell {
	owned := a.owned
	owned.count = c.count + 1
	return owned
}

// isLastDelivery says whether the next delivery of a record is its last. Such a record travels alone, so that it does
// not take others to the limit with it.
func (a *acquisition) isLastDelivery(c *cell) bool {
	return a.limits.DeliveryCount > 2 && c.count == a.limits.DeliveryCount-1
}

// piece returns how many offsets of an entry one fetch may acquire, and whether that is less because some were
// delivered often (spec: share-groups 11).
func (a *acquisition) piece(e *entry) (offsets int64, throttled bool) {
	from := max(2, (a.limits.DeliveryCount+1)/2)
	highest := int16(-1)
	if e.each == nil && e.all.state == Available {
		highest = e.all.count
	}
	for i := range e.each {
		if c := &e.each[i]; c.state == Available {
			highest = max(highest, c.count)
		}
	}
	if highest < from {
		return e.size(), false
	}
	return max(1, e.size()>>min(62, highest-from+1)), true
}

func (a *acquisition) add(first, last int64, count int16) {
	a.ranges = append(a.ranges, AcquiredRange{FirstOffset: first, LastOffset: last, DeliveryCount: count})
	a.acquired += last - first + 1
}

// join adds an offset, to the last range if that is its neighbour in the same entry and has the same count.
func (a *acquisition) join(offset int64, count int16, sameEntry bool) {
	if n := len(a.ranges); sameEntry && a.ranges[n-1].LastOffset == offset-1 && a.ranges[n-1].DeliveryCount == count {
		a.ranges[n-1].LastOffset = offset
		a.acquired++
		return
	}
	a.add(offset, offset, count)
}

// acquireNew makes entries at index i of offsets from first to last that no entry has had, and returns their number.
func (a *acquisition) acquireNew(i int, first, last int64) (entries int) {
	w := a.w
	log := a.log
	for len(log) > 0 && log[0].LastOffset < first {
		log = log[1:]
	}
	if len(log) == 0 || log[0].FirstOffset > last {
		return 0
	}
	first = max(first, log[0].FirstOffset)
	wanted := min(last, first+(a.max-a.acquired)-1)
	end := min(last, endOfBatch(log, wanted))
	if len(w.entries) == 0 {
		w.start = first
	}
	w.next = max(w.next, end+1)
	var made []*entry
	from := first
	for _, b := range log {
		if b.FirstOffset > end {
			break
		}
		if !a.fetch.RecordLimit && b.FirstOffset > from && b.FirstOffset-from >= a.fetch.BatchSize {
			made = append(made, &entry{first: from, last: b.FirstOffset - 1, all: a.owned})
			from = b.FirstOffset
		}
	}
	made = append(made, &entry{first: from, last: end, all: a.owned})
	w.entries = slices.Insert(w.entries, i, made...)
	for _, e := range made {
		a.limit(e, wanted)
	}
	return len(made)
}

// limit adds an entry to the ranges. In record-limit mode what lies above wanted stays Available.
func (a *acquisition) limit(e *entry, wanted int64) {
	switch {
	case !a.fetch.RecordLimit || e.last <= wanted:
		a.add(e.first, e.last, 1)
	case e.first > wanted:
		e.all = cell{}
	default:
		e.split()
		for offset := wanted + 1; offset <= e.last; offset++ {
			e.each[offset-e.first] = cell{}
		}
		a.add(e.first, wanted, 1)
	}
}

// endOfBatch returns the last offset of the log batch that holds an offset; where none does, that of the batch before.
func endOfBatch(log []LogBatch, offset int64) int64 {
	end := log[0].LastOffset
	for _, b := range log {
		if b.FirstOffset > offset {
			break
		}
		end = b.LastOffset
	}
	return end
}

// cutAborted archives the offsets of aborted batches and cuts them out of the ranges.
func (a *acquisition) cutAborted() {
	if !slices.ContainsFunc(a.log, func(b LogBatch) bool { return b.Aborted }) {
		return
	}
	var kept []AcquiredRange
	for _, r := range a.ranges {
		for _, b := range a.log {
			if !b.Aborted || b.LastOffset < r.FirstOffset || b.FirstOffset > r.LastOffset {
				continue
			}
			if b.FirstOffset > r.FirstOffset {
				kept = append(kept, AcquiredRange{r.FirstOffset, b.FirstOffset - 1, r.DeliveryCount})
			}
			a.archiveAborted(max(b.FirstOffset, r.FirstOffset), min(b.LastOffset, r.LastOffset))
			r.FirstOffset = b.LastOffset + 1
		}
		if r.FirstOffset <= r.LastOffset {
			kept = append(kept, r)
		}
	}
	a.ranges = kept
}

func (a *acquisition) archiveAborted(first, last int64) {
	a.w.each(first, last+1, func(c *cell, offsets int64) bool {
		*c = cell{state: Archived, count: c.count}
		a.w.finished += offsets
		return true
	})
}

// Reach returns the offset up to which log batches are needed to acquire so many records from an offset on. It is the
// end of an entry, because an entry is acquired as a whole where the mode allows it.
func (w *Window) Reach(offset, records int64) int64 {
	for _, e := range w.entries[w.overlapping(offset):] {
		for at := max(e.first, offset, w.start); at <= e.last; {
			c, end := e.cell(at)
			if c.state == Available {
				if end-at+1 >= records {
					return e.last
				}
				records -= end - at + 1
			}
			at = end + 1
		}
	}
	return max(w.next, offset) + records - 1
}
