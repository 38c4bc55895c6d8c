package handlers

import (
	"errors"
	"strings"
	"sync"
	"time"

	"once/topics"
	"once/wire"
)

// maxPendingCreations is the largest number of topics that wait to be created, because a request can name any number of
// topics. Further ones are created at once.
const maxPendingCreations = 1000

// autoCreation holds the topics that Metadata has asked for and that are created after dev.auto.create.delay.ms. Until
// then they are unknown, as in Kafka, whose controller collects its writes for 25 ms. The delay uses the machine's
// clock: a topic appears although the cluster's clock stands still. The zero value is ready to use. Locking: mu is a
// leaf lock.
type autoCreation struct {
	running sync.WaitGroup // timers that are set, or whose function runs
	mu      struct {
		sync.Mutex
		pending map[string]*time.Timer
		closed  bool
	}
}

// autoCreate creates a topic with the broker's defaults, or schedules that: then it returns topics.ErrUnknownTopic. It
// returns the same when the defaults allow no topic.
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

// createLater schedules the creation of a topic, if the settings ask for a delay, and says whether it did.
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

// createPending creates a topic that another request may have created meanwhile.
func (s *Services) createPending(spec topics.Spec) {
	if _, err := s.Topics.Create(spec); err != nil && !errors.Is(err, topics.ErrExists) {
		s.Logger.Error("topic that Metadata asked for not created", "topic", spec.Name, "error", err)
	}
}

// createNow creates a topic that waits to be created. Kafka's controller carries out requests in order, so CreateTopics
// and DeleteTopics must find the topic.
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

// Close drops the topics that wait to be created, and waits for running creations.
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
