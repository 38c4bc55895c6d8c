package handlers

import (
	"reflect"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/wire"
)

// cloneRequest returns a request that does not point into the frame.
func cloneRequest(r *wire.Request) *wire.Request {
	c := *r
	c.Body = deepCopy(reflect.ValueOf(r.Body)).Interface().(kmsg.Request)
	return &c
}

func deepCopy(v reflect.Value) reflect.Value {
	to := reflect.New(v.Type()).Elem()
	to.Set(v)
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			to.Set(reflect.New(v.Type().Elem()))
			to.Elem().Set(deepCopy(v.Elem()))
		}
	case reflect.String:
		to.SetString(string(slices.Clone([]byte(v.String()))))
	case reflect.Slice:
		if v.IsNil() {
			return to
		}
		to.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
		if v.Type().Elem().Kind() == reflect.Uint8 {
			reflect.Copy(to, v)
			return to
		}
		for i := range v.Len() {
			to.Index(i).Set(deepCopy(v.Index(i)))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				to.Field(i).Set(deepCopy(v.Field(i)))
			}
		}
	}
	return to
}
