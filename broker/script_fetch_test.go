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

// Fetches of several partitions, with sizes and in sessions.
func init() {
	commands["fetch-from"] = fetchFrom
	commands["fetch-time"] = fetchTime
}

// fetchRequest: [of=[x-0:OFFSET:MAXBYTES …]] [forget=[x-0 …]] [session=0|S epoch=-1|E] [max=BYTES] [min=BYTES]
// [wait=MS] [committed] [leader-epoch=E] [fetched-epoch=E] [replica=R] [version=V]. A session has a letter.
func (p *peer) fetchRequest(c script.Command) *kmsg.FetchRequest {
	r := kmsg.NewPtrFetchRequest()
	r.Version = int16(p.int(c, "version", 12))
	r.ReplicaID, r.MaxWaitMillis, r.MinBytes, r.MaxBytes = int32(p.int(c, "replica", -1)), int32(p.int(c, "wait", 0)),
		int32(p.int(c, "min", 0)), int32(p.int(c, "max", 50<<20))
	r.SessionEpoch = int32(p.int(c, "epoch", -1))
	if s := c.String("session", "0"); s != "0" {
		id, ok := p.ids["session "+s]
		if !ok {
			id = p.int(c, "session", 0)
		}
		r.SessionID = int32(id)
	}
	if c.Has("committed") {
		r.IsolationLevel = 1
	}
	for _, s := range c.List("of") {
		place, rest, _ := strings.Cut(s, ":")
		offset, size, found := strings.Cut(rest, ":")
		topic, i := p.place(place)
		rp := kmsg.NewFetchRequestTopicPartition()
		rp.Partition, rp.PartitionMaxBytes = i, 1<<20
		rp.FetchOffset, _ = strconv.ParseInt(offset, 10, 64)
		if found {
			n, _ := strconv.ParseInt(size, 10, 32)
			rp.PartitionMaxBytes = int32(n)
		}
		rp.CurrentLeaderEpoch, rp.LastFetchedEpoch = int32(p.int(c, "leader-epoch", -1)), int32(p.int(c, "fetched-epoch", -1))
		at := slices.IndexFunc(r.Topics, func(t kmsg.FetchRequestTopic) bool { return t.Topic == topic })
		if at < 0 {
			t := kmsg.NewFetchRequestTopic()
			t.Topic, t.TopicID = topic, p.topicIDs[topic]
			at, r.Topics = len(r.Topics), append(r.Topics, t)
		}
		r.Topics[at].Partitions = append(r.Topics[at].Partitions, rp)
	}
	for _, s := range c.List("forget") {
		topic, i := p.place(s)
		t := kmsg.NewFetchRequestForgottenTopic()
		t.Topic, t.TopicID, t.Partitions = topic, p.topicIDs[topic], []int32{i}
		r.ForgottenTopics = append(r.ForgottenTopics, t)
	}
	return r
}

// fetchFrom: fetch-from, with the arguments above: the session, then each partition with its batches' offsets,
// in the order of the answer
func fetchFrom(p *peer, c script.Command) string {
	resp, ok := p.ask(p.fetchRequest(c)).(*kmsg.FetchResponse)
	if !ok {
		return closed
	}
	var out []string
	if resp.ErrorCode != 0 {
		out = append(out, code(resp.ErrorCode))
	}
	out = append(out, p.session(int64(resp.SessionID)))
	for i := range resp.Topics {
		t := &resp.Topics[i]
		name := p.nameOf(t.Topic, t.TopicID)
		for j := range t.Partitions {
			out = append(out, name+"-"+fetched(p, &t.Partitions[j]))
		}
	}
	return strings.Join(out, "\n")
}

// nameOf is the script's name of a topic that an answer names, or gives the ID of.
func (p *peer) nameOf(topic string, id [16]byte) string {
	for name, other := range p.topicIDs {
		if topic == "" && id == other {
			topic = name
		}
	}
	return p.plainName(topic)
}

// session names a fetch session.
func (p *peer) session(id int64) string { return p.numbered("session", id) }

// numbered names a number of a kind.
func (p *peer) numbered(kind string, id int64) string {
	if id == 0 {
		return "no " + kind
	}
	known := 0
	for name, other := range p.ids {
		if strings.HasPrefix(name, kind+" ") {
			if known++; other == id {
				return name
			}
		}
	}
	name := kind + " " + string(rune('A'+known))
	p.ids[name] = id
	return name
}

// fetched is what a partition of a Fetch answers.
func fetched(p *peer, rp *kmsg.FetchResponseTopicPartition) string {
	out := fmt.Sprintf("%d %s high_watermark=%d last_stable=%d log_start=%d", rp.Partition, code(rp.ErrorCode),
		rp.HighWatermark, rp.LastStableOffset, rp.LogStartOffset)
	if rp.DivergingEpoch.Epoch >= 0 || rp.DivergingEpoch.EndOffset >= 0 {
		out += fmt.Sprintf(" diverging=%d:%d", rp.DivergingEpoch.Epoch, rp.DivergingEpoch.EndOffset)
	}
	var offsets []string
	for raw := rp.RecordBatches; len(raw) > 0; {
		h, err := batch.ParseHeader(raw)
		if err != nil || h.SizeBytes() > len(raw) {
			offsets = append(offsets, "part of a batch")
			break
		}
		offsets = append(offsets, fmt.Sprintf("%d-%d", h.BaseOffset, h.LastOffset()))
		raw = raw[h.SizeBytes():]
	}
	return out + fmt.Sprintf(" batches=%v", offsets)
}

// fetchTime: fetch-time, with the arguments above: whether the answer came at once or after wait
func fetchTime(p *peer, c script.Command) string {
	wait := time.Duration(p.int(c, "wait", 0)) * time.Millisecond
	start := time.Now()
	out := fetchFrom(p, c)
	if time.Since(start) >= wait {
		return "waited\n" + out
	}
	return "at once\n" + out
}
