package wire

import (
	"context"
	"net"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/internal/invariant"
)

// Conn is one client's connection. Its exported methods may be called from any goroutine.
//
// One goroutine, the reader, runs serve: it reads requests, handles them strictly in order and writes the
// answers itself, without a hand-over. Only while a pipelined or resumed answer waits does a second goroutine write
// (see pipeline). The order of answers is the order of requests in every case (spec: wire 5).
type Conn struct {
	id      int64 // immutable, as are all fields up to in
	srv     *Server
	nc      net.Conn
	via     net.Listener // nil in tests of one connection
	handler Handler
	ctx     context.Context // ends when the connection or the server does
	cancel  context.CancelFunc

	in       frameReader // reader goroutine only
	clientID string      // the last seen; reader goroutine only
	out      output      // see output
	pipe     pipeline

	// KeptBack is for the handlers: they did not give the records of the last Fetch, because of a quota.
	KeptBack atomic.Bool

	software atomic.Pointer[clientSoftware]
	mutedNs  atomic.Int64 // Unix time until which no request is looked at
	usedNs   atomic.Int64 // Unix time of the last request, or of the beginning
	excess   bool         // it is closed because there are too many; guarded by Server.mu
}

type clientSoftware struct{ name, version string }

// ID is the connection's accept number: it grows with every connection of the Server and is never used
// again.
func (c *Conn) ID() int64 { return c.id }

// RemoteAddr is the client's address.
func (c *Conn) RemoteAddr() net.Addr { return c.nc.RemoteAddr() }

// LocalAddr is the address that the client reached.
func (c *Conn) LocalAddr() net.Addr { return c.nc.LocalAddr() }

// Listener is the client's listener, as it was given to Serve.
func (c *Conn) Listener() net.Listener { return c.via }

// Close closes the connection. What is in flight is not answered.
func (c *Conn) Close() { _ = c.nc.Close() }

// SetClientSoftware stores the client's name and version in ApiVersions. It copies its arguments, which may point into
// a request.
func (c *Conn) SetClientSoftware(name, version string) {
	c.software.Store(&clientSoftware{strings.Clone(name), strings.Clone(version)})
}

// ClientSoftware returns the client's name and version, "" before its ApiVersions.
func (c *Conn) ClientSoftware() (name, version string) {
	if s := c.software.Load(); s != nil {
		return s.name, s.version
	}
	return "", ""
}

func newConn(s *Server, nc net.Conn, handle Handler, id int64) *Conn {
	c := &Conn{id: id, srv: s, nc: nc, handler: handle}
	c.usedNs.Store(time.Now().UnixNano())
	c.ctx, c.cancel = context.WithCancel(s.ctx)
	c.pipe.changed.L, c.pipe.more.L = &c.pipe.mu, &c.pipe.mu
	c.in = frameReader{
		conn: nc, limits: &s.limits, budget: &s.budget, metrics: s.metrics, done: c.ctx.Done(),
		parked: func() bool { return !c.pipe.idle() }, closing: s.draining.Load, max: s.limits.MaxFrameBytes,
		buf: make([]byte, s.limits.ReadBufferBytes), sinceFrame: -1,
	}
	c.out = output{conn: nc, limits: &s.limits, metrics: s.metrics}
	return c
}

// serve handles requests until the connection ends, and returns the reason. The caller closes the socket.
func (c *Conn) serve() closeReason {
	reason := c.requests()
	switch reason {
	case clientClosed, frameCut, readFailed, writeFailed, writeTimeout, serverShutdown:
		c.cancel() // nobody waits for the answers any more, or they must come now
	}
	c.pipe.waitIdle()
	c.pipe.end()
	c.cancel()
	c.out.flush()
	if c.out.failed != open {
		return c.out.failed // what the reader saw is only its consequence
	}
	return reason
}

func (c *Conn) requests() closeReason {
	for {
		c.pipe.waitRoom(&c.srv.limits)
		fr, reason := c.in.next(c.beforeWait)
		if reason == open && c.mutedNs.Load() > 0 {
			if reason = c.waitUnmuted(); reason != open {
				c.in.release(&fr)
			}
		}
		if reason == open {
			reason = c.handle(&fr)
		}
		if reason != open {
			return reason
		}
	}
}

// Mute keeps the connection's next requests from being handled for a time. Answers are still sent. A longer time that
// was given before stays.
func (c *Conn) Mute(by time.Duration) {
	until := time.Now().Add(by).UnixNano()
	for {
		now := c.mutedNs.Load()
		if now >= until || c.mutedNs.CompareAndSwap(now, until) {
			return
		}
	}
}

// waitUnmuted waits until the connection is not muted any more. One that is muted for longer than it may be idle is
// closed then, as in Kafka.
func (c *Conn) waitUnmuted() closeReason {
	began := time.Now()
	for {
		until := c.mutedNs.Load()
		left := time.Until(time.Unix(0, until))
		if left <= 0 {
			c.mutedNs.CompareAndSwap(until, 0)
			return open
		}
		if reason := c.beforeWait(); reason != open {
			return reason
		}
		allowed := c.srv.limits.IdleTimeout - time.Since(began)
		if allowed <= 0 {
			return idleTimeout
		}
		timer := time.NewTimer(min(left, allowed))
		select {
		case <-timer.C:
		case <-c.ctx.Done():
			timer.Stop()
			return serverShutdown
		}
	}
}

// beforeWait sends the collected answers, since nothing further is there to be handled.
func (c *Conn) beforeWait() closeReason {
	if !c.pipe.idle() {
		return open // the output is the pipeline's
	}
	return c.out.flush()
}

// breakOff ends all waits on the connection.
func (c *Conn) breakOff() {
	c.cancel()
	c.nc.Close()
}

// handle decodes one request, calls the handler, and answers or queues the answer. It owns the frame.
func (c *Conn) handle(fr *frame) closeReason {
	k, reason := c.decode(fr)
	if reason != open {
		c.in.release(fr)
		return reason
	}
	if k.api.Pipelined {
		reason = c.pipe.waitResumed()
	} else {
		reason = c.pipe.waitIdle() // the request must see the effects of every earlier one
	}
	if reason != open {
		c.in.release(&k.frame)
		return reason
	}
	reply, reason := c.execute(&k)
	switch {
	case reason != open:
	case reply.Close:
		reason = handlerClosed
	case reply.Resume != nil:
		k.resume, k.alone = reply.Resume, true
		c.enqueue(&k)
		return open
	case reply.Then != nil:
		k.then = reply.Then
		if k.api.Pipelined {
			c.enqueue(&k)
			return open
		}
		if reason = c.out.flush(); reason != open {
			c.breakOff() // Then still runs, to let go of what it holds
		}
		if k.resp, reason = c.await(&k); reason == open {
			return c.answer(&k)
		}
	case reply.Response != nil:
		k.resp = reply.Response
		if !c.pipe.idle() {
			c.enqueue(&k)
			return open
		}
		return c.answer(&k)
	}
	c.in.release(&k.frame)
	return reason
}

// execute calls the handler. A panic in it ends this connection only.
func (c *Conn) execute(k *call) (reply Reply, reason closeReason) {
	defer c.recovered(k, &reason)
	return c.handler(c.ctx, k.req), open
}

// resume is like execute, for Resume. After it the next request may be handled, unless the API is not pipelined.
func (c *Conn) resume(k *call) (reason closeReason) {
	defer c.recovered(k, &reason)
	reply := k.resume(c.ctx)
	if reply.Close {
		return handlerClosed
	}
	k.then, k.resp = reply.Then, reply.Response
	if k.api.Pipelined {
		c.pipe.resumed()
	}
	return open
}

// await is like execute, for Then.
func (c *Conn) await(k *call) (resp kmsg.Response, reason closeReason) {
	defer c.recovered(k, &reason)
	if resp = k.then(c.ctx); resp == nil {
		return nil, handlerClosed
	}
	return resp, open
}

// answer encodes the response and releases response and frame.
func (c *Conn) answer(k *call) (reason closeReason) {
	defer c.in.release(&k.frame)
	defer release(k.resp)
	collected := len(c.out.buf)
	defer func() {
		if reason == handlerPanic {
			c.dropAnswer(k.resp, collected)
		}
	}()
	defer c.recovered(k, &reason)
	version := k.req.Version
	if k.req.Body == nil {
		version = 0 // ApiVersions of an unserved version (spec: wire 3)
	}
	k.resp.SetVersion(version)
	reason = c.out.respond(k.resp, k.req.CorrelationID, k.tagged)
	k.api.duration.Observe(time.Since(k.start).Seconds())
	return reason
}

// dropAnswer removes half an answer, after a panic in its encoder.
func (c *Conn) dropAnswer(r kmsg.Response, collected int) {
	if _, ok := r.(Streamed); ok {
		c.out.failed = handlerPanic // some of it may have been sent
	} else if c.out.failed == open {
		c.out.buf = c.out.buf[:collected]
	}
}

// recovered is deferred around all calls of a handler's code. It does not recover from a broken invariant.
func (c *Conn) recovered(k *call, reason *closeReason) {
	p := recover()
	if p == nil {
		return
	}
	*reason = handlerPanic
	c.srv.metrics.panics.Inc()
	c.srv.log.Error("handler panicked", "api", k.api.name, "version", k.req.Version, "panic", p,
		"connection", c.id, "stack", string(debug.Stack()))
	if _, ok := p.(invariant.Broken); ok {
		panic(p)
	}
}
