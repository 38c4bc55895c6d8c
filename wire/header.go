package wire

import (
	"encoding/binary"
	"errors"
)

// header is a request's header (spec: wire 2):
//
//	v1: api_key i16 | api_version i16 | correlation_id i32 | client_id nullable string
//	v2: the same and a tag buffer
//
// client_id is never compact, not even in v2.
type header struct {
	key, version  int16
	correlationID int32
	clientID      []byte // points into the frame; nil for null
	bytes         int    // where the body begins
}

const fixedHeaderBytes = 8 // before the client ID

var errHeader = errors.New("the header does not fit the frame")

// headerTags is the tag buffer of a request header: all its fields are unknown, and skipped.
var headerTags = &plan{flexible: true, minBytes: 1}

// parseHeaderStart reads the part before the client ID, which is the same in every version.
func parseHeaderStart(b []byte) (h header, err error) {
	if len(b) < fixedHeaderBytes {
		return h, errHeader
	}
	h.key = int16(binary.BigEndian.Uint16(b))
	h.version = int16(binary.BigEndian.Uint16(b[2:]))
	h.correlationID = int32(binary.BigEndian.Uint32(b[4:]))
	return h, nil
}

// parseRest reads the client ID and, of a flexible request, the tag buffer.
func (h *header) parseRest(b []byte, flexible bool) error {
	w := walker{b: b, pos: fixedHeaderBytes}
	n, err := w.length(false, 2)
	start := w.pos
	if err := w.span(n, true, err); err != nil {
		return err
	}
	if n > 0 {
		h.clientID = b[start:w.pos]
	}
	if flexible {
		if err := w.structure(headerTags); err != nil {
			return err
		}
	}
	h.bytes = w.pos
	return nil
}
