package compat

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"once/broker"
	"once/broker/brokertest"
	"once/faults"
	"once/internal/apiname"
	"once/internal/kafkatest"
	"once/internal/script"
	"once/wire"
)

// Every API that ApiVersions lists: a rule made over HTTP has its answer say an error, where the code has its place,
// and another one loses its answer. The client is franz-go. The requests, and what Kafka's own classes answer to them,
// are those of the script of package handlers.
func TestFaultsOfEveryAPI(t *testing.T) {
	l := startLabOverHTTP(t)
	client := l.client()
	// The APIs of client metrics are listed while there is a subscription.
	subscribe := kmsg.NewPtrIncrementalAlterConfigsRequest()
	subscribe.Resources = []kmsg.IncrementalAlterConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeClientMetrics, ResourceName: "all",
		Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: "metrics", Value: kmsg.StringPtr("*")}}}}
	_, err := client.Request(t.Context(), subscribe)
	must(t, err)
	left := map[int16]bool{}
	listed, err := client.Request(t.Context(), kmsg.NewPtrApiVersionsRequest())
	must(t, err)
	for _, api := range listed.(*kmsg.ApiVersionsResponse).ApiKeys {
		left[api.ApiKey] = true
	}
	script.Run(t, "../../handlers/testdata/fail.txt", func(t *testing.T, c script.Command) string {
		request := kmsg.RequestForKey(keyNamed(c.Args[0].Name))
		delete(left, request.Key())
		if c.String("code", "") == "UNSUPPORTED_VERSION" {
			return c.Expected // TestFranzFallsBackToOldApiVersions
		}
		fillRequest(t, c, request)
		t.Run(apiname.Of(request.Key()), func(t *testing.T) {
			l := &labOverHTTP{t, l.b}
			l.failsWith(c, request)
			l.losesAnswer(request)
		})
		return c.Expected
	})
	for key := range left {
		t.Errorf("%s has no case", apiname.Of(key))
	}
}

// The first request of a connection gets UNSUPPORTED_VERSION, in the form that clients can read: the client asks again
// in an older version.
func TestFranzFallsBackToOldApiVersions(t *testing.T) {
	l := startLabOverHTTP(t)
	var made faults.State
	l.call("POST", "/faults", `{"match": {"api": "ApiVersions"}, "do": {"error": "UNSUPPORTED_VERSION"}}`, &made)
	l.client()
	var asked []remembered
	l.call("GET", "/requests?api=ApiVersions", "", &asked)
	if len(asked) != 2 || asked[0].Fault != made.ID || asked[1].Version != asked[0].Version-1 {
		t.Errorf("%+v", asked)
	}
}

// labOverHTTP is the lab of a broker.
type labOverHTTP struct {
	t *testing.T
	b *brokertest.Broker
}

func startLabOverHTTP(t *testing.T) *labOverHTTP {
	return &labOverHTTP{t, brokertest.Start(t, brokertest.WithMemory, func(c *broker.Config) { c.Admin = "127.0.0.1:0" })}
}

// client returns a client of one connection, which is open.
func (l *labOverHTTP) client() *kgo.Broker {
	l.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(l.b.Addr()), kgo.MaxVersions(nil), kgo.DisableClientMetrics())
	must(l.t, err)
	l.t.Cleanup(cl.Close)
	seed := cl.SeedBrokers()[0]
	_, err = seed.Request(l.t.Context(), kmsg.NewPtrListGroupsRequest())
	must(l.t, err)
	return seed
}

// call asks the lab, and decodes the answer.
func (l *labOverHTTP) call(method, path, body string, answer any) {
	l.t.Helper()
	r, err := http.NewRequestWithContext(l.t.Context(), method, "http://"+l.b.AdminAddr()+"/v1"+path,
		strings.NewReader(body))
	must(l.t, err)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(r)
	must(l.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	must(l.t, err)
	if resp.StatusCode/100 != 2 {
		l.t.Fatalf("%s %s %s: %s %s", method, path, body, resp.Status, text)
	}
	must(l.t, json.Unmarshal(text, answer))
}

// rule makes a rule for an API, and returns its last request and itself when it has acted on what do sends.
func (l *labOverHTTP) rule(key int16, action string, do func()) remembered {
	l.t.Helper()
	var made faults.State
	l.call("POST", "/faults", fmt.Sprintf(`{"match": {"api": %q}, "do": %s}`, apiname.Of(key), action), &made)
	do()
	var ended []faults.State
	l.call("DELETE", "/faults?requireTriggered=true", "", &ended)
	if ended[0].Triggered != 1 || ended[0].Last[0].API != apiname.Of(key) {
		l.t.Errorf("%+v", ended[0])
	}
	var last []remembered
	l.call("GET", "/requests?limit=1&api="+apiname.Of(key), "", &last)
	if len(last) != 1 || last[0].Fault != made.ID {
		l.t.Fatalf("the last request: %+v", last)
	}
	return last[0]
}

// remembered is a part of what GET /v1/requests says of a request.
type remembered struct {
	Version        int16
	Codes          []string
	Outcome, Fault string
}

// failsWith has a request answered with the code of a case.
func (l *labOverHTTP) failsWith(c script.Command, request kmsg.Request) {
	l.t.Helper()
	want := newestVersion(c.Expected)
	if want == "no answer" {
		return
	}
	code := c.String("code", "")
	client := l.client()
	entry := l.rule(request.Key(), fmt.Sprintf(`{"error": %q}`, code), func() {
		l.t.Helper()
		resp, err := client.Request(l.t.Context(), request)
		must(l.t, err)
		text := kafkatest.Text{Messages: true, WithoutDefaults: true, Sorted: c.Has("sorted"), Hide: c.List("hide"),
			Value: valueText}
		if got := text.Of(resp); got != want {
			l.t.Errorf("v%d:\n%s\nwant\n%s", resp.GetVersion(), got, want)
		}
	})
	codes := []string{code}
	if !strings.Contains(want, code) { // the answer has no place for it
		codes = []string{"NONE"}
	}
	if entry.Outcome != "answered" || !slices.Equal(entry.Codes, codes) {
		l.t.Errorf("the request is remembered as %s, %q", entry.Outcome, entry.Codes)
	}
}

// losesAnswer has the connection closed in place of the answer.
func (l *labOverHTTP) losesAnswer(request kmsg.Request) {
	l.t.Helper()
	client := l.client()
	entry := l.rule(request.Key(), `{"loseAnswer": true}`, func() {
		l.t.Helper()
		if resp, err := client.Request(l.t.Context(), request); err == nil && !isWithoutAcks(request) {
			l.t.Errorf("answered %+v", resp)
		}
	})
	if entry.Outcome != "closed" {
		l.t.Errorf("the request is remembered as %s", entry.Outcome)
	}
}

// isWithoutAcks says whether a request gets no answer anyway.
func isWithoutAcks(request kmsg.Request) bool {
	produce, ok := request.(*kmsg.ProduceRequest)
	return ok && produce.Acks == 0
}

// keyNamed returns the key of an API by the name that kmsg has for it.
func keyNamed(name string) int16 {
	for key := range int16(kmsg.MaxKey + 1) {
		if kmsg.NameForKey(key) == name {
			return key
		}
	}
	return -1
}

// newestVersion returns what stands in the output of a case for the newest version.
func newestVersion(output string) string {
	at := strings.LastIndex("\n"+output, "\nv")
	_, text, _ := strings.Cut(output[at:], "\n")
	return text
}

// fillRequest fills a request from the input of a case. The ID of a topic is one letter.
func fillRequest(t *testing.T, c script.Command, request kmsg.Request) {
	t.Helper()
	must(t, kafkatest.Fill(request, strings.Join(c.Input, "\n"), func(v reflect.Value, text string) error {
		switch {
		case v.Kind() == reflect.String:
			v.SetString(text)
		case v.Type() == reflect.TypeFor[[16]byte]():
			v.Set(reflect.ValueOf([16]byte{text[0]}))
		case v.Type() == reflect.TypeFor[[]byte]():
			v.SetBytes([]byte(text))
		default:
			return fmt.Errorf("a %s cannot be %q", v.Type(), text)
		}
		return nil
	}))
}

// valueText shows codes by their names and IDs of topics as the letter that stands for them.
func valueText(name string, v reflect.Value) (string, bool) {
	switch {
	case strings.HasSuffix(name, "ErrorCode"):
		return wire.Code(v.Int()).String(), true
	case v.Type() == reflect.TypeFor[[16]byte]():
		return string(rune(v.Index(0).Uint())), true
	}
	return "", false
}
