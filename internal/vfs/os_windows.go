package vfs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

// fullErrnos are the errors of a file system that is full, and of a quota that is used up.
var fullErrnos = []syscall.Errno{
	windows.ERROR_DISK_FULL, windows.ERROR_HANDLE_DISK_FULL, windows.ERROR_DISK_QUOTA_EXCEEDED,
}

// native returns the absolute name behind the prefix `\\?\`, which Windows does not interpret: a path may be longer
// than 260 characters, and a directory `aux.orders-0` is a directory and not the device `aux`.
// filepath.Abs cannot be used, since it would ask Windows, which would return the device.
func native(name string) string {
	name = filepath.FromSlash(name)
	if strings.HasPrefix(name, `\\?\`) {
		return name
	}
	if !filepath.IsAbs(name) {
		dir, err := os.Getwd()
		if err != nil {
			return name
		}
		if strings.HasPrefix(name, `\`) { // from the root of the current drive
			dir = filepath.VolumeName(dir)
		}
		name = dir + `\` + name
	}
	name = filepath.Clean(name)
	if share, ok := strings.CutPrefix(name, `\\`); ok {
		return `\\?\UNC\` + share
	}
	return `\\?\` + name
}

// shareAll lets others open the file beside us, and rename and delete it while it is open. os.OpenFile does not.
const shareAll = windows.FILE_SHARE_READ | windows.FILE_SHARE_WRITE | windows.FILE_SHARE_DELETE

// openHandle opens a file or directory that is named by native.
func openHandle(op, name string, access, disposition, flags uint32) (windows.Handle, error) {
	p, err := windows.UTF16PtrFromString(name)
	if err != nil {
		return windows.InvalidHandle, pathError(op, name, err)
	}
	// A handle of a directory is only to be had with backup semantics.
	h, err := windows.CreateFile(p, access, shareAll, nil, disposition,
		flags|windows.FILE_ATTRIBUTE_NORMAL|windows.FILE_FLAG_BACKUP_SEMANTICS, 0)
	return h, pathError(op, name, err)
}

func openFile(name string, flags int) (*os.File, error) {
	access, disposition := uint32(windows.GENERIC_READ), uint32(windows.OPEN_EXISTING)
	if flags&os.O_RDWR != 0 {
		access |= windows.GENERIC_WRITE
	}
	if flags&os.O_CREATE != 0 {
		disposition = windows.OPEN_ALWAYS
	}
	if flags&os.O_EXCL != 0 {
		disposition = windows.CREATE_NEW
	}
	h, err := openHandle("open", name, access, disposition, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(h), name), nil
}

// syncData is FlushFileBuffers.
func syncData(f *os.File) error { return f.Sync() }

// openFileSystem has nothing to open: to flush a whole volume takes the rights of an administrator.
func openFileSystem(string) (FileSystem, error) { return nil, errors.ErrUnsupported }

func linkCount(name string) (int, error) {
	h, err := openHandle("stat", name, windows.GENERIC_READ, windows.OPEN_EXISTING, 0)
	if err != nil {
		return 0, err
	}
	var info windows.ByHandleFileInformation
	err = windows.GetFileInformationByHandle(h, &info)
	return int(info.NumberOfLinks), errors.Join(pathError("stat", name, err), windows.CloseHandle(h))
}

// syncDir flushes the directory. Not every file system can; NTFS writes all changes of names to one log in their order,
// and flushing any file flushes this log. So a refusal is no error.
func syncDir(dir string) error {
	h, err := openHandle("sync", dir, windows.GENERIC_WRITE, windows.OPEN_EXISTING, 0)
	if isUnsupported(err) {
		_, err = os.Stat(dir)
		return err
	}
	if err != nil {
		return err
	}
	err = windows.FlushFileBuffers(h)
	if isUnsupported(err) {
		err = nil
	}
	return errors.Join(pathError("sync", dir, err), windows.CloseHandle(h))
}

// isUnsupported says whether a file system does not know or does not allow what it was asked for.
func isUnsupported(err error) bool {
	return isOneOf(err, windows.ERROR_ACCESS_DENIED, windows.ERROR_INVALID_FUNCTION, windows.ERROR_INVALID_PARAMETER,
		windows.ERROR_NOT_SUPPORTED, windows.ERROR_INVALID_HANDLE, windows.ERROR_CALL_NOT_IMPLEMENTED)
}

func isOneOf(err error, errnos ...syscall.Errno) bool {
	return slices.ContainsFunc(errnos, func(e syscall.Errno) bool { return errors.Is(err, e) })
}

// retryLimit bounds the time that a rename or deletion is tried again.
const retryLimit = time.Second

// retry repeats what fails because somebody has the file open. Virus scanners and indexers open each new file for a
// moment, and do not always share it.
func retry(do func() error) error {
	wait, waited := time.Millisecond, time.Duration(0)
	for {
		err := do()
		if waited >= retryLimit || !isInUse(err) {
			return err
		}
		time.Sleep(wait)
		waited += wait
		wait *= 2
	}
}

// isInUse says whether an error is one that Windows gives for what somebody has open.
func isInUse(err error) bool {
	return isOneOf(err, windows.ERROR_SHARING_VIOLATION, windows.ERROR_ACCESS_DENIED)
}

// setInformation opens a file or directory for renaming or deletion and sets a class of its information.
func setInformation(op, name string, class uint32, information []byte) error {
	h, err := openHandle(op, name, windows.DELETE|windows.SYNCHRONIZE, windows.OPEN_EXISTING,
		windows.FILE_FLAG_OPEN_REPARSE_POINT)
	if err != nil {
		return err
	}
	err = windows.SetFileInformationByHandle(h, class, &information[0], uint32(len(information)))
	return errors.Join(pathError(op, name, err), windows.CloseHandle(h))
}

// rename replaces a file that others have open, as on other systems: they keep the old one. Only NTFS can; elsewhere
// such a rename is refused.
func rename(oldName, newName string) error {
	target, err := windows.UTF16FromString(newName)
	if err != nil {
		return pathError("rename", newName, err)
	}
	type renameInformation struct { // FILE_RENAME_INFO; the name follows where name is
		flags           uint32
		rootDirectory   windows.Handle
		nameLengthBytes uint32
		name            [1]uint16
	}
	at := int(unsafe.Offsetof(renameInformation{}.name))
	b := make([]byte, max(at+2*len(target), int(unsafe.Sizeof(renameInformation{}))))
	r := (*renameInformation)(unsafe.Pointer(&b[0]))
	r.flags = windows.FILE_RENAME_REPLACE_IF_EXISTS | windows.FILE_RENAME_POSIX_SEMANTICS |
		windows.FILE_RENAME_IGNORE_READONLY_ATTRIBUTE
	r.nameLengthBytes = uint32(2 * (len(target) - 1)) // without the zero
	copy(unsafe.Slice((*uint16)(unsafe.Pointer(&b[at])), len(target)), target)
	err = retry(func() error {
		err := setInformation("rename", oldName, windows.FileRenameInfoEx, b)
		if isUnsupported(err) {
			err = os.Rename(oldName, newName)
		}
		return err
	})
	if isInUse(err) {
		err = fmt.Errorf("%w: %w", ErrInUse, err)
	}
	return err
}

// remove frees the name at once, even if others have the file open, where the file system can; elsewhere, when they
// close it.
func remove(name string) error {
	flags := uint32(windows.FILE_DISPOSITION_DELETE | windows.FILE_DISPOSITION_POSIX_SEMANTICS |
		windows.FILE_DISPOSITION_IGNORE_READONLY_ATTRIBUTE)
	b := unsafe.Slice((*byte)(unsafe.Pointer(&flags)), unsafe.Sizeof(flags))
	return retry(func() error {
		err := setInformation("remove", name, windows.FileDispositionInfoEx, b)
		if isUnsupported(err) {
			err = os.Remove(name)
		}
		return err
	})
}

// removeAll deletes like remove.
func removeAll(name string) error {
	return retry(func() error { return os.RemoveAll(name) })
}

func freeBytes(dir string) (int64, error) {
	free, _, err := diskSpace(dir)
	return free, err
}

func totalBytes(dir string) (int64, error) {
	_, total, err := diskSpace(dir)
	return total, err
}

func diskSpace(dir string) (freeBytes, totalBytes int64, err error) {
	p, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, 0, pathError("disk space", dir, err)
	}
	var free, total uint64
	err = windows.GetDiskFreeSpaceEx(p, &free, &total, nil)
	return int64(free), int64(total), pathError("disk space", dir, err)
}

// lockFile locks one byte of the open file, far beyond its end: locks of Windows keep others from reading what is
// locked. The lock ends with the open file. bbolt locks the byte behind it.
func lockFile(f *os.File, shared bool) error {
	flags := uint32(windows.LOCKFILE_FAIL_IMMEDIATELY)
	if !shared {
		flags |= windows.LOCKFILE_EXCLUSIVE_LOCK
	}
	err := windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, lockedByte())
	if isOneOf(err, windows.ERROR_LOCK_VIOLATION, windows.ERROR_IO_PENDING) {
		return ErrLocked
	}
	return pathError("lock", f.Name(), err)
}

func unlockFile(f *os.File) error {
	return pathError("unlock", f.Name(), windows.UnlockFileEx(windows.Handle(f.Fd()), 0, 1, 0, lockedByte()))
}

// lockedByte returns the position of the byte that lockFile locks.
func lockedByte() *windows.Overlapped {
	const position = 1<<64 - 2
	return &windows.Overlapped{Offset: position & (1<<32 - 1), OffsetHigh: position >> 32}
}

// bootID is the time of the start of the system, without what the clock was set by since.
func bootID() string {
	var t struct { // SYSTEM_TIMEOFDAY_INFORMATION, in units of 100 ns
		bootTime, currentTime, timeZoneBias int64
		timeZoneID, _                       uint32
		bootTimeBias, _                     uint64
	}
	if windows.NtQuerySystemInformation(windows.SystemTimeOfDayInformation, unsafe.Pointer(&t), uint32(unsafe.Sizeof(t)),
		nil) != nil {
		return ""
	}
	return strconv.FormatInt(t.bootTime-int64(t.bootTimeBias), 10)
}

func pathError(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &os.PathError{Op: op, Path: name, Err: noSpace(err)}
}
