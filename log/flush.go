package log

import (
	"errors"
	"io/fs"

	"once/internal/files"
	"once/internal/vfs"
)

// flushIndexes appends the entries that are not in the index files yet. The files are derived: they are not synced, and
// their readers check them.
func (s *segment) flushIndexes() error {
	s.flushed.Lock()
	defer s.flushed.Unlock()
	offsets := s.offsets.view()
	if err := writeTail(s.fs, s.file(IndexSuffix), encodeOffsets(offsets[min(s.flushed.offsets, len(offsets)):]),
		s.flushed.offsets*offsetEntryBytes); err != nil {
		return err
	}
	s.flushed.offsets = max(s.flushed.offsets, len(offsets))
	times := s.times.view()
	if err := writeTail(s.fs, s.file(TimeIndexSuffix), encodeTimes(times[min(s.flushed.times, len(times)):]),
		s.flushed.times*timeEntryBytes); err != nil {
		return err
	}
	s.flushed.times = max(s.flushed.times, len(times))
	return nil
}

// writeTail makes the file end with b, which begins at the given position. An empty b leaves an existing file as it
// is; a missing file is created, because Kafka expects one.
func writeTail(f vfs.FS, name string, b []byte, position int) error {
	if len(b) == 0 && position > 0 {
		return nil
	}
	file, err := files.OpenOrCreate(f, name)
	if err != nil {
		return err
	}
	if _, err = file.WriteAt(b, int64(position)); err == nil {
		err = file.Truncate(int64(position + len(b)))
	}
	if cerr := file.Close(); err == nil {
		err = cerr
	}
	return err
}

// cutIndexes removes the entries behind the segment's end from its index files. Readers would ignore them, but nothing
// writes the files of a sealed segment again.
func (s *segment) cutIndexes() error {
	end, size := s.bounds()
	return errors.Join(
		cutEntries(s.fs, s.file(IndexSuffix), func(b []byte) int {
			return offsetEntryBytes * len(decodeOffsets(b, size, end-s.base))
		}),
		cutEntries(s.fs, s.file(TimeIndexSuffix), func(b []byte) int {
			return timeEntryBytes * len(decodeTimes(b, end-s.base))
		}),
	)
}

// cutEntries truncates an index file to the size that keep returns for its content.
func cutEntries(f vfs.FS, name string, keep func(b []byte) (sizeBytes int)) error {
	b, err := files.ReadSmall(f, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	sizeBytes := keep(b)
	if err != nil || sizeBytes == len(b) {
		return err
	}
	file, err := f.OpenReadWrite(name)
	if err != nil {
		return err
	}
	return errors.Join(file.Truncate(int64(sizeBytes)), file.Close())
}
