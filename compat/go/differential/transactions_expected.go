package main

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

var expectedOfTransactions = expectations{
	{
		row: "bytes behind a batch, producer ID without epoch",
		why: "no client sends it",
		matches: func(_ []exchange, last exchange) bool {
			batch := lastBatchOf(last)
			return batch.epoch < 0 && batch.letter != "none" && strings.Contains(last.once, "INVALID_RECORD")
		},
	},
	{
		row: "EndTxn",
		why: "a partition that has seen a newer epoch takes no marker: Kafka never completes the transaction, either",
		matches: func(done []exchange, last exchange) bool {
			return strings.Contains(last.once, "CONCURRENT_TRANSACTIONS") && hasNewerEpoch(done)
		},
	},
}

// lastBatchOf is who wrote the batch of a Produce; no producer for other requests.
func lastBatchOf(e exchange) producer {
	if e.API != kmsg.Produce || e.Topic != "" {
		return producer{"none", -1}
	}
	b, _, _ := batchIn(e.Step)
	return b
}

// hasNewerEpoch reports whether a partition has taken a batch that is in no transaction, or a marker that the
// coordinator has not written, with an epoch that its producer did not have.
func hasNewerEpoch(done []exchange) bool {
	newest := map[any]int{}
	for _, e := range done {
		if e.Topic != "" || !strings.Contains(e.kafka, "ErrorCode=NONE") {
			continue
		}
		switch e.API {
		case kmsg.AddPartitionsToTxn, kmsg.EndTxn, kmsg.AddOffsetsToTxn, kmsg.TxnOffsetCommit:
			if epoch, ok := e.Fields["ProducerEpoch"].(int16); ok && int(epoch) < newest[e.Fields["ProducerID"]] {
				return true
			}
		case kmsg.WriteTxnMarkers:
			m := e.Fields["Markers"].([]any)[0].(fields)
			newest[m["ProducerID"]] = max(newest[m["ProducerID"]], int(m["ProducerEpoch"].(int16)))
		case kmsg.Produce:
			if b := lastBatchOf(e); b.letter != "none" {
				newest[b.letter] = max(newest[b.letter], int(b.epoch))
			}
		}
	}
	return false
}
