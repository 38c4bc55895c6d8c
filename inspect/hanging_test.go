package inspect_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/broker/brokertest"
	"once/inspect"
	"once/inspect/inspecttest"
	"once/internal/kafkatest"
	"once/internal/vfs"
	"once/log/batch"
)

// hung returns the directory of a stopped broker whose coordinator has forgotten two open transactions, one of a client
// before transactions V2. Both were preceded by a committed one. then is what happens before the stop.
func hung(t *testing.T, then func(b *brokertest.Broker, c *kafkatest.Client,
	ids map[string]*kafkatest.Producer)) string {
	t.Helper()
	dir := t.TempDir()
	few := map[string]string{"transaction.state.log.num.partitions": "3", "offsets.topic.num.partitions": "3"}
	b := brokertest.Start(t, brokertest.WithDataDir(dir), brokertest.WithSettings(t, few))
	c := kafkatest.Connect(t, b.Addr())
	c.CreateTopic("x", 2, nil)
	ids := map[string]*kafkatest.Producer{"new": newProducer(c, "new", false), "old": newProducer(c, "old", true)}
	for _, id := range []string{"new", "old"} {
		p := ids[id]
		c.Produce(p, "x", 0, keyed("committed")...)
		c.End(p, true)
		c.Produce(p, "x", 0, keyed("left open")...)
		c.Produce(p, "x", 1, keyed("left open")...)
		c.Stage(p, "staged", "x", 0, 9)
		hang(t, b, id)
	}
	then(b, c, ids)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func hang(t *testing.T, b *brokertest.Broker, id string) {
	t.Helper()
	v, ok := b.Cluster().View()
	if !ok {
		t.Fatal("the cluster is down")
	}
	defer v.End()
	if done, err := v.Txns.Hang(id); !done || err != nil {
		t.Fatal(id, done, err)
	}
}

func nothing(*brokertest.Broker, *kafkatest.Client, map[string]*kafkatest.Producer) {}

func hangingIn(t *testing.T, dir string) inspect.Counters {
	t.Helper()
	report, err := inspect.Check(vfs.OS, dir, inspect.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := report.Write(&out); err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf(" hanging=%d ", report.Counters.Hanging); !strings.Contains(out.String(), want) {
		t.Errorf("%q is missing in %s", want, out.String())
	}
	return report.Counters
}

// A transaction that the coordinator was told to forget hangs in each of its partitions. That is counted, and is no
// damage, also after a restart.
func TestHangingTransactionsAreNoDamage(t *testing.T) {
	dir := hung(t, nothing)
	for range 2 {
		inspecttest.RequireClean(t, dir)
		if c := hangingIn(t, dir); c.Hanging != 6 || c.Damage != 0 {
			t.Errorf("%+v", c)
		}
		b := brokertest.Start(t, brokertest.WithDataDir(dir))
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// What an administrator aborts hangs no more, and his marker is no damage. The ID may be used again.
func TestAbortedHangingTransactionsAreNoDamage(t *testing.T) {
	dir := hung(t, func(_ *brokertest.Broker, c *kafkatest.Client, ids map[string]*kafkatest.Producer) {
		for _, p := range ids {
			r := kmsg.NewPtrWriteTxnMarkersRequest()
			r.Version = 1
			r.Markers = []kmsg.WriteTxnMarkersRequestMarker{{ProducerID: p.ProducerID, ProducerEpoch: p.ProducerEpoch,
				Topics: []kmsg.WriteTxnMarkersRequestMarkerTopic{{Topic: "x", Partitions: []int32{0, 1}}}}}
			c.Answer(r)
		}
		again := newProducer(c, "new", false)
		c.Produce(again, "x", 0, keyed("again")...)
		c.End(again, true)
	})
	inspecttest.RequireClean(t, dir)
	if c := hangingIn(t, dir); c.Hanging != 2 { // the pending offsets
		t.Errorf("%+v", c)
	}
}

// A transaction that is open where its coordinator does not have it is damage, if the coordinator was not told to
// forget just that one.
func TestHangingTransactionsThatNobodyForgotAreDamage(t *testing.T) {
	// tombstone changes the record that forgets an ID.
	tombstone := func(change func(r *batch.Record)) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			file := internalOf(t, dir, "__transaction_state", "new")
			all := batches(t, file)
			p := &all[len(all)-1]
			for r, err := range batch.Records(p.raw, 1<<20) {
				if err != nil || r.Value != nil || len(r.Headers) != 1 {
					t.Fatal(r, err)
				}
				change(&r)
				p.raw = batch.Build(batch.BuildOptions{BaseOffset: p.BaseOffset, ProducerID: -1, ProducerEpoch: -1,
					BaseSequence: -1, TimestampMs: p.BaseTimestampMs, LeaderEpoch: p.LeaderEpoch}, r)
			}
			rewrite(t, file, all)
		}
	}
	forgotten := func(change func(v *kmsg.TxnMetadataValue)) func(*testing.T, string) {
		return tombstone(func(r *batch.Record) {
			var v kmsg.TxnMetadataValue
			if err := v.ReadFrom(r.Headers[0].Value); err != nil {
				t.Fatal(err)
			}
			change(&v)
			r.Headers[0].Value = v.AppendTo(nil)
		})
	}
	c := inspecttest.NewCopy(t, hung(t, nothing))
	for name, spoil := range map[string]func(*testing.T, string){
		"tombstone of an open transaction":  tombstone(func(r *batch.Record) { r.Headers = nil }),
		"another transaction was forgotten": forgotten(func(v *kmsg.TxnMetadataValue) { v.ProducerID = 1 }),
		"another partition was forgotten":   forgotten(func(v *kmsg.TxnMetadataValue) { v.Topics[1].Topic = "y" }),
		"another epoch was forgotten":       forgotten(func(v *kmsg.TxnMetadataValue) { v.ProducerEpoch = 77 }),
	} {
		t.Run(name, func(t *testing.T) {
			dir := c.Restore()
			spoil(t, dir)
			lines := strings.Join(check(t, dir, inspect.Damage, inspect.Options{}), "\n")
			for _, want := range []string{"is removed in state Ongoing", "hanging transaction of producer"} {
				if !strings.Contains(lines, want) {
					t.Errorf("%q is missing in\n%s", want, lines)
				}
			}
		})
	}
}

// The tombstone says which transaction hangs also when compaction has removed the older records of the ID. When it has
// removed the tombstone, nobody can say any more whether the transaction was forgotten, and it is a warning.
func TestHangingTransactionsInACompactedLog(t *testing.T) {
	settings := map[string]string{"transaction.state.log.num.partitions": "1"}
	b := brokertest.Start(t, brokertest.WithSettings(t, settings))
	c := kafkatest.Connect(t, b.Addr())
	c.CreateTopic("x", 1, nil)
	p := newProducer(c, "pay", false)
	c.Produce(p, "x", 0, keyed("left open")...)
	hang(t, b, "pay")
	const aSegment = 8 * 24 * time.Hour // is rolled after seven days
	for _, severity := range []inspect.Severity{inspect.Note, inspect.Warning} {
		for range 2 {
			b.Clock().Advance(aSegment)
			newProducer(c, "another", false)
		}
		b.Clock().Advance(time.Hour)
		image, err := b.Cluster().Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		report, err := inspect.Check(image.FS(), image.Dir(), inspect.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if len(report.Findings) != 1 || report.Findings[0].Severity != severity || report.Counters.Hanging != 1 {
			t.Errorf("%v was wanted: %v %+v", severity, report.Findings, report.Counters)
		}
		if err := image.Remove(); err != nil {
			t.Error(err)
		}
	}
}
