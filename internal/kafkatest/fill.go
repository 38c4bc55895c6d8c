package kafkatest

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Fill sets the fields of a request to what content gives, a JSON object with the names of kmsg's fields. Fields that
// are not given have kmsg's defaults. setText sets a value to what a text stands for: a string, bytes, an ID, a number.
func Fill(r kmsg.Request, content string, setText func(v reflect.Value, text string) error) error {
	d := json.NewDecoder(strings.NewReader(content))
	d.UseNumber()
	fields := map[string]any{}
	if err := d.Decode(&fields); err != nil {
		return err
	}
	f := filler{setText}
	return f.structure(reflect.ValueOf(r).Elem(), fields)
}

type filler struct {
	setText func(v reflect.Value, text string) error
}

func (f filler) structure(v reflect.Value, content map[string]any) error {
	for name, value := range content {
		field := v.FieldByName(name)
		if !field.IsValid() {
			return fmt.Errorf("%s has no field %s", v.Type(), name)
		}
		if err := f.set(field, value); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func (f filler) set(v reflect.Value, value any) error {
	if value != nil && v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	switch value := value.(type) {
	case nil:
		v.SetZero()
		return nil
	case string:
		return f.setText(v, value)
	case bool:
		if v.Kind() == reflect.Bool {
			v.SetBool(value)
			return nil
		}
	case json.Number:
		return setNumber(v, value)
	case []any:
		if v.Kind() == reflect.Slice {
			return f.list(v, value)
		}
	case map[string]any:
		if v.Kind() == reflect.Struct {
			if d, ok := v.Addr().Interface().(interface{ Default() }); ok {
				d.Default()
			}
			return f.structure(v, value)
		}
	}
	return fmt.Errorf("a %s cannot be %v", v.Type(), value)
}

func (f filler) list(v reflect.Value, values []any) error {
	v.Set(reflect.MakeSlice(v.Type(), len(values), len(values)))
	for i := range values {
		if err := f.set(v.Index(i), values[i]); err != nil {
			return err
		}
	}
	return nil
}

func setNumber(v reflect.Value, number json.Number) error {
	switch {
	case v.CanInt():
		n, err := number.Int64()
		v.SetInt(n)
		return err
	case v.CanUint():
		n, err := number.Int64()
		v.SetUint(uint64(n))
		return err
	case v.CanFloat():
		x, err := number.Float64()
		v.SetFloat(x)
		return err
	}
	return fmt.Errorf("a %s cannot be %s", v.Type(), number)
}
