package settings

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// Where a value comes from, with its number on the wire (spec: admin 5).
const (
	SourceTopic          int8 = 1
	SourceDynamicBroker  int8 = 2
	SourceDynamicDefault int8 = 3
	SourceStatic         int8 = 4
	SourceDefault        int8 = 5
	SourceBrokerLogger   int8 = 6
	SourceClientMetrics  int8 = 7
	SourceGroup          int8 = 8
)

// layerSources are the sources of a Broker's layers, in their order.
var layerSources = [layerCount]int8{SourceDynamicBroker, SourceDynamicDefault, SourceStatic}

// Entry is one setting as DescribeConfigs shows it (spec: admin 8).
type Entry struct {
	Name          string
	Value         string
	Null          bool // there is no value, or a hidden one; Value is ""
	Source        int8
	ReadOnly      bool
	Sensitive     bool
	Kind          Kind
	Documentation string
	Synonyms      []Synonym // strongest first, the effective value first of all
}

// Synonym is a value that holds, or would hold without the stronger ones before it.
type Synonym struct {
	Name   string
	Value  string
	Null   bool // as in Entry
	Source int8
}

// DescribeTopic returns every setting of a topic for which overrides are set, sorted by name. Overrides
// are taken to be valid.
func (b *Broker) DescribeTopic(overrides Values) []Entry {
	entries := make([]Entry, 0, len(topicSettings))
	for i := range topicSettings {
		d := &topicSettings[i]
		override, set := overrides[d.Name]
		if d.Traits&Hidden != 0 && !set {
			continue
		}
		e := Entry{Name: d.Name, Kind: d.Kind, Documentation: d.Documentation, Source: SourceDefault}
		if set {
			e.Value = mustCanonical(d, override)
			e.Synonyms = append(e.Synonyms, Synonym{Name: d.Name, Value: e.Value, Source: SourceTopic})
		} else {
			e.Value = b.topicDefault(d.Name)
		}
		if behind := synonymsOfTopic(d.Name); behind != nil {
			e.Synonyms = append(e.Synonyms, b.synonyms(behind[0].name)...)
		}
		if len(e.Synonyms) > 0 {
			e.Source = e.Synonyms[0].Source
		}
		entries = append(entries, e)
	}
	return entries
}

func mustCanonical(d *Definition, value string) string {
	if text, err := d.canonical(value); err == nil {
		return text
	}
	return value
}

// DescribeBroker returns every setting of the broker, sorted by name, with the unknown ones that were set. Unknown ones
// may be secret, so they have no value.
func (b *Broker) DescribeBroker() []Entry {
	var entries []Entry
	for _, table := range brokerTables {
		for i := range table {
			if d := &table[i]; d.Traits&Hidden == 0 || b.isExplicit(d.Name) {
				entries = append(entries, b.entry(d.Name))
			}
		}
	}
	extra := map[string]bool{}
	for _, layer := range b.layers {
		for name := range layer {
			if d, ok := Lookup(name); !ok || d.Name != name {
				extra[name] = true
			}
		}
	}
	for name := range extra {
		entries = append(entries, b.entry(name))
	}
	slices.SortFunc(entries, func(x, y Entry) int { return cmp.Compare(x.Name, y.Name) })
	return entries
}

// DescribeClusterDefault returns what is set dynamically for every broker, sorted by name: the resource
// BROKER with an empty name.
func (b *Broker) DescribeClusterDefault() []Entry {
	var entries []Entry
	for _, name := range slices.Sorted(maps.Keys(b.layers[dynamicDefault])) {
		e := b.entry(name)
		e.Synonyms = slices.DeleteFunc(e.Synonyms, func(s Synonym) bool { return s.Source != SourceDynamicDefault })
		if len(e.Synonyms) > 0 {
			e.Value, e.Null, e.Source = e.Synonyms[0].Value, e.Synonyms[0].Null, SourceDynamicDefault
		}
		entries = append(entries, e)
	}
	return entries
}

// entry describes one broker setting, known or not.
func (b *Broker) entry(name string) Entry {
	e := Entry{Name: name, Source: SourceDefault, ReadOnly: true}
	value, ok := b.explicit(name)
	if d, known := Lookup(name); known {
		e.Kind, e.Documentation = d.Kind, d.Documentation
		e.ReadOnly = d.Name != name || !d.Dynamic()
		if !ok && d.Name == name {
			value, ok = b.defaultOf(d)
		}
	}
	e.Sensitive = e.Kind.isSensitive()
	if e.Null = e.Sensitive || !ok; !e.Null {
		e.Value = value
	}
	e.Synonyms = b.synonyms(name)
	if len(e.Synonyms) > 0 {
		e.Source = e.Synonyms[0].Source
	}
	return e
}

// synonyms lists the values of a broker setting and of those that mean the same, layer by layer. As in
// Kafka the list begins with the setting's own name: a topic's retention.ms shows nothing of
// log.retention.hours as long as log.retention.ms is not set.
func (b *Broker) synonyms(name string) []Synonym {
	names := sameMeaning(name)
	var all []Synonym
	add := func(name, value string, source int8) {
		d, ok := Lookup(name)
		s := Synonym{Name: name, Value: value, Source: source}
		if !ok || d.Kind.isSensitive() {
			s.Value, s.Null = "", true
		}
		all = append(all, s)
	}
	for i, layer := range b.layers {
		for _, n := range names {
			if value, ok := layer[n]; ok {
				add(n, value, layerSources[i])
			}
		}
	}
	for _, n := range names {
		if d, ok := Lookup(n); ok && d.Name == n {
			if value, ok := b.defaultOf(d); ok {
				add(n, value, SourceDefault)
			}
		}
	}
	own := slices.IndexFunc(all, func(s Synonym) bool { return s.Name == name })
	if own < 0 {
		return nil
	}
	return all[own:]
}

// sameMeaning returns the broker settings that mean the same at another unit, strongest first, or the
// setting that holds for all listeners behind one for a single listener.
func sameMeaning(name string) []string {
	if strings.HasPrefix(name, "listener.name.") {
		if d, ok := Lookup(name); ok {
			return []string{name, d.Name}
		}
	}
	for i := range topicSynonyms {
		row := topicSynonyms[i].broker
		if slices.ContainsFunc(row, func(s synonym) bool { return s.name == name }) {
			names := make([]string, len(row))
			for j, s := range row {
				names[j] = s.name
			}
			return names
		}
	}
	return []string{name}
}
