package broker

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/wire"
)

const (
	// returnTime is how long a client may take to go to the address that it was told. Clients go at once.
	returnTime = 2 * time.Second
	// maxReturnsWatched bounds the clients that are waited for, and the hosts that are remembered.
	maxReturnsWatched = 100
)

// returnWatch says once for each listener when a client wants something, was told an address for it, and has not come
// there: the commonest mistake with a broker in a container, of which the client shows no more than a timeout. That a
// client has come shows in requests that it sends to no other broker than the right one. One that has closed its
// connection, and has not asked again, wanted no more. Clients of one host are taken for one. Safe for concurrent use.
type returnWatch struct {
	log     *slog.Logger
	inDoubt func(*wire.Conn) (address string, doubt bool)
	waiting atomic.Int32 // len(mu.told)
	mu      struct {
		sync.Mutex
		told   map[netip.Addr]*toldClient // by host
		came   map[netip.Addr]struct{}    // hosts of clients that have come
		warned map[net.Listener]struct{}
	}
}

// toldClient is a client that was told an address and has not come.
type toldClient struct {
	timer   *time.Timer
	by      net.Listener
	address string
	conns   map[*wire.Conn]struct{} // open ones, by which it has asked
	asked   int                     // by another connection each time
}

func newReturnWatch(log *slog.Logger, inDoubt func(*wire.Conn) (address string, doubt bool)) *returnWatch {
	w := &returnWatch{log: log, inDoubt: inDoubt}
	w.mu.told = map[netip.Addr]*toldClient{}
	w.mu.came = map[netip.Addr]struct{}{}
	w.mu.warned = map[net.Listener]struct{}{}
	return w
}

// handler passes requests on, and notes the clients that are told an address and those that have come.
func (w *returnWatch) handler(next wire.Handler) wire.Handler {
	return func(ctx context.Context, r *wire.Request) wire.Reply {
		switch {
		case asksWhereToGo(r):
			if address, doubt := w.inDoubt(r.Conn); doubt {
				w.told(r.Conn, address)
			}
		case w.waiting.Load() > 0 && !goesToAnyBroker(r.Key):
			w.hasCome(hostOf(r.Conn))
		}
		return next(ctx, r)
	}
}

// asksWhereToGo says whether a client asks for a broker that it wants something of. One that names no topic may only
// look around.
func asksWhereToGo(r *wire.Request) bool {
	switch body := r.Body.(type) {
	case *kmsg.MetadataRequest:
		return len(body.Topics) > 0
	case *kmsg.FindCoordinatorRequest:
		return true
	}
	return false
}

// goesToAnyBroker says whether clients send this to any broker.
func goesToAnyBroker(key int16) bool {
	switch kmsg.Key(key) {
	case kmsg.ApiVersions, kmsg.Metadata, kmsg.FindCoordinator, kmsg.DescribeCluster, kmsg.InitProducerID,
		kmsg.GetTelemetrySubscriptions, kmsg.PushTelemetry:
		return true
	}
	return false
}

// told begins to wait for the client of a connection, unless one of its host has come before.
func (w *returnWatch) told(c *wire.Conn, address string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	host := hostOf(c)
	_, came := w.mu.came[host]
	_, warned := w.mu.warned[c.Listener()]
	t := w.mu.told[host]
	if came || warned || t == nil && len(w.mu.told) >= maxReturnsWatched {
		return
	}
	if t == nil {
		t = &toldClient{by: c.Listener(), address: address, conns: map[*wire.Conn]struct{}{}}
		t.timer = time.AfterFunc(returnTime, func() { w.late(host) })
		w.mu.told[host] = t
		w.waiting.Store(int32(len(w.mu.told)))
	}
	if _, again := t.conns[c]; !again && len(t.conns) < maxReturnsWatched {
		t.conns[c] = struct{}{}
		t.asked++
	}
}

// late is called when the time of a client is over.
func (w *returnWatch) late(host netip.Addr) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.mu.told[host]
	w.forgetLocked(host)
	if t == nil || len(t.conns) == 0 && t.asked < 2 {
		return
	}
	if _, warned := w.mu.warned[t.by]; warned {
		return
	}
	w.mu.warned[t.by] = struct{}{}
	w.log.Warn("a client has not come to the address that it was told; if it cannot reach it, set another one in "+
		"advertised.listeners (KAFKA_ADVERTISED_LISTENERS), or the port that the host publishes in ONCE_PORT",
		"client", host.String(), "told", t.address)
}

func (w *returnWatch) hasCome(host netip.Addr) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mu.told[host] == nil {
		return
	}
	w.forgetLocked(host)
	if len(w.mu.came) < maxReturnsWatched {
		w.mu.came[host] = struct{}{}
	}
}

// closed is called when a connection has ended.
func (w *returnWatch) closed(c *wire.Conn) {
	if w.waiting.Load() == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if t := w.mu.told[hostOf(c)]; t != nil {
		delete(t.conns, c)
	}
}

func (w *returnWatch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for host := range w.mu.told {
		w.forgetLocked(host)
	}
}

func (w *returnWatch) forgetLocked(host netip.Addr) {
	if t := w.mu.told[host]; t != nil {
		t.timer.Stop()
		delete(w.mu.told, host)
		w.waiting.Store(int32(len(w.mu.told)))
	}
}

// hostOf is the zero Addr for what is not TCP.
func hostOf(c *wire.Conn) netip.Addr {
	if at, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		return at.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}
