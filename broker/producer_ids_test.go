package broker_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/broker/brokertest"
	"once/pidmanager"
)

// A client may write with any producer ID that it makes up, and a start hands out IDs above all that the logs hold.
// However high one is, there are others above it, none comes twice, and transactions go on.
func TestStartBehindMadeUpProducerIDs(t *testing.T) {
	t.Setenv("ONCE_SCRIPT_BROKER", "")
	dir := t.TempDir()
	seen := map[int64]bool{}
	for start, madeUp := range []int64{5_000, math.MaxInt64 - 1, math.MaxInt64, math.MaxInt64 - pidmanager.BlockSize,
		1 << 62} {
		b := brokertest.Start(t, brokertest.WithDataDir(dir))
		h := &hostile{peer: &peer{t: t, addr: b.Addr(), own: b}}
		h.forget()
		if start == 0 {
			h.topic("x")
		}
		for range 2*pidmanager.BlockSize + 10 { // beyond two blocks
			id, _ := h.producer(nil)
			if id < 0 || seen[id] {
				t.Fatalf("start %d: producer ID %d, twice %v", start, id, seen[id])
			}
			seen[id] = true
		}
		transactionalID := kmsg.StringPtr(fmt.Sprint("t", start))
		id, epoch := h.producer(transactionalID)
		if id < 0 {
			t.Fatalf("start %d: the transactional ID has %d", start, id)
		}
		transactional := part{"x", 0, producerBatch(id, epoch, 0, true)}
		if got := h.produceTo(12, -1, transactionalID, transactional); got != "x-0 NONE" {
			t.Errorf("start %d: in a transaction: %s", start, got)
		}
		if got := h.produceTo(9, -1, nil, part{"x", 0, producerBatch(madeUp, 0, 0, false)}); got != "x-0 NONE" {
			t.Errorf("start %d: with producer ID %d: %s", start, madeUp, got)
		}
		h.hangUp()
		if err := b.Close(); err != nil {
			t.Fatal(fmt.Errorf("stop %d: %w", start, err))
		}
	}
}
