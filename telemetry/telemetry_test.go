package telemetry

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"once/internal/clock"
	"once/internal/kafkatest"
	"once/log/batch"
	"once/settings"
)

// fixture is telemetry on a clock that the test moves.
type fixture struct {
	*Telemetry
	clock    *clock.Movable
	registry *prometheus.Registry
}

func start(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{clock: clock.NewManual(time.UnixMilli(1_000_000)), registry: prometheus.NewRegistry()}
	var err error
	f.Telemetry, err = New(Options{Clock: f.clock, MaxBytes: 10_000, Registerer: f.registry})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

// sample is the value of a metric with a label; -1 where it is not shown.
func (f *fixture) sample(t *testing.T, name, label string) float64 {
	t.Helper()
	families, err := f.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.Metric {
			if family.GetName() != name || len(m.Label) > 0 && m.Label[0].GetValue() != label {
				continue
			}
			switch {
			case m.Counter != nil:
				return m.Counter.GetValue()
			case m.Summary != nil:
				return m.Summary.GetSampleSum() / float64(m.Summary.GetSampleCount())
			}
			return m.Gauge.GetValue()
		}
	}
	return -1
}

var (
	anID   = ID{1, 2, 3}
	client = Client{ConnectionID: 7, ClientID: "app-1", SoftwareName: "apache-kafka-java", SoftwareVersion: "4.4.0",
		Address: "10.0.0.1", Port: "5000"}
)

func everything() settings.Values {
	return settings.Values{"metrics": "*", "interval.ms": "1000"}
}

// pushing returns a push of an instance that has asked for its subscription.
func pushing(t *testing.T, f *fixture, id ID, metrics ...kafkatest.Metric) *Push {
	t.Helper()
	sub, err := f.Subscription(id, client)
	if err != nil {
		t.Fatal(err)
	}
	return &Push{InstanceID: sub.InstanceID, SubscriptionID: sub.ID, Metrics: kafkatest.MetricsData(metrics...),
		Client: client}
}

// All subscriptions that match a client hold together, and one matches by all of its expressions, each of which has to
// match an attribute as a whole.
func TestSubscriptionsAreMatchedByAttributes(t *testing.T) {
	for match, want := range map[string]bool{
		"":                                  true,
		"client_id=app-.":                   true,
		"client_id=app":                     false,
		"client_id=pp-1":                    false,
		"client_id=x|app-1":                 true,
		"client_id=app-1,client_id=other":   false, // the last one counts
		"client_software_name=apache.*java": true,
		"client_software_version=4\\..*,client_source_address=10.0.0.1,client_source_port=5000":   true,
		"client_software_version=4\\..*,client_source_address=10.0.0.1,client_source_port=500[1]": false,
		"client_instance_id=AQIDAAAAAAAAAAAAAAAAAA":                                               true,
		"client_id=(?!x).*": false, // look-around is Java's only
	} {
		f := start(t)
		set := settings.Values{"metrics": "b,a", "match": match}
		if err := settings.CheckClientMetrics(set); err != nil {
			t.Fatal(err)
		}
		f.SetSubscription("s", set)
		sub, err := f.Subscription(anID, client)
		if err != nil || slices.Equal(sub.Metrics, []string{"a", "b"}) != want || !want && len(sub.Metrics) > 0 {
			t.Errorf("%s: %q %v", match, sub.Metrics, err)
		}
	}
}

func TestSubscriptionsAddUp(t *testing.T) {
	f := start(t)
	f.SetSubscription("long", settings.Values{"metrics": "a,b", "interval.ms": "3600000"})
	sub, _ := f.Subscription(NoID, client)
	if sub.Interval != 5*time.Minute || sub.InstanceID == NoID {
		t.Errorf("got %+v", sub)
	}
	f.SetSubscription("short", settings.Values{"metrics": "b,c", "interval.ms": "2000"})
	both, _ := f.Subscription(sub.InstanceID, client)
	if both.Interval != 2*time.Second || strings.Join(both.Metrics, " ") != "a b c" || both.ID == sub.ID {
		t.Errorf("got %+v", both)
	}
	f.SetSubscription("all", everything())
	if all, _ := f.Subscription(sub.InstanceID, client); !slices.Equal(all.Metrics, []string{"*"}) {
		t.Errorf("got %+v", all)
	}
	for _, name := range []string{"all", "short"} {
		f.SetSubscription(name, nil)
	}
	if again, _ := f.Subscription(sub.InstanceID, client); again.ID != sub.ID {
		t.Errorf("the same subscription has another ID: %+v, %+v", sub, again)
	}
}

// A push is checked in Kafka's order, and after two of the errors the client may ask again at once.
func TestPushesAreChecked(t *testing.T) {
	f := start(t)
	f.SetSubscription("s", everything())
	p := pushing(t, f, anID)
	push := func(want error, change func(*Push)) {
		t.Helper()
		changed := *p
		change(&changed)
		if err := f.Push(&changed); !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
	ask := func(want error) {
		t.Helper()
		if _, err := f.Subscription(anID, client); !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
	same := func(*Push) {}
	ask(ErrThrottled)
	push(nil, same) // the first one after asking
	push(ErrThrottled, same)
	push(ErrThrottled, func(p *Push) { p.SubscriptionID++; p.Codec = 9 })
	f.clock.Advance(999 * time.Millisecond)
	push(ErrThrottled, same)
	f.clock.Advance(time.Millisecond)
	push(ErrUnknownSubscription, func(p *Push) { p.SubscriptionID++; p.Codec = 9 })
	ask(nil)
	f.clock.Advance(time.Second)
	push(ErrCodec, func(p *Push) { p.Codec = 9; p.Metrics = make([]byte, 10_001) })
	ask(nil)
	f.clock.Advance(time.Second)
	push(ErrTooLarge, func(p *Push) { p.Metrics = make([]byte, 10_001) })
	ask(ErrThrottled)
	f.clock.Advance(time.Second)
	push(ErrUnreadable, func(p *Push) { p.Metrics = []byte("garbage") })
	push(ErrInstanceID, func(p *Push) { p.InstanceID = NoID })
	push(ErrInstanceID, func(p *Push) { p.InstanceID = reservedID })
	push(nil, func(p *Push) { p.Terminating = true }) // at any time
	push(ErrTerminating, same)
	f.clock.Advance(time.Second)
	push(nil, same) // as Kafka
}

// After a change of the subscriptions an instance learns at its next push that it has another one.
func TestAChangedSubscriptionIsNoticed(t *testing.T) {
	f := start(t)
	f.SetSubscription("s", everything())
	p := pushing(t, f, anID)
	f.SetSubscription("s", settings.Values{"metrics": "a", "interval.ms": "1000"})
	if err := f.Push(p); !errors.Is(err, ErrUnknownSubscription) {
		t.Errorf("got %v", err)
	}
	if _, err := f.Subscription(anID, client); err != nil {
		t.Error(err)
	}
}

// Instances are forgotten when they are silent, when their connection ends, and when there are too many.
func TestInstancesAreForgotten(t *testing.T) {
	f := start(t)
	f.SetSubscription("s", everything())
	count := func(want int) {
		t.Helper()
		if n := f.sample(t, "telemetry_client_instances", ""); n != float64(want) {
			t.Errorf("%v instances, want %d", n, want)
		}
	}
	pushing(t, f, anID)
	f.clock.Advance(59 * time.Second)
	count(1)
	f.clock.Advance(61 * time.Second) // the next check
	count(0)
	pushing(t, f, anID)
	f.clock.Advance(59 * time.Second)
	if _, err := f.Subscription(anID, client); err != nil { // which is a sign of life
		t.Error(err)
	}
	f.clock.Advance(2 * time.Second) // a check
	count(1)
	f.clock.Advance(58 * time.Second) // it expires before the next one
	p := &Push{InstanceID: anID, Client: client}
	if err := f.Push(p); !errors.Is(err, ErrUnknownSubscription) {
		t.Error(err)
	}
	if i := f.table.mu.instances[anID].Value.(*instance); !i.lastAsk.IsZero() {
		t.Error("it is not a new one")
	}
	f.SetSubscription("s", everything())
	pushing(t, f, anID)
	f.Disconnected(6)
	count(1)
	f.Disconnected(client.ConnectionID)
	count(0)
	if n := len(f.table.mu.byConn); n > 0 {
		t.Errorf("%d connections are remembered", n)
	}

	f.table.max = 3
	for i := range 5 {
		pushing(t, f, ID{byte(i + 1)})
		f.clock.Advance(time.Second)
	}
	count(3)
	if _, err := f.Subscription(ID{3}, client); err != nil { // is the newest now
		t.Error(err)
	}
	pushing(t, f, ID{6})
	for i, want := range []bool{false, false, true, false, true, true} {
		if got := f.table.mu.instances[ID{byte(i + 1)}] != nil; got != want {
			t.Errorf("instance %d is there: %v", i+1, got)
		}
	}
}

// What clients count is added up; of other values the last one is shown, and the mean of all.
func TestPushedMetricsAreShown(t *testing.T) {
	f := start(t)
	f.SetSubscription("s", settings.Values{"metrics": "org.apache.kafka.,x", "interval.ms": "1000"})
	sum := kafkatest.Metric{Name: "org.apache.kafka.sent", Sum: true, Value: 3}
	latency := kafkatest.Metric{Name: "org.apache.kafka.latency", Value: 10}
	for i, value := range []float64{10, 30} {
		latency.Value, latency.Int = value, i == 1
		err := f.Push(pushing(t, f, ID{byte(i + 1)}, sum, latency,
			kafkatest.Metric{Name: "org.apache.kafka.open", Sum: true, Cumulative: true, Value: 5},
			kafkatest.Metric{Name: "org.apache.kafka.room", Sum: true, Falls: true, Value: 6},
			kafkatest.Metric{Name: "x/{ä}\n", Value: 1},
			kafkatest.Metric{Name: "other", Value: 1},
			kafkatest.Metric{Name: "x" + strings.Repeat("y", maxNameBytes), Value: 1},
			kafkatest.Metric{Name: "", Value: 1},
			kafkatest.Metric{Name: "xn", Value: math.NaN()},
			kafkatest.Metric{Name: "xi", Value: math.Inf(1)},
			kafkatest.Metric{Name: "xs", Sum: true, Value: -1}))
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, label string
		want        float64
	}{
		{"client_metric_total", "org.apache.kafka.sent", 6},
		{"client_metric_value", "org.apache.kafka.sent", -1},
		{"client_metric_value", "org.apache.kafka.latency", 30},
		{"client_metric_observed", "org.apache.kafka.latency", 20},
		{"client_metric_total", "org.apache.kafka.open", -1},
		{"client_metric_value", "org.apache.kafka.open", 5},
		{"client_metric_value", "org.apache.kafka.room", 6},
		{"client_metric_value", "x_____", 1},
		{"client_metric_value", "other", -1},
		{"telemetry_dropped_points_total", "not_subscribed", 2},
		{"telemetry_dropped_points_total", "value", 6},
		{"telemetry_dropped_points_total", "name", 4}, // one has none
		{"telemetry_pushes_total", "accepted", 2},
	} {
		if got := f.sample(t, c.name, c.label); got != c.want {
			t.Errorf("%s %s is %v, want %v", c.name, c.label, got, c.want)
		}
	}
}

// Histograms and summaries are shown by their sum and count.
func TestDistributionsAreShown(t *testing.T) {
	f := start(t)
	f.SetSubscription("s", everything())
	p := pushing(t, f, anID)
	point := []byte{4<<3 | 1, 4, 0, 0, 0, 0, 0, 0, 0, 5<<3 | 1, 0, 0, 0, 0, 0, 0, 0x20, 0x40} // 4 values, 8 in all
	var scope []byte
	for _, kind := range []int{9, 10, 11} {
		metric := kafkatest.Message(nil, 1, fmt.Appendf(nil, "kind%d", kind))
		scope = kafkatest.Message(scope, 2, append(kafkatest.Message(nil, 11, kafkatest.Message(nil, 1, point)), metric...))
	}
	p.Metrics = kafkatest.Message(nil, 1, kafkatest.Message(nil, 2, scope))
	if err := f.Push(p); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"kind9", "kind10", "kind11"} {
		if got := f.sample(t, "client_metric_observed", name); got != 2 {
			t.Errorf("the mean of %s is %v", name, got)
		}
	}
}

// Clients cannot make more than maxNames names, nor take away those that there are.
func TestNamesAreLimited(t *testing.T) {
	f := start(t)
	f.maxBytes = 1 << 20
	f.SetSubscription("s", everything())
	var many []kafkatest.Metric
	for i := range maxNames + 10 {
		many = append(many, kafkatest.Metric{Name: fmt.Sprint("n", i), Value: 1})
	}
	if err := f.Push(pushing(t, f, anID, many...)); err != nil {
		t.Fatal(err)
	}
	if n := len(f.metrics.mu.byName); n != maxNames {
		t.Errorf("%d names", n)
	}
	if n := f.sample(t, "telemetry_dropped_points_total", "too_many_names"); n != 10 {
		t.Errorf("%v data points are dropped", n)
	}
}

// A payload that cannot be read to its end changes nothing, and one that inflates to more than telemetry.max.bytes is
// not inflated (spec: reliability B22, B32).
func TestUnreadablePayloadsChangeNothing(t *testing.T) {
	good := kafkatest.MetricsData(kafkatest.Metric{Name: "n", Sum: true, Value: 1})
	bomb := []byte{0x80, 0x80, 0x80, 0x80, 0x01, 0, 0} // a snappy block that says 2^28 bytes
	for name, c := range map[string]struct {
		codec   batch.Codec
		payload []byte
	}{
		"cut":                     {batch.None, append(slices.Clone(good), good[:len(good)-3]...)},
		"a group":                 {batch.None, append(slices.Clone(good), 3<<3|3)},
		"field 0":                 {batch.None, append(slices.Clone(good), 0, 0)},
		"a length beyond the end": {batch.None, append(slices.Clone(good), 1<<3|2, 0xff, 0xff, 0xff, 0xff, 0x0f)},
		"an endless varint": {batch.None, append(slices.Clone(good), 8<<3, 255, 255, 255, 255, 255, 255, 255, 255, 255,
			255, 1)},
		"resources as a number": {batch.None, append(slices.Clone(good), 1<<3, 1)},
		"not compressed":        {batch.Zstd, good},
		"a bomb":                {batch.Snappy, bomb},
	} {
		f := start(t)
		f.SetSubscription("s", everything())
		p := pushing(t, f, anID)
		p.Codec, p.Metrics = c.codec, c.payload
		if err := f.Push(p); !errors.Is(err, ErrUnreadable) {
			t.Errorf("%s: %v", name, err)
		}
		if got := f.sample(t, "client_metric_total", "n"); got != -1 {
			t.Errorf("%s: added %v", name, got)
		}
	}
}

func TestPrefixes(t *testing.T) {
	p := prefixesOf([]string{"a.", "a.b", "a.b.c", "c", "d.x"})
	if len(p) != 3 {
		t.Errorf("got %q", p)
	}
	for name, want := range map[string]bool{"a.": true, "a.bc": true, "a": false, "b": false, "c": true, "cx": true,
		"d.": false, "d.xy": true, "e": false, "": false} {
		if p.have(name) != want {
			t.Errorf("%q begins with one of them: %v", name, !want)
		}
	}
	if !prefixesOf([]string{"*"}).have("any") || prefixesOf(nil).have("any") {
		t.Error("* stands for all, and nothing for none")
	}
}

// FuzzDecode: no payload makes the decoder fail, and what is shown is what it says.
func FuzzDecode(f *testing.F) {
	f.Add(kafkatest.MetricsData(kafkatest.Metric{Name: "a", Sum: true, Value: 1},
		kafkatest.Metric{Name: "b", Int: true, Value: 2}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		first, second := 0, 0
		ok := decode(data, func([]byte, point) { first++ })
		if decode(data, func(name []byte, _ point) { second++; cleanName(name) }) != ok || first != second {
			t.Errorf("read twice, it is not the same")
		}
		if first > len(data) {
			t.Errorf("%d data points in %d bytes", first, len(data))
		}
	})
}
