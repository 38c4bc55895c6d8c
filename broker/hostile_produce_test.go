package broker_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestHostileProduce is about Produce requests whose records are not what they should be: rows B13 to B23.
func TestHostileProduce(t *testing.T) {
	h := newHostile(t, nil)
	h.run(requiredAcks())
	h.run(notOneBatch())
	h.run(wrongSums())
	h.run(wrongCounts())
	h.run(brokenRecords())
	h.run(forbiddenRecords())
	h.run(wrongProducers())
	h.run(brokenCompression())
	h.run(bombs())
	h.run(sizesAndTimes())
}

// failsInside is why Kafka answers UNKNOWN_SERVER_ERROR: an exception that it did not foresee. Stock
// clients have made duplicates of that answer, so that no Produce is answered so here (P16).
const failsInside = "Kafka fails inside"

// to sends records to x-0 with Produce v9.
func to(records []byte) func(*hostile) string {
	return func(h *hostile) string { return h.produceTo(9, -1, nil, part{"x", 0, records}) }
}

func requiredAcks() []hostileCase {
	acks := func(acks int16, p part) func(*hostile) string {
		return func(h *hostile) string { return h.produceTo(9, acks, nil, p) }
	}
	good := part{"x", 0, plainBatch("v")}
	const refused = closed + " handler_closed"
	return []hostileCase{
		{row: "B13", name: "acks 2", send: acks(2, good), want: "x-0 INVALID_REQUIRED_ACKS"},
		{row: "B13", name: "acks -2", send: acks(-2, good), want: "x-0 INVALID_REQUIRED_ACKS"},
		{row: "B13", name: "acks 32767", send: acks(32767, good), want: "x-0 INVALID_REQUIRED_ACKS"},
		{row: "B14", name: "acks 0 and all is well", send: acks(0, good), want: "nothing", grows: true},
		{row: "B14", name: "acks 0, unknown topic", send: acks(0, part{"nosuch", 0, good.records}), want: refused},
		{row: "B14", name: "acks 0, unknown partition", send: acks(0, part{"x", 2, good.records}), want: refused},
		{row: "B14", name: "acks 0, wrong CRC", send: acks(0, part{"x", 0, with(good.records, atCRC, 1, 2, 3, 4)}),
			want: refused},
		{row: "B14", name: "acks 0, internal topic", send: acks(0, part{"__consumer_offsets", 0, good.records}),
			want: refused},
	}
}

func notOneBatch() []hostileCase {
	good := plainBatch("v")
	length := func(n int32) []byte { return with(good, atLength, be32(n)...) }
	own := int32(len(good) - 12)
	cases := []hostileCase{
		{row: "B15", name: "null records", send: to(nil), want: "x-0 INVALID_RECORD", kafka: notAsked,
			why: "Kafka never answers"},
		{row: "B15", name: "no batch", send: to([]byte{}), want: "x-0 INVALID_RECORD"},
		{row: "B15", name: "two batches", send: to(slices.Concat(good, good)), want: "x-0 INVALID_RECORD"},
		{row: "B15", name: "bytes behind the batch", send: to(append(slices.Clone(good), 1, 2, 3)),
			want:  "x-0 INVALID_RECORD",
			kafka: "x-0 NONE", why: "Kafka drops what is too short to be a batch; a client that sends it has lost its place"},
		{row: "B15", name: "a batch that is cut", send: to(good[:len(good)-1]), want: "x-0 INVALID_RECORD"},
		{row: "B15", name: "base offset 5", send: to(with(good, 7, 5)), want: "x-0 INVALID_RECORD"},
		{row: "B15", name: "one bad partition does not hold up another", grows: true,
			want: "compact-0 NONE, nosuch-0 UNKNOWN_TOPIC_OR_PARTITION, x-0 INVALID_RECORD",
			send: func(h *hostile) string {
				return h.produceTo(9, -1, nil, part{"x", 0, good[:30]}, part{"compact", 0, good}, part{"nosuch", 0, good})
			}},
	}
	for _, n := range []int{1, 12, 16, 17, 60} {
		cases = append(cases, hostileCase{row: "B15", name: fmt.Sprintf("%d bytes", n), send: to(good[:n]),
			want: "x-0 INVALID_RECORD"})
	}
	const invalid, corrupt = "x-0 INVALID_RECORD", "x-0 CORRUPT_MESSAGE"
	for _, c := range []struct {
		length int32
		want   string
		kafka  string
	}{
		{own + 1, invalid, ""}, {1<<31 - 1, invalid, "x-0 UNKNOWN_SERVER_ERROR"}, {0, corrupt, ""}, {-1, corrupt, ""},
		{13, corrupt, ""},
		// Kafka looks at what follows, or at the CRC, first
		{own - 1, invalid, corrupt}, {14, invalid, corrupt}, {49, invalid, corrupt},
	} {
		cases = append(cases, hostileCase{row: "B15", name: fmt.Sprintf("length field %d", c.length),
			send: to(length(c.length)), want: c.want, kafka: c.kafka})
	}
	for magic, want := range map[int8]string{0: invalid, 1: invalid, 3: corrupt, -1: corrupt} {
		cases = append(cases, hostileCase{row: "B15", name: fmt.Sprintf("magic %d", magic),
			send: to(sealed(with(good, atMagic, byte(magic)))), want: want})
	}
	return cases
}

func wrongSums() []hostileCase {
	good := plainBatch("some value")
	return []hostileCase{
		{row: "B16", name: "a byte of a value", send: to(with(good, len(good)-3, '!')), want: "x-0 CORRUPT_MESSAGE"},
		{row: "B16", name: "a byte of the header", send: to(with(good, atMaxTime, 1)), want: "x-0 CORRUPT_MESSAGE"},
		{row: "B16", name: "CRC 0", send: to(with(good, atCRC, 0, 0, 0, 0)), want: "x-0 CORRUPT_MESSAGE"},
		{row: "B16", name: "a header and nothing else", send: to(with(good[:atRecords], atLength, be32(atRecords-12)...)),
			want: "x-0 CORRUPT_MESSAGE"},
	}
}

func wrongCounts() []hostileCase {
	good := plainBatch("v")
	two := filled(good, 0, bytes.Repeat(good[atRecords:], 2))
	const bad = "x-0 INVALID_RECORD"
	var cases []hostileCase
	for _, c := range []struct {
		name             string
		raw              []byte
		count, lastDelta int32
	}{
		{"two records said, one there", good, 2, 1},
		{"one record said, two there", two, 1, 0},
		{"last offset delta too high", good, 1, 1},
		{"last offset delta too low", two, 2, 0},
		{"no records", good, 0, -1},
		{"no records, last offset delta 0", good, 0, 0},
		{"no records and none there", filled(good, 0, nil), 0, -1},
		{"-1 records", good, -1, -2},
		{"2147483647 records", good, 1<<31 - 1, 1<<31 - 2},
		{"-2147483648 records", good, -1 << 31, 1<<31 - 1},
	} {
		cases = append(cases, hostileCase{row: "B17", name: c.name, send: to(counted(c.raw, c.count, c.lastDelta)),
			want: bad})
	}
	return cases
}

func brokenRecords() []hostileCase {
	good := plainBatch("v")
	const bad = "x-0 INVALID_RECORD"
	none := varints(-1, -1) // key and value
	head := append([]byte{0}, varints(0, 0)...)
	var cases []hostileCase
	for _, c := range []struct {
		name    string
		records []byte
	}{
		{"length beyond the batch", append(varints(1000), head...)},
		{"length 2147483647", append(varints(1<<31-1), head...)},
		{"length -1", append(varints(-1), head...)},
		{"length 0", varints(0)},
		{"length one too short", append(varints(5), slices.Concat(head, none, varints(0))...)},
		{"length one too long", append(varints(7), slices.Concat(head, none, varints(0), []byte{0})...)},
		{"varint of eleven bytes", record([]byte{0}, bytes.Repeat([]byte{0xff}, 11), varints(0), none, varints(0))},
		{"key beyond the record", record(head, varints(100), []byte("k"))},
		{"key of length 2147483647", record(head, varints(1<<31-1), []byte("k"))},
		{"value beyond the record", record(head, varints(-1, 100), []byte("v"))},
		{"2147483647 record headers", record(head, none, varints(1<<31-1))},
		{"-1 record headers", record(head, none, varints(-1))},
		{"more record headers than there are", record(head, none, varints(2, 1), []byte("h"), varints(-1))},
		{"record header without a key", record(head, none, varints(1, -1, -1))},
		{"record header beyond the record", record(head, none, varints(1, 50), []byte("h"))},
		{"bytes behind the record", append(record(head, none, varints(0)), 1, 2, 3)},
	} {
		cases = append(cases, hostileCase{row: "B17", name: c.name, send: to(filled(good, 0, c.records)), want: bad})
	}
	return append(cases,
		hostileCase{row: "B17", name: "length of eleven bytes", send: to(filled(good, 0, bytes.Repeat([]byte{0xff}, 11))),
			want:  bad,
			kafka: "x-0 UNKNOWN_SERVER_ERROR", why: failsInside},
		hostileCase{row: "B17", name: "key and value of length -2",
			send: to(filled(good, 0, record(head, varints(-2, -2), varints(0)))), want: "x-0 NONE", grows: true},
		hostileCase{row: "B17", name: "offset delta 9 of the first record",
			send: to(filled(good, 0, record([]byte{0}, varints(0, 9), none, varints(0)))), want: "x-0 NONE", grows: true})
}

func forbiddenRecords() []hostileCase {
	good := plainBatch("v")
	internal := func(topic string) func(*hostile) string {
		return func(h *hostile) string { return h.produceTo(9, -1, nil, part{topic, 0, good}) }
	}
	keyless := filled(good, 0, record([]byte{0}, varints(0, 0, -1, -1, 0)))
	return []hostileCase{
		{row: "B18", name: "control bit", send: to(sealed(with(good, atAttributes, 0, 0x20))), want: "x-0 INVALID_RECORD"},
		{row: "B18", name: "control bit of a producer's transaction", want: "x-0 INVALID_RECORD",
			send: to(sealed(with(producerBatch(7, 0, 0, false), atAttributes, 0, 0x20)))},
		{row: "B18", name: "__consumer_offsets", send: internal("__consumer_offsets"),
			want: "__consumer_offsets-0 INVALID_TOPIC_EXCEPTION"},
		{row: "B18", name: "__transaction_state", send: internal("__transaction_state"),
			want: "__transaction_state-0 INVALID_TOPIC_EXCEPTION"},
		{row: "B18", name: "no key on a compacted topic", want: "compact-0 INVALID_RECORD",
			send: func(h *hostile) string { return h.produceTo(9, -1, nil, part{"compact", 0, keyless}) }},
	}
}

// producer makes a producer ID, for a transactional ID or none.
func (h *hostile) producer(id *string) (int64, int16) {
	h.t.Helper()
	r := kmsg.NewPtrInitProducerIDRequest()
	r.Version, r.TransactionalID, r.TransactionTimeoutMillis = 4, id, 60_000
	resp := h.ask(r).(*kmsg.InitProducerIDResponse)
	if resp.ErrorCode != 0 {
		h.t.Fatalf("InitProducerId: %s", code(resp.ErrorCode))
	}
	return resp.ProducerID, resp.ProducerEpoch
}

// sequence produces batches of one producer to x-0, one request each: pairs of epoch and base sequence.
func sequence(pairs ...int32) func(*hostile) string {
	return func(h *hostile) string {
		id, _ := h.producer(nil)
		var out []string
		for i := 0; i < len(pairs); i += 2 {
			out = append(out, strings.TrimPrefix(to(producerBatch(id, int16(pairs[i]), pairs[i+1], false))(h), "x-0 "))
		}
		return strings.Join(out, " ")
	}
}

func wrongProducers() []hostileCase {
	id := kmsg.StringPtr("hostile")
	in := func(tid *string, records func(h *hostile, producerID int64) []byte) func(*hostile) string {
		return func(h *hostile) string {
			own := "hostile" + h.suffix
			producerID, _ := h.producer(&own)
			if tid != nil {
				tid = &own
			}
			return h.produceTo(9, -1, tid, part{"x", 0, records(h, producerID)})
		}
	}
	return []hostileCase{
		{row: "B19", name: "transactional, no producer ID",
			send: in(id, func(*hostile, int64) []byte { return producerBatch(-1, -1, -1, true) }), want: "x-0 INVALID_RECORD",
			grows: true,
			kafka: "x-0 NONE", why: "nobody could ever end that transaction"},
		{row: "B19", name: "producer ID, no epoch", send: to(producerBatch(7, -1, 0, false)), want: "x-0 INVALID_RECORD",
			kafka: "x-0 NONE", why: "epochs are numbers from 0 on, and the next batch of that producer could not be ordered"},
		{row: "B19", name: "producer ID, no sequence", send: to(producerBatch(7, 0, -1, false)), want: "x-0 INVALID_RECORD"},
		{row: "B19", name: "epoch and sequence, no producer ID", send: to(producerBatch(-1, 3, 9, false)), want: "x-0 NONE",
			grows: true},
		{row: "B19", name: "transactional, request without an ID", want: "x-0 TRANSACTIONAL_ID_AUTHORIZATION_FAILED",
			grows: true,
			send:  in(nil, func(_ *hostile, p int64) []byte { return producerBatch(p, 0, 0, true) })},
		{row: "B19", name: "transactional, producer ID of another", want: "x-0 INVALID_PRODUCER_ID_MAPPING", grows: true,
			send: in(id, func(h *hostile, _ int64) []byte {
				other,
					_ := h.producer(nil)
				return producerBatch(other, 0, 0, true)
			})},
		{row: "B19", name: "two producers in one request", grows: true,
			want: "compact-0 INVALID_PRODUCER_ID_MAPPING, x-0 INVALID_PRODUCER_ID_MAPPING",
			send: func(h *hostile) string {
				return h.produceTo(9, -1, id, part{"x", 0, producerBatch(7, 0, 0, true)},
					part{"compact", 0, producerBatch(8, 0, 0, true)})
			}},
		{row: "B20", name: "gap", send: sequence(0, 0, 0, 2), want: "NONE OUT_OF_ORDER_SEQUENCE_NUMBER", grows: true},
		{row: "B20", name: "back", send: sequence(0, 5, 0, 3), want: "NONE OUT_OF_ORDER_SEQUENCE_NUMBER", grows: true},
		{row: "B20", name: "negative", send: sequence(0, 0, 0, -2), want: "NONE INVALID_RECORD", grows: true},
		{row: "B20", name: "wrap", send: sequence(0, 1<<31-1, 0, 0, 0, 1), want: "NONE NONE NONE", grows: true},
		{row: "B20", name: "wrap that leaves one out", send: sequence(0, 1<<31-2, 0, 0),
			want: "NONE OUT_OF_ORDER_SEQUENCE_NUMBER", grows: true},
		{row: "B20", name: "lower epoch", send: sequence(3, 0, 2, 1), want: "NONE INVALID_PRODUCER_EPOCH", grows: true},
		{row: "B20", name: "higher epoch that does not begin at 0", send: sequence(0, 0, 1, 1),
			want: "NONE OUT_OF_ORDER_SEQUENCE_NUMBER", grows: true},
		{row: "B20", name: "epoch 32767", send: sequence(32767, 0, 32767, 1, 0, 0), want: "NONE NONE INVALID_PRODUCER_EPOCH",
			grows: true},
		{row: "B20", name: "unknown producer that does not begin at 0", send: sequence(0, 500), want: "NONE", grows: true},
		{row: "B20", name: "producer ID 9223372036854775807", send: to(producerBatch(1<<63-1, 0, 0, false)), want: "x-0 NONE",
			grows: true},
	}
}

func sizesAndTimes() []hostileCase {
	at := func(ms int64) []byte {
		b := plainBatch("v")
		b = with(b, atBaseTime, binary.BigEndian.AppendUint64(nil, uint64(ms))...)
		return sealed(with(b, atMaxTime, binary.BigEndian.AppendUint64(nil, uint64(ms))...))
	}
	// two lengths take two bytes more each
	large := func(n int) []byte { return plainBatch(strings.Repeat("v", n-len(plainBatch(""))-4)) }
	return []hostileCase{
		{row: "B23", name: "as large as max.message.bytes", send: to(large(1048588)), want: "x-0 NONE", grows: true},
		{row: "B23", name: "larger than max.message.bytes", send: to(large(1048589)), want: "x-0 MESSAGE_TOO_LARGE"},
		{row: "B23", name: "timestamp -1", send: to(at(-1)), want: "x-0 NONE", grows: true},
		{row: "B23", name: "timestamp -2", send: to(at(-2)), want: "x-0 NONE", grows: true},
		{row: "B23", name: "timestamp 0", send: to(at(0)), want: "x-0 NONE", grows: true},
		{row: "B23", name: "timestamp 9223372036854775807", send: to(at(1<<63 - 1)), want: "x-0 INVALID_TIMESTAMP"},
		{row: "B23", name: "timestamp -9223372036854775808", send: to(at(-1 << 63)), want: "x-0 INVALID_TIMESTAMP"},
		{row: "B23", name: "any timestamp where the broker stamps its own", want: "stamped-0 NONE", grows: true,
			send: func(h *hostile) string { return h.produceTo(9, -1, nil, part{"stamped", 0, at(1<<63 - 1)}) }},
		{row: "B23", name: "stamped by the client as if by the broker", want: "stamped-0 INVALID_TIMESTAMP",
			send: func(h *hostile) string {
				return h.produceTo(9, -1, nil, part{"stamped", 0, sealed(with(plainBatch("v"), atAttributes, 0, 8))})
			}},
	}
}
