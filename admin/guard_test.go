package admin

import (
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
)

// A page of another site reaches nothing: not by a form, not by a name whose DNS entry it has changed to this machine.
func TestForeignPagesAreRefused(t *testing.T) {
	hostname, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	changed := 0
	served := newGuard([]string{"broker.example.org"}, "", func(w http.ResponseWriter, status int, detail string) {
		http.Error(w, detail, status)
	}).wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { changed++ }))
	for _, c := range []struct {
		method, path, host string
		header             map[string]string
		allowed            bool
	}{
		{"GET", "/v1/clock", "localhost:9644", nil, true},
		{"GET", "/v1/clock", "once:9644", nil, true},
		{"POST", "/v1/reset", "127.0.0.1:9644", nil, true},
		{"POST", "/v1/reset", "[::1]:9644", nil, true},
		{"POST", "/v1/reset", "[::1]", nil, true},
		{"POST", "/v1/reset", "192.168.3.4", nil, true},
		{"POST", "/v1/reset", hostname + ":9644", nil, true},
		{"POST", "/v1/reset", "host.docker.internal:9644", nil, true},
		{"POST", "/v1/reset", "a.localhost", nil, true},
		{"POST", "/v1/reset", "BROKER.example.org:9644", nil, true},
		{"GET", "/v1/clock", "evil.example.com:9644", nil, false},
		{"GET", "/debug/pprof/", "evil.example.com", nil, false},
		{"GET", "/", "evil.example.com.", nil, false},
		{"GET", "/", "internal.evil.com", nil, false},
		{"GET", "/metrics", "evil.example.com", nil, true},
		{"GET", "/healthz", "evil.example.com", nil, true},
		{"GET", "/readyz", "evil.example.com", nil, true},
		{"POST", "/v1/reset", "localhost:9644", map[string]string{"Sec-Fetch-Site": "cross-site"}, false},
		{"POST", "/v1/reset", "localhost:9644", map[string]string{"Sec-Fetch-Site": "same-site"}, false},
		{"POST", "/v1/reset", "localhost:9644", map[string]string{"Sec-Fetch-Site": "same-origin"}, true},
		{"POST", "/v1/reset", "localhost:9644", map[string]string{"Origin": "http://evil.example.com"}, false},
		{"POST", "/v1/reset", "localhost:9644", map[string]string{"Origin": "null"}, false},
		{"DELETE", "/v1/faults", "localhost:9644", map[string]string{"Origin": "http://localhost:9644"}, true},
		{"POST", "/v1/reset", "localhost:9644", map[string]string{"Origin": "http://localhost:8080"}, false},
	} {
		r := httptest.NewRequest(c.method, "http://x"+c.path, nil)
		r.Host = c.host
		for name, value := range c.header {
			r.Header.Set(name, value)
		}
		changed = 0
		w := httptest.NewRecorder()
		served.ServeHTTP(w, r)
		if (changed == 1) != c.allowed || !c.allowed && w.Code != http.StatusForbidden {
			t.Errorf("%s %s, Host %s, %v: %d, served %d times", c.method, c.path, c.host, c.header, w.Code, changed)
		}
	}
}
