package main

import (
	"fmt"
	"testing"
	"time"
)

// In the mode fsync nothing is shown that a power cut could take back, and what has been acknowledged
// is shown (spec: reliability P5, P21). Every sync takes 150 ms here, and a barrier is two of them at least.
func TestFsyncShowsDurableRecordsOnly(t *testing.T) {
	p := straceable(t, t.TempDir(), "fsync")
	c, reader := dial(t, p.listen), dial(t, p.listen)
	create(t, c, "plain", "left", "right")
	must(t, c.Commit("group", "plain", 0, 1, ""))
	txn := dial(t, p.listen)
	mover := begin(t, txn, "mover")
	if !meddle(t, p, syncs, "delay_enter=150ms") {
		return
	}
	for name, what := range map[string]struct {
		write func() error
		shown func() (bool, error)
	}{
		"record": {
			func() error { return produce(c, "plain", "1") },
			func() (bool, error) {
				values, _, err := reader.Consume("plain", 0, 0, false)
				return len(values) > 0, err
			},
		},
		"offset": {
			func() error { return c.Commit("group", "plain", 0, 2, "") },
			func() (bool, error) { offset, err := reader.Committed("group", "plain", 0); return offset == 2, err },
		},
	} {
		began, answered := time.Now(), make(chan error, 1)
		var took time.Duration
		go func() {
			err := what.write()
			took = time.Since(began)
			answered <- err
		}()
		for {
			shown, err := what.shown()
			must(t, err)
			if !shown {
				continue
			}
			if after := time.Since(began); after < 145*time.Millisecond {
				t.Errorf("the %s is shown after %v, which is before any barrier can be over", name, after)
			}
			break
		}
		must(t, <-answered)
		if took < 145*time.Millisecond {
			t.Errorf("the %s is acknowledged after %v", name, took)
		}
	}
	must(t, transaction(txn, mover, 1, true))
	values, _, err := reader.Consume("left", 0, 0, true)
	if err != nil || fmt.Sprint(values) != "[1 1]" {
		t.Errorf("after the commit was acknowledged a reader of committed data sees %q, %v", values, err)
	}
	if offset, err := reader.Committed("movers", "left", 0); err != nil || offset != 1 {
		t.Errorf("after the commit was acknowledged the offset is %d, %v", offset, err)
	}
}
