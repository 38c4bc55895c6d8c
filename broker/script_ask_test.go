package broker_test

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/internal/kafkatest"
	"once/internal/script"
	"once/log/batch"
)

// Any request of any version, written as JSON with the names of kmsg's fields, and all that is answered.
func init() {
	commands["ask"] = askAny
	commands["receive"] = receiveAny
}

// askAny: ask API version=V [show=[FIELD …]] [hide=[FIELD …]] [sorted] [having=TEXT] [messages[=whole]] [batches]
// [member=M] [send]: the input is the request as JSON.
//
// A ~ in a text stands for the suffix of the script's names, {N} for N times the letter x, "member M" for the ID of a
// member that joined, "client A" for a client instance ID, "subscription A" for an ID of a subscription that was
// answered, "metrics [CODEC] NAME=VALUE …" for what a client pushes, "cluster ID" for the ID of the cluster, "log dir"
// for the data directory. An ID of a topic is the topic's name, or "former ID" for that of the topic that was made
// again last, one of a producer its letter. Records are a text: plain, or the arguments of produce for one batch.
//
// member=M gives the member ID in the answer a name. With send the answer is left to a later receive on the same
// connection, which has the arguments for what is shown.
//
// The answer has a line for each struct, with its fields. Texts of errors and throttle times are left out, as
// are fields that are hidden, or not among those that are to be shown. With sorted the lines of a list stand
// in their own order, with having=TEXT only those that have the text. With messages the texts of errors are shown as
// null, "" or text, with messages=whole as they are. With batches the batches of a Fetch or ShareFetch are described,
// beside their offsets.
func askAny(p *peer, c script.Command) string {
	key := kmsg.Key(-1)
	for k := kmsg.Key(0); k <= kmsg.MaxKey; k++ {
		if len(c.Args) > 0 && kmsg.NameForKey(int16(k)) == c.Args[0].Name {
			key = k
		}
	}
	r := kmsg.RequestForKey(int16(key))
	if r == nil {
		p.t.Fatalf("%s: no such API", c.Pos)
	}
	r.SetVersion(int16(p.int(c, "version", int64(r.MaxVersion()))))
	content := cmp.Or(strings.Join(c.Input, "\n"), "{}")
	setText := func(v reflect.Value, text string) error { return p.setText(c, v, text) }
	if err := kafkatest.Fill(r, content, setText); err != nil {
		p.t.Fatalf("%s: %v", c.Pos, err)
	}
	if c.Has("send") {
		id, err := p.connect().Send(r)
		if err != nil {
			p.t.Fatalf("%s: %v", c.Pos, err)
		}
		p.sent[p.conn] = sentRequest{request: r, correlationID: id}
		return "sent"
	}
	resp, err := p.connect().Request(r)
	return p.shown(c, resp, err)
}

// sentRequest is a request whose answer a script receives later.
type sentRequest struct {
	request       kmsg.Request
	correlationID int32
}

// receiveAny: receive, with the arguments of ask for what is shown: the answer to what ask has sent
func receiveAny(p *peer, c script.Command) string {
	sent, ok := p.sent[p.conn]
	if !ok {
		p.t.Fatalf("%s: nothing was sent", c.Pos)
	}
	delete(p.sent, p.conn)
	resp, err := p.connect().Receive(sent.request, sent.correlationID)
	return p.shown(c, resp, err)
}

// shown is the text of an answer.
func (p *peer) shown(c script.Command, resp kmsg.Response, err error) string {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		p.hangUp()
		return "no answer"
	case errors.Is(err, io.EOF):
		p.hangUp()
		return closed
	case err != nil:
		p.t.Fatalf("%s: %v", c.Pos, err)
	}
	if member := c.String("member", ""); member != "" {
		p.members[member] = reflect.ValueOf(resp).Elem().FieldByName("MemberID").String()
	}
	value := p.shownValue
	if c.Has("batches") {
		value = func(name string, v reflect.Value) (string, bool) {
			if name == "RecordBatches" || name == "Records" {
				return kafkatest.Batches(v.Bytes(), p.letter), true
			}
			return p.shownValue(name, v)
		}
	}
	if shown := value; c.String("messages", "") == "whole" {
		value = func(name string, v reflect.Value) (string, bool) {
			if name == "ErrorMessage" {
				return strconv.Quote(strings.ReplaceAll(v.String(), p.suffix, "")), true
			}
			return shown(name, v)
		}
	}
	text := kafkatest.Text{Show: c.List("show"), Hide: c.List("hide"), Sorted: c.Has("sorted"),
		Having: c.String("having", ""), Messages: c.Has("messages"), Value: value}
	return text.Of(resp)
}

// repeated is a long text in a script.
var repeated = regexp.MustCompile(`\{[0-9]+\}`)

// setText sets a field to what a text in a script stands for.
func (p *peer) setText(c script.Command, v reflect.Value, text string) error {
	text = strings.ReplaceAll(text, "~", p.suffix)
	text = repeated.ReplaceAllStringFunc(text, func(times string) string {
		n, _ := strconv.Atoi(strings.Trim(times, "{}"))
		return strings.Repeat("x", n)
	})
	switch {
	case v.Kind() == reflect.String:
		switch text {
		case "cluster ID":
			text = p.clusterID()
		case "log dir":
			text = p.logDir()
		}
		if member, ok := strings.CutPrefix(text, "member "); ok {
			text = p.members[member]
		}
		v.SetString(text)
	case v.Type() == reflect.TypeFor[[16]byte]():
		v.Set(reflect.ValueOf(p.topicID(text)))
	case v.Type() == reflect.TypeFor[[]byte]():
		v.SetBytes(p.bytes(c, text))
	case strings.HasPrefix(text, "session "), strings.HasPrefix(text, "subscription "):
		v.SetInt(p.ids[text])
	case v.CanInt():
		v.SetInt(p.producer(script.Command{Pos: c.Pos, Args: []script.Arg{{Name: "producer", Value: text}}}))
	default:
		return fmt.Errorf("a %s cannot be %q", v.Type(), text)
	}
	return nil
}

// clusterID is the ID of the broker's cluster, as it says itself.
func (p *peer) clusterID() string {
	return p.ask(kmsg.NewPtrDescribeClusterRequest()).(*kmsg.DescribeClusterResponse).ClusterID
}

// logDir is the broker's data directory, as it says itself.
func (p *peer) logDir() string {
	r := kmsg.NewPtrDescribeLogDirsRequest()
	r.Version = 4
	return p.ask(r).(*kmsg.DescribeLogDirsResponse).Dirs[0].Dir
}

// topicID is the ID of a topic of the script; another text gives an ID that no topic has.
func (p *peer) topicID(name string) [16]byte {
	if name == "former ID" {
		return p.formerID
	}
	if id, ok := p.topicIDs[name]; ok {
		return id
	}
	if strings.HasPrefix(name, "client ") {
		p.topicIDs[name] = clientInstanceID(name + p.suffix)
		return p.topicIDs[name]
	}
	return [16]byte{1, 2, 3}
}

// bytes are a batch where the text says so, else the text's.
func (p *peer) bytes(c script.Command, text string) []byte {
	if metrics, ok := strings.CutPrefix(text, "metrics "); ok {
		return pushedMetrics(c, p, strings.Fields(metrics))
	}
	if !strings.HasPrefix(text, "plain") && !strings.Contains(text, "sequence=") {
		return []byte(text)
	}
	of := lines(p, script.Command{Name: c.Name, Pos: c.Pos, Input: []string{text}})
	return p.batchOf(of[0])
}

// shownValue returns what is shown for a value that is not the same in every run, or that has a name in the script.
func (p *peer) shownValue(name string, v reflect.Value) (text string, ok bool) {
	switch {
	case strings.HasSuffix(name, "ErrorCode"):
		return code(int16(v.Int())), true
	case name == "ErrorMessage":
		return "", false
	case v.Type() == reflect.TypeFor[[16]byte]():
		id := v.Interface().([16]byte)
		if id == [16]byte{} {
			return "none", true
		}
		return cmp.Or(p.nameOf("", id), "other"), true
	case v.Type() == reflect.TypeFor[[]byte]():
		return shownBytes(v.Bytes()), true
	case v.Kind() == reflect.String:
		for name, id := range p.members {
			if v.String() == id {
				return "member " + name, true
			}
		}
		return p.plainName(v.String()), true
	case v.CanInt() && strings.Contains(name, "Time"):
		return about(v.Int()), true
	case v.CanInt() && name == "ProducerID":
		return p.letter(v.Int()), true
	case name == "SessionID":
		return p.session(v.Int()), true
	case name == "RequestedMetrics": // which Kafka gives in the order of a set
		list := slices.Sorted(slices.Values(v.Interface().([]string)))
		return fmt.Sprint(list), true
	case name == "SubscriptionID":
		return p.numbered("subscription", v.Int()), true
	}
	return "", false
}

// shownBytes are the offsets of batches, or a text.
func shownBytes(b []byte) string {
	if h, err := batch.ParseHeader(b); err == nil && h.SizeBytes() <= len(b) {
		var offsets []string
		for len(b) > 0 {
			h, err := batch.ParseHeader(b)
			if err != nil {
				break
			}
			offsets = append(offsets, fmt.Sprintf("%d-%d", h.BaseOffset, h.LastOffset()))
			b = b[min(len(b), h.SizeBytes()):]
		}
		return fmt.Sprintf("%v", offsets)
	}
	if !strings.ContainsFunc(string(b), func(r rune) bool { return !unicode.IsPrint(r) }) {
		return string(b)
	}
	return fmt.Sprintf("%d bytes", len(b))
}
