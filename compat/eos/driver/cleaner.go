package driver

import (
	"context"
	"fmt"
	"time"

	"once/compat/eos/history"
)

// The internal topics have to be compacted between any two kills, and what is kept of them has to be far more than
// the cleaner writes at once. cleanerArgs make this project's broker do so: there is one partition of each, whose
// segments hold a little more than what the keeper has it keep.
var cleanerArgs = []string{
	"--set", "offsets.topic.num.partitions=1", "--set", "transaction.state.log.num.partitions=1",
	"--set", "offsets.topic.segment.bytes=8388608", "--set", "transaction.state.log.segment.bytes=8388608",
	"--set", "log.cleaner.backoff.ms=50", "--set", "log.cleaner.min.cleanable.ratio=0.01",
}

// What the keeper keeps: 6 MB in each of the internal topics.
const (
	keptParts  = 32
	keptGroups = 48
	keptIDs    = keptGroups * keptParts
)

const (
	cleanLimit = 20 * time.Second // then a kill no longer waits for what the cleaner has to do before
	passLimit  = 5 * time.Second  // then it no longer waits for a pass to be under way
	passPoll   = 200 * time.Microsecond
)

// newCleaner is what a broker's cleaner has done at its start, when the last one had come so far.
func newCleaner(last *history.Cleaner) *history.Cleaner {
	c := &history.Cleaner{}
	for i, topic := range internalTopics {
		t := history.Cleaned{Topic: topic}
		if last != nil {
			t.To = last.Topics[i].To
		}
		c.Topics = append(c.Topics, t)
	}
	return c
}

// observeCleaner notes what passes have done since the broker's start.
func (r *run) observeCleaner() error {
	if !r.cfg.Cleans {
		return nil
	}
	now, err := r.System.Cleaner()
	if err != nil {
		return fmt.Errorf("what the cleaner does: %w", err)
	}
	now.WrittenBytes = max(now.WrittenBytes, r.cleaner.WrittenBytes) // a broker that is gone tells no metrics
	for i, before := range r.cleaner.Topics {
		t := &now.Topics[i]
		t.Passes, t.LongestBytes = before.Passes, max(t.LongestBytes, before.LongestBytes)
		if t.To > before.To {
			t.Passes++
		}
	}
	r.cleaner = now
	return nil
}

// awaitPass waits for a pass over an internal topic, so that a kill comes in its middle.
func (r *run) awaitPass(ctx context.Context) error {
	poll, limit := time.NewTicker(passPoll), time.NewTimer(passLimit)
	defer poll.Stop()
	defer limit.Stop()
	for !r.System.MidPass() {
		select {
		case <-poll.C:
		case <-limit.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// endCleaner writes down what the cleaner of a broker had done that was killed, and says it in a few words.
func (r *run) endCleaner() (text string, err error) {
	if err := r.observeCleaner(); err != nil || !r.cfg.Cleans {
		return "", err
	}
	r.events.Write(history.Event{Kind: history.KindCleaner, Cleaner: r.cleaner})
	text = fmt.Sprintf("%d MiB written by the cleaner", r.cleaner.WrittenBytes>>20)
	for _, t := range r.cleaner.Topics {
		text += fmt.Sprintf("; %s: %d passes, longest segment %d KiB", t.Topic, t.Passes, t.LongestBytes>>10)
	}
	if r.cleaner.MidPass {
		text += "; killed in the middle of a pass"
	}
	r.cleaner = newCleaner(r.cleaner)
	return text, nil
}
