package cluster

import (
	"errors"
	"fmt"
	"path"
	"slices"

	"once/meta"
)

// A restore makes the files of the snapshot in a directory of their own, like an image, and syncs them. Giving that
// directory the name `.restore.N` is the commit point: before it nothing has changed, and after it each start goes on
// with the restore before it reads anything else:
//
//  1. The files of the cluster are moved into `.aside` in it.
//  2. It gets the name `.restored.N`.
//  3. Its files are moved into their places.
//  4. It is removed, with what is in `.aside`.
//
// A step begins when the names of the one before are synced, so that the name of the directory always says what is
// where.
const (
	restoreDirectory  = ".restore"
	restoredDirectory = ".restored"
	asideDirectory    = ".aside"
)

// Restore goes back to a snapshot: what is there is removed as by a reset, and connections stay. Cluster ID and address
// stay, topics get back their IDs, leader epochs are above all that were seen, and no producer ID that was given out is
// valid or given again. Transactions that were open are aborted, groups have no members. The clock goes on at the
// instant of the snapshot. If the disk has no room for the files, nothing changes; if the last bytes
// that are missing are those of the metadata, the cluster goes on as after a kill. If the process dies meanwhile, the
// next start finds the state of before, or finishes the restore.
func (c *Cluster) Restore(name string) error {
	c.changing.Lock()
	defer c.changing.Unlock()
	if c.lock == nil {
		return ErrClosed
	}
	image, s, err := c.KeptImage(name)
	if err != nil {
		return err
	}
	staged, err := c.stage(image)
	if err != nil {
		return fmt.Errorf("%w: restoring the snapshot %s: %w", ErrStorage, name, err)
	}
	defer c.replacing()()
	if e := c.stop(); e != nil {
		e.drop()
		_ = e.close(false) // complains about the fence
	}
	err = c.continueIn(staged)
	if err == nil {
		err = c.env.FS.Rename(staged, c.freePath(restoreDirectory, &c.resets))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("%w: restoring the snapshot %s: %w", ErrStorage, name, err),
			c.env.FS.RemoveAll(staged), c.start())
	}
	c.rules.RemoveAll()
	c.noticed.Clear()
	c.env.Faults.Clear()
	c.env.Clock.Restore(s.Clock, s.Frozen)
	if err := c.start(); err != nil {
		return fmt.Errorf("the snapshot %s is restored, and the cluster does not open: %w", name, err)
	}
	return nil
}

// stage makes the files that are to replace those of the cluster, in a directory of their own. It changes no other
// file.
func (c *Cluster) stage(image *Image) (staged string, err error) {
	staged = c.freePath(imageDirectory, &c.images)
	if err = c.env.FS.MkdirAll(path.Join(staged, asideDirectory)); err == nil {
		err = unpackFiles(&c.env, staged, image, func(meta.Tx) error { return nil })
	}
	if err != nil {
		return "", errors.Join(err, c.env.FS.RemoveAll(staged))
	}
	return staged, nil
}

// continueIn turns the metadata in a directory into that of this cluster, whose metadata nobody has open.
func (c *Cluster) continueIn(staged string) error {
	goOn, err := c.continuation()
	if err != nil {
		return err
	}
	store, err := c.env.Metadata(path.Join(staged, metaFile), meta.Options{NoSync: c.env.NoSync})
	if err != nil {
		return err
	}
	return errors.Join(store.Update(goOn), store.Close())
}

// continuation returns how the metadata of an image becomes that of this cluster. The image may be that of another
// cluster, which has given out more producer IDs.
func (c *Cluster) continuation() (func(meta.Tx) error, error) {
	store, err := c.env.Metadata(c.path(metaFile), meta.Options{NoSync: c.env.NoSync})
	if err != nil {
		return nil, err
	}
	clusterID, err := store.Get(meta.Cluster, clusterIDKey)
	clusterID = slices.Clone(clusterID)
	starts, startsErr := counter(store, startsKey)
	next, nextErr := counter(store, nextProducerIDKey)
	if err := errors.Join(err, startsErr, nextErr, store.Close()); err != nil {
		return nil, err
	}
	return func(tx meta.Tx) error {
		startsBefore, err := counter(tx, startsKey)
		nextBefore, nextErr := counter(tx, nextProducerIDKey)
		next := max(next, nextBefore)
		return errors.Join(err, nextErr,
			tx.Put(meta.Cluster, clusterIDKey, clusterID),
			putCounter(tx, startsKey, max(starts, startsBefore)),
			putCounter(tx, nextProducerIDKey, next),
			putCounter(tx, forkKey, next+1))
	}, nil
}

// finishRestore goes on with a restore whose files are complete, if there is one.
func (c *Cluster) finishRestore() error {
	names, err := c.env.FS.List(c.dir)
	for _, name := range names {
		if err == nil && isNumbered(restoreDirectory, name) {
			err = c.moveAside(names, name)
		}
	}
	if err == nil {
		names, err = c.env.FS.List(c.dir)
	}
	for _, name := range names {
		if err == nil && isNumbered(restoredDirectory, name) {
			err = c.moveIn(name)
		}
	}
	if err != nil {
		return fmt.Errorf("%w: finishing a restore: %w", ErrStorage, err)
	}
	return nil
}

// moveAside is steps 1 and 2.
func (c *Cluster) moveAside(names []string, staged string) error {
	if err := c.syncNames("."); err != nil { // the name of staged
		return err
	}
	for _, name := range names {
		if isOwnDirectory(name) || name == lockFile {
			continue
		}
		if err := c.env.FS.Rename(c.path(name), c.path(path.Join(staged, asideDirectory, name))); err != nil {
			return err
		}
	}
	if err := c.syncNames(path.Join(staged, asideDirectory), "."); err != nil {
		return err
	}
	if err := c.env.FS.Rename(c.path(staged), c.freePath(restoredDirectory, &c.resets)); err != nil {
		return err
	}
	return c.syncNames(".")
}

// moveIn is steps 3 and 4.
func (c *Cluster) moveIn(staged string) error {
	names, err := c.env.FS.List(c.path(staged))
	if err != nil {
		return err
	}
	for _, name := range names {
		if name == asideDirectory {
			continue
		}
		if err := c.env.FS.Rename(c.path(path.Join(staged, name)), c.path(name)); err != nil {
			return err
		}
	}
	if err := c.syncNames(".", staged); err != nil {
		return err
	}
	c.removeBehind(staged)
	return nil
}

// syncNames makes the names in directories durable.
func (c *Cluster) syncNames(dirs ...string) error {
	if c.env.NoSync {
		return nil
	}
	for _, dir := range dirs {
		if err := c.env.FS.SyncDir(c.path(dir)); err != nil {
			return err
		}
	}
	return nil
}

// freePath returns the path for a directory of a kind that has no other one.
func (c *Cluster) freePath(kind string, count interface{ Add(int64) int64 }) string {
	for {
		name := c.path(numbered(kind, count.Add(1)))
		if _, err := c.env.FS.Stat(name); err != nil {
			return name
		}
	}
}

// isOwnDirectory says whether a name is that of a directory that belongs to no state of the cluster.
func isOwnDirectory(name string) bool {
	return name == snapshotsDirectory || slices.ContainsFunc(
		[]string{resetDirectory, imageDirectory, restoreDirectory, restoredDirectory},
		func(kind string) bool { return isNumbered(kind, name) })
}
