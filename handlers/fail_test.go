package handlers

import (
	"fmt"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/internal/kafkatest"
	"once/internal/script"
	"once/settings"
	"once/wire"
)

// TestFail has every API answer a request with nothing but an error, in every version, and compares what a client
// reads with testdata/fail.txt, the list of the places where the code stands. The list is of Kafka's own request
// classes. To record it anew, where LIBS has kafka-clients 4.4.0 and what it depends on:
//
//	ONCE_KAFKA_CLASSES='LIBS/*' go test ./handlers -run TestFail -rewrite
//
// Without -rewrite this compares our answers with those of Kafka's classes byte for byte. To compare the list with what
// a running Kafka answers when it refuses:
//
//	ONCE_REFUSING_BROKER=HOST:PORT go test ./handlers -run TestFail
//
// That Kafka has authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer, a
// delegation.token.secret.key, a listener PLAINTEXT for the test, and another one for itself and its controller, on
// which it authenticates as the only one of its super.users.
func TestFail(t *testing.T) {
	f := failures{s: tableServices(t), left: map[kmsg.Key]bool{}}
	for _, api := range APIs() {
		f.left[kmsg.Key(api.Key)] = true
	}
	if classes := os.Getenv("ONCE_KAFKA_CLASSES"); classes != "" {
		f.classes = startKafkaClasses(t, classes)
	}
	if addr := os.Getenv("ONCE_REFUSING_BROKER"); addr != "" {
		f.refusing = &refusingKafka{addr: addr}
		t.Cleanup(f.refusing.hangUp)
	}
	script.Run(t, "testdata/fail.txt", f.run)
	for key := range f.left {
		t.Errorf("%s has no case", key.Name())
	}
}

// TestFailSaysWhatTheVersionKnows: a code is replaced by the one that older clients know, and no other code is: that a
// topic is unknown is not taken for a failure of the group log.
func TestFailSaysWhatTheVersionKnows(t *testing.T) {
	s := tableServices(t)
	for _, c := range []struct {
		key        kmsg.Key
		version    int16
		code, want wire.Code
	}{
		{kmsg.InitProducerID, 3, wire.ProducerFenced, wire.InvalidProducerEpoch},
		{kmsg.InitProducerID, 4, wire.ProducerFenced, wire.ProducerFenced},
		{kmsg.OffsetFetch, 7, wire.CoordinatorNotAvailable, wire.NotCoordinator},
		{kmsg.OffsetFetch, 7, wire.UnknownTopicOrPartition, wire.UnknownTopicOrPartition},
		{kmsg.LeaveGroup, 5, wire.KafkaStorageError, wire.KafkaStorageError},
	} {
		body := c.key.Request()
		body.SetVersion(c.version)
		reply := s.Fail(&wire.Request{Key: body.Key(), Version: c.version, Body: body}, c.code, "")
		if got := wire.Code(reflect.ValueOf(reply.Response).Elem().FieldByName("ErrorCode").Int()); got != c.want {
			t.Errorf("%s v%d: %s became %s, want %s", c.key.Name(), c.version, c.code, got, c.want)
		}
	}
}

// tableServices returns services that have the table of APIs and nothing to serve.
func tableServices(t *testing.T) *Services {
	t.Helper()
	set, _, err := settings.Resolve()
	if err != nil {
		t.Fatal(err)
	}
	s := &Services{Settings: set}
	s.Open()
	return s
}

// failures runs the cases of a script.
type failures struct {
	s        *Services
	left     map[kmsg.Key]bool // the APIs that had no case yet
	classes  *kafkaClasses     // nil without them
	refusing *refusingKafka    // nil without one
}

// run: fail API code=CODE [own-text] [fallback-text] [sorted] [hide=[FIELD …]] [refused=[FROM TO]] [beside=[FIELD …]]:
// the input is the request as JSON, with the fields of all versions. The ID of a topic is one letter.
//
// The output has the fields that are not kmsg's default, for each range of versions in which they are the same. Fields
// to hide are left out, and entries of lists that Kafka gives in the order of its maps are sorted. A message is shown
// where Kafka's classes pass it on; with own-text they have a text for each code, whatever the message is,
// with fallback-text where there is no message.
//
// refused gives the versions in which a Kafka that refuses the request answers the same with this code, but for
// messages and the fields that it says beside the error.
func (f *failures) run(t *testing.T, c script.Command) string {
	row := f.s.row(c.Args[0].Name)
	if row == nil {
		t.Fatalf("%s: there is no such API", c.Pos)
	}
	key := kmsg.Key(row.Key)
	delete(f.left, key)
	return byVersions(row, func(version int16) string { return f.answer(t, c, key, version) })
}

// byVersions shows what of an API is the same in several versions once for all of them.
func byVersions(row *row, of func(version int16) string) string {
	var out []string
	var last string
	from := row.Min
	for version := row.Min; version <= row.Max; version++ {
		text := of(version)
		if version > row.Min && text != last {
			out = append(out, versions(from, version-1), last)
			from = version
		}
		last = text
	}
	return strings.Join(append(out, versions(from, row.Max), last), "\n")
}

func versions(from, to int16) string {
	if from == to {
		return fmt.Sprintf("v%d:", from)
	}
	return fmt.Sprintf("v%d to v%d:", from, to)
}

func (s *Services) row(name string) *row {
	for key, row := range s.byKey {
		if kmsg.NameForKey(key) == name {
			return row
		}
	}
	return nil
}

// answer is the answer to the case's request in a version, as text. It is Kafka's where there is one to ask.
func (f *failures) answer(t *testing.T, c script.Command, key kmsg.Key, version int16) string {
	t.Helper()
	code := codeNamed(c.String("code", ""))
	request := requestOf(t, c, key, version, nil)
	const message = "why"
	text := textOf(t, c, request, f.fail(request, code, message), message)
	want := text
	if !c.Has("own-text") && !c.Has("fallback-text") {
		want = withoutMessages(text)
	}
	if got := textOf(t, c, request, f.fail(request, code, ""), code.String()); got != want {
		t.Errorf("%s: v%d without a message:\n%s", c.Pos, version, got)
	}
	switch {
	case f.classes != nil:
		return f.classes.compare(t, c, request, code, f.fail)
	case f.refusing != nil && refuses(t, c, version):
		return f.refusing.compare(t, c, request, text)
	}
	return text
}

// withoutMessages leaves the messages out of an answer.
func withoutMessages(text string) string { return strings.ReplaceAll(text, " ErrorMessage=text", "") }

// requestOf reads a case's request, and has it encoded and decoded in a version. Topics that are not in topicIDs have
// an ID that is their letter.
func requestOf(t *testing.T, c script.Command, key kmsg.Key, version int16, topicIDs map[string][16]byte) kmsg.Request {
	t.Helper()
	filled, received := key.Request(), key.Request()
	filled.SetVersion(version)
	received.SetVersion(version)
	err := kafkatest.Fill(filled, strings.Join(c.Input, "\n"), func(v reflect.Value, text string) error {
		switch {
		case v.Kind() == reflect.String:
			v.SetString(text)
		case v.Type() == reflect.TypeFor[[16]byte]():
			id, known := topicIDs[text]
			if !known {
				id = [16]byte{text[0]}
			}
			v.Set(reflect.ValueOf(id))
		case v.Type() == reflect.TypeFor[[]byte]():
			v.SetBytes([]byte(text))
		default:
			return fmt.Errorf("a %s cannot be %q", v.Type(), text)
		}
		return nil
	})
	if err == nil {
		err = received.ReadFrom(filled.AppendTo(nil))
	}
	if err != nil {
		t.Fatalf("%s: %v", c.Pos, err)
	}
	return received
}

// fail returns the body of our answer; nil when there is none and the connection is closed.
func (f *failures) fail(request kmsg.Request, code wire.Code, message string) []byte {
	r := &wire.Request{Key: request.Key(), Version: request.GetVersion(), Body: request}
	reply := f.s.Fail(r, code, message)
	if reply.Close {
		return nil
	}
	reply.Response.SetVersion(r.Version)
	return reply.Response.AppendTo([]byte{})
}

// textOf decodes an answer as franz-go does. Each message in it must be the given one.
func textOf(t *testing.T, c script.Command, request kmsg.Request, body []byte, message string) string {
	t.Helper()
	if body == nil {
		return "no answer"
	}
	resp := request.ResponseKind()
	if err := resp.ReadFrom(body); err != nil {
		t.Fatalf("%s: v%d: %v", c.Pos, request.GetVersion(), err)
	}
	text := kafkatest.Text{Messages: true, WithoutDefaults: true, Sorted: c.Has("sorted"), Hide: c.List("hide"),
		Value: func(name string, v reflect.Value) (string, bool) {
			if name == "ErrorMessage" && v.String() != message {
				return strconv.Quote(v.String()), true
			}
			return valueText(name, v)
		}}
	return text.Of(resp)
}

// valueText shows codes by their names and IDs of topics as the letter that stands for them.
func valueText(name string, v reflect.Value) (string, bool) {
	switch {
	case strings.HasSuffix(name, "ErrorCode"):
		return wire.Code(v.Int()).String(), true
	case v.Type() == reflect.TypeFor[[16]byte]():
		return string(rune(v.Index(0).Uint())), true
	}
	return "", false
}

func codeNamed(name string) wire.Code {
	for code := wire.UnknownServerError; code <= wire.ControllerIDNotRegistered; code++ {
		if code.String() == name {
			return code
		}
	}
	return wire.NoError
}
