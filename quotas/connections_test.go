package quotas

import (
	"net/netip"
	"path/filepath"
	"testing"
	"time"
)

func setConnections(t *testing.T, q *Quotas, address *string, limit float64) {
	t.Helper()
	set(t, q, Entity{IP: address}, ConnectionCreationRate, limit)
}

// Kafka's numbers: with a quota of one a second, ten connections at once are a rate of one over ten windows, and the
// next ones are held for the longest time, which is a window. What was held is not counted.
func TestConnectionsAreHeld(t *testing.T) {
	q, _ := open(t, filepath.Join(t.TempDir(), "meta.db"))
	one, two := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	now := time.UnixMilli(1_000_000)
	connect := func(from netip.Addr, want time.Duration) {
		t.Helper()
		if got := q.Connect(from, now); got != want {
			t.Errorf("%v is held for %v, want %v", from, got, want)
		}
	}
	connect(one, 0)
	setConnections(t, q, name("10.0.0.1"), 1)
	for range 10 {
		connect(one, 0)
	}
	now = now.Add(5 * time.Second)
	for range 100 {
		connect(one, time.Second)
	}
	for range 100 {
		connect(two, 0)
	}
	now = now.Add(6 * time.Second) // the first ten are too old
	for range 10 {
		connect(one, 0)
	}
	connect(one, time.Second)

	now = now.Add(5 * time.Second)
	setConnections(t, q, nil, 2)
	for range 20 {
		connect(two, 0)
	}
	connect(two, 500*time.Millisecond) // a rate of 2.1, over ten seconds
	connect(one, time.Second)
	if err := q.Alter(Entity{IP: name("10.0.0.1")}, []Change{{Name: ConnectionCreationRate, Remove: true}},
		false); err != nil {
		t.Fatal(err)
	}
	connect(one, 0) // by the default
}

func TestNamesOfAddresses(t *testing.T) {
	q, _ := open(t, filepath.Join(t.TempDir(), "meta.db"))
	now := time.UnixMilli(1_000_000)
	for text, from := range map[string]string{"localhost": "127.0.0.1", "::ffff:10.0.0.3": "10.0.0.3",
		"0:0:0:0:0:0:0:1": "::1"} {
		setConnections(t, q, name(text), 1)
		held := false
		for range 11 {
			held = q.Connect(netip.MustParseAddr(from), now) > 0
		}
		if !held {
			t.Errorf("%s is not %s", text, from)
		}
	}
}

func TestMeter(t *testing.T) {
	m, now := NewMeter(Config{Samples: 11, Window: time.Second}), time.UnixMilli(1_000_000)
	for range 20 {
		if pause := m.Add(1, 2, now); pause != 0 {
			t.Errorf("%v", pause)
		}
	}
	if pause := m.Add(1, 2, now); pause != 500*time.Millisecond {
		t.Errorf("%v", pause)
	}
	if pause := m.Add(1, 0, now); pause != time.Second {
		t.Errorf("%v", pause)
	}
}
