// Package seed reads what a cluster is to begin with: topics with their settings and records, from a file of JSON or
// YAML, from the body of a request, or from the variable of compose files. It checks everything before anything is
// made, names the field and the line of each mistake, and makes the batches. Package cluster creates and appends.
//
// Everything here is a pure function of its arguments. Memory use follows the size of the text, which callers bound.
package seed

import (
	"errors"
	"fmt"

	"once/settings"
)

// MaxBytes bounds a text: above any set of fixtures, below what hurts.
const MaxBytes = 64 << 20

// Topic is one topic to be made. One that exists already is left as it is, without the records.
type Topic struct {
	Name string
	// Partitions is 0 where it is left to num.partitions.
	Partitions int32
	// ReplicationFactor is 0 where it is left to default.replication.factor.
	ReplicationFactor int
	Configs           settings.Values
	Records           []Record

	at         place
	batchBytes int64 // the largest batch that the topic takes; known after Check
}

// Record is one record of a topic.
type Record struct {
	// Partition is -1 where the key decides, as in Java's producer. Records without key and partition go to each
	// partition in turn.
	Partition   int32
	Key, Value  []byte // nil for null
	Headers     []Header
	TimestampMs int64 // -1 for the time at which it is appended

	at place
}

// Header is a header of a record. A nil value is null.
type Header struct {
	Name  string
	Value []byte
}

// place is where something stands in a text.
type place struct {
	field string
	line  int // 0 where there are no lines
}

// below is the place of a field, or of an entry, of what stands here.
func (p place) below(name string, line int) place { return place{p.field + name, line} }

func (p place) mistake(format string, args ...any) error {
	return &Error{Line: p.line, Field: p.field, Reason: fmt.Sprintf(format, args...)}
}

// Error is one mistake.
type Error struct {
	Line   int    // 1 for the first line, 0 where there are no lines
	Field  string // such as [0].records[2].key; "" for the text as a whole
	Reason string
}

// Error names line and field.
func (e *Error) Error() string {
	text := e.Reason
	if e.Field != "" {
		text = e.Field + ": " + text
	}
	if e.Line > 0 {
		text = fmt.Sprintf("line %d: %s", e.Line, text)
	}
	return text
}

// maxMistakes is how many mistakes are reported at once.
const maxMistakes = 20

// mistakes collects errors.
type mistakes []error

func (m *mistakes) add(err error) {
	if err != nil && len(*m) < maxMistakes {
		*m = append(*m, err)
	}
}

func (m mistakes) err() error { return errors.Join(m...) }
