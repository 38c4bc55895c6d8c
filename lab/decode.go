package lab

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"once/faults"
)

// Bodies are decoded more strictly than encoding/json does it: a name must be spelt as it is here and stand once, null
// is no value, and nothing may follow the value. Every error names the field.

// namesType takes one name in place of a list, too.
var namesType = reflect.TypeFor[faults.Names]()

// maxDepth is how deep a body may be nested.
const maxDepth = 16

// fieldError says what is wrong with a field of a body or a query.
type fieldError struct {
	field  string // "" for the body as a whole
	reason string // what is allowed
	whole  bool   // it is about the body wherever it was found
}

// maxFieldBytes is how much of a field an error names: its name may be as long as a body.
const maxFieldBytes = 200

func (e *fieldError) Error() string {
	if e.field == "" {
		return "the body " + e.reason
	}
	field := e.field
	if len(field) > maxFieldBytes {
		field = strings.ToValidUTF8(field[:maxFieldBytes], "") + "…"
	}
	return field + ": " + e.reason
}

// within returns the error for the value in which the field stands. An error gets its path when there is one: paths of
// all fields would take the square of the size of a body.
func within(part string, err error) error {
	var e *fieldError
	switch {
	case !errors.As(err, &e) || e.whole:
		return err
	case e.field == "" || strings.HasPrefix(e.field, "["):
		return &fieldError{field: part + e.field, reason: e.reason}
	}
	return &fieldError{field: part + "." + e.field, reason: e.reason}
}

// entry is the part of a path for an entry of a list.
func entry(i int) string { return "[" + strconv.Itoa(i) + "]" }

func wrong(field, format string, args ...any) error {
	return &fieldError{field: field, reason: fmt.Sprintf(format, args...)}
}

// wrongBody is wrong for the body as a whole.
func wrongBody(format string, args ...any) error {
	return &fieldError{reason: fmt.Sprintf(format, args...), whole: true}
}

// value is a JSON value: nil, bool, json.Number, string, []value or object.
type value any

// object is a JSON object with its members in order.
type object []member

type member struct {
	name  string
	value value
}

// decode decodes a body into what to points to.
func decode(body []byte, to any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	v, err := parse(d, 0)
	if err == nil {
		if _, err = d.Token(); !errors.Is(err, io.EOF) {
			return wrongBody("must be one JSON value, and something follows it")
		}
		err = bind(v, reflect.ValueOf(to).Elem())
	}
	return err
}

func parse(d *json.Decoder, depth int) (value, error) {
	if depth > maxDepth {
		return nil, wrongBody("is nested deeper than %d", maxDepth)
	}
	token, err := d.Token()
	if err != nil {
		return nil, notJSON(err)
	}
	delimiter, ok := token.(json.Delim)
	if !ok {
		return token, nil
	}
	if delimiter == '[' {
		list := []value{}
		for d.More() {
			v, err := parse(d, depth+1)
			if err != nil {
				return nil, within(entry(len(list)), err)
			}
			list = append(list, v)
		}
		return list, end(d)
	}
	members := object{}
	seen := map[string]bool{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil, notJSON(err)
		}
		name, _ := token.(string)
		if seen[name] {
			return nil, wrong(name, "stands twice")
		}
		seen[name] = true
		v, err := parse(d, depth+1)
		if err != nil {
			return nil, within(name, err)
		}
		members = append(members, member{name, v})
	}
	return members, end(d)
}

func end(d *json.Decoder) error {
	if _, err := d.Token(); err != nil {
		return notJSON(err)
	}
	return nil
}

func notJSON(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return wrongBody("ends too early to be JSON")
	}
	return wrongBody("must be JSON: %v", err)
}

// bind stores a JSON value in a Go value.
func bind(v value, to reflect.Value) error {
	if v == nil {
		return wrong("", "must not be null; leave it out")
	}
	if t, ok := to.Addr().Interface().(encoding.TextUnmarshaler); ok {
		text, ok := v.(string)
		if !ok {
			return wrong("", "must be a string")
		}
		if err := t.UnmarshalText([]byte(text)); err != nil {
			return wrong("", "%v", err)
		}
		return nil
	}
	if text, ok := v.(string); ok && to.Type() == namesType {
		v = []value{text}
	}
	switch to.Kind() {
	case reflect.Pointer:
		to.Set(reflect.New(to.Type().Elem()))
		return bind(v, to.Elem())
	case reflect.Struct:
		return bindStruct(v, to)
	case reflect.Slice:
		list, ok := v.([]value)
		if !ok {
			return wrong("", "must be a list")
		}
		to.Set(reflect.MakeSlice(to.Type(), len(list), len(list)))
		for i := range list {
			if err := bind(list[i], to.Index(i)); err != nil {
				return within(entry(i), err)
			}
		}
		return nil
	}
	return bindScalar(v, to)
}

func bindScalar(v value, to reflect.Value) error {
	switch to.Kind() {
	case reflect.Bool:
		is, ok := v.(bool)
		if !ok {
			return wrong("", "must be true or false")
		}
		to.SetBool(is)
	case reflect.String:
		text, ok := v.(string)
		if !ok {
			return wrong("", "must be a string")
		}
		to.SetString(text)
	case reflect.Int, reflect.Int32, reflect.Int64:
		n, ok := v.(json.Number)
		i, err := strconv.ParseInt(n.String(), 10, to.Type().Bits())
		if !ok || err != nil {
			return wrong("", "must be a whole number of %d bits", to.Type().Bits())
		}
		to.SetInt(i)
	case reflect.Float64:
		n, ok := v.(json.Number)
		x, err := n.Float64()
		if !ok || err != nil {
			return wrong("", "must be a number")
		}
		to.SetFloat(x)
	default:
		panic(fmt.Sprintf("lab: a body cannot have a %s", to.Type()))
	}
	return nil
}

func bindStruct(v value, to reflect.Value) error {
	members, ok := v.(object)
	if !ok {
		return wrong("", "must be an object")
	}
	for _, m := range members {
		f, ok := fieldNamed(to, m.name)
		if !ok {
			return wrong(m.name, "is unknown here; allowed are %s", strings.Join(fieldNames(to.Type()), ", "))
		}
		if err := bind(m.value, f); err != nil {
			return within(m.name, err)
		}
	}
	return nil
}

func fieldNamed(s reflect.Value, name string) (reflect.Value, bool) {
	for i := range s.NumField() {
		if f := s.Type().Field(i); f.Anonymous {
			if v, ok := fieldNamed(s.Field(i), name); ok {
				return v, true
			}
		} else if jsonName(f) == name {
			return s.Field(i), true
		}
	}
	return reflect.Value{}, false
}

// fieldNames returns the names that an object may have.
func fieldNames(t reflect.Type) (names []string) {
	for i := range t.NumField() {
		if f := t.Field(i); f.Anonymous {
			names = append(names, fieldNames(f.Type)...)
		} else if name := jsonName(f); name != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// jsonName is the name of a field in JSON; "" for none.
func jsonName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	if name == "-" {
		return ""
	}
	return name
}
