package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/twmb/franz-go/pkg/kmsg"

	"once/internal/kafkatest"
)

// TestMain fails when goroutines of this package are left after the tests.
func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 {
		if left := leaked(); left != "" {
			fmt.Fprintln(os.Stderr, "goroutines left behind:\n"+left)
			code = 1
		}
	}
	os.Exit(code)
}

// leaked returns the stacks of goroutines in this package, once they have had time to end.
func leaked() string {
	var left []string
	for end := time.Now().Add(time.Minute); time.Now().Before(end); <-time.Tick(time.Millisecond) {
		left = nil
		buf := make([]byte, 1<<20)
		for _, g := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
			if strings.Contains(g, "once/wire.(") && !strings.Contains(g, "once/wire.TestMain") {
				left = append(left, g)
			}
		}
		if len(left) == 0 {
			return ""
		}
	}
	return strings.Join(left, "\n\n")
}

// testServer is a Server on a loopback socket that must not see a panic.
type testServer struct {
	*Server
	t      *testing.T
	addr   string
	logs   *syncBuffer
	served chan error
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// row is a row of the table with its handler.
type row struct {
	Key, Min, Max int16
	Advertised    *int16
	Handle        Handler
	Pipelined     bool
}

// options are Options whose table has handlers.
type options struct {
	APIs       []row
	Limits     Limits
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	OnClose    func(*Conn)
	Pace       func(net.Listener, netip.Addr) (wait, hold time.Duration)
}

func newServer(o options) (*Server, error) {
	return NewServer(Options{APIs: table(o.APIs), Limits: o.Limits, Logger: o.Logger, Registerer: o.Registerer,
		OnClose: o.OnClose, Pace: o.Pace})
}

func table(rows []row) []API {
	var apis []API
	for _, r := range rows {
		apis = append(apis, API{Key: r.Key, Min: r.Min, Max: r.Max, Advertised: r.Advertised, Pipelined: r.Pipelined})
	}
	return apis
}

func (o options) handle(ctx context.Context, r *Request) Reply {
	i := slices.IndexFunc(o.APIs, func(a row) bool { return a.Key == r.Key })
	return o.APIs[i].Handle(ctx, r)
}

// start serves o until the end of the test. wantPanics is how often handlers are meant to panic.
func start(t *testing.T, o options, wantPanics int) *testServer {
	t.Helper()
	logs := new(syncBuffer)
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	if o.Registerer == nil {
		o.Registerer = prometheus.NewPedanticRegistry()
	}
	s, err := newServer(o)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ts := &testServer{Server: s, t: t, addr: l.Addr().String(), logs: logs, served: make(chan error, 1)}
	go func() { ts.served <- s.Serve(l, o.handle) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-ts.served; err != nil {
			t.Errorf("serve: %v", err)
		}
		if n := metricValue(s.metrics.panics); n != float64(wantPanics) {
			t.Errorf("handlers panicked %v times, want %d; log:\n%s", n, wantPanics, logs)
		}
		if n := metricValue(s.metrics.connections); n != 0 {
			t.Errorf("%v connections are counted after shutdown", n)
		}
		if n := s.budget.inUse(); n != 0 {
			t.Errorf("%d bytes of the budget are held after shutdown", n)
		}
	})
	return ts
}

func (s *testServer) dial() *kafkatest.Conn {
	s.t.Helper()
	c, err := kafkatest.Dial(s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	return c
}

// wantClosed waits until a connection has ended for the reason, n times in all.
func (s *testServer) wantClosed(reason closeReason, n int) {
	s.t.Helper()
	eventually(s.t, func() error {
		if got := metricValue(s.metrics.closed[reason]); got != float64(n) {
			return fmt.Errorf("%v connections closed for %v, want %d; log:\n%s", got, reason, n, s.logs)
		}
		return nil
	})
}

// metricValue reads a counter or gauge.
func metricValue(m prometheus.Metric) float64 {
	var d dto.Metric
	if err := m.Write(&d); err != nil {
		panic(err)
	}
	return d.GetCounter().GetValue() + d.GetGauge().GetValue()
}

// eventually retries until check returns nil.
func eventually(t *testing.T, check func() error) {
	t.Helper()
	err := errors.New("not checked")
	for end := time.Now().Add(time.Minute); err != nil && time.Now().Before(end); {
		if err = check(); err != nil {
			<-time.Tick(time.Millisecond)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// echoAPIs answers Metadata with its topics, ApiVersions with the table, and Produce and FindCoordinator
// with an empty response.
func echoAPIs() []row {
	zero := int16(0)
	apis := []row{
		{Key: 0, Min: 3, Max: 13, Advertised: &zero, Handle: empty, Pipelined: true},
		{Key: 3, Min: 0, Max: 13, Handle: echoMetadata},
		{Key: 10, Min: 0, Max: 6, Handle: empty},
	}
	versions := row{Key: 18, Min: 0, Max: 4}
	list := append(append([]row(nil), apis...), versions)
	versions.Handle = func(_ context.Context, r *Request) Reply {
		resp := kmsg.NewPtrApiVersionsResponse()
		if r.Body == nil {
			resp.ErrorCode = int16(UnsupportedVersion)
			resp.ApiKeys = Advertise([]API{{Key: 18, Min: 0, Max: 4}})
			return Respond(resp)
		}
		b := r.Body.(*kmsg.ApiVersionsRequest)
		r.Conn.SetClientSoftware(b.ClientSoftwareName, b.ClientSoftwareVersion)
		resp.ApiKeys = Advertise(table(list))
		return Respond(resp)
	}
	return append(apis, versions)
}

func empty(_ context.Context, r *Request) Reply { return Respond(r.Body.ResponseKind()) }

func echoMetadata(_ context.Context, r *Request) Reply {
	req, resp := r.Body.(*kmsg.MetadataRequest), r.Body.ResponseKind().(*kmsg.MetadataResponse)
	resp.Brokers = []kmsg.MetadataResponseBroker{{NodeID: 1, Host: "localhost", Port: 9092}}
	for _, t := range req.Topics {
		rt := kmsg.NewMetadataResponseTopic()
		rt.Topic = t.Topic
		resp.Topics = append(resp.Topics, rt)
	}
	return Respond(resp)
}

// metadataRequest asks for topics at a version.
func metadataRequest(version int16, topics ...string) *kmsg.MetadataRequest {
	r := kmsg.NewPtrMetadataRequest()
	r.SetVersion(version)
	r.Topics = []kmsg.MetadataRequestTopic{}
	for _, t := range topics {
		rt := kmsg.NewMetadataRequestTopic()
		rt.Topic = kmsg.StringPtr(t)
		r.Topics = append(r.Topics, rt)
	}
	return r
}

// mustMetadata asks for a topic and checks the answer: the connection is in order.
func mustMetadata(t *testing.T, c *kafkatest.Conn) {
	t.Helper()
	resp, err := c.Request(metadataRequest(12, "orders"))
	if err != nil {
		t.Fatal(err)
	}
	m := resp.(*kmsg.MetadataResponse)
	if len(m.Topics) != 1 || *m.Topics[0].Topic != "orders" {
		t.Fatalf("answer is %+v", m)
	}
}

// withDefaults returns limits as a server has them.
func withDefaults(l Limits) *Limits {
	l.setDefaults()
	return &l
}
