package settings

import (
	"errors"
	"fmt"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
)

// clientMetricsSettings are the settings of a subscription to client metrics (KIP-714), resource type
// CLIENT_METRICS. Sorted by name.
var clientMetricsSettings = []Definition{
	{"interval.ms", Int, "300000", anything, Dynamic, NotImplemented, "How often clients send these metrics, in ms."},
	{"match", List, "", anything, Dynamic, NotImplemented,
		"Which clients: pairs of attribute and expression; none is all."},
	{"metrics", List, "", anything, Dynamic, NotImplemented, "Prefixes of the names of the metrics; * is all."},
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

// checkClientMatch accepts attribute=expression pairs. Expressions are Java's: constructs that only Java has, such as
// look-around, are not checked.
func checkClientMatch(value string) error {
	for _, entry := range splitList(value) {
		attribute, expression, ok := strings.Cut(strings.TrimRight(entry, "="), "=")
		if !ok || strings.Contains(expression, "=") || !slices.Contains(clientAttributes, strings.TrimSpace(attribute)) {
			return errors.New("must be attribute=expression pairs with an attribute of " + strings.Join(clientAttributes, ", "))
		}
		_, err := syntax.Parse(strings.TrimSpace(expression), syntax.Perl)
		var bad *syntax.Error
		if errors.As(err, &bad) && !slices.Contains(javaSyntaxErrors, bad.Code) {
			return fmt.Errorf("has a bad regular expression: %w", bad)
		}
	}
	return nil
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
