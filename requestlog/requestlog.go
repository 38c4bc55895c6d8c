// Package requestlog remembers the last requests of a cluster: who asked what, about what, and what was answered.
// Bodies are not kept. It is bounded in bytes, knows nothing of Kafka, and stays when the cluster is closed and opened
// again.
package requestlog

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// MaxEntries bounds the number of remembered requests.
const MaxEntries = 10_000

// MaxNames is how many names of one kind are to be remembered of a request.
const MaxNames = 20

// What an entry costs besides its texts, and a name besides its text.
const (
	fixedBytes = 256
	nameBytes  = 16
)

// Entry is a request that has been answered, or has not got an answer. One that Entries has returned does not change.
type Entry struct {
	ID               uint64    `json:"id"` // grows with each entry
	At               time.Time `json:"at"` // when it came, by the machine's clock
	Connection       int64     `json:"connection"`
	Client           Address   `json:"client"` // its address
	ClientID         string    `json:"clientId"`
	Software         string    `json:"software,omitempty"`
	API              string    `json:"api"`
	Version          int16     `json:"version"`
	Topics           []string  `json:"topics,omitempty"`
	Groups           []string  `json:"groups,omitempty"`
	TransactionalIDs []string  `json:"transactionalIds,omitempty"`
	Codes            []string  `json:"codes"`           // in the answer, each once; NONE where there is no other
	Outcome          string    `json:"outcome"`         // answered, closed, or none: no answer is wanted or given
	Took             Took      `json:"took"`            // from its arrival to its answer
	Fault            string    `json:"fault,omitempty"` // ID of the rule that fired
	sizeBytes        int
}

// Address is the address of a client. It becomes text when it is read, and not for each request.
type Address struct{ net.Addr }

// MarshalText implements encoding.TextMarshaler.
func (a Address) MarshalText() ([]byte, error) {
	if a.Addr == nil {
		return nil, nil
	}
	return []byte(a.String()), nil
}

// Took is a time that becomes text when it is read.
type Took time.Duration

// MarshalText implements encoding.TextMarshaler.
func (t Took) MarshalText() ([]byte, error) {
	return []byte(time.Duration(t).Round(time.Microsecond).String()), nil
}

// Log remembers requests. Safe for concurrent use; a nil *Log remembers nothing.
type Log struct {
	maxBytes int
	watchers atomic.Int32 // who wait for Idle
	running  atomic.Int64 // requests that count for Idle
	mu       struct {
		sync.Mutex
		ring      []Entry
		first     int // the oldest, in ring
		n         int
		sizeBytes int
		last      uint64
		changed   chan struct{} // closed when there is a new entry; nil while nobody waits
		ended     time.Time     // when the last request that counts for Idle ended
	}
}

// New returns a log of at most maxBytes.
func New(maxBytes int) *Log {
	l := &Log{maxBytes: maxBytes}
	l.mu.ended = time.Now()
	return l
}

// Add remembers a request, and forgets the oldest ones where there is no room. The lists of the entry are copied.
func (l *Log) Add(e *Entry) {
	sizeBytes := fixedBytes + len(e.ClientID) + len(e.Software)
	for _, list := range [...][]string{e.Topics, e.Groups, e.TransactionalIDs, e.Codes} {
		for _, s := range list {
			sizeBytes += len(s) + nameBytes
		}
	}
	if sizeBytes > l.maxBytes {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.mu.n > 0 && (l.mu.n == MaxEntries || l.mu.sizeBytes+sizeBytes > l.maxBytes) {
		l.mu.sizeBytes -= l.mu.ring[l.mu.first].sizeBytes
		l.mu.ring[l.mu.first].forget()
		l.mu.first = (l.mu.first + 1) % len(l.mu.ring)
		l.mu.n--
	}
	if l.mu.n == len(l.mu.ring) {
		l.growLocked()
	}
	l.mu.last++
	kept := &l.mu.ring[(l.mu.first+l.mu.n)%len(l.mu.ring)]
	kept.become(e)
	kept.ID, kept.sizeBytes = l.mu.last, sizeBytes
	l.mu.n++
	l.mu.sizeBytes += sizeBytes
	if l.mu.changed != nil {
		close(l.mu.changed)
		l.mu.changed = nil
	}
}

// maxReused is how many names a list may have to be used again: most have one, and one of many would stay for good.
const maxReused = 2

// forget empties the entry. Its lists are used again by the next one, so that a request costs no allocation.
func (e *Entry) forget() {
	reused := func(list []string) []string {
		if cap(list) > maxReused {
			return nil
		}
		clear(list)
		return list[:0]
	}
	*e = Entry{Topics: reused(e.Topics), Groups: reused(e.Groups), TransactionalIDs: reused(e.TransactionalIDs),
		Codes: reused(e.Codes)}
}

// become makes an entry that was forgotten a copy of another one, with lists of its own.
func (e *Entry) become(other *Entry) {
	topics, groups, ids, codes := e.Topics, e.Groups, e.TransactionalIDs, e.Codes
	*e = *other
	e.Topics, e.Groups = append(topics, other.Topics...), append(groups, other.Groups...)
	e.TransactionalIDs, e.Codes = append(ids, other.TransactionalIDs...), append(codes, other.Codes...)
}

// clone returns a copy that stays as it is.
func (e *Entry) clone() (c Entry) {
	c.become(e)
	if c.Codes == nil {
		c.Codes = []string{}
	}
	return c
}

func (l *Log) growLocked() {
	ring := make([]Entry, min(max(2*len(l.mu.ring), 64), MaxEntries))
	for i := range l.mu.n {
		ring[i] = l.mu.ring[(l.mu.first+i)%len(l.mu.ring)]
	}
	l.mu.ring, l.mu.first = ring, 0
}

// Entries returns the last limit entries behind an ID for which keep says so, oldest first.
func (l *Log) Entries(after uint64, limit int, keep func(*Entry) bool) []Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []Entry
	for i := l.mu.n - 1; i >= 0 && len(found) < limit; i-- {
		e := &l.mu.ring[(l.mu.first+i)%len(l.mu.ring)]
		if e.ID <= after {
			break
		}
		if keep(e) {
			found = append(found, e.clone())
		}
	}
	for i, j := 0, len(found)-1; i < j; i, j = i+1, j-1 {
		found[i], found[j] = found[j], found[i]
	}
	return found
}

// Last returns the ID of the last entry.
func (l *Log) Last() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.last
}

// Await returns when there is an entry behind an ID, or ctx ends.
func (l *Log) Await(ctx context.Context, after uint64) {
	l.mu.Lock()
	if l.mu.last > after {
		l.mu.Unlock()
		return
	}
	if l.mu.changed == nil {
		l.mu.changed = make(chan struct{})
	}
	changed := l.mu.changed
	l.mu.Unlock()
	select {
	case <-changed:
	case <-ctx.Done():
	}
}

// Begin counts a request that keeps the cluster busy until End.
func (l *Log) Begin() { l.running.Add(1) }

// End ends a request that was counted.
func (l *Log) End(now time.Time) {
	l.mu.Lock()
	l.mu.ended = now
	l.mu.Unlock()
	l.running.Add(-1) // last: who sees that there is none sees when it ended
}

// Idle says for how long there has been no request that counts.
func (l *Log) Idle() time.Duration {
	if l.running.Load() > 0 {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Since(l.mu.ended)
}

// Watch says that somebody waits for Idle, until the returned function is called: from now on it is worth to find out
// whether a commit changes anything.
func (l *Log) Watch() (end func()) {
	l.watchers.Add(1)
	return func() { l.watchers.Add(-1) }
}

// Watched says whether somebody waits for Idle.
func (l *Log) Watched() bool { return l.watchers.Load() > 0 }
