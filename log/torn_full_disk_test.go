package log_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"

	"once/durability"
	"once/internal/files"
	"once/internal/vfs"
	"once/log"
	"once/log/logtest"
)

// smallDisk counts blocks as a file system does: a write takes the blocks it is the first to touch, a
// hole takes none, and what is cut off or removed is free again. A write without enough room writes
// what finds some.
type smallDisk struct {
	vfs.FS
	left  int  // free blocks
	quota bool // the free space is that of the disk, of which not all may be used
	files map[string]*smallFile
}

type smallFile struct{ blocks map[int64]bool }

const blockBytes = 4096

// newSmallDisk is a disk with what is on under, and so many free blocks.
func newSmallDisk(under *vfs.Mem, free int) *smallDisk {
	d := &smallDisk{FS: under, left: free, files: map[string]*smallFile{}}
	var walk func(dir string)
	walk = func(dir string) {
		names, _ := under.List(dir)
		for _, name := range names {
			name = path.Join(dir, name)
			if st, _ := under.Stat(name); st.IsDir {
				walk(name)
				continue
			}
			b, _ := files.ReadSmall(under, name)
			f := &smallFile{map[int64]bool{}}
			for at := 0; at < len(b); at += blockBytes {
				if len(bytes.Trim(b[at:min(at+blockBytes, len(b))], "\x00")) > 0 {
					f.blocks[int64(at/blockBytes)] = true
				}
			}
			d.files[name] = f
		}
	}
	walk("data")
	return d
}

// of is the disk of another process, on another file system with the same files.
func (d *smallDisk) of(under *vfs.Mem) *smallDisk {
	c := &smallDisk{FS: under, left: d.left, quota: d.quota, files: map[string]*smallFile{}}
	for name, f := range d.files {
		c.files[name] = &smallFile{maps.Clone(f.blocks)}
	}
	return c
}

func (d *smallDisk) FreeBytes(string) (int64, error) {
	if d.quota {
		return 1 << 40, nil
	}
	return int64(d.left) * blockBytes, nil
}

func (d *smallDisk) Create(name string) (vfs.File, error) {
	file, err := d.FS.Create(name)
	if err != nil {
		return nil, err
	}
	d.files[name] = &smallFile{map[int64]bool{}}
	return &smallHandle{file, d, d.files[name]}, nil
}

func (d *smallDisk) OpenReadWrite(name string) (vfs.File, error) {
	file, err := d.FS.OpenReadWrite(name)
	if err != nil {
		return nil, err
	}
	return &smallHandle{file, d, d.files[name]}, nil
}

func (d *smallDisk) Rename(old, name string) error {
	if err := d.FS.Rename(old, name); err != nil {
		return err
	}
	d.free(name, 0)
	d.files[name] = d.files[old]
	delete(d.files, old)
	return nil
}

func (d *smallDisk) Remove(name string) error {
	if err := d.FS.Remove(name); err != nil {
		return err
	}
	d.free(name, 0)
	delete(d.files, name)
	return nil
}

// free gives back the blocks of a file from one on.
func (d *smallDisk) free(name string, from int64) {
	if f := d.files[name]; f != nil {
		d.freeFrom(f, from)
	}
}

func (d *smallDisk) freeFrom(f *smallFile, from int64) {
	for at := range f.blocks {
		if at >= from {
			delete(f.blocks, at)
			d.left++
		}
	}
}

type smallHandle struct {
	vfs.File
	d *smallDisk
	f *smallFile
}

func (h *smallHandle) WriteAt(b []byte, at int64) (int, error) {
	for n := 0; n < len(b); {
		block := (at + int64(n)) / blockBytes
		if !h.f.blocks[block] {
			if h.d.left == 0 {
				return n, vfs.ErrNoSpace
			}
			h.d.left--
			h.f.blocks[block] = true
		}
		end := min(int64(len(b)), (block+1)*blockBytes-at)
		if _, err := h.File.WriteAt(b[n:end], at+int64(n)); err != nil {
			return n, err
		}
		n = int(end)
	}
	return len(b), nil
}

func (h *smallHandle) Truncate(sizeBytes int64) error {
	if err := h.File.Truncate(sizeBytes); err != nil {
		return err
	}
	h.d.freeFrom(h.f, (sizeBytes+blockBytes-1)/blockBytes)
	return nil
}

// tornCase is a log of which recovery has to take something out.
type tornCase struct {
	name  string
	above int    // batches above the last barrier; a segment takes about twelve
	power bool   // they go because of a power cut in page
	flip  bool   // they go because the first of them is damaged
	junk  string // they go because there are other bytes before them, behind a segment's last batch
	half  bool   // a write did not come to its end
}

// mode is one in which a power cut during recovery changes nothing about what is to come of it.
func (c tornCase) mode() durability.Mode {
	if c.junk != "" {
		return durability.Fsync
	}
	return durability.Page
}

var tornCases = []tornCase{
	{name: "tail, power cut", above: 7, power: true},
	{name: "segments, power cut", above: 22, power: true},
	{name: "tail, damaged", above: 7, flip: true},
	{name: "segments, damaged", above: 22, flip: true},
	{name: "segments, junk", above: 22, junk: "something else"},
	{name: "segments, zeros", above: 22, junk: "\x00\x00\x00"},
	{name: "half a batch", above: 3, half: true},
}

// tornLog is the disk that a start finds, and what has to come of it.
type tornLog struct {
	mem  *vfs.Mem
	end  int64             // of the log, after recovery
	want map[string][]byte // `<base>.log@<position>` → the bytes from there on, which are to be moved
	mode durability.Mode
	boot string
}

func makeTornLog(t *testing.T, c tornCase, seed int64) *tornLog {
	t.Helper()
	mem := vfs.NewCrashable(seed)
	w := logtest.NewWorld(t, mem, c.mode())
	w.Config, w.LogSizes = log.Config{SegmentBytes: 61_000, IndexIntervalBytes: 4096}, log.Sizes{}
	l := w.MustOpen()
	w.MustRecover()
	const below = 27
	for i := range int64(below + c.above) {
		if i == below {
			w.MustCheckpoint()
		}
		if c.junk != "" && i == below/12*12+12 {
			w.MustSync() // what lies before the junk was acknowledged
		}
		raw, h := logtest.LargeBatch(i)
		if err := l.Append(raw, h); err != nil {
			t.Fatal(err)
		}
	}
	w.Leave()
	made := &tornLog{mem: mem, end: below, want: map[string][]byte{}, mode: c.mode(), boot: "boot-1"}
	if c.power {
		made.boot = "boot-2"
	}
	raw, _ := logtest.LargeBatch(0)
	at := int64(below % 12 * len(raw)) // of the first batch above the barrier
	names, _ := mem.List(logtest.Dir)
	for _, name := range names {
		base, suffix, ok := log.ParseFileName(name)
		file := path.Join(logtest.Dir, name)
		switch {
		case !ok || suffix != log.LogSuffix || base < below/12*12:
		case c.half:
			made.end = below + int64(c.above)
			half := made.end%12*int64(len(raw)) + 3000
			more, _ := logtest.LargeBatch(made.end)
			logtest.Mutate(t, mem, file, func(b []byte) []byte { return append(b, more[:3000]...) })
			made.want[fmt.Sprintf("%s@%d", log.Stem(base), half-3000)] = more[:3000]
		default:
			if c.flip && base == below/12*12 {
				logtest.Mutate(t, mem, file, func(b []byte) []byte { b[at+200] ^= 1; return b })
			}
			b, _ := files.ReadSmall(mem, file)
			if c.junk != "" && base == below/12*12 {
				made.end, at = below/12*12+12, int64(len(b))
				logtest.Mutate(t, mem, file, func(b []byte) []byte { return append(b, c.junk...) })
				b, _ = files.ReadSmall(mem, file)
			}
			if len(bytes.Trim(b[at:], "\x00")) > 0 {
				made.want[fmt.Sprintf("%s@%d", log.Stem(base), at)] = b[at:]
			}
			at = 0
		}
	}
	return made
}

// again is the same disk, untouched, with the dice of a seed.
func (l *tornLog) again(seed int64) *tornLog {
	c := *l
	c.mem = l.mem.Clone()
	c.mem.Reseed(seed)
	return &c
}

// open starts on a disk, through something that may fail.
func (l *tornLog) open(t *testing.T, under vfs.FS) (*logtest.World, error) {
	w := logtest.NewWorld(t, vfs.NewMem(), l.mode)
	w.LogSizes = log.Sizes{}
	w.FS, w.Boot = under, l.boot
	w.Config = log.Config{SegmentBytes: 61_000, IndexIntervalBytes: 4096}
	err := w.Open()
	w.Leave()
	return w, err
}

// check compares what is on disk with what has to come of it: the log, and every byte that left it.
func (l *tornLog) check(t *testing.T, mem *vfs.Mem, copied bool) error {
	w, err := l.open(t, mem)
	if err != nil {
		return err
	}
	if err := logtest.CheckOffsets(w.Log, l.end, 1); err != nil {
		return err
	}
	found := map[string][]byte{}
	names, _ := mem.List(logtest.Dir)
	for _, name := range names {
		if base, position, ok := strings.Cut(name, log.TornInfix); ok {
			found[base+"@"+position], _ = files.ReadSmall(mem, path.Join(logtest.Dir, name))
		}
	}
	if !copied && len(found) == 0 {
		return nil
	}
	if l.mode == durability.Fsync { // a power cut during recovery also tears copies of what the journal has
		maps.DeleteFunc(found, func(name string, _ []byte) bool { return l.want[name] == nil })
	}
	// A power cut may undo a part of what was cut off, and the next start then keeps that once more, beside the whole.
	maps.DeleteFunc(found, func(name string, _ []byte) bool {
		whole, _, again := strings.Cut(name[strings.Index(name, "@"):], "-")
		return again && l.want[name[:strings.Index(name, "@")]+whole] != nil
	})
	if !maps.EqualFunc(found, l.want, bytes.Equal) {
		text := func(m map[string][]byte) (all []string) {
			for name, b := range m {
				all = append(all, name+" "+strconv.Itoa(len(b)))
			}
			slices.Sort(all)
			return all
		}
		return fmt.Errorf("moved aside: %v, want %v", text(found), text(l.want))
	}
	return nil
}

// A start that has no room to keep what it cuts leaves everything as it is, and says how much has to be free; with so
// much it goes on (spec: reliability P12, P35). Only a part of a batch, which nobody was told of, goes without a copy.
func TestTornBytesAreKeptOnAFullDisk(t *testing.T) {
	refused := 0
	for _, c := range tornCases {
		found := makeTornLog(t, c, 0)
		for _, free := range []int{0, 1, 2, 3, 5, 20, 1000} {
			made := found.again(1)
			disk := newSmallDisk(made.mem, free)
			disk.quota = free%2 == 1
			before := map[string][]byte{}
			names, _ := made.mem.List(logtest.Dir)
			for _, name := range names {
				if strings.HasSuffix(name, log.LogSuffix) {
					before[name], _ = files.ReadSmall(made.mem, path.Join(logtest.Dir, name))
				}
			}
			_, err := made.open(t, disk)
			if errors.Is(err, vfs.ErrNoSpace) && free < 20 && !c.half {
				refused++
				var need int
				text := err.Error()
				if _, serr := fmt.Sscanf(text[strings.Index(text, "of their own: ")+len("of their own: "):],
					"%d bytes have to be free", &need); serr != nil {
					t.Fatal(text)
				}
				first := path.Base(text[:strings.Index(text, ".log")]) + ".log"
				if now, _ := files.ReadSmall(made.mem, path.Join(logtest.Dir, first)); !bytes.Equal(now, before[first]) {
					t.Errorf("%s, %d blocks: %s has %d bytes, before %d", c.name, free, first, len(now), len(before[first]))
				}
				disk.left = need/blockBytes + 1 // somebody frees so much
				_, err = made.open(t, disk)
			}
			if err != nil {
				t.Errorf("%s, %d blocks: %v", c.name, free, err)
			}
			if err := made.check(t, made.mem, free > 1 || !c.half); err != nil {
				t.Errorf("%s, %d blocks: %v", c.name, free, err)
			}
		}
	}
	if refused == 0 {
		t.Error("there was always room")
	}
}

// Interrupted by a death or by a power cut at each of its operations, recovery on a disk that is nearly full comes to
// the same end, and every byte is kept (spec: reliability P9).
func TestRecoveryOnAFullDiskIsKilledAtEveryOperation(t *testing.T) {
	tries := 0
	for _, c := range tornCases[:6] {
		found := makeTornLog(t, c, 0)
		for _, free := range []int{20, 100} {
			for _, power := range []bool{false, true} {
				for stride := 1; stride < 4; stride += 2 {
					made := found.again(int64(stride))
					n, err := made.killed(t, newSmallDisk(made.mem, free), stride-1, stride, power)
					tries += n
					if err != nil {
						t.Errorf("%s, %d blocks, power cut %v, stride %d: %v", c.name, free, power, stride, err)
					}
				}
			}
		}
		each := 1 // operation alone, with other dice
		if c.junk != "" {
			each = 4
		}
		for n, last := 0, false; !last; n++ {
			made := found.again(int64(n))
			tried, err := made.killed(t, newSmallDisk(made.mem, 20), n/each, 1<<20, true)
			tries, last = tries+tried, tried == 0
			if err != nil {
				t.Errorf("%s, interrupted once at %d: %v", c.name, n/each, err)
			}
		}
	}
	t.Logf("%d interrupted recoveries", tries)
}

// killed interrupts recovery at operation n, the next one stride operations later, until one comes to its
// end, and checks what has come of it.
func (l *tornLog) killed(t *testing.T, disk *smallDisk, n, stride int, power bool) (tries int, err error) {
	mem := l.mem
	mem.SyncAll()
	for ; ; n += stride {
		dying := vfs.DieAt(n, disk)
		_, err := l.open(t, dying)
		if !dying.Fired() {
			if err != nil {
				return tries, fmt.Errorf("died %d times: %w", tries, err)
			}
			return tries, l.check(t, mem, true)
		}
		tries++
		if power {
			mem = mem.CrashClone()
			all := len(disk.allBlocks()) + disk.left
			disk = newSmallDisk(mem, 0)
			disk.left = max(all-len(disk.allBlocks()), 0)
		} else {
			mem = mem.Clone()
			disk = disk.of(mem)
		}
	}
}

func (d *smallDisk) allBlocks() (all []string) {
	for name, f := range d.files {
		for at := range f.blocks {
			all = append(all, fmt.Sprintf("%s %d", name, at))
		}
	}
	return all
}

// What was moved aside before stays, when other bytes are cut at the same place.
func TestEarlierTornFilesStay(t *testing.T) {
	for _, c := range tornCases {
		made := makeTornLog(t, c, 1)
		earlier := map[string][]byte{}
		for name, b := range made.want {
			base, position, _ := strings.Cut(name, "@")
			for suffix, b := range map[string][]byte{"": bytes.Repeat([]byte{7}, len(b)), "-1": []byte("short")} {
				name := path.Join(logtest.Dir, base+log.TornInfix+position+suffix)
				f, err := made.mem.Create(name)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := f.WriteAt(b, 0); err != nil {
					t.Fatal(err)
				}
				f.Close()
				earlier[name] = b
			}
		}
		if _, err := made.open(t, made.mem); err != nil {
			t.Fatal(err)
		}
		for name, b := range earlier {
			if now, err := files.ReadSmall(made.mem, name); err != nil || !bytes.Equal(now, b) {
				t.Errorf("%s: %s was changed: %v", c.name, name, err)
			}
		}
		for name, b := range made.want {
			base, position, _ := strings.Cut(name, "@")
			if now, err := files.ReadSmall(made.mem, path.Join(logtest.Dir, base+log.TornInfix+position+"-2")); err != nil ||
				!bytes.Equal(now, b) {
				t.Errorf("%s: %s is not beside it: %v", c.name, name, err)
			}
		}
	}
}

// What is moved aside is on the disk, although no barrier speaks of it.
func TestTornFilesSurviveAPowerCut(t *testing.T) {
	for _, c := range tornCases {
		made := makeTornLog(t, c, 1)
		if _, err := made.open(t, made.mem); err != nil {
			t.Fatal(err)
		}
		left := made.mem.CrashClone()
		for name, b := range made.want {
			base, position, _ := strings.Cut(name, "@")
			if now, err := files.ReadSmall(left, path.Join(logtest.Dir, base+log.TornInfix+position)); err != nil ||
				!bytes.Equal(now, b) {
				t.Errorf("%s: %s is lost: %v", c.name, name, err)
			}
		}
	}
}
