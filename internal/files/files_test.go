package files

import (
	"bytes"
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

// A byte that is not zero is found behind the first step, too.
func TestZerosAreLookedForInSteps(t *testing.T) {
	mem := vfs.NewMem()
	b := make([]byte, 2*zeroStepBytes+10)
	for _, at := range []int{-1, 0, zeroStepBytes, len(b) - 1} {
		content := bytes.Clone(b)
		if at >= 0 {
			content[at] = 1
		}
		if err := Replace(mem, "zeros", content); err != nil {
			t.Fatal(err)
		}
		f, err := mem.OpenRead("zeros")
		if err != nil {
			t.Fatal(err)
		}
		if zero, err := AllZero(f, 0, int64(len(b))); err != nil || zero != (at < 0) {
			t.Errorf("byte %d: %v, %v", at, zero, err)
		}
		f.Close()
	}
}
