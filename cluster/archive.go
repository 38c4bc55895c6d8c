package cluster

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"once/internal/files"
	"once/internal/vfs"
	"once/meta"
)

// An archive is a snapshot as one file: tar, compressed with zstd. The first entry says when it was taken; the others
// are the files of a data directory, at most one directory deep. The metadata is meta.json, whatever the cluster keeps
// it in: see meta.Export. So a cluster in memory and one on disk write the same archive, and take that of the other.

const (
	archiveInfo  = "snapshot.json" // the name of the first entry
	archiveMeta  = "meta.json"     // the name of the metadata
	maxInfoBytes = 64 << 10        // of archiveInfo
	// archiveFormat is the format that is written. Archives of format 1, and of 0, which is the same before it was said,
	// have the metadata as the cluster kept it.
	archiveFormat = 2
)

// archiveHead is the first entry.
type archiveHead struct {
	Format int
	Snapshot
}

// ErrArchive: what was read is no archive of a snapshot, or too large.
var ErrArchive = errors.New("not an archive of a snapshot")

// WriteArchive writes a snapshot as an archive.
func (c *Cluster) WriteArchive(name string, to io.Writer) error {
	image, s, err := c.KeptImage(name)
	if err != nil {
		return err
	}
	packed, err := zstd.NewWriter(to)
	if err != nil {
		return err
	}
	w := tar.NewWriter(packed)
	s.Dir = ""
	info, err := json.Marshal(archiveHead{archiveFormat, s})
	if err == nil {
		err = writeEntry(w, archiveInfo, int64(len(info)), strings.NewReader(string(info)), s.Taken)
	}
	if err == nil {
		err = writeDirectory(w, image.FS(), image.Dir(), "", s.Taken)
	}
	return errors.Join(err, w.Close(), packed.Close())
}

func writeDirectory(w *tar.Writer, from vfs.FS, dir, under string, at time.Time) error {
	names, err := from.List(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		info, err := from.Stat(path.Join(dir, name))
		if err != nil {
			return err
		}
		if under == "" && name == metaFile {
			err = writeMetadata(w, from, path.Join(dir, name), at)
		} else if info.IsDir {
			err = writeDirectory(w, from, path.Join(dir, name), path.Join(under, name), at)
		} else {
			err = writeFile(w, from, path.Join(dir, name), path.Join(under, name), info.SizeBytes, at)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// writeMetadata writes the metadata in the form of archives.
func writeMetadata(w *tar.Writer, from vfs.FS, file string, at time.Time) error {
	store, err := meta.Read(from, file)
	if err != nil {
		return err
	}
	exported, err := meta.Export(store)
	if err := errors.Join(err, store.Close()); err != nil {
		return err
	}
	return writeEntry(w, archiveMeta, int64(len(exported)), bytes.NewReader(exported), at)
}

func writeFile(w *tar.Writer, from vfs.FS, file, name string, sizeBytes int64, at time.Time) error {
	f, err := from.OpenRead(file)
	if err != nil {
		return err
	}
	return errors.Join(writeEntry(w, name, sizeBytes, io.NewSectionReader(f, 0, sizeBytes), at), f.Close())
}

func writeEntry(w *tar.Writer, name string, sizeBytes int64, content io.Reader, at time.Time) error {
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: sizeBytes, ModTime: at,
		Format: tar.FormatPAX}); err != nil {
		return err
	}
	_, err := io.Copy(w, content)
	return err
}

// ReadArchive keeps the snapshot in an archive under a name. check looks at the data directory before it counts. More
// than maxBytes, unpacked, are refused. Errors: ErrArchive, ErrSnapshotName, and those of check.
func (c *Cluster) ReadArchive(name string, from io.Reader, maxBytes int64, check func(*Image) error) (Snapshot, error) {
	if err := c.checkNewSnapshot(name); err != nil {
		return Snapshot{}, err
	}
	image := &Image{env: c.env, dir: c.freePath(imageDirectory, &c.images)}
	s, err := image.unarchive(from, maxBytes)
	if err == nil {
		err = image.check(check)
	}
	if err != nil {
		return Snapshot{}, errors.Join(err, image.Remove())
	}
	s.Name, s.SizeBytes = name, image.SizeBytes()
	return s, c.keep(image, s)
}

// check looks at an image that was unpacked, after it has given it metadata of the kind of this cluster.
func (i *Image) check(check func(*Image) error) error {
	if err := i.importMetadata(); err != nil {
		return err
	}
	return check(i)
}

// importMetadata makes the metadata of an image from that of an archive.
func (i *Image) importMetadata() error {
	from, to := path.Join(i.dir, archiveMeta), path.Join(i.dir, metaFile)
	if _, err := i.env.FS.Stat(to); err == nil {
		isExport, err := i.hasOldExport(from, to)
		if err != nil || !isExport {
			return err
		}
	}
	exported, err := files.ReadSmall(i.env.FS, from)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: it has no %s", ErrArchive, archiveMeta)
	}
	if err != nil {
		return err
	}
	store, err := i.env.Metadata(to, meta.Options{NoSync: true})
	if err != nil {
		return err
	}
	err = meta.Import(exported, store)
	if errors.Is(err, meta.ErrNotExported) {
		err = fmt.Errorf("%w: %s: %w", ErrArchive, archiveMeta, err)
	}
	return errors.Join(err, store.Close(), i.env.FS.Remove(from))
}

// hasOldExport looks at the metadata of an archive of format 1. That of a cluster in memory is the same as an export,
// and becomes one; that of a cluster on disk can be opened on disk only, as it is.
func (i *Image) hasOldExport(from, to string) (bool, error) {
	if _, err := i.env.FS.Stat(from); err == nil {
		return false, fmt.Errorf("%w: it has both %s and %s", ErrArchive, archiveMeta, metaFile)
	}
	content, err := files.ReadSmall(i.env.FS, to)
	if err != nil {
		return false, err
	}
	if bytes.HasPrefix(content, []byte("{")) {
		return true, i.env.FS.Rename(to, from)
	}
	store, err := i.env.Metadata(to, meta.Options{NoSync: true})
	if err != nil {
		return false, fmt.Errorf("%w: %s cannot be opened here. An archive of format 1 or before, of a cluster on disk, can "+
			"be loaded on disk only: load it there and archive the snapshot again: %v", ErrArchive, metaFile, err)
	}
	return false, store.Close()
}

func (i *Image) unarchive(from io.Reader, maxBytes int64) (s Snapshot, err error) {
	packed, err := zstd.NewReader(from, zstd.WithDecoderMaxMemory(128<<20), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return s, fmt.Errorf("%w: %w", ErrArchive, err)
	}
	defer packed.Close()
	r := tar.NewReader(packed)
	if err := i.env.FS.MkdirAll(i.dir); err != nil {
		return s, err
	}
	for left := maxBytes; ; {
		h, err := r.Next()
		switch {
		case errors.Is(err, io.EOF) && s.Taken.IsZero():
			return s, fmt.Errorf("%w: %s is missing", ErrArchive, archiveInfo)
		case errors.Is(err, io.EOF):
			return s, nil
		case err != nil:
			return s, fmt.Errorf("%w: %w", ErrArchive, err)
		}
		if left -= h.Size + tarBlockBytes; h.Size < 0 || left < 0 {
			return s, fmt.Errorf("%w: it has more than %d bytes", ErrArchive, maxBytes)
		}
		if s.Taken.IsZero() {
			s, err = readInfo(h, r)
		} else {
			err = i.readEntry(h, r)
		}
		if err != nil {
			return s, err
		}
	}
}

// tarBlockBytes is what an entry costs besides its content.
const tarBlockBytes = 512

func readInfo(h *tar.Header, r io.Reader) (s Snapshot, err error) {
	if h.Name != archiveInfo || h.Typeflag != tar.TypeReg {
		return s, fmt.Errorf("%w: it begins with %q", ErrArchive, h.Name)
	}
	if h.Size > maxInfoBytes {
		return s, fmt.Errorf("%w: %s has %d bytes", ErrArchive, archiveInfo, h.Size)
	}
	var head archiveHead
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	err = d.Decode(&head)
	switch s = head.Snapshot; {
	case head.Format > archiveFormat:
		return s, fmt.Errorf("%w: it has format %d, of a later version; this version reads %d", ErrArchive, head.Format,
			archiveFormat)
	case err != nil || s.Taken.IsZero():
		return s, fmt.Errorf("%w: %s cannot be read: %v", ErrArchive, archiveInfo, err)
	}
	return s, nil
}

// readEntry makes a file of the image. A name that would leave its directory is refused.
func (i *Image) readEntry(h *tar.Header, r io.Reader) error {
	dir, file := path.Split(h.Name)
	dir = strings.TrimSuffix(dir, "/")
	if h.Typeflag != tar.TypeReg || !isPlainName(file) || strings.HasPrefix(h.Name, "/") || dir != "" &&
		!isPlainName(dir) {
		return fmt.Errorf("%w: it must have files only, at most one directory deep, and has %q", ErrArchive, h.Name)
	}
	if err := i.env.FS.MkdirAll(path.Join(i.dir, dir)); err != nil {
		return err
	}
	f, err := i.env.FS.Create(path.Join(i.dir, dir, file))
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: it has %q twice", ErrArchive, h.Name)
	}
	if err != nil {
		return err
	}
	packed := &noted{r: r}
	n, err := io.Copy(io.NewOffsetWriter(f, 0), packed)
	if packed.err != nil { // and not one of the disk
		err = fmt.Errorf("%w: %q: %w", ErrArchive, h.Name, packed.err)
	}
	if strings.HasSuffix(file, ".log") {
		i.sizeBytes += n
	}
	return errors.Join(err, f.Close())
}

// noted is a reader that keeps its error.
type noted struct {
	r   io.Reader
	err error
}

func (n *noted) Read(b []byte) (int, error) {
	read, err := n.r.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		n.err = err
	}
	return read, err
}

// isPlainName says whether a name is one of a file or directory, and no way to another one.
func isPlainName(name string) bool {
	return name != "" && name != "." && name != ".." && !strings.ContainsAny(name, "/\\\x00:")
}
