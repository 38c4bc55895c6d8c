// Package fault names the places where a test may kill the process, make a call fail or hold it.
//
// Without the build tag `fault` a Hit is an empty function that the compiler removes. With it, the
// environment variable ONCE_FAULTS arms sites: a comma separated list of `site=action` or
// `site=action@n`, n counting the hits of that site from 1. Actions: `kill` (the process dies at
// once, as by kill -9), `error` (Hit returns ErrInjected), `sleep:DURATION`, and `hold:FILE` (Hit
// returns when FILE no longer exists).
//
// The names stand in Sites; a Hit with another name fails the package's test.
package fault

import "errors"

// ErrInjected is what an armed site with the action `error` returns.
var ErrInjected = errors.New("fault: injected")

// Sites lists every site in the program, so that a refactoring cannot drop one unseen.
var Sites = []string{
	"log.append.before", "log.append.after", "log.roll.created", "log.roll.published",
	"partition.append.after", "partition.marker.after",
	"txn.prepare.before", "txn.prepare.after", "txn.marker.before", "txn.marker.after", "txn.complete.before", "txn.complete.after",
	"txn.init.after", "txn.add.after",
	"group.append.before", "group.append.after",
	"broker.recover.partition", "barrier.synced", "barrier.journaled",
}
