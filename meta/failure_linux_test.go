package meta

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"once/internal/crashtest"
)

// replaceFile puts another file in the place of the one that a store writes to.
func replaceFile(s *File, device string) error {
	other, err := os.OpenFile(device, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer other.Close()
	return syscall.Dup3(int(other.Fd()), int(s.file.Fd()), syscall.O_CLOEXEC)
}

// A file that takes every write and cannot be synced, and one that takes no write and whose heads are gone: both end
// the store, which bbolt would go on with, and the owner is told once.
func TestFailedWriteOrSyncEndsTheStore(t *testing.T) {
	for device, cause := range map[string]error{"/dev/null": syscall.EINVAL, "/dev/full": syscall.ENOSPC} {
		path, failures := filepath.Join(t.TempDir(), "meta.db"), []error{}
		s, err := Open(path, Options{OnFailure: func(err error) { failures = append(failures, err) }})
		if err != nil {
			t.Fatal(err)
		}
		for range 5 { // until the file does not grow any more
			set(t, s, Topics, "x", "1")
		}
		for range 2 {
			err := s.Update(func(tx Tx) error {
				return errors.Join(tx.Put(Topics, "x", []byte("2")), replaceFile(s, device))
			})
			if !errors.Is(err, ErrFailed) || !errors.Is(err, cause) || !strings.Contains(err.Error(), path) {
				t.Errorf("%s: a change: %v", device, err)
			}
			if _, err := s.Get(Topics, "x"); !errors.Is(err, ErrFailed) {
				t.Errorf("%s: a look: %v", device, err)
			}
			if err := s.All(Topics, func(string, []byte) error { return nil }); !errors.Is(err, ErrFailed) {
				t.Errorf("%s: a look at all: %v", device, err)
			}
		}
		if len(failures) != 1 || !errors.Is(failures[0], ErrFailed) {
			t.Errorf("%s: its owner was told %v", device, failures)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		s = open(t, path)
		if v, err := s.Get(Topics, "x"); err != nil || string(v) != "1" {
			t.Errorf("%s: opened again, it holds %q, %v", device, v, err)
		}
		s.Close()
	}
}

// A record that changes under the open store is noticed when it is read, and ends the store.
func TestDamageInUseEndsTheStore(t *testing.T) {
	path, failures := filepath.Join(t.TempDir(), "meta.db"), 0
	s, err := Open(path, Options{OnFailure: func(error) { failures++ }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	set(t, s, Topics, "x", "some value")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for at := range b { // bbolt looks at the file through memory
		if strings.HasPrefix(string(b[at:min(at+10, len(b))]), "some value") {
			if _, err := s.file.WriteAt([]byte{'S'}, int64(at)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := s.Get(Topics, "x"); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), path) {
		t.Errorf("a look: %v", err)
	}
	if err := s.Update(func(tx Tx) error { return tx.Put(Topics, "y", nil) }); !errors.Is(err, ErrDamaged) {
		t.Errorf("a change: %v", err)
	}
	if failures != 1 {
		t.Errorf("its owner was told %d times", failures)
	}
}

// A page that cannot be read any more is a fault of memory.
func TestUnreadablePageInUseIsNoCrash(t *testing.T) {
	path := filled(t)
	s := open(t, path)
	defer s.Close()
	if err := s.file.Truncate(0); err != nil {
		t.Fatal(err)
	}
	if err := s.All(Topics, func(string, []byte) error { return nil }); !errors.Is(err, ErrDamaged) {
		t.Errorf("got %v", err)
	}
}

// On a disk without room a change is refused, nothing is damaged, and the store goes on.
func TestFullDiskEndsNothing(t *testing.T) {
	crashtest.Apart(t, "mounts a tmpfs")
	if os.Getuid() != 0 {
		t.Log("not shown here: needs root")
		return
	}
	disk := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=256k", "once", disk).CombinedOutput(); err != nil {
		t.Logf("not shown here: mount: %v: %s", err, out)
		return
	}
	t.Cleanup(func() { _ = exec.Command("umount", "-l", disk).Run() })
	path := filepath.Join(disk, "meta.db")
	s, err := Open(path, Options{OnFailure: func(err error) { t.Errorf("its owner was told: %v", err) }})
	if err != nil {
		t.Fatal(err)
	}
	put := func(i int) error {
		return s.Update(func(tx Tx) error { return tx.Put(Topics, fmt.Sprint(i), make([]byte, 3000)) })
	}
	stored := 0
	for err = put(0); err == nil; err = put(stored) {
		stored++
	}
	if !errors.Is(err, ErrNoSpace) || !strings.Contains(err.Error(), path) {
		t.Fatalf("after %d records: %v", stored, err)
	}
	t.Logf("full after %d records", stored)
	before, err := dump(s)
	if err != nil || len(before) != stored {
		t.Errorf("%d records can be read, %v", len(before), err)
	}
	// Something small finds a place, unless bbolt happens to choose a free page that the file has no room for yet.
	small := func() error {
		return s.Update(func(tx Tx) error { return tx.Put(Cluster, "starts", []byte("1")) })
	}
	for err = small(); errors.Is(err, ErrNoSpace); err = small() {
	}
	if err != nil {
		t.Fatal(err)
	}
	before["cluster/starts"] = "1"
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(path, Options{}); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if now, err := dump(s); err != nil || !maps.Equal(now, before) {
		t.Errorf("opened again, it holds %d records of %d, %v", len(now), len(before), err)
	}
	if out, err := exec.Command("mount", "-o", "remount,size=512k", disk).CombinedOutput(); err != nil {
		t.Fatalf("mount: %v: %s", err, out)
	}
	if err := put(stored); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

// An upgrade that cannot be written leaves the old file.
func TestUpgradeIsAtomic(t *testing.T) {
	path, records := oldFile(t)
	_, err := Open(path, Options{Upgrade: func(tx Tx) error { return replaceFile(tx.(fileTx).store, "/dev/null") }})
	if !errors.Is(err, ErrFailed) || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
	r, err := OpenReadOnly(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	mustHold(t, r, 1, records)
}
