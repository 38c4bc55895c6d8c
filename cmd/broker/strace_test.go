package main

import (
	"bufio"
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
)

// A disk that fails or is slow, as the kernel would report it, to a program that knows of no test
// (spec: reliability F10, F16). strace changes the answers of the system calls that sync.

// syncs is every system call that makes something durable.
const syncs = "fdatasync,fsync,syncfs"

// meddle attaches strace to a running broker; what it does to syncs is in its own words. It returns
// false where that cannot be done.
func meddle(t *testing.T, p *process, how string) bool {
	t.Helper()
	if _, err := exec.LookPath("strace"); err != nil {
		t.Logf("not shown here: %v", err)
		return false
	}
	c := exec.Command("strace", "-f", "-p", fmt.Sprint(p.Process.Pid), "-e", "trace="+syncs, "-e", "inject="+syncs+":"+how, "-o", "/dev/null")
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

func straceable(t *testing.T, dir, mode string) *process {
	t.Helper()
	return launch(t, t.TempDir(), nil, "--data-dir", filepath.Join(dir, "data"), "--durability", mode, "--listen", "127.0.0.1:0", "--admin", "",
		"--set", "flush.interval.ms=100", "--set", "offsets.topic.num.partitions=3", "--set", "transaction.state.log.num.partitions=3")
}

// syncedFile is what a barrier may be at when the sync fails. Of the whole file system the kernel tells no more.
var syncedFile = regexp.MustCompile(`data/(orders-0/0+\.log|barrier\.([01]|journal))|syncfs [^ ]*/data:`)

// One failed sync ends the broker: exit code 3, the file by its name, nothing acknowledged that is not
// there afterwards.
func TestFailedSyncEndsTheBroker(t *testing.T) {
	for _, mode := range []string{"page", "fsync"} {
		t.Run(mode, func(t *testing.T) {
			dir := t.TempDir()
			p := straceable(t, dir, mode)
			c := dial(t, p.listen)
			must(t, c.create("orders"))
			acknowledged := 0
			for range 5 {
				_, err := c.produce("orders", -1, time.Now().UnixMilli(), fmt.Sprint(acknowledged+1))
				must(t, err)
				acknowledged++
			}
			if !meddle(t, p, "error=EIO:when=1") {
				return
			}
			for {
				if _, err := c.produce("orders", -1, time.Now().UnixMilli(), fmt.Sprint(acknowledged+1)); err != nil {
					t.Logf("the client heard %v", err)
					break
				}
				acknowledged++
			}
			hangs := time.AfterFunc(20*time.Second, func() { _ = p.Process.Kill() })
			_ = p.Wait()
			hangs.Stop()
			if code := p.ProcessState.ExitCode(); code != exitStorage || !syncedFile.MatchString(p.stderr.String()) {
				t.Errorf("exit %d; stderr\n%s", code, p.stderr)
			}
			p = straceable(t, dir, mode)
			values, _, err := dial(t, p.listen).read("orders", 0, false)
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

// A slow disk: in the mode page nobody waits for it, no lock is held over a sync.
func TestSlowSyncHoldsUpNobodyInPage(t *testing.T) {
	p := straceable(t, t.TempDir(), "page")
	c := dial(t, p.listen)
	must(t, c.create("orders"))
	if !meddle(t, p, "delay_enter=2s") {
		return
	}
	slowest := time.Duration(0)
	for began, n := time.Now(), 0; time.Since(began) < 5*time.Second; n++ {
		for name, ask := range map[string]func() error{
			"produce":       func() error { _, err := c.produce("orders", -1, time.Now().UnixMilli(), "v"); return err },
			"offset commit": func() error { return c.stage("group", "orders", int64(n)) },
			"heartbeat":     c.heartbeat,
			"fetch":         func() error { _, _, err := c.read("orders", int64(n), false); return err },
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
	p := straceable(t, t.TempDir(), "fsync")
	must(t, dial(t, p.listen).create("orders"))
	if !meddle(t, p, "delay_enter=500ms") {
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
			offset, err := c.produce("orders", -1, time.Now().UnixMilli(), fmt.Sprint(i))
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
func (c *talker) heartbeat() error {
	req := kmsg.NewPtrHeartbeatRequest()
	req.Version, req.Group, req.MemberID = 4, "group", "nobody"
	_, err := c.Request(req)
	return err
}
