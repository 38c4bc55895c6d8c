package inspect_test

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/log/batch"
	"once/wire"
)

// answers are what clients get to see of a cluster.
type answers struct {
	partitions map[string]*partitionAnswers
	offsets    map[string]int64 // committed, by group
	ids        map[string]string
}

// partitionAnswers are what clients get to see of a partition.
type partitionAnswers struct {
	code               wire.Code // of the refusal
	start, end, stable int64
	records            []sweepRecord
	leaderEpochs       string
	producers          string
	// reads from each offset, lookups of each timestamp; of the partitions that are looked at closely
	looks []string
	wrong string // what no client is to get
}

// sweepRecord is a record, and whether a reader of committed records sees it.
type sweepRecord struct {
	offset    int64
	timestamp int64
	key       string
	value     string
	visible   bool
}

var sweepGroups = map[string]string{"staged": "pay", "dropped": "pay", "plain": "plain"}

// answers reads everything; partitions in close are read from each offset.
func (h *host) answers(ids []string, close func(partition string) bool) *answers {
	a := &answers{partitions: map[string]*partitionAnswers{}, offsets: map[string]int64{}, ids: map[string]string{}}
	for _, name := range sweepPartitions {
		a.partitions[name] = h.readPartition(strings.TrimSuffix(name, "-0"), close(name))
	}
	for group, topic := range sweepGroups {
		r := kmsg.NewPtrOffsetFetchRequest()
		r.Version, r.Group = 7, group
		r.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: topic, Partitions: []int32{0}}}
		a.offsets[group] = h.ask(r).(*kmsg.OffsetFetchResponse).Topics[0].Partitions[0].Offset
	}
	r := kmsg.NewPtrDescribeTransactionsRequest()
	r.TransactionalIDs = ids
	for _, d := range h.ask(r).(*kmsg.DescribeTransactionsResponse).TransactionStates {
		a.ids[d.TransactionalID] = fmt.Sprint(wire.Code(d.ErrorCode), d.State, d.ProducerID, d.ProducerEpoch, d.Topics)
	}
	return a
}

// fetch reads from an offset.
func (h *host) fetch(topic string, from int64, committed bool) kmsg.FetchResponseTopicPartition {
	r := kmsg.NewPtrFetchRequest()
	r.Version, r.ReplicaID, r.MaxBytes, r.SessionEpoch = 12, -1, 1<<20, -1
	if committed {
		r.IsolationLevel = 1
	}
	p := kmsg.NewFetchRequestTopicPartition()
	p.FetchOffset, p.PartitionMaxBytes = from, 1<<20
	r.Topics = []kmsg.FetchRequestTopic{{Topic: topic, Partitions: []kmsg.FetchRequestTopicPartition{p}}}
	return h.ask(r).(*kmsg.FetchResponse).Topics[0].Partitions[0]
}

func (h *host) listOffset(topic string, timestamp int64) (int64, wire.Code) {
	r := kmsg.NewPtrListOffsetsRequest()
	r.Version, r.ReplicaID = 5, -1
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Timestamp = timestamp
	r.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: topic, Partitions: []kmsg.ListOffsetsRequestTopicPartition{p}}}
	got := h.ask(r).(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0]
	return got.Offset, wire.Code(got.ErrorCode)
}

func (h *host) readPartition(topic string, close bool) *partitionAnswers {
	p := &partitionAnswers{}
	if p.start, p.code = h.listOffset(topic, -2); p.code != wire.NoError {
		return p
	}
	h.walk(topic, false, p)
	if p.code != wire.NoError || p.wrong != "" {
		return p
	}
	h.walk(topic, true, p)
	if p.code == wire.NoError {
		p.producers = h.producers(topic)
	}
	if p.code == wire.NoError && close {
		h.lookClosely(topic, p)
	}
	return p
}

// walk reads a log as a consumer does, who tells aborted records by the list of aborted transactions.
func (h *host) walk(topic string, committed bool, p *partitionAnswers) {
	for next := p.start; p.wrong == ""; {
		got := h.fetch(topic, next, committed)
		if p.code = wire.Code(got.ErrorCode); p.code != wire.NoError {
			return
		}
		p.end, p.stable = got.HighWatermark, got.LastStableOffset
		if len(got.RecordBatches) == 0 {
			if reads := map[bool]int64{false: p.end, true: p.stable}[committed]; next < reads {
				p.wrong = fmt.Sprintf("nothing at %d, where %d can be read", next, reads)
			}
			return
		}
		aborted := newAbortedReader(got.AbortedTransactions)
		for rest := got.RecordBatches; len(rest) > 0; {
			var b batch.Header
			var raw []byte
			var err error
			b, raw, rest, err = nextBatch(rest)
			if err == nil && b.NextOffset() <= next {
				err = fmt.Errorf("offsets %d to %d where %d was asked for", b.BaseOffset, b.LastOffset(), next)
			}
			if err != nil {
				p.wrong = fmt.Sprintf("behind %d: %v", next, err)
				return
			}
			p.take(b, raw, committed, aborted.hides(b))
			next = b.NextOffset()
		}
	}
}

// nextBatch takes the first batch off.
func nextBatch(all []byte) (h batch.Header, raw, rest []byte, err error) {
	if h, err = batch.ParseHeader(all); err != nil || h.SizeBytes() > len(all) {
		return h, nil, nil, fmt.Errorf("no whole batch: %v", err)
	}
	raw, rest = all[:h.SizeBytes()], all[h.SizeBytes():]
	_, err = batch.Verify(raw)
	return h, raw, rest, err
}

// abortedReader does what a consumer does with the list of aborted transactions.
type abortedReader struct {
	ahead []kmsg.FetchResponseTopicPartitionAbortedTransaction
	open  map[int64]bool // producer IDs
}

func newAbortedReader(list []kmsg.FetchResponseTopicPartitionAbortedTransaction) *abortedReader {
	return &abortedReader{slices.Clone(list), map[int64]bool{}}
}

func (a *abortedReader) hides(b batch.Header) bool {
	a.ahead = slices.DeleteFunc(a.ahead, func(x kmsg.FetchResponseTopicPartitionAbortedTransaction) bool {
		due := x.FirstOffset <= b.LastOffset()
		if due {
			a.open[x.ProducerID] = true
		}
		return due
	})
	if b.IsControl() {
		delete(a.open, b.ProducerID)
	}
	return b.IsTransactional() && a.open[b.ProducerID]
}

func (p *partitionAnswers) take(b batch.Header, raw []byte, committed, hidden bool) {
	if !committed {
		p.leaderEpochs += fmt.Sprintf("%d:%d ", b.BaseOffset, b.LeaderEpoch)
	}
	if b.IsControl() {
		return
	}
	for r, err := range batch.Records(raw, 1<<20) {
		if err != nil {
			p.wrong = err.Error()
			return
		}
		record := sweepRecord{b.BaseOffset + int64(r.OffsetDelta), b.TimestampMs(r), string(r.Key), string(r.Value), false}
		if !committed {
			p.records = append(p.records, record)
			continue
		}
		i := slices.Index(p.records, record)
		if i < 0 {
			p.wrong = fmt.Sprintf("%+v is read as committed, and else not", record)
			return
		}
		p.records[i].visible = !hidden
	}
}

func (h *host) producers(topic string) string {
	r := kmsg.NewPtrDescribeProducersRequest()
	r.Topics = []kmsg.DescribeProducersRequestTopic{{Topic: topic, Partitions: []int32{0}}}
	var all []string
	for _, p := range h.ask(r).(*kmsg.DescribeProducersResponse).Topics[0].Partitions[0].ActiveProducers {
		all = append(all, fmt.Sprint(p.ProducerID, p.ProducerEpoch, p.LastSequence, p.CurrentTxnStartOffset))
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// lookClosely reads from each offset, and looks each timestamp and each leader epoch up.
func (h *host) lookClosely(topic string, p *partitionAnswers) {
	for offset := p.start; offset < p.end; offset++ {
		got := h.fetch(topic, offset, true)
		aborted, text := newAbortedReader(got.AbortedTransactions), "nothing"
		for rest := got.RecordBatches; len(rest) > 0; { // of batches: how many there are goes by segments
			b, one, next, err := nextBatch(rest)
			if err != nil {
				p.wrong = fmt.Sprintf("from %d: %v", offset, err)
				return
			}
			if hidden := aborted.hides(b); b.NextOffset() > offset {
				clear(one[12:16]) // the leader epoch
				text = fmt.Sprintf("%x hidden=%v", sha256.Sum256(one), hidden)
				break
			}
			rest = next
		}
		p.looks = append(p.looks, fmt.Sprintf("from %d: %v %s", offset, wire.Code(got.ErrorCode), text))
	}
	for _, r := range p.records {
		at, code := h.listOffset(topic, r.timestamp)
		p.looks = append(p.looks, fmt.Sprintf("time of %d: %d %v", r.offset, at, code))
	}
	for epoch := range int32(4) {
		r := kmsg.NewPtrOffsetForLeaderEpochRequest()
		r.Version, r.ReplicaID = 3, -1
		rp := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
		rp.LeaderEpoch = epoch
		r.Topics = []kmsg.OffsetForLeaderEpochRequestTopic{{Topic: topic,
			Partitions: []kmsg.OffsetForLeaderEpochRequestTopicPartition{rp}}}
		got := h.ask(r).(*kmsg.OffsetForLeaderEpochResponse).Topics[0].Partitions[0]
		p.looks = append(p.looks, fmt.Sprintf("epoch %d: %d ends at %d", epoch, got.LeaderEpoch, got.EndOffset))
	}
}

const (
	appendedValue = "appended" // of the record that is appended after a start
	retriedKey    = "above"    // in the batch that is sent again
)

// produceOne appends a record.
func (h *host) produceOne(topic string) (offset int64, code wire.Code) {
	o := batch.BuildOptions{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1, LeaderEpoch: -1,
		TimestampMs: time.Now().UnixMilli()}
	r := kmsg.NewPtrProduceRequest()
	r.Version, r.Acks, r.TimeoutMillis = 12, -1, 10_000
	t := kmsg.NewProduceRequestTopic()
	t.Topic = topic
	t.Partitions = []kmsg.ProduceRequestTopicPartition{{Records: batch.Build(o,
		batch.Record{Key: []byte("k"), Value: []byte(appendedValue)})}}
	r.Topics = append(r.Topics, t)
	p := h.ask(r).(*kmsg.ProduceResponse).Topics[0].Partitions[0]
	return p.BaseOffset, wire.Code(p.ErrorCode)
}

// initProducer begins a new life of a transactional ID, which ends what it has open.
func (h *host) initProducer(id string) (resp *kmsg.InitProducerIDResponse) {
	r := kmsg.NewPtrInitProducerIDRequest()
	r.Version, r.TransactionalID, r.TransactionTimeoutMillis = 4, &id, 60_000
	for range 100 {
		resp = h.ask(r).(*kmsg.InitProducerIDResponse)
		if wire.Code(resp.ErrorCode) != wire.ConcurrentTransactions {
			break
		}
	}
	return resp
}
