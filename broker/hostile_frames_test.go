package broker_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/internal/kafkatest"
)

// TestHostileFrames is about bytes that are no request: rows B1, B2 and B4 to B11.
func TestHostileFrames(t *testing.T) {
	h := newHostile(t, nil)
	h.run(brokenFrames())
	h.run(unknownRequests())
	h.run(brokenFields())
	h.run(brokenArrays())
	h.run(taggedFields())
	h.run(oddEnds())
}

func be16(v int16) []byte { return binary.BigEndian.AppendUint16(nil, uint16(v)) }
func be32(v int32) []byte { return binary.BigEndian.AppendUint32(nil, uint32(v)) }

// text is a string in the classic form.
func text(s string) []byte { return append(be16(int16(len(s))), s...) }

// compact is a string in the compact form.
func compact(s string) []byte { return append(binary.AppendUvarint(nil, uint64(len(s)+1)), s...) }

func uvarint(v uint64) []byte { return binary.AppendUvarint(nil, v) }

// seeded is n bytes that are the same in every run.
func seeded(n int, seed uint64) []byte {
	b := make([]byte, n)
	rnd := rand.NewChaCha8([32]byte{byte(seed)})
	_, _ = rnd.Read(b) // never fails
	return b
}

func brokenFrames() []hostileCase {
	const tooLong = closed + " bad_frame_length"
	noise := append([]byte{0x7f}, seeded(4095, 1)...)
	return []hostileCase{
		{row: "B1", name: "length -1", send: raw(be32(-1)), want: tooLong},
		{row: "B1", name: "length -2147483648", send: raw(be32(-1 << 31)), want: tooLong},
		{row: "B1", name: "length 2147483647", send: raw(be32(1<<31 - 1)), want: tooLong},
		{row: "B1", name: "one byte above socket.request.max.bytes", send: raw(be32(104857601)), want: tooLong},
		{row: "B2", name: "length 0", send: raw(be32(0)), want: closed + " bad_header"},
		{row: "B2", name: "1 byte", send: raw(framed([]byte{0})), want: closed + " bad_header"},
		{row: "B2", name: "header cut in the correlation ID", send: raw(framed(header(kmsg.Metadata, 1, false)[:7])),
			want: closed + " bad_header"},
		{row: "B2", name: "header without a client ID", send: raw(framed(header(kmsg.Metadata, 1, false)[:8])),
			want: closed + " bad_header"},
		{row: "B2", name: "client ID beyond the frame", send: raw(framed(header(kmsg.Metadata, 1, false)[:8], be16(100),
			[]byte("short"))), want: closed + " bad_header"},
		{row: "B2", name: "client ID of length -2", send: raw(framed(header(kmsg.Metadata, 1, false)[:8], be16(-2), be32(0))),
			want: "answered 7"},
		{row: "B2", name: "flexible header without tags", send: raw(framed(header(kmsg.Metadata, 9, false))),
			want: closed + " bad_header"},
		{row: "B4", name: "HTTP", send: raw([]byte("GET / HTTP/1.1\r\nHost: broker\r\n\r\n")), want: tooLong},
		{row: "B4", name: "TLS", send: raw([]byte{0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3}, seeded(506, 2)), want: tooLong},
		{row: "B4", name: "SSH", send: raw([]byte("SSH-2.0-OpenSSH_9.9\r\n")), want: tooLong},
		{row: "B4", name: "noise", send: raw(noise), want: tooLong},
	}
}

func unknownRequests() []hostileCase {
	cases := []hostileCase{
		{row: "B5", name: "every version outside of what is advertised", send: unservedVersions, want: "all closed"},
		{row: "B5", name: "ApiVersions of an unknown version", send: apiVersionsAt(6),
			want: "v0 UNSUPPORTED_VERSION [18 0-5]"},
		{row: "B5", name: "ApiVersions of version -1", send: apiVersionsAt(-1), want: "v0 UNSUPPORTED_VERSION [18 0-5]"},
		{row: "B5", name: "ApiVersions of version 32767", send: apiVersionsAt(32767),
			want: "v0 UNSUPPORTED_VERSION [18 0-5]"},
		{row: "B5", name: "Produce v2, although it is advertised",
			send: raw(framed(header(kmsg.Produce, 2, false), be16(1), be32(100), be32(0))), want: closed + " bad_version"},
	}
	for _, key := range []int16{-1, -32768, 4, 7, 127, 128, 1000, 32767} {
		cases = append(cases, hostileCase{row: "B5", name: fmt.Sprintf("key %d", key),
			send: raw(framed(header(kmsg.Key(key), 0, false), be32(0))), want: closed + " unknown_key"})
	}
	return cases
}

// unservedVersions asks for each API that the broker advertises one version below and one above.
func unservedVersions(h *hostile) string {
	versions := h.ask(kmsg.NewPtrApiVersionsRequest()).(*kmsg.ApiVersionsResponse)
	for _, k := range versions.ApiKeys {
		for _, v := range []int16{k.MinVersion - 1, k.MaxVersion + 1} {
			got := raw(framed(header(kmsg.Key(k.ApiKey), v, true)))(h)
			if k.ApiKey != int16(kmsg.ApiVersions) && got != closed {
				return fmt.Sprintf("%s v%d: %s", kmsg.NameForKey(k.ApiKey), v, got)
			}
		}
	}
	return "all " + closed
}

func apiVersionsAt(version int16) func(*hostile) string {
	return func(h *hostile) string {
		c := h.dial()
		defer c.Close()
		if err := c.SendFrame(bytes.Join([][]byte{header(kmsg.ApiVersions, version, version >= 3), {0xff, 0xff, 0xff}},
			nil)); err != nil {
			return err.Error()
		}
		frame, err := c.ReceiveFrame()
		if err != nil {
			return closed
		}
		v0 := kmsg.NewPtrApiVersionsRequest()
		resp, err := kafkatest.DecodeResponse(v0, 7, frame)
		if err != nil {
			return err.Error()
		}
		out := "v0 " + code(resp.(*kmsg.ApiVersionsResponse).ErrorCode)
		for _, k := range resp.(*kmsg.ApiVersionsResponse).ApiKeys {
			out += fmt.Sprintf(" [%d %d-%d]", k.ApiKey, k.MinVersion, k.MaxVersion)
		}
		if got, err := c.Request(v0); err != nil || got.(*kmsg.ApiVersionsResponse).ErrorCode != 0 {
			return fmt.Sprintf("%s, and then %v", out, err)
		}
		return out
	}
}

func brokenFields() []hostileCase {
	const bad = closed + " bad_body"
	metadata1, metadata9 := header(kmsg.Metadata, 1, false), header(kmsg.Metadata, 9, true)
	produce3 := bytes.Join([][]byte{header(kmsg.Produce, 3, false), be16(-1), be16(1), be32(1000), be32(1), text("x"),
		be32(1), be32(0)}, nil)
	return []hostileCase{
		{row: "B6", name: "string beyond the frame", send: raw(framed(metadata1, be32(1), be16(32767), []byte("abc"))),
			want: bad},
		{row: "B6", name: "string of length -2", send: raw(framed(metadata1, be32(1), be16(-2))), want: bad},
		{row: "B6", name: "nullable string of length -2",
			send: raw(framed(header(kmsg.Produce, 3, false), be16(-2), be16(1), be32(1000), be32(0))), want: "answered 7"},
		{row: "B6", name: "compact string beyond the frame",
			send: raw(framed(metadata9, uvarint(2), uvarint(1<<28), []byte("abc"))), want: bad},
		{row: "B6", name: "compact string of more than 32767 bytes",
			send: raw(framed(metadata9, uvarint(2), compact(string(make([]byte, 40_000))), []byte{0, 0, 0, 0, 0})), want: bad},
		{row: "B6", name: "varint of six bytes", send: raw(framed(metadata9, []byte{0x82, 0x80, 0x80, 0x80, 0x80, 0})),
			want: bad},
		{row: "B6", name: "varint that overflows", send: raw(framed(metadata9, []byte{0xff, 0xff, 0xff, 0xff, 0x7f})),
			want: bad},
		{row: "B6", name: "varint that is cut", send: raw(framed(metadata9, []byte{0x80})), want: bad},
		{row: "B6", name: "records beyond the frame", send: raw(framed(produce3, be32(1<<31-1), []byte("abc"))), want: bad},
		{row: "B6", name: "records of length -2", send: raw(framed(produce3, be32(-2))), want: "answered 7"},
		{row: "B6", name: "body that is cut", send: raw(framed(produce3)), want: bad},
		{row: "B6", name: "no body", send: raw(framed(header(kmsg.Fetch, 4, false))), want: bad},
	}
}

func brokenArrays() []hostileCase {
	const bad = closed + " bad_body"
	metadata1 := header(kmsg.Metadata, 1, false)
	fetch4 := bytes.Join([][]byte{header(kmsg.Fetch, 4, false), be32(-1), be32(0), be32(1), be32(1 << 20), {0}}, nil)
	large := make([]byte, 16<<20)
	return []hostileCase{
		{row: "B7", name: "array of 2147483647", send: raw(framed(metadata1, be32(1<<31-1))), want: bad},
		{row: "B7", name: "array of length -2", send: raw(framed(metadata1, be32(-2))), want: "answered 7"},
		{row: "B7", name: "array of length -2 that cannot be null",
			send: raw(framed(header(kmsg.Metadata, 0, false), be32(-2))), want: bad},
		{row: "B7", name: "more strings than two bytes each leave room for",
			send: raw(framed(metadata1, be32(1000), make([]byte, 1500))), want: bad},
		{row: "B7", name: "more structs than their least size leaves room for",
			send: raw(framed(fetch4, be32(100), text("x"), make([]byte, 200))), want: bad},
		{row: "B7", name: "compact array of 2147483646", send: raw(framed(header(kmsg.Metadata, 9, true), uvarint(1<<31-1))),
			want: bad},
		{row: "B7", name: "16 MiB, whose count leaves each element one byte",
			send: raw(framed(fetch4, be32(int32(len(large))), large)), want: bad, kafka: notAsked},
		{row: "B7", name: "16 MiB of empty names", send: raw(framed(metadata1, be32(int32(len(large)/2)), large)), want: bad,
			kafka: notAsked},
	}
}

// tags is a tag buffer of n unknown fields of one byte.
func tags(n int) []byte {
	b := uvarint(uint64(n))
	for i := range n {
		b = append(binary.AppendUvarint(b, uint64(100+i)), 1, 0)
	}
	return b
}

func taggedFields() []hostileCase {
	const bad = closed + " bad_body"
	plain := header(kmsg.Metadata, 9, false) // its tags follow
	body := []byte{1, 1, 0, 0}               // no topics, no creation, no operations
	fetch := bytes.Join([][]byte{header(kmsg.Fetch, 12, true), be32(-1), be32(0), be32(1), be32(1 << 20), {0}, be32(0),
		be32(-1), {1, 1, 1}}, nil)
	tens := uvarint(20_000_000)
	for i := range 2 << 20 {
		tens = append(binary.AppendUvarint(tens, uint64(i+100)), 0)
	}
	return []hostileCase{
		{row: "B8", name: "1000 unknown tagged fields in the header", send: raw(framed(plain, tags(1000), body, []byte{0})),
			want: "answered 7"},
		{row: "B8", name: "1001 unknown tagged fields in the header", send: raw(framed(plain, tags(1001), body, []byte{0})),
			want:  closed + " bad_header",
			kafka: "answered 7", why: "the limit is ours"},
		{row: "B8", name: "1000 unknown tagged fields in the body", send: raw(framed(plain, []byte{0}, body, tags(1000))),
			want: "answered 7"},
		{row: "B8", name: "1001 unknown tagged fields in the body", send: raw(framed(plain, []byte{0}, body, tags(1001))),
			want:  bad,
			kafka: "answered 7", why: "the limit is ours"},
		{row: "B8", name: "millions of tagged fields in the header", send: raw(framed(plain, tens)),
			want: closed + " bad_header", kafka: notAsked},
		{row: "B8", name: "millions of tagged fields in the body", send: raw(framed(plain, []byte{0}, body, tens)), want: bad,
			kafka: notAsked},
		{row: "B9", name: "tag twice", send: raw(framed(plain, []byte{0}, body, []byte{2, 100, 1, 0, 100, 1, 0})), want: bad,
			kafka: "answered 7", why: "Kafka does not look at the order of tags it does not know; no client sends them so"},
		{row: "B9", name: "tags in falling order", send: raw(framed(plain, []byte{0}, body, []byte{2, 101, 1, 0, 100, 1, 0})),
			want:  bad,
			kafka: "answered 7", why: "the same"},
		{row: "B9", name: "tag twice in the header", send: raw(framed(plain, []byte{2, 100, 1, 0, 100, 1, 0}, body,
			[]byte{0})), want: closed + " bad_header",
			kafka: "answered 7", why: "the same"},
		{row: "B9", name: "tagged field beyond the frame",
			send: raw(framed(plain, []byte{0}, body, []byte{1, 100, 200, 1, 0})), want: bad},
		{row: "B9", name: "known tagged field that is shorter than its size",
			send: raw(framed(fetch, []byte{1, 0, 9, 2, 'c', 0, 0, 0, 0, 0, 0, 0})), want: bad,
			kafka: "answered 7", why: "Kafka goes on behind what it has read of the field"},
		{row: "B9", name: "known tagged field that is longer than its size",
			send: raw(framed(fetch, []byte{1, 0, 1, 5, 'c', 'c', 'c', 'c'})), want: bad,
			kafka: "answered 7", why: "the same"},
	}
}

func oddEnds() []hostileCase {
	metadata1 := header(kmsg.Metadata, 1, false)
	return []hostileCase{
		{row: "B10", name: "bytes behind the body", send: raw(framed(metadata1, be32(0), []byte("and more"))),
			want: "answered 7"},
		{row: "B10", name: "bytes behind a flexible body",
			send: raw(framed(header(kmsg.Metadata, 9, true), []byte{1, 1, 0, 0, 0}, seeded(3000, 3))), want: "answered 7"},
		{row: "B11", name: "null name in an array", send: raw(framed(metadata1, be32(1), be16(-1))),
			want: closed + " bad_body"},
		{row: "B11", name: "null array", send: raw(framed(header(kmsg.Produce, 3, false), be16(-1), be16(1), be32(1000),
			be32(-1))), want: closed + " bad_body"},
		{row: "B11", name: "null group", send: raw(framed(header(kmsg.Heartbeat, 0, false), be16(-1), be32(0), text("m"))),
			want: closed + " bad_body"},
		{row: "B11", name: "compact null name", send: raw(framed(header(kmsg.Heartbeat, 4, true), []byte{0}, be32(0),
			compact("m"), []byte{0, 0})), want: closed + " bad_body"},
	}
}
