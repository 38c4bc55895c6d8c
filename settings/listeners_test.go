package settings

import (
	"fmt"
	"maps"
	"strings"
	"testing"
)

// protocolMap is one as container images are given.
const protocolMap = "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,PLAINTEXT_HOST:PLAINTEXT,BROKER:PLAINTEXT,TC-0:PLAINTEXT,A:PLAINTEXT,B:plaintext," +
	"SSL:SSL,SASL_SSL:SASL_SSL,SASL_PLAINTEXT:SASL_PLAINTEXT"

// withMap adds what the image's users nearly always set.
func withMap(values Values) Values {
	all := Values{"listener.security.protocol.map": protocolMap, "controller.listener.names": "CONTROLLER"}
	maps.Copy(all, values)
	return all
}

// How modules and compose files write listeners. Kafka 4.4.0 does not take those that are called lenient.
func TestListenersAsTheyAreWritten(t *testing.T) {
	for _, tc := range []struct {
		name                               string
		values                             Values
		listeners, controllers, advertised string
	}{
		{"by default", nil, "[PLAINTEXT://127.0.0.1:9092]", "[]", "[]"},
		{"three, in any order",
			withMap(Values{"listeners": "CONTROLLER://0.0.0.0:9094,BROKER://0.0.0.0:9093,PLAINTEXT://:9092",
				"advertised.listeners": "PLAINTEXT://localhost:32768,BROKER://kafka_1:9093"}),
			"[BROKER://0.0.0.0:9093 PLAINTEXT://:9092]", "[CONTROLLER://0.0.0.0:9094]",
			"[PLAINTEXT://localhost:32768 BROKER://kafka_1:9093]"},
		{"digits, hyphens, underscores, lower case, and an alias of a network",
			withMap(Values{"listeners": "plaintext_host://:29092,TC-0://kafka:19092",
				"advertised.listeners": "TC-0://kafka:19092"}),
			"[PLAINTEXT_HOST://:29092 TC-0://kafka:19092]", "[]", "[TC-0://kafka:19092]"},
		{"IPv6, in brackets and without", Values{"listeners": "PLAINTEXT://[::1]:9092",
			"advertised.listeners": "PLAINTEXT://fd00::1:9092"},
			"[PLAINTEXT://[::1]:9092]", "[]", "[PLAINTEXT://[fd00::1]:9092]"},
		{"one port on an IPv4 and an IPv6 address", withMap(Values{"listeners": "A://127.0.0.1:9092,B://[::1]:9092"}),
			"[A://127.0.0.1:9092 B://[::1]:9092]", "[]", "[]"},
		{"free ports", withMap(Values{"listeners": "A://:0,B://:0,CONTROLLER://:0"}), "[A://:0 B://:0]", "[CONTROLLER://:0]",
			"[]"},
		{"one entry twice", Values{"listeners": "PLAINTEXT://:1,PLAINTEXT://:1"}, "[PLAINTEXT://:1]", "[]", "[]"},
		{"one port advertised twice", withMap(Values{"listeners": "A://:1,B://:2",
			"advertised.listeners": "B://h:1,A://h:1"}),
			"[A://:1 B://:2]", "[]", "[B://h:1 A://h:1]"},
		{"advertised port and host left to the connection",
			withMap(Values{"listeners": "A://:1,B://:2", "advertised.listeners": "A://h:0,B://:9"}),
			"[A://:1 B://:2]", "[]", "[A://h:0 B://:9]"},
		{"listeners follow from the advertised ones",
			withMap(Values{"advertised.listeners": "A://localhost:9092,B://kafka:19092"}),
			"[A://:9092 B://:19092]", "[]", "[A://localhost:9092 B://kafka:19092]"},
		{"an advertised controller", withMap(Values{"listeners": "A://:1,CONTROLLER://:2",
			"advertised.listeners": "A://h:1,CONTROLLER://h:2"}),
			"[A://:1]", "[CONTROLLER://:2]", "[A://h:1]"},
		{"a controller that has SASL", Values{"listeners": "PLAINTEXT://:1,C://:2", "controller.listener.names": "C",
			"listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,C:SASL_SSL"},
			"[PLAINTEXT://:1]", "[C://:2]", "[]"},
		{"two entries of the map for one listener", Values{"listeners": "A://:1",
			"listener.security.protocol.map": "A:SSL,A : PLAINTEXT,"}, "[A://:1]", "[]", "[]"},
		{"a listener between brokers", withMap(Values{"listeners": "A://:1,B://:2", "inter.broker.listener.name": "b"}),
			"[A://:1 B://:2]", "[]", "[]"},

		{"lenient: a comma at the end", withMap(Values{"listeners": "A://:1,", "advertised.listeners": "A://h:1,",
			"controller.listener.names": "CONTROLLER,"}),
			"[A://:1]", "[]", "[A://h:1]"},
		{"lenient: two addresses of hostname -i", withMap(Values{"listeners": "A://10.0.0.1 10.1.0.1:1,B://:2",
			"advertised.listeners": "A://10.0.0.1 10.1.0.1:1,B://10.0.0.1 fd00::1 :2"}),
			"[A://10.0.0.1:1 B://:2]", "[]", "[A://10.0.0.1:1 B://10.0.0.1:2]"},
		{"lenient: a start as with ZooKeeper", Values{"listeners": "PLAINTEXT://0.0.0.0:9093,BROKER://0.0.0.0:9092",
			"listener.security.protocol.map": protocolMap,
			"inter.broker.listener.name":     "BROKER", "zookeeper.connect": "localhost:2181", "broker.id": "1"},
			"[PLAINTEXT://0.0.0.0:9093 BROKER://0.0.0.0:9092]", "[]", "[]"},
		{"lenient: the controller's name without controller.listener.names",
			Values{"listeners": "PLAINTEXT://:1,CONTROLLER://:2"},
			"[PLAINTEXT://:1]", "[CONTROLLER://:2]", "[]"},
		{"lenient: controller.listener.names without such a listener",
			withMap(Values{"listeners": "A://:1", "process.roles": "broker,controller"}), "[A://:1]", "[]", "[]"},
		{"lenient: no listener between brokers", withMap(Values{"listeners": "A://:1", "process.roles": "broker"}),
			"[A://:1]", "[]", "[]"},
	} {
		b, unknown, err := Resolve(tc.values)
		if err != nil || len(unknown) > 0 {
			t.Errorf("%s: %v, unknown %q", tc.name, err, unknown)
			continue
		}
		if got := fmt.Sprint(b.Listeners); got != tc.listeners {
			t.Errorf("%s: listeners %s, want %s", tc.name, got, tc.listeners)
		}
		if got := fmt.Sprint(b.ControllerListeners); got != tc.controllers {
			t.Errorf("%s: listeners of the controller %s, want %s", tc.name, got, tc.controllers)
		}
		if got := fmt.Sprint(b.advertisedListeners); got != tc.advertised {
			t.Errorf("%s: advertised listeners %s, want %s", tc.name, got, tc.advertised)
		}
		if got := b.ListenersAreSet(); got != (tc.values != nil) {
			t.Errorf("%s: listeners are set: %v", tc.name, got)
		}
	}
}

func TestListenersThatAreRefused(t *testing.T) {
	for _, tc := range []struct {
		values Values
		want   string
	}{
		{Values{"listeners": "localhost:9092"},
			`listeners=localhost:9092: must be NAME://HOST:PORT, which "localhost:9092" is not`},
		{Values{"listeners": "PLAINTEXT://localhost"},
			`listeners=PLAINTEXT://localhost: must be NAME://HOST:PORT, which "PLAINTEXT://localhost" is not`},
		{Values{"listeners": "PLAINTEXT://${HOST}:9092"},
			`must be NAME://HOST:PORT, which "PLAINTEXT://${HOST}:9092" is not`},
		{Values{"listeners": "://h:1"}, `must be NAME://HOST:PORT, which "://h:1" is not`},
		{Values{"listeners": ","}, "listeners=,: must not be empty"},
		{Values{"advertised.listeners": ""}, "advertised.listeners=: must not be empty"},
		{Values{"listeners": "PLAINTEXT://:65536"},
			"listeners=PLAINTEXT://:65536: has a port that is not between 0 and 65535: 65536"},
		{Values{"listeners": "PLAINTEXT://:-1"}, "has a port that is not between 0 and 65535: -1"},
		{Values{"advertised.listeners": "PLAINTEXT://h:99999"},
			"advertised.listeners=PLAINTEXT://h:99999: has a port that is not between 0 and 65535: 99999"},
		{Values{"listeners": "EXTERNAL://:1"},
			"listeners=EXTERNAL://:1: EXTERNAL is not in listener.security.protocol.map, which is SASL_SSL:SASL_SSL,"},
		{Values{"advertised.listeners": "EXTERNAL://h:1"},
			"advertised.listeners=EXTERNAL://h:1: EXTERNAL is not in listener.security.protocol.map"},
		{Values{"listener.security.protocol.map": "PLAINTEXT:TLS"},
			`listener.security.protocol.map=PLAINTEXT:TLS: must be LISTENER:PROTOCOL pairs with a protocol of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL, which "PLAINTEXT:TLS" is not`},
		{withMap(Values{"listeners": "A://:1,SSL://:2"}),
			"listeners=A://:1,SSL://:2: SSL has the security protocol SSL, and only PLAINTEXT is served"},
		{withMap(Values{"listeners": "SASL_PLAINTEXT://:2"}),
			"SASL_PLAINTEXT has the security protocol SASL_PLAINTEXT, and only"},
		{Values{"listeners": "A://:1", "listener.security.protocol.map": "A:PLAINTEXT,A:SASL_SSL"},
			"A has the security protocol SASL_SSL, and only"},
		{Values{"security.inter.broker.protocol": "SASL_SSL"}, "security.inter.broker.protocol=SASL_SSL: must be PLAINTEXT"},
		{withMap(Values{"listeners": "A://:1,a://:2"}), "listeners=A://:1,a://:2: A stands twice"},
		{withMap(Values{"listeners": "A://:1,B://:1"}), "listeners=A://:1,B://:1: A and B have one port, 1"},
		{withMap(Values{"listeners": "A://127.0.0.1:1,B://127.0.0.2:1"}), "A and B have one port, 1"},
		{withMap(Values{"listeners": "A://[::1]:1,B://:1"}), "A and B have one port, 1"},
		{withMap(Values{"listeners": "A://:1,CONTROLLER://:1"}), "A and CONTROLLER have one port, 1"},
		{withMap(Values{"advertised.listeners": "A://h:1,B://h:1"}),
			"advertised.listeners=A://h:1,B://h:1: A and B have one port, 1"},
		{withMap(Values{"listeners": "CONTROLLER://:1"}), "listeners=CONTROLLER://:1: must have a listener for clients"},
		{Values{"advertised.listeners": "PLAINTEXT://0.0.0.0:9092"},
			"advertised.listeners=PLAINTEXT://0.0.0.0:9092: must name an address that clients can reach, not 0.0.0.0"},
		{Values{"advertised.listeners": "PLAINTEXT://[::]:9092"}, "must name an address that clients can reach, not ::"},
		{withMap(Values{"listeners": "A://:1", "advertised.listeners": "A://h:1,B://h:2"}),
			"advertised.listeners=A://h:1,B://h:2: B is not in listeners, which is A://:1"},
		{withMap(Values{"listeners": "A://:1", "advertised.listeners": "A://h:1,A://g:1"}),
			"advertised.listeners=A://h:1,A://g:1: A stands twice"},
		{withMap(Values{"listeners": "A://:1", "inter.broker.listener.name": "B"}),
			"inter.broker.listener.name=B: is not in listeners, which is A://:1"},
		{withMap(Values{"listeners": "A://:1,CONTROLLER://:2", "inter.broker.listener.name": "CONTROLLER"}),
			"inter.broker.listener.name=CONTROLLER: must not be a listener of the controller"},
		{Values{"process.roles": "controller"}, "process.roles=controller: must have the role broker"},
		{Values{"published.port": "0"}, "published.port=0: must be between 1 and 65535"},
	} {
		_, _, err := Resolve(tc.values)
		if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v:\n%v\nwant one line with\n%s", tc.values, err, tc.want)
		}
	}
}

func TestAdvertisedListenerByName(t *testing.T) {
	b := resolve(t, withMap(Values{"listeners": "A://:1,B://:2", "advertised.listeners": "B://h:3"}))
	if l, ok := b.AdvertisedListener("B"); !ok || l.Address() != "h:3" {
		t.Errorf("B: %v, %v", l, ok)
	}
	if l, ok := b.AdvertisedListener("A"); ok {
		t.Errorf("A: %v", l)
	}
}

// What DescribeConfigs shows is what is listened on.
func TestDerivedListenersAreShown(t *testing.T) {
	b := resolve(t, withMap(Values{"advertised.listeners": "A://h:1"}))
	for _, e := range b.DescribeBroker() {
		if e.Name == "listeners" && (e.Value != "A://:1" || e.Source != SourceDefault) {
			t.Errorf("shown as %q, source %d", e.Value, e.Source)
		}
	}
}
