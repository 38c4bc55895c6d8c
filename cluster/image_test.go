package cluster

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/inspect"
	"once/inspect/inspecttest"
	"once/internal/kafkatest"
	"once/internal/vfs"
	"once/log"
	"once/log/batch"
	"once/topics"
	"once/wire"
)

// send produces a record into partition 0 of a topic, within the producer's transaction.
func (c *client) send(p *kafkatest.Producer, topic string, value []byte) wire.Code {
	c.t.Helper()
	_, err := c.Quiet().Produce(p, topic, 0, batch.Record{Value: value})
	return wire.Code(kafkatest.Code(c.t, err))
}

// producer returns a new producer of transactions V2.
func (c *client) producer(transactionalID string) *kafkatest.Producer {
	c.t.Helper()
	p, _ := c.InitProducer(transactionalID)
	return p
}

// committed returns the values that a read_committed consumer gets of a topic.
func (c *client) committed(topic string) []string {
	c.t.Helper()
	values, _, _ := c.Consume(topic, 0, 0, true)
	return values
}

// forkOf opens a fork of a cluster, from a new snapshot, until the end of the test.
func forkOf(t *testing.T, c *Cluster, dir string) *Cluster {
	t.Helper()
	image, err := c.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	fork, err := OpenImage(Env{NoSync: c.env.NoSync}, dir, image)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = fork.Close() })
	if err := image.Remove(); err != nil {
		t.Error(err)
	}
	return fork
}

// A fork has what was there at the instant of the snapshot, and goes on by itself.
func TestForkIsIndependent(t *testing.T) {
	for name, env := range map[string]Env{"in memory": InMemory(Env{}), "ephemeral": {NoSync: true}, "on disk": {}} {
		t.Run(name, func(t *testing.T) {
			dir := "data"
			if env.FS == nil {
				dir = filepath.ToSlash(t.TempDir())
			}
			c, err := Open(env, dir+"/original")
			if err != nil {
				t.Fatal(err)
			}
			conn := connect(t, c)
			conn.CreateTopic("x", 1, nil)
			conn.CreateTopic("y", 1, nil)
			open, ended, idle := conn.producer("open"), conn.producer("ended"), conn.producer("idle")
			for _, commit := range []bool{true, false, true} {
				conn.send(ended, "x", fmt.Append(nil, "ended ", commit))
				conn.End(ended, commit)
			}
			conn.send(open, "x", []byte("open"))
			large := make([]byte, 3<<20) // more than is copied
			for range 3 {
				conn.produceValue("y", large[:1<<19])
			}
			conn.Commit("g", "x", 0, 3, "")
			member, _ := conn.Join("g2")

			fork := forkOf(t, c, dir+"/fork")
			forked := connect(t, fork)
			other := forkOf(t, fork, dir+"/fork of fork")

			conn.send(open, "x", []byte("still open"))
			conn.End(open, true)
			conn.produceValue("y", []byte("of the original"))
			want := []string{"ended true", "ended true"}
			if got := forked.committed("x"); !slices.Equal(got, want) {
				t.Errorf("the fork has %q, not %q", got, want)
			}
			if got, want := conn.committed("x"), append(want, "open", "still open"); !slices.Equal(got, want) {
				t.Errorf("the original has %q, not %q", got, want)
			}
			if n := len(forked.committed("y")); n != 3 {
				t.Errorf("the fork has %d large records", n)
			}
			if got := forked.offset("g", "x"); got != 3 {
				t.Errorf("the fork has the committed offset %d", got)
			}
			if code := forked.heartbeat("g2", member); code != wire.UnknownMemberID {
				t.Errorf("a member of the original is answered %v", code)
			}
			again, _ := forked.Join("g2")
			if again.LeaderID != again.MemberID {
				t.Error("a member waits for those of the original")
			}

			// Whoever was a producer of the original is none of the fork.
			for _, p := range []*kafkatest.Producer{open, ended, idle} {
				stranger := *p
				stranger.Sequences = map[kafkatest.Place]int32{}
				if code := forked.send(&stranger, "x", []byte("stranger")); code == wire.NoError {
					t.Errorf("%q of the original writes to the fork", p.TransactionalID)
				}
			}
			seen := map[int64]string{}
			for name, conn := range map[string]*client{"original": conn, "fork": forked, "fork of fork": connect(t, other)} {
				for _, id := range []string{"open", "ended", "idle", "new"} {
					p := conn.producer(id)
					if by := seen[p.ProducerID]; by != "" {
						t.Errorf("producer ID %d of %q is given by %s and by %s", p.ProducerID, id, by, name)
					}
					seen[p.ProducerID] = name
					conn.send(p, "x", []byte(name))
					conn.End(p, true)
				}
			}
			ids := map[string]bool{}
			for _, c := range []*Cluster{c, fork, other} {
				ids[c.engine().identity.clusterID] = true
				if err := c.Close(); err != nil {
					t.Fatal(err)
				}
				inspecttest.RequireCleanOn(t, c.env.FS, c.dir, inspect.Options{})
			}
			if len(ids) != 3 {
				t.Errorf("cluster IDs %v", ids)
			}
		})
	}
}

// produceValue produces a record of no producer into partition 0 of a topic.
func (c *client) produceValue(topic string, value []byte) {
	c.t.Helper()
	c.Produce(nil, topic, 0, batch.Record{Value: value})
}

func (c *client) heartbeat(group string, m *kmsg.JoinGroupResponse) wire.Code {
	r := kmsg.NewPtrHeartbeatRequest()
	r.Version, r.Group, r.Generation, r.MemberID = 3, group, m.Generation, m.MemberID
	return wire.Code(c.ask(r).(*kmsg.HeartbeatResponse).ErrorCode)
}

// A snapshot is one instant over all partitions: of a writer that goes from one topic to the next, none has a record
// that the one before lacks, and of a transaction over two there is all or nothing.
func TestSnapshotIsOneInstant(t *testing.T) {
	c := opened(t, InMemory(Env{}))
	first := connect(t, c)
	for _, topic := range []string{"a", "z", "ta", "tz"} {
		first.CreateTopic(topic, 1, nil)
	}
	// Noting the ends of all partitions takes time, in which a writer gets from "a" to "z".
	if _, err := c.engine().topics.Create(topics.Spec{Name: "between", Partitions: 20_000}); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var writers sync.WaitGroup
	defer writers.Wait()
	defer close(done)
	number := func(n int) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }
	plain, transactional := connect(t, c), connect(t, c)
	producer := transactional.producer("t")
	writers.Go(func() {
		for n := 0; !isClosed(done); n++ {
			plain.produceValue("a", number(n))
			plain.produceValue("z", number(n))
		}
	})
	writers.Go(func() {
		for n := 0; !isClosed(done); n++ {
			transactional.send(producer, "ta", number(n))
			transactional.send(producer, "tz", number(n))
			transactional.End(producer, n%3 > 0)
		}
	})
	cut := 0 // in the middle of something
	for n := 0; n < 20 || cut == 0 && n < 500; n++ {
		image, err := c.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		a, z := batchesIn(t, image, "a"), batchesIn(t, image, "z")
		if z > a || a > z+1 {
			t.Fatalf("snapshot %d: of a writer, %d records are in the first topic and %d in the second", n, a, z)
		}
		cut += a - z
		if n == 0 {
			requireWholeTransactions(t, image)
		}
		if err := image.Remove(); err != nil {
			t.Fatal(err)
		}
	}
	if cut == 0 {
		t.Error("no snapshot came between two writes")
	}
}

// batchesIn counts the batches of the first partition of a topic in an image.
func batchesIn(t *testing.T, image *Image, topic string) (n int) {
	t.Helper()
	dir := path.Join(image.Dir(), topic+"-0")
	names, err := image.FS().List(dir)
	if err != nil {
		return 0 // without records there is no directory
	}
	for _, name := range names {
		if path.Ext(name) != log.LogSuffix {
			continue
		}
		info, err := image.FS().Stat(path.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		f, err := image.FS().OpenRead(path.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		raw := make([]byte, info.SizeBytes)
		if n, err := f.ReadAt(raw, 0); n < len(raw) {
			t.Fatal(err)
		}
		f.Close()
		for ; len(raw) > 0; n++ {
			h, err := batch.ParseHeader(raw)
			if err != nil {
				t.Fatal(err)
			}
			raw = raw[h.SizeBytes():]
		}
	}
	return n
}

// requireWholeTransactions fails the test if a transaction over ta and tz is in an image by half.
func requireWholeTransactions(t *testing.T, image *Image) {
	t.Helper()
	c, err := OpenImage(Env{}, "whole", image)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	fork := connect(t, c)
	if a, z := fork.committed("ta"), fork.committed("tz"); !slices.Equal(a, z) {
		t.Fatalf("of transactions, %d records are in the first topic and %d in the second", len(a), len(z))
	}
}

func isClosed(done chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// What is shared with an image is changed by nobody: the original compacts, deletes and goes on, a fork does so, and
// the next fork of the same image is as the first was.
func TestImageDoesNotChange(t *testing.T) {
	c := opened(t, InMemory(Env{}))
	conn := connect(t, c)
	_, err := c.engine().topics.Create(topics.Spec{Name: "x", Partitions: 1, Overrides: map[string]string{
		"segment.bytes": "1048576", "retention.bytes": "1", "cleanup.policy": "delete"}})
	if err != nil {
		t.Fatal(err)
	}
	value := make([]byte, 100<<10)
	for n := range 40 {
		value[0] = byte(n)
		conn.produceValue("x", value)
	}
	image, err := c.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	want := conn.committed("x")
	if image.SizeBytes() < int64(len(want)*len(value)) {
		t.Errorf("the image of %d records has %d bytes", len(want), image.SizeBytes())
	}
	for n := range 3 {
		c.engine().upkeep.applyRetention(time.Now().UnixMilli()) // deletes segments of the original
		fork, err := OpenImage(Env{}, fmt.Sprint("fork", n), image)
		if err != nil {
			t.Fatal(err)
		}
		forked := connect(t, fork)
		if got := forked.committed("x"); !slices.Equal(got, want) {
			t.Fatalf("fork %d has %d records, not %d", n, len(got), len(want))
		}
		for range 15 {
			forked.produceValue("x", value)
		}
		if err := fork.engine().barrier.Sync(context.Background()); err != nil {
			t.Fatal(err)
		}
		fork.engine().upkeep.applyRetention(time.Now().UnixMilli())
		if p, _ := fork.engine().topics.Partition("x", 0); p.LogStartOffset() == 0 {
			t.Error("the fork has deleted nothing")
		}
		if err := fork.Close(); err != nil {
			t.Fatal(err)
		}
		inspecttest.RequireCleanOn(t, fork.env.FS, fork.dir, inspect.Options{})
		inspecttest.RequireCleanOn(t, c.env.FS, image.Dir(), inspect.Options{})
	}
	if p, _ := c.engine().topics.Partition("x", 0); p.LogStartOffset() == 0 {
		t.Error("the original has deleted nothing")
	}
}

// The segment that is written to is shared with nobody: the original goes on in its own, and so does each fork.
func TestActiveSegmentIsNotShared(t *testing.T) {
	for name, env := range map[string]Env{"in memory": InMemory(Env{}), "on disk": {}} {
		t.Run(name, func(t *testing.T) {
			root := "root"
			if env.FS == nil {
				root = filepath.ToSlash(t.TempDir())
			}
			c, err := Open(env, root+"/data")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = c.Close() })
			conn := connect(t, c)
			conn.CreateTopic("x", 1, nil)
			conn.produceValue("x", []byte("first"))
			image, err := c.Snapshot()
			if err != nil {
				t.Fatal(err)
			}
			conn.produceValue("x", []byte("original"))
			for n := range 2 {
				fork, err := OpenImage(Env{}, fmt.Sprintf("%s/fork%d", root, n), image)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = fork.Close() })
				forked := connect(t, fork)
				if got := forked.committed("x"); !slices.Equal(got, []string{"first"}) {
					t.Errorf("fork %d has %q", n, got)
				}
				forked.produceValue("x", []byte("of a fork"))
			}
			if got := conn.committed("x"); !slices.Equal(got, []string{"first", "original"}) {
				t.Errorf("the original has %q", got)
			}
		})
	}
}

// Opening an image that is cut off at any operation leaves a directory that is refused, or that the next start makes a
// whole fork of.
func TestOpeningAnImageSurvivesDeathAtEveryOperation(t *testing.T) {
	finished := 0
	for n, fired := 0, true; fired; n++ {
		disk := vfs.NewCrashable(int64(n))
		dying := vfs.DieAt(1<<30, disk)
		c := opened(t, Env{FS: dying, Metadata: MetadataOn(dying), BootID: "one"})
		conn := connect(t, c)
		conn.CreateTopic("x", 1, nil)
		conn.send(conn.producer("t"), "x", []byte("open"))
		conn.Join("g")
		image, err := c.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		dying.Arm(n)
		fork, err := OpenImage(Env{}, "fork", image)
		if fired = dying.Fired(); fired == (err == nil) && err != nil {
			t.Fatalf("operation %d, fired %v: %v", n, fired, err)
		}
		if err == nil {
			_ = fork.Kill()
		}
		after := disk.Clone()
		fork, err = Open(Env{FS: after, Metadata: MetadataOn(after), BootID: "one"}, "fork")
		if err != nil {
			continue
		}
		if _, ok := fork.engine().topics.Lookup("x"); ok {
			finished++
			forked := connect(t, fork)
			if got := forked.committed("x"); len(got) > 0 {
				t.Errorf("operation %d: the fork has %q", n, got)
			}
			p, _ := fork.engine().topics.Partition("x", 0)
			if p.LastStableOffset() != p.HighWatermark() {
				t.Errorf("operation %d: a transaction is open", n)
			}
			next := forked.producer("t")
			if next.ProducerID < 1<<forkRangeBits {
				t.Errorf("operation %d: producer ID %d is one of the original's", n, next.ProducerID)
			}
			if again, _ := forked.Join("g"); again.LeaderID != again.MemberID {
				t.Errorf("operation %d: a member waits for that of the original", n)
			}
		}
		if err := fork.Close(); err != nil {
			t.Error(err)
		}
	}
	if finished < 5 {
		t.Errorf("%d deaths left a fork to finish", finished)
	}
}

// A topic may be called as the cluster's own files and directories are: its records survive a restart and an image of
// it, a reset removes them, and its name can be given again.
func TestTopicsNamedLikeTheClustersFiles(t *testing.T) {
	c := opened(t, InMemory(Env{}))
	conn := connect(t, c)
	names := []string{".reset", ".image", ".reset.1", ".image.1", metaFile, metaFile + ".next", lockFile, "barrier.0"}
	create := func() {
		t.Helper()
		for _, name := range names {
			if _, err := c.engine().topics.Create(topics.Spec{Name: name, Partitions: 3}); err != nil {
				t.Fatal(err)
			}
			for i := range int32(3) {
				if _, err := conn.Produce(nil, name, i, batch.Record{Value: []byte("v")}); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	look := func(c *Cluster, when string) {
		t.Helper()
		for _, name := range names {
			for i := range int32(3) {
				p, ok := c.engine().topics.Partition(name, i)
				if !ok {
					t.Fatalf("%s there is no %s-%d", when, name, i)
				}
				if o, err := p.Offsets(); err != nil || o.HighWatermark != 1 {
					t.Errorf("%s %s-%d has %+v, %v", when, name, i, o, err)
				}
			}
		}
	}
	create()
	image, err := c.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	fork, err := OpenImage(Env{}, "fork", image)
	if err != nil {
		t.Fatal(err)
	}
	defer fork.Close()
	look(fork, "in a fork")
	if err := c.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := c.Reopen(); err != nil {
		t.Fatal(err)
	}
	look(c, "after a kill")
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if c, err = Open(c.env, c.dir); err != nil {
		t.Fatal(err)
	}
	look(c, "after a stop")
	c.removing.Wait()
	if _, err := c.env.FS.Stat(image.Dir()); err == nil {
		t.Error("the image of an earlier process is still there")
	}
	conn = connect(t, c)
	if err := c.Reset(ResetOptions{}); err != nil {
		t.Fatal(err)
	}
	create()
	look(c, "after a reset")
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	inspecttest.RequireCleanOn(t, c.env.FS, c.dir, inspect.Options{})
}

// A snapshot that is dropped while another is kept under its name leaves no directory behind.
func TestSnapshotsOfOneNameKeptAndDroppedAtOnce(t *testing.T) {
	c := opened(t, InMemory(Env{}))
	for range 100 {
		var both sync.WaitGroup
		both.Go(func() {
			if _, err := c.KeepSnapshot("s"); err != nil {
				t.Error(err)
			}
		})
		both.Go(func() {
			if err := c.DropSnapshot("s"); err != nil && !errors.Is(err, ErrNoSnapshot) {
				t.Error(err)
			}
		})
		both.Wait()
		kept, err := c.Snapshots()
		if err != nil {
			t.Fatal(err)
		}
		names, err := c.env.FS.List(c.path(snapshotsDirectory))
		if err != nil || len(names) != 2*len(kept) {
			t.Fatalf("%d snapshots in %q: %v", len(kept), names, err)
		}
	}
}
