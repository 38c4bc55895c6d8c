package broker_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/broker/brokertest"
	"once/internal/kafkatest"
)

// badRequest is a request for a call, with what it is answered.
type badRequest struct {
	path, body string
	status     int
	want       string
}

// badInput has, for each call of the lab, requests whose types are right and that are refused all the same. Those that
// every call refuses are made of the description, and wrong types by TestEveryFieldIsChecked in package lab. A call
// that takes nothing has no rows.
var badInput = map[string][]badRequest{
	"GET /v1/openapi.json": nil,
	"PUT /v1/advertised": {
		{"", `{"address": "x:99999"}`, 400, "address: "},
		{"", `{"address": ":1"}`, 400, "address: "},
		{"", `{}`, 400, "address: is missing"},
	},
	"GET /v1/faults": nil,
	"POST /v1/faults": {
		{"", `{}`, 400, "do: must have one action"},
		{"", `{"match": {"api": "Nonsense"}, "do": {"hold": true}}`, 400, "match.api: "},
		{"", `{"match": {"api": []}, "do": {"hold": true}}`, 400, "match.api: must have a name"},
		{"", `{"match": {"member": []}, "do": {"hold": true}}`, 400, "match.member: must have a name"},
		{"", `{"match": {"topic": ["t", ""]}, "do": {"hold": true}}`, 400, "match.topic: must not be empty"},
		{"", `{"match": {"topic": "` + strings.Repeat("x", 20_000) + `"}, "do": {"hold": true}}`, 400,
			"match: must not have more than 16384 bytes"},
		{"", `{"match": {"api": "SaslHandshake", "topic": "t"}, "do": {"hold": true}}`, 400, "match.topic: "},
		{"", `{"when": {}, "do": {"hold": true}}`, 400, "when: must be one of"},
		{"", `{"do": {"delay": "-1s"}}`, 400, "do.delay: must not be negative"},
		{"", `{"do": {"delay": "9999999h"}}`, 400, "do.delay: must be a duration"},
	},
	"PUT /v1/faults": {
		{"", `[{"do": {"hold": true}}, {"do": {"error": "NONSENSE"}}]`, 400, "[1].do.error: "},
		{"", `[` + strings.Repeat(`{"do":{"hold":true}},`, 1000) + `{"do":{"hold":true}}]`, 409, "there can be 1000 rules"},
	},
	"DELETE /v1/faults": {{"?requireTriggered=yes", "", 400, "?requireTriggered: must be true or false"}},
	"GET /v1/faults/{id}": {{"?wait=held&timeout=61s", "", 400, "?timeout: "},
		{"?wait=held&timeout=-1s", "", 400, "?timeout: "}, {"?wait=never", "", 400, "?wait: "},
		{"?timeout=1s", "", 400, "?timeout: goes with ?wait only"}},
	"DELETE /v1/faults/{id}":       {{"?requireTriggered=1", "", 400, "?requireTriggered: "}},
	"POST /v1/faults/{id}/release": nil,
	"GET /v1/clock":                nil,
	"POST /v1/clock": {
		{"", `{}`, 400, "exactly one"},
		{"", `{"advance": "1s", "freeze": true}`, 400, "exactly one"},
		{"", `{"advance": "-1s"}`, 400, "advance: must not be negative"},
		{"", `{"advance": "2600000h"}`, 400, "advance: must be a duration"},
		{"", `{"set": "1969-01-01T00:00:00Z"}`, 409, "does not go back"},
		{"", `{"set": "2200-01-01T00:00:01Z"}`, 400, "set: must not be later than 2200-01-01"},
		{"", `{"set": "9999-12-31T23:59:59Z"}`, 400, "set: must not be later than 2200-01-01"},
		{"", `{"advance": "2000000h"}`, 400, "advance: must not go beyond 2200-01-01"},
		{"", `{"freeze": true, "expireMembers": true}`, 400, "expireMembers: "},
	},
	"POST /v1/await": {
		{"", `{}`, 400, "exactly one"},
		{"", `{"idle": "1ms", "caughtUp": {"group": "g"}}`, 400, "exactly one"},
		{"", `{"group": {"id": "g", "members": 1}, "timeout": "1h"}`, 400, "timeout: "},
		{"", `{"group": {"id": "g", "members": 1}, "timeout": "soon"}`, 400, "timeout: "},
		{"", `{"committed": {"group": "g"}}`, 400, "committed.topic: is missing"},
		{"", `{"caughtUp": {}}`, 400, "caughtUp.group: is missing"},
		{"", `{"transaction": {"id": "x", "state": "Ongoing", "absent": true}}`, 400, "transaction: must have one of"},
		{"", `{"fault": {"id": "f1"}}`, 400, "fault: must have one of"},
		{"", `{"fault": {"id": "f1", "held": -1}}`, 400, "fault.held: must not be negative"},
		{"", `{"idle": "-1s"}`, 400, "idle: must not be negative"},
		{"", `{"group": {"id": "g", "state": "Asleep"}}`, 400, "group.state: there is no"},
		{"", `{"group": {"id": "g", "members": -1}}`, 400, "group.members: must not be negative"},
		{"", `{"committed": {"group": "g", "topic": "t", "offset": -1}}`, 400, "committed.offset: must not be negative"},
		{"", `{"committed": {"group": "g", "topic": "t", "partition": -1}}`, 400,
			"committed.partition: must not be negative"},
		{"", `{"partition": {"topic": "t", "partition": -1, "records": 1}}`, 400,
			"partition.partition: must not be negative"},
		{"", `{"partition": {"topic": "t", "records": -1}}`, 400, "partition.records: must not be negative"},
	},
	"POST /v1/reset": {{"", `{"keep": ["groups"]}`, 400, "keep: there is no"}},
	"POST /v1/restart": {{"", `{}`, 400, "how: must be"}, {"", `{"how": "kill", "downFor": "-1s"}`, 400, "downFor: "},
		{"", `{"how": "kill", "downFor": "61s"}`, 400, "downFor: "}},
	"GET /v1/snapshots": nil,
	"PUT /v1/snapshots/{name}": {
		{"/../v1/snapshots/" + strings.Repeat("x", 65), "", 400, "1 to 64 letters"},
		{"/../v1/snapshots/a%2Fb", "", 400, "1 to 64 letters"},
		{"/../v1/snapshots/%2e%2e", "", 400, "1 to 64 letters"},
		{"/../v1/snapshots/x.json", "", 400, "1 to 64 letters"},
	},
	"DELETE /v1/snapshots/{name}":       {{"/../v1/snapshots/..%2Fdata", "", 404, "no snapshot"}},
	"GET /v1/snapshots/{name}/archive":  {{"/../v1/snapshots/..%2Fdata/archive", "", 404, "no snapshot"}},
	"PUT /v1/snapshots/{name}/archive":  {{"", "nonsense", 400, "not an archive"}},
	"POST /v1/snapshots/{name}/restore": {{"/../v1/snapshots/..%2Fdata/restore", "", 404, "no snapshot"}},
	"GET /v1/clusters":                  nil,
	"POST /v1/clusters": {
		{"", `{}`, 400, "name: is missing"},
		{"", `{"name": "a/b"}`, 400, "name must have"},
		{"", `{"name": "` + strings.Repeat("x", 65) + `"}`, 400, "name must have"},
		{"", `{"name": "a", "port": 65536}`, 400, "port: must be"},
		{"", `{"name": "a", "port": -1}`, 400, "port: must be"},
		{"", `{"name": "a", "from": "../x"}`, 404, "no snapshot"},
		{"", `{"name": "a", "advertised": "nowhere"}`, 400, "HOST:PORT"},
		{"", `{"name": "default"}`, 409, "there is a cluster"},
	},
	"DELETE /v1/clusters/{name}": nil,
	"POST /v1/topics": {
		{"", `{}`, 400, "must be a list"},
		{"", `[{"partitions": 1}]`, 400, "name"},
		{"", `[{"name": "a", "partitions": 0}]`, 400, "partitions"},
		{"", `[{"name": "a", "partitions": 10001}]`, 400, "partitions"},
		{"", `[{"name": "a", "partitions": 9000}, {"name": "b", "partitions": 9000}]`, 400, "more than 10000 partitions"},
		{"", `[{"name": "../a"}]`, 400, "name"},
		{"", `[{"name": "a", "configs": {"nonsense": "1"}}]`, 400, "nonsense"},
		{"", `[{"name": "a", "records": [{"value": {"base64": "%"}}]}]`, 400, "base64"},
		{"", `[{"name": "a"}, {"name": "a"}]`, 400, "twice"},
		{"", `[` + strings.Repeat(`[],`, 1_000_000) + `[]]`, 400, "more than 1000000 values"},
		{"", strings.Repeat("[", 100_000), 400, "nested too deep"},
	},
	"GET /v1/transactions": {{"?limit=0", "", 400, "?limit: "},
		{"?limit=1001", "", 400, "?limit: "}, {"?open=maybe", "", 400, "?open: "}},
	"GET /v1/transactions/{id}":        nil,
	"POST /v1/transactions/{id}/fence": nil,
	"POST /v1/transactions/{id}/abort": nil,
	"POST /v1/transactions/{id}/hang":  nil,
	"GET /v1/topics": {{"?limit=x", "", 400, "?limit: "},
		{"?open=1", "", 400, "?open: "}},
	"GET /v1/topics/{topic}":                       nil,
	"GET /v1/groups":                               {{"?limit=-1", "", 400, "?limit: "}},
	"GET /v1/groups/{id}":                          nil,
	"POST /v1/groups/{id}/rebalance":               nil,
	"POST /v1/groups/{id}/members/{member}/expire": nil,
	"GET /v1/records/{topic}/{partition}": {{"/../v1/records/t/9999999999", "", 404, "no partition"},
		{"/../v1/records/t/-1", "", 404, "no partition"}, {"/../v1/records/t/0?from=-1", "", 400, "?from: "},
		{"/../v1/records/t/0?limit=1001", "", 400, "?limit: "}},
	"GET /v1/requests": {{"?limit=0", "", 400, "?limit: "},
		{"?limit=10001", "", 400, "?limit: "}, {"?since=yesterday", "", 400, "?since: "},
		{"?follow=please", "", 400, "?follow: "}},
	"POST /v1/partitions/{topic}/{partition}/offline": {{"/../v1/partitions/t/99/offline", "", 404, "no partition"}},
	"POST /v1/partitions/{topic}/{partition}/online":  {{"/../v1/partitions/t/0x0/online", "", 404, "no partition"}},
	"POST /v1/producers/{id}/forget": {{"/../v1/producers/1/forget", `{}`, 400, "topic: is missing"},
		{"/../v1/producers/1/forget", `{"topic": "t"}`, 404, "does not know"},
		{"/../v1/producers/x/forget", `{"topic": "t"}`, 404, "is a number"}},
	"POST /v1/verify": {{"", `{}`, 400, "input: is missing"},
		{"", `{"input": "t", "output": "t", "key": "offset"}`, 400, "key: must be"},
		{"", `{"input": "none", "output": "t", "key": "key"}`, 400, "input: there is no topic"}},
	"GET /v1/findings": {{"?ignore=nonsense", "", 400, "?ignore: has no code"},
		{"?ignore=", "", 400, "?ignore: has no code"}},
	"DELETE /v1/findings":          nil,
	"GET /v1/hanging":              {{"?limit=0", "", 400, "?limit: "}},
	"POST /v1/coordinators/reload": nil,
	"POST /v1/producers/{id}/abort": {{"/../v1/producers/1/abort", `{}`, 400, "topic: is missing"},
		{"/../v1/producers/1/abort", `{"topic": "t"}`, 409, "no transaction open"},
		{"/../v1/producers/x/abort", `{"topic": "t"}`, 404, "is a number"}},
	"POST /v1/check": nil,
}

// operation is a call as /v1/openapi.json describes it.
type operation struct {
	RequestBody *struct {
		Required bool
		Content  map[string]any
	}
}

func (o operation) takes(kind string) bool {
	if o.RequestBody == nil {
		return false
	}
	_, ok := o.RequestBody.Content[kind]
	return ok
}

// operations are the calls below /v1.
func (l overHTTP) operations() map[string]operation {
	var description struct {
		Paths map[string]map[string]operation
	}
	l.into("GET", "/v1/openapi.json", "", &description)
	all := map[string]operation{}
	for path, methods := range description.Paths {
		for method, o := range methods {
			if !strings.HasPrefix(path, "/v1/clusters/{cluster}") {
				all[strings.ToUpper(method)+" "+path] = o
			}
		}
	}
	return all
}

// Bad input to any call is answered with what is wrong, and changes nothing. A call without rows fails this test.
func TestBadInputToEveryCall(t *testing.T) {
	l := startLab(t)
	seen := []string{"/v1/topics", "/v1/groups", "/v1/transactions", "/v1/faults", "/v1/snapshots", "/v1/clusters"}
	state := func() (all string) {
		for _, at := range seen {
			_, text := l.ask("GET", at, "")
			all += text
		}
		return all
	}
	before := state()
	operations := l.operations()
	for _, name := range slices.Sorted(maps.Keys(operations)) {
		rows, ok := badInput[name]
		if !ok {
			t.Errorf("%s has no rows", name)
			continue
		}
		method, path, _ := strings.Cut(name, " ")
		o := operations[name]
		at := strings.NewReplacer("{", "", "}", "").Replace(path) // names that nothing has
		l.refused(method, at+"?nonsense=1", "", 400, "?nonsense: is unknown here")
		l.refused(method, at+"?%zz", "", 400, "the query: ")
		switch {
		case o.takes("application/json"):
			l.refused(method, at, `{"nonsense": 1}`, 400, "")
			l.refused(method, at, `{`, 400, "")
			l.refused(method, at, "\xff\xfe", 400, "")
			if o.RequestBody.Required {
				l.refused(method, at, "", 400, "is missing")
			}
			if method+path != "POST/v1/topics" { // it has another limit
				l.refused(method, at, `{"x": "`+strings.Repeat("x", 1<<20)+`"}`, 413, "1048576 bytes")
			}
		case !o.takes("application/zstd"):
			l.refused(method, at, `{}`, 400, "must be empty")
		}
		if strings.Contains(path, "{") && method+path != "PUT/v1/snapshots/{name}" && !strings.HasSuffix(path, "/archive") &&
			!o.takes("application/json") {
			l.refused(method, at, "", 404, "")
		}
		for _, row := range rows {
			to := at + row.path
			if other, ok := strings.CutPrefix(row.path, "/.."); ok {
				to = other
			}
			l.refused(method, to, row.body, row.status, row.want)
		}
		if after := state(); after != before {
			t.Errorf("%s has changed the state by %d bytes: …%.200s", name, len(after)-len(before),
				after[commonPrefix(before, after):])
			before = after
		}
	}
	for name := range badInput {
		if _, ok := operations[name]; !ok {
			t.Errorf("there is no call %s", name)
		}
	}
}

func commonPrefix(a, b string) (n int) {
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

// refused sends a request and expects a problem.
func (l overHTTP) refused(method, path, body string, status int, want string) {
	l.t.Helper()
	got, text := l.ask(method, path, body)
	var problem struct {
		Title, Detail string
		Status        int
	}
	err := json.Unmarshal([]byte(text), &problem)
	if got != status && !(status == 404 && got == 409) || err != nil || problem.Status != got || problem.Title == "" ||
		!strings.Contains(problem.Detail, want) {
		l.t.Errorf("%s %.200s %.200s: %d %.500s, want %d %q", method, path, body, got, text, status, want)
	}
}

// 64 awaits are under way at a time, and four uploads; one more is refused, and one that ends makes room.
func TestAwaitsAndUploadsAreLimited(t *testing.T) {
	l := startLab(t)
	const awaits, uploads = 64, 4
	ended := make(chan int, awaits)
	for range awaits {
		go func() {
			status := 429
			for status == 429 { // the question below takes a place for a moment
				status, _ = l.ask("POST", "/v1/await", `{"transaction": {"id": "late", "state": "Empty"}, "timeout": "60s"}`)
			}
			ended <- status
		}()
	}
	l.until("all awaits are under way", func() bool {
		status, _ := l.ask("POST", "/v1/await", `{"transaction": {"id": "none", "absent": true}, "timeout": "0s"}`)
		return status == 429
	})
	l.expect("GET", "/v1/requests?follow=true", "", 429, "64 awaits and streams")
	l.expect("GET", "/v1/clock", "", 200)
	l.InitProducer("late")
	for range awaits {
		if status := <-ended; status != 200 {
			t.Errorf("an await is answered %d", status)
		}
	}
	l.expect("POST", "/v1/await", `{"transaction": {"id": "none", "absent": true}}`, 200)

	var open []net.Conn
	for i := range uploads {
		c, err := net.Dial("tcp", l.AdminAddr())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		// The answer 100 comes when the body is read: the upload has its place.
		fmt.Fprintf(c, "PUT /v1/snapshots/s%d/archive HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n"+
			"Expect: 100-continue\r\n\r\n", i)
		if line, err := bufio.NewReader(c).ReadString('\n'); line != "HTTP/1.1 100 Continue\r\n" {
			t.Fatalf("upload %d: %q, %v", i, line, err)
		}
		open = append(open, c)
	}
	l.expect("PUT", "/v1/snapshots/x/archive", "nonsense", 429)
	for _, c := range open {
		c.Close()
	}
	l.until("there is room for an upload", func() bool {
		status, _ := l.ask("PUT", "/v1/snapshots/x/archive", "nonsense")
		return status == 400
	})
	l.expect("GET", "/v1/snapshots", "", 200, "[]")
}

// until waits for a condition.
func (l overHTTP) until(what string, holds func() bool) {
	l.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !holds() {
		if time.Now().After(deadline) {
			l.t.Fatal("it did not come that " + what)
		}
		timer := time.NewTimer(time.Millisecond)
		<-timer.C
	}
}

// A body of topics may be longer than others, up to the limit of archives.
func TestTopicsHaveTheLimitOfArchives(t *testing.T) {
	l := startLab(t, brokertest.WithSettings(t, map[string]string{"lab.archive.max.bytes": "3000000"}))
	record := func(n int) string { return `{"value": "` + strings.Repeat("x", n) + `"}` }
	l.expect("POST", "/v1/topics", `[{"name": "large", "records": [`+record(800_000)+`,`+record(800_000)+`]}]`, 200,
		`"logEndOffset": 2`)
	l.expect("POST", "/v1/topics", `[{"name": "larger", "records": [`+record(3_000_000)+`]}]`, 413, "3000000 bytes")
}

// The end of a cluster closes the connections of its clients, also those that wait, that are held or that get no
// answer.
func TestClusterIsDeletedUnderItsClients(t *testing.T) {
	l := startLab(t)
	var c madeCluster
	l.into("POST", "/v1/clusters", `{"name": "a"}`, &c)
	kafkatest.Connect(t, c.Bootstrap).CreateTopic("t", 1, nil)
	l.expect("POST", "/v1/clusters/a/faults", `{"match": {"api": "Produce"}, "do": {"hold": true}}`, 201)
	l.expect("POST", "/v1/clusters/a/faults", `{"match": {"api": "ListOffsets"}, "do": {"blackhole": true}}`, 201)
	waiting := kafkatest.FetchRequest("t", 0, 0, false)
	waiting.MaxWaitMillis, waiting.MinBytes = 3_600_000, 1
	list := kmsg.NewPtrListOffsetsRequest()
	list.Version = 1
	join := kmsg.NewPtrJoinGroupRequest()
	join.Version = 1
	var conns []*kafkatest.Conn
	for _, r := range []kmsg.Request{one(0, "held"), waiting, list, kmsg.NewPtrMetadataRequest()} {
		conn, err := kafkatest.Dial(c.Bootstrap)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Send(r); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
	}
	l.expect("GET", "/v1/clusters/a/faults/f1?wait=held", "", 200)
	l.expect("GET", "/v1/clusters/a/faults/f2?wait=triggered", "", 200)
	l.expect("DELETE", "/v1/clusters/a", "", 200)
	for i, conn := range conns {
		_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := io.Copy(io.Discard, conn); err != nil && !strings.Contains(err.Error(), "reset") {
			t.Errorf("connection %d: %v", i, err)
		}
	}
	l.expect("GET", "/v1/clusters/a/faults", "", 404)
	l.expect("POST", "/v1/clusters", `{"name": "a"}`, 201)
	l.Append(one(0, "the default one goes on"))
}

// A page of another site, and one whose name has been bound to this machine, change nothing and read nothing. A name
// without a dot, as of a container in the same network, is served.
func TestForeignPagesReachNothing(t *testing.T) {
	l := startLab(t)
	l.Append(one(0, "kept"))
	for _, c := range []struct {
		method, path, host, body string
		header                   map[string]string
		status                   int
	}{
		{"POST", "/v1/reset", "", "", map[string]string{"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"},
			403},
		{"POST", "/v1/reset", "", "{}", map[string]string{"Content-Type": "text/plain"}, 415},
		{"POST", "/v1/reset", "", "a=b", map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, 415},
		{"POST", "/v1/reset", "", "", map[string]string{"Origin": "null"}, 403},
		{"POST", "/v1/reset", "evil.example:9644", "", nil, 403},
		{"GET", "/v1/topics", "evil.example", "", nil, 403},
		{"GET", "/debug/pprof/cmdline", "evil.example", "", nil, 403},
		{"GET", "/", "evil.example", "", nil, 403},
		{"GET", "/metrics", "evil.example", "", nil, 200},
		{"GET", "/v1/topics", "once:9644", "", nil, 200},
	} {
		r, err := http.NewRequestWithContext(t.Context(), c.method, "http://"+l.AdminAddr()+c.path, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		r.Host = c.host
		for name, value := range c.header {
			r.Header.Set(name, value)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != c.status || c.status == 403 && c.host != "" && !strings.Contains(string(text), "lab.hosts") {
			t.Errorf("%+v: %d %s", c, resp.StatusCode, text)
		}
	}
	l.values(0, "kept")
}
