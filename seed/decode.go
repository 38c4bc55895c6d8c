package seed

import (
	"encoding/base64"
	"fmt"
	"math"
	"strconv"

	"once/settings"
	"once/topics"
)

// maxPartitions is how many partitions all topics may ask for, as in one CreateTopics request.
const maxPartitions = 10_000

// Parse reads topics from JSON or YAML: a list of objects with name, partitions, configs, and records with partition,
// key, value, headers and timestamp. A key or a value is text, null, or {"base64": "…"}; a number stands for its text.
// Unknown fields are mistakes. The error joins one *Error for each of the first mistakes.
func Parse(raw []byte) ([]Topic, error) { return decode(parse(raw)) }

// ParseJSON is Parse for JSON only.
func ParseJSON(raw []byte) ([]Topic, error) {
	if err := checkText(raw); err != nil {
		return nil, err
	}
	return decode(parseJSON(raw))
}

func decode(n *node, err error) ([]Topic, error) {
	if err != nil {
		return nil, err
	}
	d := &decoder{}
	var all []Topic
	seen := map[string]bool{}
	partitions := 0
	d.entries(n, place{line: n.line}, func(e *node, at place) {
		t := d.topic(e, at)
		if t.Name != "" && seen[t.Name] {
			d.add(at.below(".name", at.line).mistake("the topic %q stands twice", t.Name))
		}
		seen[t.Name] = true
		before := partitions
		if partitions += max(int(t.Partitions), 1); partitions > maxPartitions && before <= maxPartitions {
			d.add(at.mistake("with this topic there are more than %d partitions", maxPartitions))
		}
		all = append(all, t)
	})
	return all, d.err()
}

// decoder makes topics of nodes. What has a mistake is left out.
type decoder struct{ mistakes }

func (d *decoder) topic(n *node, at place) (t Topic) {
	t.at, t.Configs = at, settings.Values{}
	d.fields(n, at, map[string]func(*node, place){
		"name":       func(n *node, at place) { t.Name = d.name(n, at) },
		"partitions": func(n *node, at place) { t.Partitions = int32(d.whole(n, at, 1, maxPartitions)) },
		"configs":    func(n *node, at place) { d.configs(n, at, t.Configs) },
		"records": func(n *node, at place) {
			d.entries(n, at, func(e *node, at place) { t.Records = append(t.Records, d.record(e, at)) })
		},
	})
	if n.kind == object && !has(n, "name") {
		d.add(at.below(".name", at.line).mistake("is missing"))
	}
	if t.Partitions > 0 {
		for i := range t.Records {
			d.add(t.Records[i].checkPartition(t.Partitions))
		}
	}
	return t
}

func has(n *node, name string) bool {
	for _, f := range n.fields {
		if f.name == name {
			return true
		}
	}
	return false
}

func (d *decoder) name(n *node, at place) string {
	if n.kind != text {
		d.add(at.mistake("must be text, not %s", n.kind))
		return ""
	}
	d.add(checkName(n.text, at))
	return n.text
}

func checkName(name string, at place) error {
	if err := topics.CheckName(name); err != nil {
		return at.mistake("%v", err)
	}
	if topics.IsInternal(name) {
		return at.mistake("%s is the broker's own", name)
	}
	return nil
}

func (d *decoder) configs(n *node, at place, into settings.Values) {
	d.each(n, at, func(f field, at place) {
		if f.value.kind != text && f.value.kind != literal {
			d.add(at.mistake("must be text or a number, not %s", f.value.kind))
			return
		}
		if _, known := settings.LookupTopic(f.name); !known {
			d.add(at.mistake("topics do not have this setting"))
			return
		}
		if _, err := settings.CanonicalTopic(settings.Values{f.name: f.value.text}); err != nil {
			d.add(at.mistake("%v", err))
			return
		}
		into[f.name] = f.value.text
	})
}

func (d *decoder) record(n *node, at place) Record {
	r := Record{Partition: -1, TimestampMs: -1, at: at}
	d.fields(n, at, map[string]func(*node, place){
		"partition": func(n *node, at place) { r.Partition = int32(d.whole(n, at, 0, maxPartitions-1)) },
		"key":       func(n *node, at place) { r.Key = d.bytes(n, at) },
		"value":     func(n *node, at place) { r.Value = d.bytes(n, at) },
		"timestamp": func(n *node, at place) { r.TimestampMs = d.whole(n, at, 0, math.MaxInt64) },
		"headers":   func(n *node, at place) { r.Headers = d.headers(n, at) },
	})
	return r
}

func (r *Record) checkPartition(partitions int32) error {
	if r.Partition < partitions {
		return nil
	}
	return r.at.below(".partition", r.at.line).mistake("is %d, and the topic has %d partitions", r.Partition, partitions)
}

// headers reads an object, or a list of {"name", "value"}, in which a name may stand more than once.
func (d *decoder) headers(n *node, at place) (headers []Header) {
	if n.kind != list {
		d.each(n, at, func(f field, at place) {
			headers = append(headers, Header{f.name, d.bytes(f.value, at)})
		})
		return headers
	}
	d.entries(n, at, func(e *node, at place) {
		var h Header
		d.fields(e, at, map[string]func(*node, place){
			"name": func(n *node, at place) {
				if h.Name = n.text; n.kind != text {
					d.add(at.mistake("must be text, not %s", n.kind))
				}
			},
			"value": func(n *node, at place) { h.Value = d.bytes(n, at) },
		})
		if e.kind == object && !has(e, "name") {
			d.add(at.below(".name", at.line).mistake("is missing"))
		}
		headers = append(headers, h)
	})
	return headers
}

// bytes reads text, null or {"base64": "…"}.
func (d *decoder) bytes(n *node, at place) []byte {
	switch n.kind {
	case text, literal:
		return []byte(n.text)
	case null:
		return nil
	case list:
		d.add(at.mistake(`must be text, null or {"base64": "…"}, not a list`))
		return nil
	}
	if len(n.fields) != 1 || n.fields[0].name != "base64" {
		d.add(at.mistake(`must be text, null or {"base64": "…"}; an object as JSON has to be text`))
		return nil
	}
	encoded := n.fields[0].value
	raw, err := base64.StdEncoding.DecodeString(encoded.text)
	if err != nil || encoded.kind != text {
		d.add(at.below(".base64", encoded.line).mistake("must be text in base64"))
	}
	return raw
}

func (d *decoder) whole(n *node, at place, low, high int64) int64 {
	i, err := strconv.ParseInt(n.text, 10, 64)
	if n.kind != literal || err != nil || i < low || i > high {
		d.add(at.mistake("must be a whole number from %d to %d", low, high))
		return low
	}
	return i
}

// entries calls f for each entry of a list.
func (d *decoder) entries(n *node, at place, f func(*node, place)) {
	if n.kind != list {
		d.add(at.mistake("must be a list, not %s", n.kind))
		return
	}
	for i, e := range n.entries {
		f(e, at.below(fmt.Sprintf("[%d]", i), e.line))
	}
}

// each calls f for each field of an object.
func (d *decoder) each(n *node, at place, f func(field, place)) {
	if n.kind != object {
		d.add(at.mistake("must be an object, not %s", n.kind))
		return
	}
	seen := map[string]bool{}
	for _, one := range n.fields {
		at := at.below("."+one.name, one.line)
		if seen[one.name] {
			d.add(at.mistake("stands twice"))
			continue
		}
		seen[one.name] = true
		f(one, at)
	}
}

// fields calls the function for each field of an object, and refuses fields without one.
func (d *decoder) fields(n *node, at place, known map[string]func(*node, place)) {
	d.each(n, at, func(f field, at place) {
		if read, ok := known[f.name]; ok {
			read(f.value, at)
			return
		}
		d.add(at.mistake("is not known here"))
	})
}
