package tools_test

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// classes are Kafka's own tools.
var classes = map[string]string{
	"acls":                   "org.apache.kafka.tools.AclCommand",
	"broker-api-versions":    "org.apache.kafka.tools.BrokerApiVersionsCommand",
	"client-metrics":         "org.apache.kafka.tools.ClientMetricsCommand",
	"cluster":                "org.apache.kafka.tools.ClusterTool",
	"configs":                "org.apache.kafka.tools.ConfigCommand",
	"console-consumer":       "org.apache.kafka.tools.consumer.ConsoleConsumer",
	"console-producer":       "org.apache.kafka.tools.ConsoleProducer",
	"console-share-consumer": "org.apache.kafka.tools.consumer.ConsoleShareConsumer",
	"consumer-groups":        "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
	"consumer-perf-test":     "org.apache.kafka.tools.ConsumerPerformance",
	"delegation-tokens":      "org.apache.kafka.tools.DelegationTokenCommand",
	"delete-records":         "org.apache.kafka.tools.DeleteRecordsCommand",
	"features":               "org.apache.kafka.tools.FeatureCommand",
	"get-offsets":            "org.apache.kafka.tools.GetOffsetShell",
	"groups":                 "org.apache.kafka.tools.GroupsCommand",
	"leader-election":        "org.apache.kafka.tools.LeaderElectionCommand",
	"log-dirs":               "org.apache.kafka.tools.LogDirsCommand",
	"metadata-quorum":        "org.apache.kafka.tools.MetadataQuorumCommand",
	"producer-perf-test":     "org.apache.kafka.tools.ProducerPerformance",
	"reassign-partitions":    "org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
	"share-groups":           "org.apache.kafka.tools.consumer.group.ShareGroupCommand",
	"storage":                "kafka.tools.StorageTool",
	"streams-groups":         "org.apache.kafka.tools.streams.StreamsGroupCommand",
	"topics":                 "org.apache.kafka.tools.TopicCommand",
	"transactions":           "org.apache.kafka.tools.TransactionsCommand",
}

// ownProcess are tools that end by themselves, or that close their clients when their process ends.
var ownProcess = map[string]bool{"cluster": true, "console-consumer": true, "console-producer": true,
	"console-share-consumer": true}

// recorder runs Kafka's tools one after the other in one Java process, which saves most of them the start of a JVM.
type recorder struct {
	process *exec.Cmd
	stdin   io.WriteCloser
	stdout  *bufio.Reader
}

func javaCommand(args ...string) *exec.Cmd {
	return exec.Command("java", append([]string{"-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC",
		"-Dorg.slf4j.simpleLogger.defaultLogLevel=off", "-cp", filepath.Join(kafkaLibs, "*")}, args...)...)
}

// run returns what a tool of Kafka prints.
func (r *recorder) run(t *testing.T, name string, args []string, input string) (output string, failed bool) {
	if ownProcess[name] {
		c := javaCommand(append([]string{classes[name]}, args...)...)
		c.Stdin = strings.NewReader(input)
		out, err := c.CombinedOutput()
		return string(out), err != nil
	}
	if r.process == nil {
		r.start(t)
	}
	words := []string{encode(classes[name]), encode(input)}
	for _, a := range args {
		words = append(words, encode(a))
	}
	fmt.Fprintln(r.stdin, strings.Join(words, " "))
	line, err := r.stdout.ReadString('\n')
	if err != nil {
		t.Fatalf("kafka-%s %q ended Java: %v", name, args, err)
	}
	code, said, _ := strings.Cut(strings.TrimSpace(line), " ")
	decoded, err := base64.StdEncoding.DecodeString(said)
	if err != nil {
		t.Fatal(err)
	}
	return string(decoded), code != "0"
}

func encode(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func (r *recorder) start(t *testing.T) {
	r.process = javaCommand(filepath.Join("..", "compat", "tools", "Tools.java"))
	var err error
	if r.stdin, err = r.process.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := r.process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	r.stdout = bufio.NewReader(stdout)
	if err := r.process.Start(); err != nil {
		t.Fatal(err)
	}
}

func (r *recorder) close() {
	if r.process != nil {
		r.stdin.Close()
		_ = r.process.Wait() // it ends itself
	}
}
