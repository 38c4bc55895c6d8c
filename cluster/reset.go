package cluster

import (
	"fmt"
	"path"
	"strings"

	"once/meta"
)

// ResetOptions say what a reset leaves.
type ResetOptions struct {
	// KeepTopics keeps the topics that are not internal with their settings, empty and under new topic IDs.
	KeepTopics bool
}

// Reset makes the cluster as new: topics, records, groups, transactions, faults and what is set are gone, and its clock
// follows the machine's. Cluster ID, node ID and address stay, topic IDs do not come back, and producer IDs are never
// given a second time. Who waits in a Fetch is told that the topic is unknown, who waits for members of a group that it
// is none. Connections live on. The files of before are moved aside and removed behind the answer.
func (c *Cluster) Reset(o ResetOptions) error {
	c.changing.Lock()
	defer c.changing.Unlock()
	if c.lock == nil {
		return ErrClosed
	}
	if e := c.stop(); e != nil {
		e.drop()
		_ = e.close(false) // complains about the fence
	}
	store, err := c.env.Metadata(c.path(metaFile), meta.Options{NoSync: c.env.NoSync})
	if err == nil {
		err = store.Update(func(tx meta.Tx) error { return renew(tx, o.KeepTopics) })
		if cerr := store.Close(); err == nil {
			err = cerr
		}
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStorage, err)
	}
	c.env.Faults.Clear()
	c.env.Clock.Follow()
	return c.start()
}

// resetPrefix begins the names of directories of what a reset has moved aside.
const resetPrefix = ".reset-"

// finishReset moves the files of the time before a reset aside, and removes what was moved aside earlier. A reset that
// was cut off goes on here.
func (e *engine) finishReset() error {
	names, err := e.fence.List(e.dir)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStorage, err)
	}
	pending, err := e.store.Get(meta.Cluster, resetKey)
	if err == nil && pending != nil {
		err = e.moveAside(names)
	}
	if err != nil {
		return fmt.Errorf("%w: finishing a reset: %w", ErrStorage, err)
	}
	if names, err = e.fence.List(e.dir); err != nil {
		return fmt.Errorf("%w: %w", ErrStorage, err)
	}
	for _, name := range names {
		if strings.HasPrefix(name, resetPrefix) {
			e.cluster.removeBehind(name)
		}
	}
	return nil
}

func (e *engine) moveAside(names []string) error {
	aside := path.Join(e.dir, fmt.Sprintf("%s%d", resetPrefix, e.cluster.resets.Add(1)))
	for { // an earlier one may not be gone yet
		if _, err := e.fence.Stat(aside); err != nil {
			break
		}
		aside = path.Join(e.dir, fmt.Sprintf("%s%d", resetPrefix, e.cluster.resets.Add(1)))
	}
	if err := e.fence.MkdirAll(aside); err != nil {
		return err
	}
	for _, name := range names {
		if strings.HasPrefix(name, metaFile) || name == lockFile || strings.HasPrefix(name, resetPrefix) || strings.HasPrefix(name, imagePrefix) {
			continue
		}
		if err := e.fence.Rename(path.Join(e.dir, name), path.Join(aside, name)); err != nil {
			return err
		}
	}
	if e.env.NoSync {
		return nil
	}
	return e.fence.SyncDir(e.dir) // before the metadata forgets the reset
}

// removeBehind removes a directory that was moved aside, in a goroutine that Close waits for.
func (c *Cluster) removeBehind(name string) {
	c.removing.Go(func() {
		if err := c.env.FS.RemoveAll(c.path(name)); err != nil {
			c.env.Logger.Warn("files of the time before a reset are not removed; the next start tries again", "dir", name, "error", err)
		}
	})
}
