package cluster

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"once/inspect"
	"once/inspect/inspecttest"
	"once/internal/vfs"
)

// fullDisk is a disk that has room for a number of changes, until a directory is removed. Files can be renamed and
// synced on it when it is full.
type fullDisk struct {
	vfs.FS
	room atomic.Int64 // changes that are left
	full atomic.Bool  // one was refused
}

const unlimited = 1 << 40

func (d *fullDisk) take() error {
	if d.room.Add(-1) >= 0 {
		return nil
	}
	d.full.Store(true)
	return vfs.ErrNoSpace
}

func (d *fullDisk) MkdirAll(dir string) error {
	if err := d.take(); err != nil {
		return err
	}
	return d.FS.MkdirAll(dir)
}

func (d *fullDisk) RemoveAll(name string) error {
	d.room.Store(unlimited)
	return d.FS.RemoveAll(name)
}

func (d *fullDisk) Link(from, to string) error {
	if err := d.take(); err != nil {
		return err
	}
	return d.FS.Link(from, to)
}

func (d *fullDisk) Create(name string) (vfs.File, error) {
	if err := d.take(); err != nil {
		return nil, err
	}
	f, err := d.FS.Create(name)
	return fullDiskFile{f, d}, err
}

func (d *fullDisk) OpenReadWrite(name string) (vfs.File, error) {
	f, err := d.FS.OpenReadWrite(name)
	return fullDiskFile{f, d}, err
}

type fullDiskFile struct {
	vfs.File
	disk *fullDisk
}

func (f fullDiskFile) WriteAt(b []byte, at int64) (int, error) {
	if err := f.disk.take(); err != nil {
		return 0, err
	}
	return f.File.WriteAt(b, at)
}

// A snapshot for which the disk has no room, wherever that shows, is refused. The cluster goes on, and the snapshot
// that had the name is as it was. The same for a restore.
func TestSnapshotOnAFullDisk(t *testing.T) {
	disk := &fullDisk{FS: vfs.NewMem()}
	disk.room.Store(unlimited)
	c := opened(t, Env{FS: disk, Metadata: MetadataOn(disk), BootID: "one"})
	conn := connect(t, c)
	conn.CreateTopic("x", 2, nil)
	conn.CreateTopic("y", 1, nil)
	conn.produceValue("x", []byte("first"))
	conn.send(conn.producer("open"), "x", []byte("open"))
	if _, err := c.KeepSnapshot("s"); err != nil {
		t.Fatal(err)
	}
	written := []string{"first"}
	for what, do := range map[string]func() error{
		"snapshot": func() error { _, err := c.KeepSnapshot("s"); return err },
		"restore":  func() error { return c.Restore("s") },
	} {
		refused := 0
		later := conn.committed("y")
		for room := int64(0); ; room++ {
			value := fmt.Sprint(what, room)
			conn.produceValue("y", []byte(value))
			later = append(later, value)
			disk.full.Store(false)
			disk.room.Store(room)
			err := do()
			disk.room.Store(unlimited)
			if !disk.full.Load() {
				if err != nil {
					t.Fatalf("%s with room for %d changes: %v", what, room, err)
				}
				break
			}
			if err == nil { // what failed can be made again, such as a checkpoint
				continue
			}
			refused++
			if !errors.Is(err, vfs.ErrNoSpace) {
				t.Errorf("%s with room for %d changes: %v", what, room, err)
			}
			if c.Err() != nil {
				t.Fatalf("%s with room for %d changes ended the cluster: %v", what, room, c.Err())
			}
			if c.engine() == nil && strings.Contains(err.Error(), "is restored") {
				later = nil
			}
			if c.engine() == nil { // not even the metadata of a start had room
				if _, err := c.Restart(t.Context(), ByKill, 0); err != nil {
					t.Fatalf("%s with room for %d changes: the start after it: %v", what, room, err)
				}
			}
			conn = connect(t, c)
			if got := conn.committed("x"); !slices.Equal(got, written) {
				t.Fatalf("%s with room for %d changes: the cluster has %q", what, room, got)
			}
			if got := conn.committed("y"); later == nil {
				later = got
			} else if !slices.Equal(got, later) {
				t.Fatalf("%s with room for %d changes: %q were written later, %q are there", what, room, later, got)
			}
			fork, err := forkOfKept(c, "s", fmt.Sprint("fork", what, room))
			if err != nil {
				t.Fatalf("%s with room for %d changes: the snapshot before: %v", what, room, err)
			}
			if got := connect(t, fork).committed("x"); !slices.Equal(got, written) {
				t.Errorf("%s with room for %d changes: the snapshot has %q", what, room, got)
			}
			if err := fork.Close(); err != nil {
				t.Error(err)
			}
		}
		if refused < 3 {
			t.Errorf("%d times a %s was refused", refused, what)
		}
		t.Logf("%d times a %s was refused", refused, what)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	inspecttest.RequireCleanOn(t, disk, c.dir, inspect.Options{})
}

// forkOfKept opens another cluster from a snapshot that is kept.
func forkOfKept(c *Cluster, name, dir string) (*Cluster, error) {
	image, _, err := c.KeptImage(name)
	if err != nil {
		return nil, err
	}
	return OpenImage(Env{}, dir, image)
}
