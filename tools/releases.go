package tools

import (
	"errors"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
)

const metadataVersion = "metadata.version"

// latestRelease is the release of Kafka 4.4.0.
const latestRelease = "4.4-IV2"

// featureNames are the features besides metadata.version, in the order in which kafka-features prints them.
var featureNames = []string{
	"kraft.version", "transaction.version", "group.version", "eligible.leader.replicas.version", "share.version",
	"streams.version",
}

// release is a level of metadata.version with the default levels of the other features, in the order of featureNames.
type release struct {
	name   string
	level  int16
	others [6]int16
}

// releases are the levels of metadata.version that Kafka 4.4.0's tool knows.
var releases = []release{
	{"3.3-IV3", 7, [6]int16{}}, {"3.4-IV0", 8, [6]int16{}}, {"3.5-IV0", 9, [6]int16{}}, {"3.5-IV1", 10, [6]int16{}},
	{"3.5-IV2", 11, [6]int16{}}, {"3.6-IV0", 12, [6]int16{}}, {"3.6-IV1", 13, [6]int16{}}, {"3.6-IV2", 14, [6]int16{}},
	{"3.7-IV0", 15, [6]int16{}}, {"3.7-IV1", 16, [6]int16{}}, {"3.7-IV2", 17, [6]int16{}}, {"3.7-IV3", 18, [6]int16{}},
	{"3.7-IV4", 19, [6]int16{}}, {"3.8-IV0", 20, [6]int16{}},
	{"3.9-IV0", 21, [6]int16{1}},
	{"4.0-IV0", 22, [6]int16{1, 0, 1}},
	{"4.0-IV1", 23, [6]int16{1, 0, 1}},
	{"4.0-IV2", 24, [6]int16{1, 2, 1}},
	{"4.0-IV3", 25, [6]int16{1, 2, 1}},
	{"4.1-IV0", 26, [6]int16{1, 2, 1, 1}},
	{"4.1-IV1", 27, [6]int16{1, 2, 1, 1}},
	{"4.2-IV0", 28, [6]int16{1, 2, 1, 1, 1}},
	{"4.2-IV1", 29, [6]int16{1, 2, 1, 1, 1, 1}},
	{"4.3-IV0", 30, [6]int16{1, 2, 1, 1, 1, 1}},
	{"4.4-IV0", 31, [6]int16{1, 2, 1, 1, 2, 1}},
	{"4.4-IV1", 32, [6]int16{1, 2, 1, 1, 2, 1}},
	{latestRelease, 33, [6]int16{1, 2, 1, 1, 2, 1}},
	{"4.5-IV0", 34, [6]int16{1, 2, 1, 1, 2, 1}},
}

// features are the levels of all features in a release.
func (r release) features() map[string]int16 {
	levels := map[string]int16{metadataVersion: r.level}
	for i, name := range featureNames {
		levels[name] = r.others[i]
	}
	return levels
}

// release finds a release by its name.
func (e *env) release(name string) (release, error) {
	var names []string
	for _, r := range releases {
		if r.name == name {
			return r, nil
		}
		names = append(names, r.name)
	}
	return release{}, e.fail("Unknown metadata.version '%s'. Supported metadata.version are: %s", name,
		strings.Join(names, ", "))
}

// messageOf is the message of the broker, or that of the code where it gave none.
func messageOf(code int16, message *string) string {
	if message != nil {
		return *message
	}
	return reason(kerr.ErrorForCode(code), "")
}

// javaFailure is javaError for an error of kerr.
func javaFailure(err error, message string) string {
	var code *kerr.Error
	if !errors.As(err, &code) {
		return err.Error()
	}
	if message == "" {
		message = code.Description
	}
	return javaError(code.Code, &message)
}

// javaError is an error as Kafka's tools print it: the class in Java, and the message.
func javaError(code int16, message *string) string {
	name := "UnknownServer"
	if known, ok := kerr.ErrorForCode(code).(*kerr.Error); ok {
		name = ""
		for _, word := range strings.Split(strings.ToLower(known.Message), "_") {
			name += strings.ToUpper(word[:1]) + word[1:]
		}
	}
	return "org.apache.kafka.common.errors." + name + "Exception: " + messageOf(code, message)
}
