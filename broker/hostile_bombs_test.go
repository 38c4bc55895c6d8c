package broker_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
)

func brokenCompression() []hostileCase {
	good := plainBatch("some value that is long enough to be cut")
	const bad, inside = "x-0 INVALID_RECORD", "x-0 UNKNOWN_SERVER_ERROR"
	var cases []hostileCase
	add := func(row, name string, records []byte, want string, kafka ...string) {
		c := hostileCase{row: row, name: name, send: to(records), want: want, grows: want == "x-0 NONE"}
		if len(kafka) > 0 {
			c.kafka, c.why = kafka[0], failsInside
		}
		cases = append(cases, c)
	}
	for codec := int16(5); codec <= 7; codec++ {
		add("B21", fmt.Sprintf("codec %d", codec), filled(good, codec, good[atRecords:]), "x-0 UNSUPPORTED_COMPRESSION_TYPE",
			inside)
	}
	cases = append(cases, hostileCase{row: "B21", name: "zstd before v7", want: "x-0 UNSUPPORTED_COMPRESSION_TYPE",
		send: func(h *hostile) string {
			return h.produceTo(6, -1, nil, part{"x", 0, filled(good, 4, deflated(4, bytes.NewReader(good[atRecords:])))})
		}})
	for codec := int16(1); codec <= 4; codec++ {
		name := codecs[codec]
		whole := deflated(codec, bytes.NewReader(good[atRecords:]))
		add("B22", name+", well", filled(good, codec, whole), "x-0 NONE")
		add("B22", name+", garbage", filled(good, codec, seeded(500, uint64(codec))), bad, inside)
		if codec == 4 {
			add("B22", name+", nothing", filled(good, codec, nil), bad)
		} else {
			add("B22", name+", nothing", filled(good, codec, nil), bad, inside)
		}
		add("B22", name+", cut", filled(good, codec, whole[:len(whole)-len(whole)/3]), bad, inside)
		add("B22", name+", start of a stream and then garbage",
			filled(good, codec, append(slices.Clone(whole[:8]), seeded(500, 9)...)), bad, inside)
		add("B22", name+", garbage compressed well", filled(good, codec, deflated(codec, bytes.NewReader(seeded(500, 10)))),
			bad)
		add("B22", name+", two records said, one there", counted(filled(good, codec, whole), 2, 1), bad)
		add("B22", name+", 2147483647 records said, one there", counted(filled(good, codec, whole), 1<<31-1, 1<<31-2), bad)
		add("B22", name+", one record said, two there", filled(good, codec,
			deflated(codec, bytes.NewReader(bytes.Repeat(good[atRecords:], 2)))), bad)
	}
	return cases
}

// bombs are small and inflate to much, or say that they do. What is stored in full by Kafka is refused
// here when it inflates to more than a hundred times what is ever right.
func bombs() []hostileCase {
	good := plainBatch("v")
	const tooLarge, bad, inside = "x-0 MESSAGE_TOO_LARGE", "x-0 INVALID_RECORD", "x-0 UNKNOWN_SERVER_ERROR"
	inflates := "Kafka inflates it all, in pieces, and stores it"
	xerial := []byte{0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1}
	zstdHeader := func(descriptor byte, rest ...byte) []byte {
		return append([]byte{0x28, 0xb5, 0x2f, 0xfd, descriptor}, rest...)
	}
	lz4Claim := binary.LittleEndian.AppendUint64([]byte{0x04, 0x22, 0x4d, 0x18, 0x68, 0x70}, 1<<40)
	return []hostileCase{
		{row: "B22", name: "gzip of 900 MiB", send: to(gzipBomb()), want: tooLarge, kafka: "x-0 NONE", why: inflates},
		{row: "B22", name: "zstd of 1 GB", send: to(bomb(4, 1_000_000_000)), want: tooLarge, kafka: "x-0 NONE",
			why: inflates},
		{row: "B22", name: "lz4 of 265 MB, the most that max.message.bytes lets in", send: to(bomb(3, 265_000_000)),
			want: tooLarge, kafka: "x-0 NONE", why: inflates},
		{row: "B22", name: "lz4 of 90 MB", send: to(bomb(3, 90_000_000)), want: "x-0 NONE", grows: true},
		{row: "B22", name: "snappy of 20 MB, the most that max.message.bytes lets in", send: to(bomb(2, 20_000_000)),
			want: "x-0 NONE", grows: true},
		{row: "B22", name: "snappy block that says 4294967295 bytes",
			send: to(filled(good, 2, append(uvarint(1<<32-1), 0, 'x'))), want: bad, kafka: inside, why: failsInside},
		{row: "B22", name: "snappy chunk of 2147483647 bytes",
			send: to(filled(good, 2, slices.Concat(xerial, be32(1<<31-1), seeded(50, 1)))), want: bad, kafka: inside,
			why: failsInside},
		{row: "B22", name: "snappy chunk of -1 bytes", send: to(filled(good, 2,
			slices.Concat(xerial, be32(-1), seeded(50, 1)))), want: bad, kafka: inside, why: failsInside},
		{row: "B22", name: "lz4 that says a tebibyte", send: to(filled(good, 3, slices.Concat(lz4Claim, seeded(50, 1)))),
			want: bad, kafka: inside, why: failsInside},
		{row: "B22", name: "zstd with a window of 2 GiB", send: to(filled(good, 4, zstdHeader(0, 21<<3, 1, 0, 0))), want: bad,
			kafka: inside, why: failsInside},
		{row: "B22", name: "zstd that says 2^63 bytes", send: to(filled(good, 4,
			zstdHeader(0xe0, 0, 0, 0, 0, 0, 0, 0, 0x80, 1, 0, 0))), want: bad, kafka: inside, why: failsInside},
		{row: "B22", name: "zstd in 20000 empty blocks",
			send: to(filled(good, 4, append(zstdHeader(0, 0x58), bytes.Repeat([]byte{0, 0, 0}, 20000)...))), want: bad,
			kafka: inside, why: failsInside},
		{row: "B22", name: "gzip of gzip", send: to(filled(good, 1, deflated(1, bytes.NewReader(deflated(1, zeros(1<<20)))))),
			want: bad},
	}
}
