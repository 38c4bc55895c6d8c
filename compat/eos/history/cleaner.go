package history

import "fmt"

// Cleaner is what a broker's log cleaner has done since the start, as it can be seen from outside.
type Cleaner struct {
	WrittenBytes int64     `json:"written_bytes"` // of cleaned segments, in all topics
	MidPass      bool      `json:"mid_pass"`      // there are files that only a pass makes
	Topics       []Cleaned `json:"topics"`        // the internal ones
}

// Cleaned is what has become of one topic.
type Cleaned struct {
	Topic        string `json:"topic"`
	To           int64  `json:"to"`            // offset up to which passes have come
	Passes       int    `json:"passes"`        // that came further than the one before, as far as they were seen
	LongestBytes int64  `json:"longest_bytes"` // of the segments below To
}

// What this project's cleaner writes at once is 1 MiB. A run shows something of it where it leaves several times as
// much in one segment, and writes many times as much in all.
const (
	longSegment = 3 << 20
	largeOutput = 8 << 20
)

// Missing says what the cleaner would have to do before a kill shows that its work survives one.
func (c *Cleaner) Missing() (missing []string) {
	for _, t := range c.Topics {
		switch {
		case t.Passes == 0:
			missing = append(missing, t.Topic+" was not compacted")
		case t.LongestBytes < longSegment:
			missing = append(missing, fmt.Sprintf("no compacted segment of %s is longer than %d bytes", t.Topic, t.LongestBytes))
		}
	}
	if c.WrittenBytes < largeOutput {
		missing = append(missing, fmt.Sprintf("the cleaner wrote no more than %d bytes", c.WrittenBytes))
	}
	return missing
}
