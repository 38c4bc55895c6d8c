package broker

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
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

// returnWatch says once for each listener when a client was told an address and has not come to it: the commonest
// mistake with a broker in a container, of which the client shows no more than a timeout. A client has come when it has
// another connection, or does more on its first one than to ask where the broker is. One that has closed its connection
// wanted no more. Safe for concurrent use.
type returnWatch struct {
	log     *slog.Logger
	waiting atomic.Int32 // len(mu.first)
	mu      struct {
		sync.Mutex
		first  map[*wire.Conn]*time.Timer // connections of clients that were told an address and have not come
		came   map[netip.Addr]struct{}    // hosts of clients that have come
		warned map[net.Listener]struct{}
	}
}

func newReturnWatch(log *slog.Logger) *returnWatch {
	w := &returnWatch{log: log}
	w.mu.first = map[*wire.Conn]*time.Timer{}
	w.mu.came = map[netip.Addr]struct{}{}
	w.mu.warned = map[net.Listener]struct{}{}
	return w
}

// told begins to wait for the client of a connection, unless one of its host has come before.
func (w *returnWatch) told(c *wire.Conn, host string, port int32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, waiting := w.mu.first[c]
	_, came := w.mu.came[hostOf(c)]
	_, warned := w.mu.warned[c.Listener()]
	if waiting || came || warned || len(w.mu.first) >= maxReturnsWatched {
		return
	}
	address := net.JoinHostPort(host, strconv.Itoa(int(port)))
	w.mu.first[c] = time.AfterFunc(returnTime, func() { w.late(c, address) })
	w.waiting.Store(int32(len(w.mu.first)))
}

func (w *returnWatch) late(c *wire.Conn, address string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, waiting := w.mu.first[c]
	_, warned := w.mu.warned[c.Listener()]
	w.forgetLocked(c)
	if !waiting || warned {
		return
	}
	w.mu.warned[c.Listener()] = struct{}{}
	w.log.Warn("a client has not come to the address that it was told; if it cannot reach it, set another one in "+
		"advertised.listeners (KAFKA_ADVERTISED_LISTENERS), or the port that the host publishes in ONCE_PORT",
		"client", c.RemoteAddr().String(), "told", address)
}

// handler passes requests on, and notes clients that have come.
func (w *returnWatch) handler(next wire.Handler) wire.Handler {
	return func(ctx context.Context, r *wire.Request) wire.Reply {
		if w.waiting.Load() > 0 {
			w.asked(r)
		}
		return next(ctx, r)
	}
}

func (w *returnWatch) asked(r *wire.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, first := w.mu.first[r.Conn]
	if first && asksForBroker(r.Key) {
		return
	}
	host := hostOf(r.Conn)
	for c := range w.mu.first {
		if hostOf(c) != host {
			continue
		}
		w.forgetLocked(c)
		if len(w.mu.came) < maxReturnsWatched {
			w.mu.came[host] = struct{}{}
		}
	}
}

// asksForBroker says whether clients send this to any broker, to find the one that they want.
func asksForBroker(key int16) bool {
	switch kmsg.Key(key) {
	case kmsg.ApiVersions, kmsg.Metadata, kmsg.FindCoordinator, kmsg.DescribeCluster, kmsg.InitProducerID:
		return true
	}
	return false
}

// closed is called when a connection has ended.
func (w *returnWatch) closed(c *wire.Conn) {
	if w.waiting.Load() == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.forgetLocked(c)
}

func (w *returnWatch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.mu.first {
		w.forgetLocked(c)
	}
}

func (w *returnWatch) forgetLocked(c *wire.Conn) {
	if timer, ok := w.mu.first[c]; ok {
		timer.Stop()
		delete(w.mu.first, c)
		w.waiting.Store(int32(len(w.mu.first)))
	}
}

// hostOf is the zero Addr for what is not TCP.
func hostOf(c *wire.Conn) netip.Addr {
	if at, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		return at.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}
