package lab

import (
	"encoding/json"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"once/faults"
)

// bodies returns the types of all bodies that are decoded here.
func bodies() map[string]reflect.Type {
	all := map[string]reflect.Type{}
	for _, c := range (&Lab{}).calls() {
		if c.body != reflect.TypeFor[none]() && c.body != reflect.TypeFor[[]byte]() && c.body != reflect.TypeFor[archive]() {
			all[c.method+" "+c.path] = c.body
		}
	}
	return all
}

// Each field of each body is refused where its value has another type, is null, or stands twice, and each object where
// it has a member that is unknown; the error names the field.
func TestEveryFieldIsChecked(t *testing.T) {
	fields := 0
	for name, body := range bodies() {
		eachField(body, nil, func(path []string, field reflect.Type) {
			fields++
			at := strings.ReplaceAll(strings.Join(path, "."), ".[0]", "[0]")
			last := path[len(path)-1]
			for _, value := range []string{wrongValue(field), "null", `1, "` + last + `": 2`} {
				if strings.HasPrefix(last, "[") && strings.HasPrefix(value, "1,") {
					continue
				}
				text := wrapped(path, value)
				err := decode([]byte(text), reflect.New(body).Interface())
				if err == nil || !strings.HasPrefix(err.Error(), at+": ") {
					t.Errorf("%s: %s: %v, want an error for %q", name, text, err, at)
				}
			}
			if s := structOf(field); s != nil {
				text := wrapped(append(path, "nonsense"), "1")
				err := decode([]byte(text), reflect.New(body).Interface())
				if want := at + ".nonsense: is unknown here; allowed are "; err == nil || !strings.HasPrefix(err.Error(), want) {
					t.Errorf("%s: %s: %v, want %q", name, text, err, want)
				}
			}
		})
	}
	if fields < 4 {
		t.Errorf("%d fields", fields)
	}
}

func structOf(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() == reflect.Struct && t != reflect.TypeFor[time.Time]() {
		return t
	}
	return nil
}

// eachField calls f for each field of a type, and those in them.
func eachField(t reflect.Type, path []string, f func(path []string, field reflect.Type)) {
	if t.Kind() == reflect.Slice && t != reflect.TypeFor[faults.Names]() {
		path = append(path[:len(path):len(path)], "[0]")
		f(path, t.Elem())
		eachField(t.Elem(), path, f)
		return
	}
	s := structOf(t)
	if s == nil {
		return
	}
	for i := range s.NumField() {
		field := s.Field(i)
		if field.Anonymous {
			eachField(field.Type, path, f)
			continue
		}
		inner := append(path[:len(path):len(path)], jsonName(field))
		f(inner, field.Type)
		eachField(field.Type, inner, f)
	}
}

// wrapped is a body that has a value at a path.
func wrapped(path []string, value string) string {
	for i := len(path) - 1; i >= 0; i-- {
		if path[i] == "[0]" {
			value = "[" + value + "]"
		} else {
			value = fmt.Sprintf("{%q: %s}", path[i], value)
		}
	}
	return value
}

// wrongValue is JSON that no value of the type can be decoded from.
func wrongValue(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == reflect.TypeFor[faults.Duration](), t == reflect.TypeFor[time.Time]():
		return `"soon"`
	case t.Kind() == reflect.Bool:
		return `"true"`
	case t.Kind() == reflect.Int32:
		return "2147483648"
	case t.Kind() == reflect.Int, t.Kind() == reflect.Int64:
		return "1.5"
	case t.Kind() == reflect.Float64:
		return `"0.1"`
	}
	return "7" // a string, a list, an object
}

func TestBodiesThatAreNoJSON(t *testing.T) {
	deep := strings.Repeat(`{"a":`, maxDepth+2) + "1" + strings.Repeat("}", maxDepth+2)
	for text, want := range map[string]string{
		`{`:                 "ends too early",
		`{"advance": "1s"`:  "ends too early",
		`{"advance" "1s"}`:  "must be JSON",
		`{"freeze":true} 1`: "something follows",
		`[]`:                "must be an object",
		`null`:              "must not be null",
		deep:                "nested deeper",
		`{"Advance":"1s"}`:  "Advance: is unknown here; allowed are advance, ",
	} {
		err := decode([]byte(text), &ClockChange{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: %v, want %q", text, err, want)
		}
	}
}

// What a body costs is in proportion to its size: no path is made for each of many fields in one with a long name. The
// error names a part of it.
func TestLongNamesCostTheirLength(t *testing.T) {
	body := []byte(`{"` + strings.Repeat("x", maxBodyBytes/2) + `": [` + strings.Repeat("1,",
		maxBodyBytes/4-10) + `null]}`)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := decode(body, &ClockChange{})
	runtime.ReadMemStats(&after)
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 100*uint64(len(body)) {
		t.Errorf("%d bytes are allocated for %d", allocated, len(body))
	}
	if err == nil || len(err.Error()) > 2*maxFieldBytes || !strings.Contains(err.Error(), "xxx…: is unknown here") {
		t.Errorf("%.500v", err)
	}
}

// No body makes the decoder panic, and what it takes encoding/json takes as well.
func FuzzDecode(f *testing.F) {
	var types []reflect.Type
	for _, body := range bodies() {
		types = append(types, body)
	}
	for _, seed := range []string{
		`{"advance":"61s"}`, `{"freeze":true,"freeze":true}`,
		`{"match":{"api":["EndTxn","Produce"],"partition":0},"do":{"delay":"2s"}}`,
		`[{"do":{"error":"NOT_COORDINATOR"},"when":{"probability":0.1,"seed":7}}]`, `{"set":"2030-01-01T00:00:00Z"}`, `[[[[`,
		"\xff", `{"a":1e999}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, of := range types {
			if err := decode(body, reflect.New(of).Interface()); err == nil && !json.Valid(body) {
				t.Errorf("%s: %q is taken", of, body)
			}
		}
	})
}
