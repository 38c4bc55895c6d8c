package main

import (
	"fmt"
	"strconv"
	"strings"

	"once/log/batch"
)

// batchOf builds the batch that a text stands for, as scripts have it:
// producer=p epoch=E sequence=S [records=N] [plain] [time=MS] [step=MS].
func (n *names) batchOf(text string) ([]byte, error) {
	o := batch.BuildOptions{
		ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1, Transactional: true,
		TimestampMs: n.timeMs, LeaderEpoch: -1,
	}
	n.timeMs++
	count, step := int64(1), int64(0)
	for _, word := range strings.Fields(text) {
		name, value, found := strings.Cut(word, "=")
		if !found {
			o.Transactional = o.Transactional && name != "plain"
			continue
		}
		if name == "producer" {
			id, err := n.producer(value)
			if err != nil {
				return nil, err
			}
			o.ProducerID = id
			continue
		}
		number, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return nil, err
		}
		switch name {
		case "epoch":
			o.ProducerEpoch = int16(number)
		case "sequence":
			o.BaseSequence = int32(number)
		case "records":
			count = number
		case "time":
			o.TimestampMs = number
		case "step":
			step = number
		default:
			return nil, fmt.Errorf("a batch has no %s", name)
		}
	}
	records := make([]batch.Record, count)
	for i := range records {
		delta := int64(i) * step
		records[i] = batch.Record{OffsetDelta: int32(i), Key: []byte("k"), Value: []byte("v"), TimestampDeltaMs: delta}
	}
	return batch.Build(o, records...), nil
}
