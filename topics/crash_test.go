package topics

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"once/durability"
	"once/internal/clock"
	"once/internal/crashtest"
	"once/internal/vfs"
	"once/log/batch"
	"once/log/directory"
	"once/meta"
	"once/partition"
	"once/settings"
)

// A topic is deleted and created again, with barriers in between and without. At each change of the disk the process
// dies, or the power goes: whatever is left, no partition is offline at the next start, and none has records of the
// earlier topic. log/stray.go has the table.

// camera is a file system that is photographed before each of its changes.
type camera struct {
	*vfs.Mem
	take func(change string) // nil while nobody looks
}

func (c *camera) changing(what, name string) {
	if c.take != nil {
		c.take(what + " " + name)
	}
}

func (c *camera) Create(name string) (vfs.File, error) {
	c.changing("create", name)
	return c.file(name)(c.Mem.Create(name))
}

func (c *camera) OpenReadWrite(name string) (vfs.File, error) {
	return c.file(name)(c.Mem.OpenReadWrite(name))
}

func (c *camera) OpenRead(name string) (vfs.File, error) { return c.file(name)(c.Mem.OpenRead(name)) }

func (c *camera) file(name string) func(vfs.File, error) (vfs.File, error) {
	return func(f vfs.File, err error) (vfs.File, error) {
		if err != nil {
			return nil, err
		}
		return photographed{f, c, name}, nil
	}
}

func (c *camera) Rename(from, to string) error {
	c.changing("rename", from)
	return c.Mem.Rename(from, to)
}

func (c *camera) RemoveAll(name string) error {
	c.changing("remove", name)
	return c.Mem.RemoveAll(name)
}

func (c *camera) MkdirAll(name string) error {
	c.changing("mkdir", name)
	return c.Mem.MkdirAll(name)
}

func (c *camera) SyncDir(name string) error {
	c.changing("syncdir", name)
	return c.Mem.SyncDir(name)
}

type photographed struct {
	vfs.File
	camera *camera
	name   string
}

func (f photographed) WriteAt(b []byte, at int64) (int, error) {
	f.camera.changing("write", f.name)
	return f.File.WriteAt(b, at)
}

func (f photographed) Sync() error {
	f.camera.changing("sync", f.name)
	return f.File.Sync()
}

// topicPhoto is what a death or a power cut leaves.
type topicPhoto struct {
	name    string
	fs      *vfs.Mem
	meta    []byte
	bootID  string
	written map[[16]byte]int // records that were acknowledged, by topic ID
}

// opened is a broker's storage over a disk.
type opened struct {
	store   meta.Store
	barrier *durability.Barrier
	topics  *Topics
}

func openOn(t *testing.T, fs vfs.FS, path, bootID string) *opened {
	t.Helper()
	o := &opened{}
	var err error
	if o.store, err = meta.Open(path, meta.Options{NoSync: true}); err != nil {
		t.Fatal(err)
	}
	o.barrier, err = durability.Open(durability.Options{FS: fs, Dir: "data", FindLogs: directory.Logs, BootID: bootID,
		Interval: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	s, _, err := settings.Resolve()
	if err != nil {
		t.Fatal(err)
	}
	o.topics, err = Open(Options{
		Store: o.store, FS: fs, Dir: "data", Barrier: o.barrier, Settings: s, Starts: 2, Clock: clock.Real{}, Logger: quiet,
	})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func (o *opened) close(t *testing.T) {
	t.Helper()
	_ = o.barrier.Close(false)
	if err := o.store.Close(); err != nil {
		t.Error(err)
	}
}

func (o *opened) append(t *testing.T, topic string) {
	t.Helper()
	appendTo(t, must(o.topics.Partition(topic, 0)))
}

func appendTo(t *testing.T, p *partition.Partition) {
	t.Helper()
	o := batch.BuildOptions{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1, LeaderEpoch: -1}
	raw := batch.Build(o, batch.Record{Value: []byte("v")})
	if _, err := p.AppendClient(raw, 0, 13); err != nil {
		t.Fatal(err)
	}
}

func TestTopicOfADeletedOnesNameSurvivesEveryCrash(t *testing.T) {
	photos := 0
	path := filepath.Join(t.TempDir(), "meta.db")
	for barriers := range 32 {
		if barriers%5 != 0 && crashtest.Seeds(t) == 0 {
			continue // a sample
		}
		t.Run(fmt.Sprintf("barriers %04b", barriers), func(t *testing.T) {
			for _, p := range photosOfRecreation(t, barriers) {
				photos++
				p.check(t, path)
			}
		})
	}
	t.Logf("%d photos", photos)
}

// photosOfRecreation tells the story. barriers says behind which of its five parts a barrier comes.
func photosOfRecreation(t *testing.T, barriers int) (photos []topicPhoto) {
	c := &camera{Mem: vfs.NewCrashable(int64(barriers))}
	if err := c.MkdirAll("data"); err != nil {
		t.Fatal(err)
	}
	c.SyncAll()
	path := filepath.Join(t.TempDir(), "meta.db")
	o := openOn(t, c, path, "boot")
	defer func() {
		c.take = nil
		o.close(t)
	}()
	written := map[[16]byte]int{}
	shot := 0
	c.take = func(change string) {
		shot++
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		known := map[[16]byte]int{}
		for id, n := range written {
			known[id] = n
		}
		c.Reseed(int64(shot))
		name := fmt.Sprintf("before change %d, %s", shot, change)
		photos = append(photos,
			topicPhoto{"death " + name, c.Clone(), b, "boot", known},
			topicPhoto{"power cut " + name, c.CrashClone(), b, "another boot", known})
	}
	part := 0
	barrier := func() {
		if barriers&(1<<part) != 0 {
			if err := o.barrier.Sync(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		part++
		c.take("part done")
	}
	create := func(partitions int32, records int) {
		topic, err := o.topics.Create(Spec{Name: "orders", Partitions: partitions})
		if err != nil {
			t.Fatal(err)
		}
		c.take("topic created")
		for range records {
			o.append(t, "orders")
			written[topic.ID]++
		}
		barrier()
	}
	create(2, 3)
	if err := o.topics.Delete("orders"); err != nil {
		t.Fatal(err)
	}
	barrier()
	create(1, 2)
	if err := o.topics.Delete("orders"); err != nil {
		t.Fatal(err)
	}
	barrier()
	create(1, 1)
	return photos
}

// check starts on a photo. The metadata is written to path, over that of another photo.
func (p topicPhoto) check(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, p.meta, 0o600); err != nil {
		t.Fatal(err)
	}
	o := openOn(t, p.fs, path, p.bootID)
	defer o.close(t)
	if topic, ok := o.topics.Lookup("orders"); ok {
		offsets, err := must(topic.Partition(0)).Offsets()
		if err != nil {
			t.Errorf("%s: %v", p.name, err)
			return
		}
		got, want := offsets.LogEndOffset, int64(p.written[topic.ID])
		// One that was under way may be there, too; after a power cut, those since the last barrier need not be.
		if got > want+1 || got < want && p.bootID == "boot" {
			t.Errorf("%s: log end offset %d, %d records were acknowledged", p.name, got, want)
		}
		if err := o.topics.Delete("orders"); err != nil {
			t.Errorf("%s: %v", p.name, err)
		}
	}
	if _, err := o.topics.Create(Spec{Name: "orders", Partitions: 3}); err != nil {
		t.Errorf("%s: %v", p.name, err)
		return
	}
	o.append(t, "orders")
	if end := must(o.topics.Partition("orders", 0)).LogEndOffset(); end != 1 {
		t.Errorf("%s: created again, it has the log end offset %d", p.name, end)
	}
}
