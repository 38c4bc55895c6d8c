package partition

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
)

// Passes run beside appends and readers: whoever reads from the start sees each key's record at or after
// the newest one that was committed when it began.
func TestCompactionBesideReadersAndWriters(t *testing.T) {
	s := newCompacted(t)
	s.config.Log.SegmentBytes = 1000
	s.config.Retention = Retention{Delete: true, RetentionMs: -1, RetentionBytes: -1}
	s.p.SetConfig(s.config)
	var newest atomic.Int64 // offset of the newest record of key k
	newest.Store(-1)
	var readers, passes sync.WaitGroup
	done := make(chan struct{})
	ended := func() bool {
		select {
		case <-done:
			return true
		default:
			return false
		}
	}
	for range 2 {
		readers.Go(func() {
			for !ended() {
				least := newest.Load()
				got, err := consume(s.p, 0, true, 700)
				last := int64(-1)
				for _, x := range got {
					if x.key == "k" {
						last = x.offset
					}
				}
				if err != nil || last < least {
					t.Errorf("read to %d of %d: %v", last, least, err)
					return
				}
			}
		})
	}
	passes.Go(func() {
		for !ended() {
			err := s.barrier.Sync(context.Background())
			if err == nil {
				_, err = s.p.Compact(context.Background(), s.nowMs(), 1<<20)
			}
			if err == nil {
				_, err = s.p.ApplyRetention(s.nowMs())
			}
			if err != nil {
				t.Error(err)
				return
			}
		}
	})
	for i := range 1500 {
		a := s.must(s.send(rec{"k", fmt.Sprint(i)}, rec{fmt.Sprint(i % 50), "x"}))
		newest.Store(a.BaseOffset)
	}
	close(done)
	readers.Wait()
	passes.Wait()
	s.shut()
}
