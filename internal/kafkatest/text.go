package kafkatest

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Text prints answers for a test to compare: a line for each struct with its plain fields, then the lines of the
// structs in it, indented. Throttle times are left out, and error messages unless Messages is set.
type Text struct {
	Show     []string // the plain fields that are shown; all of them when it is empty
	Hide     []string // fields that are not shown, with all that is in them
	Having   string   // of a list, only the entries that have this text are shown
	Sorted   bool     // the entries of a list stand in their own order
	Messages bool     // texts of errors are shown as null, "" or text
	// WithoutDefaults leaves out the plain fields that have kmsg's default.
	WithoutDefaults bool
	// Value returns the text of a value, or false for the usual one. The name of an element of a list is "".
	Value func(name string, v reflect.Value) (string, bool)
}

// neverShown differs from one run to the next, or from one broker to the other.
var neverShown = []string{"Version", "UnknownTags", "ThrottleMillis", "ErrorMessage"}

// Of returns the text of an answer.
func (t *Text) Of(r kmsg.Response) string {
	return cmp.Or(strings.Join(t.structure("", reflect.ValueOf(r).Elem()), "\n"), "nothing")
}

func (t *Text) hides(name string) bool {
	if t.Messages && name == "ErrorMessage" {
		return false
	}
	return slices.Contains(neverShown, name) || len(t.Show) > 0 && !slices.Contains(t.Show, name)
}

func (t *Text) structure(name string, v reflect.Value) []string {
	var fields, inner []string
	defaults := reflect.New(v.Type())
	if d, ok := defaults.Interface().(interface{ Default() }); ok {
		d.Default()
	}
	for i := range v.NumField() {
		field, of := v.Type().Field(i), v.Field(i)
		if of.Kind() == reflect.Pointer && !of.IsNil() {
			of = of.Elem()
		}
		isList := of.Kind() == reflect.Slice && of.Type().Elem().Kind() == reflect.Struct
		switch {
		case slices.Contains(t.Hide, field.Name):
		case isList:
			inner = append(inner, t.list(field.Name, of)...)
		case t.hides(field.Name):
		case of.Kind() == reflect.Struct:
			inner = append(inner, t.structure(field.Name, of)...)
		case t.WithoutDefaults && reflect.DeepEqual(v.Field(i).Interface(), defaults.Elem().Field(i).Interface()):
		default:
			fields = append(fields, field.Name+"="+t.value(field.Name, of))
		}
	}
	if t.WithoutDefaults && len(fields)+len(inner) == 0 {
		return nil
	}
	if name != "" {
		name += ": "
		for i := range inner {
			inner[i] = "  " + inner[i]
		}
	}
	if line := strings.TrimSpace(name + strings.Join(fields, " ")); line != "" {
		return append([]string{line}, inner...)
	}
	return inner
}

func (t *Text) list(name string, v reflect.Value) []string {
	var all [][]string
	for i := range v.Len() {
		lines := t.structure(name, v.Index(i))
		if strings.Contains(strings.Join(lines, "\n"), t.Having) {
			all = append(all, lines)
		}
	}
	if t.Sorted {
		slices.SortFunc(all, slices.Compare)
	}
	return slices.Concat(all...)
}

func (t *Text) value(name string, v reflect.Value) string {
	if v.Kind() == reflect.Pointer { // those that are not nil were followed
		return "null"
	}
	if t.Value != nil {
		if text, ok := t.Value(name, v); ok {
			return text
		}
	}
	switch {
	case name == "ErrorMessage" && v.String() != "":
		return "text"
	case name == "ErrorMessage":
		return `""`
	case v.Kind() == reflect.Slice:
		var all []string
		for i := range v.Len() {
			all = append(all, t.value("", v.Index(i)))
		}
		if t.Sorted {
			slices.SortFunc(all, func(a, b string) int { return cmp.Or(len(a)-len(b), cmp.Compare(a, b)) })
		}
		return fmt.Sprintf("%v", all)
	case v.CanInt(): // the number, where kmsg has a word for it
		return strconv.FormatInt(v.Int(), 10)
	}
	return fmt.Sprint(v.Interface())
}
