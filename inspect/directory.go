package inspect

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"once/durability"
	"once/internal/vfs"
	"once/log"
	"once/meta"
	"once/topics"
)

// The files of a data directory outside of the partitions, as the broker makes them.
const (
	lockFile = ".lock"
	metaFile = "meta.db"
)

// The records of the metadata's cluster bucket that are read here, as the broker writes them.
const (
	clusterIDKey      = "cluster id"
	startsKey         = "starts"
	nextProducerIDKey = "next producer id"
)

// directory is a data directory, locked and opened for reading.
type directory struct {
	fs    vfs.FS // read-only
	dir   string
	names []string
	lock  io.Closer  // nil when the caller holds it
	store meta.Store // nil when metaErr says why
	// metaErr wraps fs.ErrNotExist or meta.ErrDamaged.
	metaErr  error
	barriers [2]durability.StoredBarrier
	barrier  *durability.StoredBarrier // the one that counts; nil for none
	// journaled are the batches that the next start restores from the journal; journalErr is the error in reading it.
	journaled  []durability.Journaled
	journalErr error
}

// Lock takes the lock of a data directory, so that no broker can start on it. It fails with ErrInUse if a broker runs,
// and with ErrUnreadable if there is no data directory. On a read-only file system it makes no lock file.
func Lock(under vfs.FS, dir string) (io.Closer, error) {
	names, err := under.List(dir)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	if inRestore(under, dir, names) {
		return nil, fmt.Errorf("%w: the restore of a snapshot in %s was interrupted; start the broker, which finishes it",
			ErrUnreadable, dir)
	}
	if !slices.ContainsFunc(names, ours) {
		return nil, fmt.Errorf("%w: %s is no data directory: it has neither %s nor a barrier record nor logs",
			ErrUnreadable, dir, metaFile)
	}
	lock, err := under.Lock(path.Join(dir, lockFile))
	if errors.Is(err, vfs.ErrLocked) {
		return nil, fmt.Errorf("%w: stop the broker on %s first", ErrInUse, dir)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	return lock, nil
}

// open takes the lock and reads the files of the whole directory. The caller reports damage.
func open(under vfs.FS, dir string) (*directory, error) {
	lock, err := Lock(vfs.ReadOnly(under), dir)
	if err != nil {
		return nil, err
	}
	d, err := read(under, dir)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	d.lock = lock
	return d, nil
}

// read is like open, for a caller that holds the lock.
func read(under vfs.FS, dir string) (*directory, error) {
	d := &directory{fs: vfs.ReadOnly(under), dir: dir}
	var err error
	if d.names, err = d.fs.List(dir); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	d.store, d.metaErr = meta.Read(d.fs, path.Join(dir, metaFile))
	switch {
	case errors.Is(d.metaErr, meta.ErrLocked):
		err = fmt.Errorf("%w: %w", ErrInUse, d.metaErr)
	case d.metaErr != nil && !errors.Is(d.metaErr, meta.ErrDamaged) && !errors.Is(d.metaErr, fs.ErrNotExist):
		err = fmt.Errorf("%w: %w", ErrUnreadable, d.metaErr)
	}
	if err != nil {
		return nil, errors.Join(err, d.close())
	}
	d.barriers = durability.ReadBarriers(d.fs, dir)
	if d.barrier = durability.NewestBarrier(&d.barriers); d.barrier != nil {
		d.journaled, d.journalErr = d.barrier.ReadJournal(d.fs, dir)
	}
	return d, nil
}

func ours(name string) bool {
	return name == metaFile || name == durability.BarrierFile(0) || name == durability.BarrierFile(1) ||
		log.IsLogDirectory(name)
}

// inRestore says whether files are still to be moved for the restore of a snapshot. The directories are those of
// package cluster; one that only has `.aside` is to be removed.
func inRestore(under vfs.FS, dir string, names []string) bool {
	return slices.ContainsFunc(names, func(name string) bool {
		if strings.HasPrefix(name, ".restore.") {
			return true
		}
		if !strings.HasPrefix(name, ".restored.") {
			return false
		}
		left, err := under.List(path.Join(dir, name))
		return err == nil && slices.ContainsFunc(left, func(name string) bool { return name != ".aside" })
	})
}

func (d *directory) close() error {
	var errs []error
	if d.store != nil {
		errs = append(errs, d.store.Close())
	}
	if d.lock != nil {
		errs = append(errs, d.lock.Close())
	}
	return errors.Join(errs...)
}

// path is the full name of a file within the directory.
func (d *directory) path(elements ...string) string {
	return path.Join(append([]string{d.dir}, elements...)...)
}

// cluster is the part of the metadata about the whole directory.
type cluster struct {
	clusterID      string
	starts         int64
	nextProducerID int64
}

func readCluster(store meta.Store) (c cluster, err error) {
	err = store.All(meta.Cluster, func(key string, v []byte) error {
		to := &c.starts
		switch key {
		case clusterIDKey:
			c.clusterID = string(v)
			return nil
		case nextProducerIDKey:
			to = &c.nextProducerID
		case startsKey:
		default:
			if store.Version() < meta.FormatVersion { // it would not be missed under its own name
				return store.Damaged(meta.Cluster, key, errors.New("no broker has written a record of this name"))
			}
			return nil
		}
		if len(v) != 8 || v[0] > 0x7f {
			return store.Damaged(meta.Cluster, key, fmt.Errorf("%x is no number of 63 bits", v))
		}
		*to = int64(binary.BigEndian.Uint64(v))
		return nil
	})
	if err != nil || c.starts == 0 { // 0: no broker has got far enough to give it an ID
		return c, err
	}
	if raw, err := base64.RawURLEncoding.Strict().DecodeString(c.clusterID); err != nil || len(raw) != 16 {
		return c, store.Damaged(meta.Cluster, clusterIDKey, fmt.Errorf("%q is no cluster ID", c.clusterID))
	}
	return c, nil
}

// partitionName is the directory of a partition.
func partitionName(topic string, index int32) string { return topic + "-" + strconv.Itoa(int(index)) }

// splitPartition is the opposite of partitionName.
func splitPartition(name string) (topic string, index int32, err error) {
	i := strings.LastIndexByte(name, '-')
	if i <= 0 {
		return "", 0, fmt.Errorf("%q is not of the form TOPIC-PARTITION", name)
	}
	n, err := strconv.ParseInt(name[i+1:], 10, 32)
	if err != nil || n < 0 {
		return "", 0, fmt.Errorf("%q is not of the form TOPIC-PARTITION", name)
	}
	return name[:i], int32(n), nil
}

// partitionsOf returns the names of the partitions of a topic that have a directory, by index.
func (d *directory) partitionsOf(topic string) []string {
	var indexes []int32
	for _, name := range d.names {
		if t, i, err := splitPartition(name); err == nil && t == topic {
			indexes = append(indexes, i)
		}
	}
	slices.Sort(indexes)
	names := make([]string, len(indexes))
	for i, index := range indexes {
		names[i] = partitionName(topic, index)
	}
	return names
}

// isCompacted says whether a topic's settings allow compaction.
func isCompacted(t *topics.Stored) bool {
	return strings.Contains(t.Overrides["cleanup.policy"], "compact")
}
