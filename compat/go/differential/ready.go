package main

import (
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// awaitCoordinators waits until both brokers have their internal topics, which Kafka makes when they are first needed,
// and producer IDs to hand out.
func (p *pair) awaitCoordinators() error {
	for _, addr := range []string{p.kafka, p.once} {
		s := &side{names: newNames("", 0), addr: addr}
		defer s.close()
		for coordinator, topic := range []string{"__consumer_offsets", "__transaction_state"} {
			r := kmsg.NewPtrFindCoordinatorRequest()
			r.Version, r.CoordinatorType, r.CoordinatorKeys = 4, int8(coordinator), []string{"any"}
			if _, err := s.request(r); err != nil {
				return err
			}
			if err := s.awaitLeaders(topic, 50); err != nil {
				return err
			}
		}
		if err := s.awaitProducerIDs(); err != nil {
			return err
		}
	}
	return nil
}

func (s *side) awaitProducerIDs() error {
	r := kmsg.NewPtrInitProducerIDRequest()
	r.Version, r.TransactionTimeoutMillis = 4, 1000
	for ; ; time.Sleep(retryPause) {
		resp, err := s.request(r)
		if err != nil || resp.(*kmsg.InitProducerIDResponse).ErrorCode == 0 {
			return err
		}
	}
}

// restoreFeatures leaves the features at the levels that a new broker has.
func (p *pair) restoreFeatures() {
	b := p.begin()
	defer b.end()
	for _, step := range setFeature("transaction.version", 2) {
		b.do(step)
	}
}
