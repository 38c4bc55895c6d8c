package handlers

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/internal/kafkatest"
	"once/internal/script"
	"once/wire"
)

// kafkaClasses is a process that answers with Kafka's own request classes.
type kafkaClasses struct {
	in  io.Writer
	out *bufio.Reader
}

func startKafkaClasses(t *testing.T, classes string) *kafkaClasses {
	t.Helper()
	cmd := exec.Command("java", "-cp", classes, "testdata/ErrorResponses.java")
	cmd.Stderr = os.Stderr
	in, inErr := cmd.StdinPipe()
	out, outErr := cmd.StdoutPipe()
	if err := cmp.Or(inErr, outErr, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	return &kafkaClasses{in, bufio.NewReader(out)}
}

// compare returns the answer of Kafka's class with a message, as text. Ours must have the same bytes, with a message
// and without one; where Kafka has a text of its own for the code, that text is our message.
func (k *kafkaClasses) compare(
	t *testing.T, c script.Command, request kmsg.Request, code wire.Code,
	fail func(request kmsg.Request, code wire.Code, message string) []byte,
) (text string) {
	t.Helper()
	for _, message := range []string{"", "why"} {
		theirs, ownText := k.fail(t, request, code, message)
		if c.Has("own-text") || c.Has("fallback-text") && message == "" {
			message = ownText
		}
		if ours := fail(request, code, message); !c.Has("sorted") && !c.Has("hide") && !bytes.Equal(ours, theirs) {
			t.Errorf("%s: v%d with message %q: we answer %x, Kafka %x", c.Pos, request.GetVersion(), message, ours,
				theirs)
		}
		text = textOf(t, c, request, theirs, message)
	}
	return text
}

// fail returns the body of Kafka's answer, nil when there is none, and the text of the code.
func (k *kafkaClasses) fail(
	t *testing.T, request kmsg.Request, code wire.Code, message string,
) (body []byte, ownText string) {
	t.Helper()
	fmt.Fprintf(k.in, "%d %d %d %s %x\n", request.Key(), request.GetVersion(), code, cmp.Or(message, "-"),
		request.AppendTo(nil))
	line, err := k.out.ReadString('\n')
	if err != nil {
		t.Fatalf("%s v%d: %v", kmsg.NameForKey(request.Key()), request.GetVersion(), err)
	}
	answer, ownText, _ := strings.Cut(strings.TrimSpace(line), " ")
	if answer == "none" {
		return nil, ownText
	}
	if body, err = hex.DecodeString(answer); err != nil {
		t.Fatal(err)
	}
	return body, ownText
}

// refusingKafka is a running Kafka that refuses everything to everybody.
type refusingKafka struct {
	addr string
	conn *kafkatest.Conn // nil before the first request, and after Kafka has closed it
}

func (k *refusingKafka) hangUp() {
	if k.conn != nil {
		k.conn.Close()
		k.conn = nil
	}
}

// refuses reports whether Kafka refuses the request of a case in a version as getErrorResponse does.
func refuses(t *testing.T, c script.Command, version int16) bool {
	t.Helper()
	bounds := c.List("refused")
	if len(bounds) == 0 {
		return false
	}
	from, fromErr := strconv.Atoi(bounds[0])
	to, toErr := strconv.Atoi(bounds[len(bounds)-1])
	if err := cmp.Or(fromErr, toErr); err != nil {
		t.Fatalf("%s: %v", c.Pos, err)
	}
	return from <= int(version) && int(version) <= to
}

// compare returns what Kafka answers, as text. When it differs from our answer in messages only, that is our answer.
func (k *refusingKafka) compare(t *testing.T, c script.Command, request kmsg.Request, ours string) string {
	t.Helper()
	if k.conn == nil {
		var err error
		if k.conn, err = kafkatest.Dial(k.addr); err != nil {
			t.Fatal(err)
		}
	}
	theirs := "no answer"
	resp, err := k.conn.Request(request)
	switch {
	case errors.Is(err, io.EOF):
		k.hangUp()
	case err != nil:
		t.Fatalf("%s: v%d: %v", c.Pos, request.GetVersion(), err)
	default:
		text := kafkatest.Text{WithoutDefaults: true, Sorted: c.Has("sorted"),
			Hide: append(c.List("hide"), c.List("beside")...), Value: valueText}
		theirs = text.Of(resp)
	}
	if theirs == withoutMessages(ours) {
		return ours
	}
	return theirs
}
