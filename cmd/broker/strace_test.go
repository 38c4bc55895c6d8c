package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/internal/crashtest"
	"once/internal/kafkatest"
	"once/wire"
)

// A disk that fails or is slow, as the kernel would report it, to a program that knows of no test
// (spec: reliability F10, F16). strace changes the answers of the system calls that sync.

// syncs is every system call that makes something durable.
const syncs = "fdatasync,fsync,syncfs"

// meddle attaches strace to a running broker; what it does to system calls is in its own words. It returns
// false where that cannot be done.
func meddle(t *testing.T, p *process, calls, how string) bool {
	t.Helper()
	if _, err := exec.LookPath("strace"); err != nil {
		t.Logf("not shown here: %v", err)
		return false
	}
	c := exec.Command("strace", "-f", "-p", fmt.Sprint(p.Process.Pid),
		"-e", "trace="+calls, "-e", "inject="+calls+":"+how, "-o", "/dev/null")
	stderr, err := c.StderrPipe()
	must(t, err)
	must(t, c.Start())
	t.Cleanup(func() {
		_ = c.Process.Signal(syscall.SIGINT)
		_ = c.Wait()
	})
	lines := bufio.NewReader(stderr)
	for {
		line, err := lines.ReadString('\n')
		if strings.Contains(line, "attached") {
			go func() { _, _ = io.Copy(io.Discard, lines) }()
			return true
		}
		if err != nil {
			t.Logf("not shown here: strace: %q, %v", line, err)
			return false
		}
	}
}

func straceable(t *testing.T, dir, mode string, args ...string) *process {
	t.Helper()
	return launch(t, t.TempDir(), nil, append(straceableArgs(dir, mode, "100"), args...)...)
}

func straceableArgs(dir, mode, flushIntervalMs string) []string {
	return []string{
		"--data-dir", filepath.Join(dir, "data"), "--durability", mode, "--listen", "127.0.0.1:0", "--admin", "",
		"--set", "flush.interval.ms=" + flushIntervalMs, "--set", "offsets.topic.num.partitions=3",
		"--set", "transaction.state.log.num.partitions=3",
	}
}

// neverMs is an interval that does not pass in a test.
const neverMs = "3600000"

// syncedFile is what a barrier may be at when the sync fails. Of the whole file system the kernel tells no more.
var syncedFile = regexp.MustCompile(`data/(orders-0/0+\.log|barrier\.([01]|journal))|syncfs [^ ]*/data:`)

// One failed sync ends the broker: exit code 3, the file by its name, nothing acknowledged that is not
// there afterwards.
func TestFailedSyncEndsTheBroker(t *testing.T) {
	crashtest.Apart(t, "traces a process with strace")
	for _, mode := range []string{"page", "fsync"} {
		t.Run(mode, func(t *testing.T) {
			dir := t.TempDir()
			p := straceable(t, dir, mode)
			c := dial(t, p.listen)
			create(t, c, "orders")
			acknowledged := 0
			for range 5 {
				must(t, produce(c, "orders", fmt.Sprint(acknowledged+1)))
				acknowledged++
			}
			if !meddle(t, p, syncs, "error=EIO:when=1") {
				return
			}
			for {
				if err := produce(c, "orders", fmt.Sprint(acknowledged+1)); err != nil {
					t.Logf("the client heard %v", err)
					break
				}
				acknowledged++
			}
			hangs := time.AfterFunc(2*time.Minute, func() { _ = p.Process.Kill() })
			p.Wait()
			hangs.Stop()
			if code := p.ProcessState.ExitCode(); code != exitStorage || !syncedFile.MatchString(p.stderr.String()) {
				t.Errorf("exit %d; stderr\n%s", code, p.stderr)
			}
			p = straceable(t, dir, mode)
			values, _, err := dial(t, p.listen).Consume("orders", 0, 0, false)
			must(t, err)
			if len(values) < acknowledged {
				t.Errorf("%d records are left of %d acknowledged", len(values), acknowledged)
			}
			for i, v := range values {
				if number(v) != i+1 && i < acknowledged {
					t.Errorf("record %d is %q", i, v)
				}
			}
		})
	}
}

// A sync of the metadata is as final as one of a log: the topic is not acknowledged, the broker ends with 3 and names
// the file, and the next start finds a topic whole or not at all.
func TestFailedSyncOfTheMetadataEndsTheBroker(t *testing.T) {
	crashtest.Apart(t, "traces a process with strace")
	for _, which := range []string{"1", "2"} { // of the pages, of the head
		dir := t.TempDir()
		p := straceable(t, dir, "page", "--set", "flush.interval.ms="+neverMs) // only the metadata syncs
		c := dial(t, p.listen)
		create(t, c, "orders")
		if !meddle(t, p, "fdatasync", "error=EIO:when="+which) {
			return
		}
		if err := c.CreateTopic("payments", 1, nil); err == nil {
			t.Errorf("sync %s: the topic is acknowledged", which)
		}
		hangs := time.AfterFunc(2*time.Minute, func() { _ = p.Process.Kill() })
		p.Wait()
		hangs.Stop()
		if code := p.ProcessState.ExitCode(); code != exitStorage || !strings.Contains(p.stderr.String(), "data/meta.db") {
			t.Errorf("sync %s: exit %d; stderr\n%s", which, code, p.stderr)
		}
		p = straceable(t, dir, "page")
		c = dial(t, p.listen)
		for _, topic := range []string{"orders", "payments"} {
			if err := c.CreateTopic(topic, 1, nil); err == nil && topic == "orders" {
				t.Errorf("sync %s: %s was lost", which, topic)
			}
			must(t, produce(c, topic, "v"))
		}
	}
}

// One sync after the other fails while a broker starts, on a new directory and on a used one, until it gets through.
func TestFailedSyncWhileStarting(t *testing.T) {
	crashtest.Apart(t, "traces a process with strace")
	if _, err := exec.LookPath("strace"); err != nil {
		t.Logf("not shown here: %v", err)
		return
	}
	for _, used := range []bool{false, true} {
		for n := 1; ; n++ {
			dir := t.TempDir()
			if used {
				p := straceable(t, dir, "page")
				create(t, dial(t, p.listen), "orders")
				_, _ = p.stop(t, syscall.SIGKILL)
			}
			// With -D the process that is waited for is the broker.
			args := []string{"-D", "-f", "-e", "trace=" + syncs, "-e", fmt.Sprintf("inject=%s:error=EIO:when=%d", syncs, n),
				"-o", "/dev/null"}
			args = append(append(args, program), straceableArgs(dir, "page", neverMs)...)
			c := exec.Command("strace", args...)
			c.Env = []string{asProgram, "TMPDIR=" + dir, "GORACE=atexit_sleep_ms=0"}
			var stderr strings.Builder
			c.Stderr = &stderr
			stdout, err := c.StdoutPipe()
			must(t, err)
			must(t, c.Start())
			line, _ := bufio.NewReader(stdout).ReadString('\n')
			if strings.HasPrefix(line, "ready") { // it is over its last sync
				_ = c.Process.Signal(syscall.SIGTERM)
				_ = c.Wait()
				if n == 1 {
					t.Error("nothing was synced")
				}
				t.Logf("used=%v: %d syncs", used, n-1)
				break
			}
			_ = c.Wait()
			if strings.Contains(stderr.String(), "ptrace") {
				t.Logf("not shown here: %s", &stderr)
				return
			}
			named := regexp.MustCompile("broker: storage: .*" + regexp.QuoteMeta(dir) + "(/data.*)?: input/output error")
			if code := c.ProcessState.ExitCode(); code != exitStorage || !named.MatchString(stderr.String()) {
				t.Errorf("used=%v, sync %d: exit %d; stderr\n%s", used, n, code, &stderr)
			}
			p := straceable(t, dir, "page")
			if err := dial(t, p.listen).CreateTopic("orders", 1, nil); (err == nil) == used {
				t.Errorf("used=%v, sync %d: the topic is there: %v", used, n, err)
			}
			_, _ = p.stop(t, syscall.SIGTERM)
		}
	}
}

// A disk that has no room for the metadata costs the change, and not the broker.
func TestFullDiskForTheMetadata(t *testing.T) {
	crashtest.Apart(t, "traces a process with strace")
	for _, call := range []string{"pwrite64", "ftruncate"} {
		dir := t.TempDir()
		p := straceable(t, dir, "page", "--set", "flush.interval.ms="+neverMs)
		c := dial(t, p.listen)
		create(t, c, "orders")
		if !meddle(t, p, call, "error=ENOSPC:when=1+7") { // the first one of a thread, and each seventh after it
			return
		}
		refused, created, exists := 0, 0, map[string]bool{}
		var answer *kafkatest.CodeError
		for i := 0; i < 100 || (refused == 0 || created == 0) && i < 400; i++ {
			name := fmt.Sprint("topic-", i)
			if err := c.CreateTopic(name, 1, nil); errors.As(err, &answer) && wire.Code(answer.Code) == wire.KafkaStorageError {
				refused++
				exists[name] = false
			} else {
				must(t, err)
				created++
				exists[name] = true
			}
		}
		t.Logf("%s: %d topics were refused, %d created", call, refused, created)
		if refused == 0 || created == 0 {
			t.Error("one of them never happened")
		}
		err := error(answer)
		for i := 0; errors.As(err, &answer) && i < 20; i++ { // the logs hear of a full disk, too
			err = produce(c, "orders", "v")
		}
		must(t, err)
		_, _ = p.stop(t, syscall.SIGKILL)
		p = straceable(t, dir, "page")
		c = dial(t, p.listen)
		for name, was := range exists {
			if err := c.CreateTopic(name, 1, nil); errors.As(err, &answer) != was {
				t.Errorf("%s: %s was created: %v; again: %v", call, name, was, err)
			}
		}
	}
}

// A slow disk: in the mode page nobody waits for it, no lock is held over a sync.
func TestSlowSyncDelaysNoAnswerInPage(t *testing.T) {
	crashtest.Apart(t, "traces a process with strace")
	p := straceable(t, t.TempDir(), "page")
	c := dial(t, p.listen)
	create(t, c, "orders")
	if !meddle(t, p, syncs, "delay_enter=2s") {
		return
	}
	slowest := time.Duration(0)
	for began, n := time.Now(), 0; time.Since(began) < 5*time.Second; n++ {
		for name, ask := range map[string]func() error{
			"produce":       func() error { return produce(c, "orders", "v") },
			"offset commit": func() error { return c.Commit("group", "orders", 0, int64(n), "") },
			"heartbeat":     func() error { return heartbeat(c) },
			"fetch":         func() error { _, _, err := c.Consume("orders", 0, int64(n), false); return err },
		} {
			asked := time.Now()
			must(t, ask())
			if took := time.Since(asked); took > slowest {
				slowest = took
				if took > 500*time.Millisecond {
					t.Errorf("%s took %v", name, took)
				}
			}
		}
	}
	t.Logf("slowest answer %v, each sync 2 s", slowest)
}

// In the mode fsync a slow disk costs latency only: all who wait share a barrier, and nobody is
// answered before one who came earlier in the log.
func TestSlowSyncIsSharedInFsync(t *testing.T) {
	crashtest.Apart(t, "traces a process with strace")
	p := straceable(t, t.TempDir(), "fsync")
	create(t, dial(t, p.listen), "orders")
	if !meddle(t, p, syncs, "delay_enter=500ms") {
		return
	}
	var mu sync.Mutex
	var group sync.WaitGroup
	answered := map[int64]time.Time{}
	began := time.Now()
	const clients = 12
	for i := range clients {
		c := dial(t, p.listen)
		group.Go(func() {
			offset, err := c.Produce(nil, "orders", 0, kafkatest.Values(fmt.Sprint(i))...)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			answered[offset] = time.Now()
			mu.Unlock()
		})
	}
	group.Wait()
	took := time.Since(began)
	if len(answered) != clients || took > 5*time.Second {
		t.Errorf("%d of %d answered after %v", len(answered), clients, took)
	}
	for offset := int64(1); offset < clients; offset++ {
		if before := answered[offset-1].Sub(answered[offset]); before > 400*time.Millisecond {
			t.Errorf("offset %d was answered %v before the one below it", offset, before)
		}
	}
	t.Logf("%d producers answered after %v, each sync 500 ms", clients, took)
}

// heartbeat asks the group coordinator for something that it refuses at once: the member is unknown.
func heartbeat(c *kafkatest.Client) error {
	req := kmsg.NewPtrHeartbeatRequest()
	req.Version, req.Group, req.MemberID = 4, "group", "nobody"
	_, err := c.Ask(req)
	return err
}
