package inspect_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/cluster"
	"once/durability"
	"once/handlers"
	"once/inspect"
	"once/internal/clock"
	"once/internal/kafkatest"
	"once/internal/memnet"
	"once/internal/vfs"
	"once/log/batch"
	"once/settings"
	"once/wire"
)

// sweepDir is the data directory in memory, and sweepPartitions the partitions that hold records of clients.
const sweepDir = "data"

var sweepPartitions = []string{"plain-0", sweepCompacted, "zipped-0", "pay-0", "aged-0", "late-0"}

// sweepCompacted is the partition in whose log offsets may be missing.
const sweepCompacted = "keys-0"

// sweepSettings let no barrier, no look at retention and no pass of the cleaner come but those that are asked for.
var sweepSettings = settings.Values{
	"flush.interval.ms": "3600000", "offsets.topic.num.partitions": "1", "transaction.state.log.num.partitions": "1",
	"log.cleaner.backoff.ms": "3600000", "log.retention.check.interval.ms": "3600000",
}

// host serves one cluster after the other on one connection.
type host struct {
	t       *testing.T
	current atomic.Pointer[cluster.Cluster]
	conn    *kafkatest.Conn
	dial    func() *kafkatest.Conn
}

func newHost(t *testing.T) *host {
	t.Helper()
	h := &host{t: t}
	server, err := wire.NewServer(wire.Options{APIs: handlers.APIs()})
	if err != nil {
		t.Fatal(err)
	}
	l := memnet.Listen()
	served := make(chan error, 1)
	go func() {
		served <- server.Serve(l, func(ctx context.Context,
			r *wire.Request) wire.Reply {
			return h.current.Load().Handle(ctx, r)
		})
	}()
	h.dial = func() *kafkatest.Conn {
		nc, err := l.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return kafkatest.New(nc)
	}
	t.Cleanup(func() {
		if h.conn != nil {
			h.conn.Close()
		}
		if err := errors.Join(server.Shutdown(context.Background()), <-served); err != nil {
			t.Error(err)
		}
	})
	return h
}

// life is a cluster on a directory.
type life struct {
	*cluster.Cluster
	log bytes.Buffer // what it has logged; to be read when it is closed
}

// start opens a cluster and has it served. log is there even when it does not open.
func (h *host) start(fs vfs.FS, mode, bootID string, cleaner bool) (l *life, err error) {
	l = &life{}
	s, _, err := settings.Resolve(sweepSettings, settings.Values{"log.cleaner.enable": fmt.Sprint(cleaner)})
	if err != nil {
		h.t.Fatal(err)
	}
	frozen := clock.NewMovable()
	frozen.Freeze()
	env := cluster.Env{
		FS: fs, Metadata: cluster.MetadataOn(fs), Durability: mode, BootID: bootID, Settings: s, Clock: frozen,
		Logger: slog.New(slog.NewTextHandler(&l.log, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	if l.Cluster, err = cluster.Open(env, sweepDir); err != nil {
		return l, err
	}
	h.current.Store(l.Cluster)
	if h.conn == nil {
		h.conn = h.dial()
	}
	return l, nil
}

// ask sends a request; nil means that the connection was closed instead.
func (h *host) ask(r kmsg.Request) kmsg.Response {
	if h.conn == nil {
		h.conn = h.dial()
	}
	resp, err := h.conn.Request(r)
	if err != nil {
		h.conn.Close()
		h.conn = nil
		return nil
	}
	return resp
}

// sweepState is what a stop has left, and what clients know of it.
type sweepState struct {
	name, mode, bootID string
	clean              bool // the stop was
	left               *vfs.Mem
	ids                []string             // transactional IDs
	given, begun       map[[2]int64]bool    // producer IDs and epochs that InitProducerId and EndTxn have answered
	retry              *kmsg.ProduceRequest // the last batch of the idempotent producer
	sent               []byte
	right              answers // what is answered when nothing is damaged
	said               string  // what the log says then
	// what may be answered, too, when the newest barrier record or group of the journal is not whole
	older  []*answers
	points map[string]int64 // recovery points of the newest barrier record
}

// sweepStates makes directories as a clean stop, a kill and a power cut leave them.
func sweepStates(t *testing.T, h *host, modes ...string) (states []*sweepState) {
	for _, mode := range modes {
		disk := vfs.NewCrashable(1)
		l, err := h.start(disk, mode, "first", true)
		if err != nil {
			t.Fatal(err)
		}
		c := kafkatest.Must(t, h.conn)
		c.TimestampMs = time.Now().Add(-3 * time.Hour).UnixMilli()
		given, begun := map[[2]int64]bool{}, map[[2]int64]bool(nil) // begun: by InitProducerId alone
		restart := func() {
			err := l.Close()
			if err == nil {
				l, err = h.start(disk, mode, "first", false)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		retry := sweepStory(c, &l, restart, func(producers ...*kafkatest.Producer) {
			for _, p := range producers {
				given[[2]int64{p.ProducerID, int64(p.ProducerEpoch)}] = true
			}
			if begun == nil {
				begun = maps.Clone(given)
			}
		})
		killed, cut := disk.Clone(), disk.CrashClone()
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		for _, s := range []*sweepState{
			{name: "clean stop", bootID: "first", left: disk, clean: true},
			{name: "kill", bootID: "first", left: killed},
			{name: "power cut", bootID: "second", left: cut},
		} {
			s.mode, s.given, s.begun, s.retry, s.sent = mode, given, begun, retry,
				slices.Clone(retry.Topics[0].Partitions[0].Records)
			if mode == "page" && s.name == "power cut" { // docs/gaps.md
				s.given = begun
			}
			s.ids = []string{"one", "two", "old", openID}
			s.name = mode + ", " + s.name
			states = append(states, s)
		}
	}
	return states
}

// sweepStory is what happens: records of all kinds, in segments that timestamps far apart make. It returns the last
// batch of the idempotent producer.
func sweepStory(c *kafkatest.Client, l **life, restart func(), give func(...*kafkatest.Producer)) *kmsg.ProduceRequest {
	small := map[string]string{"segment.ms": "60000", "index.interval.bytes": "64"}
	with := func(more ...string) map[string]string {
		set := map[string]string{"segment.ms": small["segment.ms"], "index.interval.bytes": small["index.interval.bytes"]}
		for i := 0; i < len(more); i += 2 {
			set[more[i]] = more[i+1]
		}
		return set
	}
	c.CreateTopic("plain", 1, small)
	c.CreateTopic("keys", 1, with("cleanup.policy", "compact", "min.cleanable.dirty.ratio", "0"))
	c.CreateTopic("zipped", 1, map[string]string{"compression.type": "gzip"})
	c.CreateTopic("pay", 1, small)
	c.CreateTopic("aged", 1, with("retention.ms", "7200000"))
	idle, one, two, old, open := newProducer(c, "", false), newProducer(c, "one", false), newProducer(c, "two", false),
		newProducer(c, "old", true), newProducer(c, openID, false)
	give(one, two, old, open)
	round := func(i int) {
		n := fmt.Sprint(i)
		c.Produce(nil, "plain", 0, keyed("a"+n, "b"+n)...)
		c.Produce(nil, "plain", 0, keyed("c"+n)...)
		c.Produce(idle, "aged", 0, keyed("idle"+n)...)
		c.Produce(nil, "keys", 0, kafkatest.KeyValue("k1", n))
		c.Produce(nil, "keys", 0, kafkatest.KeyValue("k2", n))
		c.Produce(nil, "keys", 0, kafkatest.KeyValue("only"+n, n))
		c.Produce(one, "pay", 0, keyed("one"+n)...)
		c.Produce(two, "pay", 0, keyed("two"+n, "too"+n)...)
		c.Stage(one, "staged", "pay", 0, int64(i+1))
		c.Produce(old, "pay", 0, keyed("old"+n)...)
		c.Produce(one, "keys", 0, keyed("tx"+n)...)
		c.End(one, true)
		c.Stage(two, "dropped", "pay", 0, int64(i+1))
		c.End(two, i == 1)
		c.End(old, i != 1)
		give(one, two)
		c.TimestampMs += 100_000 // a new segment
	}
	for i := range 3 {
		round(i)
	}
	c.Produce(nil, "zipped", 0, keyed(strings.Repeat("z", 500), "y")...)
	c.Commit("plain", "plain", 0, 2, "")
	c.DeleteRecords("plain", 0, 2)
	(*l).Clock().Advance(time.Minute) // the cleaner compacts, retention deletes
	restart()
	round(3)
	c.Produce(idle, "aged", 0, keyed("young")...)
	newProducer(c, "barrier", false) // all that came before is known to a barrier
	round(4)
	c.CreateTopic("late", 1, nil)
	c.Produce(nil, "late", 0, keyed("late", "later")...)
	c.Produce(nil, "zipped", 0, keyed(strings.Repeat("x", 300), "w")...)
	c.Commit("plain", "plain", 0, 3, "")
	c.Produce(open, "pay", 0, keyed("never", "ended")...)
	c.Stage(open, "staged", "pay", 0, 9)
	last := idle.Batch(idle.Sequences[kafkatest.Place{Topic: "plain"}], c.TimestampMs,
		kafkatest.KeyValue(retriedKey, "the"),
		batch.Record{Value: []byte("barrier")})
	retry := idle.ProduceRequest("plain", 0, last)
	c.Append(retry)
	return retry
}

// learn fills in what is answered when nothing is damaged.
func (s *sweepState) learn(t *testing.T, h *host) {
	t.Helper()
	fs := s.left.Clone()
	report, err := inspect.Check(fs, sweepDir, inspect.Options{BootID: s.bootID})
	if err != nil || report.Err() != nil {
		t.Fatalf("%s: %v %v", s.name, err, report.Findings)
	}
	s.points = map[string]int64{}
	barriers := durability.ReadBarriers(fs, sweepDir)
	for name, e := range durability.NewestBarrier(&barriers).Entries {
		s.points[name] = e.RecoveryPoint
	}
	l, err := h.start(fs, s.mode, s.bootID, false)
	if err != nil {
		t.Fatal(err)
	}
	s.right = *h.answers(s.ids, func(string) bool { return true })
	after := h.goOn(s, &s.right)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	s.said = l.log.String()
	s.older = s.withoutNewest(t, h)
	if len(after.wrong)+len(after.again) > 0 {
		t.Fatal(s.name, after)
	}
	for name, p := range s.right.partitions {
		if p.code != 0 || p.wrong != "" {
			t.Fatalf("%s, %s: %v %s", s.name, name, p.code, p.wrong)
		}
		if s.points[name] > p.end {
			t.Fatalf("%s, %s: recovery point %d, end %d", s.name, name, s.points[name], p.end)
		}
	}
}

// withoutNewest returns what is answered without the newest barrier record, and without the last group of the journal,
// where a power cut can have left the directory so (docs/gaps.md).
func (s *sweepState) withoutNewest(t *testing.T, h *host) (all []*answers) {
	t.Helper()
	try := func(file string, change func([]byte)) *answers {
		fs := s.left.Clone()
		b := contentOf(fs, file)
		change(b)
		setContent(fs, file, b)
		l, err := h.start(fs, s.mode, s.bootID, false)
		if err != nil {
			return nil
		}
		defer l.Close()
		return h.answers(s.ids, func(string) bool { return true })
	}
	if s.bootID == "first" {
		return nil
	}
	barriers := durability.ReadBarriers(s.left, sweepDir)
	if s.mode == "page" {
		return append(all, try(durability.NewestBarrier(&barriers).File, func(b []byte) { clear(b) }))
	}
	content := contentOf(s.left, durability.JournalFile)
	generation := durability.NewestBarrier(&barriers).Generation
	last := 0
	for at := 4096; at < len(content); at += 4096 { // the groups of this record
		if bytes.HasPrefix(content[at:], []byte("ONCJ")) && binary.BigEndian.Uint64(content[at+16:]) == generation {
			last = at
		}
	}
	if a := try(durability.JournalFile, func(b []byte) { clear(b[last:]) }); a != nil && last > 0 {
		all = append(all, a)
	}
	return all
}

// Files of a directory in memory.

func (s *sweepState) files() (files []string) {
	entries, err := s.left.List(sweepDir)
	if err != nil {
		panic(err)
	}
	for _, name := range entries {
		inner, err := s.left.List(path.Join(sweepDir, name))
		if err != nil {
			files = append(files, name)
		}
		for _, file := range inner {
			files = append(files, path.Join(name, file))
		}
	}
	return slices.DeleteFunc(files, func(name string) bool { return name == "meta.db" || name == ".lock" })
}

func contentOf(fs vfs.FS, name string) []byte {
	f, err := fs.OpenRead(path.Join(sweepDir, name))
	if err != nil {
		panic(err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		panic(err)
	}
	b := make([]byte, size)
	if _, err := f.ReadAt(b, 0); err != nil && size > 0 {
		panic(err)
	}
	return b
}

func setContent(fs vfs.FS, name string, b []byte) {
	f, err := fs.OpenReadWrite(path.Join(sweepDir, name))
	if err == nil {
		err = f.Truncate(0)
	}
	if err == nil && len(b) > 0 {
		_, err = f.WriteAt(b, 0)
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		panic(err)
	}
}
