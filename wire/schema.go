package wire

import (
	_ "embed"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// schemaText holds the layout of every request (spec: wire-schemas); its head explains the notation.
//
//go:embed schema.txt
var schemaText string

// schema is the layout of one API's requests in all versions. It is parsed at the first request of its key, and
// compiled to a plan at the first one of its version, so that a start costs nothing.
type schema struct {
	line     string // "key name versions flexible: fields"
	parse    sync.Once
	err      error
	min, max int16
	flexible int16 // first flexible version; math.MaxInt16 if none
	root     []field
	plans    []atomic.Pointer[plan] // by version - min
}

// field is one field as the text has it.
type field struct {
	name     string
	kind     fieldKind
	array    bool
	nullable versionRange
	versions versionRange
	tag      int     // -1 for a field at its place in the struct
	fields   []field // of kindStruct
}

type fieldKind uint8

const (
	kindFixed1 fieldKind = iota
	kindFixed2
	kindFixed4
	kindFixed8
	kindUUID
	kindString
	kindBytes
	kindStruct
)

var kindNames = map[string]fieldKind{
	"i8": kindFixed1, "bool": kindFixed1, "i16": kindFixed2, "u16": kindFixed2, "i32": kindFixed4, "u32": kindFixed4,
	"i64": kindFixed8, "f64": kindFixed8, "uuid": kindUUID, "str": kindString, "bytes": kindBytes, "records": kindBytes,
}

// fixedBytes is the size of a kind that has one on the wire and in Go, and 0 for the others.
func (k fieldKind) fixedBytes() int { return [...]int{1, 2, 4, 8, 16, 0, 0, 0}[k] }

// versionRange is inclusive; the empty one has min > max.
type versionRange struct{ min, max int16 }

var (
	allVersions = versionRange{0, math.MaxInt16}
	noVersions  = versionRange{1, 0}
)

func (r versionRange) has(v int16) bool { return r.min <= v && v <= r.max }

// schemas returns the line of each key. Only the text is split, which takes microseconds.
var schemas = sync.OnceValue(func() map[int16]*schema {
	m := make(map[int16]*schema)
	for line := range strings.Lines(schemaText) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		head, _, _ := strings.Cut(line, " ")
		if key, err := strconv.ParseInt(head, 10, 16); err == nil {
			m[int16(key)] = &schema{line: line}
		}
	}
	return m
})

// load parses the line at the first call.
func (s *schema) load() error {
	s.parse.Do(func() {
		s.err = s.parseLine()
		if s.err == nil {
			s.plans = make([]atomic.Pointer[plan], s.max-s.min+1)
		}
	})
	return s.err
}

// versionBounds reads the versions from the beginning of the line, without parsing the rest.
func (s *schema) versionBounds() (lowest, highest int16) {
	words := strings.SplitN(s.line, " ", 4)
	if len(words) < 4 {
		return 1, 0
	}
	p := parser{rest: words[2]}
	r := p.versionRange()
	return r.min, r.max
}

func (s *schema) parseLine() error {
	head, body, _ := strings.Cut(s.line, ":")
	words := strings.Fields(head)
	if len(words) != 4 {
		return fmt.Errorf("schema %q: the head has %d words, want 4", head, len(words))
	}
	p := parser{}
	s.min, s.max = s.versionBounds()
	s.flexible = math.MaxInt16
	if words[3] != "-" {
		p.rest = words[3]
		s.flexible = p.number()
	}
	p.rest = body
	s.root = p.fields()
	if p.err == nil && p.rest != "" {
		p.fail("unread text")
	}
	if p.err != nil {
		return fmt.Errorf("schema %q: %w", head, p.err)
	}
	return nil
}

// plan returns the compiled layout of a version between min and max.
func (s *schema) plan(version int16) *plan {
	slot := &s.plans[version-s.min]
	p := slot.Load()
	if p == nil {
		c := compiler{version: version, flexible: version >= s.flexible, everFlexible: s.flexible <= s.max}
		p = c.compile(s.root, false)
		slot.Store(p) // two goroutines may both compile; the plans are equal
	}
	return p
}

// parser reads the notation by recursive descent. After the first error all calls return at once.
type parser struct {
	rest string
	err  error
}

func (p *parser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf("%s before %.20q", fmt.Sprintf(format, args...), p.rest)
	}
	p.rest = ""
}

// take consumes the literal if it comes next.
func (p *parser) take(literal string) bool {
	p.rest = strings.TrimLeft(p.rest, " ")
	rest, ok := strings.CutPrefix(p.rest, literal)
	if ok {
		p.rest = rest
	}
	return ok
}

func (p *parser) want(literal string) {
	if !p.take(literal) {
		p.fail("no %q", literal)
	}
}

func (p *parser) word() string {
	p.rest = strings.TrimLeft(p.rest, " ")
	n := 0
	for n < len(p.rest) && (p.rest[n] >= '0' && p.rest[n] <= '9' || p.rest[n] >= 'A' && p.rest[n] <= 'Z' ||
		p.rest[n] >= 'a' && p.rest[n] <= 'z') {
		n++
	}
	if n == 0 {
		p.fail("no word")
		return ""
	}
	w := p.rest[:n]
	p.rest = p.rest[n:]
	return w
}

func (p *parser) number() int16 {
	w := p.word()
	n, err := strconv.ParseInt(w, 10, 16)
	if err != nil {
		p.fail("%q is no number", w)
	}
	return int16(n)
}

// versionRange reads N, N+ or N-M.
func (p *parser) versionRange() versionRange {
	r := versionRange{min: p.number()}
	switch {
	case p.take("+"):
		r.max = math.MaxInt16
	case p.take("-"):
		r.max = p.number()
	default:
		r.max = r.min
	}
	return r
}

func (p *parser) fields() []field {
	var fs []field
	for p.err == nil {
		fs = append(fs, p.field())
		if !p.take(",") {
			break
		}
	}
	return fs
}

func (p *parser) field() field {
	f := field{name: p.word(), nullable: noVersions, versions: allVersions, tag: -1}
	p.want(":")
	f.array = p.take("[]")
	if p.take("{") {
		f.kind = kindStruct
		f.fields = p.fields()
		p.want("}")
	} else {
		w := p.word()
		kind, ok := kindNames[w]
		if !ok {
			p.fail("unknown type %q", w)
		}
		f.kind = kind
	}
	if p.take("?") {
		f.nullable = allVersions
		if p.rest != "" && p.rest[0] >= '0' && p.rest[0] <= '9' {
			f.nullable = p.versionRange()
		}
	}
	if p.take("(") {
		if p.take("v") {
			f.versions = p.versionRange()
			p.take(",")
		}
		if p.take("tag") {
			f.tag = int(p.number())
		}
		p.want(")")
	}
	return f
}
