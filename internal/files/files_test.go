package files

import (
	"testing"

	"once/internal/vfs"
)

// hugeFS says of every file that it is as large as no small file can be.
type hugeFS struct{ vfs.FS }

func (f hugeFS) OpenRead(name string) (vfs.File, error) {
	file, err := f.FS.OpenRead(name)
	return hugeFile{file}, err
}

type hugeFile struct{ vfs.File }

func (hugeFile) Size() (int64, error) { return maxSmallBytes + 1, nil }

// Files that are read whole are not read when they are larger than any of them can be.
func TestSmallFilesHaveALimit(t *testing.T) {
	mem := vfs.NewMem()
	if err := Replace(mem, "small", []byte("content")); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadSmall(hugeFS{mem}, "small"); err == nil {
		t.Error("it was read")
	}
	if b, err := ReadSmall(mem, "small"); err != nil || string(b) != "content" {
		t.Error(string(b), err)
	}
}
