package broker_test

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/broker/brokertest"
	"once/inspect/inspecttest"
	"once/internal/kafkatest"
	"once/internal/memnet"
	"once/internal/script"
	"once/wire"
)

// The scripts in testdata are conversations on the wire: raw requests of a version, and what was
// answered. With ONCE_SCRIPT_BROKER=HOST:PORT they are held with another broker; run so against Apache
// Kafka 4.4.0, they tell where the two differ. Where that is meant, a command has the arguments ours="…" and
// kafka="…", and the comment before it says why. What the setting strict takes away needs no such arguments: the
// scripts are held with a strict broker, but for the delay of new groups, which Kafka is given the same way. The other
// broker should be a new one: some scripts name a group that has no name.

// peer is the broker that a script talks to. Names of topics, groups and transactional IDs get a suffix
// of the script's own; producer IDs get letters in the order in which they appear.
type peer struct {
	t        *testing.T
	addr     string
	memory   *memnet.Listener   // of a broker in this process; nil when it is reached over TCP
	own      *brokertest.Broker // nil when the broker is another one
	onceOnly bool               // the script is for this broker alone
	dir      string
	settings map[string]string
	conns    map[string]*kafkatest.Conn // by the name that commands give them with conn=NAME
	conn     string                     // the one that this command uses; "" unless it names another
	suffix   string                     // a dash and six digits: answers have lengths of names in them
	letters  map[int64]string
	ids      map[string]int64
	topicIDs map[string][16]byte
	formerID [16]byte               // of the topic that was made again last
	members  map[string]string      // the member IDs of groups, by their names in the script
	sent     map[string]sentRequest // by connection, what a receive answers
	faulty   *faulty                // what crash-at or hold has armed; nil before
}

// TestScripts runs testdata/*.txt. A script whose first line says "Once only" needs what only this
// broker can do, such as being killed, or is about what it does as it is without strict.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	other := os.Getenv("ONCE_SCRIPT_BROKER")
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			if other == "" {
				t.Parallel() // each has a broker of its own, and several wait
			}
			script.CheckTitles(t, file)
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			p := &peer{t: t, addr: other, suffix: "-" + strconv.FormatInt(36*36*36*36*36+time.Now().UnixNano()%1e9, 36)}
			p.forget()
			p.onceOnly = strings.HasPrefix(string(text), "# Once only: ")
			if other == "" {
				p.dir = t.TempDir()
				p.start()
			} else if p.onceOnly {
				t.Log("needs this broker")
				return
			}
			t.Cleanup(p.hangUp)
			if other != "" {
				p.awaitCoordinators()
			}
			if reason := p.cannotHold(strings.TrimSuffix(filepath.Base(file), ".txt")); reason != "" {
				t.Skip(reason)
			}
			script.Run(t, file, p.run)
			p.inspect()
		})
	}
}

// awaitCoordinators waits until another broker has its internal topics, which Kafka makes when they are first needed,
// and producer IDs to hand out.
func (p *peer) awaitCoordinators() {
	for _, topic := range []struct {
		coordinator int8
		name        string
	}{{0, "__consumer_offsets"}, {1, "__transaction_state"}} {
		r := kmsg.NewPtrFindCoordinatorRequest()
		r.Version, r.CoordinatorType, r.CoordinatorKeys = 4, topic.coordinator, []string{"any"}
		p.ask(r)
		p.awaitLeaders(topic.name, 50)
	}
	init := kmsg.NewPtrInitProducerIDRequest()
	init.Version, init.TransactionTimeoutMillis = 4, 1000
	for p.ask(init).(*kmsg.InitProducerIDResponse).ErrorCode != 0 {
	}
}

// changesMetadata reports whether a command asks Kafka's controller for something, of which its broker hears later.
func changesMetadata(c script.Command) bool {
	name := c.Name
	if name == "ask" {
		name = c.Args[0].Name
	}
	return slices.Contains([]string{
		"alter", "replace", "delete-topic", "AlterConfigs", "IncrementalAlterConfigs", "CreateTopics", "DeleteTopics",
	}, name)
}

// awaitMetadata waits until another broker knows all that its controller has answered: the epoch of its features is the
// offset up to which it has read the metadata.
func (p *peer) awaitMetadata() {
	of := p.conn
	p.conn = "metadata" // that of the command may be muted
	defer func() { p.conn = of }()
	quorum := kmsg.NewPtrDescribeQuorumRequest()
	quorum.Topics = []kmsg.DescribeQuorumRequestTopic{{
		Topic: "__cluster_metadata", Partitions: []kmsg.DescribeQuorumRequestTopicPartition{{Partition: 0}},
	}}
	end := p.ask(quorum).(*kmsg.DescribeQuorumResponse).Topics[0].Partitions[0].HighWatermark
	versions := kmsg.NewPtrApiVersionsRequest()
	versions.Version, versions.ClientSoftwareName, versions.ClientSoftwareVersion = 3, "script", "1"
	for p.ask(versions).(*kmsg.ApiVersionsResponse).FinalizedFeaturesEpoch < end-1 {
	}
}

func (p *peer) forget() {
	p.letters, p.ids, p.topicIDs, p.members = map[int64]string{}, map[string]int64{}, map[string][16]byte{},
		map[string]string{}
	p.sent = map[string]sentRequest{}
}

// start runs this broker without its cleaner: a copy of its directory, file by file while it runs, is what a
// kill leaves only as long as nobody replaces files meanwhile.
func (p *peer) start() {
	values := map[string]string{"log.cleaner.enable": "false"}
	if !p.onceOnly {
		values["strict"], values["group.initial.rebalance.delay.ms"] = "true", "0"
	}
	maps.Copy(values, p.settings)
	p.own = brokertest.Start(p.t, brokertest.WithDataDir(p.dir), brokertest.WithSettings(p.t, values))
	p.addr = p.own.Addr()
}

// byHand are findings in what a script did by itself: markers that no coordinator decided, and a producer
// ID that it made up.
var byHand = []string{"which was never decided", "was never handed out"}

// inspect ends a script with a look at what it leaves on disk: as a kill would leave it, and after a stop.
func (p *peer) inspect() {
	if p.own == nil {
		return
	}
	p.hangUp()
	inspecttest.RequireClean(p.t, copyOf(p.t, p.dir), byHand...)
	if err := p.own.Close(); err != nil {
		p.t.Fatal(err)
	}
	inspecttest.RequireClean(p.t, p.dir, byHand...)
}

func (p *peer) hangUp() {
	for _, c := range p.conns {
		c.Close()
	}
	clear(p.conns)
}

// connect returns the command's connection and opens it when it is not open.
func (p *peer) connect() *kafkatest.Conn {
	p.t.Helper()
	if c := p.conns[p.conn]; c != nil {
		return c
	}
	c, err := p.dial()
	if err != nil {
		p.t.Fatal(err)
	}
	if p.conns == nil {
		p.conns = map[string]*kafkatest.Conn{}
	}
	p.conns[p.conn] = c
	return c
}

func (p *peer) dial() (*kafkatest.Conn, error) {
	if p.memory == nil {
		return kafkatest.Dial(p.addr)
	}
	nc, err := p.memory.Dial(p.t.Context())
	if err != nil {
		return nil, err
	}
	return kafkatest.New(nc), nil
}

// ask sends a request and returns the answer; nil when the broker closed the connection.
func (p *peer) ask(r kmsg.Request) kmsg.Response {
	p.t.Helper()
	conn := p.connect()
	resp, err := conn.Request(r)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		conn.Close()
		delete(p.conns, p.conn)
		return nil
	}
	if err != nil {
		p.t.Fatalf("%s v%d: %v", kmsg.NameForKey(r.Key()), r.GetVersion(), err)
	}
	return resp
}

// letter names a producer ID.
func (p *peer) letter(id int64) string {
	if id == -1 {
		return "none"
	}
	l, ok := p.letters[id]
	if !ok {
		l = string(rune('p' + len(p.letters)))
		p.letters[id], p.ids[l] = l, id
	}
	return l
}

// producer returns the producer ID of an argument: a letter, a letter with a distance (p+7), or a number.
func (p *peer) producer(c script.Command) int64 {
	s := c.String("producer", "none")
	if s == "none" {
		return -1
	}
	l, plus, _ := strings.Cut(s, "+")
	id, ok := p.ids[l]
	if !ok {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			p.t.Fatalf("%s: no producer %s", c.Pos, s)
		}
		return n
	}
	n, _ := strconv.ParseInt("0"+plus, 10, 64)
	return id + n
}

func (p *peer) int(c script.Command, name string, otherwise int64) int64 {
	return c.Int(p.t, name, otherwise)
}

func (p *peer) id(c script.Command) string {
	if s := c.String("id", "t"); s != "" {
		return s + p.suffix
	}
	return ""
}

// place splits topic-index and adds the suffix.
func (p *peer) place(s string) (string, int32) {
	i := strings.LastIndexByte(s, '-')
	n, err := strconv.ParseInt(s[i+1:], 10, 32)
	if i < 0 || err != nil {
		p.t.Fatalf("%q is no partition", s)
	}
	if strings.HasPrefix(s, "__") {
		return s[:i], int32(n)
	}
	return s[:i] + p.suffix, int32(n)
}

func (p *peer) plainName(topic string) string { return strings.TrimSuffix(topic, p.suffix) }

func code(c int16) string {
	if c == 0 {
		return "NONE"
	}
	return wire.Code(c).String()
}

// run answers one command. With the flag wait it is repeated while the answer is
// CONCURRENT_TRANSACTIONS, as every client does.
func (p *peer) run(t *testing.T, c script.Command) string {
	p.t, p.conn = t, c.String("conn", "")
	do, ok := commands[c.Name]
	if !ok {
		t.Fatalf("%s: unknown command %s", c.Pos, c.Name)
	}
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		out := do(p, c)
		if p.own == nil && changesMetadata(c) {
			p.awaitMetadata()
		}
		again := c.Has("wait") && strings.Contains(out, wire.ConcurrentTransactions.String())
		if want := textOf(c, "until"); want != "" && !strings.Contains(out, want) {
			again = true
		}
		if !again {
			return p.asKafka(c, out)
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			return out
		}
	}
}

// asKafka turns Kafka's own answer into ours where a script says that they differ. \n in them stands for the end of a
// line.
func (p *peer) asKafka(c script.Command, out string) string {
	if p.own == nil && c.Has("kafka") && out == textOf(c, "kafka") {
		return textOf(c, "ours")
	}
	return out
}

// textOf is an argument of several lines.
func textOf(c script.Command, name string) string {
	return strings.ReplaceAll(c.String(name, ""), `\n`, "\n")
}

func producerAt(p *peer, id int64, epoch int16) string {
	return fmt.Sprintf("(%s,%d)", p.letter(id), epoch)
}
