package txncoordinator

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"once/durability"
	"once/internal/fault"
	"once/internal/script"
)

// TestScripts runs the conversations in testdata, in the dialect of package script.
func TestScripts(t *testing.T) {
	script.RunFiles(t, "testdata/*.txt", func(*testing.T) func(*testing.T, script.Command) string {
		return (&session{}).run
	})
}

// session is a world and the coordinator that lives in it at the moment.
type session struct {
	world       *world
	coordinator *Coordinator
	background  map[string]chan string
	fault       *fault.Fault // of the last hold
	waiting     chan string  // the answer to a command that waits at a point; nil for none
}

func (s *session) run(t *testing.T, c script.Command) string {
	if c.Name == "new" { // new [transaction-version=2]: of the cluster
		s.world, s.background = newWorld(), map[string]chan string{}
		s.world.mu.version = int16(c.Int(t, "transaction-version", 2))
		s.open(t, c)
		return "ok"
	}
	if s.world == nil {
		t.Fatalf("%s: no world yet", c.Pos)
	}
	if point := c.String("crash", ""); point != "" {
		s.world.mu.crash.At(point)
	}
	answer := s.start(t, c)
	return s.world.mu.crash.Reply(s.world.takeTrace(), answer)
}

// start runs a command; with hold=PARTITION in a goroutine until it comes to that partition's marker.
func (s *session) start(t *testing.T, c script.Command) string {
	held := c.String("hold", "")
	switch {
	case c.Has("waits"): // in a goroutine, until it is held at a point
		answer, answered := make(chan string, 1), make(chan struct{})
		go func() {
			defer close(answered)
			answer <- s.do(t, c)
		}()
		if !s.fault.Await(answered, func(c fault.Counts) bool { return c.Held > 0 }) {
			return <-answer
		}
		s.waiting = answer
		return "waits"
	case held == "":
		return s.do(t, c)
	}
	h := &hold{make(chan struct{}), make(chan struct{})}
	s.world.mu.held[partitions(t, c, "hold")[0]] = h
	answer := make(chan string, 1)
	s.background[held] = answer
	go func() { answer <- s.do(t, c) }()
	<-h.reached
	return "held at " + held
}

func (s *session) open(t *testing.T, c script.Command) {
	s.coordinator = s.world.coordinator(t, func(cfg *Config) { cfg.AddRetryLimit = time.Second })
	if !c.Has("loading") {
		s.world.points.Suspend() // as while a cluster opens
		if err := s.coordinator.Load(); err != nil {
			t.Fatal(err)
		}
		s.world.points.Resume()
	}
}

func partitions(t *testing.T, c script.Command, name string) (all []TopicPartition) {
	for _, p := range c.Partitions(t, name) {
		all = append(all, TopicPartition{p.Topic, p.Index})
	}
	return all
}

func timeoutMs(t *testing.T, c script.Command) int32 {
	return int32(c.Duration(t, "timeout", time.Minute).Milliseconds())
}

func (s *session) do(t *testing.T, c script.Command) string {
	pid, epoch := c.Int(t, "producer", NoProducerID), int16(c.Int(t, "epoch", int64(NoProducerEpoch)))
	switch c.Name {
	case "init":
		id, err := s.coordinator.InitProducerID(InitRequest{
			TransactionalID: c.String("id", "t"), ProducerID: pid, ProducerEpoch: epoch, TimeoutMs: timeoutMs(t, c),
		})
		return identityOr(id, err)
	case "add-partitions", "verify-partitions":
		r := AddRequest{
			TransactionalID: c.String("id", "t"), ProducerID: pid, ProducerEpoch: epoch,
			Partitions: partitions(t, c, "partitions"), ClientTransactionVersion: int16(c.Int(t, "transaction-version", 0)),
		}
		if c.Name == "add-partitions" {
			return codes.OK(s.coordinator.AddPartitions(r))
		}
		return s.verify(r)
	case "enlist":
		return s.enlist(t, c, pid, epoch)
	case "append": // a record of a transaction, to a partition
		p := memPartition{s.world, partitions(t, c, "partition")[0]}
		return codes.OK(p.append(pid, epoch, Guard(c.Int(t, "guard", 0))))
	case "end":
		if c.Has("commit") == c.Has("abort") {
			t.Fatalf("%s: commit or abort", c.Pos)
		}
		id, err := s.coordinator.EndTxn(EndRequest{
			TransactionalID: c.String("id", "t"), ProducerID: pid, ProducerEpoch: epoch, Commit: c.Has("commit"),
			ClientTransactionVersion: int16(c.Int(t, "transaction-version", 2)),
		})
		return identityOr(id, err)
	case "describe-txn":
		return s.describe(c.String("id", "t"))
	case "list-txns":
		return s.list(t, c)
	case "show":
		e := s.coordinator.shards[0].find(c.String("id", "t"))
		txn := &e.mu.txn
		return fmt.Sprintf("%s last_epoch=%d pending=%v", describeImage(txn), txn.LastProducerEpoch, txn.Pending)
	}
	return s.change(t, c)
}

// change runs the commands that change the world.
func (s *session) change(t *testing.T, c script.Command) string {
	w := s.world
	switch c.Name {
	case "hold-at": // hold-at point=P [of=x-1] [id=t]: from here on all that comes there, until released
		s.holdAt(t, c)
		return "ok"
	case "let-go": // of what is held at the point
		return s.answered(fmt.Sprintf("%d released", s.fault.Release()))
	case "close":
		w.points.Suspend()
		s.coordinator.Close()
		return s.answered("ok")
	case "waiting": // what is left to do later, and what an operator was told
		s.coordinator.schedule.mu.Lock()
		retries := len(s.coordinator.schedule.mu.retries)
		s.coordinator.schedule.mu.Unlock()
		out := fmt.Sprintf("held=%d retries=%d", s.fault.Counts().Held, retries)
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, message := range w.mu.logged {
			out += "\nlogged: " + message
		}
		w.mu.logged = nil
		return out
	case "release":
		held := c.String("hold-of", "")
		close(w.mu.stopped[partitions(t, c, "hold-of")[0]].release)
		return held + ": " + cmp.Or(<-s.background[held], "ok")
	case "advance":
		w.clock.Advance(c.Advance(t))
		w.due(s.coordinator)
		return ""
	case "restart":
		w.mu.leaderEpoch -= int32(c.Int(t, "lower-epoch-by", 0))
		s.open(t, c)
		return ""
	case "reconcile": // the partitions have a transaction of this producer open
		var open []OpenTransaction
		for _, p := range partitions(t, c, "partitions") {
			open = append(open, OpenTransaction{p, c.Int(t, "producer", 1000), int16(c.Int(t, "epoch", 0))})
		}
		return codes.OK(s.coordinator.Reconcile(open))
	case "load":
		return codes.OK(s.coordinator.Load())
	case "reload": // the coordinator drops its memory and reads its log
		loaded, err := s.coordinator.ReloadAll()
		return strings.TrimSpace(fmt.Sprintf("%s %d loaded, resumed %v", codes.OK(err), loaded.TransactionalIDs,
			loaded.Resumed))
	case "offline": // the coordinator of a partition that went offline
		s.coordinator.Unload(0)
		return ""
	case "online":
		return codes.OK(s.coordinator.Reload(0))
	case "image": // what the log holds from an earlier life; restart reads it
		e := newTransaction(c.String("id", "t"), c.Int(t, "producer", 0), timeoutMs(t, c), w.clock.Now().UnixMilli())
		e.State, _ = parseState(c.String("state", "Empty"))
		e.ProducerEpoch, e.PreviousProducerID = int16(c.Int(t, "epoch", 0)), e.ProducerID
		e.ClientTransactionVersion = int16(c.Int(t, "transaction-version", 0))
		if e.Partitions = partitions(t, c, "partitions"); e.State != Empty {
			e.StartTimestampMs = w.clock.Now().UnixMilli()
		}
		w.mu.nextPID = max(w.mu.nextPID, e.ProducerID+1)
		_, err := w.stateLog(0).AppendCoordinator(encodeTransaction(&e, 2, 0), durability.TransactionChanged)
		return codes.OK(err)
	case "fail": // what is not named works again
		if len(c.Args) == 0 || c.Has("nothing") && len(c.Args) > 1 {
			t.Fatalf("%s: what fails?", c.Pos)
		}
		w.mu.failAppends, w.mu.noPIDs = c.Has("appends"), c.Has("producer-ids")
		clear(w.mu.failing)
		for _, p := range partitions(t, c, "markers") {
			w.mu.failing[p] = errMarker
		}
		return ""
	case "delete-topic":
		w.mu.gone[c.String("topic", "")] = true
		s.coordinator.TopicDeleted(c.String("topic", ""))
		return ""
	}
	t.Fatalf("%s: unknown command", c.Pos)
	return ""
}

func (s *session) holdAt(t *testing.T, c script.Command) {
	point, err := fault.PointOf(c.String("point", ""))
	if err != nil {
		t.Fatalf("%s: %v", c.Pos, err)
	}
	of, id := partitions(t, c, "of"), c.String("id", "")
	s.world.points.Clear()
	s.fault, err = s.world.points.Arm(fault.Rule{Point: point, Do: fault.Action{Hold: true},
		Fires: func(at fault.Attributes) bool {
			return (len(of) == 0 || slices.Contains(of, TopicPartition{at.Topic, at.Partition})) &&
				(id == "" || id == at.TransactionalID)
		}})
	if err != nil {
		t.Fatalf("%s: %v", c.Pos, err)
	}
}

// answered adds what the command that waited is answered.
func (s *session) answered(text string) string {
	if s.waiting == nil {
		return text
	}
	answer := <-s.waiting
	s.waiting = nil
	return text + "\nwaited: " + answer
}

func (s *session) verify(r AddRequest) string {
	each, err := s.coordinator.VerifyPartitions(r)
	if err != nil || each == nil {
		return codes.OK(err)
	}
	var words []string
	for i, err := range each {
		words = append(words, fmt.Sprintf("%v: %s", r.Partitions[i], codes.OK(err)))
	}
	return strings.Join(words, "\n")
}

// enlist shows what it found out about each partition.
func (s *session) enlist(t *testing.T, c script.Command, producerID int64, producerEpoch int16) string {
	e := Enlistment{
		TransactionalID: c.String("id", "t"), ProducerID: producerID, ProducerEpoch: producerEpoch,
		ClientTransactionVersion: int16(c.Int(t, "transaction-version", 0)),
	}
	for _, id := range partitions(t, c, "partitions") {
		e.Partitions = append(e.Partitions, EnlistedPartition{
			TopicPartition: id, Verifier: &memPartition{s.world, id}, BaseSequence: -1,
		})
	}
	again := s.coordinator.Enlist(&e)
	var lines []string
	for i := range e.Partitions {
		p := &e.Partitions[i]
		switch {
		case p.PartitionErr != nil:
			lines = append(lines, fmt.Sprintf("%v: refuses %s", p.TopicPartition, codes.Of(p.PartitionErr)))
		case p.CoordinatorErr != nil:
			lines = append(lines, fmt.Sprintf("%v: %s", p.TopicPartition, codes.Of(p.CoordinatorErr)))
		default:
			lines = append(lines, fmt.Sprintf("%v: ok guard=%d", p.TopicPartition, p.Guard))
		}
	}
	if again {
		lines = append(lines, "again")
	}
	return strings.Join(lines, "\n")
}

func (s *session) describe(id string) string {
	d, err := s.coordinator.Describe(id)
	if err != nil {
		return codes.Of(err)
	}
	return fmt.Sprintf("%v producer=%d epoch=%d %v start=%s timeout=%d", d.State, d.ProducerID, d.ProducerEpoch,
		d.Partitions, sinceStart(d.StartTimestampMs), d.TimeoutMs)
}

func (s *session) list(t *testing.T, c script.Command) string {
	f := ListFilter{States: c.List("states"), DurationMs: c.Int(t, "duration", -1), Pattern: c.String("pattern", "")}
	for _, word := range c.List("producers") {
		id, err := strconv.ParseInt(word, 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", c.Pos, err)
		}
		f.ProducerIDs = append(f.ProducerIDs, id)
	}
	found, unknown, err := s.coordinator.List(f)
	if err != nil {
		return codes.Of(err)
	}
	lines := []string{fmt.Sprintf("%d found", len(found))}
	for _, l := range found {
		lines = append(lines, fmt.Sprintf("%s %v producer=%d", l.TransactionalID, l.State, l.ProducerID))
	}
	if len(unknown) > 0 {
		slices.Sort(unknown)
		lines = append(lines, fmt.Sprintf("unknown states %v", unknown))
	}
	return strings.Join(lines, "\n")
}

func identityOr(id Identity, err error) string {
	if err != nil {
		return codes.Of(err)
	}
	if id == noIdentity {
		return "ok"
	}
	return fmt.Sprintf("ok producer=%d epoch=%d", id.ProducerID, id.ProducerEpoch)
}
