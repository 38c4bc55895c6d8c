package broker_test

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/broker"
	"once/cluster"
	"once/internal/kafkatest"
	"once/settings"
)

func TestEphemeralDirectoryIsGoneAfterClose(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	b, err := broker.Start(t.Context(), broker.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if made, err := filepath.Glob(filepath.Join(temp, "*", "meta.db")); err != nil || len(made) != 1 {
		t.Errorf("while it runs: %v, %v", made, err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// A start that fails leaves nothing either.
func TestEphemeralDirectoryIsGoneAfterAFailedStart(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	if b, err := broker.Start(t.Context(), broker.Config{Admin: "nowhere:port"}); err == nil {
		_ = b.Close()
		t.Fatal("it started")
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// brokerGoroutines are the stacks of goroutines that run code of this module other than tests.
func brokerGoroutines() (found []string) {
	buf := make([]byte, 4<<20)
	for stack := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		for line := range strings.Lines(stack) {
			if strings.HasPrefix(line, "once/") && !strings.HasPrefix(line, "once/broker_test") &&
				!strings.HasPrefix(line, "once/internal/kafkatest") {
				found = append(found, stack)
				break
			}
		}
	}
	return found
}

// A broker that was used and closed, or that ended with its context, leaves no goroutine behind.
func TestCloseLeavesNoGoroutine(t *testing.T) {
	awaitNoGoroutine(t) // of earlier tests
	for _, ends := range []func(b *broker.Broker, cancel func()) error{
		func(b *broker.Broker, _ func()) error { return b.Close() },
		func(b *broker.Broker, cancel func()) error { cancel(); <-b.Done(); return b.Err() },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		cfg := broker.Config{Admin: "127.0.0.1:0", DataDir: t.TempDir(), Env: cluster.Env{Durability: "fsync"}}
		b, err := broker.Start(ctx, cfg)
		if err != nil {
			t.Fatal(err)
		}
		c := newKillClient(t, nil)
		c.p = &process{addr: b.Addr(), Launched: &kafkatest.Launched{Exited: make(chan struct{})}}
		c.createTopic("x", 2, nil)
		p := c.producer("txn", true)
		p.produce("open", "x", 0)
		p.offsets("g", nil, 0, 1)
		if len(brokerGoroutines()) == 0 {
			t.Error("a broker runs and no goroutine of it is seen: the test cannot fail")
		}
		parkRequests(t, b.Addr(), b.AdminAddr())
		if err := ends(b, cancel); err != nil {
			t.Error(err)
		}
		cancel()
		c.hangUp()
		awaitNoGoroutine(t)
	}
}

func awaitNoGoroutine(t *testing.T) {
	t.Helper()
	h := &hostile{peer: &peer{t: t}}
	h.awaitOr(func() bool { return len(brokerGoroutines()) == 0 },
		func() string { return strings.Join(brokerGoroutines(), "\n\n") })
}

// leastParked is less than any of parkRequests would wait: the half of a frame waits for 30 seconds, the others longer.
const leastParked = 25 * time.Second

// parkRequests leaves fetches, a JoinGroup and a half-sent frame with a broker, all of which wait for what
// does not come, and returns the connections.
func parkRequests(t *testing.T, addr, admin string) []*kafkatest.Conn {
	t.Helper()
	h := &hostile{peer: &peer{t: t, addr: addr}, admin: admin}
	fetch := h.fetchRequest(12, func(r *kmsg.FetchRequest, p *kmsg.FetchRequestTopicPartition) {
		r.MaxWaitMillis, r.MinBytes, p.Partition = 1<<31-1, 1<<20, 1
	})
	join := h.joinRequest(func(r *kmsg.JoinGroupRequest) { r.RebalanceTimeoutMillis = 1<<31 - 1 })
	var parked []*kafkatest.Conn
	for _, r := range []kmsg.Request{fetch, fetch, fetch, join} {
		c := h.dial()
		if _, err := c.Send(r); err != nil {
			t.Fatal(err)
		}
		parked = append(parked, c)
	}
	half := h.dial()
	if _, err := half.Write(be32(1000)); err != nil {
		t.Fatal(err)
	}
	h.await(func() bool {
		arrived := 0
		for _, api := range []string{"Fetch", "JoinGroup"} {
			if n := h.scrape(`once_wire_requests_total{api="` + api + `"} `); len(n) == 1 {
				requests, _ := strconv.Atoi(n[0])
				arrived += requests
			}
		}
		return arrived >= len(parked)
	})
	return append(parked, half)
}

// Nobody who waits holds up the end.
func TestCloseDoesNotWaitForParkedRequests(t *testing.T) {
	slow, _, err := settings.Resolve(settings.Values{"group.initial.rebalance.delay.ms": "60000"})
	if err != nil {
		t.Fatal(err)
	}
	b, err := broker.Start(t.Context(), broker.Config{Admin: "127.0.0.1:0", DataDir: t.TempDir(),
		Env: cluster.Env{Settings: slow}})
	if err != nil {
		t.Fatal(err)
	}
	c := newKillClient(t, nil)
	c.p = &process{addr: b.Addr(), Launched: &kafkatest.Launched{Exited: make(chan struct{})}}
	c.createTopic("x", 2, nil)
	c.hangUp()
	parked := parkRequests(t, b.Addr(), b.AdminAddr())
	began := time.Now()
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > leastParked {
		t.Errorf("closing took %v", took)
	}
	for i, conn := range parked { // each is answered, or finds its connection closed
		for {
			if _, err := conn.ReceiveFrame(); err != nil {
				if os.IsTimeout(err) {
					t.Errorf("connection %d is open", i)
				}
				break
			}
		}
	}
}

func TestSignalDoesNotWaitForParkedRequests(t *testing.T) {
	dir := t.TempDir()
	p := launch(t, dir, "", "--admin", "127.0.0.1:0", "--set", "group.initial.rebalance.delay.ms=60000")
	c := newKillClient(t, nil)
	c.p = p
	c.createTopic("x", 2, nil)
	w := c.producer("", false)
	w.produce("stays", "x", 0)
	c.hangUp()
	parkRequests(t, p.addr, p.admin)
	began := time.Now()
	if code := p.Stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit %d\n%s", code, p.Log.String())
	}
	if took := time.Since(began); took > leastParked {
		t.Errorf("it took %v", took)
	}
	c.dir = dir
	c.start()
	if got := c.read("x", 0); !slices.Equal(got, []readRecord{{0, "stays", true}}) {
		t.Errorf("then there is %v", got)
	}
	c.hangUp()
}
