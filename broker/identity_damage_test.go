package broker_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/broker"
	"once/cluster"
	"once/inspect/inspecttest"
	"once/internal/crashtest"
	"once/internal/kafkatest"
	"once/wire"
)

// A topic's identity stands in two files: its record in meta.db, and partition.metadata in the directory of each
// partition. Whichever bit of them is flipped, no client gets another answer: a topic is as it was, or the partition or
// the start is refused with the name of the file. When the bit is flipped back, all is as it was.
//
// ONCE_META_SWEEP=1 flips every bit, and not a sample.

// identified is what a stop has left of a broker with topics.
type identified struct {
	name   string
	dir    string // no broker runs on it
	copied *inspecttest.Copy
	bootID string
	answer map[string]string
}

// identityArgs let no barrier come but those that are asked for.
var identityArgs = append([]string{"--set", "flush.interval.ms=3600000"}, killArgs...)

// leftBehind makes a directory and returns it as a clean stop, a kill and a power cut leave it.
func leftBehind(t *testing.T) (all []identified) {
	t.Helper()
	c := newKillClient(t, identityArgs)
	b, err := broker.Start(t.Context(), c.config())
	if err != nil {
		t.Fatal(err)
	}
	c.p = &process{addr: b.Addr(), Launched: &kafkatest.Launched{Exited: make(chan struct{})}}
	c.createTopic("x", 2, map[string]string{"retention.ms": "-1", "cleanup.policy": "delete"})
	c.createTopic("y", 1, map[string]string{"segment.bytes": "2000000"})
	p := c.producer("", false)
	for i := range 6 {
		p.produce(fmt.Sprint("x", i), "x", int32(i%2))
		p.produce(fmt.Sprint("y", i), "y", 0)
	}
	c.commit("group", nil, 0, 3)
	c.producer("barrier", false) // of a transactional ID: all that came before is on the disk
	p.produce("above the barrier", "x", 0)
	c.createTopic("z", 1, nil)
	p.produce("known to no barrier", "z", 0)
	running := copyOf(t, c.dir)
	c.hangUp()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	for _, s := range []identified{
		{name: "clean stop", dir: c.dir},
		{name: "kill", dir: running},
		{name: "power cut", dir: running, bootID: "another boot"},
	} {
		s.copied = inspecttest.NewCopy(t, s.dir)
		s.answer, err = s.ask(t, s.copied.Restore(), nil)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	const whole = "x0 x2 x4 above_the_barrier; known_to_no_barrier"
	for i, want := range []string{whole, whole, "x0 x2 x4; "} {
		if got := all[i].answer["x-0"] + "; " + all[i].answer["z-0"]; got != want {
			t.Fatalf("after a %s, x-0 and z-0 are %q", all[i].name, got)
		}
	}
	return all
}

// ask starts a broker on a directory and returns what it says about topics and records.
func (s *identified) ask(t *testing.T, dir string, out *kafkatest.Log) (map[string]string, error) {
	t.Helper()
	c := newKillClient(t, identityArgs)
	c.dir = dir
	cfg := c.config()
	cfg.BootID = s.bootID
	if out != nil {
		cfg.Logger = slog.New(slog.NewTextHandler(out, nil))
	}
	b, err := broker.Start(t.Context(), cfg)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	c.p = &process{addr: b.Addr(), Launched: &kafkatest.Launched{Exited: make(chan struct{})}}
	defer c.hangUp()
	answer := map[string]string{}
	request := kmsg.NewPtrMetadataRequest()
	request.Version = 12
	topics, err := c.once(request)
	if err != nil {
		t.Fatal(err)
	}
	for _, topic := range topics.(*kmsg.MetadataResponse).Topics {
		answer[*topic.Topic] = fmt.Sprintf("%x with %d partitions", topic.TopicID, len(topic.Partitions))
		for _, p := range topic.Partitions {
			if !topic.IsInternal {
				answer[fmt.Sprintf("%s-%d", *topic.Topic, p.Partition)] = c.values(*topic.Topic, p.Partition)
			}
		}
		answer[*topic.Topic+" settings"] = c.overrides(*topic.Topic)
	}
	answer["offset"] = fmt.Sprint(c.offset("group", 0))
	return answer, nil
}

// values returns the values of a partition, or the code of the refusal.
func (c *killClient) values(topic string, index int32) string {
	c.t.Helper()
	if _, _, err := c.Quiet().Ends(topic, index); err != nil {
		return wire.Code(kafkatest.Code(c.t, err)).String()
	}
	var values []string
	for _, r := range c.read(topic, index) {
		values = append(values, strings.ReplaceAll(r.value, " ", "_"))
	}
	return strings.Join(values, " ")
}

// overrides returns what is set for a topic.
func (c *killClient) overrides(topic string) string {
	c.t.Helper()
	r := kmsg.NewPtrDescribeConfigsRequest()
	r.Version = 4
	res := kmsg.NewDescribeConfigsRequestResource()
	res.ResourceType, res.ResourceName = kmsg.ConfigResourceTypeTopic, topic
	r.Resources = append(r.Resources, res)
	resp, err := c.once(r)
	if err != nil {
		c.t.Fatal(err)
	}
	var set []string
	for _, e := range resp.(*kmsg.DescribeConfigsResponse).Resources[0].Configs {
		if e.Source == kmsg.ConfigSourceDynamicTopicConfig {
			set = append(set, e.Name+"="+*e.Value)
		}
	}
	return strings.Join(set, " ")
}

// flipped counts what came of flipped bits.
type flipped struct {
	refusedStart, refusedPartition, same int
}

// flipBits flips bits of a file from one byte up to another, one at a time. partition is the one that may be refused.
func (s *identified) flipBits(t *testing.T, file string, from, to, step int, partition string) (count flipped) {
	for bit := 8*from + rand.IntN(step); bit < 8*to; bit += step {
		dir := s.copied.Restore()
		flip := func() {
			edit(t, filepath.Join(dir, file), func(b []byte) []byte { b[bit/8] ^= 1 << (bit % 8); return b })
		}
		what := fmt.Sprintf("%s, bit %d of byte %d of %s", s.name, bit%8, bit/8, file)
		before := hashes(t, dir)
		flip()
		out := &kafkatest.Log{}
		answer, err := s.ask(t, dir, out)
		offline := ""
		for key, want := range s.answer {
			if got := answer[key]; err == nil && got != want {
				offline = key
				named := linesWith(out.String(), "level=ERROR", "partition="+key, filepath.Join(dir, file))
				if got != wire.KafkaStorageError.String() || key != partition || len(named) != 1 {
					t.Errorf("%s: %s is %q, not %q\n%s", what, key, got, want, out.String())
				}
			}
		}
		switch {
		case err != nil:
			count.refusedStart++
			if !errors.Is(err, cluster.ErrStorage) || !strings.Contains(err.Error(), filepath.Join(dir, file)) {
				t.Errorf("%s: the start is refused by %v", what, err)
			}
			if file == "meta.db" {
				flip()
				if changed := changes(before, hashes(t, dir)); len(changed) > 0 {
					t.Errorf("%s: the refused start has changed %s", what, strings.Join(changed, "\n"))
				}
				flip()
			}
		case offline != "":
			count.refusedPartition++
		default:
			count.same++
			continue // the file may be another one by now
		}
		flip()
		if answer, err := s.ask(t, dir, nil); err != nil || !mapsEqual(answer, s.answer) {
			t.Errorf("%s: flipped back, it answers %v, %v; not %v", what, answer, err, s.answer)
		}
		if t.Failed() {
			t.FailNow()
		}
	}
	return count
}

func mapsEqual(a, b map[string]string) bool { return fmt.Sprint(a) == fmt.Sprint(b) }

func sampled(step int) int {
	if os.Getenv("ONCE_META_SWEEP") != "" {
		return 1
	}
	if !crashtest.Sampled() {
		return 5*step + 2
	}
	return step
}

func TestFlippedBitOfPartitionMetadataIsNotServed(t *testing.T) {
	for _, s := range leftBehind(t) {
		for _, partition := range []string{"x-0", "y-0", "z-0", "__consumer_offsets-0"} {
			file := filepath.Join(partition, "partition.metadata")
			size := len(mustRead(t, filepath.Join(s.dir, file)))
			count := s.flipBits(t, file, 0, size, sampled(31), partition)
			t.Logf("%s, %s: %+v", s.name, partition, count)
			internal := strings.HasPrefix(partition, "__")
			// the bits of a log without a barrier may all be harmless
			few := !crashtest.Sampled() && os.Getenv("ONCE_META_SWEEP") == ""
			if internal && count.refusedPartition > 0 || !internal && count.refusedStart > 0 ||
				!few && count.refusedStart+count.refusedPartition == 0 {
				t.Errorf("%s, %s: %+v", s.name, partition, count)
			}
		}
	}
}

func TestFlippedBitOfATopicsRecordIsNotServed(t *testing.T) {
	for _, s := range leftBehind(t) {
		content := mustRead(t, filepath.Join(s.dir, "meta.db"))
		var all flipped
		for at := 0; ; {
			i := bytes.Index(content[at:], []byte(`{"id":[`))
			if i < 0 {
				break
			}
			at += i
			end := at + bytes.IndexByte(content[at:], '}') + 8
			count := s.flipBits(t, "meta.db", at-20, end, sampled(401), "")
			all.refusedStart += count.refusedStart
			all.same += count.same
			at = end
		}
		t.Logf("%s: %+v", s.name, all)
		few := !crashtest.Sampled() && os.Getenv("ONCE_META_SWEEP") == ""
		if all.refusedStart == 0 && (!few || all.same == 0) {
			t.Errorf("%s: no record of a topic was found", s.name)
		}
	}
}

func mustRead(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Clip(b)
}
