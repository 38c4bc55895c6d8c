package meta

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"once/internal/vfs"
)

// contents are the properties of a file that all its records together give.
type contents struct {
	version                int    // of the format, or emptyFile
	change                 uint64 // bbolt's newest transaction
	buckets                map[Bucket]bool
	rawVersion, rawSummary []byte // values as they are stored
	versionAt, summaryAt   place
	counted                summary // over all records, if the file is of version 2
	bad                    error   // the first record whose checksum is wrong, if the file is of version 2
}

// emptyFile stands for the format version of a file that bbolt has created and that has no records.
const emptyFile = 0

// readContents checks all of a file, structure and records.
func readContents(f *os.File, path string) (*contents, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	counts, _, page, err := readHeads(f)
	if err != nil {
		at := int64(0)
		if page > 0 {
			at = counts.pageBytes
		}
		return nil, &DamagedError{File: path, Page: page, Position: at, Cause: err}
	}
	c := &contents{change: counts.transaction, buckets: map[Bucket]bool{}}
	t := &tree{file: f, path: path, head: counts, bucket: func(name Bucket) { c.buckets[name] = true }}
	t.record = func(at place, value []byte) error {
		c.add(t, at, value)
		return nil
	}
	if err := t.walk(info.Size()); err != nil {
		return nil, err
	}
	return c, c.verify(t)
}

// add adds one record. The version of the file is only known when all records have been read.
func (c *contents) add(t *tree, at place, value []byte) {
	content, err := unseal(at.bucket, at.key, value)
	switch {
	case at.bucket == Cluster && at.key == versionKey:
		c.rawVersion, c.versionAt = append([]byte{}, value...), at
	case at.bucket == Cluster && at.key == summaryKey:
		c.rawSummary, c.summaryAt = append([]byte{}, value...), at
	}
	if err != nil && c.bad == nil {
		c.bad = t.damaged(at, err)
	}
	if at.bucket != Cluster || at.key != summaryKey {
		c.counted.add(at.bucket, at.key, content)
	}
}

// verify reads the format version and, if it is 2, compares the records with their checksums and the summary.
func (c *contents) verify(t *tree) error {
	if len(c.buckets) == 0 {
		return nil // the version is emptyFile; walk refuses every other file without buckets
	}
	for _, b := range []Bucket{Cluster, Topics} {
		if !c.buckets[b] {
			return damaged(t.path, "there is no bucket %q", string(b))
		}
	}
	version, err := c.readVersion(t)
	if err != nil {
		return err
	}
	c.version = version
	if version == formatVersion1 {
		return nil
	}
	if c.bad != nil {
		return c.bad
	}
	content, _ := unseal(Cluster, summaryKey, c.rawSummary) // an absent one is too short
	stored, err := decodeSummary(content)
	if err != nil { // there may be none
		return &DamagedError{File: t.path, Page: noPage, Position: noPosition, Bucket: Cluster, Key: summaryKey, Cause: err}
	}
	switch {
	case stored.records != c.counted.records:
		err = fmt.Errorf("there are %d records, and %d were written", c.counted.records, stored.records)
	case stored.sum != c.counted.sum:
		err = errors.New("the records are not those of the last change: a page is an older one")
	case stored.change != c.change:
		err = fmt.Errorf("the records are those of change %d, the last one was %d", stored.change, c.change)
	}
	if err != nil {
		return t.damaged(c.summaryAt, err)
	}
	return nil
}

// readVersion returns 1 or 2. In all versions from 2 on, the record has a checksum.
func (c *contents) readVersion(t *tree) (int, error) {
	raw := c.rawVersion
	switch {
	case raw == nil:
		return 0, damaged(t.path, "there is no record of the format version")
	case len(raw) == versionBytes && binary.BigEndian.Uint32(raw) == formatVersion1:
		return formatVersion1, nil
	case len(raw) == versionBytes+checksumBytes:
		content, err := unseal(Cluster, versionKey, raw)
		if err != nil {
			return 0, t.damaged(c.versionAt, err)
		}
		raw = content
		if binary.BigEndian.Uint32(raw) == FormatVersion {
			return FormatVersion, nil
		}
	}
	err := fmt.Errorf("format version %x, this program knows %d and %d", raw, formatVersion1, FormatVersion)
	return 0, t.damaged(c.versionAt, err)
}

// create makes a file without records, unless there is one that is not empty. The file is written and synced under
// another name and then renamed: so an incomplete file under its own name is damaged.
func create(path string, noSync bool) error {
	info, err := os.Stat(path)
	if err == nil && info.Mode().IsRegular() && info.Size() == 0 {
		err = fs.ErrNotExist
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	tmp := path + ".tmp"
	if err := vfs.OS.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	db, err := bolt.Open(tmp, fileMode, boltOptions(noSync))
	if err != nil {
		return fmt.Errorf("making %s: %w", tmp, err)
	}
	if err := errors.Join(db.Update(initialize), db.Close()); err != nil {
		return fmt.Errorf("making %s: %w", tmp, err)
	}
	if err := vfs.OS.Rename(tmp, path); err != nil {
		return err
	}
	if noSync {
		return nil
	}
	return vfs.OS.SyncDir(filepath.Dir(path))
}

// fileMode is the mode of a new file, less the process's umask.
const fileMode = 0o666

// boltOptions are the options for bbolt in all cases. The list of free pages is not stored: a walk finds it.
func boltOptions(noSync bool) *bolt.Options {
	return &bolt.Options{
		Timeout: time.Millisecond, NoSync: noSync, NoGrowSync: noSync,
		NoFreelistSync: true, FreelistType: bolt.FreelistMapType,
	}
}

// initialize writes the records of an empty store.
func initialize(tx *bolt.Tx) error {
	if err := makeBuckets(tx); err != nil {
		return err
	}
	return writeOwn(tx, summary{})
}

func makeBuckets(tx *bolt.Tx) error {
	for _, b := range buckets {
		if _, err := tx.CreateBucketIfNotExists([]byte(b)); err != nil {
			return err
		}
	}
	return nil
}

// writeOwn writes the records of the store itself, which s does not include yet.
func writeOwn(tx *bolt.Tx, s summary) error {
	version := encodeVersion(FormatVersion)
	s.add(Cluster, versionKey, version)
	if err := tx.Bucket([]byte(Cluster)).Put([]byte(versionKey), seal(Cluster, versionKey, version)); err != nil {
		return err
	}
	return writeSummary(tx, s)
}

// writeSummary writes the summary of the records after this transaction.
func writeSummary(tx *bolt.Tx, s summary) error {
	s.change = uint64(tx.ID())
	return tx.Bucket([]byte(Cluster)).Put([]byte(summaryKey), seal(Cluster, summaryKey, s.encode()))
}

// openFile locks the file, checks it, and opens it with bbolt. The lock is held throughout, so that the file does not
// change between the check and its use.
func openFile(path string, readOnly, noSync bool) (*File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	switch {
	case !info.Mode().IsRegular():
		return nil, damaged(path, "it is no file")
	case info.Size() == 0:
		return nil, damaged(path, "it is empty")
	}
	flags := os.O_RDWR
	if readOnly {
		flags = os.O_RDONLY
	}
	f, err := os.OpenFile(path, flags, 0)
	if err != nil {
		return nil, err
	}
	if err := vfs.LockFile(f, readOnly); err != nil { // bbolt takes its own, which is another one on Windows
		if errors.Is(err, vfs.ErrLocked) {
			err = fmt.Errorf("%w: %s", ErrLocked, path)
		}
		return nil, errors.Join(err, f.Close())
	}
	found, err := readContents(f, path)
	if err != nil {
		return nil, errors.Join(err, vfs.UnlockFile(f), f.Close())
	}
	s := &File{path: path, file: f, version: found.version}
	err = s.guard(func() (err error) {
		o := boltOptions(noSync)
		o.ReadOnly = readOnly
		o.OpenFile = func(string, int, os.FileMode) (*os.File, error) { return f, nil }
		s.db, err = bolt.Open(path, fileMode, o)
		return err
	})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout): // bbolt's own lock: another program of bbolt's has the file
		return nil, fmt.Errorf("%w: %s", ErrLocked, path)
	case err != nil:
		_ = errors.Join(vfs.UnlockFile(f), f.Close()) // if bbolt has not
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}
