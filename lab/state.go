package lab

import (
	"context"
	"encoding/hex"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"

	"once/cluster"
	"once/faults"
	"once/groupcoordinator"
	"once/groupcoordinator/group"
	"once/partition"
	"once/topics"
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
	PartitionCount  int              `json:"partitionCount"`
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

// Topic is a topic with its partitions, and sums over them.
type Topic struct {
	Name              string      `json:"name"`
	TopicID           string      `json:"topicId"`
	Internal          bool        `json:"internal"`
	PartitionCount    int         `json:"partitionCount"`
	OffsetCount       int64       `json:"offsetCount"`   // between log start offsets and high watermarks
	UnstableCount     int64       `json:"unstableCount"` // of these, at or above last stable offsets
	OpenTransactions  int         `json:"openTransactions"`
	OfflinePartitions int         `json:"offlinePartitions"`
	Partitions        []Partition `json:"partitions"`
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
	// HeldBy is the transaction that holds back the last stable offset, in answers about few partitions.
	HeldBy *Holder `json:"heldBy,omitempty"`
}

// Group is a group with its members and offsets.
type Group struct {
	ID           string   `json:"id"`
	Type         string   `json:"type"`
	State        string   `json:"state"`
	ProtocolType string   `json:"protocolType"`
	Protocol     string   `json:"protocol,omitempty"`
	Members      []Member `json:"members"`
	MemberCount  int      `json:"memberCount"`
	Offsets      []Offset `json:"offsets"`
	OffsetCount  int      `json:"offsetCount"`
	PendingCount int      `json:"pendingCount"` // of the offsets
	// LagAtMost: the lag is an upper bound, because estimate=true and some partition is far behind.
	LagAtMost bool  `json:"lagAtMost,omitempty"`
	Lag       int64 `json:"lag"` // the sum over its offsets
}

// Member is a member of a group.
type Member struct {
	MemberID        string           `json:"memberId"`
	GroupInstanceID string           `json:"groupInstanceId,omitempty"`
	ClientID        string           `json:"clientId"`
	Host            string           `json:"host"`
	Assignment      []TopicPartition `json:"assignment"`
	// Tasks are those of a member of a streams group: active ones, then standby and warm-up ones.
	Tasks []string `json:"tasks,omitempty"`
}

// Offset is a partition that a group has committed, or that is assigned to it. Lag counts the records that a
// read_committed reader still gets up to the last stable offset: no markers, and none that are aborted. In a share
// group Committed is the start offset of the share partition, and Lag is what DescribeShareGroupOffsets says.
type Offset struct {
	TopicPartition
	Committed        int64  `json:"committed"` // -1: none
	Metadata         string `json:"metadata,omitempty"`
	Pending          bool   `json:"pending"` // an open transaction is about to change it
	LastStableOffset int64  `json:"lastStableOffset"`
	Lag              int64  `json:"lag"`
	LagAtMost        bool   `json:"lagAtMost,omitempty"` // the lag is a difference of offsets
	HighWatermark    int64  `json:"highWatermark"`
	// HeldBy is the transaction that holds back the last stable offset, in the answer about one group.
	HeldBy *Holder `json:"heldBy,omitempty"`
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
	// KeyBytes and ValueBytes are the lengths of a key and a value that are cut.
	KeyBytes   int `json:"keyBytes,omitempty"`
	ValueBytes int `json:"valueBytes,omitempty"`
}

// RecordHeader is a header of a record.
type RecordHeader struct {
	Key   string `json:"key"`
	Value any    `json:"value"`
}

func stateCalls() []call {
	return []call{
		on(http.MethodGet, "/transactions", "All transactional IDs, or a page of them; open=true: the open transactions, "+
			"the oldest first; brief=true: without transitions and partitions", viewing(listTransactions)).
			takes("open", "name", "brief", "after", "limit"),
		on(http.MethodGet, "/transactions/{id}", "A transactional ID",
			viewing(func(x *exchange, v cluster.View) (Transaction, error) {
				return transactionIn(x.cluster, v, x.request.PathValue("id"))
			})),
		on(http.MethodGet, "/topics", "All topics with their partitions, or a page of them; open=true: those with an open "+
			"transaction; internal=false: without internal ones; brief=true: without partitions", viewing(listTopics)).
			takes("open", "internal", "name", "brief", "after", "limit"),
		on(http.MethodGet, "/topics/{topic}", "A topic with its partitions, or limit of them from an index on",
			viewing(getTopic)).takes("from", "limit"),
		on(http.MethodGet, "/groups", "All groups with their members, offsets and lag, or a page of them; brief=true: "+
			"without members and offsets; estimate=true: a long lag is not counted but estimated; topic: those with an "+
			"offset of the topic, and only these offsets",
			viewing(listGroups)).takes("topic", "name", "brief", "estimate", "after", "limit"),
		on(http.MethodGet, "/groups/{id}", "A group, or limit members and offsets of it from an index on; "+
			"estimate=true: a long lag is not counted but estimated", viewing(getGroup)).takes("estimate", "from", "limit"),
		on(http.MethodGet, "/records/{topic}/{partition}", "Batches and records of a partition with their fate; cut: longer "+
			"keys and values are cut to so many bytes, and there are no more records than limit",
			viewing(recordsIn)).takes("from", "limit", "cut"),
	}
}

func getTopic(x *exchange, v cluster.View) (Topic, error) {
	t, ok := v.Topics.Lookup(x.request.PathValue("topic"))
	if !ok {
		return Topic{}, fails(http.StatusNotFound, "there is no topic %q", x.request.PathValue("topic"))
	}
	topic, err := topicOf(t), error(nil)
	if topic.Partitions, err = part(x, topic.Partitions); err != nil {
		return Topic{}, err
	}
	addHolders(x, v, topic.Name, topic.Partitions)
	return topic, nil
}

func getGroup(x *exchange, v cluster.View) (Group, error) {
	exactLag, err := x.exactLag()
	if err != nil {
		return Group{}, err
	}
	g, err := describeGroup(x.request.Context(), v, x.request.PathValue("id"), exactLag)
	if err != nil {
		return Group{}, err
	}
	if g.Members, err = part(x, g.Members); err != nil {
		return Group{}, err
	}
	if g.Offsets, err = part(x, g.Offsets); err != nil {
		return Group{}, err
	}
	addOffsetHolders(x, v, g.Offsets)
	return g, nil
}

// exactLag is how many offsets are looked at to count a lag.
func (x *exchange) exactLag() (int64, error) {
	estimate, err := x.flag("estimate")
	if estimate {
		return exactLagOffsets, err
	}
	return math.MaxInt64, err
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

func transactionIn(c *cluster.Cluster, v cluster.View, id string) (Transaction, error) {
	d, err := v.Txns.Describe(id)
	if err != nil {
		return Transaction{}, fails(http.StatusNotFound, "there is no transactional ID %q", id)
	}
	t := Transaction{
		TransactionalID: id, State: d.State.String(), ProducerID: d.ProducerID, ProducerEpoch: d.ProducerEpoch,
		Partitions: []TopicPartition{}, Timeout: faults.Duration(time.Duration(d.TimeoutMs) * time.Millisecond),
	}
	t.PartitionCount = len(d.Partitions)
	for _, p := range d.Partitions {
		t.Partitions = append(t.Partitions, TopicPartition{p.Topic, p.Partition})
	}
	t.Transitions = []Transition{}
	for _, c := range v.Txns.Transitions(id) {
		t.Transitions = append(t.Transitions, Transition{c.At.UTC(), c.State.String(), c.ProducerID, c.ProducerEpoch,
			c.Reason()})
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
		state := partitionOf(int32(i), p)
		topic.Partitions = append(topic.Partitions, state)
		topic.PartitionCount++
		topic.OffsetCount += state.HighWatermark - state.LogStartOffset
		topic.UnstableCount += state.HighWatermark - state.LastStableOffset
		topic.OpenTransactions += state.OpenTransactions
		if state.Offline != "" {
			topic.OfflinePartitions++
		}
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
	return describeGroup(ctx, v, id, math.MaxInt64)
}

// describeGroup is groupIn, with a lag that is estimated where more than exactLag offsets would have to be looked at.
func describeGroup(ctx context.Context, v cluster.View, id string, exactLag int64) (Group, error) {
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
	g.addMembers(v)
	if g.Type == string(group.Share) {
		err = g.addShareOffsets(v)
	} else {
		err = g.addOffsets(ctx, v, exactLag)
	}
	g.MemberCount, g.OffsetCount = len(g.Members), len(g.Offsets)
	return g, err
}

const noMember = -1 // the member epoch of who is no member of a group

// addOffsets adds the committed and the assigned partitions with their lag.
func (g *Group) addOffsets(ctx context.Context, v cluster.View, exactLag int64) error {
	fetched, err := v.Groups.FetchOffsets(&groupcoordinator.FetchRequest{GroupID: g.ID, All: true,
		MemberEpoch: noMember}).Wait(ctx)
	if err == nil {
		err = fetched.Err
	}
	if err != nil {
		return err
	}
	listed, err := v.Groups.Pending(g.ID)
	if err != nil {
		return err
	}
	pending := map[TopicPartition]bool{}
	for _, p := range listed {
		pending[TopicPartition(p)] = true
	}
	seen := map[TopicPartition]bool{}
	add := func(o Offset) {
		if !seen[o.TopicPartition] {
			seen[o.TopicPartition] = true
			o.Pending = pending[o.TopicPartition]
			g.Offsets = append(g.Offsets, o)
		}
	}
	for _, t := range fetched.Topics {
		for _, p := range t.Partitions {
			add(Offset{TopicPartition: TopicPartition{t.Topic, p.Partition}, Committed: p.Offset, Metadata: p.Metadata})
		}
	}
	for _, m := range g.Members {
		for _, at := range m.Assignment {
			add(Offset{TopicPartition: at, Committed: -1})
		}
	}
	g.addLag(v, exactLag)
	for _, at := range listed { // neither committed nor assigned: there is no lag yet
		if p, ok := v.Topics.Partition(at.Topic, at.Partition); ok && !seen[TopicPartition(at)] {
			g.Offsets = append(g.Offsets, Offset{TopicPartition: TopicPartition(at), Committed: -1, Pending: true,
				LastStableOffset: p.LastStableOffset(), HighWatermark: p.HighWatermark()})
			g.PendingCount++
		}
	}
	return nil
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
