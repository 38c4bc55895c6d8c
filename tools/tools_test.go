package tools_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"once/broker/brokertest"
	"once/internal/script"
	"once/tools"
)

// kafkaLibs is the directory with the jars of Apache Kafka 4.4.0. With it the scripts run Kafka's own tools against the
// same broker, and with -rewrite their output is recorded; see testdata/README.md.
var kafkaLibs = os.Getenv("ONCE_KAFKA_LIBS")

// stage is a broker and the clients that a script keeps open.
type stage struct {
	*brokertest.Broker
	clients  map[string]*kgo.Client
	recorder recorder
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
			defer s.close()
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
		return s.join(t, argument(c, "protocol"), argument(c, "group"), argument(c, "topic"))
	case "leave":
		return s.leaveStreams(t, argument(c, "group"))
	case "end":
		s.clients[argument(c, "client")].Close()
		delete(s.clients, argument(c, "client"))
		return "ended"
	}
	name, ok := tools.Find(c.Name)
	if !ok {
		t.Fatalf("%s: no such command: %s", c.Pos, c.Name)
	}
	input := strings.Join(c.Input, "\n")
	if input != "" {
		input += "\n"
	}
	file := ""
	args := []string{"--bootstrap-server", s.Addr()}
	for _, a := range c.Args {
		word := a.Name
		if !a.IsFlag {
			word += "=" + a.Value
		}
		if word == "FILE" { // has what would be the input
			file = filepath.Join(t.TempDir(), "input")
			if err := os.WriteFile(file, []byte(input), 0o600); err != nil {
				t.Fatal(err)
			}
			word, input = file, ""
		}
		args = append(args, strings.Trim(word, `"`))
	}
	switch {
	case name == "storage":
		args = args[2:]
	case name == "cluster" && len(args) > 2: // the address is an option of its commands
		args = append(args[2:], args[:2]...)
	}
	output, failed := s.runTool(t, name, args, input)
	if file != "" {
		output = strings.ReplaceAll(output, file, "FILE")
	}
	output = normalize(output, s.Addr())
	if slices.Contains(args, "--list") { // in the order of a hash
		lines := strings.Split(strings.TrimRight(output, "\n"), "\n")
		slices.Sort(lines)
		output = strings.Join(lines, "\n")
	}
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
	if kafkaLibs != "" {
		return s.recorder.run(t, name, args, input)
	}
	var out bytes.Buffer
	err := tools.Run(t.Context(), name, args, strings.NewReader(input), &out, &out)
	return out.String(), err != nil
}

func (s *stage) close() {
	for _, c := range s.clients {
		c.Close()
	}
	s.recorder.close()
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
		{"topics", []string{"--list", "--nosuch"},
			"nosuch is not a recognized option\nkafka-topics --help has the options of this one"},
		{"topics", []string{"--list", "-x"}, "x is not a recognized option"},
		{"topics", []string{"--list", "more"}, `unexpected argument "more"`},
		{"topics", []string{"--list"}, "--bootstrap-server must be specified"},
		{"topics", noServer, "Command must include exactly one action"},
		{"topics", append(noServer, "--create", "--list"), "Command must include exactly one action"},
		{"topics", append(noServer, "--create"), `Missing required argument "[topic]"`},
		{"topics", append(noServer, "--list", "--command-config", properties),
			"security.protocol=SASL_SSL: these tools connect without TLS and SASL"},
		{"configs", append(noServer, "--alter", "--topic", "t", "--add-config-file", "nosuch"),
			"The file nosuch does not exist"},
		{"transactions", append(noServer, "list", "--nosuch"),
			"kafka-transactions.sh: error: unrecognized arguments: '--nosuch'"},
		{"transactions", append(noServer, "abort", "--start-offset"),
			"error: argument --start-offset: expected one argument"},
		{"transactions", append(noServer, "abort", "--producer", "1"),
			"ambiguous option: --producer could match --producer-epoch, --producer-id"},
		{"topics", []string{"--bootstrap-server"}, "Option bootstrap-server requires an argument"},
		{"configs", append(noServer, "--alter", "--topic", "t"), "At least one of --add-config"},
		{"configs", append(noServer, "--alter", "--topic", "t", "--add-config", "a=[b"), "a bracket is not closed"},
		{"console-producer", noServer, `Missing required argument "[topic]"`},
		{"console-producer", append(noServer, "--topic", "t", "--property", "nosuch=1"), "there is no such property here"},
		{"console-producer", append(noServer, "--topic", "t", "--compression-codec", "zip"),
			"must be none, gzip, snappy, lz4 or zstd"},
		{"console-consumer", append(noServer, "--topic", "t", "--formatter", "x"), "formatter is not a recognized option"},
		{"console-consumer", append(noServer, "--topic", "t", "--offset", "1"),
			"The partition is required when offset is specified."},
		{"console-consumer", append(noServer, "--topic", "t", "--isolation-level", "x"),
			"must be read_committed or read_uncommitted"},
		{"console-consumer", append(noServer, "--topic", "t", "--property", "key.deserializer=my.Own"),
			"my.Own is not built here"},
		{"console-consumer", append(noServer, "--topic", "t", "--timeout-ms", "1", "--key-deserializer", "my.Own"),
			"my.Own is not built here"},
		{"console-share-consumer", append(noServer, "--topic", "t", "--timeout-ms", "1", "--value-deserializer", "my.Own"),
			"my.Own is not built here"},
		{"consumer-groups", append(noServer, "--group", "g"), "Command must include exactly one action"},
		{"consumer-groups", append(noServer, "--describe"), "[all-groups], [group]"},
		{"consumer-groups", append(noServer, "--group", "g", "--reset-offsets", "--to-earliest"),
			"One of the reset scopes should be defined: --all-topics, --topic."},
		{"consumer-groups", append(noServer, "--group", "g", "--reset-offsets", "--all-topics"),
			"requires one of the following scenarios"},
		{"transactions", append(noServer, "forceTerminateTransaction"), "argument --transactionalId is required"},
		{"transactions", append(noServer, "nosuch"), "invalid choice: 'nosuch' (choose from 'list',"},
		{"delete-records", append(noServer, "--offset-json-file", "nosuch"), "open nosuch: "},
		{"producer-perf-test", append(noServer, "--topic", "t", "--num-records", "1", "--throughput", "1"),
			"one of the arguments --record-size"},
		{"producer-perf-test", []string{"--topic", "t", "--num-records", "1", "--throughput", "1", "--record-size", "1"},
			"At least one of --bootstrap-server"},
		{"consumer-perf-test", append(noServer, "--topic", "t"), "[messages], [num-records]"},
		{"transactions", append(noServer, "abort", "--topic", "t", "--partition", "0"),
			"must be identified either with --start-offset"},
		{"storage", []string{"format", "-t", "x", "-c", "f", "--add-scram", "a"}, "--add-scram is not built here"},
		{"metadata-quorum", append(noServer, "add-controller"),
			"add-controller is not built here; use kafka-metadata-quorum.sh"},
		{"storage", []string{"info"}, "info is not built here"},
		{"storage", []string{"feature-dependencies"}, "argument --feature/-f is required"},
	} {
		output, err := run(t, c.tool, c.args...)
		if err == nil || !strings.Contains(output, c.want) {
			t.Errorf("kafka-%s %q: %v, printed\n%s\nwanted a failure and: %s", c.tool, c.args, err, output, c.want)
		}
	}
}

func TestStorageFormatsNothing(t *testing.T) {
	if output, err := run(t, "storage", "format", "--ignore-formatted", "-t", "4L6g3nShT-eMCtK--X86sw", "-c",
		"/etc/kafka/kafka.properties"); err != nil {
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
		"kafka-topics": "topics", "/opt/kafka/bin/kafka-topics.sh": "topics",
		`C:\bin\kafka-console-consumer.sh`: "console-consumer",
		"broker":                           "", "topics": "", "kafka-nosuch": "", "kafka-topics.sh.sh": "",
	} {
		name, ok := tools.Find(program)
		if ok != (want != "") || ok && name != want {
			t.Errorf("%s is the tool %q, %t; wanted %q", program, name, ok, want)
		}
	}
}

// The image has a link for each tool.
func TestImageHasALinkForEachTool(t *testing.T) {
	layout, err := os.ReadFile("../image/layout.sh")
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(layout), "for tool in ")
	list, _, _ = strings.Cut(list, ";")
	linked := strings.Fields(strings.ReplaceAll(list, "\\", " "))
	var names []string
	for _, c := range tools.Commands(strings.NewReader("")) {
		names = append(names, c.Name())
	}
	slices.Sort(linked)
	slices.Sort(names)
	if !slices.Equal(linked, names) {
		t.Errorf("the image has links for\n%q; the tools are\n%q", linked, names)
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
	for _, name := range []string{"topics", "configs", "console-producer", "console-consumer", "console-share-consumer",
		"groups", "consumer-groups",
		"share-groups", "streams-groups", "delete-records", "producer-perf-test", "transactions",
		"get-offsets", "broker-api-versions", "storage"} {
		if !names[name] {
			t.Errorf("there is no command %s", name)
		}
	}
}
