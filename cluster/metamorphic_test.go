package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/handlers"
	"once/inspect"
	"once/inspect/inspecttest"
	"once/internal/clock"
	"once/internal/kafkatest"
	"once/internal/memnet"
	"once/internal/vfs"
	"once/settings"
	"once/wire"
)

// One random history of requests is held with two clusters. The first one is in memory, with the defaults, and runs
// through. The other one has other options: a disk, a durability, sizes and times at which segments are rolled, numbers
// of internal partitions; and between requests it is closed, killed, or has its power cut, and is opened again. Every
// answer must be the same, but for what names this very cluster, or counts its starts.
//
// ONCE_METAMORPHIC=N holds N histories, ten times as long; ONCE_METAMORPHIC_SEED=S begins with that of seed S.

// side is one of the two clusters.
type side struct {
	t     *testing.T
	name  string
	env   Env
	dir   string
	disk  *vfs.Mem // nil for the machine's
	boots int
	c     *Cluster
	conns []*kafkatest.Conn
	// loose says that a partition was added to a transaction and nothing was appended behind it that is waited for:
	// that answer waits for nothing in any mode (durability.TransactionChanged).
	loose bool

	producers map[string]*kafkatest.Producer
	last      map[string]*kmsg.ProduceRequest // by producer and partition, the last one that was taken
	members   map[string]member               // of groups
	letters   map[string]map[any]int          // of what names this very cluster, by kind
}

type member struct {
	id         string
	generation int32
}

var metamorphicStart = time.UnixMilli(1_800_000_000_000)

// newSide opens a cluster with broker settings on top of those that both have.
func newSide(t *testing.T, name string, env Env, dir string, values map[string]string) *side {
	t.Helper()
	all := settings.Values{"log.cleaner.enable": "false", "log.retention.ms": "-1",
		"group.initial.rebalance.delay.ms": "0"}
	maps.Copy(all, values)
	s, unknown, err := settings.Resolve(all)
	if err != nil || len(unknown) > 0 {
		t.Fatal(err, unknown)
	}
	env.Settings, env.Clock = s, clock.NewManual(metamorphicStart)
	env.OnFailure = func(err error) { t.Errorf("%s has failed: %v", name, err) }
	is := &side{t: t, name: name, env: env, dir: dir, producers: map[string]*kafkatest.Producer{},
		last: map[string]*kmsg.ProduceRequest{}, members: map[string]member{}, letters: map[string]map[any]int{}}
	is.disk, _ = env.FS.(*vfs.Mem)
	if is.c, err = Open(is.env, is.dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = is.c.Close() })
	is.serve()
	return is
}

// serve makes the connections, which outlive restarts.
func (s *side) serve() {
	server, err := wire.NewServer(wire.Options{APIs: handlers.APIs()})
	if err != nil {
		s.t.Fatal(err)
	}
	l, served := memnet.Listen(), make(chan error, 1)
	go func() {
		served <- server.Serve(l, func(ctx context.Context, r *wire.Request) wire.Reply { return s.c.Handle(ctx, r) })
	}()
	for range 3 {
		nc, err := l.Dial(s.t.Context())
		if err != nil {
			s.t.Fatal(err)
		}
		conn := kafkatest.New(nc)
		conn.Timeout = time.Minute
		s.conns = append(s.conns, conn)
	}
	s.t.Cleanup(func() {
		for _, c := range s.conns {
			c.Close()
		}
		if err := errors.Join(server.Shutdown(context.Background()), <-served); err != nil {
			s.t.Error(err)
		}
	})
}

// ask sends a request, again while it is answered that the last transaction is being ended.
func (s *side) ask(conn int, r kmsg.Request) kmsg.Response {
	s.t.Helper()
	for {
		resp, err := s.conns[conn].Request(r)
		if err != nil {
			s.t.Fatalf("%s: %s v%d: %v", s.name, kmsg.NameForKey(r.Key()), r.GetVersion(), err)
		}
		if init, ok := resp.(*kmsg.InitProducerIDResponse); ok && wire.Code(init.ErrorCode) == wire.ConcurrentTransactions {
			continue
		}
		return resp
	}
}

// restart ends the cluster in a way that loses nothing which was acknowledged, and opens it again.
func (s *side) restart(how string) {
	s.t.Helper()
	if how == "power cut" && s.loose {
		how = "kill"
	}
	var err error
	switch how {
	case "kill":
		if err = s.c.Kill(); err == nil {
			err = s.c.Reopen()
		}
	case "power cut":
		if err = s.c.Kill(); err == nil {
			err = s.c.Close()
		}
		s.boots++
		s.disk = s.disk.CrashClone()
		s.env.FS, s.env.Metadata, s.env.BootID = s.disk, MetadataOn(s.disk), fmt.Sprint("boot ", s.boots)
		if err == nil {
			s.c, err = Open(s.env, s.dir)
		}
	case "stop":
		if err = s.c.Close(); err == nil {
			s.c, err = Open(s.env, s.dir)
		}
	}
	if err != nil {
		s.t.Fatalf("%s: %s: %v", s.name, how, err)
	}
}

// letter is a name for what has another value on the other side.
func (s *side) letter(kind string, v any) string {
	if s.letters[kind] == nil {
		s.letters[kind] = map[any]int{}
	}
	n, ok := s.letters[kind][v]
	if !ok {
		n = len(s.letters[kind])
		s.letters[kind][v] = n
	}
	return fmt.Sprintf("%s %d", kind, n)
}

// text writes an answer down, with letters for what names this very cluster.
func (s *side) text(resp kmsg.Response) string {
	t := kafkatest.Text{Sorted: true, Messages: true,
		Hide: []string{"ClusterID", "LeaderEpoch", "CurrentLeader", "Configs",
			"CoordinatorEpoch", "FinalizedFeaturesEpoch", "RecordBatches"}}
	t.Value = func(name string, v reflect.Value) (string, bool) {
		switch name {
		case "ProducerID":
			if v.Int() >= 0 {
				return s.letter("producer", v.Int()), true
			}
		case "TopicID":
			if !v.IsZero() {
				return s.letter("topic", v.Interface()), true
			}
		case "MemberID", "LeaderID", "Leader":
			if v.Kind() == reflect.String && v.String() != "" {
				return s.letter("member", v.String()), true
			}
		case "Generation": // jumps at a restart
			if v.Int() >= 0 {
				return "a generation", true
			}
		}
		return "", false
	}
	return t.Of(resp)
}

// step is one request of a history, as each side sends it.
type step struct {
	text    string
	conn    int
	request func(*side) kmsg.Request
	// then notes what the answer gives; nil does nothing.
	then func(*side, kmsg.Response)
	// answer does the step and writes down what came of it; nil sends request.
	answer func(*side) string
	// show writes an answer down; nil writes it all.
	show func(*side, kmsg.Response) string
}

func (st *step) run(s *side) string {
	s.t.Helper()
	if st.answer != nil {
		return st.answer(s)
	}
	resp := s.ask(st.conn, st.request(s))
	if st.then != nil {
		st.then(s, resp)
	}
	if st.show != nil {
		return st.show(s, resp)
	}
	return s.text(resp)
}

func TestSameHistorySameAnswers(t *testing.T) {
	histories, steps, first := 4, 250, uint64(time.Now().UnixNano()%1_000_000)
	if n := os.Getenv("ONCE_METAMORPHIC"); n != "" {
		var err error
		if histories, err = strconv.Atoi(n); err != nil {
			t.Fatal(err)
		}
		steps *= 10
	}
	if n := os.Getenv("ONCE_METAMORPHIC_SEED"); n != "" {
		var err error
		if first, err = strconv.ParseUint(n, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	for i := range histories {
		seed := first + uint64(i)
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			holdHistory(t, seed, steps)
		})
	}
}

// otherSide draws the options of the second cluster. Restarts are those that lose nothing in its mode.
func otherSide(t *testing.T, dice *rand.Rand) (other *side, restarts []string) {
	t.Helper()
	env := Env{Durability: []string{"page", "txn", "fsync"}[dice.IntN(3)], BootID: "boot 0"}
	dir, kind := "data", "in memory"
	restarts = []string{"stop", "kill"}
	if dice.IntN(3) == 0 {
		dir, kind = filepath.ToSlash(t.TempDir()), "on disk"
	} else {
		disk := vfs.NewCrashable(dice.Int64())
		env.FS, env.Metadata = disk, MetadataOn(disk)
		if env.Durability == "fsync" {
			restarts = append(restarts, "power cut")
		}
	}
	values := map[string]string{
		"log.segment.bytes":                    "1048576",
		"log.roll.ms":                          []string{"1", "1000", "3600000"}[dice.IntN(3)],
		"log.index.interval.bytes":             []string{"0", "100", "4096"}[dice.IntN(3)],
		"offsets.topic.num.partitions":         []string{"3", "50"}[dice.IntN(2)], // g and h have one of their own,
		"transaction.state.log.num.partitions": []string{"1", "3", "50"}[dice.IntN(3)],
		"offsets.topic.segment.bytes":          "1048576",
	}
	t.Logf("the other cluster is %s, %s, with %v", kind, env.Durability, values)
	return newSide(t, "the other cluster", env, dir, values), restarts
}

func holdHistory(t *testing.T, seed uint64, steps int) {
	dice := rand.New(rand.NewPCG(seed, 1))
	plain := newSide(t, "the plain cluster", InMemory(Env{}), "data", nil)
	other, restarts := otherSide(t, dice)
	h := &history{Rand: dice, began: map[string]time.Duration{}, shortened: map[kafkatest.Place]bool{}}
	var told []string
	for n := range steps {
		if dice.IntN(25) == 0 {
			how := restarts[dice.IntN(len(restarts))]
			told = append(told, fmt.Sprintf("%d: %s of the other cluster", n, how))
			other.restart(how)
			// A start replays producers that have been forgotten; the next check forgets them again.
			plain.advance(0)
			other.advance(0)
		}
		st := h.next()
		told = append(told, fmt.Sprintf("%d: %s", n, st.text))
		want, got := st.run(plain), st.run(other)
		if t.Failed() || got != want {
			t.Fatalf("%s\nThe plain cluster answers\n%s\nthe other one\n%s", strings.Join(told, "\n"), want, got)
		}
	}
	if err := other.c.Close(); err != nil {
		t.Fatal(err)
	}
	if h.forgets { // what has been forgotten is not in the log
		return
	}
	inspecttest.RequireCleanOn(t, other.c.env.FS, other.dir, inspect.Options{BootID: other.c.env.BootID},
		"the file can be deleted") // derived, and what kills and power cuts leave of it
	if t.Failed() {
		t.Log(strings.Join(told, "\n"))
	}
}
