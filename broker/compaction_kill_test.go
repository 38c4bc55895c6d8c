package broker_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"once/inspect"
	"once/inspect/inspecttest"
	"once/internal/vfs"
)

// The broker dies, or the power is cut, while the cleaner works on a log whose compacted form is many times the
// cleaner's buffer (spec: reliability 3, row F19): right before one change of the disk while there are files that
// only a pass makes. The next broker dies in the same way a little later in its pass, and so on. After each start
// the client reads everything, and must find what it was told. With ONCE_CRASH=N this is done before every
// change of a pass, N times with other dice.

// cleanerDisk is a disk in memory that knows which files of the cleaner a partition has.
type cleanerDisk struct {
	*vfs.Mem
	dir string // of the partition
	mu  struct {
		sync.Mutex
		files   map[string]bool     // of the cleaner
		left    int                 // changes until crash is called
		crash   func(change string) // nil after it was called
		longest int64               // bytes of the longest file that a pass has written
		renamed int                 // files of the cleaner that are segments now
	}
}

func newCleanerDisk(m *vfs.Mem, dir string) *cleanerDisk {
	d := &cleanerDisk{Mem: m, dir: dir}
	d.mu.files = map[string]bool{}
	names, _ := m.List(dir) // none before the first start
	for _, name := range names {
		if isCleanerFile(name) {
			d.mu.files[filepath.Join(dir, name)] = true
		}
	}
	return d
}

// isCleanerFile says whether a file is there only while the cleaner replaces segments.
func isCleanerFile(name string) bool {
	return strings.HasSuffix(name, ".log.cleaned") || strings.Contains(name, ".log.swap-")
}

// crashAt has crash called right before the n-th change, from 0, while there are files of the cleaner.
func (d *cleanerDisk) crashAt(n int, crash func(change string)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.left, d.mu.crash = n, crash
}

func (d *cleanerDisk) changing(what, name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.mu.files) == 0 || filepath.Dir(name) != d.dir {
		return
	}
	if d.mu.left--; d.mu.left < 0 && d.mu.crash != nil {
		crash := d.mu.crash
		d.mu.crash = nil
		crash(what + " " + filepath.Base(name))
	}
}

// changed notes which files of the cleaner there are.
func (d *cleanerDisk) changed(gone, made string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mu.files[gone] && made != "" && !isCleanerFile(made) {
		d.mu.renamed++
	}
	delete(d.mu.files, gone)
	if isCleanerFile(made) {
		d.mu.files[made] = true
	}
}

// replaced is how many segments the cleaner has put in the place of others.
func (d *cleanerDisk) replaced() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mu.renamed
}

func (d *cleanerDisk) hasFiles() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.mu.files) > 0
}

// OpenFileSystem is refused, as by a disk of the power cuts.
func (d *cleanerDisk) OpenFileSystem(string) (vfs.FileSystem, error) {
	return nil, errors.ErrUnsupported
}

func (d *cleanerDisk) Create(name string) (vfs.File, error) {
	f, err := d.Mem.Create(name)
	if err != nil || !isCleanerFile(name) {
		return f, err
	}
	d.changed("", name)
	return cleanerFile{f, d, name}, nil
}

func (d *cleanerDisk) Rename(oldName, newName string) error {
	d.changing("rename of", oldName)
	err := d.Mem.Rename(oldName, newName)
	if err == nil {
		d.changed(oldName, newName)
	}
	return err
}

func (d *cleanerDisk) Remove(name string) error {
	d.changing("removal of", name)
	err := d.Mem.Remove(name)
	if err == nil {
		d.changed(name, "")
	}
	return err
}

func (d *cleanerDisk) SyncDir(dir string) error {
	d.changing("sync of the directory of", filepath.Join(dir, "its files"))
	return d.Mem.SyncDir(dir)
}

// cleanerFile is a file that a pass writes.
type cleanerFile struct {
	vfs.File
	disk *cleanerDisk
	name string
}

func (f cleanerFile) WriteAt(b []byte, at int64) (int, error) {
	f.disk.changing(fmt.Sprintf("write at %d of", at), f.name)
	f.disk.mu.Lock()
	f.disk.mu.longest = max(f.disk.mu.longest, at+int64(len(b)))
	f.disk.mu.Unlock()
	return f.File.WriteAt(b, at)
}

func (f cleanerFile) Sync() error {
	f.disk.changing("sync of", f.name)
	return f.File.Sync()
}

// storyClient writes to a broker, one step after the other, and reads what it has. Its state is a number for each
// key: the version that wrote it last.
type storyClient interface {
	// arrive is called after each start of the broker. It ends what an earlier life has left open.
	arrive(first bool)
	// step plans the step of a version: what it changes, where 0 removes a key, and how it is done.
	step(version int64, dice *rand.Rand) (changes map[string]int64, do func())
	read() map[string]int64
}

// story is a client's steps over the lives of brokers. The client does one step after the other, so that a broker
// has the first so many of them: those that were acknowledged, and perhaps the one under way.
type story struct {
	*powered
	client   storyClient
	topic    string // that is compacted
	powerCut bool
	seed     uint64
	dice     *rand.Rand
	longest  int64 // bytes of the longest file that a pass has written
	mu       struct {
		sync.Mutex
		steps        []map[string]int64 // begun
		acknowledged int
	}
}

// death is what a life leaves.
type death struct {
	change              string // that it did not come to
	left                *vfs.Mem
	bootID              string // of the next life
	acknowledged, begun int    // steps
}

// stateAfter is the state after so many steps.
func (s *story) stateAfter(steps int) map[string]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	state := map[string]int64{}
	for _, changes := range s.mu.steps[:steps] {
		for key, version := range changes {
			if state[key] = version; version == 0 {
				delete(state, key)
			}
		}
	}
	return state
}

func (s *story) progress() (acknowledged, begun int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.acknowledged, len(s.mu.steps)
}

// backTo forgets what no life will remember.
func (s *story) backTo(acknowledged, begun int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.acknowledged, s.mu.steps = acknowledged, s.mu.steps[:begun]
}

// goOn does the next step.
func (s *story) goOn() {
	s.t.Helper()
	_, begun := s.progress()
	changes, do := s.client.step(int64(begun+1), s.dice)
	s.mu.Lock()
	s.mu.steps = append(s.mu.steps, changes)
	s.mu.Unlock()
	do()
	s.mu.Lock()
	s.mu.acknowledged++
	s.mu.Unlock()
}

// check reads everything. What is there decides how many steps have been done.
func (s *story) check(when string) {
	s.t.Helper()
	acknowledged, begun := s.progress()
	got := s.client.read()
	for steps := acknowledged; steps <= begun; steps++ {
		if maps.Equal(s.stateAfter(steps), got) {
			s.backTo(steps, steps)
			return
		}
	}
	want := s.stateAfter(acknowledged)
	var wrong []string
	for key, version := range want {
		if got[key] != version {
			wrong = append(wrong, fmt.Sprintf("%s: version %d, want %d", key, got[key], version))
		}
	}
	for key, version := range got {
		if want[key] == 0 {
			wrong = append(wrong, fmt.Sprintf("%s: version %d, want none", key, version))
		}
	}
	slices.Sort(wrong)
	s.t.Fatalf("seed %d, %s: %d keys are not what they were after step %d, the last of %d that was acknowledged:\n%s",
		s.seed, when, len(wrong), acknowledged, begun, strings.Join(wrong[:min(len(wrong), 10)], "\n"))
}

// open starts a broker.
func (s *story) open(fs vfs.FS, last *death) {
	s.t.Helper()
	s.boot(fs, last.bootID)
	s.client.arrive(last.begun == 0)
}

// stepsAhead is how many steps a life may do before its end comes: enough for several passes.
const stepsAhead = 300

// live runs a broker on what the last one left until it dies right before the n-th change while there are files of
// the cleaner.
func (s *story) live(last *death, n int) *death {
	s.t.Helper()
	d := newCleanerDisk(last.left, s.partitionDir())
	died := make(chan *death, 1)
	d.crashAt(n, func(change string) {
		end := &death{change: fmt.Sprintf("killed before change %d, %s", n, change), bootID: last.bootID}
		end.acknowledged, _ = s.progress()
		if s.powerCut {
			d.Reseed(int64(s.seed)<<32 + int64(n))
			end.left, end.bootID = d.CrashClone(), fmt.Sprint("after ", n)
		} else {
			end.left = d.Clone()
		}
		_, end.begun = s.progress()
		died <- end
	})
	s.open(d, last)
	s.check(last.change)
	var end *death
	for steps := 0; end == nil && steps < stepsAhead; steps++ {
		s.goOn()
		select {
		case end = <-died:
		default:
		}
	}
	if end == nil {
		select {
		case end = <-died:
		case <-time.After(time.Minute):
			s.t.Fatalf("seed %d: in vain waited for the cleaner to come to change %d", s.seed, n)
		}
	}
	s.stop()
	s.longest = max(s.longest, d.mu.longest)
	s.backTo(end.acknowledged, end.begun)
	s.requireClean(end)
	if s.t.Failed() {
		s.t.Fatalf("seed %d, %s", s.seed, end.change)
	}
	return end
}

// severalBuffers is several times what the cleaner writes at once, which is 1 MiB.
const severalBuffers = 3 << 20

// run lives one life after the other; each dies a stride later in a pass than the one before it. The last one lives
// until the cleaner has done with a pass, ends in order, and is followed by another one.
func (s *story) run(changes, stride int) {
	s.dice = rand.New(rand.NewPCG(s.seed, 1))
	disk := vfs.NewMem()
	if s.powerCut {
		disk = vfs.NewCrashable(int64(s.seed))
	}
	if err := disk.MkdirAll(s.dir); err != nil {
		s.t.Fatal(err)
	}
	disk.SyncAll()
	last := &death{change: "at first", left: disk, bootID: "first"}
	for n := int(s.seed) % stride; n < changes; n += stride {
		last = s.live(last, n)
		s.t.Log(last.change)
	}
	d := newCleanerDisk(last.left, s.partitionDir())
	s.open(d, last)
	s.check(last.change)
	for before := d.replaced(); d.replaced() == before; {
		s.goOn()
	}
	await(s.t, "the end of the pass", func() bool { return !d.hasFiles() })
	s.check("compacted")
	s.stop()
	s.requireClean(last)
	if longest := max(s.longest, d.mu.longest); longest < severalBuffers {
		s.t.Errorf("seed %d: the cleaner wrote at most %d bytes into one file, which shows nothing", s.seed, longest)
	}
	s.open(last.left, last)
	s.check("compacted and restarted")
	s.stop()
}

// requireClean looks for damage in what a death leaves.
func (s *story) requireClean(left *death) {
	s.t.Helper()
	var expected []string
	if s.powerCut { // indexes are not synced
		expected = []string{"derived, the file can be deleted"}
	}
	inspecttest.RequireCleanOn(s.t, left.left, s.dir, inspect.Options{BootID: left.bootID}, expected...)
}

func (s *story) partitionDir() string { return filepath.Join(s.dir, s.topic+"-0") }
