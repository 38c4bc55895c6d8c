package broker_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/internal/crashtest"
	"once/internal/invariant"
	"once/internal/kafkatest"
	"once/log/batch"
	"once/wire"
)

// offsetsClient commits offsets of many groups, each for many partitions with metadata as long as it may be: one
// after the other, several in a transaction that commits or aborts, and deletes groups.
type offsetsClient struct {
	*killClient
	producer *killProducer
	exists   map[string]bool // groups, as far as the client has been told
}

const (
	offsetGroups     = 40
	offsetPartitions = 50
	metadataBytes    = 4000
)

func newOffsetsClient(c *killClient) *offsetsClient {
	return &offsetsClient{killClient: c, exists: map[string]bool{}}
}

func (c *offsetsClient) arrive(first bool) {
	c.t.Helper()
	if first {
		c.createTopic("x", offsetPartitions, nil)
	}
	c.producer = c.killClient.producer("mover", true)
}

func (c *offsetsClient) step(version int64, dice *rand.Rand) (changes map[string]int64, do func()) {
	groups := make([]string, 1+dice.IntN(3))
	for i := range groups {
		groups[i] = fmt.Sprint("group", dice.IntN(offsetGroups))
	}
	changes = map[string]int64{}
	kind := dice.IntN(10)
	switch {
	case kind == 0 && c.exists[groups[0]]:
		changes[groups[0]] = 0
		return changes, func() { c.delete(groups[0]) }
	case kind < 6:
		changes[groups[0]] = version
		return changes, func() {
			r := kafkatest.OffsetCommitRequest(groups[0], "x", 0, version)
			r.Topics[0].Partitions = committed(groups[0], version)
			c.CommitOffsets(r)
			c.exists[groups[0]] = true
		}
	case kind < 9:
		for _, group := range groups {
			changes[group] = version
		}
	}
	return changes, func() {
		for _, group := range groups {
			r := c.producer.TxnOffsetCommitRequest(group, "x", 0, version)
			r.Topics[0].Partitions = staged(group, version)
			c.StageOffsets(c.producer.Producer, r)
			c.exists[group] = c.exists[group] || len(changes) > 0
		}
		c.producer.end(len(changes) > 0)
	}
}

// metadataOf is what a version of a group's offset has with it.
func metadataOf(group string, partition int32, version int64) string {
	unit := fmt.Sprintf("%s %d %d;", group, partition, version)
	return strings.Repeat(unit, metadataBytes/len(unit))
}

func committed(group string, version int64) []kmsg.OffsetCommitRequestTopicPartition {
	all := make([]kmsg.OffsetCommitRequestTopicPartition, offsetPartitions)
	for i := range all {
		all[i] = kmsg.NewOffsetCommitRequestTopicPartition()
		all[i].Partition, all[i].Offset = int32(i), version
		all[i].Metadata = kmsg.StringPtr(metadataOf(group, int32(i), version))
	}
	return all
}

func staged(group string, version int64) []kmsg.TxnOffsetCommitRequestTopicPartition {
	all := make([]kmsg.TxnOffsetCommitRequestTopicPartition, offsetPartitions)
	for i := range all {
		all[i] = kmsg.NewTxnOffsetCommitRequestTopicPartition()
		all[i].Partition, all[i].Offset = int32(i), version
		all[i].Metadata = kmsg.StringPtr(metadataOf(group, int32(i), version))
	}
	return all
}

func (c *offsetsClient) delete(group string) {
	c.t.Helper()
	r := kmsg.NewPtrDeleteGroupsRequest()
	r.Version, r.Groups = 2, []string{group}
	got := wire.Code(c.Answer(r).(*kmsg.DeleteGroupsResponse).Groups[0].ErrorCode)
	if got != wire.NoError && got != wire.GroupIDNotFound { // an earlier answer may have been lost
		c.t.Fatalf("deleting %s: %v", group, got)
	}
	c.exists[group] = false
}

// read fetches all offsets. Those of a group have one version, and each has the metadata that belongs to it.
func (c *offsetsClient) read() map[string]int64 {
	c.t.Helper()
	got := map[string]int64{}
	for n := range offsetGroups {
		group := fmt.Sprint("group", n)
		for i, p := range c.allOffsets(group) {
			if p.Offset == -1 && i == 0 {
				break
			}
			if i == 0 {
				got[group] = p.Offset
			}
			if p.Offset != got[group] || p.Metadata == nil || *p.Metadata != metadataOf(group, p.Partition, p.Offset) {
				c.t.Fatalf("%s: offset %d of x-%d beside %d of x-0, or with metadata of something else",
					group, p.Offset, p.Partition, got[group])
			}
		}
		c.exists[group] = got[group] != 0
	}
	return got
}

func (c *offsetsClient) allOffsets(group string) []kmsg.OffsetFetchResponseGroupTopicPartition {
	c.t.Helper()
	r := kafkatest.OffsetFetchRequest(group, "x", 0, true)
	for i := range int32(offsetPartitions - 1) {
		r.Groups[0].Topics[0].Partitions = append(r.Groups[0].Topics[0].Partitions, i+1)
	}
	return c.offsetsOf(r)
}

// keysClient writes keys of a compacted topic in one codec: outside of transactions, in some that commit or abort,
// and as tombstones.
type keysClient struct {
	*killClient
	codec      batch.Codec
	plain, txn *killProducer
	noise      []byte // what values are cut from: does not compress
}

const (
	keysTopic    = "keys"
	keyCount     = 4_000
	keysPerBatch = 50
	keyValue     = 3_000 // bytes
)

func newKeysClient(c *killClient, codec batch.Codec) *keysClient {
	return &keysClient{killClient: c, codec: codec, noise: seeded(4<<20, 1)}
}

func (c *keysClient) arrive(first bool) {
	c.t.Helper()
	if first {
		c.createTopic(keysTopic, 1, map[string]string{"cleanup.policy": "compact", "segment.bytes": "8388608"})
	}
	c.plain, c.txn = c.producer("", false), c.producer("keys", true)
}

func (c *keysClient) step(version int64, dice *rand.Rand) (changes map[string]int64, do func()) {
	records := make([]batch.Record, keysPerBatch)
	kind := dice.IntN(10)
	written := map[string]int64{}
	for i := range records {
		key := fmt.Sprint("key", dice.IntN(keyCount))
		records[i], written[key] = batch.Record{Key: []byte(key), Value: c.valueOf(key, version)}, version
		if kind == 0 && i%2 == 0 {
			records[i].Value, written[key] = nil, 0
		}
	}
	switch {
	case kind < 6:
		return written, func() { c.append(c.plain, records) }
	case kind < 9:
		return written, func() {
			c.append(c.txn, records)
			c.txn.end(true)
		}
	}
	return nil, func() {
		c.append(c.txn, records)
		c.txn.end(false)
	}
}

func (c *keysClient) valueOf(key string, version int64) []byte {
	var n int64
	_, _ = fmt.Sscanf(key, "key%d", &n)
	at := (n*7919 + version*104_729) % int64(len(c.noise)-keyValue)
	return fmt.Appendf(nil, "%d %s %s", version, key, c.noise[at:at+keyValue])
}

func (c *keysClient) append(p *killProducer, records []batch.Record) {
	c.t.Helper()
	at := kafkatest.Place{Topic: keysTopic}
	raw := p.Batch(p.Sequences[at], c.TimestampMs, records...)
	rules := batch.DefaultRules()
	rules.Recompress, rules.Codec = true, c.codec
	raw, _, err := batch.Prepare(raw, &rules, c.TimestampMs)
	if err != nil {
		c.t.Fatal(err)
	}
	p.send(raw, at, wire.NoError)
	p.Sequences[at] += int32(len(records))
}

// read reads what is committed. Each key has the value that belongs to its version.
func (c *keysClient) read() map[string]int64 {
	c.t.Helper()
	values := readNewest(c.t, c.Client, keysTopic)
	got := map[string]int64{}
	for key, value := range values {
		var version int64
		if _, err := fmt.Sscan(value, &version); err != nil || value != string(c.valueOf(key, version)) {
			c.t.Fatalf("%s has a value that was never written: %.40q, %v", key, value, err)
		}
		got[key] = version
	}
	return got
}

// storyOf is a story with a client, and a broker whose cleaner and barriers come as often as they can.
func storyOf(t *testing.T, seed uint64, set ...string) *story {
	args := slices.Clone(killArgs)
	set = append(set, "flush.interval.ms=5", "log.cleaner.backoff.ms=10", "log.cleaner.min.cleanable.ratio=0.01")
	for _, setting := range set {
		args = append(args, "--set", setting)
	}
	return &story{powered: &powered{killClient: newKillClient(t, args), mode: "page"}, seed: seed}
}

// crashSeeds are the dice to throw, and how many changes lie between two deaths: of a sample, a third of them in go
// test, or all.
func crashSeeds(t *testing.T, sample int) (seeds uint64, stride int) {
	t.Helper()
	if n := crashtest.Seeds(t); n > 0 {
		return uint64(n), 1
	}
	sample = crashtest.Stride(t, 3*sample, sample)
	if invariant.Enabled { // also with the race detector, which makes all of this ten times slower
		return 1, 3 * sample
	}
	return 1, sample
}

func TestCompactedOffsetsSurviveDeaths(t *testing.T) {
	for name, powerCut := range map[string]bool{"kills": false, "power cuts": true} {
		t.Run(name, func(t *testing.T) {
			seeds, stride := crashSeeds(t, 5)
			for seed := range seeds {
				s := storyOf(t, seed, "offsets.topic.segment.bytes=8388608")
				s.topic, s.powerCut = "__consumer_offsets", powerCut
				if powerCut {
					s.mode = "fsync"
				}
				s.client = newOffsetsClient(s.killClient)
				s.run(42, stride)
			}
		})
	}
}

func TestCompactedKeysSurviveDeaths(t *testing.T) {
	for _, codec := range []batch.Codec{batch.None, batch.Gzip, batch.Snappy, batch.LZ4, batch.Zstd} {
		t.Run(codec.String(), func(t *testing.T) {
			t.Parallel()
			seeds, stride := crashSeeds(t, 14)
			for seed := range seeds {
				s := storyOf(t, seed+uint64(codec)) // each codec dies in places of its own
				s.topic, s.client = keysTopic, newKeysClient(s.killClient, codec)
				s.run(42, stride)
			}
		})
	}
}
