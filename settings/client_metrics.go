package settings

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
	"time"
)

// clientMetricsSettings are the settings of a subscription to client metrics (KIP-714), resource type
// CLIENT_METRICS. Sorted by name.
var clientMetricsSettings = []Definition{
	{"interval.ms", Int, "300000", anything, Dynamic, Implemented, "How often clients send these metrics, in ms."},
	{"match", List, "", anything, Dynamic, Implemented,
		"Which clients: pairs of attribute and expression; none is all."},
	{"metrics", List, "", anything, Dynamic, Implemented, "Prefixes of the names of the metrics; * is all."},
}

// ErrClientMetrics refuses what client metrics cannot have, in a way that Kafka calls a bad request and not a bad
// value: a name that does not exist, and an interval outside of the bounds (spec: admin 9).
var ErrClientMetrics = errors.New("cannot be set for client metrics")

// The bounds of interval.ms.
const (
	minClientMetricsInterval = 100
	maxClientMetricsInterval = 3_600_000
)

// CheckClientMetrics says whether these may be all the settings of a subscription. The error wraps
// ErrClientMetrics or is an *InvalidError.
func CheckClientMetrics(values Values) error {
	for name := range values {
		if _, ok := find(clientMetricsSettings, name); !ok {
			return fmt.Errorf("%s: %w", name, ErrClientMetrics)
		}
	}
	checked, err := checkOverrides(clientMetricsSettings, values, "client metrics subscription")
	if err != nil {
		return err
	}
	if interval, set := checked["interval.ms"]; set {
		n, _ := strconv.ParseInt(interval, 10, 64)
		if n < minClientMetricsInterval || n > maxClientMetricsInterval {
			return fmt.Errorf("interval.ms=%d: %w: must be between %d and %d",
				n, ErrClientMetrics, minClientMetricsInterval, maxClientMetricsInterval)
		}
	}
	if err := checkClientMatch(checked["match"]); err != nil {
		return &InvalidError{Name: "match", Value: values["match"], Reason: err.Error()}
	}
	return nil
}

// clientAttributes are what a client can be matched by.
var clientAttributes = []string{
	"client_id", "client_instance_id", "client_software_name", "client_software_version", "client_source_address",
	"client_source_port",
}

// maxMatchInstructions bounds what the expressions of a subscription cost, when they are compiled and when a client is
// matched.
const maxMatchInstructions = 1000

// checkClientMatch accepts attribute=expression pairs. Expressions are Java's: constructs that only Java has, such as
// look-around, are not checked.
func checkClientMatch(value string) error {
	instructions := 0
	for _, entry := range splitList(value) {
		attribute, expression, ok := cutMatch(entry)
		if !ok || !slices.Contains(clientAttributes, attribute) {
			return errors.New("must be attribute=expression pairs with an attribute of " + strings.Join(clientAttributes, ", "))
		}
		parsed, err := syntax.Parse(expression, syntax.Perl)
		var bad *syntax.Error
		if errors.As(err, &bad) && !slices.Contains(javaSyntaxErrors, bad.Code) {
			return fmt.Errorf("has a bad regular expression: %w", bad)
		}
		if err == nil {
			program, _ := syntax.Compile(parsed.Simplify())
			instructions += len(program.Inst)
		}
	}
	if instructions > maxMatchInstructions {
		return errors.New("has regular expressions that are too large")
	}
	return nil
}

// cutMatch splits an attribute=expression pair. Java's way of splitting ignores what is empty at the end.
func cutMatch(entry string) (attribute, expression string, ok bool) {
	attribute, expression, ok = strings.Cut(strings.TrimRight(entry, "="), "=")
	return strings.TrimSpace(attribute), strings.TrimSpace(expression), ok && !strings.Contains(expression, "=")
}

// javaSyntaxErrors are Go's errors for expressions that may be valid in Java.
var javaSyntaxErrors = []syntax.ErrorCode{
	syntax.ErrInvalidPerlOp, syntax.ErrInvalidEscape, syntax.ErrInvalidRepeatOp, syntax.ErrInvalidRepeatSize,
	syntax.ErrInvalidCharRange,
}

// DescribeClientMetrics returns every setting of a subscription for which overrides are set, sorted by name. Those
// that are not set have no synonyms.
func DescribeClientMetrics(overrides Values) []Entry {
	entries := make([]Entry, 0, len(clientMetricsSettings))
	for i := range clientMetricsSettings {
		d := &clientMetricsSettings[i]
		e := Entry{Name: d.Name, Value: d.defaultValue, Kind: d.Kind, Documentation: d.Documentation, Source: SourceDefault}
		if value, set := overrides[d.Name]; set {
			e.Value, e.Source = mustCanonical(d, value), SourceClientMetrics
			e.Synonyms = []Synonym{{Name: d.Name, Value: e.Value, Source: SourceClientMetrics}}
		}
		entries = append(entries, e)
	}
	return entries
}

// ClientMetrics are the settings of a subscription that are in force.
type ClientMetrics struct {
	Interval time.Duration
	Metrics  []string                  // prefixes of names; AllClientMetrics for all
	Match    map[string]*regexp.Regexp // by attribute; each has to match all of it. nil: one that matches nothing
}

// AllClientMetrics is the entry of the setting metrics that stands for all of them.
const AllClientMetrics = "*"

// ClientMetricsOf returns the settings of a subscription for which overrides are set. Overrides are taken to be valid.
// An expression with what only Java has matches nothing.
func ClientMetricsOf(overrides Values) ClientMetrics {
	own := func(name string) string {
		d, _ := find(clientMetricsSettings, name)
		if value, set := overrides[name]; set {
			return mustCanonical(d, value)
		}
		return d.defaultValue
	}
	interval, _ := strconv.ParseInt(own("interval.ms"), 10, 64)
	m := ClientMetrics{Interval: time.Duration(interval) * time.Millisecond, Metrics: splitList(own("metrics")),
		Match: map[string]*regexp.Regexp{}}
	for _, entry := range splitList(own("match")) {
		attribute, expression, _ := cutMatch(entry)
		whole, err := regexp.Compile(`^(?:` + expression + `)$`)
		if err != nil {
			whole = nil
		}
		m.Match[attribute] = whole
	}
	return m
}
