package sharepartition

import (
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
)

// TopicPartition names a partition by its topic's ID.
type TopicPartition struct {
	TopicID   [16]byte
	Partition int32
}

// sessionKey names a share session: one for each member.
type sessionKey struct{ group, member string }

// The epochs that begin and end a session.
const (
	InitialEpoch = 0
	FinalEpoch   = -1
)

// Session is the share session of a member: the partitions that it fetches. A well-behaved client uses its session from
// one connection; the lock guards against others.
type Session struct {
	key  sessionKey // immutable, as is the next one
	conn int64      // that began it
	mu   struct {
		sync.Mutex
		epoch      int32 // that the next request must carry
		partitions []TopicPartition
		present    map[TopicPartition]struct{} // those in partitions
		forgotten  map[TopicPartition]struct{} // that may still have records of the member
		failed     map[TopicPartition]bool
		topics     map[[16]byte]struct{} // that existed when the session saw them
	}
}

// SessionRequest is what a request does to its session.
type SessionRequest struct {
	Group, Member    string
	Epoch            int32
	Conn             int64
	Acknowledges     bool // it has acknowledgements
	Add, Forget      []TopicPartition
	OnlyAcknowledges bool // a ShareAcknowledge, which begins no session
}

// Update finds or begins the session of a request, and returns it with its partitions in the order of this fetch. An
// error leaves it as it was. With FinalEpoch the session stays until End (spec: share-groups 7).
func (m *Manager) Update(r SessionRequest) (*Session, []TopicPartition, error) {
	key := sessionKey{r.Group, r.Member}
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.mu.sessions[key]
	if r.Epoch == InitialEpoch {
		switch {
		case r.OnlyAcknowledges:
			return nil, nil, ErrSessionEpoch
		case r.Acknowledges:
			return nil, nil, ErrSessionBegins
		case s == nil && len(m.mu.sessions) >= m.cfg.MaxSessions || m.mu.closed:
			return nil, nil, ErrSessionLimit
		}
		s = m.beginLocked(key, r.Conn, s)
	}
	if s == nil {
		return nil, nil, ErrSessionNotFound
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case r.Epoch == FinalEpoch:
		return s, nil, nil
	case r.Epoch > 0 && r.Epoch != s.mu.epoch:
		return nil, nil, ErrSessionEpoch
	}
	epoch := s.mu.epoch
	if s.mu.epoch++; epoch == math.MaxInt32 {
		s.mu.epoch = 1
	}
	if !r.OnlyAcknowledges {
		s.changeLocked(r.Add, r.Forget)
	}
	parts := slices.Clone(s.mu.partitions)
	if n := len(parts); n > 0 { // another one comes first each time
		first := int(epoch) % n
		parts = append(parts[first:], parts[:first]...)
	}
	return s, parts, nil
}

func (m *Manager) beginLocked(key sessionKey, conn int64, old *Session) *Session {
	key = sessionKey{strings.Clone(key.group), strings.Clone(key.member)}
	s := &Session{key: key, conn: conn}
	s.mu.present, s.mu.forgotten = map[TopicPartition]struct{}{}, map[TopicPartition]struct{}{}
	if old != nil {
		for _, p := range old.all() {
			s.mu.forgotten[p] = struct{}{}
		}
		m.forgetLocked(old)
	}
	m.mu.sessions[key] = s
	if m.mu.byConn[conn] == nil {
		m.mu.byConn[conn] = map[sessionKey]*Session{}
	}
	m.mu.byConn[conn][key] = s
	return s
}

// forgetLocked takes a session out of the maps.
func (m *Manager) forgetLocked(s *Session) {
	if m.mu.sessions[s.key] == s {
		delete(m.mu.sessions, s.key)
	}
	if of := m.mu.byConn[s.conn]; of != nil && of[s.key] == s {
		if delete(of, s.key); len(of) == 0 {
			delete(m.mu.byConn, s.conn)
		}
	}
}

// changeLocked takes time in proportion to the request and the session: both may name a million partitions.
func (s *Session) changeLocked(add, forget []TopicPartition) {
	for _, p := range add {
		if _, ok := s.mu.present[p]; !ok {
			s.mu.present[p] = struct{}{}
			s.mu.partitions = append(s.mu.partitions, p)
		}
		delete(s.mu.forgotten, p)
	}
	before := len(s.mu.present)
	for _, p := range forget {
		if _, ok := s.mu.present[p]; ok {
			delete(s.mu.present, p)
			delete(s.mu.failed, p)
			s.mu.forgotten[p] = struct{}{}
		}
	}
	if len(s.mu.present) < before {
		s.mu.partitions = slices.DeleteFunc(s.mu.partitions, func(p TopicPartition) bool {
			_, ok := s.mu.present[p]
			return !ok
		})
	}
}

// all returns the partitions of the session and those that it has forgotten.
func (s *Session) all() []TopicPartition {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.AppendSeq(slices.Clone(s.mu.partitions), maps.Keys(s.mu.forgotten))
}

// NoteResult stores whether a partition was answered with an error, and returns whether it was the last time.
func (s *Session) NoteResult(p TopicPartition, failed bool) (before bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before = s.mu.failed[p]
	switch {
	case failed && s.mu.failed == nil:
		s.mu.failed = map[TopicPartition]bool{p: true}
	case failed:
		s.mu.failed[p] = true
	default:
		delete(s.mu.failed, p)
	}
	return before
}

// Knew says whether a topic has ever been there for the session; now says whether it is there.
func (s *Session) Knew(topicID [16]byte, now bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, known := s.mu.topics[topicID]
	if now && !known {
		if s.mu.topics == nil {
			s.mu.topics = map[[16]byte]struct{}{}
		}
		s.mu.topics[topicID] = struct{}{}
	}
	return known || now
}

// End closes a session: the records of its member in the partitions of the session become Available, in those that it
// has forgotten, too.
func (m *Manager) End(s *Session) { m.end(s) }

func (m *Manager) end(s *Session) {
	m.mu.Lock()
	present := m.mu.sessions[s.key] == s
	m.forgetLocked(s)
	m.mu.Unlock()
	if !present {
		return
	}
	for _, p := range s.all() {
		if sp := m.get(Key{Group: s.key.group, TopicID: p.TopicID, Partition: p.Partition}, false); sp != nil {
			sp.releaseMember(s.key.member)
		}
	}
}

// Disconnected closes the sessions that a connection began.
func (m *Manager) Disconnected(conn int64) {
	m.mu.Lock()
	var all []*Session
	for _, s := range m.mu.byConn[conn] {
		all = append(all, s)
	}
	m.mu.Unlock()
	for _, s := range all {
		m.end(s)
	}
}

// Sessions returns the number of share sessions.
func (m *Manager) Sessions() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.mu.sessions)
}
