// Package lab is the part of the admin endpoint that changes things: the HTTP calls with which a test, in any language,
// makes requests fail, moves the clock, waits for a state, and puts clusters into one.
//
// The calls are the rows of one table, calls. Dispatch, the check of bodies and queries, and the description at
// /v1/openapi.json use it. A call decides nothing about Kafka: it translates, and the packages below act.
package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"

	"once/cluster"
)

// Limits on requests.
const (
	maxBodyBytes = 1 << 20 // of a body, unless the call has a limit of its own
	maxWaiting   = 64      // awaits and streams at a time
	maxUploads   = 4       // archives, and bodies that may be longer than maxBodyBytes, at a time
)

// DefaultCluster is the name of the cluster that /v1 stands for.
const DefaultCluster = "default"

// Options are the options of a Lab.
type Options struct {
	// Process is the process that the lab belongs to.
	Process Process
	// ReadOnly answers every call that changes something with 404.
	ReadOnly bool
	Logger   *slog.Logger
}

// Process is the process around the clusters.
type Process interface {
	// ClusterNamed returns a cluster; false when there is none of the name.
	ClusterNamed(name string) (*cluster.Cluster, bool)
	// SetAdvertised sets the address that clients from outside of a container are told by a cluster; "" is none. Errors:
	// ErrNoCluster, and those about the address.
	SetAdvertised(cluster, address string) error
	// Clusters returns all clusters, the default one first.
	Clusters() []Cluster
	// AddCluster makes a cluster. Errors: those of this package, and of package cluster for a snapshot.
	AddCluster(ctx context.Context, c NewCluster) (Cluster, error)
	// RemoveCluster ends a cluster.
	RemoveCluster(name string) error
}

// Lab answers the calls. It is immutable.
type Lab struct {
	Options
	waiting chan struct{} // a token for each await and stream
	uploads chan struct{} // a token for each upload
	openAPI func() []byte // made when first asked for
}

// New returns a Lab.
func New(o Options) *Lab {
	l := &Lab{Options: o, waiting: make(chan struct{}, maxWaiting), uploads: make(chan struct{}, maxUploads)}
	l.openAPI = sync.OnceValue(func() []byte { return describe(l.calls()) })
	return l
}

// none is the body of a call that takes none.
type none struct{}

// archive is the body of a call that takes an archive, and reads it by itself.
type archive struct{}

// call is a row of the table.
type call struct {
	method, path string // below /v1 and /v1/clusters/{cluster}
	summary      string
	query        []string // the parameters that it takes
	status       int      // of success; 0 means 200
	body, answer reflect.Type
	changes      bool // something
	ofProcess    bool // it is below /v1 only
	optional     bool // it may have no body
	serve        func(x *exchange) (any, error)
}

// on makes the row of a call. B is its body, none where it takes none, []byte for the bytes as they are. A is its
// answer.
func on[B, A any](method, path, summary string, serve func(x *exchange, body *B) (A, error)) call {
	c := call{method: method, path: path, summary: summary, changes: method != http.MethodGet,
		body: reflect.TypeFor[B](), answer: reflect.TypeFor[A]()}
	c.serve = func(x *exchange) (any, error) {
		var body B
		if err := x.read(&body); err != nil {
			return nil, err
		}
		return serve(x, &body)
	}
	return c
}

func (c call) takes(query ...string) call {
	c.query = query
	return c
}

func (c call) withStatus(status int) call {
	c.status = status
	return c
}

// withoutBody lets the call do without a body.
func (c call) withoutBody() call {
	c.optional = true
	return c
}

func (c call) onlyReads() call {
	c.changes = false
	return c
}

// exchange is one request for a call.
type exchange struct {
	lab     *Lab
	call    *call
	cluster *cluster.Cluster
	name    string // of the cluster
	query   url.Values
	request *http.Request
	writer  http.ResponseWriter
	began   bool // the answer has begun: nothing follows what the call returns
	ends    []func()
}

// Handler returns the handler of /v1/. Its table is made at the first request: most brokers never get one.
func (l *Lab) Handler() http.Handler {
	mux := sync.OnceValue(l.mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { mux().ServeHTTP(w, r) })
}

func (l *Lab) mux() *http.ServeMux {
	mux := http.NewServeMux()
	calls := l.calls()
	byPath := map[string]map[string]*call{}
	add := func(path string, c *call) {
		if byPath[path] == nil {
			byPath[path] = map[string]*call{}
		}
		byPath[path][c.method] = c
	}
	for i := range calls {
		add("/v1"+calls[i].path, &calls[i])
		if !calls[i].ofProcess {
			add("/v1/clusters/{cluster}"+calls[i].path, &calls[i])
		}
	}
	for path, methods := range byPath {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) { l.dispatch(w, r, methods) })
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		WriteProblem(w, http.StatusNotFound, "there is no "+r.URL.Path+"; GET /v1/openapi.json lists what there is")
	})
	return mux
}

func (l *Lab) dispatch(w http.ResponseWriter, r *http.Request, methods map[string]*call) {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	c := methods[method]
	switch {
	case c == nil:
		var allowed []string
		for m := range methods {
			allowed = append(allowed, m)
		}
		slices.Sort(allowed)
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		WriteProblem(w, http.StatusMethodNotAllowed,
			r.Method+" is not allowed here; allowed are "+strings.Join(allowed, ", "))
		return
	case c.changes && l.ReadOnly:
		WriteProblem(w, http.StatusNotFound, "the lab is off (lab=false): nothing can be changed over HTTP")
		return
	}
	x := &exchange{lab: l, call: c, request: r, writer: w, name: DefaultCluster}
	defer x.end() // also after a panic
	answer, err := x.carryOut()
	switch {
	case x.began:
	case err != nil:
		writeError(w, err)
	default:
		writeJSON(w, max(c.status, http.StatusOK), "application/json", answer)
	}
}

func (x *exchange) end() {
	for _, end := range x.ends {
		end()
	}
}

func (x *exchange) carryOut() (any, error) {
	if name := x.request.PathValue("cluster"); name != "" {
		x.name = name
	}
	var ok bool
	if x.cluster, ok = x.lab.Process.ClusterNamed(x.name); !ok {
		return nil, fails(http.StatusNotFound, "there is no cluster %q", x.name)
	}
	query, err := url.ParseQuery(x.request.URL.RawQuery)
	if err != nil {
		return nil, fails(http.StatusBadRequest, "the query: %v", err)
	}
	for name, values := range query {
		switch {
		case !slices.Contains(x.call.query, name):
			return nil, wrong("?"+name, "is unknown here; allowed are %s", allowed(x.call.query))
		case len(values) > 1:
			return nil, wrong("?"+name, "stands twice")
		}
	}
	x.query = query
	return x.call.serve(x)
}

func allowed(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// read reads the body of the request.
func (x *exchange) read(into any) error {
	if _, ok := into.(*archive); ok {
		return nil
	}
	_, takesNone := into.(*none)
	raw, isRaw := into.(*[]byte)
	limit := int64(maxBodyBytes)
	if isRaw && (x.request.ContentLength < 0 || x.request.ContentLength > maxBodyBytes) {
		limit = x.cluster.Settings().LabArchiveMaxBytes
		if err := x.upload(); err != nil {
			return err
		}
	}
	text, err := x.bytes(limit)
	if err != nil {
		return err
	}
	switch {
	case takesNone && len(text) > 0:
		return wrong("", "must be empty: this call takes none")
	case takesNone:
		return nil
	case len(text) == 0 && x.call.optional:
		return nil
	case len(text) == 0:
		return wrong("", "is missing")
	case isRaw:
		*raw = text
		return nil
	}
	return decode(text, into)
}

// bytes reads a body of JSON up to a limit.
func (x *exchange) bytes(limit int64) ([]byte, error) {
	kind, _, kindErr := mime.ParseMediaType(x.request.Header.Get("Content-Type"))
	isJSON := kindErr == nil && kind == "application/json"
	if x.request.ContentLength > 0 && !isJSON {
		return nil, errNotJSON
	}
	body := http.MaxBytesReader(x.writer, x.request.Body, limit)
	text, err := io.ReadAll(body)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, fails(http.StatusRequestEntityTooLarge, "the body must not be longer than %d bytes", limit)
	case err != nil:
		return nil, fails(http.StatusBadRequest, "the body cannot be read: %v", err)
	case len(text) > 0 && !isJSON:
		return nil, errNotJSON
	}
	return text, nil
}

var errNotJSON = fails(http.StatusUnsupportedMediaType, "a body needs Content-Type: application/json")

// upload takes a token for an upload, which is given back at the end of the request, and lets it take as long as it
// takes.
func (x *exchange) upload() error {
	select {
	case x.lab.uploads <- struct{}{}:
		x.ends = append(x.ends, func() { <-x.lab.uploads })
		x.withoutDeadlines()
		return nil
	default:
		return fails(http.StatusTooManyRequests, "%d uploads are under way, there can be no more", maxUploads)
	}
}

// wait takes a token for an await or a stream, which release gives back.
func (x *exchange) wait() (release func(), err error) {
	select {
	case x.lab.waiting <- struct{}{}:
		return func() { <-x.lab.waiting }, nil
	default:
		return nil, fails(http.StatusTooManyRequests, "%d awaits and streams are under way, there can be no more", maxWaiting)
	}
}

func (c call) onProcess() call {
	c.ofProcess = true
	return c
}

// exactlyOne returns an error unless one of the fields is given.
func exactlyOne(given ...bool) error {
	n := 0
	for _, is := range given {
		if is {
			n++
		}
	}
	if n != 1 {
		return fmt.Errorf("must have exactly one, it has %d,", n)
	}
	return nil
}
