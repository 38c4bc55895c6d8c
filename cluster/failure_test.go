package cluster

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/internal/kafkatest"
	"once/internal/vfs"
	"once/meta"
	"once/topics"
)

// What fails while a cluster opens is the error of Open, and nobody else is told.
func TestFailureWhileOpening(t *testing.T) {
	told := make(chan error, 2)
	env := InMemory(Env{Logger: slog.New(slog.DiscardHandler), OnFailure: func(err error) { told <- err }})
	cause := errors.New("sync of the metadata")
	inner := env.Metadata
	env.Metadata = func(name string, o meta.Options) (meta.Store, error) {
		o.OnFailure(cause)
		o.OnFailure(errors.New("what follows from it"))
		return inner(name, o)
	}
	c, err := Open(env, "data")
	if !errors.Is(err, cause) || !errors.Is(err, ErrStorage) {
		t.Fatalf("Open returned %v, %v", c, err)
	}
	if len(told) != 0 {
		t.Errorf("OnFailure was told of %v", <-told)
	}
	env.Metadata = inner
	c, err = Open(env, "data") // the lock has been let go
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// A failed sync of an open cluster is told once, and what is closed afterwards is not a clean stop.
func TestFailureOfAnOpenCluster(t *testing.T) {
	told := make(chan error, 2)
	env := InMemory(Env{OnFailure: func(err error) { told <- err }, Durability: "fsync"})
	failing := vfs.FailAt(1<<30, env.FS)
	env.FS = failing
	c, err := Open(env, "data")
	if err != nil {
		t.Fatal(err)
	}
	failing.Arm(0)
	if err := c.engine().barrier.Checkpoint(t.Context()); err == nil {
		t.Fatal("a barrier whose first operation fails has succeeded")
	}
	if err := <-told; !errors.Is(err, vfs.ErrInjected) {
		t.Errorf("OnFailure was told of %v", err)
	}
	if !errors.Is(c.Err(), vfs.ErrInjected) || !errors.Is(c.Err(), ErrStorage) {
		t.Errorf("the cluster failed with %v", c.Err())
	}
	_ = c.Close()
	c, err = Open(env, "data")
	if err != nil {
		t.Fatal(err)
	}
	if c.engine().barrier.Clean() {
		t.Error("the stop counts as a clean one")
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// Committed offsets of a deleted topic that cannot be erased are logged: the topic is gone all the same.
func TestOffsetsOfADeletedTopicThatStayAreLogged(t *testing.T) {
	var logged bytes.Buffer
	c := opened(t, InMemory(Env{Logger: slog.New(slog.NewTextHandler(&logged, nil))}))
	e := c.engine()
	if _, err := e.topics.Create(topics.Spec{Name: "orders", Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	e.groups.Close()
	if err := e.topics.Delete("orders"); err != nil {
		t.Fatal(err)
	}
	_ = c.Close() // nothing logs any more
	if text := logged.String(); !strings.Contains(text, `"committed offsets of a deleted topic stay" topic=orders`) {
		t.Error(text)
	}
}

// The process dies after a topic was deleted, before its offsets are erased: the next start erases them.
func TestOffsetsOfADeletedTopicGoWithTheNextStart(t *testing.T) {
	c := opened(t, InMemory(Env{}))
	conn := connect(t, c)
	for _, topic := range []string{"x", "y"} {
		conn.CreateTopic(topic, 1, nil)
		conn.Commit("g", topic, 0, 5, "")
	}
	if err := c.engine().store.Update(func(tx meta.Tx) error { return tx.Delete(meta.Topics, "x") }); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := errors.Join(c.Kill(), c.Reopen()); err != nil {
			t.Fatal(err)
		}
		r := kafkatest.OffsetFetchRequest("g", "x", 0, false)
		r.Groups[0].Topics = nil // all
		topics := connect(t, c).ask(r).(*kmsg.OffsetFetchResponse).Groups[0].Topics
		if len(topics) != 1 || topics[0].Topic != "y" {
			t.Errorf("offsets of %v", topics)
		}
	}
}
