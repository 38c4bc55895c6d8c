package handlers

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/log/batch"
	"once/partition"
	"once/topics"
	"once/wire"
)

// Produce v3 to v13. v5 log start offset, v7 zstd, v8 errors of single records (KIP-467), v9 flexible,
// v10 current leader (KIP-951), v11 TRANSACTION_ABORTABLE, v12 a transactional batch adds its
// partition to the transaction (KIP-890), v13 topic IDs (KIP-516).
//
// The appends happen in order; waiting for the disk happens beside the connection's next Produce. Waiting for the
// producer's last transaction happens before the next Produce, while the connection is still read.
func (s *Services) produce(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.ProduceRequest), response[*kmsg.ProduceResponse](r)
	p := &producing{s: s, r: r, req: req, resp: resp, version: r.Version}
	p.collect()
	p.check()
	enlistment := p.enlistment()
	if enlistment == nil {
		return p.carryOut()
	}
	if !s.Txns.Enlist(enlistment) {
		p.takeGuards(enlistment)
		return p.carryOut()
	}
	return wire.Reply{Resume: func(ctx context.Context) wire.Reply {
		s.Txns.EnlistAgain(ctx, enlistment)
		p.takeGuards(enlistment)
		return p.carryOut()
	}}
}

// carryOut appends the batches without an error, and answers.
func (p *producing) carryOut() wire.Reply {
	p.append()
	p.fill()
	if p.req.Acks == 0 {
		// There is no answer; after an error the connection is closed, so that the client refreshes its metadata.
		return wire.Reply{Close: p.failed()}
	}
	if !p.waits() {
		return wire.Respond(produceResponse{p.resp})
	}
	timeout := time.Duration(max(0, p.req.TimeoutMillis)) * time.Millisecond
	return wire.Reply{Then: func(ctx context.Context) kmsg.Response {
		timer := time.NewTimer(timeout)
		defer timer.Stop()
		p.wait(ctx, timer.C)
		return produceResponse{p.resp}
	}}
}

// producing is the state of one Produce request.
type producing struct {
	s       *Services
	r       *wire.Request
	req     *kmsg.ProduceRequest
	resp    *kmsg.ProduceResponse
	version int16
	parts   []producePartition
}

// producePartition is one partition of a request. Its first error decides the code.
type producePartition struct {
	topic     string
	raw       []byte
	header    batch.Header
	partition *partition.Partition // nil when there is none
	guard     partition.Guard
	tried     bool // to append
	code      wire.Code
	err       error // what the answer says beside code, where Kafka says something
	appended  partition.Appended
	resp      *kmsg.ProduceResponseTopicPartition
}

func (p *producePartition) fail(code wire.Code, err error) {
	if p.code == wire.NoError {
		p.code, p.err = code, err
	}
}

// mergeProduced merges the entries for one partition: the last one is appended.
func mergeProduced(asked []kmsg.ProduceRequestTopic) []kmsg.ProduceRequestTopic {
	asked = mergeBy(asked,
		func(t *kmsg.ProduceRequestTopic) topicKey { return topicKey{t.Topic, t.TopicID} },
		func(into, more *kmsg.ProduceRequestTopic) {
			into.Partitions = append(into.Partitions, more.Partitions...)
		})
	for i := range asked {
		t := &asked[i]
		t.Partitions = lastOfEach(t.Partitions, func(p *kmsg.ProduceRequestTopicPartition) int32 { return p.Partition })
	}
	return asked
}

// collect prepares the response and finds the partitions (spec: log 4.2 rows 2 to 4).
func (p *producing) collect() {
	resp := p.resp
	p.req.Topics = mergeProduced(p.req.Topics)
	resp.Topics = make([]kmsg.ProduceResponseTopic, len(p.req.Topics))
	count := 0
	for i := range p.req.Topics {
		count += len(p.req.Topics[i].Partitions)
	}
	p.parts = make([]producePartition, 0, count)
	for i := range p.req.Topics {
		asked, rt := &p.req.Topics[i], &resp.Topics[i]
		rt.Topic, rt.TopicID = asked.Topic, asked.TopicID
		rt.Partitions = make([]kmsg.ProduceResponseTopicPartition, len(asked.Partitions))
		var topic *topics.Topic
		var missing wire.Code
		if p.version >= 13 {
			topic, missing = p.s.Catalogue.TopicByID(asked.TopicID)
		} else {
			topic, missing = p.s.Catalogue.Topic(asked.Topic)
		}
		for j := range asked.Partitions {
			rp := &rt.Partitions[j]
			rp.Default()
			rp.Partition, rp.BaseOffset, rp.LogStartOffset = asked.Partitions[j].Partition, -1, -1
			part := producePartition{raw: asked.Partitions[j].Records, resp: rp}
			code := missing
			if code == wire.NoError {
				part.partition, code = partitionOf(topic, rp.Partition)
				part.topic = topic.Name
			}
			if code != wire.NoError {
				part.fail(code, nil)
			}
			p.parts = append(p.parts, part)
		}
	}
}

// asIs are the rules for batch.Validate when only the batch itself is checked, not its records.
var asIs = batch.DefaultRules()

// check checks each batch's header, and that the batches of the request fit together (log 4.2 rows 1, 5, 7).
func (p *producing) check() {
	var producerID int64
	var producerEpoch int16
	transactional, known, mixed := false, false, false
	for i := range p.parts {
		part := &p.parts[i]
		h, err := batch.ParseHeader(part.raw)
		if err != nil || h.Magic != batch.Magic || h.SizeBytes() != len(part.raw) {
			_, err = batch.Validate(part.raw, &asIs, 0) // says what is wrong
			code := codeFor(err, int16(kmsg.Produce), p.version)
			if code != wire.CorruptMessage { // bytes that are no batch fail Kafka's request, and are told why
				err = nil
			}
			part.fail(code, err)
			continue
		}
		part.header = h
		if !h.IsTransactional() {
			continue
		}
		transactional = true
		if part.partition == nil { // it does not count as a second producer
			continue
		}
		if !h.HasProducer() {
			part.fail(wire.InvalidRecord, nil)
			continue
		}
		if known && (h.ProducerID != producerID || h.ProducerEpoch != producerEpoch) {
			mixed = true
		}
		known, producerID, producerEpoch = true, h.ProducerID, h.ProducerEpoch
	}
	if !transactional {
		return
	}
	for i := range p.parts {
		part := &p.parts[i]
		if p.req.TransactionID == nil {
			part.code, part.err = wire.TransactionalIDAuthorizationFailed, nil
		} else if mixed { // whatever else is wrong
			part.code, part.err = wire.InvalidProducerIDMapping, errors.New("the request mixes several transactional producers")
		}
	}
}

// append appends the batches without an error (log 4.2 rows 9, 10, 13 to 22).
func (p *producing) append() {
	for i := range p.parts {
		part := &p.parts[i]
		switch {
		case part.code != wire.NoError:
			continue
		case p.req.Acks < -1 || p.req.Acks > 1:
			part.fail(wire.InvalidRequiredAcks, nil)
			continue
		case topics.IsInternal(part.topic) && p.r.ClientID != adminClientID:
			part.fail(wire.InvalidTopicException, nil)
			continue
		}
		appended, err := part.partition.AppendClient(part.raw, part.guard, p.version)
		part.appended, part.tried = appended, true
		if appended.SequencesBegan {
			p.s.Findings.SequencesBegan(clientOf(context.Background(), p.r), part.header.ProducerID,
				part.header.ProducerEpoch, part.topic, part.resp.Partition)
		}
		if err != nil {
			code := codeFor(err, int16(kmsg.Produce), p.version)
			var failed *batch.RecordErrors
			if !errors.As(err, &failed) {
				err = nil
			}
			part.fail(code, err)
		}
	}
}

// adminClientID is the client ID that Kafka lets write to internal topics.
const adminClientID = "__admin_client"

// fill writes the results into the response.
func (p *producing) fill() {
	for i := range p.parts {
		part := &p.parts[i]
		rp := part.resp
		rp.ErrorCode = int16(part.code)
		if part.tried && !withoutLogStart(part.code) {
			rp.LogStartOffset = part.partition.LogStartOffset()
		}
		if part.code == wire.NoError {
			rp.BaseOffset, rp.LogAppendTime = part.appended.BaseOffset, part.appended.LogAppendTimeMs
			continue
		}
		rp.LogAppendTime = -1
		if part.err != nil && p.version >= 8 {
			rp.ErrorMessage = errorMessage(part.err.Error())
			rp.ErrorRecords = recordErrors(part.err)
		}
	}
}

// withoutLogStart says whether Kafka leaves out the log start offset of a failed append, as it does when the append was
// not tried.
func withoutLogStart(code wire.Code) bool {
	switch code {
	case wire.CorruptMessage, wire.MessageTooLarge, wire.RecordListTooLarge, wire.KafkaStorageError:
		return true
	}
	return false
}

func recordErrors(err error) []kmsg.ProduceResponseTopicPartitionErrorRecord {
	list := []kmsg.ProduceResponseTopicPartitionErrorRecord{}
	var failed *batch.RecordErrors
	if !errors.As(err, &failed) {
		return list
	}
	for _, r := range failed.Records {
		e := kmsg.NewProduceResponseTopicPartitionErrorRecord()
		e.RelativeOffset, e.ErrorMessage = r.Index, errorMessage(r.Message)
		list = append(list, e)
	}
	return list
}

func (p *producing) failed() bool {
	for i := range p.parts {
		if p.parts[i].code != wire.NoError {
			return true
		}
	}
	return false
}

func (p *producing) waits() bool {
	for i := range p.parts {
		if p.parts[i].appended.Durable.Pending() {
			return true
		}
	}
	return false
}

// alreadyExpired is a timer channel whose time has passed.
var alreadyExpired = func() <-chan time.Time { c := make(chan time.Time); close(c); return c }()

// wait waits until the appends are durable. After a timeout the outcome is unknown: the records may be stored.
func (p *producing) wait(ctx context.Context, expired <-chan time.Time) {
	for i := range p.parts {
		part := &p.parts[i]
		if part.code != wire.NoError {
			continue
		}
		err := part.appended.Durable.WaitUntil(ctx, expired)
		switch {
		case err == nil:
			continue
		case errors.Is(err, context.DeadlineExceeded):
			part.resp.ErrorCode = int16(wire.RequestTimedOut)
			expired = alreadyExpired
		default:
			part.resp.ErrorCode = int16(wire.NotEnoughReplicasAfterAppend)
		}
		part.resp.BaseOffset, part.resp.LogAppendTime = -1, -1
	}
}

func aboutProduce(c Catalogue, r *wire.Request) Subjects {
	req := r.Body.(*kmsg.ProduceRequest)
	return Subjects{
		Transactions: transactionSubjects(req.TransactionID, noProducer),
		Topics: eachOf(req.Topics, func(t *kmsg.ProduceRequestTopic) TopicSubject {
			indexes := eachOf(t.Partitions, func(p *kmsg.ProduceRequestTopicPartition) int32 { return p.Partition })
			return c.subject(t.Topic, t.TopicID, r.Version >= 13, indexes)
		}),
	}
}
