package tools_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"once/broker/brokertest"
	"once/internal/script"
	"once/tools"
)

// kafkaLibs is the directory with the jars of Apache Kafka 4.4.0. With it the scripts run Kafka's own tools against the
// same broker, and with -rewrite their output is recorded; see testdata/README.md.
var kafkaLibs = os.Getenv("ONCE_KAFKA_LIBS")

// classes are Kafka's own tools.
var classes = map[string]string{
	"topics":              "org.apache.kafka.tools.TopicCommand",
	"configs":             "org.apache.kafka.tools.ConfigCommand",
	"console-producer":    "org.apache.kafka.tools.ConsoleProducer",
	"console-consumer":    "org.apache.kafka.tools.consumer.ConsoleConsumer",
	"consumer-groups":     "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
	"transactions":        "org.apache.kafka.tools.TransactionsCommand",
	"get-offsets":         "org.apache.kafka.tools.GetOffsetShell",
	"metadata-quorum":     "org.apache.kafka.tools.MetadataQuorumCommand",
	"features":            "org.apache.kafka.tools.FeatureCommand",
	"acls":                "org.apache.kafka.tools.AclCommand",
	"cluster":             "org.apache.kafka.tools.ClusterTool",
	"broker-api-versions": "org.apache.kafka.tools.BrokerApiVersionsCommand",
}

// stage is a broker and the clients that a script keeps open.
type stage struct {
	*brokertest.Broker
	clients map[string]*kgo.Client
}

func TestOutputIsThatOfKafkasTools(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel() // they wait for records that do not come
			script.CheckTitles(t, file)
			s := &stage{Broker: brokertest.Start(t, brokertest.WithMemory), clients: map[string]*kgo.Client{}}
			defer func() {
				for _, c := range s.clients {
					c.Close()
				}
			}()
			script.Run(t, file, s.run)
		})
	}
}

// run answers one command of a script: a tool by Kafka's name, or a client that stays open.
func (s *stage) run(t *testing.T, c script.Command) string {
	switch c.Name {
	case "begin":
		return s.begin(t, argument(c, "transactional-id"), argument(c, "topic"))
	case "join":
		return s.join(t, argument(c, "group"), argument(c, "topic"))
	case "end":
		s.clients[argument(c, "client")].Close()
		delete(s.clients, argument(c, "client"))
		return "ended"
	}
	name, ok := tools.Find(c.Name)
	if !ok {
		t.Fatalf("%s: no such command: %s", c.Pos, c.Name)
	}
	args := []string{"--bootstrap-server", s.Addr()}
	for _, a := range c.Args {
		word := a.Name
		if !a.IsFlag {
			word += "=" + a.Value
		}
		args = append(args, strings.Trim(word, `"`))
	}
	if name == "cluster" && len(args) > 2 { // the address is an option of its commands
		args = append(args[2:], args[:2]...)
	}
	input := strings.Join(c.Input, "\n")
	if input != "" {
		input += "\n"
	}
	output, failed := s.runTool(t, name, args, input)
	output = normalize(output, s.Addr())
	if failed {
		output = strings.TrimRight(output, "\n") + "\nexit code 1"
	}
	return output
}

func argument(c script.Command, name string) string {
	for _, a := range c.Args {
		if a.Name == name {
			return a.Value
		}
	}
	return ""
}

func (s *stage) runTool(t *testing.T, name string, args []string, input string) (output string, failed bool) {
	var out bytes.Buffer
	if kafkaLibs == "" {
		err := tools.Run(t.Context(), name, args, strings.NewReader(input), &out, &out)
		return out.String(), err != nil
	}
	c := exec.Command("java", append([]string{"-Xmx256m", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=off",
		"-cp", filepath.Join(kafkaLibs, "*"), classes[name]}, args...)...)
	c.Stdin, c.Stdout, c.Stderr = strings.NewReader(input), &out, &out
	err := c.Run()
	return out.String(), err != nil
}

// begin produces two records in a transaction and leaves it open.
func (s *stage) begin(t *testing.T, id, topic string) string {
	client, err := kgo.NewClient(kgo.SeedBrokers(s.Addr()), kgo.TransactionalID(id), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	s.clients[id] = client
	if err := client.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	for _, value := range []string{"one", "two"} {
		if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Value: []byte(value)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	return "open"
}

// join adds a member to a group, which commits what it reads, and waits until it has read a record.
func (s *stage) join(t *testing.T, group, topic string) string {
	client, err := kgo.NewClient(kgo.SeedBrokers(s.Addr()), kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.ClientID("reader"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit(), kgo.Balancers(kgo.RangeBalancer()))
	if err != nil {
		t.Fatal(err)
	}
	s.clients[group] = client
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	fetches := client.PollRecords(ctx, 1)
	if err := fetches.Err(); err != nil {
		t.Fatal(err)
	}
	if err := client.CommitUncommittedOffsets(ctx); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("read %d", fetches.NumRecords())
}

// What differs from run to run, and what Kafka's tools say about themselves.
var (
	removed = regexp.MustCompile(`(?m)^(\tat |Caused by: |\t\.\.\. |The consumer rebalance protocol|Warning: --property is deprecated|` +
		`Option --property is deprecated|joptsimple|java\.lang\.IllegalArg|\t[A-Za-z]+\([0-9]+\): UNSUPPORTED|` +
		`java\.util\.concurrent\.ExecutionException: org\.apache\.kafka\.common\.errors\.(GroupIdNotFound|SecurityDisabled|BrokerIdNotRegistered)).*\n`)
	usage    = regexp.MustCompile(`(?ms)^Option +Description *\n.*`)
	replaced = []struct {
		pattern *regexp.Regexp
		by      string
	}{
		{regexp.MustCompile(`java\.util\.concurrent\.ExecutionException: `), ""},
		{regexp.MustCompile(`(?m)^org\.apache\.kafka\.common\.errors\.[A-Za-z]+: `), ""},
		{regexp.MustCompile(`TopicId: \S+`), "TopicId: ID"},
		{regexp.MustCompile(`(?m)^ClusterId: +\S+`), "ClusterId: ID"},
		{regexp.MustCompile(`\b[0-9]+ ms ago *\t`), "N ms ago\t"},
		{regexp.MustCompile(`\b1[0-9]{12}(\s*\t)[0-9]+ *\t`), "TIME${1}DURATION\t"},
		{regexp.MustCompile(`\b1[0-9]{12}\b`), "TIME"},
		{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`), "UUID"},
		{regexp.MustCompile(`\b127\.0\.0\.1 [0-9]+ *`), "127.0.0.1 PORT "},
		{regexp.MustCompile(`\[usable: [0-9]+\]`), "[usable: N]"},
		{regexp.MustCompile(`,\n\)`), "\n)"},
		{regexp.MustCompile(`(\t[A-Za-z]+\(([4-9]|[0-9]{2,})\): [0-9]+( to [0-9]+)? \[usable: N\],?\n)+`), "\t…\n"},
		{regexp.MustCompile(`(?m)[ \t]+$`), ""},
	}
)

func normalize(output, address string) string {
	output = removed.ReplaceAllString(strings.ReplaceAll(output, "\r", ""), "")
	output = usage.ReplaceAllString(strings.ReplaceAll(output, address, "BROKER"), "")
	for _, r := range replaced {
		output = r.pattern.ReplaceAllString(output, r.by)
	}
	return output
}

// run runs a tool as a person would and returns what it printed.
func run(t *testing.T, name string, args ...string) (output string, err error) {
	t.Helper()
	var out bytes.Buffer
	err = tools.Run(t.Context(), name, args, strings.NewReader(""), &out, &out)
	return out.String(), err
}

// What a tool does not have is refused with a sentence that says where it may be.
func TestUnsupportedOptionsAreRefused(t *testing.T) {
	noServer := []string{"--bootstrap-server", "127.0.0.1:1"}
	properties := filepath.Join(t.TempDir(), "client.properties")
	if err := os.WriteFile(properties, []byte("# a comment\nsecurity.protocol=SASL_SSL\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		tool string
		args []string
		want string
	}{
		{"topics", []string{"--list", "--nosuch"}, "--nosuch is not an option here; see kafka-topics --help, or use kafka-topics.sh of Apache Kafka"},
		{"topics", []string{"--list", "-x"}, "-x is not an option here"},
		{"topics", []string{"--list", "more"}, `unexpected argument "more"`},
		{"topics", []string{"--list"}, "--bootstrap-server must be specified"},
		{"topics", noServer, "Command must include exactly one action"},
		{"topics", append(noServer, "--create", "--list"), "Command must include exactly one action"},
		{"topics", append(noServer, "--create"), `Missing required argument "[topic]"`},
		{"topics", append(noServer, "--list", "--command-config", properties), "security.protocol=SASL_SSL: these tools connect without TLS and SASL"},
		{"configs", append(noServer, "--describe", "--entity-type", "users"), "--entity-type users is not built here"},
		{"configs", append(noServer, "--alter", "--topic", "t"), "At least one of --add-config"},
		{"configs", append(noServer, "--alter", "--topic", "t", "--add-config", "a=[b"), "a bracket is not closed"},
		{"console-producer", noServer, `Missing required argument "[topic]"`},
		{"console-producer", append(noServer, "--topic", "t", "--property", "nosuch=1"), "there is no such property here"},
		{"console-producer", append(noServer, "--topic", "t", "--compression-codec", "zip"), "must be none, gzip, snappy, lz4 or zstd"},
		{"console-consumer", append(noServer, "--topic", "t", "--formatter", "x"), "--formatter is not an option here"},
		{"console-consumer", append(noServer, "--topic", "t", "--offset", "1"), "The partition is required when offset is specified."},
		{"console-consumer", append(noServer, "--topic", "t", "--isolation-level", "x"), "must be read_committed or read_uncommitted"},
		{"console-consumer", append(noServer, "--topic", "t", "--property", "key.deserializer=my.Own"), "my.Own is not built here"},
		{"consumer-groups", append(noServer, "--group", "g"), "Command must include exactly one action"},
		{"consumer-groups", append(noServer, "--describe"), "all-groups, group"},
		{"consumer-groups", append(noServer, "--group", "g", "--reset-offsets", "--to-earliest"), "all-topics, topic"},
		{"consumer-groups", append(noServer, "--group", "g", "--reset-offsets", "--all-topics"), "takes exactly one of these options"},
		{"transactions", append(noServer, "forceTerminateTransaction"), "forceTerminateTransaction is not built here; use kafka-transactions.sh"},
		{"transactions", append(noServer, "abort", "--topic", "t", "--partition", "0"), "must be identified either with --start-offset"},
		{"storage", []string{"format", "-t", "x", "-c", "f", "--add-scram", "a"}, "--add-scram is not built here"},
		{"metadata-quorum", append(noServer, "add-controller"), "add-controller is not built here; use kafka-metadata-quorum.sh"},
		{"storage", []string{"version-mapping"}, "version-mapping is not built here"},
	} {
		output, err := run(t, c.tool, c.args...)
		if err == nil || !strings.Contains(output, c.want) {
			t.Errorf("kafka-%s %q: %v, printed\n%s\nwanted a failure and: %s", c.tool, c.args, err, output, c.want)
		}
	}
}

func TestStorageFormatsNothing(t *testing.T) {
	if output, err := run(t, "storage", "format", "--ignore-formatted", "-t", "4L6g3nShT-eMCtK--X86sw", "-c", "/etc/kafka/kafka.properties"); err != nil {
		t.Errorf("format: %v\n%s", err, output)
	}
	seen := map[string]bool{}
	for range 100 {
		output, err := run(t, "storage", "random-uuid")
		if id := strings.TrimSpace(output); err != nil || len(id) != 22 || id[0] == '-' || seen[id] {
			t.Fatalf("random-uuid printed %q, %v", output, err)
		}
		seen[strings.TrimSpace(output)] = true
	}
}

func TestProgramNames(t *testing.T) {
	for program, want := range map[string]string{
		"kafka-topics": "topics", "/opt/kafka/bin/kafka-topics.sh": "topics", `C:\bin\kafka-console-consumer.sh`: "console-consumer",
		"broker": "", "topics": "", "kafka-nosuch": "", "kafka-topics.sh.sh": "",
	} {
		name, ok := tools.Find(program)
		if ok != (want != "") || ok && name != want {
			t.Errorf("%s is the tool %q, %t; wanted %q", program, name, ok, want)
		}
	}
}

// The short names under the program are the same tools.
func TestCommandsUnderTheProgram(t *testing.T) {
	b := brokertest.Start(t, brokertest.WithMemory)
	names := map[string]bool{}
	for _, c := range tools.Commands(strings.NewReader("")) {
		names[c.Name()] = true
		if c.Name() != "topics" {
			continue
		}
		var out bytes.Buffer
		c.SetOut(&out)
		c.SetErr(&out)
		c.SetArgs([]string{"--bootstrap-server", b.Addr(), "--create", "--topic", "orders"})
		if err := c.Execute(); err != nil || out.String() != "Created topic orders.\n" {
			t.Errorf("topics: %v, printed %q", err, out.String())
		}
	}
	for _, name := range []string{"topics", "configs", "console-producer", "console-consumer", "consumer-groups", "transactions",
		"get-offsets", "broker-api-versions", "storage"} {
		if !names[name] {
			t.Errorf("there is no command %s", name)
		}
	}
}
