package settings

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// What a change of the broker's settings can be refused for, besides an *InvalidError (spec: admin 7). Both
// are wrapped with the names.
var (
	// ErrReadOnly: the setting holds from start to stop, or for a listener only (listener.name.NAME.…).
	ErrReadOnly = errors.New("cannot be changed while the broker runs")
	// ErrPerBroker: the setting may be changed for one broker and not as the cluster's default.
	ErrPerBroker = errors.New("can be changed for one broker only, not as the default of the cluster")
)

// advertisedListeners can be changed for one broker while it runs, as in Kafka with ZooKeeper: test modules of that
// time learn the published port only when the container runs. Kafka 4.4 refuses it, and so it is described as read
// only.
const advertisedListeners = "advertised.listeners"

// fixedHere are settings that Kafka changes while it runs, and this broker does not: its listeners are opened once,
// and it loads no class.
var fixedHere = []string{"listeners", "listener.security.protocol.map", "principal.builder.class"}

// threadCounts may at most be halved or doubled by one change.
var threadCounts = []string{
	"background.threads", "num.io.threads", "num.network.threads", "num.recovery.threads.per.data.dir",
	"num.replica.fetchers",
}

// WithDynamic returns the settings with these dynamic ones in place of those before: perBroker over
// clusterDefault over the static ones. Values that are not allowed are left out and reported, one
// *InvalidError each, so that a broker can start on what an older version has stored.
func (b *Broker) WithDynamic(perBroker, clusterDefault Values) (*Broker, error) {
	next := &Broker{layers: b.layers}
	var problems []error
	for layer, values := range [...]Values{dynamicBroker: perBroker, dynamicDefault: clusterDefault} {
		checked, _, bad := canonical(values)
		for _, err := range bad {
			var invalid *InvalidError
			if errors.As(err, &invalid) {
				delete(checked, invalid.Name)
			}
		}
		next.layers[layer] = checked
		problems = append(problems, bad...)
	}
	next.resolve()
	if bad := next.contradictions(); len(bad) > 0 {
		problems = append(problems, bad...)
		next.topic = b.topic
	}
	return next, errors.Join(problems...)
}

// Static returns the settings without the dynamic ones.
func (b *Broker) Static() *Broker {
	static, _ := b.WithDynamic(nil, nil)
	return static
}

// ValidateDynamic says whether these may become the dynamic settings: of one broker, or with clusterDefault
// the default of all. The values are all that are set at that level, not only those that change. The error
// wraps ErrReadOnly or ErrPerBroker, or is one or more *InvalidError.
func (b *Broker) ValidateDynamic(values Values, clusterDefault bool) error {
	var readOnly, perBroker []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if len(values[name]) > maxValueLength {
			return &InvalidError{Name: name, Value: values[name][:32] + "…",
				Reason: fmt.Sprintf("must not be longer than %d", maxValueLength)}
		}
		d, known := Lookup(name)
		prefixed := strings.HasPrefix(name, "listener.name.")
		switch {
		case !known: // Kafka stores what it does not know, for plug-ins
		case name == advertisedListeners:
			if clusterDefault {
				perBroker = append(perBroker, name)
			}
		case slices.Contains(fixedHere, name), !d.Dynamic() && !prefixed, strings.HasPrefix(name, "ssl."):
			readOnly = append(readOnly, name)
		case clusterDefault && (d.Traits&PerBroker != 0 || prefixed && !slices.Contains(clusterLevel, d.Name)):
			perBroker = append(perBroker, name)
		}
	}
	if len(readOnly) > 0 {
		return fmt.Errorf("%s: %w", strings.Join(readOnly, ", "), ErrReadOnly)
	}
	if len(perBroker) > 0 {
		return fmt.Errorf("%s: %w", strings.Join(perBroker, ", "), ErrPerBroker)
	}
	one, all := b.layers[dynamicBroker], b.layers[dynamicDefault]
	if clusterDefault {
		all = values
	} else {
		one = values
	}
	next, err := b.WithDynamic(one, all)
	if err != nil {
		return err
	}
	if _, set := values["log.cleaner.dedupe.buffer.size"]; set {
		if each := next.int64("log.cleaner.dedupe.buffer.size") / max(1,
			next.int64("log.cleaner.threads")); each <= leastDedupeBuffer {
			return next.problem("log.cleaner.dedupe.buffer.size", "must be more than %d for each thread", leastDedupeBuffer)
		}
	}
	for _, name := range threadCounts {
		was, is := b.int(name), next.int(name)
		if is > 2*was || 2*is < was {
			return next.problem(name, "must be between half and double the present value of %d", was)
		}
	}
	return nil
}

// leastDedupeBuffer is what a thread of Kafka's log cleaner needs.
const leastDedupeBuffer = 1 << 20

// AppendToList and SubtractFromList change a List by whole entries: entries that are there already, or are
// not there, are passed over (spec: admin 8). Entries are compared as they are given, blanks included, as in Kafka.
// Nothing at all is an entry, so that appending it to a list with entries makes a list that most settings do not allow.
func AppendToList(list, entries string) string {
	all := nonEmptyEntries(list)
	for _, entry := range entriesAsGiven(entries) {
		if !slices.Contains(all, entry) {
			all = append(all, entry)
		}
	}
	return strings.Join(all, ",")
}

// SubtractFromList is AppendToList's counterpart. An entry that stands in the list twice goes once.
func SubtractFromList(list, entries string) string {
	kept := nonEmptyEntries(list)
	for _, entry := range entriesAsGiven(entries) {
		if i := slices.Index(kept, entry); i >= 0 {
			kept = slices.Delete(kept, i, i+1)
		}
	}
	return strings.Join(kept, ",")
}

func nonEmptyEntries(list string) []string {
	return slices.DeleteFunc(splitList(list), func(entry string) bool { return entry == "" })
}

// entriesAsGiven splits as Java does: empty entries at the end are none, but the empty text is one.
func entriesAsGiven(entries string) []string {
	if entries == "" {
		return []string{""}
	}
	if entries = strings.TrimRight(entries, ","); entries == "" {
		return nil
	}
	return strings.Split(entries, ",")
}
