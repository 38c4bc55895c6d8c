// Package directory lists and renames the directories of a data directory that are logs of partitions, or the rest of
// deleted ones. It opens no log. topics calls it at a start, before any log is open.
package directory

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"once/internal/files"
	"once/internal/vfs"
	"once/log"
)

// What a crash during a deletion leaves behind. A deletion removes the topic's record, durably, and then renames each
// directory, which is durable when the data directory is synced. Before a topic is created under the name of a deleted
// one, the data directory is synced (topics.Create). So:
//
//	died, or power cut                          record  directory   partition.metadata
//	before the record is removed                old     old         old: nothing has happened
//	before the directory has its other name     none    old         old: set aside at the next start
//	  the other name was given and not synced   none    old         old: the same
//	before the new record is written            none    none
//	before the first append, or its barrier     new     none, new   new, or unreadable and written anew
//	later, with or without a barrier            new     new         new
//
// A directory beside a topic's record with another topic ID is in no row. It is damage. The record has a checksum, so
// the directory is damaged: its partition is offline and its bytes stay.

// Directory is a directory of the data directory that has the name of a partition's.
type Directory struct {
	Name      string // base name
	Topic     string
	Partition int32
	TopicID   [16]byte // of partition.metadata; zero when that is missing or unreadable
	IsLog     bool     // something in it has a name that only a log gives
}

// Find returns the directories of partitions in a data directory, in the order of their names.
func Find(f vfs.FS, dir string) ([]Directory, error) {
	names, err := f.List(dir)
	if err != nil {
		return nil, err
	}
	var found []Directory
	for _, name := range names {
		if !log.IsLogDirectory(name) {
			continue
		}
		if info, err := f.Stat(path.Join(dir, name)); err != nil || !info.IsDir {
			continue
		}
		d, err := inspectDirectory(f, dir, name)
		if err != nil {
			return nil, err
		}
		found = append(found, d)
	}
	return found, nil
}

func inspectDirectory(f vfs.FS, dir, name string) (Directory, error) {
	i := strings.LastIndexByte(name, '-')
	n, _ := strconv.ParseInt(name[i+1:], 10, 32)
	d := Directory{Name: name, Topic: name[:i], Partition: int32(n)}
	entries, err := f.List(path.Join(dir, name))
	if err != nil {
		return d, err
	}
	for _, file := range entries {
		_, _, ours := log.ParseFileName(file)
		switch strings.TrimSuffix(file, files.TmpSuffix) {
		case log.MetadataFile, log.EpochCheckpointFile, log.TxnCheckpointFile, log.CleanCheckpointFile:
			ours = true
		}
		d.IsLog = d.IsLog || ours
	}
	b, err := files.ReadSmall(f, path.Join(dir, name, log.MetadataFile))
	if errors.Is(err, fs.ErrNotExist) {
		return d, nil
	}
	d.TopicID, _ = log.DecodeMetadata(b) // zero after an error
	return d, err
}

// RemoveDiscarded removes directories of deleted logs, before any log is opened, and returns their names.
func RemoveDiscarded(f vfs.FS, dir string) (removed []string, err error) {
	names, err := f.List(dir)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if !strings.HasSuffix(name, log.DeleteSuffix) {
			continue
		}
		if err := f.RemoveAll(path.Join(dir, name)); err != nil {
			return removed, err
		}
		removed = append(removed, name)
	}
	return removed, nil
}

// SetAside renames the directory of a log that belongs to no topic, and returns the new name. Nothing is deleted,
// because the metadata may be older than the logs.
func SetAside(f vfs.FS, dir string, d Directory) (movedTo string, err error) {
	aside := log.RenamedDirectory(d.Name, d.TopicID, log.StraySuffix)
	for n := 1; ; n++ { // one of that name may have been set aside before
		if _, err := f.Stat(path.Join(dir, aside)); errors.Is(err, fs.ErrNotExist) {
			break
		} else if err != nil {
			return "", err
		}
		aside = log.RenamedDirectory(d.Name, d.TopicID, fmt.Sprintf(".%d%s", n, log.StraySuffix))
	}
	return aside, f.Rename(path.Join(dir, d.Name), path.Join(dir, aside))
}

// Abandon sets aside the directory, if there is one, of a log that could not be opened and whose topic has been
// deleted.
func Abandon(f vfs.FS, dir, dirBase string) error {
	d, err := inspectDirectory(f, dir, dirBase)
	if err == nil {
		_, err = SetAside(f, dir, d)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Logs returns the names of the directories that hold a log, for durability.Options.
func Logs(f vfs.FS, dir string) ([]string, error) {
	names, err := f.List(dir)
	if err != nil {
		return nil, err
	}
	var logs []string
	for _, name := range names {
		if !log.IsLogDirectory(name) {
			continue
		}
		entries, err := f.List(path.Join(dir, name))
		if err != nil {
			continue
		}
		for _, file := range entries {
			if _, suffix, ok := log.ParseFileName(file); ok && suffix == log.LogSuffix {
				logs = append(logs, name)
				break
			}
		}
	}
	return logs, nil
}

// Copy copies the directory of a log that nobody has open to another data directory. All segments but the last
// one are shared where the file system can do that.
func Copy(under vfs.FS, dataDir, dirBase, toDataDir string) error {
	from, to := path.Join(dataDir, dirBase), path.Join(toDataDir, dirBase)
	names, err := under.List(from)
	if err != nil {
		return err
	}
	if err := under.MkdirAll(to); err != nil {
		return err
	}
	last := ""
	for _, name := range names {
		if _, suffix, ok := log.ParseFileName(name); ok && suffix == log.LogSuffix {
			last = name
		}
	}
	for _, name := range names {
		info, err := under.Stat(path.Join(from, name))
		if err != nil {
			return err
		}
		copyFile := vfs.CopyFile
		if _, suffix, ok := log.ParseFileName(name); ok && suffix == log.LogSuffix && name != last {
			copyFile = vfs.LinkOrCopy
		}
		if err := copyFile(under, path.Join(from, name), path.Join(to, name), info.SizeBytes); err != nil {
			return err
		}
	}
	return nil
}
