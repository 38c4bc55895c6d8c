package topics

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"once/durability"
	"once/internal/clock"
	"once/internal/files"
	"once/internal/vfs"
	"once/log"
	"once/log/directory"
	"once/meta"
	"once/partition"
	"once/settings"
)

// What an earlier process has removed may come back, too: the name of a topic is only given again when that cannot be.
func TestDirectoryThatAnEarlierProcessRemovedDoesNotComeBack(t *testing.T) {
	for _, clean := range []bool{true, false} {
		for seed := range int64(10) {
			fs := vfs.NewCrashable(seed)
			if err := fs.MkdirAll("data"); err != nil {
				t.Fatal(err)
			}
			fs.SyncAll()
			file := filepath.Join(t.TempDir(), "meta.db")
			o := openOn(t, fs, file, "boot")
			create := func() *Topic {
				topic, err := o.topics.Create(Spec{Name: "orders", Partitions: 1})
				if err != nil {
					t.Fatal(err)
				}
				o.append(t, "orders")
				return topic
			}
			create()
			o.append(t, "orders")
			if err := errors.Join(o.barrier.Sync(t.Context()), o.topics.Delete("orders")); err != nil {
				t.Fatal(err)
			}
			if clean {
				if err := errors.Join(o.topics.Close(), o.barrier.Close(true)); err != nil {
					t.Fatal(err)
				}
			}
			o.close(t)
			o = openOn(t, fs, file, "boot")
			topic := create()
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			left := fs.CrashClone()
			o.close(t)
			name := fmt.Sprintf("clean=%v, seed %d", clean, seed)
			topicPhoto{name, left, raw, "another boot", map[[16]byte]int{topic.ID: 1}}.check(t, file)
		}
	}
}

// A directory that a start has moved aside, because it belongs to no topic, does not come back under a new topic of its
// name.
func TestDirectoryThatAStartMovedAsideDoesNotComeBack(t *testing.T) {
	for seed := range int64(10) {
		fs := vfs.NewCrashable(seed)
		if err := fs.MkdirAll("data"); err != nil {
			t.Fatal(err)
		}
		fs.SyncAll()
		file := filepath.Join(t.TempDir(), "meta.db")
		o := openOn(t, fs, file, "boot")
		before, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		create := func() *Topic {
			topic, err := o.topics.Create(Spec{Name: "orders", Partitions: 1})
			if err != nil {
				t.Fatal(err)
			}
			o.append(t, "orders")
			return topic
		}
		create()
		if err := o.barrier.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		o.close(t)
		if err := os.WriteFile(file, before, 0o600); err != nil { // the metadata is older than the log
			t.Fatal(err)
		}
		o = openOn(t, fs, file, "boot")
		topic := create()
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		left := fs.CrashClone()
		o.close(t)
		topicPhoto{fmt.Sprint("seed ", seed), left, raw, "another boot", map[[16]byte]int{topic.ID: 1}}.check(t, file)
	}
}

// A deletion that cannot take the directory away: the name is not given again, until a start has cleared it.
func TestTopicIsNotMadeOverRemains(t *testing.T) {
	for _, partitions := range []int32{1, 3} { // the remains are in the way of the second partition, too
		under := vfs.NewMem()
		if err := under.MkdirAll("data"); err != nil {
			t.Fatal(err)
		}
		failing := &noRename{FS: under}
		file := filepath.Join(t.TempDir(), "meta.db")
		o := openOn(t, failing, file, "boot")
		topic, err := o.topics.Create(Spec{Name: "orders", Partitions: partitions})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range topic.Partitions() {
			appendTo(t, p)
		}
		failing.refuses = fmt.Sprintf("data/orders-%d", partitions-1)
		if err := o.topics.Delete("orders"); err != nil {
			t.Fatal(err)
		}
		_, err = o.topics.Create(Spec{Name: "orders", Partitions: partitions})
		if !errors.Is(err, ErrRemains) || !strings.Contains(err.Error(), failing.refuses) {
			t.Errorf("created again: %v", err)
		}
		if _, ok := o.topics.Lookup("orders"); ok {
			t.Error("it exists all the same")
		}
		if partitions > 1 {
			if _, err := o.topics.Create(Spec{Name: "orders", Partitions: 1}); err != nil {
				t.Error(err)
			}
			if err := o.topics.AddPartitions("orders", partitions, false); !errors.Is(err, ErrRemains) {
				t.Errorf("partitions added: %v", err)
			}
			if n := len(must(o.topics.Lookup("orders")).Partitions()); n != 1 {
				t.Errorf("it has %d partitions", n)
			}
			if err := o.topics.Delete("orders"); err != nil {
				t.Fatal(err)
			}
		}
		failing.refuses = ""
		o.close(t)
		o = openOn(t, failing, file, "boot")
		if _, err := o.topics.Create(Spec{Name: "orders", Partitions: partitions}); err != nil {
			t.Error(err)
		}
		o.close(t)
	}
}

// noRename does not give one name another one.
type noRename struct {
	vfs.FS
	refuses string
	broken  error // of SyncDir
}

func (f *noRename) Rename(from, to string) error {
	if from == f.refuses {
		return vfs.ErrInjected
	}
	return f.FS.Rename(from, to)
}

func (f *noRename) SyncDir(dir string) error {
	if f.broken != nil {
		return f.broken
	}
	return f.FS.SyncDir(dir)
}

// A sync of the data directory that fails is as final as any other.
func TestFailedSyncOfTheDataDirectoryEndsAll(t *testing.T) {
	under := vfs.NewMem()
	if err := under.MkdirAll("data"); err != nil {
		t.Fatal(err)
	}
	failing := &noRename{FS: under}
	store, err := meta.Open(filepath.Join(t.TempDir(), "meta.db"), meta.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	var told []error
	barrier, err := durability.Open(durability.Options{
		FS: failing, Dir: "data", FindLogs: directory.Logs, BootID: "boot", Interval: time.Hour,
		OnFailure: func(err error) { told = append(told, err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer barrier.Close(false)
	s, _, err := settings.Resolve()
	if err != nil {
		t.Fatal(err)
	}
	ts, err := Open(Options{
		Store: store, FS: failing, Dir: "data", Barrier: barrier, Settings: s, Starts: 1, Clock: clock.Real{}, Logger: quiet,
	})
	if err != nil {
		t.Fatal(err)
	}
	failing.broken = vfs.ErrInjected
	spec := Spec{Name: "orders", Partitions: 1}
	if _, err := ts.Create(spec); err != nil {
		t.Errorf("the name is new in a new directory, and nothing has to be synced for it: %v", err)
	}
	if err := ts.Delete("orders"); err != nil {
		t.Error(err)
	}
	if _, err := ts.Create(Spec{Name: "others", Partitions: 1}); err != nil {
		t.Errorf("another name: %v", err)
	}
	if len(told) > 0 {
		t.Errorf("its owner was told %v", told)
	}
	for range 2 {
		if _, err := ts.Create(spec); !errors.Is(err, durability.ErrFailed) || !errors.Is(err, vfs.ErrInjected) {
			t.Errorf("got %v", err)
		}
		failing.broken = nil // a second try that succeeds proves nothing
	}
	if len(told) != 1 {
		t.Errorf("its owner was told %v", told)
	}
}

func TestUnsyncedNamesAreBounded(t *testing.T) {
	var u unsynced
	for i := range maxUnsynced {
		u.add(fmt.Sprint(i))
	}
	if !u.has("0") || u.has("other") || len(u.names) != maxUnsynced {
		t.Errorf("%d names, all=%v", len(u.names), u.all)
	}
	u.add("one more")
	if !u.has("0") || !u.has("other") || len(u.names) > 0 {
		t.Errorf("%d names, all=%v", len(u.names), u.all)
	}
	u.add("and another")
	if !u.has("other") || len(u.names) > 0 {
		t.Errorf("%d names, all=%v", len(u.names), u.all)
	}
}

// A partition whose directory says that it is of another topic is offline, and its bytes stay. Whoever deletes the
// topic gets the name back.
func TestDirectoryOfAnotherTopicIsDamage(t *testing.T) {
	for _, deleted := range []bool{false, true} {
		p := newPlace(t)
		p.create("orders", 2, nil)
		p.append("orders", 3)
		p.stop(false)
		file := path.Join("data", "orders-0", log.MetadataFile)
		good := p.read(file)
		other := slices.Clone(good)
		other[len(other)-10] ^= 1
		p.write(file, other)
		p.open()
		_, err := must(p.ts.Partition("orders", 0)).Offsets()
		if !errors.Is(err, partition.ErrOffline) || !strings.Contains(err.Error(), file) {
			t.Fatalf("got %v", err)
		}
		if _, err := must(p.ts.Partition("orders", 1)).Offsets(); err != nil {
			t.Errorf("the other partition: %v", err)
		}
		if deleted {
			if err := p.ts.Delete("orders"); err != nil {
				t.Fatal(err)
			}
			p.create("orders", 2, nil)
			if end := must(p.ts.Partition("orders", 0)).LogEndOffset(); end != 0 {
				t.Errorf("created again, its log end offset is %d", end)
			}
			names, err := p.fs.List("data")
			if err != nil || !slices.ContainsFunc(names, func(n string) bool { return strings.HasSuffix(n, log.StraySuffix) }) {
				t.Errorf("its bytes are gone: %v, %v", names, err)
			}
			continue
		}
		p.stop(false)
		p.write(file, good)
		p.open()
		if end := must(p.ts.Partition("orders", 0)).LogEndOffset(); end != 3 {
			t.Errorf("mended, its log end offset is %d", end)
		}
	}
}

func (p *place) read(name string) []byte {
	p.t.Helper()
	b, err := files.ReadSmall(p.fs, name)
	if err != nil {
		p.t.Fatal(err)
	}
	return b
}

func (p *place) write(name string, b []byte) {
	p.t.Helper()
	f, err := p.fs.OpenReadWrite(name)
	if err == nil {
		_, err = f.WriteAt(b, 0)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// A topic ID stands in a directory that its topic does not have: then the metadata is not what it was.
func TestDirectoriesThatContradictTheMetadataAreRefused(t *testing.T) {
	p := newPlace(t)
	p.create("orders", 2, nil)
	p.append("orders", 1)
	p.stop(false)
	for _, name := range []string{"data/ordess-0", "data/orders-2"} {
		if err := p.fs.Rename("data/orders-0", name); err != nil {
			t.Fatal(err)
		}
		store, err := meta.Open(p.path, meta.Options{})
		if err != nil {
			t.Fatal(err)
		}
		err = sweep(Options{Store: store, FS: p.fs, Dir: "data", Logger: quiet}, must2(readRecords(store)))
		if !errors.Is(err, meta.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, part := range []string{path.Base(name), p.path} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if err := errors.Join(store.Close(), p.fs.Rename(name, "data/orders-0")); err != nil {
			t.Fatal(err)
		}
	}
	// A copy beside the directory itself says nothing about the metadata, and is moved aside.
	if err := p.fs.MkdirAll("data/copy-0"); err != nil {
		t.Fatal(err)
	}
	f, err := p.fs.Create("data/copy-0/" + log.MetadataFile)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	p.write("data/copy-0/"+log.MetadataFile, p.read("data/orders-0/"+log.MetadataFile))
	p.open()
	if end := must(p.ts.Partition("orders", 0)).LogEndOffset(); end != 1 {
		t.Errorf("log end offset %d", end)
	}
	if _, err := p.fs.Stat("data/copy-0"); err == nil {
		t.Error("the copy is where it was")
	}
}

func must2[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
