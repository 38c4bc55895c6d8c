package handlers

import (
	"cmp"
	"container/list"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"once/faults"
	"once/internal/clock"
)

// sessionIdle is the idle time after which any other fetch session may replace a session (KIP-227).
const sessionIdle = 2 * time.Minute

// fetchPartition is one partition of a fetch; in a session also the last answer for it.
type fetchPartition struct {
	key                                  fetchKey
	topic                                string   // as the client names it; "" when it asks by ID
	topicID                              [16]byte // zero when the client asks by name
	nameOfID                             string   // of the topic that had the ID when it was found; "" before
	offset                               int64
	maxBytes                             int32
	currentLeaderEpoch, lastFetchedEpoch int32
	saidHighWatermark, saidLogStart      int64   // -1 before the first answer and after an error
	missing                              missing // when the request came; of one request
}

// missing is the reason why a fetch finds no partition. Answers are in this order.
type missing int

const (
	present missing = iota
	missingTopicID
	missingName
)

// fetchKey names a partition as the client does: by topic name or by topic ID.
type fetchKey struct {
	topic     string
	topicID   [16]byte
	partition int32
}

// fetchSession stores a client's fetch, so that requests and answers carry changes only. A well-behaved client uses its
// session from one connection; the lock guards against others.
type fetchSession struct {
	id    int32
	byID  bool // made with topic IDs; names are not understood, and the other way round
	mu    sync.Mutex
	epoch int32      // that the next request must carry
	order *list.List // of *fetchPartition, the session's own: those with data move to the end, so that none starves
	parts map[fetchKey]*list.Element

	created, used time.Time // guarded by fetchSessions.mu
}

// fetchSessions is the cache of all sessions (KIP-227). When it is full, a session idle for sessionIdle is replaced;
// else the client gets no session, which only costs bytes.
type fetchSessions struct {
	slots int
	clock clock.Clock
	mu    struct {
		sync.Mutex
		byID map[int32]*fetchSession
	}
}

func newFetchSessions(slots int, c clock.Clock) *fetchSessions {
	fs := &fetchSessions{slots: slots, clock: c}
	fs.mu.byID = map[int32]*fetchSession{}
	return fs
}

// create makes a session over parts, or returns nil when there is no room.
func (fs *fetchSessions) create(parts []*fetchPartition, byID bool) *fetchSession {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	now := fs.clock.Now()
	if len(fs.mu.byID) >= fs.slots && !fs.evictLocked(now, len(parts)) {
		return nil
	}
	s := &fetchSession{byID: byID, epoch: 1, order: list.New(), parts: map[fetchKey]*list.Element{}, created: now,
		used: now}
	for s.id == 0 || fs.mu.byID[s.id] != nil {
		s.id = rand.Int32N(math.MaxInt32)
	}
	for _, p := range parts {
		s.put(p)
	}
	fs.mu.byID[s.id] = s
	return s
}

// evictLocked makes room for a session over size partitions, and says whether it could. It removes a session idle for
// sessionIdle, or else the smallest one that is smaller and has existed that long.
func (fs *fetchSessions) evictLocked(now time.Time, size int) bool {
	var victim *fetchSession
	for _, s := range fs.mu.byID {
		if now.Sub(s.used) > sessionIdle {
			victim = s
			break
		}
		if now.Sub(s.created) > sessionIdle && s.size() < size && (victim == nil || s.size() < victim.size()) {
			victim = s
		}
	}
	if victim == nil {
		return false
	}
	delete(fs.mu.byID, victim.id)
	return true
}

func (fs *fetchSessions) get(id int32) *fetchSession {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	s := fs.mu.byID[id]
	if s != nil {
		s.used = fs.clock.Now()
	}
	return s
}

func (fs *fetchSessions) remove(id int32) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	delete(fs.mu.byID, id)
}

func (s *fetchSession) size() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.order.Len()
}

// put adds a partition, or updates its entry.
func (s *fetchSession) put(p *fetchPartition) {
	if e := s.parts[p.key]; e != nil {
		old := e.Value.(*fetchPartition)
		old.offset, old.maxBytes = p.offset, p.maxBytes
		old.currentLeaderEpoch, old.lastFetchedEpoch = p.currentLeaderEpoch, p.lastFetchedEpoch
		return
	}
	kept := *p
	s.parts[p.key] = s.order.PushBack(&kept)
}

func (s *fetchSession) forget(k fetchKey) {
	if e := s.parts[k]; e != nil {
		s.order.Remove(e)
		delete(s.parts, k)
	}
}

// partitions returns copies, which a fetch uses without the lock.
func (s *fetchSession) partitions() []*fetchPartition {
	copies := make([]fetchPartition, s.order.Len())
	all := make([]*fetchPartition, len(copies))
	for i, e := 0, s.order.Front(); e != nil; i, e = i+1, e.Next() {
		copies[i] = *e.Value.(*fetchPartition)
		all[i] = &copies[i]
	}
	return all
}

// lastSessionEpoch is the last epoch of a session before it begins again.
const lastSessionEpoch = math.MaxInt32

// nextEpoch returns the epoch after e; after the last one comes 1, because 0 asks for a new session.
func nextEpoch(e int32) int32 {
	if e == lastSessionEpoch {
		return 1
	}
	return e + 1
}

// topics returns what a session fetches; nothing when there is none of the ID.
func (fs *fetchSessions) topics(id int32) (all []faults.Topic) {
	fs.mu.Lock()
	s := fs.mu.byID[id]
	fs.mu.Unlock()
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, e := range s.parts {
		p := e.Value.(*fetchPartition)
		all = append(all, faults.Topic{Name: cmp.Or(p.nameOfID, p.topic), Partitions: []int32{key.partition}})
	}
	return all
}
