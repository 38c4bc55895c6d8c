//go:build !linux

package wire

import "errors"

// sendFile asks the caller to copy: this platform's sendfile is not used.
func (o *output) sendFile(uintptr, int64, int64) (int64, error) { return 0, errors.ErrUnsupported }
