package wire

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http/httptest"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/internal/clock"
	"once/internal/kafkatest"
)

// P33: an idle connection costs under 32 KiB, with the client's side in the same process.
func TestIdleConnectionsAreCheap(t *testing.T) {
	const n, limit = 1000, 32 << 10
	s := start(t, options{APIs: echoAPIs(), Logger: slog.New(slog.DiscardHandler)}, 0)
	conns := make([]*kafkatest.Conn, 0, n)
	inUse := func() int {
		runtime.GC()
		runtime.GC() // the second one frees what pools held
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapInuse + m.StackInuse)
	}
	before := inUse()
	for range n {
		c := s.dial()
		mustMetadata(t, c)
		conns = append(conns, c)
	}
	each := (inUse() - before) / n
	t.Logf("%d bytes a connection", each)
	if each > limit {
		t.Errorf("an idle connection costs %d bytes, limit %d", each, limit)
	}
	mustMetadata(t, conns[0])
}

// B1, B3, B7: hostile lengths cost no memory.
func TestAnnouncedLengthsAllocateNothing(t *testing.T) {
	s := start(t, options{APIs: echoAPIs()}, 0)
	mustMetadata(t, s.dial())
	for name, b := range map[string][]byte{
		"frame of 100 MiB":   {0x06, 0x40, 0, 0, 0},
		"frame of 2 GiB":     {0x7f, 0xff, 0xff, 0xff},
		"array of 2^31-1":    append([]byte{0, 0, 0, 16, 0, 3, 0, 1, 0, 0, 0, 1, 0, 0}, 0x7f, 0xff, 0xff, 0xff, 0, 0),
		"2^32-1 tags":        append([]byte{0, 0, 0, 15, 0, 3, 0, 12, 0, 0, 0, 1, 0, 0}, 0xff, 0xff, 0xff, 0xff, 0x0f),
		"string of 2^32-2":   append([]byte{0, 0, 0, 16, 0, 10, 0, 3, 0, 0, 0, 1, 0, 0, 0}, 0xff, 0xff, 0xff, 0xff, 0x0f),
		"client ID of 32767": {0, 0, 0, 10, 0, 3, 0, 1, 0, 0, 0, 1, 0x7f, 0xff},
	} {
		used := allocatedBy(func() {
			c := s.dial()
			if _, err := c.Write(b); err != nil {
				t.Fatal(err)
			}
			c.Conn.(*net.TCPConn).CloseWrite()
			if err := c.WaitClosed(); err != nil {
				t.Error(err)
			}
		})
		if used > 256<<10 {
			t.Errorf("%s: %d bytes allocated", name, used)
		}
	}
}

// B3 once more: a buffer that somebody has given back is taken whole, because nothing is allocated for it; its
// bytes come out of the budget all the same.
func TestLargeFrameIsReadIntoAUsedBuffer(t *testing.T) {
	const announced, class = 3 << 20, 4 << 20
	f := frameReader{limits: withDefaults(Limits{}), budget: &byteBudget{max: 1 << 30}}
	begun := bytes.Repeat([]byte("begun"), defaultFirstFrameBytes/5)
	for range 1000 { // the pool forgets at times, and under the race detector on purpose
		putBuffer(make([]byte, 0, class))
		fr := frame{b: append(getBuffer(defaultFirstFrameBytes), begun...)}
		if !f.grow(&fr, announced) {
			t.Fatal("not within the budget")
		}
		used := cap(fr.b) == class
		room := frameGrowth * len(begun)
		if used {
			room = announced
		}
		if want := int64(room - defaultFirstFrameBytes); fr.charged != want || !bytes.Equal(fr.b, begun) {
			t.Fatalf("%d bytes charged for %d, want %d; it holds %d", fr.charged, cap(fr.b), want, len(fr.b))
		}
		f.release(&fr)
		if f.budget.inUse() != 0 {
			t.Fatal("bytes are not given back")
		}
		if used {
			return
		}
	}
	t.Error("the buffer that lay ready was never taken")
}

// The request with the worst ratio of memory to wire bytes in each version: many elements with nothing in
// them. Whatever the walker lets pass stays within the budget.
func TestManySmallElementsStayWithinTheBudget(t *testing.T) {
	passed := 0
	eachVersion(t, func(key, v int16, p *plan) {
		for _, n := range []int{200, 3000} {
			for _, depth := range []int{1, 2} {
				req := kmsg.RequestForKey(key)
				widen(reflect.ValueOf(req).Elem(), n, depth)
				req.SetVersion(v)
				body := req.AppendTo(nil)
				if _, err := check(p, append([]byte(nil), body...), len(body)); err == nil {
					passed++
				}
				checkAllocation(t, key, v, p, body)
			}
		}
	})
	if passed < 100 {
		t.Errorf("only %d requests passed: the test shows little", passed)
	}
}

// widen makes every array n elements long at the outermost level, and one long below, down to depth.
// Strings are empty but not null. The request is for encoding only: its elements share memory.
func widen(v reflect.Value, n, depth int) {
	switch v.Kind() {
	case reflect.Struct:
		if d, ok := v.Addr().Interface().(interface{ Default() }); ok {
			d.Default()
		}
		for i := range v.NumField() {
			if v.Type().Field(i).Name != "UnknownTags" && !strings.HasPrefix(v.Type().Field(i).Name, "Replica") {
				widen(v.Field(i), n, depth)
			}
		}
	case reflect.Slice:
		if depth == 0 {
			v.Set(reflect.MakeSlice(v.Type(), 0, 0))
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		if n > 0 {
			widen(v.Index(0), 1, depth-1)
		}
		for filled := 1; filled < n; filled *= 2 { // all elements share what the first one points to
			reflect.Copy(v.Slice(filled, n), v.Slice(0, filled))
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		widen(v.Elem(), n, depth)
	}
}

func TestByteBudgetServesInOrder(t *testing.T) {
	b := byteBudget{max: 100}
	done := make(chan struct{})
	if !b.acquire(60, 0, time.Minute, done) {
		t.Fatal("an empty budget refuses")
	}
	if b.acquire(50, 0, time.Millisecond, done) {
		t.Fatal("granted over the limit")
	}
	waiting := func(n int) {
		eventually(t, func() error {
			b.mu.Lock()
			defer b.mu.Unlock()
			if len(b.mu.waiters) != n {
				return fmt.Errorf("%d wait, want %d", len(b.mu.waiters), n)
			}
			return nil
		})
	}
	big, small := make(chan bool, 1), make(chan bool, 1)
	go func() { big <- b.acquire(50, 0, time.Minute, done) }()
	waiting(1)
	go func() { small <- b.acquire(30, 0, time.Minute, done) }()
	waiting(2) // the small one fits, but the big one was first
	b.release(60)
	if !<-big || !<-small || b.inUse() != 80 {
		t.Fatalf("%d in use", b.inUse())
	}
	go func() { big <- b.acquire(50, 0, time.Minute, done) }()
	waiting(1)
	go func() { small <- b.acquire(50, 30, time.Minute, done) }()
	waiting(2)
	close(done)
	if <-big || <-small {
		t.Fatal("granted although the connection ended")
	}
	b.release(50)
	if !b.acquire(1000, 30, time.Minute, make(chan struct{})) {
		t.Fatal("the only holder may exceed the budget")
	}
	b.release(1030)
	if b.inUse() != 0 {
		t.Fatalf("%d in use", b.inUse())
	}
}

func TestRefusalsAreLoggedAtALimitedRate(t *testing.T) {
	var buf bytes.Buffer
	m := clock.NewManual(time.Unix(1000, 0))
	l := refusalLog{log: slog.New(slog.NewTextHandler(&buf, nil)), clock: m}
	c := &Conn{nc: &scriptedConn{}}
	lines := func() int {
		defer buf.Reset()
		return strings.Count(buf.String(), "\n")
	}
	for range 1000 {
		l.malformed(c, badHeader, errHeader)
	}
	if n := lines(); n != refusalsWindow {
		t.Errorf("%d lines in a window, want %d", n, refusalsWindow)
	}
	m.Advance(refusalWindow)
	l.unserved(c, badVersion, &header{key: 3, version: 99, clientID: bytes.Repeat([]byte("x"), 30000)})
	if s := buf.String(); !strings.Contains(s, "suppressed=980") || len(s) > 400 {
		t.Errorf("log is %.400s", s)
	}
	lines()
	for _, n := range []int{loggedNameBytes, loggedNameBytes + 1} {
		m.Advance(refusalWindow)
		l.unserved(c, badVersion, &header{key: 4, version: int16(n), clientID: bytes.Repeat([]byte("y"), n)})
		if got := strings.Count(buf.String(), "y"); got != loggedNameBytes+1 { // one is in the word key
			t.Errorf("a client ID of %d bytes is logged with %d", n, got-1)
		}
		lines()
	}
	const versions = 5 * refusalsSeen
	unserved := func(version int) {
		m.Advance(refusalWindow)
		l.unserved(c, badVersion, &header{key: 3, version: int16(version)})
	}
	for i := range versions {
		unserved(i)
		unserved(i) // is known
		if n := len(l.mu.seen); n > refusalsSeen {
			t.Fatalf("%d combinations are remembered", n)
		}
	}
	if n := lines(); n != versions {
		t.Errorf("%d versions were logged %d times", versions, n)
	}
	unserved(0) // was forgotten
	if n := lines(); n != 1 {
		t.Errorf("a version that was forgotten was logged %d times", n)
	}
}

func TestServesTLS(t *testing.T) {
	// The test server of net/http brings a certificate.
	h := httptest.NewUnstartedServer(nil)
	h.StartTLS()
	certificates := h.TLS.Certificates
	h.Close()
	serve := func(limits Limits) (*Server, string) {
		o := options{APIs: echoAPIs(), Limits: limits}
		s := mustServer(t, o)
		l := tls.NewListener(listen(t), &tls.Config{Certificates: certificates})
		served := make(chan error, 1)
		go func() { served <- s.Serve(l, o.handle) }()
		t.Cleanup(func() {
			if err := s.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
			if err := <-served; err != nil {
				t.Error(err)
			}
		})
		return s, l.Addr().String()
	}
	_, addr := serve(Limits{})
	nc, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true}) // the certificate is not the point
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	mustMetadata(t, kafkatest.New(nc))

	impatient, addr := serve(Limits{FrameTimeout: 10 * time.Millisecond})
	silent, err := kafkatest.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	if err := silent.WaitClosed(); err != nil {
		t.Error(err)
	}
	eventually(t, func() error {
		if n := metricValue(impatient.metrics.closed[handshake]); n != 1 {
			return fmt.Errorf("%v handshakes failed, want the silent client's", n)
		}
		return nil
	})
}

// BenchmarkNewServer shows that a table of all APIs costs a start nothing that is felt.
func BenchmarkNewServer(b *testing.B) {
	var apis []API
	for key, s := range schemas() {
		lo, hi := s.versionBounds()
		apis = append(apis, API{Key: key, Min: lo, Max: min(hi, kmsg.RequestForKey(key).MaxVersion())})
	}
	for b.Loop() {
		if _, err := NewServer(Options{APIs: apis}); err != nil {
			b.Fatal(err)
		}
	}
}
