package sharepartition

import (
	"context"
	"time"

	"once/sharepartition/window"
)

// DeadLetters writes dead letters (spec: share-groups 13).
type DeadLetters interface {
	// Write writes one letter for each offset of a run. It tries again by itself; an error is final. ctx ends with the
	// cluster.
	Write(ctx context.Context, k Key, topic string, letter window.Letter) error
}

// writeLettersLocked writes letters in the background. Their offsets stay Archiving until then.
func (sp *SharePartition) writeLettersLocked(letters []window.Letter) {
	if len(letters) == 0 {
		return
	}
	m := sp.m
	m.mu.Lock()
	closed := m.mu.closed
	if !closed {
		m.running.Add(1)
	}
	m.mu.Unlock()
	if closed {
		return // the next start finds them
	}
	go func() {
		defer m.running.Done()
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		go func() {
			select {
			case <-m.stopped:
				cancel()
			case <-ctx.Done():
			}
		}()
		for _, letter := range letters {
			sp.writeLetter(ctx, letter)
		}
	}()
}

// writeLetter writes the letters of a run, and archives its records, whether that works or not.
func (sp *SharePartition) writeLetter(ctx context.Context, letter window.Letter) {
	m := sp.m
	group := m.cfg.Settings(sp.key.Group)
	if group.DeadLetterTopic != "" && m.cfg.Letters != nil {
		m.metrics.letters.Inc()
		err := m.cfg.Letters.Write(ctx, sp.key, group.DeadLetterTopic, letter)
		if ctx.Err() != nil {
			return // the next start finds it
		}
		if err != nil {
			m.metrics.failedLetters.Inc()
			m.cfg.Logger.Warn("dead letter is not written; its records are archived", "group", sp.key.Group,
				"topic", group.DeadLetterTopic,
				"partition", sp.key.Partition, "first_offset", letter.FirstOffset, "last_offset", letter.LastOffset, "error", err)
		}
	}
	for {
		sp.mu.Lock()
		if sp.mu.window == nil {
			sp.mu.Unlock()
			return
		}
		change := sp.mu.window.FinishLetters(letter.FirstOffset, letter.LastOffset)
		var err error
		if !change.IsEmpty() {
			_, err = sp.changeLocked(change, limitsOf(group))
		}
		sp.mu.Unlock()
		if err == nil {
			return
		}
		timer := time.NewTimer(retryAfterFailedWrite)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}
