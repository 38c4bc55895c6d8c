package wire

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/internal/invariant"
	"once/internal/kafkatest"
)

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func mustServer(t testing.TB, o options) *Server {
	t.Helper()
	s, err := newServer(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestEveryVersionIsAnsweredInItsOwnLayout(t *testing.T) {
	s := start(t, options{APIs: echoAPIs()}, 0)
	c := s.dial()
	for v := int16(0); v <= 13; v++ {
		resp, err := c.Request(metadataRequest(v, "orders"))
		if err != nil {
			t.Fatalf("version %d: %v", v, err)
		}
		if m := resp.(*kmsg.MetadataResponse); len(m.Topics) != 1 || *m.Topics[0].Topic != "orders" || m.Version != v {
			t.Errorf("version %d: %+v", v, m)
		}
	}
	for v := int16(0); v <= 4; v++ {
		r := kmsg.NewPtrApiVersionsRequest()
		r.SetVersion(v)
		r.ClientSoftwareName, r.ClientSoftwareVersion = "kafkatest", "1"
		resp, err := c.Request(r)
		if err != nil {
			t.Fatalf("version %d: %v", v, err)
		}
		keys := resp.(*kmsg.ApiVersionsResponse).ApiKeys
		if len(keys) != 4 || keys[0].ApiKey != 0 || keys[0].MinVersion != 0 || keys[0].MaxVersion != 13 {
			t.Errorf("version %d: %+v", v, keys)
		}
	}
}

func TestNullClientIDInFlexibleHeader(t *testing.T) {
	s := start(t, options{APIs: echoAPIs()}, 0)
	c := s.dial()
	c.ClientID = nil
	mustMetadata(t, c)
}

// An ApiVersions version that is not served gets an answer in the layout of version 0, whatever its body
// holds, and the connection stays open (spec: wire 3).
func TestUnservedApiVersionsIsAnsweredInVersion0(t *testing.T) {
	s := start(t, options{APIs: echoAPIs()}, 0)
	c := s.dial()
	for _, v := range []int16{5, 99, 32767, -1} {
		payload := kafkatest.AppendHeader(nil, 18, v, 7, c.ClientID, v > 0)
		if err := c.SendFrame(append(payload, 0xff, 0xff, 0xff)); err != nil {
			t.Fatal(err)
		}
		frame, err := c.ReceiveFrame()
		if err != nil {
			t.Fatalf("version %d: %v", v, err)
		}
		v0 := kmsg.NewPtrApiVersionsRequest()
		resp, err := kafkatest.DecodeResponse(v0, 7, frame)
		if err != nil {
			t.Fatalf("version %d: %v", v, err)
		}
		a := resp.(*kmsg.ApiVersionsResponse)
		if a.ErrorCode != 35 || len(a.ApiKeys) != 1 || a.ApiKeys[0].ApiKey != 18 || a.ApiKeys[0].MaxVersion != 4 {
			t.Errorf("version %d: %+v", v, a)
		}
	}
	mustMetadata(t, c)
}

func TestProduceBelowItsLowestVersionCloses(t *testing.T) {
	s := start(t, options{APIs: echoAPIs()}, 0)
	for range 3 {
		c := s.dial()
		if err := c.SendFrame(kafkatest.AppendHeader(nil, 0, 2, 1, kmsg.StringPtr("old\nclient"), false)); err != nil {
			t.Fatal(err)
		}
		if err := c.WaitClosed(); err != nil {
			t.Error(err)
		}
	}
	s.wantClosed(badVersion, 3)
	if n := strings.Count(s.logs.String(), "level=WARN"); n != 1 {
		t.Errorf("logged %d times, want once for a client ID, key and version:\n%s", n, s.logs)
	}
	if !strings.Contains(s.logs.String(), "key=0 version=2") {
		t.Errorf("log lacks key and version:\n%s", s.logs)
	}
}

// B1-B5: what is no request closes its own connection, without an answer, and no other.
func TestNoiseClosesTheConnectionWithoutAnswer(t *testing.T) {
	size := func(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }
	id := kmsg.StringPtr("x")
	for _, tc := range []struct {
		name   string
		bytes  []byte
		reason closeReason
	}{
		{"B1 negative length", size(0xffffffff), badFrameLength},
		{"B1 length over the limit", size(104857601), badFrameLength},
		{"B1 greatest length", size(0x7fffffff), badFrameLength},
		{"B2 length zero", size(0), badHeader},
		{"B2 shorter than a header", framed(make([]byte, 7)), badHeader},
		{"B2 client ID beyond the frame", framed([]byte{0, 3, 0, 0, 0, 0, 0, 1, 0, 9, 'a'}), badHeader},
		{"B2 client ID with length -2, which is null, and no body", framed([]byte{0, 3, 0, 0, 0, 0, 0, 1, 0xff, 0xfe}),
			badBody},
		{"B4 HTTP", []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), badFrameLength},
		{"B4 TLS", []byte{0x16, 3, 1, 0, 0xa5, 1, 0, 0}, badFrameLength},
		{"B4 SSH", []byte("SSH-2.0-OpenSSH_9.6\r\n"), badFrameLength},
		{"B5 unknown key", framed(kafkatest.AppendHeader(nil, 99, 0, 1, id, false)), unknownKey},
		{"B5 last key of the table", framed(kafkatest.AppendHeader(nil, maxKey, 0, 1, id, false)), unknownKey},
		{"B5 first key beyond the table", framed(kafkatest.AppendHeader(nil, maxKey+1, 0, 1, id, false)), unknownKey},
		{"B5 key beyond the table", framed(kafkatest.AppendHeader(nil, 3000, 0, 1, id, false)), unknownKey},
		{"B5 negative key", framed(kafkatest.AppendHeader(nil, -1, 0, 1, id, false)), unknownKey},
		{"B5 key not served", framed(kafkatest.AppendHeader(nil, 4, 0, 1, id, false)), unknownKey},
		{"B5 version too high", framed(kafkatest.AppendHeader(nil, 3, 14, 1, id, true)), badVersion},
		{"B5 negative version", framed(kafkatest.AppendHeader(nil, 3, -1, 1, id, false)), badVersion},
		{"B8 tags in the header", framed(appendTags(kafkatest.AppendHeader(nil, 3, 12, 1, id, false), 1001)), badHeader},
		{"B9 duplicate tag in the header", framed(append(kafkatest.AppendHeader(nil, 3, 12, 1, id, false), 2, 1, 0, 1, 0)),
			badHeader},
		{"B3 cut within a frame", size(100), frameCut},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := start(t, options{APIs: echoAPIs()}, 0)
			other, c := s.dial(), s.dial()
			mustMetadata(t, other)
			if _, err := c.Write(tc.bytes); err != nil {
				t.Fatal(err)
			}
			if tc.reason == frameCut {
				c.Conn.(*net.TCPConn).CloseWrite()
			}
			if err := c.WaitClosed(); err != nil {
				t.Error(err)
			}
			s.wantClosed(tc.reason, 1)
			mustMetadata(t, other)
		})
	}
}

// appendTags appends a tag buffer of n empty fields.
func appendTags(b []byte, n int) []byte {
	b = binary.AppendUvarint(b, uint64(n))
	for i := range n {
		b = binary.AppendUvarint(b, uint64(i))
		b = append(b, 0)
	}
	return b
}

func TestManyTagsInTheHeaderAreSkipped(t *testing.T) {
	s := start(t, options{APIs: echoAPIs()}, 0)
	c := s.dial()
	r := metadataRequest(12, "orders")
	payload := appendTags(kafkatest.AppendHeader(nil, 3, 12, 5, c.ClientID, false), 1000)
	if err := c.SendFrame(r.AppendTo(payload)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Receive(r, 5); err != nil {
		t.Fatal(err)
	}
}

func TestAnswersPrecedeTheCloseForABadRequest(t *testing.T) {
	s := start(t, options{APIs: echoAPIs()}, 0)
	c := s.dial()
	r := metadataRequest(12, "orders")
	b := kafkatest.AppendRequest(nil, r, 1, c.ClientID)
	b = kafkatest.AppendRequest(b, r, 2, c.ClientID)
	bad := kafkatest.AppendHeader(nil, 3, 12, 3, c.ClientID, true)
	b = binary.BigEndian.AppendUint32(b, uint32(len(bad)))
	if _, err := c.Write(append(b, bad...)); err != nil {
		t.Fatal(err)
	}
	for id := int32(1); id <= 2; id++ {
		if _, err := c.Receive(r, id); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.WaitClosed(); err != nil {
		t.Error(err)
	}
	s.wantClosed(badBody, 1)
}

// B10: bytes after the body are ignored, as Kafka does.
func TestTrailingBytesAreIgnored(t *testing.T) {
	s := start(t, options{APIs: echoAPIs()}, 0)
	c := s.dial()
	r := metadataRequest(12, "orders")
	payload := append(kafkatest.AppendRequest(nil, r, 5, c.ClientID)[4:], 1, 2, 3)
	if err := c.SendFrame(payload); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Receive(r, 5); err != nil {
		t.Fatal(err)
	}
	mustMetadata(t, c)
}

// B3: a partial frame is closed after the frame timeout, an idle connection after the idle timeout, and a
// connection that awaits an answer is not idle.
func TestTimeouts(t *testing.T) {
	t.Parallel() // it waits
	const short = 250 * time.Millisecond
	hold := make(chan struct{})
	apis := append(echoAPIs()[1:], row{Key: 0, Min: 3, Max: 13, Pipelined: true,
		Handle: func(_ context.Context, r *Request) Reply {
			return Reply{Then: func(context.Context) kmsg.Response { <-hold; return r.Body.ResponseKind() }}
		}})
	t.Run("partial frame", func(t *testing.T) {
		s := start(t, options{APIs: apis, Limits: Limits{FrameTimeout: short}}, 0)
		for _, b := range [][]byte{{0}, {0, 0, 0, 50}, {0, 0, 0, 50, 0, 3}, {0, 1, 0, 0, 0, 3}} {
			c := s.dial()
			if _, err := c.Write(b); err != nil {
				t.Fatal(err)
			}
			if err := c.WaitClosed(); err != nil {
				t.Error(err)
			}
		}
		s.wantClosed(frameTimeout, 4)
	})
	t.Run("idle", func(t *testing.T) {
		s := start(t, options{APIs: apis, Limits: Limits{IdleTimeout: short}}, 0)
		c := s.dial()
		mustMetadata(t, c)
		if err := c.WaitClosed(); err != nil {
			t.Error(err)
		}
		s.wantClosed(idleTimeout, 1)
	})
	t.Run("parked", func(t *testing.T) {
		s := start(t, options{APIs: apis, Limits: Limits{IdleTimeout: short}}, 0)
		parked, idle := s.dial(), s.dial()
		r := produceRequest(9)
		id, err := parked.Send(r)
		if err != nil {
			t.Fatal(err)
		}
		// Two idle connections, one after the other, have been closed: the parked one has seen its deadline.
		for _, c := range []*kafkatest.Conn{idle, s.dial()} {
			if err := c.WaitClosed(); err != nil {
				t.Error(err)
			}
		}
		close(hold)
		if _, err := parked.Receive(r, id); err != nil {
			t.Error(err)
		}
		mustMetadata(t, parked)
	})
}

// A client that does not take its answers is closed after the write timeout.
func TestClientThatDoesNotReadIsClosed(t *testing.T) {
	t.Parallel() // it waits
	s := start(t, options{APIs: echoAPIs(), Limits: Limits{WriteTimeout: 50 * time.Millisecond}}, 0)
	c := s.dial()
	b := kafkatest.AppendRequest(nil, metadataRequest(12, strings.Repeat("t", 249)), 1, c.ClientID)
	for err := error(nil); err == nil; {
		_, err = c.Write(b) // until the server has closed
	}
	s.wantClosed(writeTimeout, 1)
}

func TestHandlerPanicClosesOneConnection(t *testing.T) {
	boom := func(context.Context, *Request) Reply { panic("boom") }
	then := func(context.Context, *Request) Reply {
		return Reply{Then: func(context.Context) kmsg.Response { panic("boom") }}
	}
	encode := func(_ context.Context, r *Request) Reply {
		return Respond(&panickingResponse{Response: r.Body.ResponseKind()})
	}
	for name, h := range map[string]func(context.Context, *Request) Reply{"handle": boom, "then": then, "encode": encode} {
		for _, pipelined := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s pipelined=%v", name, pipelined), func(t *testing.T) {
				apis := append(echoAPIs(), row{Key: 12, Min: 0, Max: 4, Handle: h, Pipelined: pipelined})
				s := start(t, options{APIs: apis}, 1)
				c, other := s.dial(), s.dial()
				r := metadataRequest(12, "orders")
				b := kafkatest.AppendRequest(nil, r, 1, c.ClientID)
				b = kafkatest.AppendRequest(b, kmsg.NewPtrHeartbeatRequest(), 2, c.ClientID)
				if _, err := c.Write(b); err != nil {
					t.Fatal(err)
				}
				if _, err := c.Receive(r, 1); err != nil {
					t.Errorf("the answer before the panic: %v", err)
				}
				if err := c.WaitClosed(); err != nil {
					t.Error(err)
				}
				s.wantClosed(handlerPanic, 1)
				mustMetadata(t, other)
			})
		}
	}
}

type panickingResponse struct{ kmsg.Response }

func (*panickingResponse) AppendTo([]byte) []byte { panic("boom") }

func TestHandlerCanCloseOrStaySilent(t *testing.T) {
	reply := make(chan Reply, 1)
	apis := append(echoAPIs(), row{Key: 12, Min: 0, Max: 4,
		Handle: func(context.Context, *Request) Reply { return <-reply }})
	s := start(t, options{APIs: apis}, 0)
	c := s.dial()
	reply <- Reply{}
	if _, err := c.Send(kmsg.NewPtrHeartbeatRequest()); err != nil {
		t.Fatal(err)
	}
	mustMetadata(t, c) // the next answer is this one's
	reply <- Reply{Close: true}
	if _, err := c.Send(kmsg.NewPtrHeartbeatRequest()); err != nil {
		t.Fatal(err)
	}
	if err := c.WaitClosed(); err != nil {
		t.Error(err)
	}
	s.wantClosed(handlerClosed, 1)
}

func TestConnectionLimits(t *testing.T) {
	t.Run("per address", func(t *testing.T) {
		s := start(t, options{APIs: echoAPIs(), Limits: Limits{MaxConnectionsPerIP: 2}}, 0)
		a, b := s.dial(), s.dial()
		mustMetadata(t, a)
		mustMetadata(t, b)
		if err := s.dial().WaitClosed(); err != nil {
			t.Error(err)
		}
		s.wantClosed(tooManyPerIP, 1)
		a.Close()
		s.wantClosed(clientClosed, 1)
		mustMetadata(t, s.dial())
	})
	t.Run("in all", func(t *testing.T) {
		s := start(t, options{APIs: echoAPIs(), Limits: Limits{MaxConnections: 1}}, 0)
		a, b := s.dial(), s.dial() // b waits in the backlog
		mustMetadata(t, a)
		r := metadataRequest(12, "orders")
		id, err := b.Send(r)
		if err != nil {
			t.Fatal(err)
		}
		if n := metricValue(s.metrics.connections); n != 1 {
			t.Errorf("%v connections", n)
		}
		a.Close()
		if _, err := b.Receive(r, id); err != nil {
			t.Error(err)
		}
	})
}

func TestNewServerReportsEveryFault(t *testing.T) {
	h := empty
	_, err := newServer(options{Limits: Limits{IdleTimeout: -1}, APIs: []row{
		{Key: 4, Min: 0, Max: 0, Handle: h},
		{Key: 3, Min: 2, Max: 1, Handle: h},
		{Key: 0, Min: 0, Max: 13, Handle: h},
		{Key: 18, Min: 0, Max: 4, Handle: h},
		{Key: 18, Min: 0, Max: 4, Handle: h},
	}})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"IdleTimeout", "API 4 has no schema", "bad version range 2-1",
		"not within the schema's 3-13",
		"ApiVersions stands twice"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not reported in: %v", want, err)
		}
	}
}

// A net.Pipe has no buffer and no file descriptor: everything must work without them.
func TestServesAPipe(t *testing.T) {
	o := options{APIs: echoAPIs()}
	s := mustServer(t, o)
	l := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l, o.handle) }()
	client, server := net.Pipe()
	l.conns <- server
	c := kafkatest.New(client)
	mustMetadata(t, c)
	mustMetadata(t, c)
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-served; err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte{0}); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("the pipe is open: %v", err)
	}
}

type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	select {
	case <-l.closed:
	default:
		close(l.closed)
	}
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func TestConnKnowsItsClient(t *testing.T) {
	conns := make(chan *Conn, 2)
	apis := append(echoAPIs(), row{Key: 12, Min: 0, Max: 4, Handle: func(_ context.Context, r *Request) Reply {
		if r.ClientID != kafkatest.ClientID || r.SizeBytes != 8+2+len(kafkatest.ClientID)+8 {
			t.Errorf("request is %+v", r)
		}
		conns <- r.Conn
		return empty(t.Context(), r)
	}})
	s := start(t, options{APIs: apis}, 0)
	a, b := s.dial(), s.dial()
	v := kmsg.NewPtrApiVersionsRequest()
	v.SetVersion(3)
	v.ClientSoftwareName, v.ClientSoftwareVersion = "apache-kafka-java", "4.3.1"
	for _, c := range []*kafkatest.Conn{a, b} {
		if _, err := c.Request(v); err != nil {
			t.Fatal(err)
		}
		mustMetadata(t, c) // the frame of ApiVersions has been used again
		if _, err := c.Request(kmsg.NewPtrHeartbeatRequest()); err != nil {
			t.Fatal(err)
		}
	}
	ca, cb := <-conns, <-conns
	if name, version := ca.ClientSoftware(); name != "apache-kafka-java" || version != "4.3.1" {
		t.Errorf("software is %q %q", name, version)
	}
	if ca.ID() >= cb.ID() || ca.RemoteAddr().String() != a.Conn.LocalAddr().String() || ca.LocalAddr().String() != s.addr {
		t.Errorf("IDs %d %d, addresses %v %v", ca.ID(), cb.ID(), ca.RemoteAddr(), ca.LocalAddr())
	}
}

// A broken invariant ends the process: who recovers from a handler's panics does not go on with it.
func TestBrokenInvariantIsNotContained(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	s, err := NewServer(Options{Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	c := &Conn{srv: s}
	k := &call{req: &Request{}, api: &servedAPI{name: "Test"}}
	escapes := func(with any) (out any) {
		defer func() { out = recover() }()
		var reason closeReason
		defer c.recovered(k, &reason)
		panic(with)
	}
	if got := escapes("a handler's own"); got != nil {
		t.Errorf("%v is not contained", got)
	}
	if got := escapes(invariant.Broken("offsets out of order")); got != invariant.Broken("offsets out of order") {
		t.Errorf("a broken invariant came out as %v", got)
	}
}

// The requests of each listener go to its own handler.
func TestEachListenerHasItsHandler(t *testing.T) {
	s := mustServer(t, options{APIs: echoAPIs()})
	var served []chan error
	for _, name := range []string{"one", "two"} {
		l, done := listen(t), make(chan error, 1)
		served = append(served, done)
		go func() {
			done <- s.Serve(l, func(_ context.Context, r *Request) Reply {
				resp := r.Body.ResponseKind().(*kmsg.MetadataResponse)
				resp.ClusterID = &name
				return Respond(resp)
			})
		}()
		c, err := kafkatest.Dial(l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		resp, err := c.Request(metadataRequest(12))
		if err != nil {
			t.Fatal(err)
		}
		if got := *resp.(*kmsg.MetadataResponse).ClusterID; got != name {
			t.Errorf("listener %s is answered by %s", name, got)
		}
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	for _, done := range served {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
