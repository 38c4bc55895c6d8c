package settings

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// What Apache Kafka 4.4.0 answers to DescribeConfigs stands in testdata/kafka-4.4.0.txt (4.3.1 was asked for what 4.4.0
// did not change), one section a resource: name|value|source|kind|read-only|sensitive| source:name=value of each
// synonym.
func kafkaSays(t *testing.T, section string) []string {
	t.Helper()
	text, err := os.ReadFile("testdata/kafka-4.4.0.txt")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), "# "+section+"\n")
	if !ok {
		t.Fatalf("no section %q", section)
	}
	body, _, _ := strings.Cut(rest, "\n\n")
	return strings.Split(strings.TrimSuffix(body, "\n"), "\n")
}

var sourceNames = map[int8]string{
	SourceTopic: "DYNAMIC_TOPIC_CONFIG", SourceDynamicBroker: "DYNAMIC_BROKER_CONFIG", SourceGroup: "DYNAMIC_GROUP_CONFIG",
	SourceDynamicDefault: "DYNAMIC_DEFAULT_BROKER_CONFIG", SourceStatic: "STATIC_BROKER_CONFIG",
	SourceDefault: "DEFAULT_CONFIG",
}

var kindNames = [...]string{"UNKNOWN", "BOOLEAN", "STRING", "INT", "SHORT", "LONG", "DOUBLE", "LIST", "CLASS",
	"PASSWORD"}

func line(e Entry) string {
	shown := func(value string, null bool) string {
		if null {
			return "null"
		}
		return value
	}
	flag := func(set bool, word string) string {
		if set {
			return word
		}
		return ""
	}
	text := fmt.Sprintf("%s|%s|%s|%s|%s|%s|", e.Name, shown(e.Value, e.Null), sourceNames[e.Source], kindNames[e.Kind],
		flag(e.ReadOnly, "read-only"), flag(e.Sensitive, "sensitive"))
	for _, s := range e.Synonyms {
		text += fmt.Sprintf(" %s:%s=%s", sourceNames[s.Source], s.Name, shown(s.Value, s.Null))
	}
	return text
}

func compare(t *testing.T, entries []Entry, section string) {
	t.Helper()
	want := kafkaSays(t, section)
	var got []string
	for _, e := range entries {
		got = append(got, line(e))
	}
	for _, l := range want {
		if !slices.Contains(got, l) {
			t.Errorf("%s: Kafka has\n\t%s", section, l)
		}
	}
	for _, l := range got {
		if !slices.Contains(want, l) {
			t.Errorf("%s: Kafka does not have\n\t%s", section, l)
		}
	}
	if !slices.IsSortedFunc(entries, func(x, y Entry) int { return strings.Compare(x.Name, y.Name) }) {
		t.Errorf("%s: not sorted by name", section)
	}
}

func resolve(t *testing.T, layers ...Values) *Broker {
	t.Helper()
	b, _, err := Resolve(layers...)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func fromFile(t *testing.T) *Broker {
	t.Helper()
	f, err := os.Open("testdata/server.properties")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	source, err := ParseProperties("server.properties", f)
	if err != nil {
		t.Fatal(err)
	}
	b, unknown, err := ResolveSources(source)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"no.such.thing"}; !slices.Equal(unknown, want) {
		t.Errorf("unknown names %q, want %q", unknown, want)
	}
	return b
}

func TestTopicsAreDescribedAsByKafka(t *testing.T) {
	// Kafka's default set-up keeps min.insync.replicas in the cluster's dynamic default.
	b, err := resolve(t).WithDynamic(nil, Values{"min.insync.replicas": "1"})
	if err != nil {
		t.Fatal(err)
	}
	compare(t, b.DescribeTopic(nil), "topic without settings, broker with Kafka's defaults")
	compare(t, b.DescribeTopic(Values{
		"retention.ms": "1000", "segment.ms": "60000", "cleanup.policy": "compact,delete", "max.message.bytes": "2000000",
		"internal.segment.bytes": "5000", "min.cleanable.dirty.ratio": "1",
	}), "topic with settings, broker with Kafka's defaults")
}

var overInGolden = Values{"retention.ms": "1000", "segment.ms": "60000", "cleanup.policy": "compact"}

func TestStaticSettingsAreDescribedAsByKafka(t *testing.T) {
	b := fromFile(t)
	compare(t, b.DescribeTopic(nil), "topic without settings, broker with static settings")
	compare(t, b.DescribeTopic(overInGolden), "topic with settings, broker with static settings")
	b.layers[staticLayer]["strict"] = "true" // for the defaults of what is in otherDefaults
	group := b.DescribeGroup(Values{"consumer.session.timeout.ms": "50000", "share.auto.offset.reset": "by_duration:PT1H"})
	compare(t, group, "group with settings, broker with static settings")
}

func TestDynamicSettingsAreDescribedAsByKafka(t *testing.T) {
	b, err := fromFile(t).WithDynamic(Values{"message.max.bytes": "800000"},
		Values{"log.retention.ms": "90000", "message.max.bytes": "900000", "log.roll.ms": "70000", "foo.bar": "1"})
	if err != nil {
		t.Fatal(err)
	}
	compare(t, b.DescribeTopic(nil), "topic without settings, broker with dynamic settings")
	compare(t, b.DescribeTopic(overInGolden), "topic with settings, broker with dynamic settings")
	compare(t, b.DescribeClusterDefault(), "cluster default with dynamic settings")
	dynamic := slices.DeleteFunc(b.DescribeBroker(), func(e Entry) bool {
		return e.Source != SourceDynamicBroker && e.Source != SourceDynamicDefault
	})
	compare(t, dynamic, "broker with dynamic settings, what is dynamic")
}

// otherDefaults are the settings whose default is not Kafka's. The golden broker sets all of them.
var (
	otherDefaults = []string{
		"broker.id", "group.consumer.assignment.interval.ms", "group.initial.rebalance.delay.ms",
		"group.streams.initial.rebalance.delay.ms", "listeners", "log.dir", "node.id", "offsets.topic.replication.factor",
		"process.roles", "share.coordinator.state.topic.min.isr", "share.coordinator.state.topic.replication.factor",
		"transaction.state.log.min.isr", "transaction.state.log.replication.factor",
	}
)

func TestBrokerIsDescribedAsByKafka(t *testing.T) {
	want := kafkaSays(t, "broker with static settings")
	var differ, ours []string
	got := map[string]string{}
	for _, e := range fromFile(t).DescribeBroker() {
		got[e.Name] = line(e)
		if !slices.ContainsFunc(want, func(l string) bool { return strings.HasPrefix(l, e.Name+"|") }) {
			ours = append(ours, e.Name)
		}
	}
	for _, l := range want {
		name, _, _ := strings.Cut(l, "|")
		if got[name] == l {
			continue
		}
		differ = append(differ, name)
		here, _, _ := strings.Cut(got[name], " DEFAULT_CONFIG")
		kafka, _, _ := strings.Cut(l, " DEFAULT_CONFIG")
		if name == "group.streams.initial.rebalance.delay.ms" { // the one that the golden broker does not set
			kafka = strings.Replace(kafka, "|3000|", "|0|", 1)
		}
		if here != kafka {
			t.Errorf("Kafka has\n\t%s\nhere is\n\t%s", l, got[name])
		}
	}
	if !slices.Equal(differ, otherDefaults) {
		t.Errorf("defaults that differ from Kafka's:\n%q, want\n%q", differ, otherDefaults)
	}
	if !slices.Equal(ours, ownSettings[:]) {
		t.Errorf("settings that Kafka does not have: %q, want %q", ours, ownSettings)
	}
}
