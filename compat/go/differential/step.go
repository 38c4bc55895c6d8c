package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// fields are those of a request or of a struct in it, with kmsg's names. Texts stand for what they do in the scripts of
// broker/testdata: see names.setText.
type fields = map[string]any

// Step is one request, or the creation of a topic.
type Step struct {
	API     kmsg.Key
	Version int16
	Fields  fields
	Hide    []string // fields of the answer that are not compared
	Having  string   // of the lists in the answer, only the entries with this text are compared
	InOrder bool     // the entries of lists are compared in the order of the answer
	Sizes   bool     // of partitions only the number is compared
	Member  string   // the name for the member ID in the answer
	// Until has the request asked again until the answer has this text, and While as long as it has that one. A request is
	// also asked again while it is answered CONCURRENT_TRANSACTIONS, as clients do.
	Until, While string
	// Metadata tells that Kafka's controller changes something, which its broker learns a moment later.
	Metadata bool
	Keep     bool // the step is not dropped: what it changes is not new in each sequence
	// Rest is a pause before Kafka is asked, after whose answers it works on for a moment.
	Rest time.Duration

	Topic      string // a topic that is made instead, without the suffix of its name
	Partitions int32
}

// String returns the step as a command of broker/testdata. A step that is asked again while the answer has a text gets
// the argument until of the answer that ended it.
func (s Step) String() string {
	if s.Topic != "" {
		return fmt.Sprintf("topic %s partitions=%d", s.Topic, s.Partitions)
	}
	words := []string{"ask", kmsg.NameForKey(int16(s.API)), fmt.Sprintf("version=%d", s.Version), "messages"}
	if !s.InOrder {
		words = append(words, "sorted")
	}
	if len(s.Hide) > 0 {
		words = append(words, fmt.Sprintf("hide=%v", s.Hide))
	}
	for _, arg := range []struct{ name, value string }{{"having", s.Having}, {"member", s.Member}, {"until", s.Until}} {
		if arg.value != "" {
			words = append(words, fmt.Sprintf("%s=%q", arg.name, arg.value))
		}
	}
	if s.API == kmsg.Fetch || s.API == kmsg.ShareFetch {
		words = append(words, "batches")
	}
	if s.While == "" && s.Until == "" {
		words = append(words, "wait")
	}
	return strings.Join(words, " ") + "\n" + s.body()
}

func (s Step) body() string {
	body, err := json.Marshal(s.Fields)
	if err != nil {
		panic(err) // fields that no script can have: a mistake in a domain
	}
	return string(body)
}

// ask returns a step.
func ask(api kmsg.Key, version int16, f fields) Step {
	return Step{API: api, Version: version, Fields: f}
}

// at is a topic with partitions in a request, by its name and, for the versions that have them, its ID.
func at(topic string, partitions ...any) fields {
	return fields{"Topic": topic + "~", "Partitions": partitions}
}

// atID is at for the versions that name topics by ID.
func atID(topic string, partitions ...any) fields {
	return fields{"TopicID": topic + "~", "Partitions": partitions}
}
