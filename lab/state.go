package lab

import (
	"bytes"
	"context"
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/cluster"
	"once/faults"
	"once/groupcoordinator"
	"once/log/batch"
	"once/partition"
	"once/topics"
	"once/txncoordinator"
)

// TopicPartition names a partition.
type TopicPartition struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
}

// Transaction is a transactional ID and its last transaction.
type Transaction struct {
	TransactionalID string           `json:"transactionalId"`
	State           string           `json:"state"`
	ProducerID      int64            `json:"producerId"`
	ProducerEpoch   int16            `json:"producerEpoch"`
	Partitions      []TopicPartition `json:"partitions"`
	Timeout         faults.Duration  `json:"timeout"`
	Age             *faults.Duration `json:"age,omitempty"`      // while it is open
	TimeLeft        *faults.Duration `json:"timeLeft,omitempty"` // the same
	Transitions     []Transition     `json:"transitions"`
}

// Transition is a change of the state of a transactional ID.
type Transition struct {
	At            time.Time `json:"at"`
	State         string    `json:"state"`
	ProducerID    int64     `json:"producerId"`
	ProducerEpoch int16     `json:"producerEpoch"`
	Reason        string    `json:"reason"`
}

// Topic is a topic with its partitions.
type Topic struct {
	Name       string      `json:"name"`
	TopicID    string      `json:"topicId"`
	Internal   bool        `json:"internal"`
	Partitions []Partition `json:"partitions"`
}

// Partition is a partition with its offsets.
type Partition struct {
	Partition        int32  `json:"partition"`
	LogStartOffset   int64  `json:"logStartOffset"`
	LastStableOffset int64  `json:"lastStableOffset"`
	HighWatermark    int64  `json:"highWatermark"`
	LogEndOffset     int64  `json:"logEndOffset"`
	LeaderEpoch      int32  `json:"leaderEpoch"`
	SizeBytes        int64  `json:"sizeBytes"`
	Producers        int    `json:"producers"`
	OpenTransactions int    `json:"openTransactions"`
	Offline          string `json:"offline,omitempty"` // why it is
}

// Group is a group with its members and offsets.
type Group struct {
	ID           string   `json:"id"`
	Type         string   `json:"type"`
	State        string   `json:"state"`
	ProtocolType string   `json:"protocolType"`
	Protocol     string   `json:"protocol,omitempty"`
	Members      []Member `json:"members"`
	Offsets      []Offset `json:"offsets"`
	Lag          int64    `json:"lag"` // the sum over its offsets
}

// Member is a member of a group.
type Member struct {
	MemberID        string           `json:"memberId"`
	GroupInstanceID string           `json:"groupInstanceId,omitempty"`
	ClientID        string           `json:"clientId"`
	Host            string           `json:"host"`
	Assignment      []TopicPartition `json:"assignment"`
}

// Offset is a partition that a group has committed, or that is assigned to it. Lag counts the records that a
// read_committed reader still gets up to the last stable offset: no markers, and none that are aborted.
type Offset struct {
	TopicPartition
	Committed        int64  `json:"committed"` // -1: none
	Metadata         string `json:"metadata,omitempty"`
	Pending          bool   `json:"pending"` // an open transaction is about to change it
	LastStableOffset int64  `json:"lastStableOffset"`
	Lag              int64  `json:"lag"`
}

// Records are the batches of a partition from an offset on.
type Records struct {
	TopicPartition
	LogStartOffset   int64         `json:"logStartOffset"`
	LastStableOffset int64         `json:"lastStableOffset"`
	HighWatermark    int64         `json:"highWatermark"`
	NextOffset       int64         `json:"nextOffset"` // to go on from
	Batches          []RecordBatch `json:"batches"`
}

// RecordBatch is a batch, and what has become of it.
type RecordBatch struct {
	BaseOffset      int64    `json:"baseOffset"`
	LastOffset      int64    `json:"lastOffset"`
	Fate            string   `json:"fate"`
	Marker          string   `json:"marker,omitempty"` // COMMIT or ABORT
	ProducerID      int64    `json:"producerId"`
	ProducerEpoch   int16    `json:"producerEpoch"`
	BaseSequence    int32    `json:"baseSequence"`
	TransactionalID string   `json:"transactionalId,omitempty"`
	SizeBytes       int      `json:"sizeBytes"`
	Records         []Record `json:"records"`
}

// Record is a record. A key or value that is no text is {"base64": …}.
type Record struct {
	Offset    int64          `json:"offset"`
	Timestamp time.Time      `json:"timestamp"`
	Key       any            `json:"key"`
	Value     any            `json:"value"`
	Headers   []RecordHeader `json:"headers,omitempty"`
}

// RecordHeader is a header of a record.
type RecordHeader struct {
	Key   string `json:"key"`
	Value any    `json:"value"`
}

const (
	defaultRecords = 100
	maxRecords     = 1000
	maxRecordBytes = 8 << 20 // of one answer of /v1/records
)

func stateCalls() []call {
	return []call{
		on(http.MethodGet, "/transactions", "All transactional IDs, or a page of them; open=true: the open transactions, "+
			"the oldest first", viewing(listTransactions)).
			takes("open", "after", "limit"),
		on(http.MethodGet, "/transactions/{id}", "A transactional ID",
			viewing(func(x *exchange, v cluster.View) (Transaction, error) {
				return transactionIn(x.cluster, v, x.request.PathValue("id"))
			})),
		on(http.MethodGet, "/topics", "All topics with their partitions, or a page of them; open=true: those with an open "+
			"transaction", viewing(listTopics)).
			takes("open", "after", "limit"),
		on(http.MethodGet, "/topics/{topic}", "A topic with its partitions",
			viewing(func(x *exchange, v cluster.View) (Topic, error) {
				t, ok := v.Topics.Lookup(x.request.PathValue("topic"))
				if !ok {
					return Topic{}, fails(http.StatusNotFound, "there is no topic %q", x.request.PathValue("topic"))
				}
				return topicOf(t), nil
			})),
		on(http.MethodGet, "/groups", "All groups with their members, offsets and lag, or a page of them",
			viewing(listGroups)).takes("after", "limit"),
		on(http.MethodGet, "/groups/{id}", "A group", viewing(func(x *exchange, v cluster.View) (Group, error) {
			return groupIn(x.request.Context(), v, x.request.PathValue("id"))
		})),
		on(http.MethodGet, "/records/{topic}/{partition}", "Batches and records of a partition with their fate",
			viewing(recordsIn)).takes("from", "limit"),
	}
}

// viewing makes the function of a call that looks into the cluster.
func viewing[A any](f func(x *exchange, v cluster.View) (A, error)) func(x *exchange, _ *none) (A, error) {
	return func(x *exchange, _ *none) (answer A, err error) {
		v, ok := x.cluster.View()
		if !ok {
			return answer, errDown
		}
		defer v.End()
		return f(x, v)
	}
}

var errDown = fails(http.StatusServiceUnavailable, "the cluster is not open; POST /v1/restart opens it")

func transactionsIn(c *cluster.Cluster, v cluster.View) ([]Transaction, error) {
	listed, _, err := v.Txns.List(txncoordinator.ListFilter{DurationMs: -1})
	if err != nil {
		return nil, err
	}
	all := []Transaction{}
	for _, l := range listed {
		if t, err := transactionIn(c, v, l.TransactionalID); err == nil {
			all = append(all, t)
		}
	}
	return all, nil
}

func transactionIn(c *cluster.Cluster, v cluster.View, id string) (Transaction, error) {
	d, err := v.Txns.Describe(id)
	if err != nil {
		return Transaction{}, fails(http.StatusNotFound, "there is no transactional ID %q", id)
	}
	t := Transaction{
		TransactionalID: id, State: d.State.String(), ProducerID: d.ProducerID, ProducerEpoch: d.ProducerEpoch,
		Partitions: []TopicPartition{}, Timeout: faults.Duration(time.Duration(d.TimeoutMs) * time.Millisecond),
	}
	for _, p := range d.Partitions {
		t.Partitions = append(t.Partitions, TopicPartition{p.Topic, p.Partition})
	}
	t.Transitions = []Transition{}
	for _, c := range v.Txns.Transitions(id) {
		t.Transitions = append(t.Transitions, Transition{c.At.UTC(), c.State.String(), c.ProducerID, c.ProducerEpoch,
			c.Reason})
	}
	if !d.State.Idle() && d.StartTimestampMs >= 0 {
		age := faults.Duration(c.Clock().Now().Sub(time.UnixMilli(d.StartTimestampMs)).Round(time.Millisecond))
		left := t.Timeout - age
		t.Age, t.TimeLeft = &age, &left
	}
	return t, nil
}

func topicOf(t *topics.Topic) Topic {
	topic := Topic{Name: t.Name, TopicID: uuid(t.ID), Internal: t.Internal, Partitions: []Partition{}}
	for i, p := range t.Partitions() {
		topic.Partitions = append(topic.Partitions, partitionOf(int32(i), p))
	}
	return topic
}

// uuid writes an ID as Kafka's tools do not, but everybody else does.
func uuid(id [16]byte) string {
	text := hex.EncodeToString(id[:])
	return text[:8] + "-" + text[8:12] + "-" + text[12:16] + "-" + text[16:20] + "-" + text[20:]
}

func partitionOf(index int32, p *partition.Partition) Partition {
	o, err := p.Offsets()
	state := Partition{Partition: index, LogStartOffset: o.LogStartOffset, LastStableOffset: o.LastStableOffset,
		HighWatermark: o.HighWatermark,
		LogEndOffset:  o.LogEndOffset, LeaderEpoch: p.LeaderEpoch()}
	if err != nil {
		state.Offline = err.Error()
		return state
	}
	state.SizeBytes, state.Producers, state.OpenTransactions = p.SizeBytes(), p.ProducerCount(), p.OpenTransactions()
	return state
}

// groupIn describes a group. One that has only offsets has no state.
func groupIn(ctx context.Context, v cluster.View, id string) (Group, error) {
	g := Group{ID: id, Members: []Member{}, Offsets: []Offset{}}
	listed, err := v.Groups.List()
	if err != nil {
		return g, err
	}
	at := slices.IndexFunc(listed, func(l groupcoordinator.Listed) bool { return l.GroupID == id })
	if at < 0 {
		return g, fails(http.StatusNotFound, "there is no group %q", id)
	}
	g.Type, g.State, g.ProtocolType = listed[at].Type, listed[at].State, listed[at].ProtocolType
	if d, err := v.Groups.Describe(id); err == nil {
		g.Protocol = d.Protocol
		for _, m := range d.Members {
			g.Members = append(g.Members, memberOf(m))
		}
	}
	return g, g.addOffsets(ctx, v)
}

func memberOf(m groupcoordinator.MemberDescription) Member {
	member := Member{MemberID: m.MemberID, ClientID: m.ClientID, Host: m.ClientHost, Assignment: []TopicPartition{}}
	if m.InstanceID != nil {
		member.GroupInstanceID = *m.InstanceID
	}
	var a kmsg.ConsumerMemberAssignment
	if a.ReadFrom(m.Assignment) == nil { // other protocols than the consumers' have their own
		for _, t := range a.Topics {
			for _, p := range t.Partitions {
				member.Assignment = append(member.Assignment, TopicPartition{t.Topic, p})
			}
		}
	}
	return member
}

// addOffsets adds the committed and the assigned partitions with their lag.
func (g *Group) addOffsets(ctx context.Context, v cluster.View) error {
	fetched, err := v.Groups.FetchOffsets(&groupcoordinator.FetchRequest{GroupID: g.ID, All: true}).Wait(ctx)
	if err == nil {
		err = fetched.Err
	}
	if err != nil {
		return err
	}
	stable, err := v.Groups.FetchOffsets(&groupcoordinator.FetchRequest{GroupID: g.ID, All: true,
		RequireStable: true}).Wait(ctx)
	if err != nil {
		return err
	}
	seen := map[TopicPartition]bool{}
	for i, t := range fetched.Topics {
		for j, p := range t.Partitions {
			o := Offset{TopicPartition: TopicPartition{t.Topic, p.Partition}, Committed: p.Offset, Metadata: p.Metadata}
			if i < len(stable.Topics) && j < len(stable.Topics[i].Partitions) {
				o.Pending = stable.Topics[i].Partitions[j].Err != nil
			}
			g.Offsets = append(g.Offsets, o)
			seen[o.TopicPartition] = true
		}
	}
	for _, m := range g.Members {
		for _, at := range m.Assignment {
			if !seen[at] {
				seen[at] = true
				g.Offsets = append(g.Offsets, Offset{TopicPartition: at, Committed: -1})
			}
		}
	}
	for i := range g.Offsets {
		o := &g.Offsets[i]
		p, ok := v.Topics.Partition(o.Topic, o.Partition)
		if !ok {
			continue
		}
		o.LastStableOffset = p.LastStableOffset()
		if o.Lag, err = cluster.CommittedRecords(p, max(o.Committed, p.LogStartOffset()), o.LastStableOffset); err != nil {
			return err
		}
		g.Lag += o.Lag
	}
	return nil
}

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
	names := producersOf(v)
	sizeBytes := 0
	for _, b := range found {
		if sizeBytes += b.SizeBytes(); sizeBytes > maxRecordBytes && len(r.Batches) > 0 {
			break
		}
		r.Batches = append(r.Batches, batchOf(b, names, from, x.cluster.MaxDecompressedBytes()))
		r.NextOffset = b.NextOffset()
	}
	return r, nil
}

// number returns a parameter of the query that is a whole number.
func (x *exchange) number(name string, usual, low, high int64) (int64, error) {
	text := x.query.Get(name)
	if text == "" {
		return usual, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < low || n > high {
		return 0, wrong("?"+name, "must be a whole number between %d and %d", low, high)
	}
	return n, nil
}

// producersOf returns the transactional IDs of producer IDs.
func producersOf(v cluster.View) map[int64]string {
	names := map[int64]string{}
	listed, _, _ := v.Txns.List(txncoordinator.ListFilter{DurationMs: -1})
	for _, l := range listed {
		names[l.ProducerID] = l.TransactionalID
	}
	return names
}

func batchOf(b cluster.Batch, names map[int64]string, from int64, maxBytes int) RecordBatch {
	r := RecordBatch{
		BaseOffset: b.BaseOffset, LastOffset: b.LastOffset(), Fate: string(b.Fate), ProducerID: b.ProducerID,
		ProducerEpoch: b.ProducerEpoch,
		BaseSequence:  b.BaseSequence, SizeBytes: b.SizeBytes(), Records: []Record{},
	}
	if b.IsTransactional() {
		r.TransactionalID = names[b.ProducerID]
	}
	if b.Fate == cluster.FateMarker {
		r.Marker = b.Marker.Type.String()
		return r
	}
	for record, err := range batch.Records(b.Raw, maxBytes) {
		if err != nil {
			break // of a batch that was stored whole: larger than the limit
		}
		if b.BaseOffset+int64(record.OffsetDelta) < from {
			continue
		}
		one := Record{Offset: b.BaseOffset + int64(record.OffsetDelta),
			Timestamp: time.UnixMilli(b.TimestampMs(record)).UTC(), Key: textOf(record.Key), Value: textOf(record.Value)}
		for _, h := range record.Headers {
			one.Headers = append(one.Headers, RecordHeader{h.Key, textOf(h.Value)})
		}
		r.Records = append(r.Records, one)
	}
	return r
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
