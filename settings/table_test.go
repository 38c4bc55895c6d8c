package settings

import (
	"slices"
	"strings"
	"testing"
)

func TestTablesAreWellFormed(t *testing.T) {
	tables := append(slices.Clone(brokerTables[:]), topicSettings, perGroupSettings)
	for _, table := range tables {
		for i := range table {
			d := &table[i]
			if i > 0 && table[i-1].Name >= d.Name {
				t.Errorf("%s stands after %s", d.Name, table[i-1].Name)
			}
			if !strings.HasSuffix(d.Documentation, ".") {
				t.Errorf("%s: the documentation is no sentence: %q", d.Name, d.Documentation)
			}
			if value, ok := d.Default(); ok {
				if text, err := d.canonical(value); err != nil || text != value {
					t.Errorf("%s: default %q becomes %q, %v", d.Name, value, text, err)
				}
			}
		}
	}
	seen := map[string]bool{}
	for _, table := range brokerTables {
		for i := range table {
			if seen[table[i].Name] {
				t.Errorf("%s stands in two tables", table[i].Name)
			}
			seen[table[i].Name] = true
		}
	}
}

func TestSynonymsNameSettings(t *testing.T) {
	for _, row := range topicSynonyms {
		d, ok := LookupTopic(row.topic)
		if !ok {
			t.Errorf("no topic setting %s", row.topic)
			continue
		}
		for _, s := range row.broker {
			b, ok := Lookup(s.name)
			if !ok {
				t.Errorf("no broker setting %s", s.name)
				continue
			}
			if s.factor == 1 && b.Kind != d.Kind {
				t.Errorf("%s and %s differ in kind", d.Name, b.Name)
			}
		}
	}
	for i := range perGroupSettings {
		name := perGroupSettings[i].Name
		if _, ok := Lookup(synonymOfGroup(name)); ok == slices.Contains(groupDefaults, name) {
			t.Errorf("%s: has a broker setting: %v", name, ok)
		}
	}
	for _, r := range groupBounds {
		for _, name := range []string{r.low, r.name, r.up} {
			if _, ok := Lookup(name); !ok && name != "" {
				t.Errorf("no broker setting %s", name)
			}
		}
	}
}

// What each kind of value accepts is as Kafka 4.3.1 was seen to take it.
func TestCanonicalValues(t *testing.T) {
	for _, c := range []struct{ name, value, want string }{
		{"cleanup.policy", "", ""},
		{"cleanup.policy", "delete,delete", "delete"},
		{"cleanup.policy", "compact, delete", "compact,delete"},
		{"cleanup.policy", "delete,", "error"},
		{"cleanup.policy", "x", "error"},
		{"compression.gzip.level", "-1", "-1"},
		{"compression.gzip.level", "0", "error"},
		{"compression.gzip.level", "10", "error"},
		{"compression.zstd.level", "-131072", "-131072"},
		{"compression.zstd.level", "23", "error"},
		{"compression.type", " gzip ", "gzip"},
		{"compression.type", "none", "error"},
		{"flush.messages", "0", "error"},
		{"index.interval.bytes", "x", "error"},
		{"leader.replication.throttled.replicas", "*", "*"},
		{"leader.replication.throttled.replicas", "0:1,0:1", "0:1,0:1"},
		{"leader.replication.throttled.replicas", "x", "error"},
		{"leader.replication.throttled.replicas", "1:", "error"},
		{"local.retention.ms", "-3", "error"},
		{"max.message.bytes", "-1", "error"},
		{"max.message.bytes", "2147483648", "error"},
		{"message.timestamp.type", "createtime", "error"},
		{"min.cleanable.dirty.ratio", "1", "1.0"},
		{"min.cleanable.dirty.ratio", "1.1", "error"},
		{"min.cleanable.dirty.ratio", "NaN", "error"}, // Kafka takes it
		{"min.insync.replicas", "5", "5"},
		{"min.insync.replicas", "0", "error"},
		{"preallocate", "TRUE", "true"},
		{"preallocate", "yes", "error"},
		{"retention.bytes", "-5", "-5"},
		{"retention.ms", "-1", "-1"},
		{"retention.ms", "-2", "error"},
		{"retention.ms", "1.0", "error"},
		{"segment.bytes", "+2000000", "2000000"},
		{"segment.bytes", "1048575", "error"},
		{"segment.index.bytes", "3", "error"},
		{"segment.ms", "0", "error"},
	} {
		d, ok := LookupTopic(c.name)
		if !ok {
			t.Fatalf("no topic setting %s", c.name)
		}
		got, err := d.canonical(c.value)
		if err != nil {
			got = "error"
		}
		if got != c.want {
			t.Errorf("%s=%q becomes %q, want %q", c.name, c.value, got, c.want)
		}
	}
}

func TestCanonicalBrokerValues(t *testing.T) {
	for _, c := range []struct{ name, value, want string }{
		{"listeners", "PLAINTEXT://:9092, CONTROLLER://[::1]:9093", "PLAINTEXT://:9092,CONTROLLER://[::1]:9093"},
		{"listeners", "", "error"},
		{"listeners", "localhost:9092", "error"},
		{"listeners", "PLAINTEXT://localhost", "error"},
		{"listeners", "PLAINTEXT://localhost:65536", "error"},
		{"log.dirs", "/a", "/a"},
		{"log.dirs", "/a,/b", "error"},
		{"listener.security.protocol.map", "A:PLAINTEXT,B:ssl", "A:PLAINTEXT,B:ssl"},
		{"listener.security.protocol.map", "A:TLS", "error"},
		{"max.connections.per.ip.overrides", "::1:5,host:0", "::1:5,host:0"},
		{"max.connections.per.ip.overrides", "host", "error"},
		{"group.consumer.migration.policy", "Disabled", "Disabled"},
		{"group.consumer.migration.policy", "x", "error"},
		{"offsets.topic.replication.factor", "32768", "error"},
		{"ssl.key.password", " a b ", "a b"},
		{"durability", "disk", "error"},
	} {
		d, ok := Lookup(c.name)
		if !ok {
			t.Fatalf("no setting %s", c.name)
		}
		got, err := d.canonical(c.value)
		if err != nil {
			got = "error"
		}
		if got != c.want {
			t.Errorf("%s=%q becomes %q, want %q", c.name, c.value, got, c.want)
		}
	}
}

func TestDoublesAreWrittenAsByJava(t *testing.T) {
	for x, want := range map[float64]string{
		0: "0.0", 1: "1.0", 0.5: "0.5", 1e10: "1.0E10", 1e8: "1.0E8", 1e-4: "1.0E-4", 12345678.9: "1.23456789E7",
		-2.5: "-2.5",
	} {
		if got := formatDouble(x); got != want {
			t.Errorf("%g is written %s, want %s", x, got, want)
		}
	}
}

func TestOffsetResetDurations(t *testing.T) {
	for value, ok := range map[string]bool{
		"latest": true, "earliest": true, "by_duration:PT1H": true, "by_duration:P1DT2H3M4.5S": true,
		"x": false, "by_duration:P": false, "by_duration:P1DT": false, "by_duration:1H": false, "by_duration:": false,
	} {
		if err := checkOffsetReset(value); (err == nil) != ok {
			t.Errorf("%s: %v", value, err)
		}
	}
}
