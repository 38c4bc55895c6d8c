package cluster

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
)

// Snapshot is an image that is kept under a name, in the data directory, until it is dropped.
type Snapshot struct {
	Name      string
	Taken     time.Time // by the machine's clock
	Clock     time.Time // the instant of the cluster's clock
	Frozen    bool      // that clock stood
	SizeBytes int64     // of all segments, whether they are shared or not
	Dir       string    // in snapshotsDirectory; "": the name
}

// snapshotsDirectory holds a directory for each snapshot, and a file that says when it was taken and names the
// directory. It is no name of a log.
const snapshotsDirectory = ".snapshots"

// maxSnapshots bounds their number.
const maxSnapshots = 100

var (
	// ErrNoSnapshot: there is no snapshot of the name.
	ErrNoSnapshot = errors.New("no such snapshot")
	// ErrSnapshotName: a snapshot cannot have the name, or there are too many.
	ErrSnapshotName = errors.New("a snapshot's name has 1 to 64 letters, digits, dots, dashes and underscores, and no " +
		"dot in front; there can be 100")
)

// maxNameBytes is how long the name of a snapshot or a cluster can be.
const maxNameBytes = 64

// IsName says whether a snapshot or a cluster can have a name: 1 to 64 letters, digits, dots, dashes and underscores,
// and no dot in front.
func IsName(name string) bool {
	const characters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
	return name != "" && len(name) <= maxNameBytes && name[0] != '.' && strings.Trim(name, characters) == ""
}

func (c *Cluster) snapshotPath(name string) string {
	return c.path(path.Join(snapshotsDirectory, name))
}

// KeepSnapshot keeps the present state under a name, in place of what had it. See Snapshot for what an image is.
func (c *Cluster) KeepSnapshot(name string) (Snapshot, error) {
	if err := c.checkNewSnapshot(name); err != nil {
		return Snapshot{}, err
	}
	s := Snapshot{Name: name, Taken: time.Now(), Clock: c.env.Clock.Now(), Frozen: c.env.Clock.Frozen()}
	image, err := c.Snapshot()
	if err != nil {
		return s, err
	}
	s.SizeBytes = image.SizeBytes()
	return s, c.keep(image, s)
}

// checkNewSnapshot says whether there may be a snapshot of a name.
func (c *Cluster) checkNewSnapshot(name string) error {
	if !IsName(name) || strings.HasSuffix(name, snapshotFile) {
		return ErrSnapshotName
	}
	kept, err := c.Snapshots()
	if err == nil && len(kept) >= maxSnapshots &&
		!slices.ContainsFunc(kept, func(s Snapshot) bool { return s.Name == name }) {
		return ErrSnapshotName
	}
	return err
}

// keep keeps an image under the name of a snapshot, in place of what had it. Its directory gets a name of its own, with
// a dot in front, so that the file beside it replaces the old snapshot by the new one at once: after an error the old
// one is there.
func (c *Cluster) keep(image *Image, s Snapshot) error {
	c.changing.Lock()
	defer c.changing.Unlock()
	old, oldErr := c.readSnapshotFile(s.Name)
	s.SizeBytes, s.Dir = image.SizeBytes(), "."+s.Name+"."+rand.Text()
	err := c.env.FS.MkdirAll(c.path(snapshotsDirectory))
	if err == nil {
		err = c.env.FS.Rename(image.dir, c.snapshotPath(s.Dir))
	}
	if err == nil {
		image.dir = c.snapshotPath(s.Dir)
		err = c.writeSnapshotFile(s)
	}
	if err != nil {
		return errors.Join(err, image.Remove())
	}
	if oldErr == nil { // what is left of it is removed by the next start
		_ = c.env.FS.RemoveAll(c.snapshotPath(old.dir()))
	}
	return nil
}

// snapshotFile is the end of the name of the file beside a snapshot's directory.
const snapshotFile = ".json"

// dir is the name of the directory.
func (s Snapshot) dir() string { return cmp.Or(s.Dir, s.Name) }

// writeSnapshotFile replaces the file, completely or not at all.
func (c *Cluster) writeSnapshotFile(s Snapshot) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	next := c.snapshotPath(s.Dir) + ".next"
	f, err := c.env.FS.Create(next)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(text, 0)
	if err = errors.Join(err, f.Close()); err == nil {
		err = c.env.FS.Rename(next, c.snapshotPath(s.Name)+snapshotFile)
	}
	return err
}

// removeUnkept removes what belongs to no snapshot: what an earlier process has left of one that it replaced.
func (c *Cluster) removeUnkept() error {
	names, err := c.env.FS.List(c.path(snapshotsDirectory))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	kept, keptErr := c.Snapshots()
	if err = errors.Join(err, keptErr); err != nil {
		return fmt.Errorf("%w: %w", ErrStorage, err)
	}
	for _, name := range names {
		if strings.HasPrefix(name, ".") && !slices.ContainsFunc(kept, func(s Snapshot) bool { return s.Dir == name }) {
			c.removeBehind(path.Join(snapshotsDirectory, name))
		}
	}
	return nil
}

func (c *Cluster) readSnapshotFile(name string) (s Snapshot, err error) {
	f, err := c.env.FS.OpenRead(c.snapshotPath(name) + snapshotFile)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = ErrNoSnapshot
		}
		return s, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<20))
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	if err == nil && s.Dir != "" && (!strings.HasPrefix(s.Dir, "."+name+".") || !isPlainName(s.Dir)) {
		err = fmt.Errorf("%w: the snapshot %s cannot be in %q", ErrStorage, name, s.Dir)
	}
	return s, err
}

// Snapshots returns those that are kept, sorted by name.
func (c *Cluster) Snapshots() ([]Snapshot, error) {
	names, err := c.env.FS.List(c.path(snapshotsDirectory))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var all []Snapshot
	for _, name := range names {
		if of, ok := strings.CutSuffix(name, snapshotFile); ok {
			if s, err := c.readSnapshotFile(of); err == nil {
				all = append(all, s)
			}
		}
	}
	return all, err
}

// DropSnapshot drops a snapshot. Clusters that were made from it have files of their own.
func (c *Cluster) DropSnapshot(name string) error {
	c.changing.Lock() // another snapshot of the name is kept before this, or after
	defer c.changing.Unlock()
	_, s, err := c.KeptImage(name)
	if err != nil {
		return err
	}
	if err := c.env.FS.Remove(c.snapshotPath(name) + snapshotFile); err != nil {
		return err
	}
	return c.env.FS.RemoveAll(c.snapshotPath(s.dir()))
}

// KeptImage returns the image of a snapshot, to open another cluster from.
func (c *Cluster) KeptImage(name string) (*Image, Snapshot, error) {
	if !IsName(name) {
		return nil, Snapshot{}, ErrNoSnapshot
	}
	s, err := c.readSnapshotFile(name)
	if err != nil {
		return nil, s, err
	}
	return &Image{env: c.env, dir: c.snapshotPath(s.dir()), sizeBytes: s.SizeBytes}, s, nil
}
