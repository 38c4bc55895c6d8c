package lab

import (
	"bytes"
	"net/http"
	"slices"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"

	"once/cluster"
	"once/log/batch"
	"once/txncoordinator"
)

// Limits on an answer of /v1/records.
const (
	defaultRecords = 100
	maxRecords     = 1000
	maxRecordBytes = 8 << 20
	maxCutHeaders  = 20 // of a record, where keys and values are cut
)

func recordsIn(x *exchange, v cluster.View) (Records, error) {
	topic, text := x.request.PathValue("topic"), x.request.PathValue("partition")
	index, err := strconv.ParseInt(text, 10, 32)
	p, ok := v.Topics.Partition(topic, int32(index))
	if err != nil || !ok {
		return Records{}, fails(http.StatusNotFound, "there is no partition %s of a topic %q", text, topic)
	}
	from, err := x.number("from", p.LogStartOffset(), 0, 1<<62)
	if err != nil {
		return Records{}, err
	}
	limit, err := x.number("limit", defaultRecords, 1, maxRecords)
	if err != nil {
		return Records{}, err
	}
	cut, err := x.number("cut", 0, 1, maxRecordBytes)
	if err != nil {
		return Records{}, err
	}
	o, err := p.Offsets()
	if err != nil {
		return Records{}, fails(http.StatusConflict, "%v", err)
	}
	found, err := cluster.Batches(p, from, o.LogEndOffset, int(limit), true)
	if err != nil {
		return Records{}, err
	}
	r := Records{TopicPartition: TopicPartition{topic, int32(index)}, LogStartOffset: o.LogStartOffset,
		LastStableOffset: o.LastStableOffset, HighWatermark: o.HighWatermark, NextOffset: from, Batches: []RecordBatch{}}
	show := recordOptions{names: producersOf(v), from: from, maxBytes: x.cluster.MaxDecompressedBytes(), most: maxInt}
	if cut > 0 {
		show.cutBytes, show.most = int(cut), int(limit)
	}
	sizeBytes := 0
	for _, b := range found {
		if sizeBytes += b.SizeBytes(); sizeBytes > maxRecordBytes && len(r.Batches) > 0 {
			break
		}
		one, whole := batchOf(b, &show)
		r.Batches = append(r.Batches, one)
		if !whole {
			r.NextOffset = one.Records[len(one.Records)-1].Offset + 1
			break
		}
		if r.NextOffset = b.NextOffset(); show.most == 0 {
			break
		}
	}
	return r, nil
}

const maxInt = int(^uint(0) >> 1)

// producersOf returns the transactional IDs of producer IDs.
func producersOf(v cluster.View) map[int64]string {
	names := map[int64]string{}
	listed, _, _ := v.Txns.List(txncoordinator.ListFilter{DurationMs: -1})
	for _, l := range listed {
		names[l.ProducerID] = l.TransactionalID
	}
	return names
}

// recordOptions say what of batches is shown.
type recordOptions struct {
	names    map[int64]string // transactional IDs by producer ID
	from     int64            // records below it are left out
	most     int              // records that are still shown
	cutBytes int              // of keys and values; 0: they are whole
	maxBytes int              // that a batch may inflate to
}

// batchOf returns a batch with its records; false when there were too many.
func batchOf(b cluster.Batch, show *recordOptions) (r RecordBatch, whole bool) {
	r = RecordBatch{
		BaseOffset: b.BaseOffset, LastOffset: b.LastOffset(), Fate: string(b.Fate), ProducerID: b.ProducerID,
		ProducerEpoch: b.ProducerEpoch,
		BaseSequence:  b.BaseSequence, SizeBytes: b.SizeBytes(), Records: []Record{},
	}
	if b.IsTransactional() {
		r.TransactionalID = show.names[b.ProducerID]
	}
	if b.Fate == cluster.FateMarker {
		r.Marker = b.Marker.Type.String()
		return r, true
	}
	for record, err := range batch.Records(b.Raw, show.maxBytes) {
		if err != nil {
			break // of a batch that was stored whole: larger than the limit
		}
		offset := b.BaseOffset + int64(record.OffsetDelta)
		switch {
		case offset < show.from:
			continue
		case show.most == 0:
			return r, len(r.Records) == 0
		}
		show.most--
		r.Records = append(r.Records, recordOf(record, offset, time.UnixMilli(b.TimestampMs(record)).UTC(), show.cutBytes))
	}
	return r, true
}

func recordOf(record batch.Record, offset int64, at time.Time, cutBytes int) Record {
	r := Record{Offset: offset, Timestamp: at, Key: textOf(cutTo(record.Key, cutBytes)),
		Value: textOf(cutTo(record.Value, cutBytes))}
	if cutBytes > 0 && len(record.Key) > cutBytes {
		r.KeyBytes = len(record.Key)
	}
	if cutBytes > 0 && len(record.Value) > cutBytes {
		r.ValueBytes = len(record.Value)
	}
	for _, h := range record.Headers {
		if cutBytes > 0 && len(r.Headers) == maxCutHeaders {
			break
		}
		r.Headers = append(r.Headers, RecordHeader{string(cutTo([]byte(h.Key), cutBytes)), textOf(cutTo(h.Value, cutBytes))})
	}
	return r
}

// cutTo returns at most so many bytes, and no part of a character of text; 0: all.
func cutTo(b []byte, most int) []byte {
	if most == 0 || len(b) <= most {
		return b
	}
	for n := most; n > 0 && n > most-utf8.UTFMax; n-- {
		if utf8.RuneStart(b[n]) {
			return b[:n]
		}
	}
	return b[:most]
}

// isText says whether bytes can be shown: control characters cannot, but for those of lines.
func isText(b []byte) bool {
	return utf8.Valid(b) && !bytes.ContainsFunc(b,
		func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\r' && r != '\t' })
}

// textOf returns bytes as text where they are, as {"base64": …} where they are not, and null.
func textOf(b []byte) any {
	switch {
	case b == nil:
		return nil
	case isText(b):
		return string(b)
	}
	return map[string][]byte{"base64": slices.Clone(b)}
}
