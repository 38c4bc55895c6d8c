package topics

import (
	"errors"
	"fmt"
	"io/fs"
	"path"

	"once/log/directory"
	"once/meta"
)

// ErrRemains: the directory of a new partition exists and is not empty.
var ErrRemains = errors.New("directory of a new partition is not empty")

func findDirectories(o Options) ([]directory.Directory, error) { return directory.Find(o.FS, o.Dir) }

// sweep removes the rest of an interrupted deletion: the record of a topic is removed before its files. Directories
// that are in no row of the table in log/directory stay.
func sweep(o Options, records map[string]record) error {
	removed, err := directory.RemoveDiscarded(o.FS, o.Dir)
	for _, name := range removed {
		o.Logger.Info("remains of a deleted partition are removed", "dir", name)
	}
	if err != nil {
		return err
	}
	directories, err := findDirectories(o)
	if err != nil {
		return err
	}
	if err := contradiction(o.Store, records, directories); err != nil {
		return err
	}
	for _, d := range directories {
		r, exists := records[d.Topic]
		switch {
		case exists && d.Partition < r.Partitions: // its log looks at the topic ID when it is opened
		case exists:
			o.Logger.Error("a directory is of no partition that its topic has, and stays as it is", "dir", d.Name,
				"topic_id", fmt.Sprintf("%x", d.TopicID), "partitions", r.Partitions)
		case d.IsLog:
			aside, err := directory.SetAside(o.FS, o.Dir, d)
			if err != nil {
				return err
			}
			o.Logger.Warn("a directory belongs to no topic and is moved aside", "dir", d.Name, "moved_to", aside)
		}
	}
	return nil
}

// contradiction finds a directory with the topic ID of another topic, unless it is a copy of one of that topic's
// directories. Topic IDs are unique: so either the metadata is damaged, or the directory was renamed by hand.
func contradiction(from reader, records map[string]record, directories []directory.Directory) error {
	names := make(map[[16]byte]string, len(records))
	for name, r := range records {
		names[r.ID] = name
	}
	inPlace := map[string]bool{}
	for _, d := range directories {
		inPlace[d.Name] = records[d.Topic].ID == d.TopicID && d.Partition < records[d.Topic].Partitions
	}
	for _, d := range directories {
		owner, ok := names[d.TopicID]
		if ok && !inPlace[d.Name] && (owner == d.Topic || !inPlace[directoryName(owner, d.Partition)]) {
			return from.Damaged(meta.Topics, owner, fmt.Errorf(
				"it has %d partitions and the topic id %x, which stands in directory %s",
				records[owner].Partitions, d.TopicID, d.Name))
		}
	}
	return nil
}

func directoryName(topic string, partition int32) string {
	return fmt.Sprintf("%s-%d", topic, partition)
}

// unsynced holds the topics whose directories have been removed since the data directory was last synced: a power cut
// may bring them back. What an earlier process has removed is synced with the first barrier record of a start; what
// sweep moves aside comes behind that.
type unsynced struct {
	all   bool // any topic may be one of them
	names map[string]bool
}

// maxUnsynced is the number of names that are kept one by one.
const maxUnsynced = 1000

func (u *unsynced) add(name string) {
	if u.all || len(u.names) == maxUnsynced {
		*u = unsynced{all: true}
		return
	}
	if u.names == nil {
		u.names = map[string]bool{}
	}
	u.names[name] = true
}

func (u *unsynced) has(name string) bool { return u.all || u.names[name] }

// checkDirectoriesLocked checks that the directories of a topic's new partitions do not exist, now or after a power
// cut.
func (ts *Topics) checkDirectoriesLocked(name string, from, to int32) error {
	if ts.removed.has(name) {
		if err := ts.opts.Barrier.SyncNames(); err != nil {
			return fmt.Errorf("removing an earlier topic %q: %w", name, err)
		}
		ts.removed = unsynced{}
	}
	for i := from; i < to; i++ {
		dir := path.Join(ts.opts.Dir, directoryName(name, i))
		if _, err := ts.opts.FS.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		files, err := ts.opts.FS.List(dir)
		if err == nil && len(files) == 0 {
			continue
		}
		if err != nil {
			return fmt.Errorf("%w: %s: %w", ErrRemains, dir, err)
		}
		return fmt.Errorf("%w: %s holds %s and others; move it out of the data directory", ErrRemains, dir, files[0])
	}
	return nil
}
