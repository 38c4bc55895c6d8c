package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"once/internal/crashtest"
	"once/internal/kafkatest"
)

// A power cut of a real file system (spec: reliability F7, F9): the broker writes to one in an image
// file, is stopped with SIGSTOP, and the image is copied. The copy holds what the file system has written to its
// disk and nothing else; mounting it replays the journal, as after a power cut. The broker that starts
// on it is told of another boot.

// diskFormat is a file system to cut the power of.
type diskFormat struct {
	name      string
	megabytes int64  // of an image, not below what mkfs takes
	mount     string // options
}

var diskFormats = []diskFormat{
	{"ext4", 128, "loop"},
	{"xfs", 320, "loop,nouuid"}, // the copy is mounted beside the original
}

// tools returns why this machine cannot mount images of the format, "" if it can.
func (d diskFormat) tools(t *testing.T) string {
	if os.Getuid() != 0 {
		return "needs root"
	}
	for _, tool := range []string{"losetup", "mkfs." + d.name, "mount", "umount", "cp", "go"} {
		if _, err := exec.LookPath(tool); err != nil {
			return err.Error()
		}
	}
	probe := filepath.Join(t.TempDir(), "probe.img")
	if err := d.makeImage(probe); err != nil {
		return err.Error()
	}
	dir, err := os.MkdirTemp("", "once-probe-")
	if err != nil {
		return err.Error()
	}
	defer os.Remove(dir)
	if out, err := exec.Command("mount", "-o", d.mount, probe, dir).CombinedOutput(); err != nil {
		return fmt.Sprintf("mount: %v: %s", err, out)
	}
	if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
		return fmt.Sprintf("umount: %v: %s", err, out)
	}
	return ""
}

func (d diskFormat) makeImage(name string) error {
	f, err := os.Create(name)
	if err == nil {
		err = errors.Join(f.Truncate(d.megabytes<<20), f.Close())
	}
	if err != nil {
		return err
	}
	if out, err := exec.Command("mkfs."+d.name, "-q", name).CombinedOutput(); err != nil {
		return fmt.Errorf("mkfs.%s: %w: %s", d.name, err, out)
	}
	return nil
}

// mount mounts with the given arguments until the test ends, and returns where.
func mount(t *testing.T, arguments ...string) string {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.Command("mount", append(arguments, dir)...).CombinedOutput(); err != nil {
		t.Fatalf("mount %v: %v: %s", arguments, err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "-l", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	return dir
}

// acknowledged is what the clients have been told and shown.
type acknowledged struct {
	sync.Mutex
	plain, commits []time.Time // of record i+1, of transaction i+1
	shown          int         // highest plain record that a reader has seen
}

const imageInterval = 200 * time.Millisecond

func TestPowerCutOfARealFileSystem(t *testing.T) {
	crashtest.Apart(t, "mounts an image, and stops a process with SIGSTOP")
	for _, d := range diskFormats {
		if why := d.tools(t); why != "" {
			t.Logf("%s is not shown here: %s", d.name, why)
			continue
		}
		for _, mode := range []string{"page", "txn", "fsync"} {
			t.Run(d.name+" "+mode, func(t *testing.T) { d.cutPower(t, mode) })
		}
	}
}

func (d diskFormat) cutPower(t *testing.T, mode string) {
	image := filepath.Join(t.TempDir(), "disk.img")
	if err := d.makeImage(image); err != nil {
		t.Fatal(err)
	}
	run := func(dir, boot string) *process {
		return launch(t, t.TempDir(), nil, "--boot-id", boot, "--data-dir", filepath.Join(dir, "data"), "--durability", mode,
			"--listen", "127.0.0.1:0", "--admin", "",
			"--set", fmt.Sprintf("flush.interval.ms=%d", imageInterval.Milliseconds()), "--set", "log.segment.bytes=1048576",
			"--set", "offsets.topic.num.partitions=3", "--set", "transaction.state.log.num.partitions=3")
	}
	p := run(mount(t, "-o", d.mount, image), "before")
	create(t, dial(t, p.listen), "plain", "left", "right")
	var acks acknowledged
	stop := acks.load(t, p.listen)
	acks.until(t, 2*time.Second, 20)
	if err := p.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	at := time.Now()
	stopped := filepath.Join(t.TempDir(), "cut.img")
	if out, err := exec.Command("cp", "--sparse=always", image, stopped).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v: %s", err, out)
	}
	stop()
	_ = p.Process.Kill()
	p.Wait()

	after := run(mount(t, "-o", d.mount, stopped), "after")
	acks.verify(t, mode, after.listen, at)
	if code, _ := after.stop(t, syscall.SIGTERM); code != exitClean {
		t.Errorf("exit %d; stderr\n%s", code, after.stderr)
	}
	cut := strings.Contains(after.stderr.String(), "bytes above the last barrier were cut")
	t.Logf("bytes were cut: %v", cut)
}

// until waits until the load has run for that long and has committed that much.
func (a *acknowledged) until(t *testing.T, least time.Duration, commits int) {
	t.Helper()
	began := time.Now()
	for range time.Tick(20 * time.Millisecond) {
		a.Lock()
		enough := len(a.commits) >= commits && time.Since(began) >= least
		a.Unlock()
		if enough {
			return
		}
		if time.Since(began) > time.Minute {
			t.Fatalf("%d commits in a minute", len(a.commits))
		}
	}
}

// load begins to write and to read; the result ends it.
func (a *acknowledged) load(t *testing.T, addr string) (stop func()) {
	var group sync.WaitGroup
	conns := make([]*kafkatest.Conn, 3)
	clients := make([]*kafkatest.Client, len(conns))
	for i := range conns {
		conn, err := kafkatest.Dial(addr)
		must(t, err)
		t.Cleanup(func() { conn.Close() })
		conns[i], clients[i] = conn, kafkatest.NewClient(conn)
	}
	plain, txns, reader := clients[0], clients[1], clients[2]
	group.Go(func() {
		for i := 1; ; i++ {
			if err := produce(plain, "plain", fmt.Sprintf("%d %0500d", i, 0)); err != nil {
				return
			}
			a.Lock()
			a.plain = append(a.plain, time.Now())
			a.Unlock()
		}
	})
	group.Go(func() {
		mover, err := txns.InitProducer("mover")
		if err != nil {
			t.Error(err)
			return
		}
		for i := 1; ; i++ {
			if i%5 == 0 && transaction(txns, mover, -i, false) != nil || transaction(txns, mover, i, true) != nil {
				return
			}
			a.Lock()
			a.commits = append(a.commits, time.Now())
			a.Unlock()
		}
	})
	group.Go(func() {
		for next := int64(0); ; {
			values, to, err := reader.Consume("plain", 0, next, false)
			if err != nil {
				return
			}
			next = to
			if len(values) > 0 {
				a.Lock()
				a.shown = number(values[len(values)-1])
				a.Unlock()
			}
		}
	})
	return func() {
		for _, conn := range conns {
			conn.Close()
		}
		group.Wait()
	}
}

// verify is the table of reliability 2.1.
func (a *acknowledged) verify(t *testing.T, mode, addr string, cutAt time.Time) {
	c := dial(t, addr)
	before := cutAt.Add(-imageInterval - 800*time.Millisecond) // one interval and one generous flush
	old := func(times []time.Time) (n int) {
		for n < len(times) && times[n].Before(before) {
			n++
		}
		return n
	}
	leastPlain, leastCommits := old(a.plain), old(a.commits)
	if mode != "page" {
		leastCommits = len(a.commits)
	}
	if mode == "fsync" {
		leastPlain = max(len(a.plain), a.shown)
	}
	plain, _, err := c.Consume("plain", 0, 0, true)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range plain {
		if number(v) != i+1 {
			t.Fatalf("plain record %d is %d", i, number(v))
		}
	}
	if len(plain) < leastPlain || leastPlain == 0 {
		t.Errorf("%d plain records are left, %d acknowledged, %d shown, at least %d have to be there", len(plain),
			len(a.plain), a.shown, leastPlain)
	}
	left, _, err := c.Consume("left", 0, 0, true)
	if err != nil {
		t.Fatal(err)
	}
	right, _, err := c.Consume("right", 0, 0, true)
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(left) != fmt.Sprint(right) {
		t.Errorf("a transaction is torn: %d records left, %d right", len(left), len(right))
	}
	for i, v := range left {
		if number(v) != i/2+1 {
			t.Fatalf("transactional record %d is of transaction %d", i, number(v))
		}
	}
	if len(left)%2 != 0 || len(left)/2 < leastCommits || leastCommits == 0 {
		t.Errorf("%d transactions are left, %d acknowledged, at least %d have to be there", len(left)/2, len(a.commits),
			leastCommits)
	}
	offset, err := c.Committed("movers", "left", 0)
	if err != nil || offset != int64(len(left)/2) {
		t.Errorf("committed offset %d with %d transactions, %v", offset, len(left)/2, err)
	}
	t.Logf("%s: of %d plain records acknowledged %d are left (shown %d), of %d commits %d", mode, len(a.plain), len(plain),
		a.shown, len(a.commits), len(left)/2)
}
