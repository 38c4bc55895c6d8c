package settings

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A setting that is called implemented changes what a Broker or a Topic says when it is set, and no other does.
func TestImplementedSettingsHaveAnEffect(t *testing.T) {
	// These decide what is refused, or left out, together with others: see TestListenersThatAreRefused.
	// No class of plug-ins is allowed.
	withOthers := []string{"group.consumer.max.assignment.interval.ms", "group.consumer.max.heartbeat.interval.ms",
		"group.consumer.max.session.timeout.ms", "group.consumer.min.assignment.interval.ms",
		"group.consumer.min.heartbeat.interval.ms", "group.consumer.min.session.timeout.ms", "controller.listener.names",
		"group.share.assignors", "group.streams.topology.description.plugin.class",
		"inter.broker.listener.name", "listener.security.protocol.map", "security.inter.broker.protocol"}
	for _, table := range brokerTables {
		for i := range table {
			if d := &table[i]; !slices.Contains(withOthers, d.Name) {
				checkEffect(t, "broker setting", d, brokerWithout)
			}
		}
	}
	b := resolve(t)
	for i := range topicSettings {
		if topicSettings[i].Name == "remote.storage.enable" { // true is refused
			continue
		}
		checkEffect(t, "topic setting", &topicSettings[i], func(v Values) (any, error) { return b.Topic(v) })
	}
}

// brokerWithout returns what the settings come to, without the values as they were given.
func brokerWithout(values Values) (any, error) {
	b, _, err := Resolve(values)
	if err != nil {
		return nil, err
	}
	b.layers[staticLayer] = nil
	return *b, nil
}

func checkEffect(t *testing.T, what string, d *Definition, resolved func(Values) (any, error)) {
	t.Helper()
	usual, err := resolved(nil)
	if err != nil {
		t.Fatal(err)
	}
	allowed, effect := false, false
	for _, value := range otherValues(d) {
		got, err := resolved(Values{d.Name: value})
		if err != nil {
			continue
		}
		allowed = true
		effect = effect || !reflect.DeepEqual(got, usual)
	}
	switch {
	case !allowed:
		t.Errorf("%s %s: the test has no value that is allowed", what, d.Name)
	case effect && d.Effect != Implemented:
		t.Errorf("%s %s is called not implemented, and has an effect", what, d.Name)
	case !effect && d.Effect == Implemented:
		t.Errorf("%s %s is called implemented, and has no effect", what, d.Name)
	}
}

// otherValues returns values that differ from the default; not each is allowed for each setting of the kind.
func otherValues(d *Definition) []string {
	var values []string
	usual, _ := d.Default()
	switch d.Kind {
	case Boolean:
		values = []string{"true", "false"}
	case Short, Int, Long:
		n, _ := strconv.ParseInt(usual, 10, 64)
		for _, other := range []int64{n - 1, n/2 - 1, n / 10, 0, 1, 7, 1_048_577} {
			values = append(values, fmt.Sprint(other))
		}
		if n < 1<<31-1 {
			values = append(values, fmt.Sprint(n+1))
		}
	case Double:
		values = []string{"0.1", "0.3"}
	default:
		values = append(slices.Clone(d.valid.oneOf), "x", "classic", "*", "PLAINTEXT://h:1", "PLAINTEXT", "host:1",
			"10.0.0.1:1", "9100-9163")
	}
	return slices.DeleteFunc(values, func(s string) bool { return strings.EqualFold(s, usual) })
}
