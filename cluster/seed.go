package cluster

import (
	"context"
	"errors"
	"fmt"

	"once/durability"
	"once/partition"
	"once/seed"
	"once/settings"
	"once/topics"
)

// Seed makes topics with their records. Those that exist are left as they are. When it returns, the records are as
// durable as those of a Produce that was answered. After an error none of the topics is left that it has made, unless
// the process died. An error wraps ErrConfig when the topics cannot be made for what they ask.
func (c *Cluster) Seed(ctx context.Context, all []seed.Topic) error {
	if len(all) == 0 {
		return nil
	}
	e := c.enter()
	if e == nil {
		return ErrClosed
	}
	defer e.requests.Done()
	if err := seed.Check(all, e.configs.Settings(), e.env.Clock.Now().UnixMilli()); err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	s := seeding{engine: e}
	err := s.make(all)
	for _, ticket := range s.tickets {
		if err == nil {
			err = ticket.Wait(ctx)
		}
	}
	if err != nil {
		for _, name := range s.made {
			err = errors.Join(err, e.topics.Delete(name))
		}
	}
	return err
}

// seeding is the state of one Seed.
type seeding struct {
	*engine
	made    []string
	tickets []durability.Ticket // that are waited for
}

func (s *seeding) make(all []seed.Topic) error {
	for i := range all {
		t := &all[i]
		if _, exists := s.topics.Lookup(t.Name); exists {
			s.env.Logger.Info("a topic of the seed exists, and is left as it is", "topic", t.Name)
			continue
		}
		if err := s.makeTopic(t); err != nil {
			return fmt.Errorf("the topic %s of the seed: %w", t.Name, err)
		}
		s.env.Logger.Info("a topic of the seed is made", "topic", t.Name, "partitions", t.Partitions,
			"records", len(t.Records))
	}
	return nil
}

func (s *seeding) makeTopic(t *seed.Topic) error {
	created, err := s.topics.Create(topics.Spec{Name: t.Name, Partitions: t.Partitions, Overrides: t.Configs})
	if err != nil {
		var invalid *settings.InvalidError
		if errors.As(err, &invalid) || errors.Is(err, topics.ErrInvalidName) || errors.Is(err, topics.ErrTooManyPartitions) {
			err = fmt.Errorf("%w: %w", ErrConfig, err)
		}
		return err
	}
	s.made = append(s.made, t.Name)
	for _, b := range t.Batches(s.env.Clock.Now().UnixMilli()) {
		p, _ := created.Partition(b.Partition)
		appended, err := p.AppendClient(b.Raw, partition.Guard(0), newestProduce)
		if err != nil {
			return fmt.Errorf("partition %d: %w", b.Partition, err)
		}
		if appended.Durable.Pending() {
			s.tickets = append(s.tickets, appended.Durable)
		}
	}
	return nil
}

// newestProduce is the version of Produce in which every codec is allowed.
const newestProduce = 13
