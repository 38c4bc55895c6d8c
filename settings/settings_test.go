package settings

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestEarlierLayersWin(t *testing.T) {
	b := resolve(t, Values{"num.partitions": "3"}, Values{"num.partitions": "4", "message.max.bytes": "2000"},
		Values{"message.max.bytes": "1000", "request.timeout.ms": "7"})
	if got := b.int("num.partitions"); got != 3 {
		t.Errorf("num.partitions is %d", got)
	}
	if got := b.int("message.max.bytes"); got != 2000 {
		t.Errorf("message.max.bytes is %d", got)
	}
	if got := b.milliseconds("request.timeout.ms"); got != 7*time.Millisecond {
		t.Errorf("request.timeout.ms is %v", got)
	}
	if !b.isExplicit("num.partitions") || b.isExplicit("num.io.threads") {
		t.Error("Explicit does not tell what was set")
	}
}

func TestDefaultsForOneNode(t *testing.T) {
	b := resolve(t)
	for name, want := range map[string]int{
		"node.id": 1, "broker.id": 1, "group.initial.rebalance.delay.ms": 0, "offsets.topic.replication.factor": 1,
		"transaction.state.log.replication.factor": 1, "transaction.state.log.min.isr": 1, "default.replication.factor": 1,
		"min.insync.replicas": 1, "flush.interval.ms": 1000, "offsets.topic.num.partitions": 50, "num.partitions": 1,
	} {
		if got := b.int(name); got != want {
			t.Errorf("%s is %d, want %d", name, got, want)
		}
	}
	if got := b.text("durability"); got != "page" {
		t.Errorf("durability is %q", got)
	}
	if got := b.milliseconds("log.flush.scheduler.interval.ms"); got != 1<<63-1 {
		t.Errorf("an endless interval becomes %v", got)
	}
	if _, ok := b.value("log.retention.ms"); ok {
		t.Error("log.retention.ms has a value")
	}
}

func TestEveryProblemIsReportedAtOnce(t *testing.T) {
	_, unknown, err := Resolve(Values{"num.partitions": "0", "segment.bytes": "1", "compression.type": "zip",
		"auto.create.topics.enable": "maybe",
		"zookeeper.connect":         "z:1", "ssl.key.password": "secret"})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"num.partitions=0: must be at least 1",
		"compression.type=zip: must be one of uncompressed",
		"auto.create.topics.enable=maybe: must be true or false"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q:\n%v", want, err)
		}
	}
	if want := []string{"segment.bytes"}; !slices.Equal(unknown, want) {
		t.Errorf("unknown names %q, want %q", unknown, want)
	}
	var invalid *InvalidError
	if !errors.As(err, &invalid) {
		t.Error("there is no InvalidError in the error")
	}
}

func TestContradictionsAreRefused(t *testing.T) {
	for want, values := range map[string]Values{
		"broker.id=2: must be the same as node.id":             {"node.id": "1", "broker.id": "2"},
		"log.retention.minutes=0: must be -1 or at least 1":    {"log.retention.minutes": "0"},
		"group.consumer.session.timeout.ms=40000: must not be": {"group.consumer.session.timeout.ms": "40000"},
		"group.consumer.session.timeout.ms=70000: must not be": {"group.consumer.session.timeout.ms": "70000"},
		"must be above group.consumer.heartbeat.interval.ms": {"group.consumer.session.timeout.ms": "15000",
			"group.consumer.min.session.timeout.ms": "1", "group.consumer.heartbeat.interval.ms": "15000"},
		"group.max.session.timeout.ms=5: must not be below": {"group.max.session.timeout.ms": "5"},
		"must include classic":                              {"group.coordinator.rebalance.protocols": "consumer"},
		"min.compaction.lag.ms=6: must not be above": {"log.cleaner.min.compaction.lag.ms": "6",
			"log.cleaner.max.compaction.lag.ms": "5"},
		"queued.max.request.bytes=5: must not be below":           {"queued.max.request.bytes": "5"},
		"max.connections.per.ip=0: can be 0 only where":           {"max.connections.per.ip": "0"},
		"group.streams.num.standby.replicas=9: must not be above": {"group.streams.num.standby.replicas": "9"},
	} {
		_, _, err := Resolve(values)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", values, err, want)
		}
	}
}

func TestNodeIDAndBrokerIDAreOne(t *testing.T) {
	for _, values := range []Values{{"node.id": "7"}, {"broker.id": "7"}, {"node.id": "7", "broker.id": "-1"},
		{"node.id": "7", "broker.id": "7"}} {
		b := resolve(t, values)
		if b.int("node.id") != 7 || b.int("broker.id") != 7 {
			t.Errorf("%v: node.id %d, broker.id %d", values, b.int("node.id"), b.int("broker.id"))
		}
	}
	if b := resolve(t, Values{"broker.id": "-1"}); b.int("node.id") != 1 || b.int("broker.id") != 1 {
		t.Errorf("broker.id=-1: node.id %d, broker.id %d", b.int("node.id"), b.int("broker.id"))
	}
}

func TestRetentionSynonyms(t *testing.T) {
	for _, c := range []struct {
		values Values
		want   int64
	}{
		{nil, 604800000},
		{Values{"log.retention.hours": "2"}, 7200000},
		{Values{"log.retention.hours": "2", "log.retention.minutes": "3"}, 180000},
		{Values{"log.retention.hours": "2", "log.retention.minutes": "3", "log.retention.ms": "4"}, 4},
		{Values{"log.retention.hours": "-1"}, -1},
		{Values{"log.retention.ms": "-7"}, -1},
		{Values{"log.retention.hours": "2147483647"}, 2147483647 * 3600000},
	} {
		topic, err := resolve(t, c.values).Topic(nil)
		if err != nil || topic.RetentionMs != c.want {
			t.Errorf("%v: retention %d, %v; want %d", c.values, topic.RetentionMs, err, c.want)
		}
	}
	b := resolve(t, Values{"log.roll.hours": "1", "log.roll.jitter.hours": "2", "log.flush.scheduler.interval.ms": "5"})
	topic, _ := b.Topic(nil)
	if jitter := b.topicDefault("segment.jitter.ms"); topic.SegmentMs != 3600000 || jitter != "7200000" ||
		topic.FlushMs != 5 {
		t.Errorf("segment.ms %d, segment.jitter.ms %s, flush.ms %d", topic.SegmentMs, jitter, topic.FlushMs)
	}
}

func TestTopicSettings(t *testing.T) {
	b := resolve(t, Values{"message.max.bytes": "5000", "log.cleanup.policy": "compact"})
	topic, err := b.Topic(nil)
	if err != nil || topic.MaxMessageBytes != 5000 || !topic.CleanupCompact || topic.CleanupDelete {
		t.Errorf("without overrides: %+v, %v", topic, err)
	}
	topic, err = b.Topic(Values{"cleanup.policy": "delete,compact", "max.message.bytes": "7",
		"message.timestamp.type":    "LogAppendTime",
		"min.cleanable.dirty.ratio": ".25", "segment.bytes": "1048576", "leader.replication.throttled.replicas": "0:1, 1:1"})
	if err != nil || topic.MaxMessageBytes != 7 || !topic.CleanupCompact || !topic.CleanupDelete || !topic.LogAppendTime ||
		topic.MinCleanableDirtyRatio != .25 || topic.SegmentBytes != 1048576 {
		t.Errorf("with overrides: %+v, %v", topic, err)
	}
	topic, err = b.Topic(Values{"cleanup.policy": "", "internal.segment.bytes": "1000"})
	if err != nil || topic.CleanupCompact || topic.CleanupDelete || topic.SegmentBytes != 1000 {
		t.Errorf("with an empty policy: %+v, %v", topic, err)
	}
}

func TestInvalidTopicSettingsAreNamed(t *testing.T) {
	b := resolve(t)
	for _, c := range []struct {
		overrides Values
		name      string
	}{
		{Values{"foo": "1"}, "foo"},
		{Values{"message.format.version": "3.0"}, "message.format.version"},
		{Values{"retention.ms": "-2"}, "retention.ms"},
		{Values{"segment.bytes": "1024"}, "segment.bytes"},
		{Values{"remote.storage.enable": "true"}, "remote.storage.enable"},
		{Values{"min.compaction.lag.ms": "10", "max.compaction.lag.ms": "5"}, "min.compaction.lag.ms"},
		{Values{"follower.replication.throttled.replicas": strings.Repeat("1:1,", 8192) + "1:1"},
			"follower.replication.throttled.replicas"},
		{Values{"b": "1", "a": "1"}, "a"},
	} {
		_, err := b.Topic(c.overrides)
		var invalid *InvalidError
		if !errors.As(err, &invalid) || invalid.Name != c.name || invalid.Reason == "" {
			t.Errorf("%v: %v, want an InvalidError for %s", c.overrides, err, c.name)
		}
	}
}

func TestDataDirectory(t *testing.T) {
	if dir := resolve(t, Values{"log.dir": "/a"}).DataDir; dir != "/a" {
		t.Errorf("data directory %s", dir)
	}
	if dir := resolve(t, Values{"log.dir": "/a", "log.dirs": "/b"}).DataDir; dir != "/b" {
		t.Errorf("data directory %s", dir)
	}
}

func TestChangedSettingsHideSecrets(t *testing.T) {
	got := resolve(t, Values{"num.partitions": "3", "num.io.threads": "8", "ssl.key.password": "x",
		"what": "ever"}).Changed()
	if want := []string{"num.partitions=3", "ssl.key.password=[hidden]"}; !slices.Equal(got, want) {
		t.Errorf("changed %q, want %q", got, want)
	}
	for _, e := range resolve(t, Values{"ssl.key.password": "geheim", "what": "geheim"}).DescribeBroker() {
		if strings.Contains(line(e), "geheim") {
			t.Errorf("secret shown: %s", line(e))
		}
	}
	if err := error(&InvalidError{Name: "ssl.key.password", Value: "geheim", Reason: "no"}); strings.Contains(err.Error(),
		"geheim") {
		t.Errorf("secret shown: %v", err)
	}
}

func TestSettingsWithoutEffectAreReported(t *testing.T) {
	got := resolve(t, Values{"num.partitions": "3", "num.io.threads": "8", "controller.quorum.voters": "1@h:1",
		"what": "ever"}).WithoutEffect()
	if want := []string{"controller.quorum.voters", "num.io.threads"}; !slices.Equal(got, want) {
		t.Errorf("without effect %q, want %q", got, want)
	}
}
