// Package settings knows Kafka's settings by their own names: kinds, defaults, allowed values, which broker
// setting is the default of which topic setting, and how DescribeConfigs shows them (spec: admin 5 to 8).
//
// The tables (table_*.go) are the only place where a setting is named. They are Kafka 4.4's with the
// differences that each table states; flush.interval.ms, durability, disk.reserve.bytes, max.decompressed.batch.bytes,
// published.port, transaction.allow.older.connections, strict, lab and what begins with dev. or lab. are ours. Every
// value is checked where it enters: a Broker and a Topic hold only valid values, in canonical form. Values are
// immutable and may be used from any goroutine.
//
// A leaf: every package above internal may use it. A Broker, and the Topic of each topic, is resolved once and when a
// setting changes; to read a setting is to read a field.
package settings

import (
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
)

// Values are settings as text, by name.
type Values map[string]string

// Source is the settings of one place: flags, the environment, a file.
type Source struct {
	Values Values
	From   map[string]string // by name, what the value was set by: a flag, a variable, a line of a file
}

// InvalidError says that one setting cannot have this value (spec: admin 8).
type InvalidError struct {
	Name   string
	Value  string
	Reason string // what is allowed
	From   string // what the value was set by, "" where that is not known
}

// Error names the setting, the value, where it comes from and what is allowed. A password's value is left out.
func (e *InvalidError) Error() string {
	text := e.Name
	if d, _ := Lookup(e.Name); d == nil || d.Kind != Password {
		text += "=" + e.Value
	}
	if e.From != "" {
		text += " (" + e.From + ")"
	}
	return text + ": " + e.Reason
}

// Resolve makes a Broker of layers of static settings, the strongest first: flags, environment, file. It
// returns the names that no table has, sorted; they have no effect. The error joins one *InvalidError
// for every problem there is.
func Resolve(layers ...Values) (b *Broker, unknown []string, err error) {
	sources := make([]Source, len(layers))
	for i, layer := range layers {
		sources[i].Values = layer
	}
	return ResolveSources(sources...)
}

// ResolveSources is like Resolve, for layers that know where their values come from: the errors name it.
func ResolveSources(sources ...Source) (b *Broker, unknown []string, err error) {
	merged, from := Values{}, map[string]string{}
	for _, source := range slices.Backward(sources) {
		for name, value := range source.Values {
			merged[name], from[name] = value, source.From[name]
		}
	}
	b = &Broker{}
	var problems []error
	b.layers[staticLayer], unknown, problems = canonical(merged)
	problems = append(problems, b.completeNodeID()...)
	if len(problems) == 0 { // values that are not even numbers cannot be compared
		b.layers[dynamicDefault] = b.clusterDefaults()
		b.resolve()
		problems = append(problems, b.contradictions()...)
	}
	for _, problem := range problems {
		var invalid *InvalidError
		if errors.As(problem, &invalid) {
			invalid.From = from[invalid.Name]
		}
	}
	if len(problems) > 0 {
		return nil, unknown, errors.Join(problems...)
	}
	return b, unknown, nil
}

// canonical checks each value by itself, in the order of the names.
func canonical(values Values) (checked Values, unknown []string, problems []error) {
	checked = make(Values, len(values))
	for _, name := range slices.Sorted(maps.Keys(values)) {
		value := values[name]
		d, _ := Lookup(name)
		if d == nil {
			checked[name] = value
			if !isOfZooKeeper(name) {
				unknown = append(unknown, name)
			}
			continue
		}
		text, err := d.canonical(value)
		if err != nil {
			problems = append(problems, &InvalidError{Name: name, Value: value, Reason: err.Error()})
		}
		checked[name] = text
	}
	return checked, unknown, problems
}

// isOfZooKeeper says whether a name is one of ZooKeeper's settings, which old property files contain.
func isOfZooKeeper(name string) bool { return strings.HasPrefix(name, "zookeeper.") }

// completeNodeID makes node.id and broker.id the same where one of them is set.
func (b *Broker) completeNodeID() []error {
	values := b.layers[staticLayer]
	node, nodeSet := values["node.id"]
	broker, brokerSet := values["broker.id"]
	brokerSet = brokerSet && broker != "-1" // Kafka's own default: choose one
	switch {
	case nodeSet && brokerSet && node != broker:
		return []error{&InvalidError{Name: "broker.id", Value: broker,
			Reason: "must be the same as node.id, which is " + node}}
	case nodeSet:
		values["broker.id"] = node
	case brokerSet:
		values["node.id"] = broker
		if strings.HasPrefix(broker, "-") {
			return []error{&InvalidError{Name: "broker.id", Value: broker, Reason: "must be at least 0"}}
		}
	default:
		delete(values, "broker.id")
	}
	return nil
}

// Lookup finds a broker setting, also one with the prefix listener.name.NAME. that holds for one listener.
func Lookup(name string) (d *Definition, ok bool) {
	if base, isListener := listenerSetting(name); isListener {
		name = base
	}
	for _, table := range brokerTables {
		if d, ok := find(table, name); ok {
			return d, true
		}
	}
	return nil, false
}

var brokerTables = [...][]Definition{
	logSettings, groupSettings, transactionSettings, networkSettings, securitySettings, clusterSettings, labSettings,
}

// LookupTopic finds a setting of topics.
func LookupTopic(name string) (*Definition, bool) { return find(topicSettings, name) }

func find(table []Definition, name string) (*Definition, bool) {
	i, ok := slices.BinarySearchFunc(table, name,
		func(d Definition, name string) int { return strings.Compare(d.Name, name) })
	if !ok {
		return nil, false
	}
	return &table[i], true
}

// Secret is the value of a password. It is not printed; "" is none.
type Secret string

// String implements fmt.Stringer.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "[hidden]"
}

// GoString implements fmt.GoStringer.
func (s Secret) GoString() string { return s.String() }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText implements encoding.TextMarshaler.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Changed returns "name=value" of every static setting that differs from its default, sorted; passwords
// without their value.
func (b *Broker) Changed() []string {
	var changed []string
	for _, name := range slices.Sorted(maps.Keys(b.layers[staticLayer])) {
		d, ok := Lookup(name)
		if !ok {
			continue
		}
		value := b.layers[staticLayer][name]
		if usual, ok := b.defaultOf(d); ok && usual == value {
			continue
		}
		if d.Kind.isSensitive() {
			value = "[hidden]"
		}
		changed = append(changed, name+"="+value)
	}
	return changed
}

// WithoutEffect returns the names of the static settings that are set and have no effect here, sorted.
func (b *Broker) WithoutEffect() []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(b.layers[staticLayer])) {
		if d, ok := Lookup(name); ok && d.Effect != Implemented {
			names = append(names, name)
		}
	}
	return names
}
