package broker_test

import (
	"cmp"
	"encoding/json"
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

	"once/internal/script"
	"once/log/batch"
)

// Any request of any version, written as JSON with the names of kmsg's fields, and all that is answered.
func init() {
	commands["ask"] = askAny
	commands["receive"] = receiveAny
}

// askAny: ask API version=V [show=[FIELD …]] [hide=[FIELD …]] [sorted] [having=TEXT] [messages] [member=M] [send]: the
// input is the request as JSON.
//
// A ~ in a text stands for the suffix of the script's names, {N} for N times the letter x, "member M" for the ID of a
// member that joined. An ID of a topic is the topic's name, one of a producer its letter. Records are a text: plain, or
// the arguments of produce for one batch.
//
// member=M gives the member ID in the answer a name. With send the answer is left to a later receive on the same
// connection, which has the arguments for what is shown.
//
// The answer has a line for each struct, with its fields. Texts of errors and throttle times are left out, as
// are fields that are hidden, or not among those that are to be shown. With sorted the lines of a list stand
// in their own order, with having=TEXT only those that have the text. With messages the texts of errors are shown as
// null, "" or text.
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
	d := json.NewDecoder(strings.NewReader(strings.Join(c.Input, "\n")))
	d.UseNumber()
	content := map[string]any{}
	if len(c.Input) > 0 {
		if err := d.Decode(&content); err != nil {
			p.t.Fatalf("%s: %v", c.Pos, err)
		}
	}
	f := filler{p, c}
	f.structure(reflect.ValueOf(r).Elem(), content)
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
	a := answerText{peer: p, show: c.List("show"), hide: c.List("hide"), sorted: c.Has("sorted"),
		having: c.String("having", ""), messages: c.Has("messages")}
	out := a.structure("", reflect.ValueOf(resp).Elem())
	return cmp.Or(strings.Join(out, "\n"), "nothing")
}

// filler sets the fields of a request to what a script gives.
type filler struct {
	p *peer
	c script.Command
}

func (f filler) fail(format string, args ...any) {
	f.p.t.Helper()
	f.p.t.Fatalf("%s: %s", f.c.Pos, fmt.Sprintf(format, args...))
}

func (f filler) structure(v reflect.Value, content map[string]any) {
	for name, value := range content {
		field := v.FieldByName(name)
		if !field.IsValid() {
			f.fail("%s has no field %s", v.Type(), name)
		}
		f.set(field, value)
	}
}

// repeated is a long text in a script.
var repeated = regexp.MustCompile(`\{[0-9]+\}`)

func (f filler) set(v reflect.Value, value any) {
	if value == nil {
		v.SetZero()
		return
	}
	text, isText := value.(string)
	text = strings.ReplaceAll(text, "~", f.p.suffix)
	text = repeated.ReplaceAllStringFunc(text, func(times string) string {
		n, _ := strconv.Atoi(strings.Trim(times, "{}"))
		return strings.Repeat("x", n)
	})
	list, _ := value.([]any)
	switch {
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		f.set(v.Elem(), value)
	case v.Kind() == reflect.Struct:
		if d, ok := v.Addr().Interface().(interface{ Default() }); ok {
			d.Default()
		}
		f.structure(v, value.(map[string]any))
	case v.Kind() == reflect.String:
		if member, ok := strings.CutPrefix(text, "member "); ok {
			text = f.p.members[member]
		}
		v.SetString(text)
	case v.Kind() == reflect.Bool:
		v.SetBool(value.(bool))
	case v.Type() == reflect.TypeFor[[16]byte]():
		v.Set(reflect.ValueOf(f.topicID(text)))
	case v.Type() == reflect.TypeFor[[]byte]():
		v.SetBytes(f.bytes(text))
	case v.Kind() == reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), len(list), len(list)))
		for i := range list {
			f.set(v.Index(i), list[i])
		}
	case strings.HasPrefix(text, "session "):
		v.SetInt(f.p.ids[text])
	case isText: // a producer
		v.SetInt(f.p.producer(script.Command{Pos: f.c.Pos, Args: []script.Arg{{Name: "producer", Value: text}}}))
	case v.CanInt():
		n, err := value.(json.Number).Int64()
		if err != nil {
			f.fail("%v", err)
		}
		v.SetInt(n)
	case v.CanFloat():
		x, err := value.(json.Number).Float64()
		if err != nil {
			f.fail("%v", err)
		}
		v.SetFloat(x)
	default:
		f.fail("%s cannot be given", v.Type())
	}
}

// topicID is the ID of a topic of the script; another text gives an ID that no topic has.
func (f filler) topicID(name string) [16]byte {
	if id, ok := f.p.topicIDs[name]; ok {
		return id
	}
	return [16]byte{1, 2, 3}
}

// bytes are a batch where the text says so, else the text's.
func (f filler) bytes(text string) []byte {
	if !strings.HasPrefix(text, "plain") && !strings.Contains(text, "sequence=") {
		return []byte(text)
	}
	of := lines(f.p, script.Command{Name: f.c.Name, Pos: f.c.Pos, Input: []string{text}})
	return f.p.batchOf(of[0])
}

// answerText writes an answer down.
type answerText struct {
	*peer
	show, hide       []string
	having           string
	sorted, messages bool
}

// neverShown differs from one run to the next, or from one broker to the other.
var neverShown = []string{"Version", "UnknownTags", "ThrottleMillis", "ErrorMessage"}

func (a answerText) hides(name string) bool {
	if a.messages && name == "ErrorMessage" {
		return false
	}
	return slices.Contains(neverShown, name) || len(a.show) > 0 && !slices.Contains(a.show, name)
}

// structure returns a line with the plain fields, then those of the structs in it, further to the right.
func (a answerText) structure(name string, v reflect.Value) []string {
	var fields, inner []string
	for i := range v.NumField() {
		field, of := v.Type().Field(i), v.Field(i)
		if of.Kind() == reflect.Pointer && !of.IsNil() {
			of = of.Elem()
		}
		isList := of.Kind() == reflect.Slice && of.Type().Elem().Kind() == reflect.Struct
		switch {
		case slices.Contains(a.hide, field.Name):
		case isList:
			inner = append(inner, a.list(field.Name, of)...)
		case a.hides(field.Name):
		case of.Kind() == reflect.Struct:
			inner = append(inner, a.structure(field.Name, of)...)
		default:
			fields = append(fields, field.Name+"="+a.value(field.Name, of))
		}
	}
	if name != "" {
		name += ": "
		for i := range inner {
			inner[i] = "  " + inner[i]
		}
	}
	if line := strings.TrimSpace(name + strings.Join(fields, " ")); line != "" {
		return append([]string{line}, inner...)
	}
	return inner
}

func (a answerText) list(name string, v reflect.Value) []string {
	var all [][]string
	for i := range v.Len() {
		lines := a.structure(name, v.Index(i))
		if strings.Contains(strings.Join(lines, "\n"), a.having) {
			all = append(all, lines)
		}
	}
	if a.sorted {
		slices.SortFunc(all, slices.Compare)
	}
	return slices.Concat(all...)
}

func (a answerText) value(name string, v reflect.Value) string {
	switch {
	case name == "ErrorCode" || strings.HasSuffix(name, "ErrorCode"):
		return code(int16(v.Int()))
	case v.Kind() == reflect.Pointer: // not nil ones were followed
		return "null"
	case name == "ErrorMessage" && v.String() != "":
		return "text"
	case name == "ErrorMessage":
		return `""`
	case v.Type() == reflect.TypeFor[[16]byte]():
		id := v.Interface().([16]byte)
		if id == [16]byte{} {
			return "none"
		}
		return cmp.Or(a.nameOf("", id), "other")
	case v.Type() == reflect.TypeFor[[]byte]():
		return a.bytes(v.Bytes())
	case v.Kind() == reflect.Slice:
		var all []string
		for i := range v.Len() {
			all = append(all, a.value("", v.Index(i)))
		}
		return fmt.Sprintf("%v", all)
	case v.Kind() == reflect.String:
		for name, id := range a.members {
			if v.String() == id {
				return "member " + name
			}
		}
		return a.plainName(v.String())
	case v.CanInt() && strings.Contains(name, "Time"):
		return about(v.Int())
	case v.CanInt() && name == "ProducerID":
		return a.letter(v.Int())
	case name == "SessionID":
		return a.session(v.Int())
	case v.CanInt(): // the number, where kmsg has a word for it
		return strconv.FormatInt(v.Int(), 10)
	}
	return fmt.Sprint(v.Interface())
}

// bytes are the offsets of batches, or a text.
func (a answerText) bytes(b []byte) string {
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
