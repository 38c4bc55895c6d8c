package durability

import "errors"

var (
	// ErrFailed: a sync failed. The content of the disk is not known, and nothing becomes durable any more.
	ErrFailed = errors.New("durability: a sync failed earlier")
	// ErrDiskFull: the free space is reserved for the broker's own records. Nothing was written.
	ErrDiskFull = errors.New("durability: disk is full")
	// ErrSpaceUnknown: the file system does not say how much space is free. Nothing was written.
	ErrSpaceUnknown = errors.New("durability: free space is not known")
	// ErrClosed: the barrier was closed or killed.
	ErrClosed = errors.New("durability: closed")
)
