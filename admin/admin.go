// Package admin is the HTTP endpoint for operators, orchestrators and tests: metrics, liveness, readiness, profiles,
// the state as text, and the lab.
//
// It knows nothing of Kafka: Options has all that it shows. It listens on the loopback interface unless an address is
// given. A guard refuses requests that a browser sends for a page of another site, and those without the token, if
// there is one.
// Only package broker starts a Server.
package admin

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// DefaultAddress is the address if none is given.
const DefaultAddress = "127.0.0.1:9644"

// Limits for slow and hostile clients.
const (
	readTimeout    = 5 * time.Second  // of a request's header and body
	writeTimeout   = 2 * time.Minute  // of an answer; a profile may run for almost as long
	idleTimeout    = 60 * time.Second // of a connection between requests
	maxHeaderBytes = 16 << 10         // of a request
	maxScrapes     = 4                // at a time; more are answered with 503
)

// Options is what a Server shows. Nil parts are answered with 404.
type Options struct {
	Gatherer prometheus.Gatherer // for /metrics
	State    func(io.Writer)     // writes the state as text, for /state
	Lab      http.Handler        // for /v1/
	Page     http.Handler        // for people, at / and below /inspector/
	// Refuse answers a request that the guard refuses; nil: in plain text.
	Refuse func(w http.ResponseWriter, status int, detail string)
	Hosts  []string     // names of this machine that the guard lets through, besides its own
	Token  string       // that requests must have, but for those that need none (guard.go); "": no request needs one
	Logger *slog.Logger // nil discards
}

// Server is a running HTTP server. Its methods may be called from any goroutine.
type Server struct {
	listener net.Listener
	http     *http.Server
	ready    atomic.Bool
	running  sync.WaitGroup // Serve and every request
	mu       struct {
		sync.Mutex
		closed bool // no request starts any more
	}
}

// Start listens on addr, HOST:PORT, and serves until Close. "" means DefaultAddress; an address without
// a host is on the loopback interface, port 0 is a free one. The server is not ready until SetReady.
func Start(addr string, o Options) (*Server, error) {
	if addr == "" {
		addr = DefaultAddress
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("admin: %w", err)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, fmt.Errorf("admin: %w", err)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Refuse == nil {
		o.Refuse = func(w http.ResponseWriter, status int, detail string) { http.Error(w, detail, status) }
	}
	s := &Server{listener: listener}
	s.http = &http.Server{
		Handler:           s.tracked(newGuard(o.Hosts, o.Token, o.Refuse).wrap(s.routes(o))),
		ReadTimeout:       readTimeout,
		ReadHeaderTimeout: readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
	}
	s.running.Go(func() {
		if err := s.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			o.Logger.Error("admin endpoint failed", "error", err)
		}
	})
	return s, nil
}

// routes answers GET and HEAD only: nothing changes anything, but for the lab.
func (s *Server) routes(o Options) http.Handler {
	mux := http.NewServeMux()
	if o.Gatherer != nil {
		mux.Handle("GET /metrics", promhttp.HandlerFor(o.Gatherer, promhttp.HandlerOpts{MaxRequestsInFlight: maxScrapes}))
	}
	if o.State != nil {
		mux.HandleFunc("GET /state", func(w http.ResponseWriter, _ *http.Request) {
			plain(w, http.StatusOK)
			o.State(w)
		})
	}
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		plain(w, http.StatusOK)
		_, _ = io.WriteString(w, "ok\n")
	})
	for _, path := range readyPaths {
		mux.HandleFunc("GET "+path, s.answerReady)
	}
	if o.Lab != nil {
		mux.Handle("/v1/", o.Lab)
	}
	if o.Page != nil {
		mux.Handle("GET /{$}", o.Page)
		mux.Handle("GET /inspector/", o.Page)
	}
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}

// readyPaths say whether the broker is ready: ours, and those that checks of other brokers ask for.
var readyPaths = []string{"/readyz", "/ready", "/v1/status/ready"}

func (s *Server) answerReady(w http.ResponseWriter, _ *http.Request) {
	if !s.ready.Load() {
		plain(w, http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, "not ready\n")
		return
	}
	plain(w, http.StatusOK)
	_, _ = io.WriteString(w, "ready\n")
}

func plain(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
}

// tracked counts the requests that run, so that Close can wait for them.
func (s *Server) tracked(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		if s.mu.closed { // read just before its connection was cut
			s.mu.Unlock()
			return
		}
		s.running.Add(1)
		s.mu.Unlock()
		defer s.running.Done()
		next.ServeHTTP(w, r)
	})
}

// SetReady says what /readyz answers from now on: 200 or 503.
func (s *Server) SetReady(ready bool) { s.ready.Store(ready) }

// Addr returns the address that is listened on, HOST:PORT.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Close stops at once: connections are cut, which ends running profiles early. It returns when every request
// is done. It may be called more than once.
func (s *Server) Close() error {
	s.mu.Lock()
	s.mu.closed = true
	s.mu.Unlock()
	err := s.http.Close()
	s.running.Wait()
	return err
}
