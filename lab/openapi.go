package lab

import (
	"encoding/json"
	"net/http"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"once/faults"
	"once/findings"
	"once/requestlog"
)

// describe returns the description of calls in OpenAPI 3.0. It is made of the table, so that it cannot differ from it.
func describe(calls []call) []byte {
	d := &description{schemas: map[string]any{}}
	paths := map[string]map[string]any{}
	for i := range calls {
		c := &calls[i]
		for _, prefix := range []string{"/v1", "/v1/clusters/{cluster}"} {
			if c.ofProcess && prefix != "/v1" {
				continue
			}
			path := prefix + c.path
			if paths[path] == nil {
				paths[path] = map[string]any{}
			}
			paths[path][strings.ToLower(c.method)] = d.operation(c, path)
		}
	}
	paths["/v1/openapi.json"]["get"].(map[string]any)["security"] = []any{}
	text, err := json.Marshal(map[string]any{
		"openapi":  "3.0.3",
		"security": []any{map[string]any{"token": []string{}}, map[string]any{}},
		"info": map[string]any{"title": "Once: the lab", "version": "1",
			"description": "What a test can do to the broker. /v1 is the default cluster, /v1/clusters/{cluster} any other."},
		"paths": paths,
		"components": map[string]any{"schemas": d.schemas, "securitySchemes": map[string]any{
			"token": map[string]any{"type": "http", "scheme": "bearer",
				"description": "The token of lab.token; without that setting no call needs one."},
		}},
	})
	if err != nil {
		panic("lab: describing the calls: " + err.Error())
	}
	return text
}

// description collects the schemas that operations refer to.
type description struct {
	schemas map[string]any
}

var wildcards = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`\{(\w+)\}`) })

func (d *description) operation(c *call, path string) map[string]any {
	parameters := []any{}
	for _, m := range wildcards().FindAllStringSubmatch(path, -1) {
		parameters = append(parameters, map[string]any{"name": m[1], "in": "path", "required": true, "schema": text})
	}
	for _, name := range c.query {
		parameters = append(parameters, map[string]any{"name": name, "in": "query", "schema": text})
	}
	success := map[string]any{"description": c.summary, "content": map[string]any{
		"application/json": map[string]any{"schema": d.schema(c.answer)},
	}}
	failure := map[string]any{"description": "What is wrong, and what is allowed", "content": map[string]any{
		"application/problem+json": map[string]any{"schema": d.schema(reflect.TypeFor[Problem]())},
	}}
	operation := map[string]any{
		"operationId": operationID(c.method, path),
		"summary":     c.summary,
		"parameters":  parameters,
		"responses":   map[string]any{strconv.Itoa(max(c.status, http.StatusOK)): success, "default": failure},
	}
	switch c.body {
	case reflect.TypeFor[none]():
	case reflect.TypeFor[archive]():
		operation["requestBody"] = map[string]any{"required": true, "content": map[string]any{
			"application/zstd": map[string]any{"schema": map[string]any{"type": "string", "format": "binary"}},
		}}
	default:
		operation["requestBody"] = map[string]any{"required": !c.optional, "content": map[string]any{
			"application/json": map[string]any{"schema": d.schema(c.body)},
		}}
	}
	return operation
}

func operationID(method, path string) string {
	return strings.ToLower(method) + strings.NewReplacer("/", "_", "{", "", "}", "", ".", "_").Replace(path)
}

var text = map[string]any{"type": "string"}

// schema returns the schema of a type, that of a named struct by reference.
func (d *description) schema(t reflect.Type) map[string]any {
	switch t {
	case reflect.TypeFor[[]byte]():
		return map[string]any{}
	case reflect.TypeFor[time.Time]():
		return map[string]any{"type": "string", "format": "date-time"}
	case reflect.TypeFor[requestlog.Address](), reflect.TypeFor[requestlog.Took]():
		return text
	case reflect.TypeFor[faults.Duration]():
		return map[string]any{"type": "string", "example": "61s"}
	case reflect.TypeFor[findings.Code]():
		return map[string]any{"type": "string", "enum": findings.Codes()}
	case reflect.TypeFor[faults.Names]():
		return map[string]any{"oneOf": []any{text, map[string]any{"type": "array", "items": text}}}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return d.schema(t.Elem())
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.String:
		return text
	case reflect.Int, reflect.Int16, reflect.Int32, reflect.Int64:
		return map[string]any{"type": "integer"}
	case reflect.Float64:
		return map[string]any{"type": "number"}
	case reflect.Slice:
		return map[string]any{"type": "array", "items": d.schema(t.Elem())}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": d.schema(t.Elem())}
	case reflect.Struct:
		return d.structure(t)
	}
	return map[string]any{} // any
}

func (d *description) structure(t reflect.Type) map[string]any {
	if _, done := d.schemas[t.Name()]; !done || t.Name() == "" {
		properties := map[string]any{}
		schema := map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
		if t.Name() != "" {
			d.schemas[t.Name()] = schema // before its fields, which may refer to it
		}
		d.properties(t, properties)
		if t.Name() == "" {
			return schema
		}
	}
	return map[string]any{"$ref": "#/components/schemas/" + t.Name()}
}

func (d *description) properties(t reflect.Type, into map[string]any) {
	for i := range t.NumField() {
		if f := t.Field(i); f.Anonymous {
			d.properties(f.Type, into)
		} else if name := jsonName(f); name != "" {
			into[name] = d.schema(f.Type)
		}
	}
}
