package settings

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Kind is the type of a setting's value, with its number on the wire (spec: admin 5).
type Kind int8

// The kinds of values. KindUnknown is that of a name that no table has.
const (
	KindUnknown Kind = iota
	Boolean
	String
	Int
	Short
	Long
	Double
	List
	Class
	Password
)

// isSensitive says whether values are hidden from DescribeConfigs: those of passwords and of unknown settings.
func (k Kind) isSensitive() bool { return k == Password || k == KindUnknown }

// Effect says what a setting does here.
type Effect uint8

// The effects. All settings are validated, stored and shown alike. NotApplicable ones make sense only in a cluster of
// several brokers, on a Java virtual machine or with tiered storage.
const (
	Implemented Effect = iota
	NotImplemented
	NotApplicable
)

// Traits are properties of a setting that are off for most.
type Traits uint8

// The traits. A setting without Dynamic is read only while the broker runs.
const (
	Dynamic   Traits = 1 << iota // may be changed while the broker runs
	PerBroker                    // with Dynamic: for one broker, not as the cluster's default
	Hidden                       // shown by DescribeConfigs only where it is set
	static    Traits = 0
)

// null is the default of a setting that has none, Kafka's null. No text of a setting can equal it.
const null = "\x00"

// maxValueLength is the longest value of a dynamic or topic setting (spec: admin 8).
const maxValueLength = 32767

// Definition describes one setting. It is immutable; units and meaning are in Documentation.
type Definition struct {
	Name          string
	Kind          Kind
	defaultValue  string // null for none
	valid         valid
	Traits        Traits
	Effect        Effect
	Documentation string
}

// Default returns the value that holds when nothing is set; ok is false where there is none.
func (d *Definition) Default() (value string, ok bool) {
	if d.defaultValue == null {
		return "", false
	}
	return d.defaultValue, true
}

// Dynamic says whether the setting may be changed while the broker runs.
func (d *Definition) Dynamic() bool { return d.Traits&Dynamic != 0 }

// canonical checks value and returns it as Kafka shows it: trimmed, numbers and booleans in their plain
// form, lists without spaces and doubles. The error says what is allowed and names neither setting nor value.
func (d *Definition) canonical(value string) (string, error) {
	value = strings.TrimSpace(value)
	switch d.Kind {
	case Boolean:
		return canonicalBoolean(value)
	case Short, Int, Long:
		return d.canonicalInteger(value)
	case Double:
		return d.canonicalDouble(value)
	case List:
		return d.canonicalList(value)
	default:
		return value, d.valid.text(value)
	}
}

func canonicalBoolean(value string) (string, error) {
	switch lower := strings.ToLower(value); lower {
	case "true", "false":
		return lower, nil
	}
	return "", errors.New("must be true or false")
}

func (d *Definition) canonicalInteger(value string) (string, error) {
	bits, name := 64, "a whole number"
	switch d.Kind {
	case Short:
		bits, name = 16, "a whole number of 16 bits"
	case Int:
		bits, name = 32, "a whole number of 32 bits"
	}
	n, err := strconv.ParseInt(value, 10, bits)
	if err != nil {
		return "", fmt.Errorf("must be %s", name)
	}
	return strconv.FormatInt(n, 10), d.valid.number(float64(n))
}

func (d *Definition) canonicalDouble(value string) (string, error) {
	x, err := strconv.ParseFloat(value, 64)
	if err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
		return "", errors.New("must be a number")
	}
	return formatDouble(x), d.valid.number(x)
}

func (d *Definition) canonicalList(value string) (string, error) {
	entries := splitList(value)
	var unique []string
	for _, entry := range entries {
		if entry == "" && d.valid.skipEmpty {
			continue
		}
		if entry == "" && !d.valid.emptyEntries {
			return "", errors.New("must not have an empty entry")
		}
		if err := d.valid.entry(entry); err != nil {
			return "", err
		}
		again := slices.Contains(unique, entry)
		if again && d.valid.distinct {
			return "", fmt.Errorf("must not have %q twice", entry)
		}
		if d.valid.duplicates || !again {
			unique = append(unique, entry)
		}
	}
	if len(unique) == 0 && d.valid.nonEmpty {
		return "", errors.New("must not be empty")
	}
	value = strings.Join(unique, ",")
	if d.valid.check != nil {
		return value, d.valid.check(value)
	}
	return value, nil
}

// splitList splits the value of a List at its commas; nothing gives no entries.
func splitList(value string) []string {
	value = strings.TrimSpace(value)
	if value == "" {
		return nil
	}
	entries := strings.Split(value, ",")
	for i := range entries {
		entries[i] = strings.TrimSpace(entries[i])
	}
	return entries
}

// formatDouble writes x as Java does, which is what tools compare with: 0.5, 1.0, 1.0E10.
func formatDouble(x float64) string {
	if size := math.Abs(x); size != 0 && (size < 1e-3 || size >= 1e7) {
		text := strconv.FormatFloat(x, 'E', -1, 64)
		mantissa, exponent, _ := strings.Cut(text, "E")
		if !strings.Contains(mantissa, ".") {
			mantissa += ".0"
		}
		n, _ := strconv.Atoi(exponent)
		return mantissa + "E" + strconv.Itoa(n)
	}
	text := strconv.FormatFloat(x, 'f', -1, 64)
	if !strings.Contains(text, ".") {
		text += ".0"
	}
	return text
}

// valid says which values of a kind are allowed; the zero valid allows all.
type valid struct {
	min, max     float64 // inclusive; both zero for any
	oneOf        []string
	foldCase     bool
	nonEmpty     bool
	duplicates   bool               // entries of a list may stand twice
	distinct     bool               // an entry that stands twice is refused, and not passed over
	emptyEntries bool               // a list may have entries without text
	skipEmpty    bool               // they are left out, as behind a comma at the end
	check        func(string) error // for what the others cannot say
}

var anything valid

func atLeast(n float64) valid       { return valid{min: n, max: math.MaxFloat64} }
func between(low, up float64) valid { return valid{min: low, max: up} }

func (v *valid) number(x float64) error {
	if (v.min != 0 || v.max != 0) && (x < v.min || x > v.max) {
		if v.max == math.MaxFloat64 {
			return fmt.Errorf("must be at least %.10g", v.min)
		}
		return fmt.Errorf("must be between %.10g and %.10g", v.min, v.max)
	}
	if v.check != nil {
		return v.check(strconv.FormatFloat(x, 'f', -1, 64))
	}
	return nil
}

func (v *valid) text(value string) error {
	if v.nonEmpty && value == "" {
		return errors.New("must not be empty")
	}
	if err := v.entry(value); err != nil {
		return err
	}
	if v.check != nil {
		return v.check(value)
	}
	return nil
}

func (v *valid) entry(value string) error {
	if v.oneOf == nil || slices.Contains(v.oneOf, value) {
		return nil
	}
	if v.foldCase && slices.ContainsFunc(v.oneOf, func(s string) bool { return strings.EqualFold(s, value) }) {
		return nil
	}
	return fmt.Errorf("must be one of %s", strings.Join(v.oneOf, ", "))
}
