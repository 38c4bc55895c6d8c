package partition

import (
	"context"
	"testing"

	"once/internal/vfs"
	"once/log"
	"once/log/batch"
)

// A producer snapshot that is written while a replacement waits for its barrier writes the list of aborted
// transactions of the new segment. Its file goes with those of the old segment, and comes again: a start finds the
// list.
func TestListOfAbortedSurvivesAReplacement(t *testing.T) {
	s := newShelf(t, vfs.NewMem())
	s.config.Log.SegmentBytes = 1 << 20
	s.config.Compaction = Compaction{Compact: true, DeleteRetentionMs: 1 << 40}
	s.mustOpen()
	if _, err := s.sendAs(7, 0, 0, true, rec{"k", "aborted"}); err != nil {
		t.Fatal(err)
	}
	if err := s.end(7, 0, batch.Abort); err != nil {
		t.Fatal(err)
	}
	s.must(s.send(rec{"a", "1"}))
	s.must(s.send(rec{"a", "2"}))
	s.roll()
	s.must(s.send(rec{"b", "1"}))
	s.sync()
	d, err := s.p.Dirtiness(s.nowMs())
	if err != nil {
		t.Fatal(err)
	}
	calls := 0
	_, err = s.p.log.Clean(context.Background(), log.CleanOptions{
		Limit: d.Limit, NowMs: s.nowMs(), DeleteRetentionMs: 1 << 40, MapBytes: 1 << 20, Producers: s.p.lastOfProducers(),
		Stopped: func() bool { return false },
		Exclusively: func(f func()) {
			f()
			calls++
			if err := s.p.log.WriteSnapshot(s.p.log.EndOffset(), s.p.mu.producers.Snapshot()); err != nil {
				t.Error(err)
			}
		},
	})
	if err != nil || calls < 2 {
		t.Fatalf("%d calls, %v", calls, err)
	}
	checkpoint, found, err := log.ReadTxnCheckpoint(s.fs, "data/"+s.p.id.String())
	if err != nil || !found || len(checkpoint.Segments) == 0 || checkpoint.Segments[0].Entries == 0 {
		t.Fatalf("checkpoint %+v, %v, %v", checkpoint, found, err)
	}
	first := checkpoint.Segments[0]
	f, err := s.fs.OpenRead("data/" + s.p.id.String() + "/" + log.FileName(first.BaseOffset, log.TxnIndexSuffix))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	content := make([]byte, 34*first.Entries)
	if n, _ := f.ReadAt(content, 0); n < len(content) || !first.Holds(content) {
		t.Errorf("the list of aborted transactions has %d bytes", n)
	}
	s.shut()
}
