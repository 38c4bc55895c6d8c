package txncoordinator

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"once/internal/script"
)

// TestScripts runs the conversations in testdata; each case is named after its scenario
// (spec: transactions 20).
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			s := &session{}
			script.Run(t, file, s.run)
		})
	}
}

// session is a world and the coordinator that lives in it at the moment.
type session struct {
	world       *world
	coordinator *Coordinator
	background  map[string]chan string
}

func (s *session) run(t *testing.T, c script.Command) string {
	if c.Name == "new" {
		s.world, s.background = newWorld(), map[string]chan string{}
		s.world.mu.version = int16(c.Int(t, "tv", 2))
		s.open(t, c)
		return ""
	}
	if s.world == nil {
		t.Fatalf("%s: no world yet", c.Pos)
	}
	if crash := c.String("crash", ""); crash != "" {
		s.world.mu.crash, s.world.mu.counts = crash, map[string]int{}
	}
	answer := s.start(t, c)
	out := strings.Join(s.world.takeTrace(), "\n")
	if s.world.mu.dead {
		if !strings.HasSuffix(out, "crashed") {
			out += "\ncrashed"
		}
		return strings.TrimSpace(out)
	}
	return strings.TrimSpace(out + "\n" + answer)
}

// start runs a command; with hold=PARTITION in a goroutine until it comes to that partition's marker.
func (s *session) start(t *testing.T, c script.Command) string {
	held := c.String("hold", "")
	if held == "" {
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
	s.coordinator = s.world.coordinator(t, nil)
	if !c.Has("loading") {
		if err := s.coordinator.Load(); err != nil {
			t.Fatal(err)
		}
	}
}

func partitions(t *testing.T, c script.Command, name string) (parts []TopicPartition) {
	for _, word := range c.List(name) {
		at := strings.LastIndexByte(word, '-')
		n, err := strconv.ParseInt(word[at+1:], 10, 32)
		if err != nil {
			t.Fatalf("%s: %v", c.Pos, err)
		}
		parts = append(parts, TopicPartition{word[:at], int32(n)})
	}
	return parts
}

func (s *session) do(t *testing.T, c script.Command) string {
	pid, epoch := c.Int(t, "pid", NoProducerID), int16(c.Int(t, "epoch", int64(NoProducerEpoch)))
	switch c.Name {
	case "init":
		id, err := s.coordinator.InitProducerID(InitRequest{
			TransactionalID: c.String("id", "t"), ProducerID: pid, ProducerEpoch: epoch, TimeoutMs: int32(c.Int(t, "timeout", 60_000)),
		})
		return identityOr(id, err)
	case "add", "verify":
		r := AddRequest{
			TransactionalID: c.String("id", "t"), ProducerID: pid, ProducerEpoch: epoch,
			Partitions: partitions(t, c, "parts"), ClientTransactionVersion: int16(c.Int(t, "version", 0)),
		}
		if c.Name == "add" {
			return okOr(s.coordinator.AddPartitions(r))
		}
		return s.verify(r)
	case "end":
		if c.Has("commit") == c.Has("abort") {
			t.Fatalf("%s: commit or abort", c.Pos)
		}
		id, err := s.coordinator.EndTxn(EndRequest{
			TransactionalID: c.String("id", "t"), ProducerID: pid, ProducerEpoch: epoch, Commit: c.Has("commit"),
			ClientTransactionVersion: int16(c.Int(t, "version", 2)),
		})
		return identityOr(id, err)
	case "describe":
		return s.describe(c.String("id", "t"))
	case "list":
		return s.list(t, c)
	case "show":
		e := s.coordinator.shards[0].find(c.String("id", "t"))
		return fmt.Sprintf("%s last=%d pending=%v", describeImage(&e.mu.txn), e.mu.txn.LastProducerEpoch, e.mu.txn.Pending)
	}
	return s.change(t, c)
}

// change runs the commands that change the world.
func (s *session) change(t *testing.T, c script.Command) string {
	w := s.world
	switch c.Name {
	case "release":
		held := c.String("hold-of", "")
		close(w.mu.stopped[partitions(t, c, "hold-of")[0]].release)
		return held + ": " + <-s.background[held]
	case "advance":
		d, err := time.ParseDuration(c.Args[0].Name)
		if err != nil {
			t.Fatalf("%s: %v", c.Pos, err)
		}
		w.clock.Advance(d)
		w.due(s.coordinator)
		return ""
	case "restart":
		w.mu.leaderEpoch -= int32(c.Int(t, "lower-epoch-by", 0))
		s.open(t, c)
		return ""
	case "reconcile": // parts have a transaction of this producer open
		var open []OpenTransaction
		for _, p := range partitions(t, c, "parts") {
			open = append(open, OpenTransaction{p, c.Int(t, "pid", 1000), int16(c.Int(t, "epoch", 0))})
		}
		return okOr(s.coordinator.Reconcile(open))
	case "load":
		return okOr(s.coordinator.Load())
	case "image": // what the log holds from an earlier life; restart reads it
		e := newTransaction(c.String("id", "t"), c.Int(t, "pid", 0), int32(c.Int(t, "timeout", 60_000)), w.clock.Now().UnixMilli())
		e.State, _ = ParseState(c.String("state", "Empty"))
		e.ProducerEpoch, e.PreviousProducerID = int16(c.Int(t, "epoch", 0)), e.ProducerID
		e.ClientTransactionVersion = int16(c.Int(t, "version", 0))
		if e.Partitions = partitions(t, c, "parts"); e.State != Empty {
			e.StartTimestampMs = w.clock.Now().UnixMilli()
		}
		w.mu.nextPID = max(w.mu.nextPID, e.ProducerID+1)
		_, err := w.stateLog(0).AppendCoordinator(encodeTransaction(&e, 2, 0))
		return okOr(err)
	case "fail":
		w.mu.failAppends, w.mu.noPIDs = c.Has("appends"), c.Has("producer-ids")
		clear(w.mu.failing)
		for _, p := range partitions(t, c, "markers") {
			w.mu.failing[p] = errMarker
		}
		return ""
	case "drop-topic":
		w.mu.gone[c.Args[0].Name] = true
		return ""
	}
	t.Fatalf("%s: unknown command", c.Pos)
	return ""
}

func (s *session) verify(r AddRequest) string {
	each, err := s.coordinator.VerifyPartitions(r)
	if err != nil || each == nil {
		return okOr(err)
	}
	var words []string
	for i, err := range each {
		words = append(words, fmt.Sprintf("%v: %s", r.Partitions[i], okOr(err)))
	}
	return strings.Join(words, "\n")
}

func (s *session) describe(id string) string {
	d, err := s.coordinator.Describe(id)
	if err != nil {
		return errorText(err)
	}
	return fmt.Sprintf("%v pid=%d epoch=%d %v start=%s timeout=%d", d.State, d.ProducerID, d.ProducerEpoch, d.Partitions, sinceStart(d.StartTimestampMs), d.TimeoutMs)
}

func (s *session) list(t *testing.T, c script.Command) string {
	f := ListFilter{States: c.List("states"), DurationMs: c.Int(t, "duration", -1), Pattern: c.String("pattern", "")}
	for _, word := range c.List("pids") {
		id, err := strconv.ParseInt(word, 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", c.Pos, err)
		}
		f.ProducerIDs = append(f.ProducerIDs, id)
	}
	found, unknown, err := s.coordinator.List(f)
	if err != nil {
		return errorText(err)
	}
	lines := []string{fmt.Sprintf("%d found", len(found))}
	for _, l := range found {
		lines = append(lines, fmt.Sprintf("%s %v pid=%d", l.TransactionalID, l.State, l.ProducerID))
	}
	if len(unknown) > 0 {
		slices.Sort(unknown)
		lines = append(lines, fmt.Sprintf("unknown states %v", unknown))
	}
	return strings.Join(lines, "\n")
}

func okOr(err error) string {
	if err != nil {
		return errorText(err)
	}
	return "ok"
}

func identityOr(id Identity, err error) string {
	if err != nil {
		return errorText(err)
	}
	if id == noIdentity {
		return "ok"
	}
	return fmt.Sprintf("ok pid=%d epoch=%d", id.ProducerID, id.ProducerEpoch)
}
