package broker_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/internal/script"
	"once/log/batch"
)

// Members of share groups. A member ID is what the script says, because clients make it.
func init() {
	commands["share-heartbeat"] = shareHeartbeat
	commands["share-fetch"] = shareFetch
	commands["share-fetched"] = shareFetchReceived
	commands["share-acknowledge"] = shareAcknowledge
	commands["share-offsets"] = shareOffsets
	commands["share-describe"] = shareDescribe
	commands["share-letters"] = shareLetters
	commands["hang-up"] = hangUp
}

// shareHeartbeat: share-heartbeat [group=g] member=M epoch=E [topics=[T …]] [sizes]: with sizes the assignment is a
// number, because the order in which Kafka gives partitions out is that of its maps
func shareHeartbeat(p *peer, c script.Command) string {
	r := kmsg.NewPtrShareGroupHeartbeatRequest()
	r.Version, r.GroupID, r.MemberID, r.MemberEpoch = 1, p.group(c), c.String("member", "m1"), int32(p.int(c, "epoch", 0))
	for _, topic := range c.List("topics") {
		r.SubscribedTopicNames = append(r.SubscribedTopicNames, topic+p.suffix)
	}
	resp := p.ask(r).(*kmsg.ShareGroupHeartbeatResponse)
	if resp.ErrorCode != 0 {
		return code(resp.ErrorCode)
	}
	text := fmt.Sprintf("NONE epoch=%d interval=%d assignment=", resp.MemberEpoch, resp.HeartbeatIntervalMillis)
	if resp.Assignment == nil {
		return text + "unchanged"
	}
	var all []string
	for _, t := range resp.Assignment.TopicPartitions {
		for _, index := range t.Partitions {
			all = append(all, fmt.Sprintf("%s-%d", p.topicName(t.TopicID), index))
		}
	}
	if c.Has("sizes") {
		return text + strconv.Itoa(len(all))
	}
	slices.Sort(all)
	return text + fmt.Sprint(all)
}

// topicName is the name of a topic of the script.
func (p *peer) topicName(id [16]byte) string {
	for name, known := range p.topicIDs {
		if known == id {
			return p.plainName(name)
		}
	}
	return "unknown"
}

// shareAcks reads acknowledgements: x-0:0-4:1 is one type for all, x-0:5-6:1,2 one for each offset, x-0:5-6: none. They
// are in the order in which they are given.
func (p *peer) shareAcks(c script.Command) (partitions []string,
	acks map[string][]kmsg.ShareFetchRequestTopicPartitionAcknowledgementBatch) {
	acks = map[string][]kmsg.ShareFetchRequestTopicPartitionAcknowledgementBatch{}
	for _, text := range c.List("acks") {
		parts := strings.Split(text, ":")
		if len(parts) != 3 {
			p.t.Fatalf("%s: %q is no acknowledgement", c.Pos, text)
		}
		first, last := parts[1], parts[1]
		if i := strings.Index(parts[1][1:], "-") + 1; i > 0 { // a first offset may be negative
			first, last = parts[1][:i], parts[1][i+1:]
		}
		b := kmsg.NewShareFetchRequestTopicPartitionAcknowledgementBatch()
		b.FirstOffset, b.LastOffset = p.number(c, first), p.number(c, last)
		for _, t := range strings.Split(parts[2], ",") {
			if t != "" {
				b.AcknowledgeTypes = append(b.AcknowledgeTypes, int8(p.number(c, t)))
			}
		}
		if _, ok := acks[parts[0]]; !ok {
			partitions = append(partitions, parts[0])
		}
		acks[parts[0]] = append(acks[parts[0]], b)
	}
	return partitions, acks
}

func (p *peer) number(c script.Command, s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		p.t.Fatalf("%s: %q is no number", c.Pos, s)
	}
	return n
}

// splitPlace is a partition by its topic's ID.
func (p *peer) splitPlace(place string) ([16]byte, int32) {
	i := strings.LastIndexByte(place, '-')
	n, err := strconv.ParseInt(place[i+1:], 10, 32)
	if err != nil {
		p.t.Fatalf("%q is no partition", place)
	}
	return p.topicID(place[:i] + p.suffix), int32(n)
}

// shareFetch: share-fetch [group=g] member=M epoch=E [of=[x-0 …]] [forget=[x-0 …]] [acks=[x-0:0-4:1 …]] [max=500]
// [batch=500] [wait-ms=0] [min=1] [bytes=1048576] [mode=0] [renew] [version=2] [send]
func shareFetch(p *peer, c script.Command) string {
	r := kmsg.NewPtrShareFetchRequest()
	r.Version, r.ShareSessionEpoch = int16(p.int(c, "version", 2)), int32(p.int(c, "epoch", 0))
	group, member := p.group(c), c.String("member", "m1")
	r.GroupID, r.MemberID = &group, &member
	r.MaxWaitMillis, r.MinBytes, r.MaxBytes = int32(p.int(c, "wait-ms", 0)), int32(p.int(c, "min", 1)),
		int32(p.int(c, "bytes", 1<<20))
	r.MaxRecords, r.BatchSize = int32(p.int(c, "max", 500)), int32(p.int(c, "batch", 500))
	r.ShareAcquireMode, r.IsRenewAck = int8(p.int(c, "mode", 0)), c.Has("renew")
	topics := map[[16]byte]int{}
	add := func(place string, acks []kmsg.ShareFetchRequestTopicPartitionAcknowledgementBatch) {
		id, index := p.splitPlace(place)
		i, ok := topics[id]
		if !ok {
			i = len(r.Topics)
			topics[id] = i
			t := kmsg.NewShareFetchRequestTopic()
			t.TopicID = id
			r.Topics = append(r.Topics, t)
		}
		x := kmsg.NewShareFetchRequestTopicPartition()
		x.Partition, x.AcknowledgementBatches = index, acks
		r.Topics[i].Partitions = append(r.Topics[i].Partitions, x)
	}
	places, acks := p.shareAcks(c)
	for _, place := range c.List("of") {
		if _, ok := acks[place]; !ok {
			add(place, nil)
		}
	}
	for _, place := range places {
		add(place, acks[place])
	}
	for _, place := range c.List("forget") {
		id, index := p.splitPlace(place)
		f := kmsg.NewShareFetchRequestForgottenTopicsData()
		f.TopicID, f.Partitions = id, []int32{index}
		r.ForgottenTopicsData = append(r.ForgottenTopicsData, f)
	}
	if c.Has("send") {
		id, err := p.connect().Send(r)
		if err != nil {
			p.t.Fatal(err)
		}
		p.sent[p.conn] = sentRequest{request: r, correlationID: id}
		return "sent"
	}
	resp := p.ask(r)
	if resp == nil {
		return closed
	}
	return p.shareFetched(resp.(*kmsg.ShareFetchResponse))
}

// shareFetchReceived: share-fetched: the answer to a share-fetch with the flag send
func shareFetchReceived(p *peer, c script.Command) string {
	sent, ok := p.sent[p.conn]
	if !ok {
		p.t.Fatalf("%s: nothing was sent", c.Pos)
	}
	delete(p.sent, p.conn)
	resp, err := p.connect().Receive(sent.request, sent.correlationID)
	if err != nil {
		p.t.Fatalf("%s: %v", c.Pos, err)
	}
	return p.shareFetched(resp.(*kmsg.ShareFetchResponse))
}

// shareFetched shows the lock time unless it is Kafka's default.
func (p *peer) shareFetched(resp *kmsg.ShareFetchResponse) string {
	if resp.ErrorCode != 0 {
		return fmt.Sprintf("%s lock=%d", code(resp.ErrorCode), resp.AcquisitionLockTimeoutMillis)
	}
	var lines []string
	for i := range resp.Topics {
		t := &resp.Topics[i]
		for j := range t.Partitions {
			x := &t.Partitions[j]
			var acquired []string
			for _, a := range x.AcquiredRecords {
				acquired = append(acquired, fmt.Sprintf("%d-%d*%d", a.FirstOffset, a.LastOffset, a.DeliveryCount))
			}
			line := fmt.Sprintf("%s-%d %s acquired=%v", p.topicName(t.TopicID), x.Partition, code(x.ErrorCode), acquired)
			if x.AcknowledgeErrorCode != 0 {
				line += " acks=" + code(x.AcknowledgeErrorCode)
			}
			lines = append(lines, line+" batches="+fmt.Sprint(batchesOf(p, x.Records)))
		}
	}
	slices.Sort(lines)
	return strings.Join(append([]string{fmt.Sprintf("NONE lock=%d", resp.AcquisitionLockTimeoutMillis)}, lines...), "\n")
}

// batchesOf are the batches in the records of an answer.
func batchesOf(p *peer, records []byte) (all []string) {
	for len(records) >= batch.HeaderSizeBytes {
		h, err := batch.ParseHeader(records)
		if err != nil {
			p.t.Fatal(err)
		}
		all = append(all, fmt.Sprintf("%d-%d", h.BaseOffset, h.LastOffset()))
		records = records[h.SizeBytes():]
	}
	return all
}

// shareAcknowledge: share-acknowledge [group=g] member=M epoch=E [acks=[x-0:0-4:1 …]] [renew] [version=2]
func shareAcknowledge(p *peer, c script.Command) string {
	r := kmsg.NewPtrShareAcknowledgeRequest()
	r.Version, r.ShareSessionEpoch, r.IsRenewAck = int16(p.int(c, "version", 2)), int32(p.int(c, "epoch", 0)),
		c.Has("renew")
	group, member := p.group(c), c.String("member", "m1")
	r.GroupID, r.MemberID = &group, &member
	places, acks := p.shareAcks(c)
	for _, place := range places {
		t := kmsg.NewShareAcknowledgeRequestTopic()
		x := kmsg.NewShareAcknowledgeRequestTopicPartition()
		t.TopicID, x.Partition = p.splitPlace(place)
		for _, b := range acks[place] {
			y := kmsg.NewShareAcknowledgeRequestTopicPartitionAcknowledgementBatch()
			y.FirstOffset, y.LastOffset, y.AcknowledgeTypes = b.FirstOffset, b.LastOffset, b.AcknowledgeTypes
			x.AcknowledgementBatches = append(x.AcknowledgementBatches, y)
		}
		t.Partitions = append(t.Partitions, x)
		r.Topics = append(r.Topics, t)
	}
	answer := p.ask(r)
	if answer == nil {
		return closed
	}
	resp := answer.(*kmsg.ShareAcknowledgeResponse)
	lines := []string{code(resp.ErrorCode)}
	for i := range resp.Topics {
		for _, x := range resp.Topics[i].Partitions {
			lines = append(lines, fmt.Sprintf("%s-%d %s", p.topicName(resp.Topics[i].TopicID), x.Partition, code(x.ErrorCode)))
		}
	}
	slices.Sort(lines[1:])
	return strings.Join(lines, "\n")
}

// shareOffsets: share-offsets [group=g] [of=[x-0 …]] [version=1] [lags]: without of, all that the group has
func shareOffsets(p *peer, c script.Command) string {
	r := kmsg.NewPtrDescribeShareGroupOffsetsRequest()
	r.Version = int16(p.int(c, "version", 1))
	g := kmsg.NewDescribeShareGroupOffsetsRequestGroup()
	g.GroupID = p.group(c)
	for _, place := range c.List("of") {
		t := kmsg.NewDescribeShareGroupOffsetsRequestGroupTopic()
		var index int32
		t.Topic, index = p.place(place)
		t.Partitions = []int32{index}
		g.Topics = append(g.Topics, t)
	}
	r.Groups = append(r.Groups, g)
	resp := p.ask(r).(*kmsg.DescribeShareGroupOffsetsResponse)
	var lines []string
	for _, g := range resp.Groups {
		if g.ErrorCode != 0 {
			return code(g.ErrorCode)
		}
		for _, t := range g.Topics {
			for _, x := range t.Partitions {
				line := fmt.Sprintf("%s-%d %s", p.plainName(t.Topic), x.Partition, code(x.ErrorCode))
				if !c.Has("lags") {
					line += fmt.Sprintf(" start=%d", x.StartOffset)
				}
				lines = append(lines, line+fmt.Sprintf(" lag=%d", x.Lag))
			}
		}
	}
	if len(lines) == 0 {
		return "nothing"
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// shareDescribe: share-describe [group=g]
func shareDescribe(p *peer, c script.Command) string {
	r := kmsg.NewPtrShareGroupDescribeRequest()
	r.Version, r.GroupIDs = 1, []string{p.group(c)}
	g := p.ask(r).(*kmsg.ShareGroupDescribeResponse).Groups[0]
	if g.ErrorCode != 0 {
		return code(g.ErrorCode)
	}
	lines := []string{fmt.Sprintf("%s epoch=%d assignment_epoch=%d assignor=%s", g.GroupState, g.GroupEpoch,
		g.AssignmentEpoch, g.Assignor)}
	for _, m := range g.Members {
		var all []string
		for _, t := range m.Assignment.TopicPartitions {
			for _, index := range t.Partitions {
				all = append(all, fmt.Sprintf("%s-%d", p.plainName(t.Topic), index))
			}
		}
		slices.Sort(all)
		var names []string
		for _, name := range m.SubscribedTopicNames {
			names = append(names, p.plainName(name))
		}
		lines = append(lines, fmt.Sprintf("%s epoch=%d topics=%v assignment=%v", m.MemberID, m.MemberEpoch, names, all))
	}
	slices.Sort(lines[1:])
	return strings.Join(lines, "\n")
}

// hangUp: hang-up conn=C: the connection ends
func hangUp(p *peer, _ script.Command) string {
	if c := p.conns[p.conn]; c != nil {
		c.Close()
		delete(p.conns, p.conn)
	}
	return "ok"
}

// shareLetters: share-letters of=x-0: how many records there are, and key, value and headers of each. They are written
// in no particular order.
func shareLetters(p *peer, c script.Command) string {
	var lines []string
	for raw := p.fetchOnce(c).RecordBatches; len(raw) > 0; {
		h, err := batch.ParseHeader(raw)
		if err != nil {
			p.t.Fatal(err)
		}
		for r, err := range batch.Records(raw[:h.SizeBytes()], 1<<20) {
			if err != nil {
				p.t.Fatal(err)
			}
			var headers []string
			for _, x := range r.Headers {
				headers = append(headers, x.Key+"="+strings.ReplaceAll(string(x.Value), p.suffix, ""))
			}
			slices.Sort(headers)
			lines = append(lines, fmt.Sprintf("key=%s value=%s %s", textOrNull(r.Key), textOrNull(r.Value),
				strings.Join(headers, " ")))
		}
		raw = raw[h.SizeBytes():]
	}
	if len(lines) == 0 {
		return "nothing"
	}
	slices.Sort(lines)
	return fmt.Sprintf("%d letters\n", len(lines)) + strings.Join(lines, "\n")
}

func textOrNull(b []byte) string {
	if b == nil {
		return "null"
	}
	return strconv.Quote(string(b))
}
