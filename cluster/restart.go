package cluster

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"once/internal/fault"
	"once/log/directory"
)

// HowToStop is how Restart ends a cluster.
type HowToStop int8

// The ways to end.
const (
	Cleanly  HowToStop = iota // everything is written, and the directory marked as cleanly stopped
	ByKill                    // like a SIGKILL: nothing is flushed
	PowerCut                  // a kill, after which only what the durability mode promises is there
)

// Recovery is what the opening of a cluster has found.
type Recovery struct {
	TruncatedBytes        int64    // of segments
	TransactionsCompleted []string // transactional IDs that were prepared, and got their markers again
	Took                  time.Duration
}

// Restart ends the cluster and opens it again from its files after a while; ctx ends the wait early. Connections are
// closed, and requests meanwhile find nobody. The faults, the rules and the clock stay; what they hold is let go. A
// cluster that is down already is opened.
func (c *Cluster) Restart(ctx context.Context, how HowToStop, downFor time.Duration) (Recovery, error) {
	c.changing.Lock()
	defer c.changing.Unlock()
	if c.lock == nil {
		return Recovery{}, ErrClosed
	}
	var err error
	if how == Cleanly {
		if e := c.stop(); e != nil {
			err = e.close(c.Err() == nil)
		}
	} else {
		c.kill()
	}
	if how == PowerCut {
		c.powerCut = true
	}
	c.disconnect()
	if downFor > 0 {
		timer := time.NewTimer(downFor)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	recovery, openErr := c.reopen()
	return recovery, errors.Join(openErr, err)
}

func (c *Cluster) disconnect() {
	if c.env.Disconnect != nil {
		c.env.Disconnect()
	}
}

// reopen opens the cluster and says what it has found.
func (c *Cluster) reopen() (r Recovery, err error) {
	before, err := c.segmentBytes()
	if err != nil {
		return r, fmt.Errorf("%w: %w", ErrStorage, err)
	}
	began := time.Now()
	err = c.start()
	r.Took = time.Since(began)
	if errors.Is(err, fault.ErrKilled) && c.rules.TakeKill() { // by a rule, while it was opened
		began = time.Now()
		err = c.start()
		r.Took += time.Since(began)
	}
	if err != nil {
		return r, err
	}
	after, err := c.segmentBytes()
	r.TruncatedBytes = max(0, before-after)
	if e := c.engine(); e != nil {
		r.TransactionsCompleted = e.prepared
	}
	return r, err
}

// segmentBytes is the size of all segments.
func (c *Cluster) segmentBytes() (sum int64, err error) {
	logs, err := directory.Logs(c.env.FS, c.dir)
	if err != nil {
		return 0, err
	}
	for _, l := range logs {
		names, err := c.env.FS.List(path.Join(c.dir, l))
		if err != nil {
			return 0, err
		}
		for _, name := range names {
			if !strings.HasSuffix(name, ".log") {
				continue
			}
			if info, err := c.env.FS.Stat(path.Join(c.dir, l, name)); err == nil {
				sum += info.SizeBytes
			}
		}
	}
	return sum, nil
}
