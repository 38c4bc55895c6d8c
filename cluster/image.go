package cluster

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"path"

	"once/configs"
	"once/durability"
	"once/internal/vfs"
	"once/log/directory"
	"once/meta"
	"once/partition"
)

// Image is the state of a cluster at one instant over all partitions: a data directory as after a clean stop. Members
// of groups and connections are not part of it. It is in its own directory beside the logs and shares unchanging files
// with them. It exists until Remove, or until its cluster is opened in another process. It is not synced: a power cut
// destroys it.
type Image struct {
	env       Env // immutable, as are all
	dir       string
	sizeBytes int64
}

// SizeBytes is the size of all segments, whether they are shared or not.
func (i *Image) SizeBytes() int64 { return i.sizeBytes }

// Dir is the data directory of the image.
func (i *Image) Dir() string { return i.dir }

// FS is the file system of the image.
func (i *Image) FS() vfs.FS { return i.env.FS }

// Remove removes the image. Clusters that were opened from it have files of their own.
func (i *Image) Remove() error { return i.env.FS.RemoveAll(i.dir) }

// imageDirectory is the kind of the directories of images.
const imageDirectory = ".image"

// Snapshot takes an image. Requests go on; meanwhile no topic is changed, no partition compacted, and no segment
// deleted. A partition that is offline cannot be copied: the error names it. Kill, Reset and Close wait for a snapshot
// as they wait for a request; the end of the engine ends it with an error.
func (c *Cluster) Snapshot() (*Image, error) {
	c.changing.Lock() // waits for an engine that is being opened
	e := c.enter()
	c.changing.Unlock()
	if e == nil {
		return nil, ErrClosed
	}
	defer e.requests.Done()
	i := &Image{env: c.env, dir: c.freePath(imageDirectory, &c.images)}
	err := c.env.FS.MkdirAll(i.dir)
	if err == nil {
		err = e.snapshot(i)
	}
	if err != nil {
		_ = i.Remove()
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	return i, nil
}

// snapshot writes the directory of an image.
func (e *engine) snapshot(i *Image) error {
	if e.cleaner != nil {
		defer e.cleaner.pause()()
	}
	return e.topics.Exclusively(func() (err error) {
		var parts []*partition.Image
		defer func() {
			for _, p := range parts {
				p.End()
			}
		}()
		for _, t := range e.topics.All() {
			for _, p := range t.Partitions() {
				part, err := p.BeginImage()
				if err != nil {
					return err
				}
				parts = append(parts, part)
			}
		}
		if err := e.barrier.TryCheckpoint(context.Background()); err != nil { // what it covers can be shared
			return err
		}
		e.barrier.AtOneInstant(func() {
			for _, p := range parts {
				p.Note()
			}
		})
		if err := e.copyMeta(i.dir); err != nil {
			return err
		}
		states := make([]durability.StateOf, 0, len(parts))
		for _, p := range parts {
			state, sizeBytes, err := p.CopyTo(i.dir)
			if err != nil {
				return err
			}
			if state.EndOffset > 0 { // else nothing was ever written
				states = append(states, state)
			}
			i.sizeBytes += sizeBytes
		}
		return durability.WriteImageRecord(e.fence, i.dir, e.mode, e.env.BootID, states)
	})
}

// copyMeta copies all metadata into another directory. Topics do not change meanwhile; other records are independent.
func (e *engine) copyMeta(dir string) error {
	to, err := e.env.Metadata(path.Join(dir, metaFile), meta.Options{NoSync: true})
	if err != nil {
		return err
	}
	err = to.Update(func(tx meta.Tx) error {
		return e.store.Keys(func(b meta.Bucket, key string, value []byte) error { return tx.Put(b, key, value) })
	})
	return errors.Join(err, to.Close())
}

// OpenImage opens another cluster from an image, in a directory that is missing or empty and, to share files, on the
// file system of the image. It has another cluster ID. Its groups have no members, its open transactions are aborted,
// and its producer IDs never meet those of the original. The image stays, and may be removed. env is that of the
// cluster, but the file system and metadata are those of the image.
func OpenImage(env Env, dir string, i *Image) (*Cluster, error) {
	env.FS, env.Metadata = i.env.FS, i.env.Metadata
	if env.BootID == "" {
		env.BootID = i.env.BootID
	}
	if err := unpack(&env, dir, i); err != nil {
		return nil, fmt.Errorf("%w: opening an image in %s: %w", ErrStorage, dir, err)
	}
	return Open(env, dir)
}

// unpack makes a data directory from an image. The metadata, without which it is none, comes last.
func unpack(env *Env, dir string, i *Image) error {
	if err := env.FS.MkdirAll(dir); err != nil {
		return err
	}
	if names, err := env.FS.List(dir); err != nil {
		return err
	} else if len(names) > 0 {
		return errors.New("the directory is not empty")
	}
	return unpackFiles(env, dir, i, beginFork)
}

// unpackFiles puts the files of an image into a directory; begin changes the metadata before it counts.
func unpackFiles(env *Env, dir string, i *Image, begin func(meta.Tx) error) error {
	names, err := env.FS.List(i.dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if name == metaFile {
			continue
		}
		info, err := env.FS.Stat(path.Join(i.dir, name))
		if err != nil {
			return err
		}
		if info.IsDir {
			err = directory.Copy(env.FS, i.dir, name, dir)
		} else {
			err = vfs.CopyFile(env.FS, path.Join(i.dir, name), path.Join(dir, name), info.SizeBytes)
		}
		if err != nil {
			return err
		}
	}
	info, err := env.FS.Stat(path.Join(i.dir, metaFile))
	if err != nil {
		return err
	}
	next := path.Join(dir, metaFile+".next")
	if err := vfs.CopyFile(env.FS, path.Join(i.dir, metaFile), next, info.SizeBytes); err != nil {
		return err
	}
	store, err := env.Metadata(next, meta.Options{NoSync: env.NoSync})
	if err != nil {
		return err
	}
	if err := errors.Join(store.Update(begin), store.Close()); err != nil {
		return err
	}
	if err := env.FS.Rename(next, path.Join(dir, metaFile)); err != nil || env.NoSync {
		return err
	}
	return vfs.SyncTree(env.FS, dir) // its barrier record says so
}

// Producer IDs of a fork begin a random number of ranges of 2^20 above those of its image, so that they do not meet
// those of the original and of other forks. They stay below 2^53, the largest exact integer in JavaScript, except in
// forks of forks.
const (
	forkRangeBits = 20
	forkBits      = 32
)

// beginFork turns the metadata into that of another cluster, whose first start finishes the fork.
func beginFork(tx meta.Tx) error {
	if err := tx.Put(meta.Cluster, clusterIDKey, []byte(newClusterID())); err != nil {
		return err
	}
	if err := configs.ForgetAddresses(tx); err != nil {
		return err
	}
	var dice [8]byte
	_, _ = rand.Read(dice[:]) // never fails
	ranges := 1 + int64(binary.BigEndian.Uint64(dice[:])>>(64-forkBits))
	return putCounter(tx, forkKey, ranges<<forkRangeBits)
}

func newClusterID() string {
	var uuid [16]byte
	_, _ = rand.Read(uuid[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(uuid[:])
}

// finishFork removes group members and ends open transactions of the image.
func (e *engine) finishFork() error {
	if e.identity.forkDistance == 0 {
		return nil
	}
	err := e.groups.DropMembers()
	if err == nil {
		err = e.txns.RenewIdentities()
	}
	if err == nil {
		err = e.store.Update(func(tx meta.Tx) error { return tx.Delete(meta.Cluster, forkKey) })
	}
	if err != nil {
		return fmt.Errorf("%w: going on from an image: %w", ErrStorage, err)
	}
	return nil
}

// removeImages removes the images of an earlier process.
func (c *Cluster) removeImages() error {
	names, err := c.env.FS.List(c.dir)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStorage, err)
	}
	for _, name := range names {
		if isNumbered(imageDirectory, name) {
			c.removeBehind(name)
		}
	}
	return nil
}
