package vfs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

func write(t *testing.T, f FS, name, text string) File {
	t.Helper()
	file, err := f.OpenReadWrite(name)
	if errors.Is(err, fs.ErrNotExist) {
		file, err = f.Create(name)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteAt([]byte(text), 0); err != nil {
		t.Fatal(err)
	}
	return file
}

func read(t *testing.T, f FS, name string) string {
	t.Helper()
	file, err := f.OpenRead(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	size, err := file.Size()
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, size)
	if _, err := file.ReadAt(b, 0); err != nil && size > 0 {
		t.Fatal(err)
	}
	return string(b)
}

func is(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

// Every file system behaves alike: what is tested in memory holds on disk.
func TestFileSystemsBehaveAlike(t *testing.T) {
	for name, f := range map[string]FS{"os": OS, "mem": NewMem(), "crashable": NewCrashable(1),
		"failing": FailAt(-1, NewMem())} {
		t.Run(name, func(t *testing.T) {
			root := filepath.ToSlash(t.TempDir())
			behave(t, f, root)
			behaveAsAWhole(t, f, root)
		})
	}
}

func behave(t *testing.T, f FS, root string) {
	in := func(name string) string { return root + "/" + name }
	if err := f.MkdirAll(in("a/b")); err != nil {
		t.Fatal(err)
	}
	is(t, "mkdir again", f.MkdirAll(in("a/b")), nil)
	file := write(t, f, in("a/b/x"), "hello")
	_, err := f.Create(in("a/b/x"))
	is(t, "create existing", err, fs.ErrExist)
	_, err = f.OpenRead(in("a/none"))
	is(t, "open missing", err, fs.ErrNotExist)
	_, err = f.OpenReadWrite(in("a/none"))
	is(t, "open missing", err, fs.ErrNotExist)
	_, err = f.Create(in("none/x"))
	is(t, "create in missing", err, fs.ErrNotExist)

	var b [8]byte
	n, err := file.ReadAt(b[:], 2)
	if n != 3 || err != io.EOF || string(b[:3]) != "llo" {
		t.Error("short read", n, err)
	}
	if _, err := file.WriteAt([]byte("!"), 8); err != nil {
		t.Error(err)
	}
	if got := read(t, f, in("a/b/x")); got != "hello\x00\x00\x00!" {
		t.Errorf("hole: %q", got)
	}
	is(t, "truncate", file.Truncate(4), nil)
	is(t, "sync", file.Sync(), nil)
	is(t, "syncdir", f.SyncDir(in("a/b")), nil)
	if at, err := file.ModTime(); err != nil || time.Since(at).Abs() > time.Minute {
		t.Error("changed", at, err)
	}
	if i, err := f.Stat(in("a/b/x")); err != nil || i.SizeBytes != 4 || i.IsDir || i.ModTime.IsZero() {
		t.Error(i, err)
	}
	if i, err := f.Stat(in("a/b")); err != nil || !i.IsDir {
		t.Error(i, err)
	}

	write(t, f, in("a/b/y"), "other").Close()
	is(t, "rename over", f.Rename(in("a/b/y"), in("a/b/x")), nil)
	if got := read(t, f, in("a/b/x")); got != "other" {
		t.Errorf("renamed: %q", got)
	}
	if n, err := file.ReadAt(b[:4], 0); n != 4 || err != nil || string(b[:4]) != "hell" {
		t.Error("replaced file is still readable by its holder:", err)
	}
	is(t, "close", file.Close(), nil)
	_, err = file.ReadAt(b[:], 0)
	is(t, "read closed", err, fs.ErrClosed)
	is(t, "rename missing", f.Rename(in("no"), in("yes")), fs.ErrNotExist)

	is(t, "link", f.Link(in("a/b/x"), in("a/linked")), nil)
	is(t, "link over", f.Link(in("a/b/x"), in("a/linked")), fs.ErrExist)
	is(t, "link missing", f.Link(in("a/none"), in("a/other")), fs.ErrNotExist)
	hasLinks(t, f, in("a/b/x"), 2)
	if copied, err := Unshare(f, in("a/linked"), in("a/tmp"), 3); !copied || err != nil {
		t.Error("linked file is not copied", err)
	}
	if copied, err := Unshare(f, in("a/linked"), in("a/tmp"), 1); copied || err != nil {
		t.Error("file with one name is copied", err)
	}
	if one, two := read(t, f, in("a/b/x")), read(t, f, in("a/linked")); one != "other" || two != "oth" {
		t.Errorf("unshared: %q and %q", one, two)
	}
	hasLinks(t, f, in("a/b/x"), 1)
	is(t, "remove", f.Remove(in("a/linked")), nil)
	_, err = f.LinkCount(in("a/linked"))
	is(t, "count links of a missing file", err, fs.ErrNotExist)
	is(t, "link again", f.Link(in("a/b/x"), in("a/linked")), nil)
	is(t, "rename over a linked file", f.Rename(in("a/linked"), in("a/b/w")), nil)
	write(t, f, in("a/b/y"), "new").Close()
	is(t, "rename over a linked file", f.Rename(in("a/b/y"), in("a/b/x")), nil)
	if one, two := read(t, f, in("a/b/x")), read(t, f, in("a/b/w")); one != "new" || two != "other" {
		t.Errorf("linked: %q and %q", one, two)
	}
	is(t, "remove", f.Remove(in("a/b/w")), nil)

	write(t, f, in("a/b/z"), "").Close()
	names, err := f.List(in("a/b"))
	if err != nil || !slices.Equal(names, []string{"x", "z"}) {
		t.Error(names, err)
	}
	if f.Remove(in("a/b")) == nil {
		t.Error("removed a directory that is not empty")
	}
	is(t, "remove", f.Remove(in("a/b/z")), nil)
	is(t, "remove again", f.Remove(in("a/b/z")), fs.ErrNotExist)
	is(t, "rename dir", f.Rename(in("a"), in("c")), nil)
	is(t, "removeall", f.RemoveAll(in("c")), nil)
	is(t, "removeall again", f.RemoveAll(in("c")), nil)
	_, err = f.List(in("c"))
	is(t, "list missing", err, fs.ErrNotExist)
}

func hasLinks(t *testing.T, f FS, name string, want int) {
	t.Helper()
	if n, err := f.LinkCount(name); n != want || err != nil {
		t.Errorf("%s has %d names, want %d: %v", name, n, want, err)
	}
}

// behaveAsAWhole is what concerns no single file.
func behaveAsAWhole(t *testing.T, f FS, root string) {
	whole, err := f.OpenFileSystem(root)
	if !errors.Is(err, errors.ErrUnsupported) || runtime.GOOS == "linux" {
		is(t, "open the file system", err, nil)
		is(t, "syncfs", whole.Sync(), nil)
		is(t, "close the file system", whole.Close(), nil)
	}
	if free, err := f.FreeBytes(root); err != nil || free <= 0 {
		t.Error(free, err)
	}

	lock, err := f.Lock(root + "/lock")
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Lock(root + "/lock")
	is(t, "second lock", err, ErrLocked)
	is(t, "unlock", lock.Close(), nil)
	lock, err = f.Lock(root + "/lock")
	is(t, "lock again", err, nil)
	if lock != nil {
		lock.Close()
	}
}

func TestCrashKeepsSyncedBytes(t *testing.T) {
	for seed := range int64(50) {
		m := NewCrashable(seed)
		_ = m.MkdirAll("d")
		_ = m.SyncDir("/")
		f := write(t, m, "d/kept", "synced bytes")
		_ = f.Sync()
		_ = m.SyncDir("d")
		lost := write(t, m, "d/maybe", "unsynced name")
		_ = lost.Sync()
		c := m.CrashClone()
		if got := read(t, c, "d/kept"); got != "synced bytes" {
			t.Fatalf("seed %d: %q", seed, got)
		}
		if got := read(t, m.Clone(), "d/maybe"); got != "unsynced name" {
			t.Fatal("process death lost a write", got)
		}
	}
}

func TestCrashMayLoseOrTearUnsyncedBytes(t *testing.T) {
	seen := map[string]bool{}
	old, young := bytes.Repeat([]byte{'o'}, 3*tornUnitBytes), bytes.Repeat([]byte{'y'}, 3*tornUnitBytes)
	for seed := range int64(200) {
		m := NewCrashable(seed)
		f := write(t, m, "x", string(old))
		_ = f.Sync()
		_ = m.SyncDir("/")
		_, _ = f.WriteAt(young, 0)
		write(t, m, "name", "").Close()
		_ = m.Rename("x", "z")
		c := m.CrashClone()
		names, _ := c.List("/")
		file := "x"
		if slices.Contains(names, "z") {
			file = "z"
		}
		got := read(t, c, file)
		if len(got) != len(old) {
			t.Fatalf("seed %d: %d bytes", seed, len(got))
		}
		pattern := ""
		for at := 0; at < len(got); at += tornUnitBytes {
			unit := got[at : at+tornUnitBytes]
			if unit != string(old[:tornUnitBytes]) && unit != string(young[:tornUnitBytes]) {
				t.Fatalf("seed %d: a unit of %d bytes was torn", seed, tornUnitBytes)
			}
			pattern += unit[:1]
		}
		seen[pattern] = true
		seen[fmt.Sprint(names)] = true
		if slices.Contains(names, "x") == slices.Contains(names, "z") {
			t.Fatalf("seed %d: a rename left %v: old or new, never both or neither", seed, names)
		}
	}
	if len(seen) != 8+4 {
		t.Errorf("outcomes %v", seen)
	}
}

func TestCrashIsRepeatable(t *testing.T) {
	run := func() string {
		m := NewCrashable(42)
		for i := range 20 {
			write(t, m, fmt.Sprintf("f%d", i), fmt.Sprint(i))
		}
		c := m.CrashClone()
		names, _ := c.List("/")
		text := fmt.Sprint(names)
		for _, n := range names {
			text += read(t, c, n)
		}
		return text
	}
	if a, b := run(), run(); a != b {
		t.Errorf("%q and %q from one seed", a, b)
	}
}

func TestFailAtFailsOneOperation(t *testing.T) {
	steps := func(f FS) (failed int) {
		note := func(err error) {
			if errors.Is(err, ErrInjected) {
				failed++
			}
		}
		note(f.MkdirAll("d"))
		file, err := f.Create("d/x")
		note(err)
		if err == nil {
			_, err = file.WriteAt([]byte("12345678"), 0)
			note(err)
			note(file.Sync())
			note(file.Truncate(1))
		}
		note(f.SyncDir("d"))
		note(f.Rename("d/x", "d/y"))
		note(f.Remove("d/y"))
		whole, err := f.OpenFileSystem("d")
		note(err)
		note(whole.Sync())
		note(f.RemoveAll("d"))
		return failed
	}
	n := 0
	for ; ; n++ {
		f := FailAt(n, NewMem())
		failed := steps(f)
		if !f.Fired() {
			if failed != 0 {
				t.Error("failed without saying so")
			}
			break
		}
		if failed != 1 {
			t.Errorf("operation %d: %d failures", n, failed)
		}
	}
	if n != 10 {
		t.Errorf("%d operations, want 10", n)
	}
	if f := DieAt(3, NewMem()); steps(f) != 7 {
		t.Error("something worked after death")
	}
	m := NewMem()
	_, err := write(t, m, "x", "").WriteAt(nil, 0)
	is(t, "write", err, nil)
	f, _ := FailAt(0, m).OpenReadWrite("x")
	if n, err := f.WriteAt([]byte("12345678"), 0); n != 4 || !errors.Is(err, ErrInjected) || read(t, m, "x") != "1234" {
		t.Error("a failed write is a half write", n, err)
	}
}

// folded is a file system that takes names for the same that differ in case only.
type folded struct{ FS }

func (f folded) Stat(name string) (Info, error) {
	names, _ := f.List(path.Dir(name))
	for _, n := range names {
		if strings.EqualFold(n, path.Base(name)) {
			name = path.Join(path.Dir(name), n)
		}
	}
	return f.FS.Stat(name)
}

func TestFoldsCase(t *testing.T) {
	f := NewMem()
	for name, want := range map[string]bool{"": false, "1": false, "a": true, "B": true} {
		dir := "d" + strings.ToLower(name)
		_ = f.MkdirAll(dir)
		if name != "" {
			write(t, f, dir+"/"+name, "").Close()
		}
		if got := FoldsCase(f, dir); got {
			t.Errorf("%q: names that differ are one", name)
		}
		if got := FoldsCase(folded{f}, dir); got != want {
			t.Errorf("%q: got %v", name, got)
		}
	}
	if FoldsCase(f, "none") {
		t.Error("a missing directory")
	}
	both := NewMem()
	write(t, both, "a", "").Close()
	write(t, both, "A", "").Close()
	if FoldsCase(both, "/") {
		t.Error("both names exist")
	}
}

func TestOnlyAFileOpenForWritingIsSynced(t *testing.T) {
	f := NewMem()
	write(t, f, "a", "x").Close()
	file, err := f.OpenRead("a")
	if err != nil {
		t.Fatal(err)
	}
	is(t, "sync", file.Sync(), fs.ErrPermission)
}

// Clones and synced states share memory with their origin until one of them changes. No change of one shows in another.
func TestClonesShareNoChange(t *testing.T) {
	type copied struct {
		m             *Mem
		f             File
		data, durable []byte
	}
	dice := rand.New(rand.NewPCG(1, 2))
	add := func(all []copied, m *Mem, data, durable []byte) []copied {
		f, err := m.OpenReadWrite("f")
		if err != nil {
			t.Fatal(err)
		}
		return append(all, copied{m, f, bytes.Clone(data), bytes.Clone(durable)})
	}
	for round := range int64(20) {
		first := NewCrashable(round)
		write(t, first, "f", "")
		first.SyncAll()
		all := add(nil, first, nil, nil)
		for step := range 200 {
			c := &all[dice.IntN(len(all))]
			size := len(c.data)
			var err error
			switch op := dice.IntN(10); {
			case op < 4: // over what is there, or behind it
				at := dice.IntN(size + 30)
				if op == 0 {
					at = size
				}
				b := bytes.Repeat([]byte{byte(step)}, 1+dice.IntN(40))
				c.data = append(c.data, make([]byte, max(at+len(b)-size, 0))...)
				copy(c.data[at:], b)
				_, err = c.f.WriteAt(b, int64(at))
			case op < 6:
				n := dice.IntN(size + 10)
				c.data = append(c.data, make([]byte, max(n-size, 0))...)[:n]
				err = c.f.Truncate(int64(n))
			case op < 8:
				c.durable = bytes.Clone(c.data)
				err = c.f.Sync()
			case len(all) == 6:
			case op == 8:
				all = add(all, c.m.Clone(), c.data, c.durable)
			default:
				crashed := c.m.CrashClone()
				left := []byte(read(t, crashed, "f"))
				all = add(all, crashed, left, left)
			}
			if err != nil {
				t.Fatal(err)
			}
			for i, c := range all {
				if got := read(t, c.m, "f"); got != string(c.data) {
					t.Fatalf("round %d, step %d: clone %d has %q, want %q", round, step, i, got, c.data)
				}
				if got := c.f.(*memFile).n.synced; !bytes.Equal(got, c.durable) {
					t.Fatalf("round %d, step %d: clone %d has %q synced, want %q", round, step, i, got, c.durable)
				}
			}
		}
	}
}
