package wire

import "sort"

// plan is the layout of a struct in one version, compiled for walking.
type plan struct {
	ops      []op
	tags     []tagOp // known tagged fields, by tag
	flexible bool    // a tag buffer ends the struct
	minBytes int     // the least it takes on the wire
	fixed    bool    // it takes exactly minBytes, whatever they hold
	goBytes  int     // what kmsg's struct takes in memory
}

// op checks one field, or a run of fields of fixed size.
type op struct {
	kind     opKind
	nullable bool  // in this version
	pointer  bool  // opString: kmsg has a *string, because some version is nullable
	bytes    int   // opSkip: of the run; opArray: of an element when that is fixed, else 0
	minBytes int   // opArray: the least that an element takes on the wire
	goBytes  int   // opArray: of an element in memory; opPointer: of the struct pointed to
	elem     *plan // opStruct, opPointer, opArray of structs; nil for an array of strings
}

type opKind uint8

const (
	opSkip opKind = iota
	opString
	opBytes
	opArray
	opStruct
	opPointer // a nullable struct
)

type tagOp struct {
	tag uint32
	op  op
}

// compiler turns fields into plans for one version. Sizes in memory follow kmsg's structs, which have the fields of all
// versions in wire order, strings as string or *string, and a Tags map where any version is flexible; a test compares
// them with the real ones.
type compiler struct {
	version      int16
	flexible     bool
	everFlexible bool
}

// compile makes the plan of a struct. insideTag says that it belongs to a tagged field, whose struct has all its fields
// in every version that has the tag.
func (c *compiler) compile(fields []field, insideTag bool) *plan {
	p := &plan{flexible: c.flexible, fixed: !c.flexible, goBytes: c.structBytes(fields)}
	for _, f := range fields {
		if !f.versions.has(c.version) {
			continue
		}
		o, minBytes := c.op(f, insideTag || f.tag >= 0)
		if f.tag >= 0 {
			if c.flexible {
				p.tags = append(p.tags, tagOp{tag: uint32(f.tag), op: o})
			}
			continue
		}
		p.minBytes += minBytes
		if o.kind != opSkip {
			p.fixed = false
		} else if n := len(p.ops); n > 0 && p.ops[n-1].kind == opSkip {
			p.ops[n-1].bytes += o.bytes
			continue
		}
		p.ops = append(p.ops, o)
	}
	if c.flexible {
		p.minBytes++
	}
	sort.Slice(p.tags, func(i, j int) bool { return p.tags[i].tag < p.tags[j].tag })
	return p
}

// op compiles a field and returns its smallest size on the wire.
func (c *compiler) op(f field, insideTag bool) (op, int) {
	o := op{nullable: f.nullable.has(c.version)}
	length := func(classic int) int {
		if c.flexible {
			return 1
		}
		return classic
	}
	if f.array {
		return c.arrayOp(f, o, insideTag), length(4)
	}
	switch f.kind {
	case kindString:
		o.kind, o.pointer = opString, f.nullable != noVersions
		return o, length(2)
	case kindBytes:
		o.kind = opBytes
		return o, length(4)
	case kindStruct:
		o.elem = c.compile(f.fields, insideTag)
		if f.nullable != noVersions {
			o.kind, o.goBytes = opPointer, o.elem.goBytes
			return o, 1
		}
		o.kind = opStruct
		return o, o.elem.minBytes
	default:
		o.kind, o.bytes = opSkip, f.kind.fixedBytes()
		return o, o.bytes
	}
}

func (c *compiler) arrayOp(f field, o op, insideTag bool) op {
	o.kind = opArray
	switch f.kind {
	case kindString:
		o.goBytes, o.minBytes = 16, 2
		if c.flexible {
			o.minBytes = 1
		}
	case kindStruct:
		o.elem = c.compile(f.fields, insideTag)
		o.goBytes, o.minBytes = o.elem.goBytes, o.elem.minBytes
		if o.elem.fixed {
			o.bytes = o.elem.minBytes
		}
	default:
		o.bytes = f.kind.fixedBytes()
		o.goBytes, o.minBytes = o.bytes, o.bytes
	}
	return o
}

// structBytes computes the size of kmsg's struct with these fields.
func (c *compiler) structBytes(fields []field) int {
	size, align := 0, 1
	add := func(n, a int) {
		size = (size+a-1)/a*a + n
		align = max(align, a)
	}
	for _, f := range fields {
		switch n := f.kind.fixedBytes(); {
		case f.array:
			add(24, 8)
		case f.kind == kindUUID:
			add(16, 1)
		case n > 0:
			add(n, n)
		case f.kind == kindBytes:
			add(24, 8)
		case f.nullable != noVersions:
			add(8, 8)
		case f.kind == kindString:
			add(16, 8)
		default:
			add(c.structBytes(f.fields), 8)
		}
	}
	if c.everFlexible {
		add(8, 8)
	}
	return (size + align - 1) / align * align
}
