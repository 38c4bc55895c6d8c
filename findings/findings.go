// Package findings notices what a reviewer of a program with transactions would: offsets that are committed in two
// ways, transactions that are nearly too old, two clients with one transactional ID. The handlers and the transaction
// coordinator tell it what clients do, and tests read what was found. It is bounded in bytes, decides nothing, and
// stays when the cluster is closed and opened again.
//
// A correct program gives no finding, even if its clients are killed or fenced. Where what the broker sees can be the
// work of a correct program, nothing is found.
package findings

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Code names a kind of finding.
type Code string

// The codes.
const (
	// MixedCommits: the offsets of a group are committed in transactions and outside of them.
	MixedCommits Code = "mixed-commits"
	// LongTransaction: a transaction was open for more than half of its timeout.
	LongTransaction Code = "long-transaction"
	// SharedTransactionalID: two connected clients use one transactional ID in turns.
	SharedTransactionalID Code = "shared-transactional-id"
	// EmptyTransaction: a transaction was committed to which partitions were added, and nothing was written.
	EmptyTransaction Code = "empty-transaction"
	// UnstableCommit: an offset beyond the last stable offset was committed.
	UnstableCommit Code = "unstable-commit"
	// SequencesReset: an idempotent producer began its sequences again.
	SequencesReset Code = "sequences-reset"
)

// Codes returns all codes.
func Codes() []Code {
	return []Code{MixedCommits, LongTransaction, SharedTransactionalID, EmptyTransaction, UnstableCommit, SequencesReset}
}

// Finding is something noticed, once or several times about the same subjects.
type Finding struct {
	Code     Code      `json:"code"`
	Sentence string    `json:"sentence"` // of the last time
	Subjects Subjects  `json:"subjects"` // the same
	Count    int64     `json:"count"`
	Since    time.Time `json:"since"` // the first time, by the machine's clock
}

// Subjects is what a finding is about.
type Subjects struct {
	TransactionalID string   `json:"transactionalId,omitempty"`
	Group           string   `json:"group,omitempty"`
	Topic           string   `json:"topic,omitempty"`
	Partition       *int32   `json:"partition,omitempty"`
	ProducerID      *int64   `json:"producerId,omitempty"`
	Clients         []string `json:"clients,omitempty"` // client IDs
}

// fixedBytes is what a finding costs besides its texts.
const fixedBytes = 512

func (f *Finding) sizeBytes() int {
	n := fixedBytes + len(f.Sentence) + len(f.Subjects.TransactionalID) + len(f.Subjects.Group) + len(f.Subjects.Topic)
	for _, c := range f.Subjects.Clients {
		n += len(c) + 16
	}
	return n
}

// noted is a finding that is remembered.
type noted struct {
	Finding
	occurrence int64 // the last one, of what can be noticed more than once; 0 for none
}

// Findings remembers findings. Safe for concurrent use; a nil *Findings notices nothing. Half of its bytes are for
// findings, the rest for what may become one.
type Findings struct {
	maxBytes int
	now      func() time.Time // the machine's clock, with a monotonic reading
	mu       struct {
		sync.Mutex
		found     []*noted // the oldest first
		byKey     map[string]*noted
		sizeBytes int
		groups    recent[group]
		ids       recent[transactional]
		producers recent[idempotent] // by connection
	}
}

// New returns a Findings of at most maxBytes. now is the machine's clock; nil means time.Now.
func New(maxBytes int, now func() time.Time) *Findings {
	if now == nil {
		now = time.Now
	}
	f := &Findings{maxBytes: maxBytes, now: now}
	f.clearLocked()
	f.mu.ids = recent[transactional]{maxBytes: maxBytes / 6}
	return f
}

// All returns the findings, oldest first, without those of the codes in ignore.
func (f *Findings) All(ignore ...Code) []Finding {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.allLocked(ignore)
}

func (f *Findings) allLocked(ignore []Code) []Finding {
	f.lookAtPairsLocked()
	all := []Finding{}
	for _, n := range f.mu.found {
		if !slices.Contains(ignore, n.Code) {
			one := n.Finding
			one.Subjects.Clients = slices.Clone(one.Subjects.Clients)
			all = append(all, one)
		}
	}
	return all
}

// Clear forgets all findings, which it returns, and what clients have done so far, but not over which connections.
func (f *Findings) Clear() []Finding {
	if f == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	all := f.allLocked(nil)
	f.clearLocked()
	f.mu.ids.each(func(_ string, t *transactional) {
		*t = transactional{now: incarnation{connections: t.now.connections}}
	})
	return all
}

func (f *Findings) clearLocked() {
	f.mu.found, f.mu.byKey, f.mu.sizeBytes = nil, map[string]*noted{}, 0
	f.mu.groups = recent[group]{maxBytes: f.maxBytes / 6}
	f.mu.producers = recent[idempotent]{maxBytes: f.maxBytes / 6}
}

// noteLocked remembers a finding. One about the same subject counts as another time, unless its occurrence is the one
// that was noted last. If there is no room, the earlier findings stay.
func (f *Findings) noteLocked(code Code, subject string, occurrence int64, sentence string, about Subjects) {
	key := string(code) + "\x00" + subject
	n := f.mu.byKey[key]
	if n == nil {
		n = &noted{Finding: Finding{Code: code, Sentence: sentence, Subjects: about, Since: f.now().UTC()}}
		if f.mu.sizeBytes+n.sizeBytes()+len(key) > f.maxBytes/2 {
			return
		}
		f.mu.byKey[key] = n
		f.mu.found = append(f.mu.found, n)
		f.mu.sizeBytes += n.sizeBytes() + len(key)
	}
	if n.Count == 0 || occurrence == 0 || occurrence != n.occurrence {
		n.Count++
	}
	before := *n
	n.occurrence, n.Sentence, n.Subjects = occurrence, sentence, about
	if grown := n.sizeBytes() - before.sizeBytes(); f.mu.sizeBytes+grown <= f.maxBytes/2 {
		f.mu.sizeBytes += grown
	} else {
		n.Sentence, n.Subjects = before.Sentence, before.Subjects
	}
}

// Client is who sent a request, and over which connection.
type Client struct {
	Connection int64
	ID         string          // client ID
	Closed     <-chan struct{} // closed with the connection; nil for a request that comes after the end of its connection
}

func (c *Client) connected() bool {
	if c.Closed == nil {
		return false
	}
	select {
	case <-c.Closed:
		return false
	default:
		return true
	}
}

// kept returns a client whose text does not point into a request, and is not long.
func (c Client) kept() Client {
	c.ID = clip(c.ID, maxShown)
	return c
}

const (
	maxShown = 100  // bytes of a name in a sentence, and of a client ID
	maxKept  = 1000 // of a transactional ID that is remembered with a group
)

// clip returns a copy of a name, without what is beyond max bytes.
func clip(name string, max int) string {
	if len(name) > max {
		return strings.ToValidUTF8(name[:max], "") + "…"
	}
	return strings.Clone(name)
}

func quoted(name string) string { return strconv.Quote(clip(name, maxShown)) }

// clientsOf returns the IDs of clients, each once.
func clientsOf(clients ...Client) (ids []string) {
	for _, c := range clients {
		if !slices.Contains(ids, c.ID) {
			ids = append(ids, c.ID)
		}
	}
	return ids
}
