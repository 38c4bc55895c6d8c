package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/internal/crashtest"
	"once/wire"
)

// A full disk (spec: reliability P35, F11): a tmpfs of a few MiB.
func TestFullDisk(t *testing.T) {
	crashtest.Apart(t, "mounts a tmpfs")
	if os.Getuid() != 0 {
		t.Log("not shown here: needs root")
		return
	}
	for _, mode := range []string{"page", "txn", "fsync"} {
		t.Run(mode, func(t *testing.T) { fullDisk(t, mode) })
	}
}

func fullDisk(t *testing.T, mode string) {
	disk := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=40m", "once", disk).CombinedOutput(); err != nil {
		t.Logf("not shown here: mount: %v: %s", err, out)
		return
	}
	t.Cleanup(func() { _ = exec.Command("umount", "-l", disk).Run() })
	run := func() *process {
		return launch(t, t.TempDir(), nil, "--data-dir", filepath.Join(disk, "data"), "--listen", "127.0.0.1:0", "--admin", "", "--durability", mode,
			"--set", "log.segment.bytes=4194304", "--set", "offsets.topic.num.partitions=3", "--set", "transaction.state.log.num.partitions=3")
	}
	p := run()
	c, txn := dial(t, p.listen), dial(t, p.listen)
	must(t, c.create("ballast", "orders", "payments"))
	must(t, c.begin(""))
	must(t, txn.begin("payer"))
	txn.mustProduce(t, "payments", 0, "paid")
	for i := range 8 {
		c.mustProduce(t, "ballast", int32(i), strings.Repeat("b", 900_000))
	}
	f := &filler{talker: c, value: strings.Repeat("x", 100_000), epochBegan: time.Now().UnixMilli()}
	f.fill(t)
	t.Logf("full after %d records", f.stored)

	// Nothing of what was refused is stored, what is stored is known and readable.
	f.mustBeFull(t)
	if values, _, err := c.read("orders", 0, false); err != nil || len(values) != f.stored {
		t.Fatalf("%d records can be read, %v; stored %d", len(values), err, f.stored)
	}
	// What the broker itself has to write, it can.
	must(t, txn.end(true))
	must(t, txn.stage("group", "orders", 1))
	must(t, txn.end(false))
	must(t, c.stage("plain group", "orders", 7))
	if values, _, err := c.read("payments", 0, true); err != nil || len(values) != 1 {
		t.Fatalf("committed on the full disk: %q, %v", values, err)
	}

	// A death and a start on the full disk.
	p.stop(t, syscall.SIGKILL)
	p = run()
	c.reconnect(t, p.listen)
	f.mustBeFull(t)
	if offset, err := c.committedOffset("plain group", "orders"); err != nil || offset != 7 {
		t.Fatalf("offset %d, %v", offset, err)
	}

	// Somebody else takes the rest of the disk: the broker stays up, and says nothing that is not true.
	rest := fillRest(t, disk)
	var refused codeError
	if err := c.stage("plain group", "orders", 8); err != nil && (!errors.As(err, &refused) || refused.code != wire.NotCoordinator && refused.code != wire.CoordinatorNotAvailable) {
		t.Fatalf("offset commit on a disk without a free byte: %v", err)
	}
	f.mustBeFull(t)
	p.stop(t, syscall.SIGKILL)
	p = run()
	c.reconnect(t, p.listen)
	f.mustBeFull(t)
	must(t, os.Remove(rest))
	must(t, c.stage("plain group", "orders", 9))

	// A topic is deleted, and everything goes on without a restart.
	must(t, c.deleteTopic("ballast"))
	for range time.Tick(20 * time.Millisecond) {
		if err := f.next(); err == nil {
			break
		} else if !errors.As(err, &refused) || refused.code != wire.KafkaStorageError {
			t.Fatal(err)
		}
	}
	must(t, f.next())
	if values, _, err := c.read("orders", 0, false); err != nil || len(values) != f.stored {
		t.Fatalf("%d records, %v; stored %d", len(values), err, f.stored)
	}
	if code, _ := p.stop(t, syscall.SIGTERM); code != exitClean {
		t.Errorf("exit %d; stderr\n%s", code, p.stderr)
	}
}

// filler is an idempotent producer that fills the disk with records of one size.
type filler struct {
	*talker
	value      string
	stored     int
	epochBegan int64
}

// next sends the next record.
func (f *filler) next() error {
	offset, err := f.produce("orders", int32(f.stored), f.epochBegan, f.value)
	if err != nil {
		return err
	}
	if offset != int64(f.stored) {
		return fmt.Errorf("record %d got offset %d", f.stored, offset)
	}
	f.stored++
	return nil
}

func (f *filler) fill(t *testing.T) {
	t.Helper()
	for range 1000 {
		var refused codeError
		if err := f.next(); errors.As(err, &refused) && refused.code == wire.KafkaStorageError {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("the disk never gets full")
}

// mustBeFull checks that a new record is refused and a retry of the last one is not.
func (f *filler) mustBeFull(t *testing.T) {
	t.Helper()
	for range 2 {
		var refused codeError
		if err := f.next(); !errors.As(err, &refused) || refused.code != wire.KafkaStorageError {
			t.Fatalf("on a full disk: %v", err)
		}
		offset, err := f.produce("orders", int32(f.stored-1), f.epochBegan, f.value)
		if err != nil || offset != int64(f.stored-1) {
			t.Fatalf("retry of a stored record: offset %d, %v", offset, err)
		}
	}
}

// fillRest writes a file until nothing more fits.
func fillRest(t *testing.T, disk string) string {
	t.Helper()
	name := filepath.Join(disk, "rest")
	out, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	for size := 1 << 20; size > 0; {
		if _, err := out.Write(make([]byte, size)); err != nil {
			if !errors.Is(err, syscall.ENOSPC) {
				t.Fatal(err)
			}
			size /= 2
		}
	}
	return name
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (c *talker) mustProduce(t *testing.T, topic string, sequence int32, value string) {
	t.Helper()
	if _, err := c.produce(topic, sequence, time.Now().UnixMilli(), value); err != nil {
		t.Fatal(err)
	}
}

func (c *talker) reconnect(t *testing.T, addr string) {
	t.Helper()
	c.Conn.Close()
	c.Conn = dial(t, addr).Conn
}

func (c *talker) deleteTopic(name string) error {
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.Version, req.TimeoutMillis = 5, 10_000
	req.TopicNames = []string{name}
	answer, err := c.Request(req)
	if err != nil {
		return err
	}
	return failed("delete "+name, answer.(*kmsg.DeleteTopicsResponse).Topics[0].ErrorCode)
}
