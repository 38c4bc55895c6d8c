package wire

import (
	"encoding/binary"
	"net"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/internal/kafkatest"
)

func benchServer(b *testing.B) *kafkatest.Conn {
	o := options{APIs: echoAPIs()}
	s, err := newServer(o)
	if err != nil {
		b.Fatal(err)
	}
	l := listen(b)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l, o.handle) }()
	c, err := kafkatest.Dial(l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		c.Close()
		s.Shutdown(b.Context())
		<-done
	})
	return c
}

// BenchmarkRoundTrip is one request at a time on one connection: mostly the loopback's latency.
func BenchmarkRoundTrip(b *testing.B) {
	c := benchServer(b)
	frame := kafkatest.AppendRequest(nil, metadataRequest(12, "orders"), 1, c.ClientID)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Write(frame); err != nil {
			b.Fatal(err)
		}
		if _, err := c.ReceiveFrame(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
}

// BenchmarkPipelined sends 16 requests in a segment.
func BenchmarkPipelined(b *testing.B) {
	const depth = 16
	c := benchServer(b)
	var frames []byte
	for i := range depth {
		frames = kafkatest.AppendRequest(frames, metadataRequest(12, "orders"), int32(i), c.ClientID)
	}
	answer := make([]byte, 64<<10)
	size := answerSize(b, c)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Write(frames); err != nil {
			b.Fatal(err)
		}
		for got := 0; got < depth*size; {
			n, err := c.Read(answer)
			if err != nil {
				b.Fatal(err)
			}
			got += n
		}
	}
	b.ReportMetric(depth*float64(b.N)/b.Elapsed().Seconds(), "requests/s")
}

// answerSize is the length of one answer with its prefix.
func answerSize(b *testing.B, c *kafkatest.Conn) int {
	if _, err := c.Send(metadataRequest(12, "orders")); err != nil {
		b.Fatal(err)
	}
	frame, err := c.ReceiveFrame()
	if err != nil {
		b.Fatal(err)
	}
	return len(frame) + 4
}

// BenchmarkDecode is header, walker and kmsg without a socket.
func BenchmarkDecode(b *testing.B) {
	c := &Conn{srv: mustServer(b, options{APIs: echoAPIs()})}
	frame0 := kafkatest.AppendRequest(nil, metadataRequest(12, "orders"), 1, kmsg.StringPtr("bench"))[4:]
	b.ReportAllocs()
	for b.Loop() {
		fr := frame{b: frame0}
		if _, reason := c.decode(&fr); reason != open {
			b.Fatal(reason)
		}
	}
}

// BenchmarkWalk is the schema walker alone, on a Fetch of 100 partitions.
func BenchmarkWalk(b *testing.B) {
	r := fetchRequest(13, 10, 10)
	body := r.AppendTo(nil)
	s := schemas()[1]
	if err := s.load(); err != nil {
		b.Fatal(err)
	}
	p := s.plan(13)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := check(p, body, len(body)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLargeFrame receives a request of several megabytes, as a producer to several partitions sends it.
func BenchmarkLargeFrame(b *testing.B) {
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	body := make([]byte, 6<<20)
	frame := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	f := frameReader{
		conn: near, limits: withDefaults(Limits{}), budget: &byteBudget{max: 1 << 30},
		metrics: mustServer(b, options{APIs: echoAPIs()}).metrics, done: make(chan struct{}),
		parked:  func() bool { return false },
		closing: func() bool { return false }, max: 100 << 20, buf: make([]byte, defaultReadBufferBytes),
		sinceFrame: -1,
	}
	go func() { // ends with the pipe
		for {
			if _, err := far.Write(frame); err != nil {
				return
			}
			if _, err := far.Write(body); err != nil {
				return
			}
		}
	}()
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		fr, reason := f.next(func() closeReason { return open })
		if reason != open {
			b.Fatal(reason)
		}
		f.release(&fr)
	}
}
