package cluster

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/internal/kafkatest"
	"once/log/batch"
)

// history draws the steps of a history. It knows nothing of what the steps before have done, but for how far the clock
// has been moved.
type history struct {
	*rand.Rand
	now   time.Duration // since the start
	value int
	drawn int
	began map[string]time.Duration // when producers were initialized last
	// forgets says that producers may have been silent for longer than producer.id.expiration.ms.
	forgets   bool
	shortened map[kafkatest.Place]bool // where DeleteRecords was asked for
}

var (
	historyTopics    = []string{"x", "y", "z"}
	historyGroups    = []string{"g", "h"}
	historyProducers = []string{"idempotent", "v2", "other v2", "v1"}
)

func pick[T any](h *history, all []T) T { return all[h.IntN(len(all))] }

// next draws a step.
func (h *history) next() *step {
	h.drawn++
	switch { // most topics are there from the beginning
	case h.drawn <= len(historyProducers):
		return h.initProducer()
	case h.drawn <= len(historyProducers)+2*len(historyTopics):
		return h.createTopic()
	}
	kinds := []struct {
		weight int
		draw   func() *step
	}{
		{6, h.createTopic}, {1, h.deleteTopic}, {3, h.alterConfig}, {2, h.describeConfigs}, {2, h.metadata},
		{10, h.producePlain}, {6, h.initProducer}, {30, h.produceAs}, {4, h.produceAgain}, {8, h.addPartition},
		{16, h.endTxn}, {8, h.stage},
		{8, h.commit}, {8, h.offsetFetch}, {8, h.listOffsets}, {4, h.deleteRecords}, {12, h.read}, {4, h.fetch},
		{3, h.describeProducers}, {3, h.describeTransactions}, {2, h.listTransactions}, {2, h.listGroups},
		{3, h.describeGroup},
		{3, h.join}, {2, h.leave}, {2, h.heartbeat}, {1, h.deleteGroup}, {1, h.deleteOffset}, {6, h.advance},
	}
	total := 0
	for _, k := range kinds {
		total += k.weight
	}
	n := h.IntN(total)
	for _, k := range kinds {
		if n -= k.weight; n < 0 {
			return k.draw()
		}
	}
	panic("weights")
}

// asked is a step that sends the same request on both sides.
func (h *history) asked(text string, r kmsg.Request) *step {
	return &step{text: text, conn: h.IntN(3), request: func(*side) kmsg.Request { return r }}
}

func (h *history) place() kafkatest.Place {
	return kafkatest.Place{Topic: pick(h, historyTopics), Partition: int32(h.IntN(2))}
}

func (h *history) createTopic() *step {
	configs := map[string]string{}
	switch h.IntN(5) {
	case 0:
		configs["message.timestamp.type"] = "LogAppendTime"
	case 1:
		configs["cleanup.policy"] = "compact"
	case 2:
		configs["segment.ms"] = "1000"
	}
	name, partitions := pick(h, historyTopics), int32(1+h.IntN(2))
	return h.asked(fmt.Sprintf("create %s with %d partitions, %v", name, partitions, configs),
		kafkatest.CreateTopicsRequest(name, partitions, configs))
}

func (h *history) deleteTopic() *step {
	r := kmsg.NewPtrDeleteTopicsRequest()
	r.Version, r.TimeoutMillis, r.TopicNames = 5, 10_000, []string{pick(h, historyTopics)}
	return h.asked("delete "+r.TopicNames[0], r)
}

func (h *history) alterConfig() *step {
	name := []string{"compression.type", "message.timestamp.type", "max.message.bytes", "segment.ms"}[h.IntN(4)]
	value := map[string][]string{
		"compression.type": {"producer", "gzip", "zstd", "none"}, "message.timestamp.type": {"CreateTime", "LogAppendTime"},
		"max.message.bytes": {"100", "1000000", "-1"}, "segment.ms": {"1", "100000", "0"},
	}[name]
	r := kmsg.NewPtrIncrementalAlterConfigsRequest()
	r.Version = 1
	c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	c.Name = name
	if h.IntN(3) == 0 {
		c.Op = kmsg.IncrementalAlterConfigOpDelete
	} else {
		c.Value = kmsg.StringPtr(pick(h, value))
	}
	res := kmsg.NewIncrementalAlterConfigsRequestResource()
	res.ResourceType, res.ResourceName, res.Configs = kmsg.ConfigResourceTypeTopic, pick(h, historyTopics),
		append(res.Configs, c)
	r.Resources = append(r.Resources, res)
	return h.asked(fmt.Sprintf("alter %s: %s", res.ResourceName, name), r)
}

// describeConfigs shows what has been set for a topic: the rest are the broker's settings, in which the sides differ.
func (h *history) describeConfigs() *step {
	r := kmsg.NewPtrDescribeConfigsRequest()
	r.Version = 4
	res := kmsg.NewDescribeConfigsRequestResource()
	res.ResourceType, res.ResourceName = kmsg.ConfigResourceTypeTopic, pick(h, historyTopics)
	r.Resources = append(r.Resources, res)
	st := h.asked("describe the configuration of "+res.ResourceName, r)
	st.show = func(s *side, resp kmsg.Response) string {
		var b strings.Builder
		for _, res := range resp.(*kmsg.DescribeConfigsResponse).Resources {
			fmt.Fprintln(&b, res.ResourceName, res.ErrorCode)
			for _, c := range res.Configs {
				if c.Source == kmsg.ConfigSourceDynamicTopicConfig {
					fmt.Fprintln(&b, c.Name, *c.Value)
				}
			}
		}
		return b.String()
	}
	return st
}

func (h *history) metadata() *step {
	r := kmsg.NewPtrMetadataRequest()
	r.Version, r.AllowAutoTopicCreation = int16(9+h.IntN(4)), false
	for _, name := range historyTopics {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = &name
		r.Topics = append(r.Topics, t)
	}
	return h.asked(fmt.Sprintf("metadata v%d", r.Version), r)
}

func (h *history) records() (timestampMs int64, records []batch.Record) {
	timestampMs = metamorphicStart.Add(h.now).UnixMilli() + int64(h.IntN(4000)) - 3000
	for range 1 + h.IntN(3) {
		h.value++
		records = append(records, batch.Record{TimestampDeltaMs: int64(h.IntN(100)), Key: fmt.Append(nil, "key", h.IntN(5)),
			Value: fmt.Append(nil, h.value, " ", strings.Repeat("v", h.IntN(300)))})
	}
	return timestampMs, records
}

func (h *history) producePlain() *step {
	at := h.place()
	timestampMs, records := h.records()
	var nobody *kafkatest.Producer
	st := h.asked(fmt.Sprintf("produce %d records to %v", len(records), at),
		kafkatest.ProduceRequest("", at.Topic, at.Partition, nobody.Batch(-1, timestampMs, records...)))
	st.then = func(s *side, resp kmsg.Response) {
		if resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode == 0 {
			s.loose = false
		}
	}
	return st
}

// producer returns a side's producer, which a history initializes before all else.
func (s *side) producer(name string) *kafkatest.Producer {
	p := s.producers[name]
	if p == nil {
		p = &kafkatest.Producer{ProducerID: -1, ProducerEpoch: -1, Sequences: map[kafkatest.Place]int32{}}
		if name != "idempotent" {
			p.TransactionalID = name
		}
		p.V1 = name == "v1"
		s.producers[name] = p
	}
	return p
}

// initProducer begins anew, or goes on with the identity that there is, as a client does after an error.
func (h *history) initProducer() *step {
	name, goOn, timeoutMs := pick(h, historyProducers), h.IntN(3) == 0, int32(20_000+h.IntN(50_000))
	if h.drawn <= len(historyProducers) {
		name = historyProducers[h.drawn-1]
	}
	// What a timeout has fenced may go on under its last epoch, until a restart: that epoch is not stored.
	began, ok := h.began[name]
	goOn = goOn && ok && h.now-began < 20*time.Second
	h.began[name] = h.now
	return &step{text: fmt.Sprintf("init %s, going on %v, timeout %d ms", name, goOn, timeoutMs), conn: h.IntN(3),
		request: func(s *side) kmsg.Request {
			p := s.producer(name)
			r := kafkatest.InitProducerIDRequest(p.TransactionalID)
			r.TransactionTimeoutMillis = timeoutMs
			if goOn {
				r.ProducerID, r.ProducerEpoch = p.ProducerID, p.ProducerEpoch
			}
			return r
		},
		then: func(s *side, resp kmsg.Response) {
			if r := resp.(*kmsg.InitProducerIDResponse); r.ErrorCode == 0 {
				p := s.producer(name)
				p.ProducerID, p.ProducerEpoch, p.Sequences = r.ProducerID, r.ProducerEpoch, map[kafkatest.Place]int32{}
			}
		}}
}

// produceAs produces what comes next. The idempotent producer seldom has a sequence or an epoch that is not the next
// one: of a transactional one the lowest sequence that was seen before a verification is remembered, until a restart.
func (h *history) produceAs() *step {
	name, at := pick(h, historyProducers), h.place()
	timestampMs, records := h.records()
	gap, older := int32(0), int16(0)
	switch n := h.IntN(10); {
	case name != "idempotent":
	case n == 0:
		gap = int32(h.IntN(5)) - 2
	case n == 1:
		older = int16(h.IntN(3)) - 1
	}
	var sent *kmsg.ProduceRequest
	return &step{text: fmt.Sprintf("produce %d records as %s to %v, sequence %+d, epoch %+d", len(records), name, at, gap,
		-older), conn: h.IntN(3),
		request: func(s *side) kmsg.Request {
			p := *s.producer(name)
			p.ProducerEpoch -= older
			sent = p.ProduceRequest(at.Topic, at.Partition, p.Batch(max(0, p.Sequences[at]+gap), timestampMs, records...))
			return sent
		},
		then: func(s *side, resp kmsg.Response) {
			if resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode == 0 && older == 0 {
				s.producer(name).Sequences[at] = max(0, s.producer(name).Sequences[at]+gap) + int32(len(records))
				s.last[fmt.Sprint(name, at)] = sent
			}
		}}
}

// produceAgain sends what was taken last once more.
func (h *history) produceAgain() *step {
	name, at := pick(h, historyProducers), h.place()
	return &step{text: fmt.Sprintf("produce again the last batch of %s to %v", name, at), conn: h.IntN(3),
		answer: func(s *side) string {
			r := s.last[fmt.Sprint(name, at)]
			if r == nil {
				return "nothing"
			}
			return s.text(s.ask(0, r))
		}}
}

func (h *history) addPartition() *step {
	name, at := pick(h, historyProducers[1:]), h.place()
	return &step{text: fmt.Sprintf("add %v to the transaction of %s", at, name), conn: h.IntN(3),
		request: func(s *side) kmsg.Request { return s.producer(name).AddPartitionsToTxnRequest(at.Topic, at.Partition) },
		then:    func(s *side, _ kmsg.Response) { s.loose = true }}
}

func (h *history) endTxn() *step {
	name, commit := pick(h, historyProducers[1:]), h.IntN(3) > 0
	return &step{text: fmt.Sprintf("end the transaction of %s, commit %v", name, commit), conn: h.IntN(3),
		request: func(s *side) kmsg.Request { return s.producer(name).EndTxnRequest(commit) },
		then: func(s *side, resp kmsg.Response) {
			p := s.producer(name)
			if r := resp.(*kmsg.EndTxnResponse); r.ErrorCode == 0 && !p.V1 {
				p.ProducerID, p.ProducerEpoch, p.Sequences = r.ProducerID, r.ProducerEpoch, map[kafkatest.Place]int32{}
			}
		}}
}

func (h *history) stage() *step {
	name, group, at, offset := pick(h, historyProducers[1:]), pick(h, historyGroups), h.place(), int64(h.IntN(50))
	if name == "v1" && h.IntN(2) == 0 {
		return &step{text: "add the offsets of " + group + " to the transaction of v1", conn: h.IntN(3),
			request: func(s *side) kmsg.Request { return s.producer(name).AddOffsetsToTxnRequest(group) },
			then:    func(s *side, _ kmsg.Response) { s.loose = true }}
	}
	return &step{text: fmt.Sprintf("stage %d of %v for %s as %s", offset, at, group, name), conn: h.IntN(3),
		request: func(s *side) kmsg.Request {
			return s.producer(name).TxnOffsetCommitRequest(group, at.Topic, at.Partition, offset)
		}}
}

// commit commits as nobody, or as the group's member.
func (h *history) commit() *step {
	group, at, offset, asMember := pick(h, historyGroups), h.place(), int64(h.IntN(50)), h.IntN(2) == 0
	return &step{text: fmt.Sprintf("commit %d of %v for %s, as its member %v", offset, at, group, asMember),
		conn: h.IntN(3),
		request: func(s *side) kmsg.Request {
			r := kafkatest.OffsetCommitRequest(group, at.Topic, at.Partition, offset)
			if m, ok := s.members[group]; ok && asMember {
				r.MemberID, r.Generation = m.id, m.generation
			}
			return r
		}}
}

func (h *history) offsetFetch() *step {
	group, at, stable := pick(h, historyGroups), h.place(), h.IntN(2) == 0
	r := kafkatest.OffsetFetchRequest(group, at.Topic, at.Partition, stable)
	if h.IntN(3) == 0 {
		r.Groups[0].Topics = nil // all
	}
	return h.asked(fmt.Sprintf("fetch the offset of %s for %v, stable %v", group, at, stable), r)
}

func (h *history) listOffsets() *step {
	at := h.place()
	r := kmsg.NewPtrListOffsetsRequest()
	r.Version, r.ReplicaID, r.IsolationLevel = 7, -1, int8(h.IntN(2))
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Partition, p.CurrentLeaderEpoch = at.Partition, -1
	p.Timestamp = []int64{-1, -2, -3,
		metamorphicStart.Add(time.Duration(h.Int64N(int64(h.now) + 1))).UnixMilli()}[h.IntN(4)]
	if p.Timestamp == -3 && h.shortened[at] {
		// As in Kafka the answer may be a deleted record, as long as its segment has others.
		p.Timestamp = -2
	}
	r.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: at.Topic, Partitions: []kmsg.ListOffsetsRequestTopicPartition{p}}}
	return h.asked(fmt.Sprintf("list the offset of %v for %d, isolation %d", at, p.Timestamp, r.IsolationLevel), r)
}

func (h *history) deleteRecords() *step {
	at := h.place()
	h.shortened[at] = true
	r := kmsg.NewPtrDeleteRecordsRequest()
	r.Version, r.TimeoutMillis = 2, 10_000
	p := kmsg.NewDeleteRecordsRequestTopicPartition()
	p.Partition, p.Offset = at.Partition, int64(h.IntN(40))-1
	r.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: at.Topic,
		Partitions: []kmsg.DeleteRecordsRequestTopicPartition{p}}}
	return h.asked(fmt.Sprintf("delete the records of %v below %d", at, p.Offset), r)
}

// read reads a partition from some offset to its end. How many batches come with one answer depends on the segments.
func (h *history) read() *step {
	at, from, committed := h.place(), int64(h.IntN(30)), h.IntN(2) == 0
	return &step{text: fmt.Sprintf("read %v from %d, committed %v", at, from, committed),
		answer: func(s *side) string {
			var b strings.Builder
			for next := from; ; {
				resp := s.ask(0, kafkatest.FetchRequest(at.Topic, at.Partition, next, committed)).(*kmsg.FetchResponse)
				p := &resp.Topics[0].Partitions[0]
				raw, before := p.RecordBatches, next
				for len(raw) > 0 {
					h, err := batch.ParseHeader(raw)
					if err != nil || h.SizeBytes() > len(raw) {
						break
					}
					fmt.Fprintln(&b, s.batchText(h, raw[:h.SizeBytes()], p.AbortedTransactions))
					raw, next = raw[h.SizeBytes():], h.NextOffset()
				}
				if next == before {
					return b.String() + s.text(resp)
				}
			}
		}}
}

// batchText is all of a batch but its leader epoch, which counts starts, and with it its checksum.
func (s *side) batchText(h batch.Header, raw []byte,
	aborted []kmsg.FetchResponseTopicPartitionAbortedTransaction) string {
	text := fmt.Sprintf("%d to %d: attributes %d, timestamps %d to %d, %s epoch %d sequence %d", h.BaseOffset,
		h.NextOffset()-1, h.Attributes,
		h.BaseTimestampMs, h.MaxTimestampMs, s.letter("producer", h.ProducerID), h.ProducerEpoch, h.BaseSequence)
	for _, a := range aborted {
		if a.FirstOffset == h.BaseOffset {
			text += ", aborted"
		}
	}
	if _, err := batch.Verify(raw); err != nil {
		s.t.Errorf("%s: %s: %v", s.name, text, err)
	}
	if h.IsControl() {
		m, _, err := batch.ParseMarker(raw)
		return fmt.Sprintf("%s, marker %v %v", text, m.Type, err)
	}
	return text + " " + hex.EncodeToString(raw[batch.HeaderSizeBytes:])
}

// fetch asks where it may get less than all, or nothing: outside of the log, or at its end.
func (h *history) fetch() *step {
	at, offset := h.place(), int64([]int{-1, 0, 1000, h.IntN(40)}[h.IntN(4)])
	r := kafkatest.FetchRequest(at.Topic, at.Partition, offset, h.IntN(2) == 0)
	st := h.asked(fmt.Sprintf("fetch %v from %d", at, offset), r)
	st.show = func(s *side, resp kmsg.Response) string {
		p := &resp.(*kmsg.FetchResponse).Topics[0].Partitions[0]
		p.AbortedTransactions = nil // up to where the segment ends
		return s.text(resp)
	}
	return st
}

func (h *history) describeProducers() *step {
	at := h.place()
	r := kmsg.NewPtrDescribeProducersRequest()
	r.Topics = []kmsg.DescribeProducersRequestTopic{{Topic: at.Topic, Partitions: []int32{at.Partition}}}
	return h.asked(fmt.Sprintf("describe the producers of %v", at), r)
}

func (h *history) describeTransactions() *step {
	r := kmsg.NewPtrDescribeTransactionsRequest()
	r.TransactionalIDs = []string{pick(h, historyProducers[1:])}
	st := h.asked("describe the transaction of "+r.TransactionalIDs[0], r)
	st.show = func(s *side, resp kmsg.Response) string {
		for _, state := range resp.(*kmsg.DescribeTransactionsResponse).TransactionStates {
			for i := range state.Topics {
				if strings.HasPrefix(state.Topics[i].Topic, "__") { // the sides have other numbers of them
					state.Topics[i].Partitions = nil
				}
			}
		}
		return s.text(resp)
	}
	return st
}

func (h *history) listTransactions() *step {
	return h.asked("list transactions", kmsg.NewPtrListTransactionsRequest())
}

func (h *history) listGroups() *step {
	r := kmsg.NewPtrListGroupsRequest()
	r.Version = 5
	return h.asked("list groups", r)
}

func (h *history) describeGroup() *step {
	r := kmsg.NewPtrDescribeGroupsRequest()
	r.Version, r.Groups = 5, []string{pick(h, historyGroups)}
	return h.asked("describe "+r.Groups[0], r)
}

// sessionTimeout is longer than the clock is moved while a group has a member: a restart begins sessions anew.
const sessionTimeout = 30 * time.Minute

// join makes the group one of a single member: it joins again with the ID that it has, or as a new one after the
// one before has left.
func (h *history) join() *step {
	group := pick(h, historyGroups)
	return &step{text: "join " + group, answer: func(s *side) string {
		r := kmsg.NewPtrJoinGroupRequest()
		r.Version, r.Group, r.ProtocolType, r.MemberID = 3, group, "consumer", s.members[group].id
		r.SessionTimeoutMillis, r.RebalanceTimeoutMillis = int32(sessionTimeout.Milliseconds()), 60_000
		r.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: make([]byte, 10)}}
		joined := s.ask(0, r).(*kmsg.JoinGroupResponse)
		if joined.ErrorCode != 0 {
			return s.text(joined)
		}
		s.members[group] = member{joined.MemberID, joined.Generation}
		sync := kmsg.NewPtrSyncGroupRequest()
		sync.Version, sync.Group, sync.MemberID, sync.Generation = 2, group, joined.MemberID, joined.Generation
		sync.GroupAssignment = []kmsg.SyncGroupRequestGroupAssignment{{MemberID: joined.MemberID,
			MemberAssignment: []byte("all")}}
		return s.text(joined) + "\n" + s.text(s.ask(0, sync))
	}}
}

func (h *history) heartbeat() *step {
	group := pick(h, historyGroups)
	return &step{text: "heartbeat in " + group, request: func(s *side) kmsg.Request {
		r := kmsg.NewPtrHeartbeatRequest()
		r.Version, r.Group, r.MemberID, r.Generation = 2, group, s.members[group].id, s.members[group].generation
		return r
	}}
}

func (h *history) leave() *step {
	group := pick(h, historyGroups)
	return &step{text: "leave " + group, answer: func(s *side) string { return s.leave(group) }}
}

func (s *side) leave(group string) string {
	r := kmsg.NewPtrLeaveGroupRequest()
	r.Version, r.Group, r.MemberID = 1, group, s.members[group].id
	delete(s.members, group)
	return s.text(s.ask(0, r))
}

func (h *history) deleteGroup() *step {
	r := kmsg.NewPtrDeleteGroupsRequest()
	r.Version, r.Groups = 2, []string{pick(h, historyGroups)}
	return h.asked("delete "+r.Groups[0], r)
}

func (h *history) deleteOffset() *step {
	at := h.place()
	r := kmsg.NewPtrOffsetDeleteRequest()
	r.Group = pick(h, historyGroups)
	r.Topics = []kmsg.OffsetDeleteRequestTopic{{Topic: at.Topic,
		Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: at.Partition}}}}
	return h.asked(fmt.Sprintf("delete the offset of %s for %v", r.Group, at), r)
}

// advance moves the clocks: by a moment, beyond the timeouts of transactions, or beyond those of producers and groups,
// which members leave before.
func (h *history) advance() *step {
	d := time.Duration(h.IntN(2000)) * time.Millisecond
	switch h.IntN(12) {
	case 0, 1:
		d = time.Duration(h.IntN(80)) * time.Second
	case 2:
		d = time.Duration(h.IntN(30)) * time.Hour
		h.forgets = h.forgets || h.now+d > 20*time.Hour
	}
	h.now += d
	return &step{text: fmt.Sprint("let ", d, " pass"), answer: func(s *side) string {
		var b strings.Builder
		if d > time.Second {
			for _, group := range historyGroups {
				b.WriteString(s.leave(group))
			}
		}
		return b.String() + s.advance(d)
	}}
}

// advance moves the side's clock and returns which transactions have timed out: what else is done depends on sizes of
// segments and numbers of partitions.
func (s *side) advance(d time.Duration) string {
	var b strings.Builder
	for _, e := range s.env.Clock.Advance(d) {
		if e.What == "aborted transaction" {
			fmt.Fprintln(&b, e.At.Sub(metamorphicStart), e.What, e.Attributes)
		}
	}
	s.awaitEnds()
	return b.String()
}

// awaitEnds waits until no transaction is being ended, and until readers see all: when a transaction times out, nobody
// waits for what is written then, which in fsync goes by barriers in real time.
func (s *side) awaitEnds() {
	r := kmsg.NewPtrListTransactionsRequest()
	r.StateFilters = []string{"PrepareCommit", "PrepareAbort"}
	for len(s.ask(0, r).(*kmsg.ListTransactionsResponse).TransactionStates) > 0 {
	}
	if err := s.c.engine().barrier.Checkpoint(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}
