package topics

import (
	"errors"
	"io"
	"log/slog"
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"once/durability"
	"once/internal/clock"
	"once/internal/vfs"
	"once/log/batch"
	"once/log/directory"
	"once/meta"
	"once/settings"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// place is a data directory that topics can be opened on again and again.
type place struct {
	t       *testing.T
	fs      *vfs.Mem
	path    string
	store   meta.Store
	barrier *durability.Barrier
	ts      *Topics
	starts  int32
}

func newPlace(t *testing.T) *place {
	p := &place{t: t, fs: vfs.NewMem(), path: filepath.Join(t.TempDir(), "meta.db")}
	if err := p.fs.MkdirAll("data"); err != nil {
		t.Fatal(err)
	}
	p.open()
	t.Cleanup(func() { p.stop(true) })
	return p
}

func (p *place) open() {
	p.t.Helper()
	var err error
	if p.store, err = meta.Open(p.path, meta.Options{}); err != nil {
		p.t.Fatal(err)
	}
	p.barrier, err = durability.Open(durability.Options{FS: p.fs, Dir: "data", FindLogs: directory.Logs, BootID: "boot",
		Interval: time.Hour, Logger: quiet, OnFailure: func(err error) { p.t.Error(err) }})
	if err != nil {
		p.t.Fatal(err)
	}
	s, _, err := settings.Resolve()
	if err != nil {
		p.t.Fatal(err)
	}
	p.starts++
	p.ts, err = Open(Options{Store: p.store, FS: p.fs, Dir: "data", Barrier: p.barrier, Settings: s, Starts: p.starts,
		Clock: clock.Real{}, Logger: quiet, MaxInflatedBytes: 1 << 20})
	if err != nil {
		p.t.Fatal(err)
	}
}

// stop closes everything; without clean the logs are left as a killed process leaves them.
func (p *place) stop(clean bool) {
	if p.ts == nil {
		return
	}
	if clean {
		if err := p.ts.Close(); err != nil {
			p.t.Error(err)
		}
	}
	if err := p.barrier.Close(clean); err != nil {
		p.t.Error(err)
	}
	if err := p.store.Close(); err != nil {
		p.t.Error(err)
	}
	p.ts = nil
}

func (p *place) append(topic string, n int) {
	p.t.Helper()
	part, ok := p.ts.Partition(topic, 0)
	if !ok {
		p.t.Fatalf("no topic %s", topic)
	}
	for range n {
		raw := batch.Build(batch.BuildOptions{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1,
			TimestampMs: time.Now().UnixMilli(), LeaderEpoch: -1}, batch.Record{Value: []byte("v")})
		if _, err := part.AppendClient(raw, 0, 13); err != nil {
			p.t.Fatal(err)
		}
	}
}

func (p *place) create(name string, partitions int32, overrides settings.Values) *Topic {
	p.t.Helper()
	t, err := p.ts.Create(Spec{Name: name, Partitions: partitions, Overrides: overrides})
	if err != nil {
		p.t.Fatal(err)
	}
	return t
}

func TestTopicsComeBackWithIdentityRecordsAndConfiguration(t *testing.T) {
	for _, clean := range []bool{true, false} {
		p := newPlace(t)
		id := p.create("orders", 40, settings.Values{"retention.ms": "5000"}).ID
		p.append("orders", 3)
		epoch := must(p.ts.Partition("orders", 0)).LeaderEpoch()
		p.stop(clean)
		p.open()
		got, ok := p.ts.LookupID(id)
		if !ok || got.Name != "orders" || len(got.Partitions()) != 40 {
			t.Fatalf("clean=%v: %+v %v", clean, got, ok)
		}
		if got.Config().RetentionMs != 5000 {
			t.Errorf("clean=%v: retention.ms is %d", clean, got.Config().RetentionMs)
		}
		part := must(p.ts.Partition("orders", 0))
		if part.LogEndOffset() != 3 {
			t.Errorf("clean=%v: log end offset %d", clean, part.LogEndOffset())
		}
		if part.LeaderEpoch() <= epoch {
			t.Errorf("clean=%v: leader epoch %d after %d", clean, part.LeaderEpoch(), epoch)
		}
	}
}

func must[T any](v T, ok bool) T {
	if !ok {
		panic("missing")
	}
	return v
}

func TestNamesAreChecked(t *testing.T) {
	p := newPlace(t)
	p.create("a.b", 1, nil)
	for name, want := range map[string]error{
		"": ErrInvalidName, ".": ErrInvalidName, "..": ErrInvalidName, "a/b": ErrInvalidName, "ä": ErrInvalidName,
		strings.Repeat("x", 250): ErrInvalidName,
		"a_b":                    ErrInvalidName, "a.b": ErrExists, strings.Repeat("x", 249): nil, "a-b": nil,
	} {
		if _, err := p.ts.Create(Spec{Name: name, Partitions: 1}); !errors.Is(err, want) {
			t.Errorf("%q: got %v, want %v", name, err, want)
		}
	}
	if _, err := p.ts.Create(Spec{Name: "many", Partitions: math.MaxInt32}); !errors.Is(err, ErrTooManyPartitions) {
		t.Errorf("got %v", err)
	}
	var invalid *settings.InvalidError
	if _, err := p.ts.Create(Spec{Name: "odd", Partitions: 1,
		Overrides: settings.Values{"retention.ms": "-2"}}); !errors.As(err, &invalid) {
		t.Errorf("got %v", err)
	}
	if _, ok := p.ts.Lookup("odd"); ok {
		t.Error("a refused topic exists")
	}
}

func TestADeletedTopicIsGoneForGood(t *testing.T) {
	p := newPlace(t)
	id := p.create("orders", 2, nil).ID
	p.append("orders", 3)
	old := must(p.ts.Partition("orders", 0))
	if err := p.ts.Delete("orders"); err != nil {
		t.Fatal(err)
	}
	if _, err := old.Offsets(); err == nil {
		t.Error("a deleted partition still answers")
	}
	again := p.create("orders", 1, nil)
	if again.ID == id || must(again.Partition(0)).LogEndOffset() != 0 {
		t.Errorf("the new topic has the old one's identity or records")
	}
	p.append("orders", 1)
	p.stop(false)
	p.open()
	if end := must(p.ts.Partition("orders", 0)).LogEndOffset(); end != 1 {
		t.Errorf("log end offset %d", end)
	}
}

// TestFilesOfAnInterruptedDeletionAreMovedAside is a kill between the record and the files: the topic is made
// again, and must not find the old records.
func TestFilesOfAnInterruptedDeletionAreMovedAside(t *testing.T) {
	p := newPlace(t)
	p.create("orders", 1, nil)
	p.append("orders", 3)
	if err := p.store.Update(func(tx meta.Tx) error { return tx.Delete(meta.Topics, "orders") }); err != nil {
		t.Fatal(err)
	}
	p.stop(false)
	p.open()
	p.create("orders", 1, nil)
	p.append("orders", 1)
	if end := must(p.ts.Partition("orders", 0)).LogEndOffset(); end != 1 {
		t.Errorf("log end offset %d", end)
	}
	names, err := p.fs.List("data")
	if err != nil {
		t.Fatal(err)
	}
	aside := 0
	for _, n := range names {
		if strings.HasPrefix(n, "orders-0.") && strings.HasSuffix(n, "-stray") {
			aside++
		}
	}
	if aside != 1 {
		t.Errorf("the old records are not kept aside: %v", names)
	}
}

func TestPartitionsAreAddedAndKept(t *testing.T) {
	p := newPlace(t)
	p.create("orders", 2, nil)
	for _, count := range []int32{1, 2} {
		if err := p.ts.AddPartitions("orders", count, false); !errors.Is(err, ErrInvalidPartitions) {
			t.Errorf("%d: got %v", count, err)
		}
	}
	if err := p.ts.AddPartitions("orders", 5, true); err != nil || len(must(p.ts.Lookup("orders")).Partitions()) != 2 {
		t.Errorf("a validation changed something: %v", err)
	}
	if err := p.ts.AddPartitions("orders", 5, false); err != nil {
		t.Fatal(err)
	}
	p.stop(true)
	p.open()
	if n := len(must(p.ts.Lookup("orders")).Partitions()); n != 5 {
		t.Errorf("%d partitions", n)
	}
}

func TestAnAlteredSettingActsAtOnceAndIsKept(t *testing.T) {
	p := newPlace(t)
	p.create("orders", 1, nil)
	set := func(v string, validateOnly bool) error {
		return p.ts.Alter("orders", func(o settings.Values) (settings.Values, error) {
			if o == nil {
				o = settings.Values{}
			}
			o["max.message.bytes"] = v
			return o, nil
		}, validateOnly)
	}
	if err := set("10", true); err != nil {
		t.Fatal(err)
	}
	p.append("orders", 1)
	if err := set("-1", false); err == nil {
		t.Error("a wrong value was taken")
	}
	if err := set("10", false); err != nil {
		t.Fatal(err)
	}
	p.stop(true)
	p.open()
	raw := batch.Build(batch.BuildOptions{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1, LeaderEpoch: -1},
		batch.Record{Value: []byte("v")})
	if _, err := must(p.ts.Partition("orders", 0)).AppendClient(raw, 0, 13); !errors.Is(err, batch.ErrTooLarge) {
		t.Errorf("got %v", err)
	}
}

// Where the file system takes Orders-0 for orders-0, there is one of these topics, even if both come in one request.
func TestTopicsDifferInMoreThanCaseWhereFilesDo(t *testing.T) {
	p := newPlace(t)
	p.create("orders", 1, nil)
	p.create("Orders", 1, nil)
	p.ts.foldsCase = true
	for _, name := range []string{"ORDERS", "oRDERS"} {
		_, err := p.ts.Create(Spec{Name: name, Partitions: 1, Together: map[string]bool{"orders": true, "Orders": true}})
		if !errors.Is(err, ErrInvalidName) || !strings.Contains(err.Error(), "upper and lower case") {
			t.Errorf("%s: %v", name, err)
		}
	}
	p.create("orders2", 1, nil)
}

// TestNoTopicCollidesWithTheBrokersOwnFiles makes topics whose directories could be taken for files that
// stand in the data directory.
func TestNoTopicCollidesWithTheBrokersOwnFiles(t *testing.T) {
	p := newPlace(t)
	for _, name := range []string{"barrier", "meta.db", ".lock", "x-delete", "x.stray"} {
		p.create(name, 2, nil)
		p.append(name, 1)
	}
	if err := p.barrier.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.stop(false)
	p.open()
	for _, topic := range p.ts.All() {
		if end := must(topic.Partition(0)).LogEndOffset(); end != 1 {
			t.Errorf("%s: log end offset %d", topic.Name, end)
		}
	}
}
