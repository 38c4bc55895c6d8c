package repair_test

import (
	"fmt"
	"math/rand"
	"path/filepath"
	"strings"
	"testing"

	"once/broker"
	"once/inspect"
	"once/internal/files"
	"once/internal/vfs"
	"once/log/batch"
	"once/repair"
)

// Whatever is damaged within segments, of whichever topic: a repair mends it, the broker starts, and a check has no
// more to say than that transactions are open whose marker is lost.
func TestAnyDamageWithinSegmentsIsMended(t *testing.T) {
	dir := small(t)
	b := start(t, dir)
	for range 3 {
		transaction(dial(t, b), "y", "paid again", true)
	}
	stop(t, b)
	var files []string
	for _, pattern := range []string{"x-0", "y-0", "__consumer_offsets-0", "__transaction_state-0"} {
		for _, name := range segments(t, dir, pattern) {
			if len(read(t, name)) > 0 {
				files = append(files, name)
			}
		}
	}
	whole := vfs.NewMem()
	inMemory(t, whole, dir)
	for seed := range int64(150) {
		dice := rand.New(rand.NewSource(seed))
		mem := whole.Clone()
		var what []string
		for range 1 + dice.Intn(3) {
			name := files[dice.Intn(len(files))]
			what = append(what, damageAtRandom(t, mem, name, dice))
		}
		out, err := run(t, mem, dir, repair.Options{Yes: true})
		if err != nil {
			t.Fatalf("seed %d, %v: %v\n%s", seed, what, err, out)
		}
		for range 2 {
			report, err := inspect.Check(mem, dir, inspect.Options{})
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range report.Findings {
				if f.Severity != inspect.Note && !strings.Contains(f.Message, "hanging transaction") {
					t.Errorf("seed %d, %v: %v\n%s", seed, what, f, out)
				}
			}
			stop(t, start(t, dir, func(c *broker.Config) { c.FS = mem }))
		}
	}
}

// damageAtRandom flips a bit of a file, clears or overwrites a stretch of it, or cuts it off. It leaves the offset and
// the leader epoch of a batch that is whole otherwise: no checksum covers them, and a log cannot always tell.
func damageAtRandom(t *testing.T, under vfs.FS, name string, dice *rand.Rand) string {
	t.Helper()
	b, err := files.ReadSmall(under, name)
	if err != nil {
		t.Fatal(err)
	}
	f, err := under.OpenReadWrite(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if len(b) == 0 {
		return "nothing left of " + name
	}
	from := dice.Intn(len(b))
	to := from + 1 + dice.Intn(min(len(b)-from, 400))
	what := []string{"flip", "clear", "overwrite", "cut"}[dice.Intn(4)]
	if what == "flip" {
		to = from + 1
	}
	at := 0
	eachBatch(t, read(t, name), func(_ batch.Header, raw []byte) {
		if uncovered := at + 16; what != "cut" && from < uncovered && at < to && to < at+batch.HeaderSizeBytes {
			what = "nothing"
		}
		at += len(raw)
	})
	switch what {
	case "flip":
		b[from] ^= 1 << dice.Intn(8)
	case "clear":
		clear(b[from:to])
	case "overwrite":
		_, _ = dice.Read(b[from:to])
	case "cut":
		b = b[:from]
	}
	if err := f.Truncate(int64(len(b))); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(b, 0); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s %s/%s from %d to %d", what, filepath.Base(filepath.Dir(name)), filepath.Base(name), from, to)
}
