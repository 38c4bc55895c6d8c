package inspect_test

import (
	"io/fs"
	"math/rand"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"once/inspect"
)

// flips is how many bits are flipped, one after the other.
const flips = 150

// Whatever bit is flipped, in whatever file: the check comes to an end, and a flip in what is truth is
// seen, wherever it is. The seed is printed for a failure to be repeated.
func TestNoFlippedBitOfTheTruthGoesUnseen(t *testing.T) {
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	dice := rand.New(rand.NewSource(seed))
	dir := cleanDir(t)
	var files []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && filepath.Base(path) != ".lock" {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for range flips {
		file := files[dice.Intn(len(files))]
		good := read(t, file)
		if len(good) == 0 {
			continue
		}
		bad := append([]byte{}, good...)
		at, bit := dice.Intn(len(bad)), dice.Intn(8)
		bad[at] ^= 1 << bit
		write(t, bad, file)
		found := check(t, dir, inspect.Warning, inspect.Options{})
		if strings.HasSuffix(file, ".log") && len(found) == 0 {
			t.Errorf("bit %d of byte %d in %s: nothing found", bit, at, file)
		}
		write(t, good, file)
	}
}
