package vfs

// Unsynced is a file system without syncs: for temporary files.
func Unsynced(under FS) FS { return unsyncedFS{under} }

type unsyncedFS struct{ FS }

func unsynced(f File, err error) (File, error) {
	if err != nil {
		return nil, err
	}
	return unsyncedFile{f}, nil
}

func (u unsyncedFS) Create(name string) (File, error)   { return unsynced(u.FS.Create(name)) }
func (u unsyncedFS) OpenRead(name string) (File, error) { return unsynced(u.FS.OpenRead(name)) }
func (u unsyncedFS) OpenReadWrite(name string) (File, error) {
	return unsynced(u.FS.OpenReadWrite(name))
}
func (u unsyncedFS) SyncDir(string) error { return nil }

func (u unsyncedFS) OpenFileSystem(string) (FileSystem, error) { return unsyncedFileSystem{}, nil }

type unsyncedFile struct{ File }

func (unsyncedFile) Sync() error { return nil }

type unsyncedFileSystem struct{}

func (unsyncedFileSystem) Sync() error  { return nil }
func (unsyncedFileSystem) Close() error { return nil }
