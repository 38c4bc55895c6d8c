package log_test

import (
	"testing"

	"once/durability"
	"once/internal/files"
	"once/internal/vfs"
	"once/log"
	"once/log/logtest"
)

// A start after a kill moves what no barrier has covered to a segment of its own. The indexes of the shortened segment
// end with it, also if the start was killed before.
func TestIndexesEndWithTheirShortenedSegment(t *testing.T) {
	for n, fired := 0, true; fired; n++ {
		mem := vfs.NewMem()
		dying := vfs.DieAt(1<<30, mem)
		w := logtest.NewWorld(t, dying, durability.Page)
		w.Config.SegmentBytes = 1 << 20
		l := w.MustOpen()
		logtest.MustAdd(t, l, 20, 1)
		w.MustCheckpoint()
		logtest.MustAdd(t, l, 20, 1)
		if err := l.Roll(); err != nil { // which writes the indexes
			t.Fatal(err)
		}
		w.Leave()
		dying.Arm(n)
		err := w.Open()
		w.Leave()
		if fired = dying.Fired(); !fired && err != nil {
			t.Fatal(err)
		}
		w.FS = mem
		w.MustOpen()
		w.MustClose()
		offsets, times := indexesOf(t, mem, 0)
		if len(offsets) == 0 || len(times) == 0 || offsets[len(offsets)-1].RelativeOffset >= 20 ||
			times[len(times)-1].RelativeOffset >= 20 {
			t.Fatalf("operation %d: segment of offsets 0 to 19 has the indexes %v and %v", n, offsets, times)
		}
	}
}

func indexesOf(t *testing.T, fs vfs.FS, base int64) ([]log.OffsetIndexEntry, []log.TimeIndexEntry) {
	t.Helper()
	read := func(suffix string) []byte {
		b, err := files.ReadSmall(fs, logtest.Dir+"/"+log.FileName(base, suffix))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	offsets, _ := log.DecodeOffsetIndex(read(log.IndexSuffix))
	times, _ := log.DecodeTimeIndex(read(log.TimeIndexSuffix))
	return offsets, times
}
