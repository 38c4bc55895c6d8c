package history

import (
	"syscall"
	"unsafe"
)

const clockMonotonic = 1

// Now reads CLOCK_MONOTONIC in nanoseconds: all processes of one machine share it, so times in the
// histories of different agents can be compared.
func Now() int64 {
	var ts syscall.Timespec
	if _, _, errno := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clockMonotonic, uintptr(unsafe.Pointer(&ts)),
		0); errno != 0 {
		panic(errno) // a constant clock id and a valid pointer: cannot fail
	}
	return ts.Nano()
}
