package groupcoordinator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"once/durability"
	"once/internal/clock"
	"once/log/batch"
)

// memStateLog is a partition of __consumer_offsets in memory, of real batches.
type memStateLog struct {
	mu      sync.Mutex
	batches [][]byte
	next    int64
	fail    error                             // the error of every append while set
	durable durability.Ticket                 // of every append
	write   func(raw []byte, do func()) error // does the append of a batch, or fails before or after it; nil does it
	before  func(p int64, epoch int16) error  // looks at transactional appends
}

func (l *memStateLog) append(raw []byte) (Appended, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail != nil {
		return Appended{}, l.fail
	}
	raw = slices.Clone(raw)
	batch.SetOffsetAndEpoch(raw, l.next, 0)
	h, err := batch.Verify(raw)
	if err != nil {
		return Appended{}, err
	}
	at := Appended{BaseOffset: l.next, LastOffset: h.LastOffset(), Durable: l.durable}
	do := func() { l.batches, l.next = append(l.batches, raw), h.NextOffset() }
	if l.write != nil {
		return at, l.write(raw, do)
	}
	do()
	return at, nil
}

func (l *memStateLog) AppendCoordinator(raw []byte, _ durability.Answer) (Appended, error) {
	return l.append(raw)
}

func (l *memStateLog) AppendTransactionalOffsets(raw []byte, _ Guard) (Appended, error) {
	h, err := batch.ParseHeader(raw)
	if err == nil && l.before != nil {
		err = l.before(h.ProducerID, h.ProducerEpoch)
	}
	if err != nil {
		return Appended{}, err
	}
	return l.append(raw)
}

func (l *memStateLog) AppendMarker(m batch.Marker, _ int16) (Appended, error) {
	return l.append(batch.BuildMarker(m))
}

func (l *memStateLog) Scan(from, to int64, fn func(h batch.Header, raw []byte) error) error {
	for _, raw := range slices.Clone(l.batches) {
		h, err := batch.ParseHeader(raw)
		if err != nil {
			return err
		}
		if h.BaseOffset < from || h.BaseOffset >= to {
			continue
		}
		scratch := slices.Clone(raw)
		if err := fn(h, scratch); err != nil {
			return err
		}
		for i := range scratch {
			scratch[i] = 0xff // whoever kept a slice of it will show
		}
	}
	return nil
}

func (l *memStateLog) LogStartOffset() int64 { return 0 }
func (l *memStateLog) LogEndOffset() int64   { return l.next }

// world is a coordinator on a clock that stands still and a state log a partition.
type world struct {
	t         *testing.T
	clock     *clock.Movable
	cfg       Config
	c         *Coordinator
	stateLogs []*memStateLog
	ids       int
}

const session = 10 * time.Second

func newWorld(t *testing.T, change ...func(*Config)) *world {
	t.Helper()
	w := &world{t: t, clock: clock.NewManual(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))}
	w.cfg = Config{
		Partitions: 3, Clock: w.clock, RealTime: w.clock, Logger: slog.New(slog.DiscardHandler),
		StateLogs: func(p int32) StateLog { return w.stateLogs[p] },
		NewMemberID: func(prefix string) string {
			w.ids++
			return fmt.Sprintf("%s-%d", prefix, w.ids)
		},
	}
	for _, f := range change {
		f(&w.cfg)
	}
	for range w.cfg.Partitions {
		w.stateLogs = append(w.stateLogs, &memStateLog{})
	}
	w.start()
	t.Cleanup(func() { w.c.Close() })
	return w
}

func (w *world) start() {
	w.t.Helper()
	c, err := New(w.cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := c.Load(context.Background()); err != nil {
		w.t.Fatal(err)
	}
	w.c = c
}

func (w *world) restart() {
	w.t.Helper()
	w.c.Close()
	w.start()
}

func (w *world) stateLog(group string) *memStateLog { return w.stateLogs[w.c.PartitionFor(group)] }

// now returns the value of a future that must be there.
func now[T any](t *testing.T, f *Future[T]) T {
	t.Helper()
	if !f.Ready() {
		t.Fatal("still parked")
	}
	v, err := f.Wait(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func isErr(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) || want == nil && got != nil {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// Joining.

type joinOption func(*JoinRequest)

func withID(id string) joinOption       { return func(r *JoinRequest) { r.MemberID = id } }
func withInstance(id string) joinOption { return func(r *JoinRequest) { r.InstanceID = &id } }
func i1() []joinOption                  { return []joinOption{withInstance("i1")} }
func version(v int) joinOption {
	return func(r *JoinRequest) { r.MemberIDRequired, r.SkipAssignment = v >= 4, v >= 9 }
}
func withProtocols(namesAndMetadata ...string) joinOption {
	return func(r *JoinRequest) {
		r.Protocols = nil
		for i := 0; i < len(namesAndMetadata); i += 2 {
			r.Protocols = append(r.Protocols, Protocol{Name: namesAndMetadata[i], Metadata: []byte(namesAndMetadata[i+1])})
		}
	}
}

// subscription is a ConsumerProtocolSubscription of version 0.
func subscription(topics ...string) string {
	b := []byte{0, 0, 0, 0, 0, byte(len(topics))}
	for _, t := range topics {
		b = append(b, 0, byte(len(t)))
		b = append(b, t...)
	}
	return string(append(b, 0xff, 0xff, 0xff, 0xff))
}

// join sends a Join, version 1 unless an option says otherwise, so that nobody joins twice.
func (w *world) join(group string, options ...joinOption) *Future[JoinResult] {
	r := JoinRequest{
		GroupID: group, ClientID: "client", ClientHost: "/127.0.0.1", SessionTimeout: session, RebalanceTimeout: time.Minute,
		ProtocolType: "consumer", Protocols: []Protocol{{Name: "range", Metadata: []byte(subscription("t"))}},
	}
	for _, o := range options {
		o(&r)
	}
	return w.c.Join(&r)
}

func (w *world) sync(group, member string, generation int32, assignments ...string) *Future[SyncResult] {
	r := SyncRequest{GroupID: group, MemberID: member, Generation: generation}
	for i := 0; i < len(assignments); i += 2 {
		r.Assignments = append(r.Assignments, Assignment{assignments[i], []byte(assignments[i+1])})
	}
	return w.c.Sync(&r)
}

func (w *world) heartbeat(group, member string, generation int32) error {
	return w.c.Heartbeat(&HeartbeatRequest{GroupID: group, MemberID: member, Generation: generation})
}

func (w *world) leave(group string, members ...LeaveMember) LeaveResult {
	w.t.Helper()
	return now(w.t, w.c.Leave(&LeaveRequest{GroupID: group, Members: members}))
}

func (w *world) state(group string) State {
	d, err := w.c.Describe(group)
	if err != nil {
		return Dead
	}
	return d.State
}

// stable makes a Stable group of one member a join option set; the first is the leader. Every member
// is assigned "for " and its ID. It returns the member IDs and the generation.
func (w *world) stable(group string, members ...[]joinOption) (ids []string, generation int32) {
	w.t.Helper()
	for i, options := range members {
		f := w.join(group, options...)
		for k, id := range ids { // the others come back for the new one
			w.join(group, append(slices.Clone(members[k]), withID(id))...)
		}
		joined := now(w.t, f)
		if joined.Err != nil {
			w.t.Fatalf("join %d: %v", i, joined.Err)
		}
		ids, generation = append(ids, joined.MemberID), joined.Generation
	}
	w.assign(group, ids, generation)
	return ids, generation
}

// assign has the leader, ids[0], sync, and then the others.
func (w *world) assign(group string, ids []string, generation int32) {
	w.t.Helper()
	var list []string
	for _, id := range ids {
		list = append(list, id, "for "+id)
	}
	for i, id := range ids {
		assignments := list
		if i > 0 {
			assignments = nil
		}
		r := now(w.t, w.sync(group, id, generation, assignments...))
		if r.Err != nil || string(r.Assignment) != "for "+id {
			w.t.Fatalf("sync of %s: %q %v", id, r.Assignment, r.Err)
		}
	}
	if got := w.state(group); got != Stable {
		w.t.Fatalf("group is %v", got)
	}
}

// Offsets.

type commitOption func(*CommitRequest)

func as(member string, generation int32) commitOption {
	return func(r *CommitRequest) { r.MemberID, r.Generation = member, generation }
}

func (w *world) commit(group, topic string, partition int32, offset int64, options ...commitOption) error {
	w.t.Helper()
	r := CommitRequest{
		GroupID: group, KnowsMemberEpochs: true, Generation: -1, Retention: -1,
		Offsets: []OffsetCommit{{Topic: topic, Partition: partition, Offset: offset, LeaderEpoch: -1}},
	}
	for _, o := range options {
		o(&r)
	}
	return now(w.t, w.c.CommitOffsets(&r)).Err
}

func (w *world) stage(pid int64, group, topic string, partition int32, offset int64, member string,
	generation int32) error {
	w.t.Helper()
	return now(w.t, w.c.TxnCommitOffsets(&TxnCommitRequest{
		GroupID: group, MemberID: member, Generation: generation, ProducerID: pid,
		Offsets: []OffsetCommit{{Topic: topic, Partition: partition, Offset: offset, LeaderEpoch: -1}},
	}, 7)).Err
}

func (w *world) end(pid int64, group string, kind batch.MarkerType) {
	w.t.Helper()
	p := w.c.Participant(w.c.PartitionFor(group))
	if err := p.ApplyMarker(batch.Marker{ProducerID: pid, Type: kind, TimestampMs: 1}, 2); err != nil {
		w.t.Fatal(err)
	}
}

// unstable is what fetch says of an offset that is refused as unstable.
const unstable = -88

func (w *world) fetch(group, topic string, partition int32, requireStable bool) int64 {
	w.t.Helper()
	r := now(w.t, w.c.FetchOffsets(&FetchRequest{
		GroupID: group, MemberEpoch: -1, RequireStable: requireStable,
		Topics: []FetchTopic{{Topic: topic, Partitions: []int32{partition}}},
	}))
	if r.Err != nil {
		w.t.Fatal(r.Err)
	}
	o := r.Topics[0].Partitions[0]
	if errors.Is(o.Err, ErrUnstableOffset) && o.Offset == -1 && o.LeaderEpoch == -1 {
		return unstable
	}
	if o.Err != nil {
		w.t.Fatal(o.Err)
	}
	return o.Offset
}

func (w *world) wantOffset(group, topic string, partition int32, requireStable bool, want int64) {
	w.t.Helper()
	if got := w.fetch(group, topic, partition, requireStable); got != want {
		w.t.Errorf("offset of %s %s-%d stable=%v: %d, want %d", group, topic, partition, requireStable, got, want)
	}
}

// dump shows everything that a restart must bring back, in a form that can be compared.
func dump(c *Coordinator) string {
	var lines []string
	for _, s := range c.shards {
		s.mu.Lock()
		for _, at := range s.mu.groups {
			g, ok := at.Group.(*classicGroup)
			switch {
			case !ok:
				lines = append(lines, fmt.Sprintf("group %s %s %s", at.Type(), at.ID(), at.State()))
			case g.state == Stable || g.state == Empty:
				lines = append(lines, fmt.Sprintf("group %s %v subscribed=%v %x", g.id, g.state, sortedTopics(g.subscribed),
					g.record().AppendValue(nil)))
			default:
				lines = append(lines, fmt.Sprintf("group %s moves", g.id))
			}
		}
		for group, topics := range s.mu.offsets.committed {
			for topic, partitions := range topics {
				for p, c := range partitions {
					lines = append(lines, fmt.Sprintf("offset %s %s-%d %+v", group, topic, p, c))
				}
			}
		}
		for pid, groups := range s.mu.offsets.pending {
			for group, topics := range groups {
				for topic, partitions := range topics {
					for p, c := range partitions {
						lines = append(lines, fmt.Sprintf("pending %d %s %s-%d %+v", pid, group, topic, p, c))
					}
				}
			}
		}
		for group, pids := range s.mu.offsets.open {
			for pid := range pids {
				lines = append(lines, fmt.Sprintf("open %s %d", group, pid))
			}
		}
		s.mu.Unlock()
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func sortedTopics(m map[string]bool) []string {
	var list []string
	for t := range m {
		list = append(list, t)
	}
	slices.Sort(list)
	return list
}
