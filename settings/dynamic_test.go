package settings

import (
	"errors"
	"strings"
	"testing"
)

// What Kafka 4.4.0 was seen to allow and to refuse.
func TestDynamicChanges(t *testing.T) {
	b := resolve(t)
	for _, c := range []struct {
		name, value    string
		clusterDefault bool
		want           error // nil, or a sentinel; errInvalid for an *InvalidError
	}{
		{"log.retention.ms", "90000", true, nil},
		{"log.retention.ms", "-1", true, nil},
		{"log.retention.ms", "0", true, errInvalid},
		{"log.retention.hours", "3", true, ErrReadOnly},
		{"node.id", "3", true, ErrReadOnly},
		{"log.cleaner.enable", "false", true, ErrReadOnly},
		{"listeners", "PLAINTEXT://:1", true, ErrReadOnly}, // ErrPerBroker in Kafka, which allows the next one
		{"listeners", "PLAINTEXT://:1", false, ErrReadOnly},
		{"sasl.enabled.mechanisms", "PLAIN", true, ErrPerBroker},
		{"sasl.enabled.mechanisms", "PLAIN", false, nil},
		{"log.cleaner.dedupe.buffer.size", "10", true, errInvalid},
		{"ssl.keystore.type", "PEM", false, ErrReadOnly},
		{"listener.name.plaintext.ssl.keystore.type", "PEM", false, nil},
		{"listener.name.plaintext.ssl.keystore.type", "PEM", true, ErrPerBroker},
		{"listener.name.plaintext.max.connections", "3", false, nil},
		{"listener.name.plaintext.max.connections", "3", true, nil},
		{"listener.name.plaintext.max.connection.creation.rate", "3", true, nil},
		{"listener.name.plaintext.num.network.threads", "3", true, nil},
		{"listener.name.plaintext.max.connections", "0", false, errInvalid},
		{"listener.name.plaintext.max.connections", "x", true, errInvalid},
		{"listener.name.plaintext.max.connection.creation.rate", "0", true, errInvalid},
		{"listener.name.nobody.max.connections", "0", true, nil},
		{"listener.name.nobody.max.connections", "x", true, errInvalid},
		{"foo.bar", "1", true, nil},
		{"num.io.threads", "0", true, errInvalid},
		{"num.io.threads", "100", true, errInvalid},
		{"num.io.threads", "3", true, errInvalid},
		{"num.io.threads", "16", true, nil},
		{"log.segment.bytes", "1000", true, errInvalid},
		{"max.connections.per.ip.overrides", "zz", true, errInvalid},
		{"compression.type", "x", true, errInvalid},
	} {
		err := b.ValidateDynamic(Values{c.name: c.value}, c.clusterDefault)
		var invalid *InvalidError
		switch {
		case c.want == errInvalid && !errors.As(err, &invalid), c.want != errInvalid && !errors.Is(err, c.want):
			t.Errorf("%s=%s, cluster default %v: %v, want %v", c.name, c.value, c.clusterDefault, err, c.want)
		case err != nil && !strings.Contains(err.Error(), c.name):
			t.Errorf("the error does not name %s: %v", c.name, err)
		}
	}
}

var errInvalid = errors.New("an InvalidError")

func TestDynamicSettingsApplyAtOnce(t *testing.T) {
	b := resolve(t, Values{"message.max.bytes": "1000"})
	next, err := b.WithDynamic(Values{"message.max.bytes": "3000"},
		Values{"message.max.bytes": "2000", "log.retention.ms": "5"})
	if err != nil {
		t.Fatal(err)
	}
	topic, _ := next.Topic(nil)
	if topic.MaxMessageBytes != 3000 || topic.RetentionMs != 5 {
		t.Errorf("max.message.bytes %d, retention.ms %d", topic.MaxMessageBytes, topic.RetentionMs)
	}
	if before, _ := b.Topic(nil); before.MaxMessageBytes != 1000 {
		t.Error("the settings before changed too")
	}
	if back, _ := next.WithDynamic(nil, nil); back.int("message.max.bytes") != 1000 {
		t.Error("the static value does not come back")
	}
}

// A value that an older version stored and this one refuses must not keep the broker from starting.
func TestStoredValuesThatAreNotAllowedAreLeftOut(t *testing.T) {
	next, err := resolve(t).WithDynamic(nil, Values{"message.max.bytes": "-5", "log.retention.ms": "7"})
	var invalid *InvalidError
	if !errors.As(err, &invalid) || invalid.Name != "message.max.bytes" {
		t.Errorf("error %v", err)
	}
	topic, _ := next.Topic(nil)
	if topic.MaxMessageBytes != 1048588 || topic.RetentionMs != 7 {
		t.Errorf("max.message.bytes %d, retention.ms %d", topic.MaxMessageBytes, topic.RetentionMs)
	}
}

func TestGroupSettings(t *testing.T) {
	b := resolve(t, Values{"group.consumer.heartbeat.interval.ms": "6000"})
	if err := b.CheckGroup(Values{"consumer.session.timeout.ms": "50000"}); err != nil {
		t.Error(err)
	}
	for name, value := range map[string]string{
		"foo": "1", "consumer.session.timeout.ms": "44999", "consumer.heartbeat.interval.ms": "15001",
		"share.delivery.count.limit":   "11",
		"streams.num.standby.replicas": "3", "share.isolation.level": "READ_COMMITTED",
		"consumer.assignment.interval.ms": "20000",
		"share.record.lock.duration.ms":   "70000", "share.auto.offset.reset": "x",
	} {
		err := b.CheckGroup(Values{name: value})
		var invalid *InvalidError
		if !errors.As(err, &invalid) || invalid.Name != name {
			t.Errorf("%s=%s: %v", name, value, err)
		}
	}
	narrow := resolve(t, Values{"group.consumer.min.session.timeout.ms": "1",
		"group.consumer.session.timeout.ms": "10000"})
	if err := narrow.CheckGroup(Values{"consumer.heartbeat.interval.ms": "10000"}); err == nil {
		t.Error("a heartbeat interval as long as the session timeout is allowed")
	}
}

func TestListsChangeByEntries(t *testing.T) {
	if got := AppendToList("delete", "compact, delete"); got != "delete,compact, delete" {
		t.Errorf("appended: %s", got)
	}
	if got := AppendToList("delete", ""); got != "delete," {
		t.Errorf("appended nothing: %s", got)
	}
	if got := AppendToList("", ""); got != "" {
		t.Errorf("appended nothing to nothing: %s", got)
	}
	if got := AppendToList("delete", "compact,,"); got != "delete,compact" {
		t.Errorf("appended: %s", got)
	}
	if got := SubtractFromList("delete,compact", "delete,x"); got != "compact" {
		t.Errorf("subtracted: %s", got)
	}
	if got := SubtractFromList("delete", "delete"); got != "" {
		t.Errorf("subtracted: %s", got)
	}
}
