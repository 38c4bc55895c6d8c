package partition

import (
	"fmt"
	"math/rand"
	"testing"

	"once/internal/vfs"
	"once/log/batch"
)

// BenchmarkCompact is one pass over 64 MiB on the machine's disk: records of 1 KiB in batches of 16, of
// each key three on average, of which one stays.
func BenchmarkCompact(b *testing.B) {
	for _, codec := range []batch.Codec{batch.None, batch.LZ4, batch.Zstd} {
		b.Run(codec.String(), func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				b.StopTimer()
				s := newShelf(b, dirFS{vfs.OS, b.TempDir()})
				s.config.Log.SegmentBytes = 8 << 20
				s.config.Rules.Recompress, s.config.Rules.Codec = codec != batch.None, codec
				s.config.Compaction = Compaction{Compact: true}
				s.mustOpen()
				dice := rand.New(rand.NewSource(1))
				value := make([]byte, 1000)
				for i := range value {
					value[i] = byte(dice.Intn(16)) // half of it is noise
				}
				rs := make([]rec, 16)
				for range 4096 {
					for j := range rs {
						rs[j] = rec{fmt.Sprint("key", dice.Intn(21845)), string(value)}
					}
					s.must(s.send(rs...))
				}
				s.roll()
				s.sync()
				b.SetBytes(s.p.SizeBytes())
				b.StartTimer()
				if _, err := s.p.Compact(b.Context(), s.nowMs(), 128<<20); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				s.shut()
			}
		})
	}
}

// dirFS is a file system below a directory of another one.
type dirFS struct {
	vfs.FS
	dir string
}

func (f dirFS) in(name string) string                       { return f.dir + "/" + name }
func (f dirFS) Create(name string) (vfs.File, error)        { return f.FS.Create(f.in(name)) }
func (f dirFS) OpenRead(name string) (vfs.File, error)      { return f.FS.OpenRead(f.in(name)) }
func (f dirFS) OpenReadWrite(name string) (vfs.File, error) { return f.FS.OpenReadWrite(f.in(name)) }
func (f dirFS) Rename(oldName, newName string) error {
	return f.FS.Rename(f.in(oldName), f.in(newName))
}
func (f dirFS) Remove(name string) error           { return f.FS.Remove(f.in(name)) }
func (f dirFS) RemoveAll(name string) error        { return f.FS.RemoveAll(f.in(name)) }
func (f dirFS) List(dir string) ([]string, error)  { return f.FS.List(f.in(dir)) }
func (f dirFS) MkdirAll(dir string) error          { return f.FS.MkdirAll(f.in(dir)) }
func (f dirFS) Stat(name string) (vfs.Info, error) { return f.FS.Stat(f.in(name)) }
func (f dirFS) SyncDir(dir string) error           { return f.FS.SyncDir(f.in(dir)) }
func (f dirFS) OpenFileSystem(dir string) (vfs.FileSystem, error) {
	return f.FS.OpenFileSystem(f.in(dir))
}
