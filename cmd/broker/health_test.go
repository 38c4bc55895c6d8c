package main

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"once/internal/kafkatest"
)

// Where the admin address is off, the Kafka listener of the environment is asked.
func TestHealthAsksTheKafkaPortWhereTheAdminAddressIsOff(t *testing.T) {
	p := launch(t, t.TempDir(), nil, "--listen", "127.0.0.1:0", "--admin", "")
	closed := fmt.Sprintf("127.0.0.1:%d", kafkatest.FreePort(t))
	for _, c := range []struct {
		environ, args []string
		code          int
	}{
		{[]string{"ONCE_ADMIN=", "KAFKA_LISTENERS=PLAINTEXT://" + p.listen}, nil, exitClean},
		{[]string{"ONCE_ADMIN=" + closed, "KAFKA_CFG_LISTENERS=PLAINTEXT://" + p.listen}, nil, exitClean},
		{[]string{"ONCE_ADMIN="}, []string{"--listen", p.listen}, exitClean},
		{[]string{"ONCE_ADMIN=", "KAFKA_LISTENERS=PLAINTEXT://" + closed}, nil, exitFailure},
		{[]string{"KAFKA_LISTENERS=PLAINTEXT://" + p.listen}, []string{"--admin", closed}, exitFailure},
		{nil, []string{"--admin", closed, "--listen", p.listen}, exitUsage},
		{nil, []string{"--listen", "9092"}, exitUsage},
	} {
		code, stdout, stderr := executeWith(t, c.environ, append([]string{"health"}, c.args...)...)
		if code != c.code || (stdout == "ready\n") != (code == exitClean) {
			t.Errorf("%v %v: exit %d, want %d; %q %q", c.environ, c.args, code, c.code, stdout, stderr)
		}
	}
}

// A port at which something else listens is not healthy, whatever that answers.
func TestHealthOfWhatIsNoBroker(t *testing.T) {
	for _, answer := range []string{"", "HTTP/1.1 400 Bad Request\r\n\r\n", "\x00\x00\x00\x06\x00\x00\x00\x02\x00\x00",
		"\x00\x00\x00\x06\x00\x00\x00\x01\x00\x23"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			if c, err := l.Accept(); err == nil {
				_, _ = io.ReadAtLeast(c, make([]byte, 64), 14)
				_, _ = io.WriteString(c, answer)
				c.Close()
			}
		}()
		if err := checkListener("", l.Addr().String()); err == nil {
			t.Errorf("%q is healthy", answer)
		}
		l.Close()
	}
}

func TestFirstListenerOfTheEnvironment(t *testing.T) {
	for environ, want := range map[string]string{
		"":                "127.0.0.1:9092",
		"ONCE_IMAGE=true": ":9092",
		"KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://h:1234": ":1234",
		"KAFKA_LISTENERS=nonsense":                      "127.0.0.1:9092",
	} {
		if got := firstListener(strings.Fields(environ)); got != want {
			t.Errorf("%q: %s, want %s", environ, got, want)
		}
	}
}
