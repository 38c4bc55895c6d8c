package wire

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/internal/kafkatest"
)

// FuzzWalker holds the walker against kmsg: what it accepts, kmsg decodes without error and within the
// budget, and what kmsg makes of it the walker accepts again.
func FuzzWalker(f *testing.F) {
	rnd := rand.New(rand.NewPCG(8, 9))
	for key, s := range schemas() {
		if err := s.load(); err != nil {
			f.Fatal(err)
		}
		for _, v := range []int16{s.min, min(s.max, kmsg.RequestForKey(key).MaxVersion())} {
			f.Add(key, v, randomRequest(rnd, key, v, 2).AppendTo(nil))
		}
	}
	f.Add(int16(3), int16(12), []byte{1, 1, 0, 2, 5, 0, 6, 1, 9})
	f.Add(int16(1), int16(15), []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 14, 0,
		0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 5, 0})
	f.Fuzz(func(t *testing.T, key, version int16, body []byte) {
		s := schemas()[key]
		if s == nil || s.load() != nil || version < s.min || version > min(s.max, kmsg.RequestForKey(key).MaxVersion()) {
			return
		}
		p := s.plan(version)
		body = slices.Clone(body)
		n, err := check(p, body, len(body))
		if err != nil {
			return
		}
		checkAllocation(t, key, version, p, slices.Clone(body[:n]))
		req := kmsg.RequestForKey(key)
		req.SetVersion(version)
		if err := req.ReadFrom(body[:n]); err != nil {
			t.Fatalf("kmsg: %v", err)
		}
		again := req.AppendTo(nil)
		if m, err := check(p, again, 1<<20); err != nil || m == 0 && n > 0 {
			t.Fatalf("encoded again: %d of %d bytes, %v", m, len(again), err)
		}
	})
}

// scriptedConn is a net.Conn whose client sends data in pieces of the given sizes, closes, and keeps what
// it is answered.
type scriptedConn struct {
	data   []byte
	pieces []byte
	sent   int
	out    bytes.Buffer
	closed bool
}

func (c *scriptedConn) Read(p []byte) (int, error) {
	if len(c.data) == 0 || c.closed {
		return 0, io.EOF
	}
	n := len(c.data)
	if len(c.pieces) > 0 {
		n = 1 + int(c.pieces[c.sent%len(c.pieces)])
		c.sent++
	}
	n = copy(p, c.data[:min(n, len(c.data))])
	c.data = c.data[n:]
	return n, nil
}

func (c *scriptedConn) Write(p []byte) (int, error)      { return c.out.Write(p) }
func (c *scriptedConn) Close() error                     { c.closed = true; return nil }
func (c *scriptedConn) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c *scriptedConn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c *scriptedConn) SetDeadline(time.Time) error      { return nil }
func (c *scriptedConn) SetReadDeadline(time.Time) error  { return nil }
func (c *scriptedConn) SetWriteDeadline(time.Time) error { return nil }

// FuzzConnection sends arbitrary bytes in arbitrary pieces to servers that read and write in pieces of any size:
// the requests handled are those that cutting the whole stream at once gives, the answers are theirs in order,
// and nothing panics.
func FuzzConnection(f *testing.F) {
	id := kmsg.StringPtr("fuzz")
	good := kafkatest.AppendRequest(nil, metadataRequest(12, "orders"), 1, id)
	good = kafkatest.AppendRequest(good, produceRequest(9), 2, id)
	good = kafkatest.AppendRequest(good, metadataRequest(1, "a", "b"), 3, id)
	f.Add(good, []byte{})
	f.Add(good, []byte{0})
	f.Add(good, []byte{2, 7, 100})
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), []byte{3})
	f.Add([]byte{0, 0, 0, 0}, []byte{})
	f.Add(append(slices.Clone(good), 0, 0, 0, 9, 0, 18, 0, 99, 0, 0, 0, 7, 0xff), []byte{5})

	var handled []int32
	apis := echoAPIs()
	for i := range apis {
		h := apis[i].Handle
		apis[i].Handle = func(ctx context.Context, r *Request) Reply {
			handled = append(handled, r.CorrelationID)
			reply := h(ctx, r)
			if apis[i].Pipelined && r.CorrelationID%2 == 0 {
				return Reply{Then: func(context.Context) kmsg.Response { return reply.Response }}
			}
			if r.CorrelationID%4 == 3 {
				return Reply{Resume: func(context.Context) Reply { return reply }}
			}
			return reply
		}
	}
	servers := []*Server{mustServer(f, options{APIs: apis, Logger: slog.New(slog.DiscardHandler)})}
	for _, n := range pieceSizes {
		limits := piecesOf(n)
		limits.ReadAheadRequests, limits.ReadAheadBytes, limits.MaxRequestBytesInFlight = n, n, int64(n)
		servers = append(servers, mustServer(f, options{APIs: apis, Limits: limits,
			Logger: slog.New(slog.DiscardHandler)}))
	}
	f.Fuzz(func(t *testing.T, data, pieces []byte) {
		run := func(s *Server, pieces []byte) ([]int32, []byte) {
			handled = nil
			nc := &scriptedConn{data: slices.Clone(data), pieces: pieces}
			c := newConn(s, nc, options{APIs: apis}.handle, 1)
			if reason := c.serve(); reason == open || reason == badDecode {
				t.Fatalf("ended because of %v", reason)
			}
			if metricValue(s.metrics.panics) != 0 {
				t.Fatal("a handler panicked")
			}
			return handled, nc.out.Bytes()
		}
		whole, answers := run(servers[0], nil)
		for _, s := range servers {
			if got, out := run(s, pieces); !slices.Equal(got, whole) || !bytes.Equal(out, answers) {
				t.Fatalf("in pieces of %d %v, whole %v", s.limits.FlushBytes, got, whole)
			}
		}
		for _, id := range whole {
			if len(answers) < 8 {
				t.Fatalf("no answer to %d", id)
			}
			n := int(binary.BigEndian.Uint32(answers))
			if got := int32(binary.BigEndian.Uint32(answers[4:])); got != id || len(answers) < 4+n {
				t.Fatalf("answer to %d where %d should be", got, id)
			}
			answers = answers[4+n:]
		}
		if len(answers) > 0 {
			t.Fatalf("%d bytes behind the last answer", len(answers))
		}
	})
}
