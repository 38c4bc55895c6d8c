package seed

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"sync"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// node is a value of a text, in a form common to JSON and YAML.
type node struct {
	kind    kind
	line    int
	text    string // of text and literal
	entries []*node
	fields  []field
}

type field struct {
	name  string
	line  int
	value *node
}

type kind uint8

const (
	null kind = iota
	text
	literal // a number, true or false, as it is written
	list
	object
)

func (k kind) String() string {
	return [...]string{"null", "text", "a number, true or false", "a list", "an object"}[k]
}

const (
	maxDepth  = 32        // how deep lists and objects may be nested: no seed needs more than six
	maxValues = 1_000_000 // in JSON: each takes much more memory than its text
)

// parse reads JSON, or else YAML.
func parse(raw []byte) (*node, error) {
	if err := checkText(raw); err != nil {
		return nil, err
	}
	if start := bytes.TrimLeft(raw, " \t\r\n"); len(start) == 0 || start[0] != '[' && start[0] != '{' {
		return parseYAML(raw)
	}
	n, err := parseJSON(raw)
	if err == nil {
		return n, nil
	}
	if n, err := parseYAML(raw); err == nil { // YAML has lists in brackets, too
		return n, nil
	}
	return nil, err
}

func checkText(raw []byte) error {
	if len(raw) > MaxBytes {
		return &Error{Reason: fmt.Sprintf("is larger than %d bytes", MaxBytes)}
	}
	for i, line := 0, 1; i < len(raw); {
		r, size := utf8.DecodeRune(raw[i:])
		if r == utf8.RuneError && size == 1 {
			return &Error{Line: line, Reason: `must be UTF-8; bytes are written as {"base64": "…"}`}
		}
		if r == '\n' {
			line++
		}
		i += size
	}
	return nil
}

// jsonReader reads JSON token by token, and counts lines.
type jsonReader struct {
	raw     []byte
	tokens  *json.Decoder
	counted int64 // bytes in which lines have been counted
	line    int
	values  int // so far
}

func parseJSON(raw []byte) (*node, error) {
	r := &jsonReader{raw: raw, tokens: json.NewDecoder(bytes.NewReader(raw)), line: 1}
	r.tokens.UseNumber()
	n, err := r.value(0)
	if err == nil {
		if _, rest := r.tokens.Token(); rest != io.EOF {
			err = &Error{Line: r.lineAt(r.tokens.InputOffset()), Reason: "has something behind its end"}
		}
	}
	var syntax *json.SyntaxError
	switch {
	case err == nil:
		return n, nil
	case errors.As(err, &syntax):
		return nil, &Error{Line: r.lineAt(max(syntax.Offset-1, r.counted)), Reason: "is not JSON: " + syntax.Error()}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, &Error{Line: r.lineAt(int64(len(raw))), Reason: "ends too early"}
	}
	return nil, err
}

// lineAt is the line of a position that is not before those asked for earlier.
func (r *jsonReader) lineAt(offset int64) int {
	offset = min(max(offset, r.counted), int64(len(r.raw)))
	r.line += bytes.Count(r.raw[r.counted:offset], []byte("\n"))
	r.counted = offset
	return r.line
}

func (r *jsonReader) value(depth int) (*node, error) {
	token, err := r.tokens.Token()
	if err != nil {
		return nil, err
	}
	n := &node{line: r.lineAt(r.tokens.InputOffset())}
	if depth > maxDepth {
		return nil, &Error{Line: n.line, Reason: "is nested too deep"}
	}
	if r.values++; r.values > maxValues {
		return nil, &Error{Line: n.line, Reason: fmt.Sprintf("has more than %d values", maxValues)}
	}
	switch token := token.(type) {
	case string:
		n.kind, n.text = text, token
	case json.Number:
		n.kind, n.text = literal, token.String()
	case bool:
		n.kind, n.text = literal, strconv.FormatBool(token)
	case json.Delim:
		if token == '[' {
			n.kind = list
		} else {
			n.kind = object
		}
		err = r.inside(n, depth+1)
	}
	return n, err
}

// inside reads what stands in a list or an object, up to its end.
func (r *jsonReader) inside(n *node, depth int) error {
	for r.tokens.More() {
		var f field
		if n.kind == object {
			name, err := r.tokens.Token()
			if err != nil {
				return err
			}
			f.name, f.line = name.(string), r.lineAt(r.tokens.InputOffset())
		}
		value, err := r.value(depth)
		if err != nil {
			return err
		}
		if f.value = value; n.kind == object {
			n.fields = append(n.fields, f)
		} else {
			n.entries = append(n.entries, value)
		}
	}
	_, err := r.tokens.Token()
	return err
}

// yamlLine finds the line in an error of the library.
var yamlLine = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^yaml: (?:unmarshal errors:\s+)?(?:line (\d+): )?(?s:(.*))$`)
})

func parseYAML(raw []byte) (*node, error) {
	documents := yaml.NewDecoder(bytes.NewReader(raw))
	var document yaml.Node
	err := documents.Decode(&document)
	if errors.Is(err, io.EOF) {
		return nil, &Error{Line: 1, Reason: "is empty"}
	}
	if err == nil {
		var second yaml.Node
		if more := documents.Decode(&second); more == nil {
			return nil, &Error{Line: second.Line, Reason: "has a second document"}
		} else if !errors.Is(more, io.EOF) {
			err = more
		}
	}
	if err != nil {
		e := &Error{Reason: "is not YAML: " + err.Error()}
		if part := yamlLine().FindStringSubmatch(err.Error()); part != nil {
			e.Line, _ = strconv.Atoi(part[1])
			e.Reason = "is not YAML: " + part[2]
		}
		return nil, e
	}
	return fromYAML(document.Content[0], 0)
}

func fromYAML(y *yaml.Node, depth int) (*node, error) {
	n := &node{line: y.Line, text: y.Value}
	if depth > maxDepth {
		return nil, &Error{Line: n.line, Reason: "is nested too deep"}
	}
	switch y.Kind {
	case yaml.ScalarNode:
		switch tag := y.ShortTag(); tag {
		case "!!null":
			n.kind, n.text = null, ""
		case "!!str":
			n.kind = text
		case "!!int", "!!float", "!!bool", "!!timestamp":
			n.kind = literal
		default:
			return nil, &Error{Line: n.line, Reason: fmt.Sprintf(
				`the tag %s is not understood; bytes are written as {"base64": "…"}`, tag)}
		}
		return n, nil
	case yaml.SequenceNode:
		n.kind = list
		for _, e := range y.Content {
			entry, err := fromYAML(e, depth+1)
			if err != nil {
				return nil, err
			}
			n.entries = append(n.entries, entry)
		}
		return n, nil
	case yaml.MappingNode:
		n.kind = object
		for i := 0; i+1 < len(y.Content); i += 2 {
			name := y.Content[i]
			if name.Kind != yaml.ScalarNode || name.ShortTag() == "!!merge" {
				return nil, &Error{Line: name.Line, Reason: "the name of a field must be text"}
			}
			value, err := fromYAML(y.Content[i+1], depth+1)
			if err != nil {
				return nil, err
			}
			n.fields = append(n.fields, field{name.Value, name.Line, value})
		}
		return n, nil
	}
	return nil, &Error{Line: n.line, Reason: "must be written out: aliases are not followed"}
}
