package broker_test

import (
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/broker/brokertest"
	"once/cluster"
	"once/internal/kafkatest"
)

// change alters one setting of the broker, or with an empty name the default of the cluster; without a value it deletes
// the setting. It returns the code of the answer.
func change(t *testing.T, addr, resource, name, value string) int16 {
	t.Helper()
	r := kmsg.NewPtrIncrementalAlterConfigsRequest()
	r.Version = 1
	c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	if c.Name, c.Value = name, &value; value == "" {
		c.Op, c.Value = kmsg.IncrementalAlterConfigOpDelete, nil
	}
	r.Resources = []kmsg.IncrementalAlterConfigsRequestResource{{
		ResourceType: kmsg.ConfigResourceTypeBroker, ResourceName: resource,
		Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{c},
	}}
	return kafkatest.Connect(t, addr).Answer(r).(*kmsg.IncrementalAlterConfigsResponse).Resources[0].ErrorCode
}

// A module that learns the published port when the container runs alters advertised.listeners: clients are told so at
// once and after a restart, until it is deleted. A fork is elsewhere, and a reset forgets it.
func TestAdvertisedListenersChangeWhileTheBrokerRuns(t *testing.T) {
	const listeners, changed = "advertised.listeners", "PLAINTEXT://127.0.0.1:32768,BROKER://localhost:9092"
	dir := t.TempDir()
	options := []brokertest.Option{brokertest.WithDataDir(dir), brokertest.WithSettings(t, map[string]string{
		"listeners":                      "PLAINTEXT://127.0.0.1:0,BROKER://127.0.0.1:0",
		"listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,BROKER:PLAINTEXT",
		listeners:                        "PLAINTEXT://localhost:9093,BROKER://localhost:9092"})}
	b := brokertest.Start(t, options...)
	expectTold(t, b.Addr(), "localhost:9093")
	if code := change(t, b.Addr(), "1", listeners, changed); code != 0 {
		t.Fatalf("refused with code %d", code)
	}
	expectTold(t, b.Addr(), "127.0.0.1:32768")
	expectTold(t, b.Listeners()[1].Address(), "localhost:9092")

	for _, refused := range []struct {
		resource, name, value string
		code                  int16
	}{
		{"1", listeners, "OTHER://h:1", 42},
		{"1", listeners, "PLAINTEXT://0.0.0.0:1", 42},
		{"1", listeners, "PLAINTEXT:1", 42},
		{"1", "num.partitions", "7", 42},
		{"2", listeners, changed, 42},
		{"", listeners, changed, 42},
	} {
		if code := change(t, b.Addr(), refused.resource, refused.name, refused.value); code != refused.code {
			t.Errorf("%+v: code %d", refused, code)
		}
	}
	expectTold(t, b.Addr(), "127.0.0.1:32768")
	fork := b.Fork(t)
	if told := told(t, fork.Addr())[0]; told == "127.0.0.1:32768" {
		t.Error("a fork tells the address of the original")
	}

	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b = brokertest.Start(t, options...)
	expectTold(t, b.Addr(), "127.0.0.1:32768")
	if code := change(t, b.Addr(), "1", listeners, ""); code != 0 {
		t.Fatalf("deleting it: code %d", code)
	}
	expectTold(t, b.Addr(), "localhost:9093")
	change(t, b.Addr(), "1", listeners, changed)
	b.Reset()
	expectTold(t, b.Addr(), "localhost:9093")
}

// Listeners that are left to advertised.listeners follow from what was set at the start, and not from a change.
func TestChangedAdvertisedListenersOpenNoListener(t *testing.T) {
	b := brokertest.Start(t, brokertest.WithSettings(t, map[string]string{"listeners": "PLAINTEXT://127.0.0.1:0"}))
	if code := change(t, b.Addr(), "1", "advertised.listeners", "SSL://h:1"); code != 42 {
		t.Errorf("a listener that is not open: code %d", code)
	}
	if code := change(t, b.Addr(), "1", "advertised.listeners", "PLAINTEXT://h:1"); code != 0 {
		t.Errorf("code %d", code)
	}
	expectTold(t, b.Addr(), "h:1")
	r := kmsg.NewPtrDescribeConfigsRequest()
	r.Version, r.Resources = 4, []kmsg.DescribeConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeBroker,
		ResourceName: "1",
		ConfigNames:  []string{"advertised.listeners", "listeners"}}}
	var shown []string
	for _, c := range kafkatest.Connect(t, b.Addr()).Answer(r).(*kmsg.DescribeConfigsResponse).Resources[0].Configs {
		shown = append(shown, c.Name+"="+*c.Value+" "+c.Source.String())
	}
	want := "advertised.listeners=PLAINTEXT://h:1 DYNAMIC_BROKER_CONFIG; listeners=PLAINTEXT://127.0.0.1:0 STATIC_BROKER_CONFIG"
	if got := strings.Join(shown, "; "); got != want {
		t.Errorf("described as %s, want %s", got, want)
	}
}

func TestAddressForClientsFromOutsideIsChecked(t *testing.T) {
	b := brokertest.Start(t)
	for _, wrong := range []string{"localhost", ":9092", "localhost:0", "localhost:65536", "localhost:x", "0.0.0.0:9092",
		"[::]:9092",
		net.JoinHostPort(strings.Repeat("a", 254), "1")} {
		if err := b.SetAdvertised(wrong); !errors.Is(err, cluster.ErrConfig) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
	expectTold(t, b.Addr(), b.Addr())
}
