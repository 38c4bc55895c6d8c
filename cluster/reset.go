package cluster

import (
	"fmt"
	"path"
	"strings"

	"once/log"
	"once/meta"
)

// ResetOptions are the options of a reset.
type ResetOptions struct {
	// KeepTopics keeps the topics that are not internal with their settings, empty and under new topic IDs.
	KeepTopics bool
	// Disconnect closes the connections of clients, which stay otherwise.
	Disconnect bool
}

// Reset empties the cluster: topics, records, groups, transactions, faults and settings are removed, and its clock
// follows the machine's. Cluster ID, node ID and address stay, topic IDs do not come back, and producer IDs are never
// given out a second time. A waiting Fetch is answered with an unknown topic, a waiting group member with an unknown
// member. Connections stay. The old files are moved aside and removed after Reset has returned.
func (c *Cluster) Reset(o ResetOptions) error {
	c.changing.Lock()
	defer c.changing.Unlock()
	if c.lock == nil {
		return ErrClosed
	}
	defer c.replacing()()
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
	c.rules.RemoveAll()
	c.noticed.Clear()
	c.env.Faults.Clear()
	c.env.Clock.Follow()
	if o.Disconnect {
		c.disconnect()
	}
	return c.start()
}

// resetDirectory is the kind of the directories that hold what a reset has moved aside.
const resetDirectory = ".reset"

// numbered is the name of a directory of the cluster's own. The directory of a log ends in a dash and a number, so no
// topic has one of that name, whatever it is called.
func numbered(kind string, n int64) string { return fmt.Sprintf("%s.%d", kind, n) }

// isNumbered says whether numbered has made a name.
func isNumbered(kind, name string) bool {
	number, ok := strings.CutPrefix(name, kind+".")
	return ok && number != "" && strings.Trim(number, "0123456789") == ""
}

// isMetadata says whether a name is that of the metadata, or of a file that it is written to.
func isMetadata(name string) bool {
	return strings.HasPrefix(name, metaFile) && !log.IsLogDirectory(name)
}

// finishReset moves the files from before a reset aside, and removes those moved aside earlier. It also continues an
// interrupted reset.
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
		if isNumbered(resetDirectory, name) {
			e.cluster.removeBehind(name)
		}
	}
	return nil
}

func (e *engine) moveAside(names []string) error {
	aside := e.cluster.freePath(resetDirectory, &e.cluster.resets)
	if err := e.fence.MkdirAll(aside); err != nil {
		return err
	}
	for _, name := range names {
		if isMetadata(name) || name == lockFile || isOwnDirectory(name) {
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

// removeBehind removes a directory that was moved aside, in a goroutine for which Close waits.
func (c *Cluster) removeBehind(name string) {
	c.removing.Go(func() {
		if err := c.env.FS.RemoveAll(c.path(name)); err != nil {
			c.env.Logger.Warn("files of the time before a reset are not removed; the next start tries again", "dir", name,
				"error", err)
		}
	})
}
