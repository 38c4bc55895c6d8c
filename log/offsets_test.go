package log_test

import (
	"testing"

	"once/durability"
	"once/internal/vfs"
	"once/log"
	"once/log/batch"
	"once/log/directory"
	"once/log/logtest"
)

// readTo reads what stands below an offset, as a reader of committed data does below the last stable offset.
func readTo(l *log.Log, limit int64) error {
	for offset := l.StartOffset(); offset < limit; {
		s, err := l.Locate(offset, limit, log.Budget{MaxBytes: 1 << 20, AtLeastOne: true})
		if err != nil {
			return err
		}
		s.Release()
		if s.SizeBytes() == 0 {
			return nil
		}
		offset = s.NextOffset()
	}
	return nil
}

// P8, P10: no checksum covers a batch's base offset. In a log in which offsets may be missing, a batch that says the
// offset of a later one does not stand for all that is between: neither the recovery point nor the end of what is read
// is taken to be behind it, so that nothing is cut and nobody skips the others.
func TestBatchWithALaterOffsetCutsNothing(t *testing.T) {
	const batches = 10
	mem := vfs.NewMem()
	w := logtest.NewWorld(t, mem, durability.Page)
	w.Config.SegmentBytes = 1 << 20
	logtest.MustAdd(t, w.MustOpen(), batches, 1)
	w.MustClose()
	_, h := logtest.MakeBatch(0, 1, 0, 0)
	name := logtest.Dir + "/" + log.FileName(0, log.LogSuffix)
	for i := range batches - 1 {
		for says := i + 1; says < batches; says++ {
			for _, clean := range []bool{true, false} {
				damaged := mem.Clone()
				logtest.Mutate(t, damaged, name, func(b []byte) []byte {
					batch.SetOffsetAndEpoch(b[i*h.SizeBytes():], int64(says), 0)
					return b
				})
				b, err := durability.Open(durability.Options{FS: damaged, Dir: "data", FindLogs: directory.Logs, BootID: "boot-1",
					Mode: durability.Page})
				if err != nil {
					t.Fatal(err)
				}
				r := b.Recovery("orders-0", logtest.Topic)
				r.Gaps, r.Clean = true, clean
				l, report, err := log.Open(log.Options{FS: damaged, Dir: logtest.Dir, TopicID: logtest.Topic, Config: w.Config,
					Barrier: b}, r)
				if err == nil {
					err = readTo(l, int64(says)+1)
				}
				b.Kill()
				if logtest.DamagedFile(err) != name || report.TruncatedBytes > 0 {
					t.Errorf("batch %d says it is %d, clean stop %v: %v, %d bytes cut", i, says, clean, err, report.TruncatedBytes)
				}
			}
		}
	}
}
