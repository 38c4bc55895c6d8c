package log

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"once/internal/vfs"
)

// suffixDelete ends the name of a directory that is being removed.
const suffixDelete = "-delete"

// Stray is a log's directory that belongs to no topic any more.
type Stray struct {
	Dir     string // its base name
	MovedTo string // where it lies now; "" when it was removed
}

// SweepStrays looks through a data directory for what a deletion that was cut off left behind, before
// any log is opened. The remains of a removed log go. A log's directory for which belongs says no is
// moved aside, not deleted: it may as well be that the metadata is older than the logs.
// belongs is asked with what stands in the directory's name and its metadata file.
func SweepStrays(f vfs.FS, dir string, belongs func(topic string, partition int32, topicID [16]byte) bool) ([]Stray, error) {
	names, err := f.List(dir)
	if err != nil {
		return nil, err
	}
	var found []Stray
	for _, name := range names {
		if strings.HasSuffix(name, suffixDelete) {
			if err := f.RemoveAll(path.Join(dir, name)); err != nil {
				return found, err
			}
			found = append(found, Stray{Dir: name})
			continue
		}
		if info, err := f.Stat(path.Join(dir, name)); err != nil || !info.IsDir || !isLogDirectory(name) {
			continue
		}
		b, err := readSmall(f, path.Join(dir, name, metadataFile))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return found, err
		}
		id, err := decodeMetadata(b)
		if err != nil {
			continue // whose it is cannot be told: Open will say what is wrong with it
		}
		i := strings.LastIndexByte(name, '-')
		n, _ := strconv.ParseInt(name[i+1:], 10, 32)
		if belongs(name[:i], int32(n), id) {
			continue
		}
		aside := fmt.Sprintf("%s.%x-stray", name, id)
		if err := f.Rename(path.Join(dir, name), path.Join(dir, aside)); err != nil {
			return found, err
		}
		found = append(found, Stray{Dir: name, MovedTo: aside})
	}
	return found, nil
}
