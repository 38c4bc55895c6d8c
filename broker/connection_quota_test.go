package broker_test

import (
	"errors"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/broker/brokertest"
	"once/internal/kafkatest"
)

// from is the address of a host of the loopback network.
func from(t *testing.T, broker, address string) *kafkatest.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}, Timeout: kafkatest.DefaultTimeout}
	nc, err := d.Dial("tcp", broker)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	return kafkatest.New(nc)
}

// isServed says whether a new connection from an address is answered, and not closed.
func isServed(t *testing.T, broker, address string) bool {
	t.Helper()
	c := from(t, broker, address)
	defer c.Close()
	_, err := c.Request(apiVersions())
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	return err == nil
}

// connectUntilHeld connects until the quota is reached.
func connectUntilHeld(t *testing.T, broker, address string) (served int) {
	t.Helper()
	for served < 1000 {
		if !isServed(t, broker, address) {
			return served
		}
		served++
	}
	t.Fatalf("%d connections from %s are served", served, address)
	return served
}

// An address that connects faster than its quota allows gets connections that are closed without an answer. All other
// addresses are served meanwhile (admin 17).
func TestConnectionsOfAnAddressAreHeld(t *testing.T) {
	t.Parallel() // it waits
	if runtime.GOOS != "linux" {
		t.Skip("other systems have 127.0.0.1 alone")
	}
	b := brokertest.Start(t)
	admin := kafkatest.Connect(t, b.Addr())
	set := func(address *string, limit float64) {
		t.Helper()
		r := kmsg.NewPtrAlterClientQuotasRequest()
		op := kmsg.NewAlterClientQuotasRequestEntryOp()
		op.Key, op.Value, op.Remove = "connection_creation_rate", limit, limit == 0
		r.Entries = []kmsg.AlterClientQuotasRequestEntry{{
			Entity: []kmsg.AlterClientQuotasRequestEntryEntity{{Type: "ip", Name: address}},
			Ops:    []kmsg.AlterClientQuotasRequestEntryOp{op},
		}}
		if got := admin.Answer(r).(*kmsg.AlterClientQuotasResponse).Entries[0]; got.ErrorCode != 0 {
			t.Fatal(code(got.ErrorCode))
		}
	}
	limited := "127.0.0.5"
	set(&limited, 1)
	if n := connectUntilHeld(t, b.Addr(), limited); n < 10 {
		t.Errorf("only %d connections are served", n)
	}
	for range 30 {
		if !isServed(t, b.Addr(), "127.0.0.6") {
			t.Fatal("an address without a quota is held up")
		}
	}
	set(&limited, 0)
	if !isServed(t, b.Addr(), limited) {
		t.Error("the quota is gone, and the address is held up")
	}
	set(nil, 1)
	for _, address := range []string{"127.0.0.7", "127.0.0.8"} {
		connectUntilHeld(t, b.Addr(), address)
	}
}

// All connections together are accepted at the rate of max.connection.creation.rate, and each is served.
func TestConnectionsAreAcceptedAtARate(t *testing.T) {
	t.Parallel() // it waits
	b := brokertest.Start(t, brokertest.WithSettings(t, map[string]string{"max.connection.creation.rate": "1"}))
	began := time.Now()
	for range 12 { // those after the tenth wait for a window, if they come within ten
		if !isServed(t, b.Addr(), "127.0.0.1") {
			t.Fatal("not served")
		}
	}
	if took := time.Since(began); took < time.Second {
		t.Errorf("served within %v", took)
	}
}

// One address may have fewer connections than all others.
func TestAnAddressHasALimitOfItsOwn(t *testing.T) {
	b := brokertest.Start(t, brokertest.WithSettings(t, map[string]string{
		"max.connections.per.ip": "3", "max.connections.per.ip.overrides": "localhost:1,10.0.0.1:2"}))
	kafkatest.Connect(t, b.Addr()).Answer(apiVersions())
	if isServed(t, b.Addr(), "127.0.0.1") {
		t.Error("a second connection is served")
	}
}
