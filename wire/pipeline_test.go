package wire

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/internal/kafkatest"
)

// gates holds each Produce back until the test lets its answer go, and notes the order of handling.
type gates struct {
	mu      sync.Mutex
	handled []string
	gate    []chan struct{}
}

func (g *gates) produce(_ context.Context, r *Request) Reply {
	g.mu.Lock()
	defer g.mu.Unlock()
	ch := make(chan struct{})
	g.gate = append(g.gate, ch)
	g.handled = append(g.handled, fmt.Sprintf("produce %d", r.CorrelationID))
	return Reply{Then: func(ctx context.Context) kmsg.Response {
		select {
		case <-ch:
		case <-ctx.Done():
		}
		return r.Body.ResponseKind()
	}}
}

func (g *gates) metadata(ctx context.Context, r *Request) Reply {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.handled = append(g.handled, fmt.Sprintf("metadata %d", r.CorrelationID))
	return echoMetadata(ctx, r)
}

func (g *gates) count() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.handled)
}

func (g *gates) open(i int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.gate[i])
}

func (g *gates) apis() []row {
	return []row{{Key: 0, Min: 3, Max: 13, Handle: g.produce, Pipelined: true},
		{Key: 3, Min: 0, Max: 13, Handle: g.metadata}}
}

// Five Produce and a Metadata in one segment: the Produces overlap their waits, the Metadata comes after
// all of them, and the six answers keep the order (spec: wire 5, scenario 6).
func TestPipelinedProducesAndMetadataAreAnsweredInOrder(t *testing.T) {
	g := new(gates)
	s := start(t, options{APIs: g.apis()}, 0)
	c := s.dial()
	p, m := produceRequest(9), metadataRequest(12, "orders")
	var b []byte
	for i := range int32(5) {
		b = kafkatest.AppendRequest(b, p, i, c.ClientID)
	}
	if _, err := c.Write(kafkatest.AppendRequest(b, m, 5, c.ClientID)); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		if n := g.count(); n != 5 {
			return fmt.Errorf("%d requests are handled while the first waits, want 5", n)
		}
		return nil
	})
	for _, i := range []int{4, 2, 0, 1, 3} { // the order of completion does not matter
		g.open(i)
	}
	for i := range int32(5) {
		if _, err := c.Receive(p, i); err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
	}
	if _, err := c.Receive(m, 5); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(g.handled, ","); got != "produce 0,produce 1,produce 2,produce 3,produce 4,metadata 5" {
		t.Errorf("handled %s", got)
	}
}

// A request that is not pipelined is not handled before every earlier answer has left.
func TestRequestSeesTheEffectsOfEarlierOnes(t *testing.T) {
	g := new(gates)
	s := start(t, options{APIs: g.apis()}, 0)
	c := s.dial()
	p, m := produceRequest(9), metadataRequest(12, "orders")
	b := kafkatest.AppendRequest(nil, p, 0, c.ClientID)
	if _, err := c.Write(kafkatest.AppendRequest(b, m, 1, c.ClientID)); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		if g.count() == 0 {
			return errors.New("nothing is handled")
		}
		return nil
	})
	other := s.dial() // while it is served, the first connection has time to do wrong
	for range 100 {
		if _, err := other.Request(metadataRequest(12, "x")); err != nil {
			t.Fatal(err)
		}
	}
	if n := g.count(); n != 101 {
		t.Fatalf("%d requests handled, want the Produce and 100 of the other connection", n)
	}
	g.open(0)
	if _, err := c.Receive(p, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Receive(m, 1); err != nil {
		t.Fatal(err)
	}
}

// B31: reading stops at the limit of requests, and of bytes; all is answered in order afterwards.
func TestReadAheadIsBounded(t *testing.T) {
	for _, tc := range []struct {
		name   string
		limits Limits
		bytes  int // of records in a request
		n      int // requests
		want   int
	}{
		{"requests", Limits{}, 100, 1000, 16},
		{"few requests", Limits{ReadAheadRequests: 3}, 100, 1000, 3},
		{"few bytes", Limits{ReadAheadBytes: 500}, 100, 1000, 4},
		{"a byte", Limits{ReadAheadBytes: 1}, 100, 1000, 1},
		{"bytes", Limits{}, 1 << 20, 40, 8},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := tc.n
			g := new(gates)
			s := start(t, options{APIs: g.apis(), Limits: tc.limits}, 0)
			c := s.dial()
			p := produceRequest(9)
			p.Topics[0].Partitions[0].Records = make([]byte, tc.bytes)
			sent := make(chan error, 1)
			go func() {
				b := make([]byte, 0, n*(tc.bytes+200))
				for i := range int32(n) {
					b = kafkatest.AppendRequest(b, p, i, c.ClientID)
				}
				_, err := c.Write(b)
				sent <- err
			}()
			eventually(t, func() error {
				if got := g.count(); got < tc.want {
					return fmt.Errorf("%d handled", got)
				}
				return nil
			})
			other := s.dial()
			for range 100 {
				mustMetadata(t, other)
			}
			if got := g.count() - 100; got != tc.want {
				t.Fatalf("%d requests handled, want %d", got, tc.want)
			}
			for i := range n {
				eventually(t, func() error {
					g.mu.Lock()
					defer g.mu.Unlock()
					if len(g.gate) <= i {
						return fmt.Errorf("request %d is not handled", i)
					}
					return nil
				})
				g.open(i)
				if _, err := c.Receive(p, int32(i)); err != nil {
					t.Fatal(err)
				}
			}
			if err := <-sent; err != nil {
				t.Error(err)
			}
		})
	}
}

// stalledConn is a client that sends everything and takes nothing until told to.
type stalledConn struct {
	scriptedConn
	writing chan struct{} // one for each Write that has begun
	taken   chan struct{} // closed when the client begins to read
}

func (c *stalledConn) Write(p []byte) (int, error) {
	c.writing <- struct{}{}
	<-c.taken
	return c.scriptedConn.Write(p)
}

// B31: 1,000 requests whose answers are never read: the server stops handling instead of keeping answers.
func TestUnreadAnswersStopTheReading(t *testing.T) {
	const n = 1000
	var handled atomic.Int64
	o := options{APIs: []row{{Key: 3, Min: 0, Max: 13, Handle: func(_ context.Context, r *Request) Reply {
		handled.Add(1)
		resp := r.Body.ResponseKind().(*kmsg.MetadataResponse)
		resp.ClusterID = kmsg.StringPtr(strings.Repeat("c", 30000))
		return Respond(resp)
	}}}}
	s := mustServer(t, o)
	nc := &stalledConn{writing: make(chan struct{}, n), taken: make(chan struct{})}
	r := metadataRequest(12)
	for i := range int32(n) {
		nc.data = kafkatest.AppendRequest(nc.data, r, i, nil)
	}
	done := make(chan closeReason, 1)
	go func() { done <- newConn(s, nc, o.handle, 1).serve() }()
	<-nc.writing // blocked in the first flush
	if got := handled.Load(); got > defaultFlushBytes/30000+1 {
		t.Errorf("%d requests were handled without one answer being read", got)
	}
	close(nc.taken)
	if reason := <-done; reason != clientClosed {
		t.Errorf("ended because of %v", reason)
	}
	answers := kafkatest.New(&scriptedConn{data: nc.out.Bytes()})
	for i := range int32(n) {
		if _, err := answers.Receive(r, i); err != nil {
			t.Fatal(err)
		}
	}
}

// Whatever mixture of waiting, ready, silent and unpipelined requests a client sends, and in whatever pieces they
// are read and answered, answers keep the order.
func TestAnyMixtureIsAnsweredInOrder(t *testing.T) {
	t.Run("defaults", func(t *testing.T) { answersMixtures(t, Limits{}, 500, 100_000) })
	for _, n := range pieceSizes {
		limits := piecesOf(n)
		limits.ReadAheadRequests, limits.ReadAheadBytes = n, 100*n
		t.Run(fmt.Sprint("pieces of ", n), func(t *testing.T) { answersMixtures(t, limits, 200, 1000*n) })
	}
}

// answersMixtures has four connections send requests with up to so many bytes of records.
func answersMixtures(t *testing.T, limits Limits, requests int32, maxRecordBytes int) {
	rnd := rand.New(rand.NewPCG(5, 6))
	var mu sync.Mutex
	produce := func(_ context.Context, r *Request) Reply {
		mu.Lock()
		kind, yields, resumes := rnd.IntN(3), rnd.IntN(50), rnd.IntN(3) == 0
		mu.Unlock()
		wait := func() {
			for range yields {
				runtime.Gosched()
			}
		}
		reply := Respond(r.Body.ResponseKind())
		switch req := r.Body.(*kmsg.ProduceRequest); {
		case req.Acks == 0:
			reply = Reply{}
		case kind > 0:
			reply = Reply{Then: func(context.Context) kmsg.Response {
				wait()
				return r.Body.ResponseKind()
			}}
		}
		if resumes {
			return Reply{Resume: func(context.Context) Reply {
				wait()
				return reply
			}}
		}
		return reply
	}
	apis := append(echoAPIs()[1:], row{Key: 0, Min: 3, Max: 13, Handle: produce, Pipelined: true})
	s := start(t, options{APIs: apis, Limits: limits}, 0)
	var wg sync.WaitGroup
	for conn := range uint64(4) {
		c := s.dial()
		wg.Go(func() { mixture(t, c, rand.New(rand.NewPCG(conn, 7)), requests, maxRecordBytes) })
	}
	wg.Wait()
}

// mixture sends random requests in random pieces and checks the answers.
func mixture(t *testing.T, c *kafkatest.Conn, rnd *rand.Rand, requests int32, maxRecordBytes int) {
	type expected struct {
		req kmsg.Request
		id  int32
	}
	var all []expected
	var b []byte
	for i := range requests {
		var r kmsg.Request = produceRequest(9)
		switch rnd.IntN(6) {
		case 0:
			r = metadataRequest(int16(rnd.IntN(14)), "orders")
		case 1:
			r.(*kmsg.ProduceRequest).Acks = 0
		case 2:
			r.(*kmsg.ProduceRequest).Topics[0].Partitions[0].Records = make([]byte, rnd.IntN(maxRecordBytes))
		}
		b = kafkatest.AppendRequest(b, r, i, c.ClientID)
		if p, ok := r.(*kmsg.ProduceRequest); !ok || p.Acks != 0 {
			all = append(all, expected{r, i})
		}
	}
	go func() {
		for len(b) > 0 {
			n := min(1+rnd.IntN(5000), len(b))
			if _, err := c.Write(b[:n]); err != nil {
				return
			}
			b = b[n:]
		}
	}()
	for _, e := range all {
		if _, err := c.Receive(e.req, e.id); err != nil {
			t.Errorf("request %d: %v", e.id, err)
			c.Close()
			return
		}
	}
}

// resumptions has each Produce wait in Resume until the test lets it go, and notes what is handled and carried out.
type resumptions struct {
	gates
	resumed func(r *Request) Reply // what Resume returns
}

func (g *resumptions) produce(_ context.Context, r *Request) Reply {
	g.mu.Lock()
	defer g.mu.Unlock()
	id := r.CorrelationID
	ch := make(chan struct{})
	g.gate = append(g.gate, ch)
	g.handled = append(g.handled, fmt.Sprintf("produce %d", id))
	return Reply{Resume: func(ctx context.Context) Reply {
		select {
		case <-ch:
		case <-ctx.Done():
		}
		g.mu.Lock()
		g.handled = append(g.handled, fmt.Sprintf("resumed %d", id))
		g.mu.Unlock()
		return g.resumed(r)
	}}
}

func (g *resumptions) apis() []row {
	return []row{{Key: 0, Min: 3, Max: 13, Handle: g.produce, Pipelined: true},
		{Key: 3, Min: 0, Max: 13, Handle: g.metadata}}
}

// The next request of a connection is handled when the one before it has been carried out, although not when it has
// been answered; and when each is answered, in order.
func TestRequestsAreHandledAfterTheResumedOne(t *testing.T) {
	answer := make(chan struct{})
	g := &resumptions{resumed: func(r *Request) Reply {
		return Reply{Then: func(context.Context) kmsg.Response { <-answer; return r.Body.ResponseKind() }}
	}}
	s := start(t, options{APIs: g.apis()}, 0)
	c := s.dial()
	p, m := produceRequest(9), metadataRequest(12, "orders")
	b := kafkatest.AppendRequest(nil, p, 0, c.ClientID)
	b = kafkatest.AppendRequest(b, p, 1, c.ClientID)
	if _, err := c.Write(kafkatest.AppendRequest(b, m, 2, c.ClientID)); err != nil {
		t.Fatal(err)
	}
	handled := func(want string) {
		t.Helper()
		eventually(t, func() error {
			g.mu.Lock()
			defer g.mu.Unlock()
			if got := strings.Join(g.handled, ","); got != want {
				return fmt.Errorf("handled %s, want %s", got, want)
			}
			return nil
		})
	}
	handled("produce 0")
	g.open(0)
	handled("produce 0,resumed 0,produce 1")
	g.open(1)
	close(answer)
	for i, r := range []kmsg.Request{p, p, m} {
		if _, err := c.Receive(r, int32(i)); err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
	}
	handled("produce 0,resumed 0,produce 1,resumed 1,metadata 2")
}

// A client that goes away ends the wait of a Resume. What it had sent behind is not handled when Resume closes the
// connection.
func TestDisconnectEndsTheContextOfResume(t *testing.T) {
	for _, follower := range []bool{false, true} {
		t.Run(fmt.Sprint("another request: ", follower), func(t *testing.T) {
			g := &resumptions{resumed: func(*Request) Reply { return Reply{Close: true} }}
			s := start(t, options{APIs: g.apis()}, 0)
			c := s.dial()
			b := kafkatest.AppendRequest(nil, produceRequest(9), 0, c.ClientID)
			if follower {
				b = kafkatest.AppendRequest(b, produceRequest(9), 1, c.ClientID)
			}
			if _, err := c.Write(b); err != nil {
				t.Fatal(err)
			}
			eventually(t, func() error {
				if g.count() == 0 {
					return errors.New("not handled")
				}
				return nil
			})
			if follower { // the reader waits with it in its hands, and hears nothing of the client
				g.open(0)
			} else {
				c.Close()
			}
			eventually(t, func() error {
				if metricValue(s.metrics.connections) != 0 {
					return errors.New("not closed")
				}
				return nil
			})
			if got := strings.Join(g.handled, ","); got != "produce 0,resumed 0" {
				t.Errorf("handled %s", got)
			}
		})
	}
}

// A client that goes away wakes what waits for it.
func TestDisconnectEndsTheContextOfPipelinedRequests(t *testing.T) {
	ended := make(chan struct{})
	apis := []row{{Key: 0, Min: 3, Max: 13, Pipelined: true, Handle: func(_ context.Context, r *Request) Reply {
		return Reply{Then: func(ctx context.Context) kmsg.Response {
			<-ctx.Done()
			close(ended)
			return nil
		}}
	}}}
	s := start(t, options{APIs: apis}, 0)
	c := s.dial()
	if _, err := c.Send(produceRequest(9)); err != nil {
		t.Fatal(err)
	}
	c.Close()
	<-ended
	// A Then that returns nothing closes the connection; the first reason that is known counts.
	eventually(t, func() error {
		if metricValue(s.metrics.closed[handlerClosed])+metricValue(s.metrics.closed[clientClosed]) != 1 {
			return errors.New("not closed")
		}
		return nil
	})
}

// Requests longer than the pooled buffers arrive whole, and their budget is given back.
func TestLargeFramesArriveWhole(t *testing.T) {
	var sum atomic.Uint64
	apis := []row{{Key: 0, Min: 3, Max: 13, Handle: func(_ context.Context, r *Request) Reply {
		for _, b := range r.Body.(*kmsg.ProduceRequest).Topics[0].Partitions[0].Records {
			sum.Add(uint64(b))
		}
		return Respond(r.Body.ResponseKind())
	}}}
	s := start(t, options{APIs: apis, Limits: Limits{MaxRequestBytesInFlight: 8 << 20}}, 0)
	c := s.dial()
	for _, n := range []int{1, 2000, 4095, 4096, 5000, 65_000, 66_000, 300_000, 1 << 20, 20 << 20} {
		r := produceRequest(9)
		records := make([]byte, n)
		var want uint64
		for i := range records {
			records[i] = byte(i * 7)
			want += uint64(records[i])
		}
		r.Topics[0].Partitions[0].Records = records
		sum.Store(0)
		if _, err := c.Request(r); err != nil {
			t.Fatalf("%d bytes: %v", n, err)
		}
		if sum.Load() != want {
			t.Errorf("%d bytes arrived changed", n)
		}
	}
}

// B3, H9: what is received is bounded over all connections; a request beyond the bound stays in its
// socket, and the small requests of others are served.
func TestRequestBytesInFlightAreBounded(t *testing.T) {
	const budget = 1 << 20
	s := start(t, options{APIs: echoAPIs(), Limits: Limits{MaxRequestBytesInFlight: budget}}, 0)
	head := binary.BigEndian.AppendUint32(nil, 50<<20)
	for range 8 {
		c := s.dial()
		go c.Write(append(head, make([]byte, 400<<10)...))
	}
	waiting := func() int {
		s.budget.mu.Lock()
		defer s.budget.mu.Unlock()
		return len(s.budget.mu.waiters)
	}
	other := s.dial()
	eventually(t, func() error {
		mustMetadata(t, other)
		if n := waiting(); n < 7 { // one may hold the budget
			return fmt.Errorf("%d requests wait", n)
		}
		return nil
	})
	if n := s.budget.inUse(); n > budget {
		t.Errorf("%d bytes in use", n)
	}
	mustMetadata(t, other) // and Shutdown wakes the others
}
