package broker_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"once/broker"
	"once/broker/brokertest"
	"once/cluster"
	"once/internal/kafkatest"
	"once/seed"
)

const seedText = `
- name: orders
  partitions: 2
  configs: {cleanup.policy: compact}
  records:
    - {key: a, value: one, partition: 1}
    - {key: b, value: two, partition: 1, headers: {h: x}, timestamp: 1000}
- name: small
  configs: {max.message.bytes: 200}
  records: [{value: x}, {value: y}, {value: z}]
`

// Before the first client is served the topics of the seed are there with their records, in every mode. At a later
// start they are left as they are.
func TestSeedIsThereWithTheFirstClientAndMadeOnce(t *testing.T) {
	for _, durability := range []string{"page", "fsync"} {
		options := []brokertest.Option{brokertest.WithDataDir(t.TempDir()), brokertest.WithSeed(t, seedText),
			func(c *broker.Config) { c.Durability = durability }}
		b := brokertest.Start(t, options...)
		c := kafkatest.Connect(t, b.Addr())
		records, _, err := c.Read("orders", 1, 0, true)
		if err != nil || len(records) != 2 || records[0].Key != "a" || records[1].Value != "two" {
			t.Errorf("%s: %+v, %v", durability, records, err)
		}
		if values, _, err := c.Consume("small", 0, 0, true); err != nil || strings.Join(values, " ") != "x y z" {
			t.Errorf("%s: %q, %v", durability, values, err)
		}
		if _, err := c.Produce(nil, "small", 0, kafkatest.Values("later")...); err != nil {
			t.Fatal(err)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		b = brokertest.Start(t, options...)
		c = kafkatest.Connect(t, b.Addr())
		if values, _, err := c.Consume("small", 0, 0, true); err != nil || strings.Join(values, " ") != "x y z later" {
			t.Errorf("%s, at the second start: %q, %v", durability, values, err)
		}
	}
}

// Of a seed that cannot be made, nothing is left.
func TestSeedThatFailsLeavesNothing(t *testing.T) {
	b := brokertest.Start(t)
	topics, err := seed.Parse([]byte("- {name: a.b, records: [{value: x}]}\n- name: a_b"))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Cluster().Seed(t.Context(), topics); !errors.Is(err, cluster.ErrConfig) ||
		!strings.Contains(err.Error(), "the topic a_b of the seed") {
		t.Errorf("%v", err)
	}
	all := kmsg.NewPtrMetadataRequest()
	all.Version = 12
	for _, topic := range kafkatest.Connect(t, b.Addr()).Answer(all).(*kmsg.MetadataResponse).Topics {
		if !topic.IsInternal {
			t.Errorf("the topic %s is left", *topic.Topic)
		}
	}
}

// The partition of a key is the one that a client's default partitioner chooses.
func TestSeedPutsKeysWhereClientsPutThem(t *testing.T) {
	text := "- name: x\n  partitions: 7\n  records:\n"
	for i := range 50 {
		text += fmt.Sprintf("  - {key: key-%d}\n", i)
	}
	b := brokertest.Start(t, brokertest.WithSeed(t, text))
	partitioner := kgo.StickyKeyPartitioner(nil).ForTopic("x")
	c, total := kafkatest.Connect(t, b.Addr()), 0
	for p := range int32(7) {
		records, _, err := c.Read("x", p, 0, false)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			if want := partitioner.Partition(&kgo.Record{Key: []byte(r.Key)}, 7); int32(want) != p {
				t.Errorf("%s is in partition %d, a client puts it into %d", r.Key, p, want)
			}
		}
		total += len(records)
	}
	if total != 50 {
		t.Errorf("%d records", total)
	}
}
