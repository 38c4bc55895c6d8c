package driver

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"once/compat/eos/history"
)

// dataDir is a data directory of this project's broker, which may run; docs/log-format.md says what is in it.
type dataDir string

var internalTopics = []string{"__consumer_offsets", "__transaction_state"}

// partitions are the directories of a topic. What is in them may go while it is looked at: a pass replaces files.
func (d dataDir) partitions(topic string) []string {
	dirs, _ := filepath.Glob(filepath.Join(string(d), topic+"-*")) // the pattern is a good one
	return dirs
}

// cleaner says what passes have done with the internal topics.
func (d dataDir) cleaner() (*history.Cleaner, error) {
	c := &history.Cleaner{MidPass: d.midPass()}
	for _, topic := range internalTopics {
		t := history.Cleaned{Topic: topic}
		for _, dir := range d.partitions(topic) {
			to, err := cleanedTo(dir)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", dir, err)
			}
			t.To += to
			t.LongestBytes = max(t.LongestBytes, longestSegment(dir, to))
		}
		c.Topics = append(c.Topics, t)
	}
	return c, nil
}

// cleanedTo reads up to where a partition is compacted; 0 where no pass has been.
func cleanedTo(dir string) (offset int64, err error) {
	text, err := os.ReadFile(filepath.Join(dir, "cleaner-checkpoint"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err == nil {
		_, err = fmt.Sscanf(string(text), "0\n%d\n", &offset)
	}
	return offset, err
}

// longestSegment is the size of the longest of the segments that begin below an offset.
func longestSegment(dir string, below int64) (sizeBytes int64) {
	files, _ := os.ReadDir(dir)
	for _, f := range files {
		stem, isLog := strings.CutSuffix(f.Name(), ".log")
		base, err := strconv.ParseInt(stem, 10, 64)
		if !isLog || err != nil || base >= below {
			continue
		}
		if info, err := f.Info(); err == nil {
			sizeBytes = max(sizeBytes, info.Size())
		}
	}
	return sizeBytes
}

// midPass says whether there are files that only a pass over an internal topic makes.
func (d dataDir) midPass() bool {
	for _, topic := range internalTopics {
		for _, dir := range d.partitions(topic) {
			files, _ := os.ReadDir(dir)
			for _, f := range files {
				if strings.HasSuffix(f.Name(), ".log.cleaned") || strings.Contains(f.Name(), ".log.swap-") {
					return true
				}
			}
		}
	}
	return false
}
