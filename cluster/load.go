package cluster

import (
	"errors"
	"fmt"
	"io"
	"path"

	"once/meta"
)

// ErrNotEmpty: the directory that an archive is to be loaded into has files.
var ErrNotEmpty = errors.New("the data directory is not empty")

// OpenArchive opens a cluster from the snapshot in an archive, in a directory that is missing or empty. It has the
// cluster ID of the archive, and its clock goes on at the instant of the snapshot. Otherwise it is as OpenImage says:
// groups have no members, open transactions are aborted, and no producer ID of the archive is given again. check looks
// at the data directory before it counts. After an error about the archive the directory is as it was. Errors:
// ErrNotEmpty, ErrArchive, those of check, and those of Open.
func OpenArchive(env Env, dir string, from io.Reader, check func(*Image) error) (*Cluster, error) {
	env, err := env.WithDefaults()
	if err != nil {
		return nil, err
	}
	if err := requireEmpty(&env, dir); err != nil {
		return nil, err
	}
	image := &Image{env: env, dir: path.Join(dir, numbered(imageDirectory, 1))}
	s, err := image.unarchive(from, env.Settings.LabArchiveMaxBytes)
	if err == nil {
		err = image.check(check)
	}
	if err != nil {
		return nil, errors.Join(err, image.Remove())
	}
	if err := unpackFiles(&env, dir, image, beginLoaded); err != nil {
		return nil, fmt.Errorf("%w: unpacking an archive in %s: %w", ErrStorage, dir, err)
	}
	env.Clock.Restore(s.Clock, s.Frozen)
	return Open(env, dir) // which removes the image
}

// requireEmpty makes a directory, and returns ErrNotEmpty when there are files in it.
func requireEmpty(env *Env, dir string) error {
	if err := env.FS.MkdirAll(dir); err != nil {
		return fmt.Errorf("%w: making the data directory: %w", ErrStorage, err)
	}
	names, err := env.FS.List(dir)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrStorage, err)
	case len(names) > 0:
		return fmt.Errorf("%w: %s has %s", ErrNotEmpty, dir, names[0])
	}
	return nil
}

// beginLoaded turns the metadata of an archive into that of a cluster with the same ID, whose first start does what
// that of a fork does.
func beginLoaded(tx meta.Tx) error {
	clusterID, err := tx.Get(meta.Cluster, clusterIDKey)
	if err != nil {
		return err
	}
	id := string(clusterID) // the bytes are the store's
	if err := beginFork(tx); err != nil {
		return err
	}
	return tx.Put(meta.Cluster, clusterIDKey, []byte(id))
}
