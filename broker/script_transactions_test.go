package broker_test

import (
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/inspect/inspecttest"
	"once/internal/script"
)

// closed is the answer of a broker that closed the connection.
const closed = "closed"

// commands are what scripts can ask; see each for its arguments. id defaults to t, the group to g. All of them go over
// one connection; conn=NAME names another one.
var commands = map[string]func(*peer, script.Command) string{
	"api-versions":   (*peer).apiVersions,
	"topic":          (*peer).createTopic,
	"init":           (*peer).initProducerID,
	"add-partitions": (*peer).addPartitions,
	"add-offsets":    (*peer).addOffsets,
	"produce":        (*peer).produce,
	"end":            (*peer).endTxn,
	"markers":        (*peer).writeMarkers,
	"txn-commit":     (*peer).txnOffsetCommit,
	"offset-commit":  (*peer).offsetCommit,
	"offset-fetch":   (*peer).offsetFetch,
	"offset-delete":  (*peer).offsetDelete,
	"fetch":          (*peer).fetch,
	"log":            (*peer).showLog,
	"offsets":        (*peer).listOffsets,
	"describe-txn":   (*peer).describeTxn,
	"list-txns":      (*peer).listTxns,
	"producers":      (*peer).describeProducers,
	"coordinator":    (*peer).findCoordinator,
	"restart":        (*peer).restart,
}

// apiVersions: api-versions [version=V] [software=NAME]
func (p *peer) apiVersions(c script.Command) string {
	r := kmsg.NewPtrApiVersionsRequest()
	r.Version = int16(p.int(c, "version", 0))
	r.ClientSoftwareName, r.ClientSoftwareVersion = c.String("software", ""), "1.0"
	return code(p.ask(r).(*kmsg.ApiVersionsResponse).ErrorCode)
}

// createTopic: topic NAME [partitions=N] [set=[name:value …]]
func (p *peer) createTopic(c script.Command) string {
	r := kmsg.NewPtrCreateTopicsRequest()
	r.Version = 7
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic = c.Args[0].Name + p.suffix
	t.NumPartitions, t.ReplicationFactor = int32(p.int(c, "partitions", 1)), 1
	for _, kv := range c.List("set") {
		k, v, _ := strings.Cut(kv, ":")
		t.Configs = append(t.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: k, Value: &v})
	}
	r.Topics = append(r.Topics, t)
	resp := p.ask(r).(*kmsg.CreateTopicsResponse)
	p.formerID = p.topicIDs[t.Topic]
	p.topicIDs[t.Topic] = resp.Topics[0].TopicID
	if p.own == nil && resp.Topics[0].ErrorCode == 0 {
		p.awaitLeaders(t.Topic, max(1, t.NumPartitions))
	}
	return code(resp.Topics[0].ErrorCode)
}

// awaitLeaders waits until all partitions answer, which takes Kafka a while after the topic is created.
func (p *peer) awaitLeaders(topic string, partitions int32) {
	for i := int32(0); i < partitions; {
		r := kmsg.NewPtrListOffsetsRequest()
		r.Version, r.ReplicaID = 7, -1
		rp := kmsg.NewListOffsetsRequestTopicPartition()
		rp.Partition, rp.Timestamp = i, -1
		r.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: topic, Partitions: []kmsg.ListOffsetsRequestTopicPartition{rp}}}
		if p.ask(r).(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0].ErrorCode == 0 {
			i++
		}
	}
}

// initProducerID: init [id=t] [producer=p epoch=E] [timeout=MS] [version=V] [idempotent]
func (p *peer) initProducerID(c script.Command) string {
	r := kmsg.NewPtrInitProducerIDRequest()
	r.Version = int16(p.int(c, "version", 4))
	id := p.id(c)
	r.TransactionalID = &id
	if c.Has("idempotent") {
		r.TransactionalID = nil
	}
	r.TransactionTimeoutMillis = int32(p.int(c, "timeout", 60000))
	r.ProducerID, r.ProducerEpoch = p.producer(c), int16(p.int(c, "epoch", -1))
	resp := p.ask(r).(*kmsg.InitProducerIDResponse)
	if resp.ErrorCode != 0 {
		return code(resp.ErrorCode)
	}
	return producerAt(p, resp.ProducerID, resp.ProducerEpoch)
}

// addPartitions: add-partitions [id=t] producer=p epoch=E to=[x-0 …] [version=V]
func (p *peer) addPartitions(c script.Command) string {
	r := kmsg.NewPtrAddPartitionsToTxnRequest()
	r.Version = int16(p.int(c, "version", 3))
	r.TransactionalID, r.ProducerID, r.ProducerEpoch = p.id(c), p.producer(c), int16(p.int(c, "epoch", 0))
	for _, place := range c.List("to") {
		topic, i := p.place(place)
		t := kmsg.NewAddPartitionsToTxnRequestTopic()
		t.Topic, t.Partitions = topic, []int32{i}
		r.Topics = append(r.Topics, t)
	}
	resp, ok := p.ask(r).(*kmsg.AddPartitionsToTxnResponse)
	if !ok {
		return closed
	}
	var out []string
	for _, t := range resp.Topics {
		for _, rp := range t.Partitions {
			out = append(out, fmt.Sprintf("%s-%d %s", p.plainName(t.Topic), rp.Partition, code(rp.ErrorCode)))
		}
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

// addOffsets: add-offsets [id=t] producer=p epoch=E [group=g] [version=V]
func (p *peer) addOffsets(c script.Command) string {
	r := kmsg.NewPtrAddOffsetsToTxnRequest()
	r.Version = int16(p.int(c, "version", 3))
	r.TransactionalID, r.ProducerID, r.ProducerEpoch = p.id(c), p.producer(c), int16(p.int(c, "epoch", 0))
	r.Group = p.group(c)
	resp, ok := p.ask(r).(*kmsg.AddOffsetsToTxnResponse)
	if !ok {
		return closed
	}
	return code(resp.ErrorCode)
}

// produce: produce to=x-0 [id=t] producer=p epoch=E sequence=S [records=N] [version=V] [plain] [no-id]
// [time=MS] [step=MS] [no-key] [key=K] [acks=A]. Without plain the batch is transactional.
func (p *peer) produce(c script.Command) string {
	answer := p.ask(p.produceRequest(c, c))
	if answer == nil {
		return closed
	}
	return producedTo(&answer.(*kmsg.ProduceResponse).Topics[0].Partitions[0])
}

// endTxn: end [id=t] producer=p epoch=E commit|abort [version=V]. An answer of NONE is waited behind
// until the coordinator has completed the transaction, because Kafka answers before it has.
func (p *peer) endTxn(c script.Command) string {
	r := kmsg.NewPtrEndTxnRequest()
	r.Version = int16(p.int(c, "version", 5))
	r.TransactionalID, r.ProducerID, r.ProducerEpoch, r.Commit = p.id(c), p.producer(c), int16(p.int(c, "epoch", 0)),
		c.Has("commit")
	resp, ok := p.ask(r).(*kmsg.EndTxnResponse)
	if !ok {
		return closed
	}
	if resp.ErrorCode != 0 {
		return code(resp.ErrorCode)
	}
	if p.own == nil {
		for strings.Contains(p.describeTxn(c), "Prepare") {
		}
	}
	if r.Version < 5 {
		return "NONE"
	}
	return "NONE " + producerAt(p, resp.ProducerID, resp.ProducerEpoch)
}

// writeMarkers: markers commit|abort producer=p epoch=E to=[x-0 …] [coordinator=C] [transaction-version=T] [version=V]
func (p *peer) writeMarkers(c script.Command) string {
	r := kmsg.NewPtrWriteTxnMarkersRequest()
	r.Version = int16(p.int(c, "version", 2))
	m := kmsg.NewWriteTxnMarkersRequestMarker()
	m.ProducerID, m.ProducerEpoch, m.Committed = p.producer(c), int16(p.int(c, "epoch", 0)), c.Has("commit")
	m.CoordinatorEpoch, m.TransactionVersion = int32(p.int(c, "coordinator", 0)), int8(p.int(c, "transaction-version", 0))
	for _, place := range c.List("to") {
		topic, i := p.place(place)
		t := kmsg.NewWriteTxnMarkersRequestMarkerTopic()
		t.Topic, t.Partitions = topic, []int32{i}
		m.Topics = append(m.Topics, t)
	}
	r.Markers = append(r.Markers, m)
	var out []string
	for _, rm := range p.ask(r).(*kmsg.WriteTxnMarkersResponse).Markers {
		for _, t := range rm.Topics {
			for _, rp := range t.Partitions {
				out = append(out, fmt.Sprintf("%s-%d %s", p.plainName(t.Topic), rp.Partition, code(rp.ErrorCode)))
			}
		}
	}
	return strings.Join(out, "\n")
}

// describeTxn: describe-txn [id=t]
func (p *peer) describeTxn(c script.Command) string {
	r := kmsg.NewPtrDescribeTransactionsRequest()
	r.TransactionalIDs = []string{p.id(c)}
	s := p.ask(r).(*kmsg.DescribeTransactionsResponse).TransactionStates[0]
	if s.ErrorCode != 0 {
		return code(s.ErrorCode)
	}
	var places []string
	for _, t := range s.Topics {
		for _, i := range t.Partitions {
			places = append(places, fmt.Sprintf("%s-%d", p.plainName(t.Topic), i))
		}
	}
	slices.Sort(places)
	return fmt.Sprintf("%s %s timeout=%d %v started=%v", s.State, producerAt(p, s.ProducerID, s.ProducerEpoch),
		s.TimeoutMillis, places, s.StartTimestamp > 0)
}

// listTxns: list-txns [states=[…]] [duration=MS] [pattern=P] [version=V]: those of this script
func (p *peer) listTxns(c script.Command) string {
	r := kmsg.NewPtrListTransactionsRequest()
	r.Version = int16(p.int(c, "version", 2))
	r.StateFilters = c.List("states")
	r.DurationFilterMillis = p.int(c, "duration", -1)
	if c.Has("pattern") {
		pattern := c.String("pattern", "")
		r.TransactionalIDPattern = &pattern
	}
	resp := p.ask(r).(*kmsg.ListTransactionsResponse)
	if resp.ErrorCode != 0 {
		return code(resp.ErrorCode)
	}
	var out []string
	for _, s := range resp.TransactionStates {
		if strings.HasSuffix(s.TransactionalID, p.suffix) {
			out = append(out, fmt.Sprintf("%s %s %s", p.plainName(s.TransactionalID), p.letter(s.ProducerID),
				s.TransactionState))
		}
	}
	slices.Sort(out)
	if len(resp.UnknownStateFilters) > 0 {
		out = append(out, fmt.Sprintf("unknown states %v", resp.UnknownStateFilters))
	}
	if len(out) == 0 {
		return "none"
	}
	return strings.Join(out, "\n")
}

// describeProducers: producers of=x-0
func (p *peer) describeProducers(c script.Command) string {
	topic, i := p.place(c.String("of", "x-0"))
	r := kmsg.NewPtrDescribeProducersRequest()
	r.Topics = []kmsg.DescribeProducersRequestTopic{{Topic: topic, Partitions: []int32{i}}}
	rp := p.ask(r).(*kmsg.DescribeProducersResponse).Topics[0].Partitions[0]
	if rp.ErrorCode != 0 {
		return code(rp.ErrorCode)
	}
	var out []string
	for _, a := range rp.ActiveProducers {
		out = append(out, fmt.Sprintf("%s last_sequence=%d txn_start=%d", producerAt(p, a.ProducerID, int16(a.ProducerEpoch)),
			a.LastSequence, a.CurrentTxnStartOffset))
	}
	if len(out) == 0 {
		return "none"
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

// findCoordinator: coordinator [keys=[…]] [type=0|1] [version=V]: the code for each key
func (p *peer) findCoordinator(c script.Command) string {
	r := kmsg.NewPtrFindCoordinatorRequest()
	r.Version = int16(p.int(c, "version", 4))
	r.CoordinatorType = int8(p.int(c, "type", 0))
	r.CoordinatorKeys = c.List("keys")
	var out []string
	for _, rc := range p.ask(r).(*kmsg.FindCoordinatorResponse).Coordinators {
		out = append(out, fmt.Sprintf("%s %s", rc.Key, code(rc.ErrorCode)))
	}
	return strings.Join(out, "\n")
}

// restart: restart [kill] [set=[name:value …]]: stops this broker and starts it on the same data. With
// kill the data directory is copied as it is while the broker runs, which is what a killed process leaves.
func (p *peer) restart(c script.Command) string {
	p.hangUp()
	p.settings = map[string]string{}
	for _, kv := range c.List("set") {
		k, v, _ := strings.Cut(kv, ":")
		p.settings[k] = v
	}
	if c.Has("kill") {
		p.dir = copyOf(p.t, p.dir)
	}
	if err := p.own.Close(); err != nil {
		p.t.Fatal(err)
	}
	inspecttest.RequireClean(p.t, p.dir, byHand...)
	p.start()
	return "ok"
}
