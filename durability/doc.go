// Package durability makes the logs of a data directory durable, all of them up to one instant. It owns the barrier,
// its record, the journal, the durability modes, and the reserve of disk space.
//
// It stands below log: a log joins a barrier as a Member and implements the interface Log, which lists the files to
// sync. Nothing else syncs a log in normal operation. The owner opens the Barrier before the first log, calls Recovered
// after the last one has been opened, and closes it after all logs. docs/log-format.md has the bytes.
//
// Errors: *files.DamagedError, files.ErrFormat, ErrFailed, ErrDiskFull, ErrSpaceUnknown, ErrClosed.
package durability
