package main

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"once/internal/kafkatest"
	"once/wire"
)

// names are what stands for the values of one broker in a sequence: the suffix of topics, groups and transactional IDs,
// letters for producer IDs in the order in which they are seen, and the names of topic IDs, members and sessions.
type names struct {
	suffix  string
	letters []int64 // producer IDs
	topics  map[string][16]byte
	members map[string]string
	numbers map[string][]int64 // sessions and the like, by kind
	timeMs  int64              // of the next batch: batches have other times, and the same on both brokers
}

func newNames(suffix string, timeMs int64) *names {
	return &names{
		suffix: suffix, topics: map[string][16]byte{}, members: map[string]string{}, numbers: map[string][]int64{},
		timeMs: timeMs,
	}
}

// letter names a producer ID. Errors have 0, which nobody in a sequence gets: see awaitProducerIDs.
func (n *names) letter(id int64) string {
	switch id {
	case -1:
		return "none"
	case 0:
		return "0"
	}
	i := slices.Index(n.letters, id)
	if i < 0 {
		i, n.letters = len(n.letters), append(n.letters, id)
	}
	return string(rune('p' + i))
}

// producer returns the producer ID of a letter, none, or a number.
func (n *names) producer(text string) (int64, error) {
	if text == "none" {
		return -1, nil
	}
	if i := int([]rune(text + "a")[0] - 'p'); len(text) == 1 && i >= 0 {
		if i >= len(n.letters) {
			return 0, fmt.Errorf("no producer %s", text)
		}
		return n.letters[i], nil
	}
	return strconv.ParseInt(text, 10, 64)
}

// number names a number of a kind, such as a session, by a letter.
func (n *names) number(kind string, value int64) string {
	if value == 0 {
		return "no " + kind
	}
	i := slices.Index(n.numbers[kind], value)
	if i < 0 {
		i, n.numbers[kind] = len(n.numbers[kind]), append(n.numbers[kind], value)
	}
	return kind + " " + string(rune('A'+i))
}

// setText sets a field of a request to what a text stands for: ~ for the suffix, a topic's name for its ID, "member M",
// "session A", the letter of a producer ID, records as batchOf has them.
func (n *names) setText(v reflect.Value, text string) error {
	text = strings.ReplaceAll(text, "~", n.suffix)
	switch {
	case v.Kind() == reflect.String:
		if member, ok := strings.CutPrefix(text, "member "); ok {
			if text, ok = n.members[member]; !ok {
				return fmt.Errorf("no member %s", member)
			}
		}
		v.SetString(text)
	case v.Type() == reflect.TypeFor[[16]byte]():
		id, ok := n.topics[text]
		if !ok {
			id = [16]byte{1, 2, 3}
		}
		v.Set(reflect.ValueOf(id))
	case v.Type() == reflect.TypeFor[[]byte]():
		b, err := n.bytes(text)
		v.SetBytes(b)
		return err
	case strings.HasPrefix(text, "session "):
		if i := int(text[len(text)-1] - 'A'); i < len(n.numbers["session"]) {
			v.SetInt(n.numbers["session"][i])
		}
	case v.CanInt():
		id, err := n.producer(text)
		v.SetInt(id)
		return err
	default:
		return fmt.Errorf("a %s cannot be %q", v.Type(), text)
	}
	return nil
}

// bytes are a batch where the text says so, else the text's.
func (n *names) bytes(text string) ([]byte, error) {
	if strings.Contains(text, "sequence=") {
		return n.batchOf(text)
	}
	return []byte(text), nil
}

// value returns what is compared for a value that is not the same on both brokers.
func (n *names) value(name string, v reflect.Value) (text string, ok bool) {
	switch {
	case strings.HasSuffix(name, "ErrorCode"):
		if v.Int() == 0 {
			return "NONE", true
		}
		return wire.Code(v.Int()).String(), true
	case v.Type() == reflect.TypeFor[[16]byte]():
		return n.topicName(v.Interface().([16]byte)), true
	case name == "RecordBatches", name == "Records" && v.Type() == reflect.TypeFor[[]byte]():
		return kafkatest.Batches(v.Bytes(), n.letter), true
	case v.Kind() == reflect.String:
		for member, id := range n.members {
			if v.String() == id {
				return "member " + member, true
			}
		}
		return strings.TrimSuffix(v.String(), n.suffix), name != "ErrorMessage"
	case v.CanInt() && strings.Contains(name, "Time"):
		return about(v.Int()), true
	case v.CanInt() && name == "ProducerID":
		return n.letter(v.Int()), true
	case name == "SessionID":
		return n.number("session", v.Int()), true
	}
	return "", false
}

func (n *names) topicName(id [16]byte) string {
	if id == [16]byte{} {
		return "none"
	}
	name := ""
	for topic, other := range n.topics {
		if other == id {
			name = strings.TrimSuffix(topic, n.suffix)
		}
	}
	return cmp.Or(name, "other")
}

// about is a time as it is compared: those of this hour are now.
func about(ms int64) string {
	if d := time.Since(time.UnixMilli(ms)); d > -time.Minute && d < time.Hour {
		return "now"
	}
	return strconv.FormatInt(ms, 10)
}
