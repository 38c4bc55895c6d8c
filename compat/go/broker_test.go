package compat

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// address of the broker under test; set once by TestMain.
var address string

// runID keeps the names of one run apart from those of all others on a shared broker.
var runID = fmt.Sprintf("%x", time.Now().UnixNano())

const testLimit = 3 * time.Minute // for one test, below the limit of the whole run

func TestMain(m *testing.M) {
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	if address = os.Getenv("ONCE_TEST_BROKER"); address == "" {
		stop, err := startBroker()
		if err != nil {
			fmt.Fprintln(os.Stderr, "start the broker:", err)
			return 1
		}
		defer func() {
			if err := stop(); err != nil {
				fmt.Fprintln(os.Stderr, "stop the broker:", err)
			}
		}()
	}
	return m.Run()
}

// startBroker builds the program of this repository and starts it on a free port. The timeout of transactions and
// what there is to compact are looked at more often than by default, so that tests of it are short.
func startBroker() (stop func() error, err error) {
	dir, err := os.MkdirTemp("", "once-compat-")
	if err != nil {
		return nil, err
	}
	program := filepath.Join(dir, "broker")
	build := exec.Command("go", "build", "-o", program, "./cmd/broker")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, errors.Join(fmt.Errorf("%w\n%s", err, out), os.RemoveAll(dir))
	}
	log, err := os.Create(filepath.Join(dir, "broker.log"))
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(program, "--listen", "127.0.0.1:0", "--data-dir", filepath.Join(dir, "data"), "--admin",
		"127.0.0.1:0",
		"--set", "transaction.abort.timed.out.transaction.cleanup.interval.ms=500",
		"--set", "log.cleaner.backoff.ms=50")
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop = func() error {
		err := cmd.Process.Signal(syscall.SIGTERM)
		if waitErr := cmd.Wait(); err == nil && waitErr != nil {
			text, _ := os.ReadFile(log.Name())
			err = fmt.Errorf("%w\n%s", waitErr, text[max(0, len(text)-4000):])
		}
		return errors.Join(err, log.Close(), os.RemoveAll(dir))
	}
	ready := make(chan string, 1)
	go func() { // ends with the broker's stdout
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if line := lines.Text(); strings.HasPrefix(line, "ready ") {
				ready <- line
			}
		}
		close(ready)
	}()
	select {
	case line := <-ready:
		for _, field := range strings.Fields(line) {
			if listen, ok := strings.CutPrefix(field, "listen="); ok {
				address = listen
				return stop, nil
			}
		}
		return nil, errors.Join(fmt.Errorf("no ready line with an address: %q", line), stop())
	case <-time.After(time.Minute):
		return nil, errors.Join(errors.New("not ready after a minute"), stop())
	}
}

var names atomic.Int64

// unique returns a name that no other test uses.
func unique(t *testing.T, kind string) string {
	name := strings.Map(func(r rune) rune {
		if r == '/' || r == '=' || r == ' ' || r == ',' {
			return '-'
		}
		return r
	}, t.Name())
	return fmt.Sprintf("%s-%s-%s-%d", kind, name, runID, names.Add(1))
}

// within bounds a test.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), testLimit)
	t.Cleanup(cancel)
	return ctx
}

// franz returns a client that is closed with the test.
func franz(t *testing.T, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(address), kgo.MetadataMinAge(50 * time.Millisecond),
		kgo.FetchMaxWait(200 * time.Millisecond)}, opts...)...)
	must(t, err)
	t.Cleanup(cl.CloseAllowingRebalance)
	return cl
}

func admin(t *testing.T, opts ...kgo.Opt) *kadm.Client { return kadm.NewClient(franz(t, opts...)) }

// newTopic creates a topic and deletes it with the test.
func newTopic(t *testing.T, partitions int32) string {
	t.Helper()
	return newTopicWith(t, partitions, nil)
}

// newTopicWith is newTopic with configurations.
func newTopicWith(t *testing.T, partitions int32, configs map[string]string) string {
	t.Helper()
	topic := unique(t, "topic")
	adm := admin(t)
	ctx := within(t)
	values := map[string]*string{}
	for name, value := range configs {
		values[name] = &value
	}
	resp, err := adm.CreateTopic(ctx, partitions, 1, values, topic)
	must(t, err)
	must(t, resp.Err)
	t.Cleanup(func() { _, _ = adm.DeleteTopics(context.Background(), topic) })
	visible(t, adm, topic, int(partitions))
	return topic
}

// visible waits until metadata shows the topic: Kafka's brokers learn of a change a moment after the answer.
func visible(t *testing.T, adm *kadm.Client, topic string, partitions int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s has %d partitions", topic, partitions), func() bool {
		listed, err := adm.ListEndOffsets(within(t), topic)
		return err == nil && listed.Error() == nil && len(listed[topic]) == partitions
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// poll reads until n records have come and returns them.
func poll(t *testing.T, cl *kgo.Client, n int) []*kgo.Record {
	t.Helper()
	ctx := within(t)
	var got []*kgo.Record
	for len(got) < n {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("after %d of %d records: %v", len(got), n, err)
		}
		got = append(got, fetches.Records()...)
	}
	if len(got) > n {
		t.Fatalf("%d records, want %d", len(got), n)
	}
	return got
}

// quiet fails if any record comes within d.
func quiet(t *testing.T, cl *kgo.Client, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	for ctx.Err() == nil {
		if got := cl.PollFetches(ctx).Records(); len(got) > 0 {
			t.Fatalf("%d records too many, the first: %s-%d offset %d %q", len(got), got[0].Topic, got[0].Partition,
				got[0].Offset, got[0].Value)
		}
	}
}

// eventually repeats ok until it is true.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx := within(t)
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatalf("not within %v: %s", testLimit, what)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
