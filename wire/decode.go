package wire

import (
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// servedAPI is a row of the table with what belongs to it.
type servedAPI struct {
	API
	name     string
	schema   *schema
	requests prometheus.Counter
	duration prometheus.Observer
}

// decode turns a frame into a call, which then owns the frame. On failure the caller still owns it.
func (c *Conn) decode(fr *frame) (call, closeReason) {
	h, err := parseHeaderStart(fr.b)
	if err != nil {
		c.srv.refusals.malformed(c, badHeader, err)
		return call{}, badHeader
	}
	a := c.srv.api(h.key)
	served := a != nil && a.Min <= h.version && h.version <= a.Max
	unservedApiVersions := a != nil && !served && h.key == int16(kmsg.ApiVersions)
	if !served && !unservedApiVersions {
		reason := badVersion
		if a == nil {
			reason = unknownKey
		}
		_ = h.parseRest(fr.b, false) // for its client ID, if there is one
		c.srv.refusals.unserved(c, reason, &h)
		return call{}, reason
	}
	if err := a.schema.load(); err != nil {
		c.srv.refusals.malformed(c, badDecode, err)
		return call{}, badDecode
	}
	flexible := served && h.version >= a.schema.flexible
	if err := h.parseRest(fr.b, flexible); err != nil {
		c.srv.refusals.malformed(c, badHeader, err)
		return call{}, badHeader
	}
	k := call{api: a, start: time.Now(), tagged: flexible && h.key != int16(kmsg.ApiVersions)}
	c.usedNs.Store(k.start.UnixNano())
	k.req = &Request{Key: h.key, Version: h.version, CorrelationID: h.correlationID,
		ClientID:  c.internClientID(h.clientID),
		SizeBytes: len(fr.b), Conn: c}
	if served {
		body, reason, err := decodeBody(a.schema.plan(h.version), &h, fr.b)
		if err != nil {
			c.srv.refusals.malformed(c, reason, err)
			return call{}, reason
		}
		k.req.Body = body
	}
	a.requests.Inc()
	k.frame = *fr
	return k, open
}

// decodeBody checks and decodes the body. Strings and bytes of the result point into b, from which unknown tagged
// fields have been removed.
func decodeBody(p *plan, h *header, b []byte) (kmsg.Request, closeReason, error) {
	n, err := check(p, b[h.bytes:], len(b))
	if err != nil {
		return nil, badBody, err
	}
	req := kmsg.RequestForKey(h.key)
	req.SetVersion(h.version)
	body := b[h.bytes : h.bytes+n]
	if u, ok := req.(kmsg.UnsafeReadFrom); ok {
		err = u.UnsafeReadFrom(body)
	} else {
		err = req.ReadFrom(body)
	}
	return req, badDecode, err
}

// internClientID returns the client ID as a string of its own: a client sends the same one every time.
func (c *Conn) internClientID(id []byte) string {
	if string(id) != c.clientID {
		c.clientID = string(id)
	}
	return c.clientID
}

// api returns the row of a key, or nil.
func (s *Server) api(key int16) *servedAPI {
	if key < 0 || int(key) >= len(s.apis) {
		return nil
	}
	return s.apis[key]
}

// maxKey bounds the table of APIs, which is indexed by key.
const maxKey = math.MaxInt8
