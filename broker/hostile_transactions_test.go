package broker_test

import (
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// initializing sends InitProducerId for a transactional ID; nil is none.
func initializing(version int16, id *string, timeoutMs int32, producerID int64, epoch int16) func(*hostile) string {
	return func(h *hostile) string {
		r := kmsg.NewPtrInitProducerIDRequest()
		r.Version, r.TransactionalID, r.TransactionTimeoutMillis, r.ProducerID, r.ProducerEpoch = version, id, timeoutMs,
			producerID, epoch
		if resp, ok := h.request(r).(*kmsg.InitProducerIDResponse); ok {
			return code(resp.ErrorCode)
		}
		return closed
	}
}

func producerIDs() []hostileCase {
	id, empty := kmsg.StringPtr("nobody"), kmsg.StringPtr("")
	long := kmsg.StringPtr(strings.Repeat("t", 32767))
	return []hostileCase{
		{row: "B27", name: "empty transactional ID", send: initializing(4, empty, 60_000, -1, -1), want: "INVALID_REQUEST"},
		{row: "B27", name: "timeout 0", send: initializing(4, id, 0, -1, -1), want: "INVALID_TRANSACTION_TIMEOUT"},
		{row: "B27", name: "timeout -1", send: initializing(4, id, -1, -1, -1), want: "INVALID_TRANSACTION_TIMEOUT"},
		{row: "B27", name: "timeout -2147483648", send: initializing(4, id, -1<<31, -1, -1),
			want: "INVALID_TRANSACTION_TIMEOUT"},
		{row: "B27", name: "timeout above transaction.max.timeout.ms", send: initializing(4, id, 900_001, -1, -1),
			want: "INVALID_TRANSACTION_TIMEOUT"},
		{row: "B27", name: "timeout 2147483647", send: initializing(4, id, 1<<31-1, -1, -1),
			want: "INVALID_TRANSACTION_TIMEOUT"},
		{row: "B27", name: "producer ID without epoch", send: initializing(4, id, 60_000, 5, -1), want: "INVALID_REQUEST"},
		{row: "B27", name: "epoch without producer ID", send: initializing(4, id, 60_000, -1, 5), want: "INVALID_REQUEST"},
		{row: "B27", name: "producer ID -2", want: "NONE", grows: true,
			send: func(h *hostile) string { return initializing(4, kmsg.StringPtr("fresh"+h.suffix), 60_000, -2, -2)(h) }},
		{row: "B27", name: "producer ID, no transactional ID", send: initializing(4, nil, 60_000, 5, 1), want: "NONE"},
		{row: "B27", name: "timeout 0, no transactional ID", send: initializing(4, nil, 0, -1, -1), want: "NONE"},
		{row: "B27", name: "transactional ID of 32767 bytes", send: initializing(4, long, 60_000, -1, -1), want: "NONE",
			grows: true},
		{row: "B27", name: "transactional ID that is no UTF-8",
			send: initializing(4, kmsg.StringPtr("\xff\x00\xfe"), 60_000, -1, -1), want: "NONE", grows: true},
		{row: "B27", name: "another's producer ID", grows: true, want: "PRODUCER_FENCED", send: func(h *hostile) string {
			own := "owner" + h.suffix
			producerID, _ := h.producer(&own)
			return initializing(4, &own, 60_000, producerID+1, 0)(h)
		}},
	}
}

// adding sends AddPartitionsToTxn for partitions of x, and of a topic that there is not.
func adding(version int16, id string, producerID int64, epoch int16, partitions []int32,
	nosuch bool) func(*hostile) string {
	return func(h *hostile) string {
		r := kmsg.NewPtrAddPartitionsToTxnRequest()
		r.Version, r.TransactionalID, r.ProducerID, r.ProducerEpoch = version, id, producerID, epoch
		x := kmsg.NewAddPartitionsToTxnRequestTopic()
		x.Topic, x.Partitions = "x"+h.suffix, partitions
		r.Topics = append(r.Topics, x)
		if nosuch {
			other := kmsg.NewAddPartitionsToTxnRequestTopic()
			other.Topic, other.Partitions = "nosuch", []int32{0}
			r.Topics = append(r.Topics, other)
		}
		var codes []int16
		for _, t := range h.request(r).(*kmsg.AddPartitionsToTxnResponse).Topics {
			for _, p := range t.Partitions {
				codes = append(codes, p.ErrorCode)
			}
		}
		return tally(codes)
	}
}

func ending(version int16, id string, producerID int64, epoch int16) func(*hostile) string {
	return func(h *hostile) string {
		r := kmsg.NewPtrEndTxnRequest()
		r.Version, r.TransactionalID, r.ProducerID, r.ProducerEpoch, r.Commit = version, id, producerID, epoch, true
		return code(h.request(r).(*kmsg.EndTxnResponse).ErrorCode)
	}
}

// owned runs a step of a transactional ID of the case's own, whose producer ID the broker has given out.
func owned(step func(id string, producerID int64) func(*hostile) string) func(*hostile) string {
	return func(h *hostile) string {
		h.owned++
		id := fmt.Sprintf("owned-%d%s", h.owned, h.suffix)
		producerID, _ := h.producer(&id)
		return step(id, producerID)(h)
	}
}

func transactions() []hostileCase {
	const mapping, fenced, old, state = "INVALID_PRODUCER_ID_MAPPING", "PRODUCER_FENCED", "INVALID_PRODUCER_EPOCH",
		"INVALID_TXN_STATE"
	all := make([]int32, 50_000)
	for i := range all {
		all[i] = int32(i + 2)
	}
	add := func(version int16, idOffset int64, epoch int16, partitions []int32, nosuch bool) func(*hostile) string {
		return owned(func(id string, p int64) func(*hostile) string {
			return adding(version, id, p+idOffset, epoch, partitions, nosuch)
		})
	}
	end := func(version int16, idOffset int64, epoch int16) func(*hostile) string {
		return owned(func(id string, p int64) func(*hostile) string { return ending(version, id, p+idOffset, epoch) })
	}
	return []hostileCase{
		{row: "B28", name: "add to an unknown ID", send: adding(3, "nobody at all", 1, 0, []int32{0}, false), want: mapping},
		{row: "B28", name: "add to an empty ID", send: adding(3, "", 1, 0, []int32{0}, false), want: "INVALID_REQUEST"},
		{row: "B28", name: "add with a wrong epoch", send: add(3, 0, 99, []int32{0}, false), want: fenced, grows: true},
		{row: "B28", name: "add with a wrong epoch, v1", send: add(1, 0, 99, []int32{0}, false), want: old, grows: true},
		{row: "B28", name: "add with a wrong producer ID", send: add(3, 1, 0, []int32{0}, false), want: mapping, grows: true},
		{row: "B28", name: "add an unknown topic beside a known one", send: add(3, 0, 0, []int32{0}, true),
			want: "1 OPERATION_NOT_ATTEMPTED, 1 UNKNOWN_TOPIC_OR_PARTITION", grows: true},
		{row: "B28", name: "add partition -1", send: add(3, 0, 0, []int32{-1}, false), want: "UNKNOWN_TOPIC_OR_PARTITION",
			grows: true},
		{row: "B28", name: "add 50000 partitions that there are not", send: add(3, 0, 0, all, false),
			want: "50000 UNKNOWN_TOPIC_OR_PARTITION", grows: true, perByte: 100},
		{row: "B28", name: "end of an unknown ID", send: ending(4, "nobody at all", 1, 0), want: mapping},
		{row: "B28", name: "end of an empty ID", send: ending(4, "", 1, 0), want: "INVALID_REQUEST"},
		{row: "B28", name: "end with a wrong epoch", send: end(4, 0, 99), want: fenced, grows: true},
		{row: "B28", name: "end with a wrong epoch, v1", send: end(1, 0, 99), want: old, grows: true},
		{row: "B28", name: "end with a wrong producer ID", send: end(4, 1, 0), want: mapping, grows: true},
		{row: "B28", name: "end with epoch 32767", send: end(5, 0, 32767), want: fenced, grows: true},
		{row: "B28", name: "end of what never began", send: owned(func(id string, p int64) func(*hostile) string {
			return ending(4, id, p, 0)
		}), want: state, grows: true},
		{row: "B28", name: "offsets of an empty group", grows: true, want: "NONE",
			send: owned(func(id string, p int64) func(*hostile) string {
				return func(h *hostile) string {
					r := kmsg.NewPtrAddOffsetsToTxnRequest()
					r.Version, r.TransactionalID, r.ProducerID = 3, id, p
					return code(h.request(r).(*kmsg.AddOffsetsToTxnResponse).ErrorCode)
				}
			})},
	}
}
