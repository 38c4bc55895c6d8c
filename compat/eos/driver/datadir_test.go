package driver

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"once/compat/eos/history"
)

func writeFile(t *testing.T, dir, name, content string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestDataDirectoryTellsOfPasses(t *testing.T) {
	d := dataDir(t.TempDir())
	look := func() string {
		t.Helper()
		c, err := d.cleaner()
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%v %v", c.Topics, c.MidPass)
	}
	if got := look(); got != "[{__consumer_offsets 0 0 0} {__transaction_state 0 0 0}] false" {
		t.Errorf("an empty directory: %s", got)
	}
	offsets, txns := filepath.Join(string(d), "__consumer_offsets-0"), filepath.Join(string(d), "__transaction_state-1")
	writeFile(t, offsets, "00000000000000000000.log", "12345")
	writeFile(t, offsets, "00000000000000000007.log", "123456789")
	if got := look(); got != "[{__consumer_offsets 0 0 0} {__transaction_state 0 0 0}] false" {
		t.Errorf("no pass yet: %s", got)
	}
	writeFile(t, offsets, "cleaner-checkpoint", "0\n7\nabcdef01\n")
	writeFile(t, txns, "cleaner-checkpoint", "0\n30\nabcdef01\n")
	writeFile(t, txns, "00000000000000000011.log", "123")
	if got := look(); got != "[{__consumer_offsets 7 0 5} {__transaction_state 30 0 3}] false" {
		t.Errorf("compacted: %s", got)
	}
	const stem = "00000000000000000011"
	for _, name := range []string{stem + ".log.cleaned", stem + ".log.swap-00000000000000000030"} {
		writeFile(t, txns, name, "")
		if !d.midPass() {
			t.Errorf("%s is not of a pass", name)
		}
		if err := os.Remove(filepath.Join(txns, name)); err != nil {
			t.Fatal(err)
		}
	}
	if d.midPass() {
		t.Error("there is no pass any more")
	}
	writeFile(t, txns, "cleaner-checkpoint", "1\n30\n")
	if _, err := d.cleaner(); err == nil {
		t.Error("a checkpoint of another version is understood")
	}
}

// fakeSystem tells of a cleaner what it is told.
type fakeSystem struct {
	System
	cleaner history.Cleaner
}

func (f *fakeSystem) Cleaner() (*history.Cleaner, error) {
	c := f.cleaner
	c.Topics = slices.Clone(c.Topics)
	return &c, nil
}

// Passes count from the broker's start on; what a broker has told is kept when it is gone.
func TestPassesAreCountedInEachLife(t *testing.T) {
	topics := []history.Cleaned{{Topic: "a", To: 3, LongestBytes: 10}, {Topic: "b"}}
	f := &fakeSystem{cleaner: history.Cleaner{WrittenBytes: 5, Topics: topics}}
	w, err := history.Create(t.TempDir(), "driver")
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	r := &run{Options: Options{System: f}, cfg: &history.Config{Cleans: true}, events: w, cleaner: newCleaner(nil)}
	observe := func(a, b int64) {
		t.Helper()
		f.cleaner.Topics[0].To, f.cleaner.Topics[1].To = a, b
		if err := r.observeCleaner(); err != nil {
			t.Fatal(err)
		}
	}
	observe(3, 0)
	observe(3, 0)
	if c := r.cleaner; c.Topics[0].Passes != 1 || c.Topics[1].Passes != 0 {
		t.Errorf("only one of the topics was compacted: %+v", c)
	}
	observe(8, 1)
	if c := r.cleaner; c.Topics[0].Passes != 2 || c.Topics[1].Passes != 1 {
		t.Errorf("%+v", c)
	}
	f.cleaner.WrittenBytes, f.cleaner.Topics[0].LongestBytes = 0, 0 // the broker is gone
	observe(8, 1)
	if c := r.cleaner; c.WrittenBytes != 5 || c.Topics[0].LongestBytes != 10 {
		t.Errorf("%+v", c)
	}
	if _, err := r.endCleaner(); err != nil {
		t.Fatal(err)
	}
	observe(8, 1)
	if c := r.cleaner; c.WrittenBytes != 0 || c.Topics[0].Passes+c.Topics[1].Passes != 0 {
		t.Errorf("in the next life: %+v", c)
	}
}
