package vfs

import (
	"errors"
	"io"
	"path"
)

// copyPieceBytes is the size of one read of CopyFile.
const copyPieceBytes = 1 << 20

// CopyFile copies the first sizeBytes bytes of a file to a new one; a shorter file is an error.
func CopyFile(under FS, oldName, newName string, sizeBytes int64) (err error) {
	from, err := under.OpenRead(oldName)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := under.Create(newName)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	piece := make([]byte, min(sizeBytes, copyPieceBytes))
	for at := int64(0); at < sizeBytes; at += int64(len(piece)) {
		piece = piece[:min(sizeBytes-at, int64(len(piece)))]
		if n, err := from.ReadAt(piece, at); n < len(piece) {
			return errors.Join(err, io.ErrUnexpectedEOF)
		}
		if _, err := to.WriteAt(piece, at); err != nil {
			return err
		}
	}
	return nil
}

// LinkOrCopy gives a file that no longer changes a second name, or copies it if links do not work.
func LinkOrCopy(under FS, oldName, newName string, sizeBytes int64) error {
	if under.Link(oldName, newName) == nil {
		return nil
	}
	return CopyFile(under, oldName, newName, sizeBytes)
}

// Unshare gives a file that has other names, such as those that LinkOrCopy made, a copy of its own with the first
// sizeBytes bytes: what is changed under this name then changes under no other. It reports whether there is a copy,
// whose bytes are synced; its name is not. tmp is the name of the copy until it is complete. The caller has closed the
// file, because not every platform replaces one that is open.
func Unshare(under FS, name, tmp string, sizeBytes int64) (copied bool, err error) {
	if n, err := under.LinkCount(name); err != nil || n == 1 {
		return false, err
	}
	if err := under.RemoveAll(tmp); err != nil {
		return false, err
	}
	if err := CopyFile(under, name, tmp, sizeBytes); err != nil {
		return false, errors.Join(err, under.RemoveAll(tmp))
	}
	if err := syncFile(under, tmp); err != nil {
		return false, err
	}
	return true, under.Rename(tmp, name)
}

// SyncTree makes everything below a directory durable, bytes and names.
func SyncTree(under FS, dir string) error {
	if whole, err := under.OpenFileSystem(dir); err == nil {
		return errors.Join(whole.Sync(), whole.Close())
	}
	names, err := under.List(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		name = path.Join(dir, name)
		info, err := under.Stat(name)
		switch {
		case err != nil:
			return err
		case info.IsDir:
			err = SyncTree(under, name)
		default:
			err = syncFile(under, name)
		}
		if err != nil {
			return err
		}
	}
	return under.SyncDir(dir)
}

func syncFile(under FS, name string) error {
	f, err := under.OpenReadWrite(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
