package lab

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"once/cluster"
)

// oneCluster is a process with the default cluster only.
type oneCluster struct {
	*cluster.Cluster
	advertised string
}

func (p *oneCluster) SetAdvertised(_, address string) error {
	if p.advertised = address; !strings.Contains(address, ":") {
		return errors.New("must be HOST:PORT")
	}
	return nil
}

func (p *oneCluster) Clusters() []Cluster { return nil }

func (p *oneCluster) AddCluster(context.Context, NewCluster) (Cluster, error) {
	return Cluster{}, ErrTooMany
}

func (p *oneCluster) RemoveCluster(string) error { return ErrNoCluster }

func (p *oneCluster) ClusterNamed(name string) (*cluster.Cluster, bool) {
	return p.Cluster, name == DefaultCluster
}

// world is a lab over a cluster in memory.
type world struct {
	t       *testing.T
	cluster *cluster.Cluster
	server  *httptest.Server
}

func start(t *testing.T, options ...func(*Options)) *world {
	t.Helper()
	c, err := cluster.Open(cluster.InMemory(cluster.Env{}), "data")
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Process: &oneCluster{Cluster: c}}
	for _, set := range options {
		set(&o)
	}
	w := &world{t: t, cluster: c, server: httptest.NewServer(New(o).Handler())}
	t.Cleanup(func() {
		w.server.Close()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// ask sends a request and returns the status and the answer. A body is sent as JSON.
func (w *world) ask(method, path, body string) (int, string) {
	w.t.Helper()
	return w.askAs(method, path, body, "application/json")
}

func (w *world) askAs(method, path, body, contentType string) (int, string) {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), method, w.server.URL+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", contentType)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	if method != http.MethodHead && resp.StatusCode >= 400 &&
		resp.Header.Get("Content-Type") == "application/problem+json" {
		var p Problem
		if err := json.Unmarshal(text, &p); err != nil || p.Status != resp.StatusCode || p.Title == "" || p.Detail == "" {
			w.t.Errorf("%s %s: %s is no problem", method, path, text)
		}
	}
	return resp.StatusCode, string(text)
}

// expect asks, and checks the status and a part of the answer.
func (w *world) expect(method, path, body string, status int, want string) string {
	w.t.Helper()
	got, text := w.ask(method, path, body)
	if got != status || !strings.Contains(text, want) {
		w.t.Errorf("%s %s %s: %d %s, want %d %q", method, path, body, got, text, status, want)
	}
	return text
}

// into asks, expects 200 or 201, and decodes the answer.
func (w *world) into(method, path, body string, answer any) {
	w.t.Helper()
	status, text := w.ask(method, path, body)
	if status != http.StatusOK && status != http.StatusCreated {
		w.t.Fatalf("%s %s %s: %d %s", method, path, body, status, text)
	}
	if err := json.Unmarshal([]byte(text), answer); err != nil {
		w.t.Fatalf("%s %s: %v in %s", method, path, err, text)
	}
}

// What no call takes is refused, and the answer says what is allowed.
func TestRequestsThatNoCallTakes(t *testing.T) {
	w := start(t)
	w.expect("GET", "/v1/nonsense", "", 404, "/v1/openapi.json")
	w.expect("GET", "/v1/clusters/other/clock", "", 404, `no cluster \"other\"`)
	w.expect("GET", "/v1/clusters/default/clock", "", 200, `"frozen": false`)
	w.expect("DELETE", "/v1/clock", "", 405, "allowed are GET, POST")
	w.expect("GET", "/v1/clock?nonsense=1", "", 400, "?nonsense: is unknown here")
	w.expect("GET", "/v1/clock", "{}", 400, "must be empty")
	w.expect("POST", "/v1/clock", "", 400, "is missing")
	w.expect("POST", "/v1/clock", `{"nonsense": 1}`, 400, "nonsense: is unknown here")
	w.expect("POST", "/v1/clock", `{"freeze": true, "resume": true}`, 400, "exactly one")
	w.expect("POST", "/v1/clock", `{"advance": "-1s"}`, 400, "advance: must not be negative")
	w.expect("POST", "/v1/clock", `{"advance": "`+strings.Repeat("1", maxBodyBytes)+`"}`, 413, "1048576")
	for _, kind := range []string{"text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "",
		"application/json;"} {
		if status, text := w.askAs("POST", "/v1/clock", `{"freeze": true}`, kind); status != 415 &&
			kind != "application/json;" {
			t.Errorf("%q: %d %s", kind, status, text)
		}
	}
	if w.cluster.Clock().Frozen() != true {
		t.Error("a body with application/json was not taken")
	}
}

// With lab=false every call that changes something is 404, and those that read stay.
func TestLabThatIsOff(t *testing.T) {
	w := start(t, func(o *Options) { o.ReadOnly = true })
	for _, c := range (&Lab{}).calls() {
		if !c.changes {
			continue
		}
		path := "/v1" + wildcards().ReplaceAllString(c.path, "x")
		if status, text := w.ask(c.method, path, ""); status != 404 || !strings.Contains(text, "lab is off") {
			t.Errorf("%s %s: %d %s", c.method, path, status, text)
		}
	}
	w.expect("GET", "/v1/clock", "", 200, `"now"`)
}

func TestAdvertisedAddressIsSet(t *testing.T) {
	w := start(t)
	w.expect("PUT", "/v1/advertised", `{"address": "localhost:32807"}`, 200, `"address": "localhost:32807"`)
	w.expect("PUT", "/v1/advertised", `{"address": "localhost"}`, 400, "address: must be HOST:PORT")
}

// The clock is moved, frozen and resumed, and does not go back.
func TestClockIsMoved(t *testing.T) {
	w := start(t)
	var before, after Moved
	w.into("POST", "/v1/clock", `{"freeze": true}`, &before)
	w.into("POST", "/v1/clock", `{"advance": "16m"}`, &after)
	if moved := after.Now.Sub(before.Now); moved.String() != "16m0s" || !after.Frozen {
		t.Errorf("moved by %v, frozen %v", moved, after.Frozen)
	}
	w.expect("POST", "/v1/clock", `{"set": "2001-01-01T00:00:00Z"}`, 409, "does not go back")
	w.expect("POST", "/v1/clock", `{"set": "2130-01-01T00:00:00Z"}`, 200, `"now": "2130-01-01T00:00:00`)
	w.expect("POST", "/v1/clock", `{"freeze": true, "expireMembers": true}`, 400, "expireMembers: goes with a move")
	w.expect("POST", "/v1/clock", `{"resume": true}`, 200, `"frozen": false`)
}

// A rule is made, seen, waited for, and ended; one that never fired fails the test that required it.
func TestFaultCalls(t *testing.T) {
	w := start(t)
	var f Fault
	w.into("POST", "/v1/faults",
		`{"name": "commit gap", "match": {"api": "EndTxn", "transactionalId": ["orders-*"]}, "when": {"nth": 2}, "do": {"loseAnswer": true}}`, &f)
	if f.ID != "f1" || f.Name != "commit gap" || f.Matched != 0 || *f.When.Nth != 2 || !f.Do.LoseAnswer {
		t.Errorf("%+v", f)
	}
	if status, _ := w.ask("POST", "/v1/faults",
		`{"match": {"point": "txn.marker", "topic": "t", "partition": 0}, "do": {"delay": "2s"}}`); status != 201 {
		t.Errorf("status %d", status)
	}
	w.expect("POST", "/v1/faults", `{"match": {"api": "EndTxn", "topic": "t"}, "do": {"loseAnswer": true}}`, 400,
		"match.topic: EndTxn has none")
	w.expect("POST", "/v1/faults", `{"match": {"nonsense": 1}, "do": {"loseAnswer": true}}`, 400,
		"match.nonsense: is unknown here; allowed are api,")
	w.expect("POST", "/v1/faults", `{"do": {"delay": "soon"}}`, 400, "do.delay: must be a duration")
	w.expect("PUT", "/v1/faults", `[{"do": {"hold": true}}, {"do": {}}]`, 400, "[1].do: must have one action")
	w.expect("GET", "/v1/faults", "", 200, `"id": "f2"`)
	w.expect("GET", "/v1/faults/f1?wait=triggered&timeout=1ms", "", 408, `"triggered": 0`)
	w.expect("GET", "/v1/faults/f1?wait=nonsense", "", 400, "?wait")
	w.expect("GET", "/v1/faults/f1?wait=held&timeout=61s", "", 400, "?timeout: must be a duration of at most 1m0s")
	w.expect("GET", "/v1/faults/f9", "", 404, "no fault")
	w.expect("POST", "/v1/faults/f2/release", "", 200, `"released": 0`)
	w.expect("DELETE", "/v1/faults/f2", "", 200, `"id": "f2"`)
	w.expect("DELETE", "/v1/faults/f2", "", 404, "no fault")
	w.expect("DELETE", "/v1/faults?requireTriggered=true", "", 409, "f1 (commit gap)")
	w.expect("GET", "/v1/faults", "", 200, "[]")
	w.expect("PUT", "/v1/faults",
		`[{"name": "a", "do": {"hold": true}}, {"name": "b", "match": {"point": "disk.sync"}, "do": {"fail": true}}]`, 200,
		`"name": "b"`)
	w.expect("DELETE", "/v1/faults/f3?requireTriggered=true", "", 409, "f3 (a)")
	w.expect("DELETE", "/v1/faults", "", 200, `"name": "b"`)
}
