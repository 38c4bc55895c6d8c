package broker_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/broker"
	"once/broker/brokertest"
)

// logged is what a broker has logged.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// With lab.token the lab asks for the token, and nothing shows it.
func TestTokenOfTheLab(t *testing.T) {
	const token = "s3cret-of-the-lab"
	log := &logged{}
	l := startLab(t, brokertest.WithSettings(t, map[string]string{"lab.token": token}),
		func(c *broker.Config) {
			c.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		})
	for _, path := range []string{"/v1/topics", "/v1/clock", "/state", "/debug/pprof/cmdline"} {
		l.expect("GET", path, "", 401, "Authorization: Bearer TOKEN")
	}
	l.expect("POST", "/v1/reset", "", 401, `"status": 401`)
	l.expect("POST", "/v1/clusters", `{"name": "a"}`, 401)
	l.expect("GET", "/v1/openapi.json", "", 200, `"securitySchemes":{"token":{`)
	l.expect("GET", "/healthz", "", 200)
	r, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+l.AdminAddr()+"/v1/coordinators/reload", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if text, err := io.ReadAll(answer.Body); answer.StatusCode != 200 || err != nil {
		t.Errorf("with the token: %s %s, %v", answer.Status, text, err)
	}

	describe := kmsg.NewPtrDescribeConfigsRequest()
	describe.Version, describe.IncludeSynonyms = 4, true
	describe.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeBroker,
		ResourceName: "1"}}
	described := l.Answer(describe).(*kmsg.DescribeConfigsResponse)
	found := false
	for _, c := range described.Resources[0].Configs {
		if c.Name != "lab.token" {
			continue
		}
		found = true
		if c.Value != nil || !c.IsSensitive || len(c.ConfigSynonyms) != 1 || c.ConfigSynonyms[0].Value != nil {
			t.Errorf("%+v", c)
		}
	}
	if !found {
		t.Error("DescribeConfigs does not have it")
	}
	settings := l.Cluster().Settings()
	for what, text := range map[string]string{"settings": fmt.Sprintf("%v %+v %#v", settings.LabToken, settings.LabToken,
		settings.LabToken),
		"changes": fmt.Sprint(settings.Changed()), "log": log.String()} {
		if strings.Contains(text, token) {
			t.Errorf("the %s have it: %s", what, text)
		}
	}
}
