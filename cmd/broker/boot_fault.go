//go:build fault

package main

import "os"

// pretendedBootID lets a test that has cut a disk image's power say so: ONCE_BOOT_ID, in the fault
// build only.
func pretendedBootID() string { return os.Getenv("ONCE_BOOT_ID") }
