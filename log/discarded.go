package log

import (
	"errors"
	"io/fs"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"once/internal/clock"
)

const (
	// DefaultDiscardedBytes is for BarrierOptions.DiscardedBytes: a burst of writing, not a share of the disk.
	DefaultDiscardedBytes = 256 << 20
	// discardedFromBytes is the smallest file that is worth keeping: below, a file costs more than its memory.
	discardedFromBytes = 1 << 20
	// discardedAheadBytes is how far ahead of those who append files are removed.
	discardedAheadBytes = 8 << 20
)

// discarded holds the large files of deleted logs until their room is wanted: whoever appends has as much removed
// as he writes, oldest first, so that his bytes land in the memory that the file system has just let go of. Memory
// that lay free is slower where the machine is a virtual one that hands free memory back to its host: there each
// page costs more than what is written to it (docs/decisions/0009).
//
// Nothing depends on the files. Their directory has a name that ends in "-delete", and a start removes it.
type discarded struct {
	o        BarrierOptions // immutable
	keptSize atomic.Int64
	ahead    atomic.Int64 // removed and not yet appended; counts while files are kept
	busy     sync.WaitGroup

	mu struct {
		sync.Mutex
		files    []discardedFile // oldest first
		removing bool            // a goroutine removes what is due
		closed   bool            // all are due
		timer    clock.Timer     // for the oldest
	}
}

type discardedFile struct {
	name      string
	sizeBytes int64
	until     time.Time // it goes then, at the latest
	last      bool      // of its directory, which goes with it
}

// add takes over the directory of a deleted log. What is too small to be kept is removed at once.
func (d *discarded) add(dir string, within time.Duration) error {
	if within > 0 && d.o.DiscardedBytes > 0 && d.keep(d.worthKeeping(dir, d.o.Clock.Now().Add(within))) {
		return nil
	}
	return d.o.FS.RemoveAll(dir)
}

// keep puts files on the list and says whether there were any, and a list to put them on.
func (d *discarded) keep(files []discardedFile) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(files) == 0 || d.mu.closed {
		return false
	}
	if len(d.mu.files) == 0 {
		d.ahead.Store(discardedAheadBytes + discardedFromBytes)
	}
	d.mu.files = append(d.mu.files, files...)
	for _, f := range files {
		d.keptSize.Add(f.sizeBytes)
	}
	d.removeDueLocked()
	return true
}

func (d *discarded) worthKeeping(dir string, until time.Time) (files []discardedFile) {
	names, err := d.o.FS.List(dir)
	if err != nil {
		return nil
	}
	for _, name := range names {
		name = path.Join(dir, name)
		if info, err := d.o.FS.Stat(name); err == nil && info.SizeBytes >= discardedFromBytes && strings.HasSuffix(name, suffixLog) {
			files = append(files, discardedFile{name: name, sizeBytes: info.SizeBytes, until: until})
		}
	}
	if len(files) > 0 {
		files[len(files)-1].last = true
	}
	return files
}

// appended has as much removed as was appended. It does not wait for that.
func (d *discarded) appended(sizeBytes int) {
	if d.keptSize.Load() > 0 && d.ahead.Add(-int64(sizeBytes)) < discardedAheadBytes {
		d.removeDue()
	}
}

// removeDue begins to remove what has to go now, and comes back for what has to go later.
func (d *discarded) removeDue() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.removeDueLocked()
}

func (d *discarded) removeDueLocked() {
	switch {
	case d.mu.removing || len(d.mu.files) == 0:
	case d.dueLocked():
		d.mu.removing = true
		d.busy.Go(d.remove)
	default:
		d.stopTimerLocked()
		d.mu.timer = d.o.Clock.AfterFunc(d.mu.files[0].until.Sub(d.o.Clock.Now()), d.removeDue)
	}
}

func (d *discarded) stopTimerLocked() {
	if d.mu.timer != nil {
		d.mu.timer.Stop()
		d.mu.timer = nil
	}
}

// dueLocked says whether the oldest file has to go now.
func (d *discarded) dueLocked() bool {
	return d.mu.closed || d.ahead.Load() < discardedAheadBytes || d.keptSize.Load() > d.o.DiscardedBytes ||
		!d.o.Clock.Now().Before(d.mu.files[0].until)
}

func (d *discarded) remove() {
	for f, ok := d.nextDue(); ok; f, ok = d.nextDue() {
		d.removeFile(f)
	}
}

// nextDue takes the next file to remove off the list; there is none when remove may end.
func (d *discarded) nextDue() (f discardedFile, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.mu.files) == 0 || !d.dueLocked() {
		d.mu.removing = false
		d.removeDueLocked()
		return f, false
	}
	f = d.mu.files[0]
	d.mu.files = d.mu.files[1:]
	return f, true
}

func (d *discarded) removeFile(f discardedFile) {
	remove, name := d.o.FS.Remove, f.name
	if f.last {
		remove, name = d.o.FS.RemoveAll, path.Dir(f.name)
	}
	// On a full disk two are at it, and one may take the directory before the other has removed its file.
	if err := remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.o.Logger.Warn("a file of a deleted log stays until the next start", "file", name, "error", err)
	}
	if d.ahead.Load() < discardedAheadBytes { // else it goes for another reason, and nobody appends to its memory
		d.ahead.Add(f.sizeBytes)
	}
	d.keptSize.Add(-f.sizeBytes)
}

// removeAll makes room on a full disk and says whether there was any to make.
func (d *discarded) removeAll() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stopTimerLocked()
	files := d.mu.files
	d.mu.files = nil
	for _, f := range files {
		d.removeFile(f)
	}
	return len(files) > 0
}

// close removes what is left.
func (d *discarded) close() {
	d.mu.Lock()
	d.mu.closed = true
	d.stopTimerLocked()
	d.removeDueLocked()
	d.mu.Unlock()
	d.busy.Wait()
}
