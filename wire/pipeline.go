package wire

import (
	"context"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// call is one request and the state of its answer.
type call struct {
	req    *Request
	api    *servedAPI
	frame  frame
	start  time.Time
	tagged bool                            // the answer's header has a tag buffer
	resume func(ctx context.Context) Reply // waits and carries the request out; sets then, resp, or neither
	then   func(ctx context.Context) kmsg.Response
	resp   kmsg.Response // when then and resume are nil; nil for none
	alone  bool          // no later request may be handled yet
}

// pipeline holds the waiting answers of a connection while later requests are handled, or only read. Its goroutine
// starts with the first of them and owns the connection's output while there are any; so the reader may use the output
// whenever the pipeline is idle.
type pipeline struct {
	mu struct {
		sync.Mutex
		queue     []call // the first is being answered
		sizeBytes int
		failed    closeReason // open, or why the connection ends: no request is handled any more
		running   bool        // the goroutine exists
		ended     bool        // it shall end when the queue is empty
	}
	changed sync.Cond // for the reader
	more    sync.Cond // for the goroutine
}

// idle says whether no answer waits.
func (p *pipeline) idle() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.mu.queue) == 0
}

// waitIdle returns when every answer has been written, or with the reason why it cannot be.
func (p *pipeline) waitIdle() closeReason {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.mu.queue) > 0 {
		p.changed.Wait()
	}
	return p.mu.failed
}

// waitResumed returns when no earlier request waits in Resume, so that one of a pipelined API may be handled, or with
// the reason why none is handled any more.
func (p *pipeline) waitResumed() closeReason {
	p.mu.Lock()
	defer p.mu.Unlock()
	for n := len(p.mu.queue); n > 0 && p.mu.queue[n-1].alone; n = len(p.mu.queue) {
		p.changed.Wait()
	}
	return p.mu.failed
}

// resumed notes that the first call, which was alone, has been carried out.
func (p *pipeline) resumed() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.queue[0].alone = false
	p.changed.Broadcast()
}

// waitRoom returns when a further request may be read (B31).
func (p *pipeline) waitRoom(l *Limits) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.mu.queue) >= l.ReadAheadRequests || p.mu.sizeBytes >= l.ReadAheadBytes && len(p.mu.queue) > 0 {
		p.changed.Wait()
	}
}

// add queues a call and says whether it is the first ever, so that the goroutine must be started.
func (p *pipeline) add(k *call) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.queue = append(p.mu.queue, *k)
	p.mu.sizeBytes += k.req.SizeBytes
	first := !p.mu.running
	p.mu.running = true
	p.more.Signal()
	return first
}

// end ends the goroutine. No call is added any more.
func (p *pipeline) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.ended = true
	p.more.Signal()
}

// first waits for a call; false after end.
func (p *pipeline) first() (call, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.mu.queue) == 0 {
		if p.mu.ended {
			return call{}, false
		}
		p.more.Wait()
	}
	return p.mu.queue[0], true
}

// nextReady says whether the call after the first one is ready.
func (p *pipeline) nextReady() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.mu.queue) > 1 && p.mu.queue[1].then == nil && p.mu.queue[1].resume == nil
}

// remove removes the first call. failed is open, or the reason why the connection ends.
func (p *pipeline) remove(failed closeReason) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.failed = failed
	p.mu.sizeBytes -= p.mu.queue[0].req.SizeBytes
	n := copy(p.mu.queue, p.mu.queue[1:])
	p.mu.queue[n] = call{}
	p.mu.queue = p.mu.queue[:n]
	p.changed.Broadcast()
}

// enqueue queues an answer. The answers collected by the reader are sent before.
func (c *Conn) enqueue(k *call) {
	if c.pipe.idle() {
		if c.out.flush() != open {
			c.breakOff()
		}
	}
	if c.pipe.add(k) {
		c.srv.wg.Add(1)
		go c.answerPipeline()
	}
}

// answerPipeline answers the queued calls in order until the connection ends. After a failure it still runs every
// Resume and Then, with an ended ctx, so that handlers can release their resources.
func (c *Conn) answerPipeline() {
	defer c.srv.wg.Done()
	for {
		k, ok := c.pipe.first()
		if !ok {
			return
		}
		reason := open
		if k.resume != nil {
			reason = c.resume(&k)
		}
		if reason == open && k.then != nil {
			k.resp, reason = c.await(&k)
		}
		if reason == open && k.resp != nil {
			reason = c.answer(&k)
		} else {
			c.in.release(&k.frame)
		}
		if reason != open && c.out.failed == open {
			c.out.flush()
			c.out.failed = reason
		}
		if !c.pipe.nextReady() {
			c.out.flush()
		}
		if c.out.failed != open {
			c.breakOff()
		}
		c.pipe.remove(c.out.failed)
	}
}
