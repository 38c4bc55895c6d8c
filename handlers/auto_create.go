package handlers

import (
	"errors"
	"strings"
	"sync"
	"time"

	"once/topics"
	"once/wire"
)

// maxPendingCreations is how many topics may wait to be created. One more is created at once: a request can name as
// many topics as it likes.
const maxPendingCreations = 1000

// autoCreation holds the topics that Metadata has asked for and that are created after dev.auto.create.delay.ms. Until
// then nobody knows them, as in Kafka, whose controller gathers for 25 ms what it writes. That is the time that Kafka
// needs, so it goes by the machine's clock: a topic appears although the cluster's clock stands still. The zero value
// is ready to use. Locking: mu is a leaf.
type autoCreation struct {
	running sync.WaitGroup // timers that are set, or whose function runs
	mu      struct {
		sync.Mutex
		pending map[string]*time.Timer
		closed  bool
	}
}

// autoCreate creates a topic with the broker's defaults, or begins to: then it returns topics.ErrUnknownTopic, as it
// does where the defaults allow no topic.
func (s *Services) autoCreate(name string) (*topics.Topic, error) {
	// The name points into the request's frame.
	spec := topics.Spec{Name: strings.Clone(name), Partitions: s.Settings.NumPartitions}
	if err := s.Topics.Validate(spec); err != nil && !errors.Is(err, topics.ErrExists) {
		return nil, err
	}
	if s.isTooManyReplicas(-1) || s.createLater(spec) {
		return nil, topics.ErrUnknownTopic
	}
	t, err := s.Topics.Create(spec)
	if errors.Is(err, topics.ErrExists) {
		if t, code := s.Catalogue.Topic(name); code == wire.NoError {
			return t, nil
		}
	}
	return t, err
}

// createLater reports whether a topic is created later, and sees to it that it is.
func (s *Services) createLater(spec topics.Spec) bool {
	delay := s.Settings.DevAutoCreateDelay
	a := &s.autoCreation
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.mu.pending[spec.Name] != nil {
		return true
	}
	if delay <= 0 || a.mu.closed || len(a.mu.pending) >= maxPendingCreations {
		return false
	}
	if a.mu.pending == nil {
		a.mu.pending = map[string]*time.Timer{}
	}
	a.running.Add(1)
	a.mu.pending[spec.Name] = time.AfterFunc(delay, func() {
		defer a.running.Done()
		s.createPending(spec)
		a.mu.Lock()
		delete(a.mu.pending, spec.Name)
		a.mu.Unlock()
	})
	return true
}

// createPending creates a topic that somebody else may have created meanwhile.
func (s *Services) createPending(spec topics.Spec) {
	if _, err := s.Topics.Create(spec); err != nil && !errors.Is(err, topics.ErrExists) {
		s.Logger.Error("topic that Metadata asked for not created", "topic", spec.Name, "error", err)
	}
}

// createNow creates a topic that waits to be created. Kafka's controller carries out in order what it is asked for, so
// that CreateTopics and DeleteTopics meet the topic.
func (s *Services) createNow(name string) {
	a := &s.autoCreation
	a.mu.Lock()
	t := a.mu.pending[name]
	if t == nil || !t.Stop() {
		a.mu.Unlock()
		return
	}
	delete(a.mu.pending, name)
	a.mu.Unlock()
	defer a.running.Done()
	s.createPending(topics.Spec{Name: strings.Clone(name), Partitions: s.Settings.NumPartitions})
}

// Close gives up the topics that wait to be created, and returns when none is being created any more.
func (s *Services) Close() {
	a := &s.autoCreation
	a.mu.Lock()
	a.mu.closed = true
	for name, t := range a.mu.pending {
		if t.Stop() {
			delete(a.mu.pending, name)
			a.running.Done()
		}
	}
	a.mu.Unlock()
	a.running.Wait()
}
