package log_test

import (
	"fmt"
	"testing"

	"once/durability"
	"once/internal/files"
	"once/internal/vfs"
	"once/log"
	"once/log/logtest"
)

// epochAnswers is what OffsetForLeaderEpoch and ListOffsets say.
func epochAnswers(l *log.Log) (text string) {
	for epoch := range int32(6) {
		is, end := l.EndOffsetForEpoch(epoch, 5)
		text += fmt.Sprintf("%d: %d to %d; ", epoch, is, end)
	}
	for offset := l.StartOffset(); offset < l.EndOffset(); offset++ {
		text += fmt.Sprint(l.LeaderEpochAt(offset), " ")
	}
	return text
}

// logOfEpochs stops a log with batches of three leader epochs.
func logOfEpochs(t *testing.T) (w *logtest.World, right string) {
	t.Helper()
	w = logtest.NewWorld(t, vfs.NewCrashable(1), durability.Page)
	w.Config.SegmentBytes = 1 << 20
	l := w.MustOpen()
	for i, epoch := range []int32{0, 0, 0, 1, 1, 1, 1, 3, 3, 3} {
		raw, h := logtest.MakeBatch(int64(2*i), 2, int64(i), epoch)
		if err := l.Append(raw, h); err != nil {
			t.Fatal(err)
		}
	}
	right = epochAnswers(l)
	w.MustClose()
	return w, right
}

// The checkpoint of the leader epochs has no checksum. Whichever bit of it is another one, the answers are those of the
// batches.
func TestFlippedEpochCheckpointDecidesNothing(t *testing.T) {
	w, right := logOfEpochs(t)
	name := logtest.Dir + "/" + log.EpochCheckpointFile
	content, err := files.ReadSmall(w.FS, name)
	if err != nil {
		t.Fatal(err)
	}
	for bit := range 8 * len(content) {
		content[bit/8] ^= 1 << (bit % 8)
		if err := files.Replace(w.FS, name, content); err != nil {
			t.Fatal(err)
		}
		l := w.MustOpen()
		if got := epochAnswers(l); got != right {
			t.Errorf("bit %d of byte %d: %s, not %s", bit%8, bit/8, got, right)
		}
		w.MustClose()
		content[bit/8] ^= 1 << (bit % 8)
	}
}

// No checksum covers a batch's leader epoch either. One that is not what was written says nothing about the others,
// when the epochs are read from the batches.
func TestFlippedEpochOfABatchDecidesNothing(t *testing.T) {
	w, right := logOfEpochs(t)
	_, h := logtest.MakeBatch(0, 2, 0, 0)
	for _, i := range []int{1, 5} { // not beside another epoch: there, it could have been that
		for bit := range 31 {
			flip := func() {
				logtest.Mutate(t, w.FS, logtest.Dir+"/"+log.FileName(0, log.LogSuffix), func(b []byte) []byte {
					b[i*h.SizeBytes()+15-bit/8] ^= 1 << (bit % 8)
					return b
				})
			}
			flip()
			if err := w.FS.Remove(logtest.Dir + "/" + log.EpochCheckpointFile); err != nil {
				t.Fatal(err)
			}
			l := w.MustOpen()
			if got := epochAnswers(l); got != right {
				t.Errorf("batch %d, bit %d: %s, not %s", i, bit, got, right)
			}
			w.MustClose()
			flip()
		}
	}
}
