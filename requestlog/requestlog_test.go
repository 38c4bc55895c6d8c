package requestlog

import (
	"slices"
	"strings"
	"testing"
)

func all(*Entry) bool { return true }

// The oldest entries go when there is no room in bytes or in number, and what is left is in order.
func TestOldestEntriesGo(t *testing.T) {
	l := New(10 * (fixedBytes + 100))
	for range 25 {
		l.Add(&Entry{ClientID: strings.Repeat("x", 100)})
	}
	found := l.Entries(0, MaxEntries, all)
	if len(found) != 10 || found[0].ID != 16 || found[9].ID != 25 {
		t.Errorf("%d entries, %d to %d", len(found), found[0].ID, found[len(found)-1].ID)
	}
	l.Add(&Entry{ClientID: strings.Repeat("x", 100_000)})
	if got := l.Last(); got != 25 {
		t.Errorf("an entry larger than the log is remembered: %d", got)
	}
	l.Add(&Entry{ClientID: strings.Repeat("x", 9*(fixedBytes+100))})
	if found = l.Entries(0, MaxEntries, all); len(found) != 1 {
		t.Errorf("%d entries", len(found))
	}
	many := New(1 << 30)
	for range MaxEntries + 5 {
		many.Add(&Entry{})
	}
	if found := many.Entries(0, 2*MaxEntries, all); len(found) != MaxEntries || found[0].ID != 6 {
		t.Errorf("%d entries from %d", len(found), found[0].ID)
	}
	odd := many.Entries(10, 3, func(e *Entry) bool { return e.ID%2 == 1 })
	if len(odd) != 3 || odd[2].ID != MaxEntries+5 || odd[0].ID != MaxEntries+1 {
		t.Errorf("%+v", odd)
	}
}

// An entry that was returned stays as it is when its place is used again, and so do the lists of whoever added it.
func TestReturnedEntriesDoNotChange(t *testing.T) {
	l := New(2 * (fixedBytes + 200))
	e := &Entry{Topics: []string{"first"}, Codes: []string{"NONE"}}
	l.Add(e)
	found := l.Entries(0, 1, all)
	for range 5 {
		e.Topics[0], e.Codes[0] = "later", "UNKNOWN"
		l.Add(e)
	}
	if !slices.Equal(found[0].Topics, []string{"first"}) || !slices.Equal(found[0].Codes, []string{"NONE"}) {
		t.Errorf("%+v", found[0])
	}
	e.Topics = e.Topics[:0]
	l.Add(e)
	if last := l.Entries(0, 1, all); len(last[0].Topics) != 0 || len(last[0].Codes) != 1 {
		t.Errorf("%+v", last[0])
	}
}

// Once its room is used up, the log allocates nothing for a request.
func TestAddAllocatesNothing(t *testing.T) {
	l := New(100 * (fixedBytes + 100))
	e := &Entry{Topics: []string{"t"}, TransactionalIDs: []string{"pay"}, Codes: []string{"NONE"}}
	for range 200 {
		l.Add(e)
	}
	if n := testing.AllocsPerRun(100, func() { l.Add(e) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
