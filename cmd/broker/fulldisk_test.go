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
	"once/internal/kafkatest"
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
		return launch(t, t.TempDir(), nil, "--data-dir", filepath.Join(disk, "data"), "--listen", "127.0.0.1:0", "--admin",
			"", "--durability", mode,
			"--set", "log.segment.bytes=4194304", "--set", "offsets.topic.num.partitions=3", "--set",
			"transaction.state.log.num.partitions=3")
	}
	p := run()
	c, txn := dial(t, p.listen), dial(t, p.listen)
	create(t, c, "ballast", "orders", "payments")
	f := &filler{Client: c, producer: begin(t, c, ""), value: strings.Repeat("x", 100_000)}
	payer := begin(t, txn, "payer")
	_, err := txn.Produce(payer, "payments", 0, kafkatest.Values("paid")...)
	must(t, err)
	for range 8 {
		_, err := c.Produce(f.producer, "ballast", 0, kafkatest.Values(strings.Repeat("b", 900_000))...)
		must(t, err)
	}
	f.fill(t)
	t.Logf("full after %d records", f.stored)

	// Nothing of what was refused is stored, what is stored is known and readable.
	f.mustBeFull(t)
	if values, _, err := c.Consume("orders", 0, 0, false); err != nil || len(values) != f.stored {
		t.Fatalf("%d records can be read, %v; stored %d", len(values), err, f.stored)
	}
	// What the broker itself has to write, it can.
	must(t, txn.End(payer, true))
	must(t, txn.Stage(payer, "group", "orders", 0, 1))
	must(t, txn.End(payer, false))
	must(t, c.Commit("plain group", "orders", 0, 7, ""))
	if values, _, err := c.Consume("payments", 0, 0, true); err != nil || len(values) != 1 {
		t.Fatalf("committed on the full disk: %q, %v", values, err)
	}

	// A death and a start on the full disk.
	p.stop(t, syscall.SIGKILL)
	p = run()
	c = dial(t, p.listen)
	f.Client = c
	f.mustBeFull(t)
	if offset, err := c.Committed("plain group", "orders", 0); err != nil || offset != 7 {
		t.Fatalf("offset %d, %v", offset, err)
	}

	// Somebody else takes the rest of the disk: the broker stays up, and says nothing that is not true.
	rest := fillRest(t, disk)
	err = c.Commit("plain group", "orders", 0, 8, "")
	if err != nil && !refused(err, wire.NotCoordinator, wire.CoordinatorNotAvailable) {
		t.Fatalf("offset commit on a disk without a free byte: %v", err)
	}
	f.mustBeFull(t)
	p.stop(t, syscall.SIGKILL)
	p = run()
	c = dial(t, p.listen)
	f.Client = c
	f.mustBeFull(t)
	must(t, os.Remove(rest))
	must(t, c.Commit("plain group", "orders", 0, 9, ""))

	// A topic is deleted, and everything goes on without a restart.
	must(t, deleteTopic(c, "ballast"))
	for range time.Tick(20 * time.Millisecond) {
		if err := f.next(); err == nil {
			break
		} else if !refused(err, wire.KafkaStorageError) {
			t.Fatal(err)
		}
	}
	must(t, f.next())
	if values, _, err := c.Consume("orders", 0, 0, false); err != nil || len(values) != f.stored {
		t.Fatalf("%d records, %v; stored %d", len(values), err, f.stored)
	}
	if code, _ := p.stop(t, syscall.SIGTERM); code != exitClean {
		t.Errorf("exit %d; stderr\n%s", code, p.stderr)
	}
}

// filler is an idempotent producer that fills the disk with records of one size.
type filler struct {
	*kafkatest.Client
	producer *kafkatest.Producer
	value    string
	stored   int
}

// next sends the next record.
func (f *filler) next() error {
	offset, err := f.Produce(f.producer, "orders", 0, kafkatest.Values(f.value)...)
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
		if err := f.next(); refused(err, wire.KafkaStorageError) {
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
		if err := f.next(); !refused(err, wire.KafkaStorageError) {
			t.Fatalf("on a full disk: %v", err)
		}
		last := f.producer.Batch(int32(f.stored-1), f.TimestampMs, kafkatest.Values(f.value)...)
		offset, err := f.Append(f.producer.ProduceRequest("orders", 0, last))
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

func deleteTopic(c *kafkatest.Client, name string) error {
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.Version, req.TimeoutMillis = 5, 10_000
	req.TopicNames = []string{name}
	answer, err := c.Ask(req)
	if err != nil {
		return err
	}
	if code := answer.(*kmsg.DeleteTopicsResponse).Topics[0].ErrorCode; code != 0 {
		return &kafkatest.CodeError{What: "delete " + name, Code: code}
	}
	return nil
}
