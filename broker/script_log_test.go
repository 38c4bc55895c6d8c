package broker_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/internal/script"
	"once/log/batch"
)

// What clients see of a log besides its records: offsets by time, its start, its batches' headers.
func init() {
	commands["offset-at"] = offsetAt
	commands["delete-records"] = deleteRecords
	commands["headers"] = headers
	commands["epoch-end"] = epochEnd
	commands["send"] = sendDetailed
}

// about is a time as a script can tell it: those of this hour are now.
func about(ms int64) string {
	if d := time.Since(time.UnixMilli(ms)); d > -time.Minute && d < time.Hour {
		return "now"
	}
	return strconv.FormatInt(ms, 10)
}

// offsetAt: offset-at of=x-0 at=[TIME …] [committed] [version=V] [leader-epoch=E] [replica=R] [twice]: a line for each
// time, which is a number or the word now
func offsetAt(p *peer, c script.Command) string {
	topic, i := p.place(c.String("of", "x-0"))
	var out []string
	for _, at := range c.List("at") {
		ms := time.Now().Add(-time.Minute).UnixMilli()
		if at != "now" {
			var err error
			if ms, err = strconv.ParseInt(at, 10, 64); err != nil {
				p.t.Fatal(err)
			}
		}
		r := kmsg.NewPtrListOffsetsRequest()
		r.Version, r.ReplicaID = int16(p.int(c, "version", 11)), int32(p.int(c, "replica", -1))
		if c.Has("committed") {
			r.IsolationLevel = 1
		}
		rp := kmsg.NewListOffsetsRequestTopicPartition()
		rp.Partition, rp.Timestamp, rp.CurrentLeaderEpoch = i, ms, int32(p.int(c, "leader-epoch", -1))
		parts := []kmsg.ListOffsetsRequestTopicPartition{rp}
		if c.Has("twice") {
			parts = append(parts, rp)
		}
		r.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: topic, Partitions: parts}}
		resp, ok := p.ask(r).(*kmsg.ListOffsetsResponse)
		if !ok {
			out = append(out, closed)
			continue
		}
		for _, got := range resp.Topics[0].Partitions {
			answer := fmt.Sprintf("offset %d time %s epoch %d", got.Offset, about(got.Timestamp), got.LeaderEpoch)
			if got.ErrorCode != 0 {
				answer = code(got.ErrorCode) + " " + answer
			}
			out = append(out, at+": "+answer)
		}
	}
	return strings.Join(out, "\n")
}

// deleteRecords: delete-records below=[x-0:10 …] [version=V]: the low watermark of each
func deleteRecords(p *peer, c script.Command) string {
	r := kmsg.NewPtrDeleteRecordsRequest()
	r.Version, r.TimeoutMillis = int16(p.int(c, "version", 2)), 10_000
	for _, s := range c.List("below") {
		topic, i, offset := p.each(s)
		t := kmsg.NewDeleteRecordsRequestTopic()
		t.Topic = topic
		rp := kmsg.NewDeleteRecordsRequestTopicPartition()
		rp.Partition, rp.Offset = i, offset
		t.Partitions = append(t.Partitions, rp)
		r.Topics = append(r.Topics, t)
	}
	var out []string
	for _, t := range p.ask(r).(*kmsg.DeleteRecordsResponse).Topics {
		for _, rp := range t.Partitions {
			out = append(out, fmt.Sprintf("%s-%d %s low_watermark=%d", p.plainName(t.Topic), rp.Partition, code(rp.ErrorCode),
				rp.LowWatermark))
		}
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

// headers: headers of=x-0 [from=O]: the header of each batch
func headers(p *peer, c script.Command) string {
	rp := p.fetchOnce(c)
	if rp.ErrorCode != 0 {
		return code(rp.ErrorCode)
	}
	var out []string
	for raw := rp.RecordBatches; len(raw) > 0; {
		h, err := batch.ParseHeader(raw)
		if err != nil {
			p.t.Fatal(err)
		}
		if _, err := batch.Verify(raw[:h.SizeBytes()]); err != nil {
			p.t.Fatal(err)
		}
		kind := "CreateTime"
		if h.IsLogAppendTime() {
			kind = "LogAppendTime"
		}
		out = append(out, fmt.Sprintf("%d-%d records=%d codec=%d %s base=%s max=%s sequence=%d leader_epoch=%d", h.BaseOffset,
			h.LastOffset(), h.RecordCount,
			h.Codec(), kind, about(h.BaseTimestampMs), about(h.MaxTimestampMs), h.BaseSequence, h.LeaderEpoch))
		raw = raw[h.SizeBytes():]
	}
	if len(out) == 0 {
		return "empty"
	}
	return strings.Join(out, "\n")
}

// epochEnd: epoch-end of=x-0 epoch=E [current=C] [version=V]
func epochEnd(p *peer, c script.Command) string {
	topic, i := p.place(c.String("of", "x-0"))
	r := kmsg.NewPtrOffsetForLeaderEpochRequest()
	r.Version, r.ReplicaID = int16(p.int(c, "version", 4)), -1
	rp := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
	rp.Partition, rp.LeaderEpoch, rp.CurrentLeaderEpoch = i, int32(p.int(c, "epoch", 0)), int32(p.int(c, "current", -1))
	r.Topics = []kmsg.OffsetForLeaderEpochRequestTopic{{Topic: topic,
		Partitions: []kmsg.OffsetForLeaderEpochRequestTopicPartition{rp}}}
	got := p.ask(r).(*kmsg.OffsetForLeaderEpochResponse).Topics[0].Partitions[0]
	return fmt.Sprintf("%s epoch=%d end=%d", code(got.ErrorCode), got.LeaderEpoch, got.EndOffset)
}

// sendDetailed: send, with the arguments of produce: everything that is answered, except texts
func sendDetailed(p *peer, c script.Command) string {
	resp, ok := p.ask(p.produceRequest(c, c)).(*kmsg.ProduceResponse)
	if !ok {
		return closed
	}
	rp := &resp.Topics[0].Partitions[0]
	out := fmt.Sprintf("%s offset=%d append_time=%s log_start=%d", code(rp.ErrorCode), rp.BaseOffset,
		about(rp.LogAppendTime), rp.LogStartOffset)
	for _, e := range rp.ErrorRecords {
		out += fmt.Sprintf("\nrecord %d", e.RelativeOffset)
	}
	return out
}
