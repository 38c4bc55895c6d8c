package broker_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/broker"
	"once/broker/brokertest"
	"once/internal/kafkatest"
	"once/internal/memnet"
)

// bubbleClients is what the clients of a test can do in a bubble of synctest.
type bubbleClients struct {
	dial func() *kafkatest.Conn
	ask  func(*kafkatest.Conn, kmsg.Request)
	pass func(time.Duration)
}

const notCome = "a client has not come to the address that it was told"

// A client that is told another port than its own, and is not seen at work within two seconds, is in the log once, with
// the settings that would help. One that comes, only looks around, or goes, is not.
func TestClientThatDoesNotReachItsAddressIsLogged(t *testing.T) {
	metadata := func(topics ...string) kmsg.Request {
		r := kmsg.NewPtrMetadataRequest()
		r.Version, r.Topics = 12, []kmsg.MetadataRequestTopic{}
		for _, name := range topics {
			r.Topics = append(r.Topics, kmsg.MetadataRequestTopic{Topic: &name})
		}
		return r
	}
	fetch := func() kmsg.Request {
		r := kmsg.NewPtrFetchRequest()
		r.Version = 12
		return r
	}
	coordinator := func() kmsg.Request {
		r := kmsg.NewPtrFindCoordinatorRequest()
		r.Version, r.CoordinatorKeys = 4, []string{"g"}
		return r
	}
	const other, same = "PLAINTEXT://localhost:19092", "PLAINTEXT://localhost:0"
	for name, tc := range map[string]struct {
		advertised string
		clients    func(w bubbleClients)
		lines      int
	}{
		"two that do not come": {other, func(w bubbleClients) {
			for range 2 {
				c := w.dial()
				w.ask(c, metadata("x"))
				w.pass(time.Second)
				w.ask(c, metadata()) // as clients go on to do
				w.ask(w.dial(), metadata())
				w.pass(time.Second + time.Millisecond)
			}
		}, 1},
		"one that does not come to its coordinator": {other, func(w bubbleClients) { w.ask(w.dial(), coordinator()) }, 1},
		"one that closes its connection, and asks again": {other, func(w bubbleClients) {
			for range 2 {
				c := w.dial()
				w.ask(c, metadata("x"))
				c.Close()
				w.pass(900 * time.Millisecond)
			}
		}, 1},
		"one that comes in time": {other, func(w bubbleClients) {
			w.ask(w.dial(), metadata("x"))
			w.pass(1900 * time.Millisecond)
			c := w.dial()
			w.ask(c, metadata("x"))
			w.ask(c, fetch())
		}, 0},
		"one that works where it is": {other, func(w bubbleClients) {
			c := w.dial()
			w.ask(c, metadata("x"))
			w.ask(c, fetch())
			w.pass(time.Second)
			w.ask(c, metadata("x"))
		}, 0},
		"one that only looks around": {other, func(w bubbleClients) { w.ask(w.dial(), metadata()) }, 0},
		"one that wanted no more": {other, func(w bubbleClients) {
			c := w.dial()
			w.ask(c, metadata("x"))
			w.ask(c, metadata("x"))
			c.Close()
		}, 0},
		"one that was told its own port": {same, func(w bubbleClients) { w.ask(w.dial(), metadata("x")) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				listener := memnet.Listen()
				brokertest.Start(t, brokertest.WithSettings(t, map[string]string{"listeners": "PLAINTEXT://:0",
					"advertised.listeners": tc.advertised}),
					func(c *broker.Config) {
						c.Listener, c.InMemory, c.Logger = listener, true, slog.New(slog.NewTextHandler(&log, nil))
					})
				tc.clients(bubbleClients{
					dial: func() *kafkatest.Conn {
						nc, err := listener.Dial(t.Context())
						if err != nil {
							t.Fatal(err)
						}
						t.Cleanup(func() { nc.Close() })
						return kafkatest.New(nc)
					},
					ask: func(c *kafkatest.Conn, r kmsg.Request) {
						if _, err := c.Request(r); err != nil {
							t.Fatal(err)
						}
					},
					pass: func(d time.Duration) { time.Sleep(d) },
				})
				time.Sleep(3 * time.Second)
				synctest.Wait()
				if n := strings.Count(log.String(), notCome); n != tc.lines {
					t.Errorf("%d lines, want %d:\n%s", n, tc.lines, log.String())
				}
				for _, want := range []string{"KAFKA_ADVERTISED_LISTENERS", "ONCE_PORT", "told=localhost:19092"} {
					if tc.lines > 0 && !strings.Contains(log.String(), want) {
						t.Errorf("the log does not say %q:\n%s", want, log.String())
					}
				}
			})
		})
	}
}
