package broker_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/broker"
	"once/broker/brokertest"
	"once/internal/clock"
	"once/internal/memnet"
	"once/internal/script"
)

// What is kinder here than Kafka is, and what strict makes of it. Kafka's answers stand in testdata/strict-*.txt.

// kindness is a broker whose clock stands still, and a connection to it.
type kindness struct {
	*peer
	clock *clock.Movable
}

func startKind(t *testing.T, settings map[string]string) *kindness {
	t.Helper()
	manual := clock.NewManual(time.Unix(1_700_000_000, 0))
	b := brokertest.Start(t, brokertest.WithSettings(t, settings), func(c *broker.Config) { c.Clock = manual })
	k := &kindness{peer: &peer{t: t, addr: b.Addr(), own: b}, clock: manual}
	k.forget()
	t.Cleanup(k.hangUp)
	return k
}

// startKindInMemory is startKind in a bubble of testing/synctest, where a test moves the machine's clock. The cluster's
// clock stands still there too.
func startKindInMemory(t *testing.T, settings map[string]string) *kindness {
	t.Helper()
	manual := clock.NewManual(time.Unix(1_700_000_000, 0))
	listener := memnet.Listen()
	b := brokertest.Start(t, brokertest.WithSettings(t, settings), func(c *broker.Config) {
		c.Clock, c.Listener, c.InMemory = manual, listener, true
	})
	k := &kindness{peer: &peer{t: t, memory: listener, own: b}, clock: manual}
	k.forget()
	t.Cleanup(k.hangUp)
	return k
}

// command asks what a line of a script asks, with the lines below it as input.
func (k *kindness) command(line string, input ...string) string {
	k.t.Helper()
	words := strings.Fields(line)
	c := script.Command{Name: words[0], Input: input, Pos: line}
	for _, word := range words[1:] {
		name, value, found := strings.Cut(word, "=")
		c.Args = append(c.Args, script.Arg{Name: name, Value: strings.ReplaceAll(value, ",", " "), IsFlag: !found})
	}
	return k.run(k.t, c)
}

// metadata asks for a topic over a connection, and creates it if there is none; it returns the topic's code.
func (k *kindness) metadata(conn, topic string) string {
	k.t.Helper()
	out := k.command("ask Metadata version=12 hide=[Brokers,Partitions] show=[ErrorCode] conn="+conn,
		fmt.Sprintf(`{"Topics": [{"Topic": %q}], "AllowAutoTopicCreation": true}`, topic))
	_, code, _ := strings.Cut(out, "Topics: ErrorCode=")
	return code
}

func TestAutoCreatedTopicIsKnownAtOnceUnlessStrict(t *testing.T) {
	for _, tc := range []struct {
		settings map[string]string
		delay    time.Duration
	}{
		{nil, 0},
		{map[string]string{"strict": "true"}, 28 * time.Millisecond},
		{map[string]string{"strict": "true", "dev.auto.create.delay.ms": "0"}, 0},
		{map[string]string{"dev.auto.create.delay.ms": "500"}, 500 * time.Millisecond},
	} {
		t.Run(fmt.Sprint(tc.settings), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := startKindInMemory(t, tc.settings)
				if tc.delay > 0 {
					for _, conn := range []string{"a", "b", "a"} {
						if got := k.metadata(conn, "x"); got != "UNKNOWN_TOPIC_OR_PARTITION" {
							t.Errorf("at once: %s", got)
						}
					}
					time.Sleep(tc.delay - time.Millisecond)
					synctest.Wait()
					if got := k.metadata("b", "x"); got != "UNKNOWN_TOPIC_OR_PARTITION" {
						t.Errorf("a millisecond before the end: %s", got)
					}
					all := k.command("ask Metadata version=12 hide=[Brokers,Partitions] show=[Topic]", `{"Topics": null}`)
					if strings.Contains(all, "Topic=x") {
						t.Errorf("the list of all topics has it already:\n%s", all)
					}
					time.Sleep(time.Millisecond)
					synctest.Wait()
				}
				if got := k.metadata("a", "x"); got != "NONE" {
					t.Errorf("after %v: %s", tc.delay, got)
				}
				k.metadata("a", "y") // with a delay the broker's end comes before this one
			})
		})
	}
}

// One request can name any number of topics. Only so many wait; the others are there at once.
func TestPendingCreationsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := startKindInMemory(t, map[string]string{"strict": "true"})
		r := kmsg.NewPtrMetadataRequest()
		r.Version, r.AllowAutoTopicCreation = 12, true
		for i := range 1100 {
			topic := kmsg.NewMetadataRequestTopic()
			topic.Topic = kmsg.StringPtr(fmt.Sprint("x", i))
			r.Topics = append(r.Topics, topic)
		}
		codes := map[string]int{}
		for _, topic := range k.ask(r).(*kmsg.MetadataResponse).Topics {
			codes[code(topic.ErrorCode)]++
		}
		if codes["UNKNOWN_TOPIC_OR_PARTITION"] != 1000 || codes["NONE"] != 100 {
			t.Errorf("%v", codes)
		}
		time.Sleep(28 * time.Millisecond)
		synctest.Wait()
		for _, topic := range k.ask(r).(*kmsg.MetadataResponse).Topics {
			if topic.ErrorCode != 0 {
				t.Fatalf("%s: %s", *topic.Topic, code(topic.ErrorCode))
			}
		}
	})
}

func TestReplicationFactorThreeIsAcceptedUnlessStrict(t *testing.T) {
	const refused = "Topics: ErrorCode=INVALID_REPLICATION_FACTOR ReplicationFactor=-1"
	const taken = "Topics: ErrorCode=NONE ReplicationFactor=1"
	for _, tc := range []struct {
		settings          map[string]string
		three, asDefault  string
		created, metadata string
	}{
		{nil, taken, taken, "NONE", "NONE"},
		{map[string]string{"default.replication.factor": "3"}, taken, taken, "NONE", "NONE"},
		{map[string]string{"dev.strict.replication": "true"}, refused, taken, "NONE", "NONE"},
		{map[string]string{"strict": "true", "dev.strict.replication": "false", "dev.auto.create.delay.ms": "0"},
			taken, taken, "NONE", "NONE"},
		{map[string]string{"strict": "true", "dev.auto.create.delay.ms": "0"}, refused, taken, "NONE", "NONE"},
		// So asks a new Kafka whose default is 3: the topic never comes.
		{map[string]string{"strict": "true", "default.replication.factor": "3"},
			refused, refused, "NONE", "UNKNOWN_TOPIC_OR_PARTITION"},
	} {
		t.Run(fmt.Sprint(tc.settings), func(t *testing.T) {
			k := startKind(t, tc.settings)
			create := func(topic string, factor int) string {
				return k.command("ask CreateTopics version=7 hide=[Configs] show=[ErrorCode,ReplicationFactor]", fmt.Sprintf(
					`{"TimeoutMillis": 9000, "Topics": [{"Topic": %q, "NumPartitions": 1, "ReplicationFactor": %d}]}`, topic, factor))
			}
			if got := create("a", 3); got != tc.three {
				t.Errorf("three: %s, want %s", got, tc.three)
			}
			if got := create("b", -1); got != tc.asDefault {
				t.Errorf("the default: %s, want %s", got, tc.asDefault)
			}
			if got := create("c", 1); got != taken {
				t.Errorf("one: %s", got)
			}
			for range 2 {
				if got := k.metadata("", "d"); got != tc.metadata {
					t.Errorf("Metadata: %s, want %s", got, tc.metadata)
				}
				k.clock.Advance(time.Minute)
			}
		})
	}
}

func TestGroupsStartAtOnceUnlessStrict(t *testing.T) {
	for _, tc := range []struct {
		settings map[string]string
		delay    time.Duration
	}{
		{nil, 0},
		{map[string]string{"strict": "true"}, 3 * time.Second}, // a new Kafka answers after 3.0 s
		{map[string]string{"strict": "true", "group.initial.rebalance.delay.ms": "0"}, 0},
		{map[string]string{"group.initial.rebalance.delay.ms": "700"}, 700 * time.Millisecond},
	} {
		t.Run(fmt.Sprint(tc.settings), func(t *testing.T) {
			k := startKind(t, tc.settings)
			k.command("ask JoinGroup version=3 send conn=member", `{"Group": "g", "ProtocolType": "consumer",
				"SessionTimeoutMillis": 30000, "RebalanceTimeoutMillis": 30000, "Protocols": [{"Name": "range", "Metadata": "m"}]}`)
			state := func(until string) string {
				return k.command("ask DescribeGroups version=5 hide=[Members] show=[State] until="+until, `{"Groups": ["g"]}`)
			}
			if tc.delay > 0 {
				state("PreparingRebalance")
				k.clock.Advance(tc.delay - time.Millisecond)
				if got := state("Rebalance"); got != "Groups: State=PreparingRebalance" {
					t.Errorf("a millisecond before the end: %s", got)
				}
				k.clock.Advance(time.Millisecond)
			}
			got := k.command("receive conn=member hide=[Members] show=[ErrorCode,Generation]")
			if got != "ErrorCode=NONE Generation=1" {
				t.Errorf("joined: %s", got)
			}
		})
	}
}

func TestMinInsyncReplicasIsADefaultUnlessStrict(t *testing.T) {
	for _, tc := range []struct {
		settings map[string]string
		strict   bool
	}{
		{nil, false},
		{map[string]string{"strict": "true"}, true},
		{map[string]string{"strict": "true", "dev.strict.sources": "false"}, false},
		{map[string]string{"dev.strict.sources": "true"}, true},
	} {
		t.Run(fmt.Sprint(tc.settings), func(t *testing.T) {
			k := startKind(t, tc.settings)
			k.command("topic x")
			const ofTransactions = "configs topic=__transaction_state keys=[min.insync.replicas,unclean.leader.election.enable]"
			got := k.command("configs topic=x keys=[min.insync.replicas] synonyms") + "\n" +
				k.command(ofTransactions+" synonyms") + "\n" +
				k.command("ask DescribeConfigs version=4 show=[Name,Source]", `{"Resources": [{"ResourceType": 4}]}`) + "\n" +
				k.command("ask AlterConfigs version=2 show=[ErrorCode]", `{"Resources": [{"ResourceType": 4, "Configs": []}]}`)
			want := "min.insync.replicas=1 source=5 min.insync.replicas:5=1\n" +
				"min.insync.replicas=1 source=5 min.insync.replicas:5=1\n" +
				"unclean.leader.election.enable=false source=5 unclean.leader.election.enable:5=false\n" +
				"Resources:\nResources: ErrorCode=NONE"
			if tc.strict {
				want = "min.insync.replicas=1 source=3 min.insync.replicas:3=1 min.insync.replicas:5=1\n" +
					"min.insync.replicas=1 source=1 min.insync.replicas:1=1 min.insync.replicas:3=1 min.insync.replicas:5=1\n" +
					"unclean.leader.election.enable=false source=1 unclean.leader.election.enable:1=false " +
					"unclean.leader.election.enable:5=false\n" +
					"Resources:\n  Configs: Name=min.insync.replicas Source=3\nResources: ErrorCode=INVALID_CONFIG"
			}
			if got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}
