package broker_test

import (
	"errors"
	"os"
	"testing"
	"time"

	"once/broker/brokertest"
	"once/internal/kafkatest"
)

// withTwoListeners has a listener between brokers, PLAINTEXT, and another one.
func withTwoListeners(t *testing.T, more map[string]string) *brokertest.Broker {
	t.Helper()
	values := map[string]string{
		"listeners":                      "PLAINTEXT://127.0.0.1:0,EXTERNAL://127.0.0.1:0",
		"listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,EXTERNAL:PLAINTEXT",
	}
	for name, value := range more {
		values[name] = value
	}
	return brokertest.Start(t, brokertest.WithSettings(t, values))
}

// isHeldBack says whether a request is not answered within a moment. A broker that is slow, and holds nothing back,
// looks the same.
func isHeldBack(t *testing.T, c *kafkatest.Conn) bool {
	t.Helper()
	const moment = 100 * time.Millisecond
	c.Timeout = moment
	_, err := c.Request(apiVersions())
	c.Timeout = kafkatest.DefaultTimeout
	return errors.Is(err, os.ErrDeadlineExceeded)
}

// A listener has at most as many connections as its own max.connections allows, for one broker or by the default of the
// cluster; further ones wait until one of them ends. Other listeners do not have the limit (spec: wire 7, admin 7).
func TestAListenerHasALimitOfConnections(t *testing.T) {
	b := withTwoListeners(t, nil)
	external := b.Listeners()[1].Address()
	set := func(resource, value string) {
		t.Helper()
		if got := change(t, b.Addr(), resource, "listener.name.external.max.connections", value); got != 0 {
			t.Fatal(code(got))
		}
	}
	set("1", "1")
	first, second := dialTo(t, external), dialTo(t, external)
	ask(t, first, apiVersions())
	if !isHeldBack(t, second) {
		t.Error("a second connection is served")
	}
	for range 2 {
		ask(t, dialTo(t, b.Addr()), apiVersions())
	}
	set("", "2")
	if third := dialTo(t, external); !isHeldBack(t, third) {
		t.Error("the default of the cluster wins over the limit of the broker")
	}
	set("1", "")
	if _, err := second.Receive(apiVersions(), 1); err != nil {
		t.Errorf("the second connection is not served below the new limit: %v", err)
	}
	if got := change(t, b.Addr(), "1", "listener.name.external.max.connections", "0"); code(got) != "INVALID_REQUEST" {
		t.Errorf("a limit of 0: %s", code(got))
	}
}

// The listener between brokers is served above max.connections of the broker, and the other one loses connections.
func TestTheListenerBetweenBrokersIsProtected(t *testing.T) {
	b := withTwoListeners(t, map[string]string{"max.connections": "2"})
	external := b.Listeners()[1].Address()
	first, second := dialTo(t, external), dialTo(t, external)
	ask(t, first, apiVersions())
	ask(t, second, apiVersions())
	if third := dialTo(t, external); !isHeldBack(t, third) {
		t.Error("a third connection is served")
	}
	ask(t, dialTo(t, b.Addr()), apiVersions())
	if err := first.WaitClosed(); err != nil {
		t.Error(err)
	}
	ask(t, second, apiVersions())
}

// Connections of a listener are accepted at the rate of its own max.connection.creation.rate.
func TestAListenerAcceptsAtARate(t *testing.T) {
	t.Parallel() // it waits
	b := withTwoListeners(t, map[string]string{"listener.name.external.max.connection.creation.rate": "1"})
	began := time.Now()
	for range 12 { // those after the tenth wait for a window, if they come within ten
		ask(t, dialTo(t, b.Listeners()[1].Address()), apiVersions())
	}
	if took := time.Since(began); took < time.Second {
		t.Errorf("served within %v", took)
	}
}

func dialTo(t *testing.T, addr string) *kafkatest.Conn {
	t.Helper()
	c, err := kafkatest.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}
