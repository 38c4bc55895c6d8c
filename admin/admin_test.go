package admin

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func start(t *testing.T, o Options) *Server {
	t.Helper()
	s, err := Start("127.0.0.1:0", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func get(t *testing.T, s *Server, method, path string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.Addr()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestServedPaths(t *testing.T) {
	registry := prometheus.NewRegistry()
	counter := prometheus.NewCounter(prometheus.CounterOpts{Name: "once_things_total", Help: "Things."})
	registry.MustRegister(counter)
	counter.Add(3)
	s := start(t, Options{Gatherer: registry, State: func(w io.Writer) { _, _ = io.WriteString(w, "all is well\n") }})
	s.SetReady(true)
	for _, c := range []struct {
		method, path string
		status       int
		body         string
	}{
		{"GET", "/metrics", 200, "once_things_total 3"},
		{"GET", "/state", 200, "all is well"},
		{"GET", "/healthz", 200, "ok"},
		{"GET", "/readyz", 200, "ready"},
		{"GET", "/ready", 200, "ready"},
		{"GET", "/v1/status/ready", 200, "ready"},
		{"GET", "/debug/pprof/", 200, "goroutine"},
		{"GET", "/debug/pprof/goroutine?debug=1", 200, "goroutine profile"},
		{"GET", "/debug/pprof/cmdline", 200, ""},
		{"GET", "/", 404, ""},
		{"POST", "/metrics", 405, ""},
		{"DELETE", "/state", 405, ""},
	} {
		status, body := get(t, s, c.method, c.path)
		if status != c.status || !strings.Contains(body, c.body) {
			t.Errorf("%s %s: %d %q, want %d %q", c.method, c.path, status, body, c.status, c.body)
		}
	}
}

func TestReadyOnlyAfterSetReady(t *testing.T) {
	s := start(t, Options{})
	if status, _ := get(t, s, "GET", "/readyz"); status != 503 {
		t.Errorf("before SetReady: %d", status)
	}
	if status, _ := get(t, s, "GET", "/healthz"); status != 200 {
		t.Errorf("alive: %d", status)
	}
	s.SetReady(true)
	if status, _ := get(t, s, "GET", "/readyz"); status != 200 {
		t.Errorf("after SetReady: %d", status)
	}
	s.SetReady(false)
	if status, _ := get(t, s, "GET", "/readyz"); status != 503 {
		t.Errorf("after SetReady(false): %d", status)
	}
	if status, _ := get(t, s, "GET", "/metrics"); status != 404 {
		t.Errorf("metrics without a gatherer: %d", status)
	}
}

func TestAddressWithoutHostIsLoopback(t *testing.T) {
	s, err := Start(":0", Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	host, _, _ := net.SplitHostPort(s.Addr())
	if ip := net.ParseIP(host); !ip.IsLoopback() {
		t.Errorf("listens on %s", s.Addr())
	}
}

func TestAddressInUse(t *testing.T) {
	s := start(t, Options{})
	if other, err := Start(s.Addr(), Options{}); err == nil {
		other.Close()
		t.Error("two servers on one address")
	}
	if _, err := Start("nonsense", Options{}); err == nil {
		t.Error("started on nonsense")
	}
}

// A profile of a minute and a client that says nothing must not hold up the end of the process.
func TestCloseDoesNotWaitForClients(t *testing.T) {
	s, err := Start("127.0.0.1:0", Options{})
	if err != nil {
		t.Fatal(err)
	}
	silent, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	profile := make(chan struct{})
	go func() {
		defer close(profile)
		resp, err := http.Get("http://" + s.Addr() + "/debug/pprof/trace?seconds=60")
		if err == nil {
			resp.Body.Close()
		}
	}()
	for running := false; !running; {
		_, stacks := get(t, s, "GET", "/debug/pprof/goroutine?debug=2")
		running = strings.Contains(stacks, "pprof.Trace(")
	}
	began := time.Now()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 30*time.Second { // the trace runs for a minute
		t.Errorf("close took %v", took)
	}
	<-profile
	if _, err := net.Dial("tcp", s.Addr()); err == nil {
		t.Error("still listening after Close")
	}
	if err := s.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
}
